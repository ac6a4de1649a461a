/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "act/internal.h"
#include "base/file.h"

#define MEMORY_V1_NONE UINT64_C(0x7000000000000000) /* v1 shows no limit as PAGE_COUNTER_MAX pages, in bytes */

static uint64_t read_number(int dir_fd, const char *file)
{
	uint64_t value;

	return dir_fd >= 0 && file_read_u64(dir_fd, file, &value) == 0 ? value : UINT64_MAX;
}

/* The first line of cpu.stat is `usage_usec N`, with or without the controller. */
static uint64_t read_cpu_ns(int dir_fd)
{
	unsigned long long usage_us;
	char buffer[64];

	if (file_read(dir_fd, "cpu.stat", buffer, sizeof(buffer)) < 0 ||
	    sscanf(buffer, "usage_usec %llu", &usage_us) != 1)
		return UINT64_MAX;
	return usage_us * NSEC_PER_USEC;
}

int group_controller_fd(const struct groups *groups, const struct group *group, enum controller controller)
{
	int where = groups->layout.where[controller];

	if (where == WHERE_NONE)
		return -1;
	return where == WHERE_V2 ? group->v2_fd : group->v1_fd[where];
}

static int count_task(pid_t pid _unused_, void *userdata)
{
	++*(uint64_t *)userdata;
	return 0;
}

void stats_read(const struct groups *groups, int v2_fd, int memory_fd, int pids_fd, struct group_stats *ret_stats)
{
	bool is_v2 = groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
	struct group_stats stats;

	stats.memory_bytes = read_number(memory_fd, is_v2 ? "memory.current" : "memory.usage_in_bytes");
	stats.memory_max_bytes = read_number(memory_fd, is_v2 ? "memory.max" : "memory.limit_in_bytes");
	stats.memory_peak_bytes = read_number(memory_fd, is_v2 ? "memory.peak" : "memory.max_usage_in_bytes");
	if (stats.memory_max_bytes >= MEMORY_V1_NONE)
		stats.memory_max_bytes = UINT64_MAX;
	stats.cpu_ns = read_cpu_ns(v2_fd);
	stats.tasks = read_number(pids_fd, "pids.current");
	if (stats.tasks == UINT64_MAX) {
		/* No limit on tasks, so no pids group: the processes. */
		stats.tasks = 0;
		(void)tree_pids(v2_fd, count_task, &stats.tasks);
	}
	*ret_stats = stats;
}

int groups_stats(struct groups *groups, uint64_t agent, struct group_stats *ret_stats)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);

	if (!group || group->v2_fd < 0)
		return -ENOENT;
	stats_read(groups, group->v2_fd, group_controller_fd(groups, group, CONTROLLER_MEMORY),
		   group_controller_fd(groups, group, CONTROLLER_PIDS), ret_stats);
	return 0;
}

int groups_cpu_ns(struct groups *groups, uint64_t agent, uint64_t *ret_cpu_ns)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	uint64_t cpu_ns;

	if (!group || group->v2_fd < 0)
		return -ENOENT;
	cpu_ns = read_cpu_ns(group->v2_fd);
	if (cpu_ns == UINT64_MAX)
		return -ENODATA;
	*ret_cpu_ns = cpu_ns;
	return 0;
}

struct listing {
	pid_t *pids;
	size_t max, n;
};

static int list_pid(pid_t pid, void *userdata)
{
	struct listing *listing = userdata;

	if (listing->n < listing->max)
		listing->pids[listing->n] = pid;
	listing->n++;
	return 0;
}

ssize_t groups_pids(struct groups *groups, uint64_t agent, pid_t *pids, size_t max)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct listing listing = {.pids = pids, .max = max};
	int r;

	if (!group || group->v2_fd < 0)
		return -ENOENT;
	r = tree_pids(group->v2_fd, list_pid, &listing);
	return r < 0 ? r : (ssize_t)listing.n;
}

ssize_t groups_home_pids(struct groups *groups, uint64_t agent, pid_t *pids, size_t max)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct listing listing = {.pids = pids, .max = max};
	int r;

	if (!group || group->v2_fd < 0)
		return -ENOENT;
	r = tree_own_pids(group_home(group), list_pid, &listing);
	return r < 0 ? r : (ssize_t)listing.n;
}
