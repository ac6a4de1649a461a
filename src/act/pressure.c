/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/sysinfo.h>

#include "act/internal.h"
#include "base/file.h"

/* An agent's memory pressure: Documentation/accounting/psi.rst, and memory.* of
 * Documentation/admin-guide/cgroup-v2.rst. */

/*
 * For one agent, in microseconds. psi.rst's own example: a second is how often we look at most, and the kernel tells at
 * most once in it. Without CAP_SYS_RESOURCE it has to be a multiple of 2 s (EINVAL): kernel commit d82caa273565,
 * of 6.5, which Debian's 6.1 has too; kernels without it want the capability for any (EPERM).
 */
static const struct {
	unsigned stall_us, window_us;
} triggers[] = {{150000, 1000000}, {300000, 2000000}};

/*
 * What is enough of one agent is less of the slice: its pressure is the mean of its CPUs, each with the weight of the
 * time in which the slice had something to do there (collect_percpu_times() in kernel/sched/psi.c). One that waits 15 %
 * of the time on a CPU of its own, beside others that are all busy, counts by 0.15 * 0.15 / CPUs.
 */
#define SLICE_PART 7
#define SLICE_MIN_US 100

/* `some avg10=0.12 avg60=0.00 avg300=0.00 total=345`; avg10 has two decimals. */
static void parse_line(const char *text, const char *name, uint64_t *ret_avg10_milli, uint64_t *ret_total_us)
{
	const char *line = strstr(text, name);
	unsigned long long total;
	unsigned whole, part;

	if (line &&
	    sscanf(line + strlen(name), " avg10=%u.%2u avg60=%*s avg300=%*s total=%llu", &whole, &part, &total) == 3) {
		*ret_avg10_milli = whole * UINT64_C(1000) + part * UINT64_C(10);
		*ret_total_us = total;
	}
}

static void read_psi(const struct group *group, struct pressure_view *view)
{
	char text[256];

	if (file_read(group->v2_fd, "memory.pressure", text, sizeof(text)) < 0)
		return;
	parse_line(text, "some", &view->some_avg10_milli, &view->some_us);
	parse_line(text, "full", &view->full_avg10_milli, &view->full_us);
}

static uint64_t read_keyed(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
		if (strncmp(line, name, length) == 0 && line[length] == ' ')
			return strtoull(line + length, NULL, 10);
	return UINT64_MAX;
}

static void read_events(int dir_fd, struct pressure_view *view)
{
	char text[256];

	if (file_read(dir_fd, "memory.events", text, sizeof(text)) < 0)
		return;
	view->highs = read_keyed(text, "high");
	view->maxes = read_keyed(text, "max");
	view->ooms = read_keyed(text, "oom");
	view->oom_kills = read_keyed(text, "oom_kill");
}

static uint64_t host_swap_free(void)
{
	struct sysinfo info;

	return sysinfo(&info) < 0 ? UINT64_MAX : (uint64_t)info.freeswap * info.mem_unit;
}

static void read_v2(int dir_fd, struct pressure_view *view)
{
	uint64_t swap_max, swap;

	if (file_read_u64(dir_fd, "memory.current", &view->memory_bytes) < 0)
		view->memory_bytes = UINT64_MAX;
	read_events(dir_fd, view);
	view->swap_free_bytes = host_swap_free();
	if (file_read_u64(dir_fd, "memory.swap.max", &swap_max) == 0 &&
	    file_read_u64(dir_fd, "memory.swap.current", &swap) == 0)
		view->swap_free_bytes = MIN2(view->swap_free_bytes, swap_max > swap ? swap_max - swap : 0);
	view->can_throttle = true;
	view->can_reclaim = faccessat(dir_fd, "memory.reclaim", F_OK, 0) == 0; /* since 5.19 */
}

/* It has neither: memory.soft_limit_in_bytes slows nobody down. */
static void read_v1(int dir_fd, struct pressure_view *view)
{
	if (file_read_u64(dir_fd, "memory.usage_in_bytes", &view->memory_bytes) < 0)
		view->memory_bytes = UINT64_MAX;
	if (file_read_u64(dir_fd, "memory.failcnt", &view->maxes) < 0)
		view->maxes = UINT64_MAX;
	view->swap_free_bytes = host_swap_free();
}

int groups_pressure(struct groups *groups, uint64_t agent, struct pressure_view *ret_view)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct pressure_view view;
	struct group_memory memory;
	int fd;

	if (!group || group->v2_fd < 0)
		return -ENOENT;
	memset(&view, 0xff, sizeof(view));
	view.can_reclaim = view.can_throttle = false;
	read_psi(group, &view);
	fd = group_controller_fd(groups, group, CONTROLLER_MEMORY);
	if (fd >= 0 && groups->layout.where[CONTROLLER_MEMORY] == WHERE_V2)
		read_v2(fd, &view);
	else if (fd >= 0)
		read_v1(fd, &view);
	if (groups_memory(groups, agent, &memory) == 0)
		view.file_bytes = memory.file_bytes;
	*ret_view = view;
	return 0;
}

uint64_t groups_pressure_some_us(struct groups *groups, uint64_t agent)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	struct pressure_view view = {.some_us = UINT64_MAX};

	if (group && group->v2_fd >= 0)
		read_psi(group, &view);
	return view.some_us;
}

static int open_trigger(int dir_fd, unsigned part, int *ret_fd)
{
	_cleanup_close_ int fd = openat(dir_fd, "memory.pressure", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	char text[64];

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < ELEMENTSOF(triggers); i++) {
		snprintf(text, sizeof(text), "some %u %u", MAX2(triggers[i].stall_us / part, (unsigned)SLICE_MIN_US),
			 triggers[i].window_us);
		/* With its NUL, as psi.rst has it. */
		if (write(fd, text, strlen(text) + 1) >= 0) {
			*ret_fd = TAKE_FD(fd);
			return 0;
		}
	}
	return -errno;
}

int groups_pressure_open(struct groups *groups, uint64_t agent, int *ret_fd)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);

	if (!group || group->v2_fd < 0 || !group->nested_in)
		return -ENOENT;
	return open_trigger(group->v2_fd, 1, ret_fd);
}

int groups_slice_pressure_open(struct groups *groups, int *ret_fd)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return open_trigger(groups->slice_fd, cpus > 1 ? SLICE_PART * (unsigned)cpus : 1, ret_fd);
}

int groups_events_watch(struct groups *groups, uint64_t agent, int inotify_fd, int *ret_watch)
{
	const struct group *group = idmap_get(&groups->by_agent, agent);
	char path[64];
	int watch;

	if (!group || group->v2_fd < 0 || groups->layout.where[CONTROLLER_MEMORY] != WHERE_V2)
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/memory.events", group->v2_fd);
	watch = inotify_add_watch(inotify_fd, path, IN_MODIFY | IN_ONESHOT);
	if (watch < 0)
		return -errno;
	*ret_watch = watch;
	return 0;
}
