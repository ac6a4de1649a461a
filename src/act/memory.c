/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/stat.h>

#include "act/internal.h"
#include "base/file.h"

/* An agent's memory by kind: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, memory.stat. */

#define STAT_MAX (64U << 10) /* about 50 lines */

struct stat_name {
	const char *v1, *v2;
	size_t offset;
};

/* v1: `total_` are those that count what is nested, too. */
static const struct stat_name names[] = {
	{"total_rss", "anon", offsetof(struct group_memory, anon_bytes)},
	{"total_cache", "file", offsetof(struct group_memory, file_bytes)},
	{"total_shmem", "shmem", offsetof(struct group_memory, shmem_bytes)},
	{NULL, "kernel", offsetof(struct group_memory, kernel_bytes)}, /* since 5.18 */
};

static void parse_line(const char *line, bool is_v2, struct group_memory *memory)
{
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		const char *name = is_v2 ? names[i].v2 : names[i].v1;
		size_t length = name ? strlen(name) : 0;

		if (length && strncmp(line, name, length) == 0 && line[length] == ' ')
			*(uint64_t *)(void *)((char *)memory + names[i].offset) = strtoull(line + length, NULL, 10);
	}
}

int groups_memory(struct groups *groups, uint64_t agent, struct group_memory *ret_memory)
{
	struct group_memory memory = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
	const struct group *group = idmap_get(&groups->by_agent, agent);
	bool is_v2 = groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
	_cleanup_free_ char *text = NULL;
	size_t length;
	int fd, r;

	fd = group ? group_controller_fd(groups, group, CONTROLLER_MEMORY) : -1;
	if (fd < 0)
		return -ENOENT;
	r = file_read_all(fd, "memory.stat", STAT_MAX, &text, &length);
	if (r < 0)
		return r;
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		parse_line(line, is_v2, &memory);
	if (!is_v2 && file_read_u64(fd, "memory.kmem.usage_in_bytes", &memory.kernel_bytes) < 0)
		memory.kernel_bytes = UINT64_MAX;
	/* Both count shmem as page cache. */
	if (memory.file_bytes != UINT64_MAX && memory.shmem_bytes != UINT64_MAX)
		memory.file_bytes -= MIN2(memory.file_bytes, memory.shmem_bytes);
	*ret_memory = memory;
	return 0;
}

uint64_t groups_memory_id(struct groups *groups, uint64_t agent)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	int fd = group ? group_controller_fd(groups, group, CONTROLLER_MEMORY) : -1;
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 ? st.st_ino : 0;
}

uint64_t groups_memory_bytes(struct groups *groups, uint64_t agent)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	bool is_v2 = groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
	int fd = group ? group_controller_fd(groups, group, CONTROLLER_MEMORY) : -1;
	uint64_t bytes;

	if (fd < 0 || file_read_u64(fd, is_v2 ? "memory.current" : "memory.usage_in_bytes", &bytes) < 0)
		return UINT64_MAX;
	return bytes;
}

uint64_t groups_slice_bytes(struct groups *groups)
{
	int where = groups->layout.where[CONTROLLER_MEMORY];
	char text[32]; /* a number of 20 digits and its newline: whole at the first read */
	ssize_t n;

	if (groups->usage_fd < 0 && where == WHERE_V2)
		groups->usage_fd = openat(groups->slice_fd, "memory.current", O_RDONLY | O_CLOEXEC);
	else if (groups->usage_fd < 0 && where != WHERE_NONE)
		groups->usage_fd = openat(groups->v1_slice_fd[where], "memory.usage_in_bytes", O_RDONLY | O_CLOEXEC);
	n = groups->usage_fd < 0 ? -1 : pread(groups->usage_fd, text, sizeof(text) - 1, 0);
	if (n <= 0) {
		close_p(&groups->usage_fd); /* the slice may have been made anew */
		return 0;
	}
	text[n] = '\0';
	return strtoull(text, NULL, 10);
}

/* `anon` is v2's first line; v1 has 40 lines, and the totals come last. */
uint64_t groups_anon_bytes(struct groups *groups, uint64_t agent)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	bool is_v2 = groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2;
	int fd = group ? group_controller_fd(groups, group, CONTROLLER_MEMORY) : -1;
	const char *name = is_v2 ? "anon " : "\ntotal_rss ", *at;
	char buffer[4096];

	if (fd < 0 || file_read(fd, "memory.stat", buffer, is_v2 ? 64 : sizeof(buffer)) < 0)
		return UINT64_MAX;
	at = strstr(buffer, name);
	return at ? strtoull(at + strlen(name), NULL, 10) : UINT64_MAX;
}

/* ---- what its end gives back ---- */

uint64_t groups_weigh_process(pid_t pid)
{
	unsigned long long resident, shared;
	char path[32], buffer[128];

	/* Fields 2 and 3 of statm, pages. */
	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (file_read(AT_FDCWD, path, buffer, sizeof(buffer)) < 0 ||
	    sscanf(buffer, "%*u %llu %llu", &resident, &shared) != 2)
		return UINT64_MAX;
	return (resident - MIN2(shared, resident)) * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int weigh_pid(pid_t pid, void *userdata)
{
	uint64_t bytes = groups_weigh_process(pid);

	if (bytes != UINT64_MAX)
		*(uint64_t *)userdata += bytes;
	return 0;
}

static uint64_t sum_known(const struct group_memory *memory)
{
	const uint64_t parts[] = {memory->anon_bytes, memory->shmem_bytes, memory->kernel_bytes};
	uint64_t sum = 0;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (parts[i] != UINT64_MAX)
			sum += parts[i];
	return sum;
}

uint64_t groups_weigh(struct groups *groups, uint64_t agent, uint64_t rough_bytes)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct group_memory memory;
	uint64_t bytes = 0;

	if (!group || group->v2_fd < 0)
		return UINT64_MAX;
	/* Without the controller: its processes, one by one. */
	if (group_controller_fd(groups, group, CONTROLLER_MEMORY) < 0)
		return tree_pids(group->v2_fd, weigh_pid, &bytes) < 0 ? UINT64_MAX : bytes;
	bytes = groups_memory_bytes(groups, agent);
	if (bytes == UINT64_MAX || bytes < rough_bytes || groups_memory(groups, agent, &memory) < 0)
		return bytes;
	return MIN2(bytes, sum_known(&memory));
}

/* ---- the largest ---- */

struct ranking {
	struct group_process *processes;
	size_t max, n;
};

/* Field 2 of statm, pages; 0: it has none, or has ended. */
static uint64_t resident_bytes(pid_t pid)
{
	char path[32], buffer[128];
	unsigned long long pages;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	if (file_read(AT_FDCWD, path, buffer, sizeof(buffer)) < 0 || sscanf(buffer, "%*u %llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int rank_pid(pid_t pid, void *userdata)
{
	struct ranking *ranking = userdata;
	struct group_process process = {.pid = pid, .bytes = resident_bytes(pid)};
	size_t at = ranking->n;

	while (at > 0 && ranking->processes[at - 1].bytes < process.bytes)
		at--;
	if (at == ranking->max || !process.bytes)
		return 0;
	ranking->n = MIN2(ranking->n + 1, ranking->max);
	memmove(&ranking->processes[at + 1], &ranking->processes[at], (ranking->n - at - 1) * sizeof(process));
	ranking->processes[at] = process;
	return 0;
}

size_t groups_largest(struct groups *groups, uint64_t agent, struct group_process *processes, size_t max)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct ranking ranking = {.processes = processes, .max = max};

	if (!group || group->v2_fd < 0 || !max)
		return 0;
	/* Where the list ends early, those that were read are ranked. */
	(void)!tree_pids(group->v2_fd, rank_pid, &ranking);
	for (size_t i = 0; i < ranking.n; i++)
		process_read_comm(processes[i].pid, processes[i].comm, sizeof(processes[i].comm));
	return ranking.n;
}
