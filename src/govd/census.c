/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* The census: all marked processes and, when the policies are new, all of /proc. */

#define LEFT_EVERY_US 1000000 /* between two that nothing but roots that leave their groups ask for */

struct census_list {
	struct gov_census_task *tasks;
	size_t n, size;
};

static void census_collect(const struct gov_census_task *task, void *userdata)
{
	struct census_list *list = userdata;

	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 256;
		struct gov_census_task *tasks = reallocarray(list->tasks, size, sizeof(*tasks));

		if (!tasks)
			return;
		list->tasks = tasks;
		list->size = size;
	}
	list->tasks[list->n++] = *task;
}

static void census_see(struct manager *manager, pid_t pid, const struct gov_census_task *task)
{
	struct event event = {.kind = EVENT_SEEN};

	if (procfs_read(manager->procfs, pid, &event.seen.proc) < 0)
		return;
	if (task) {
		if (event.seen.proc.start_ticks != procfs_ticks_of_ns(task->start_ns))
			return;
		/* It has executed since, and isn't any more what that mark stands for: its record tells. */
		if (manager_mark_of(manager, pid) != task->mark)
			return;
		/* Who has been moved in meanwhile has left those whose mark it shares. */
		if ((task->flags & GOV_RECORD_IN_SLICE) || (event.seen.proc.flags & PROC_OUTSIDE))
			event.seen.proc.mark = task->mark;
	}
	manager_dispatch(manager, &event);
}

/* In the slice only what isn't settled: the root may be an agent, the others are to be where it is. */
static void census_inside(struct manager *manager, const struct gov_census_task *task)
{
	struct event event = {.kind = EVENT_FORK};

	if (bpf_sense_is_settled(manager->bpf, task->mark))
		return;
	if (task->pid == task->root_pid) {
		/* Known by its record: in a storm most are. */
		if (!state_agent_of(manager->state, 0, (pid_t)task->pid))
			census_see(manager, (pid_t)task->pid, task);
		return;
	}
	event.fork.pid = (pid_t)task->pid;
	event.fork.ppid = (pid_t)task->ppid;
	event.fork.start_ticks = procfs_ticks_of_ns(task->start_ns);
	event.fork.mark = task->mark;
	event.fork.cgroup_id = task->cgroup_id;
	manager_dispatch(manager, &event);
}

/* Roots first, so that a lineage is known by its own root where that lives. */
static void census_marked(struct manager *manager)
{
	struct census_list list = {0};

	if (bpf_sense_census(manager->bpf, census_collect, &list) < 0)
		manager->counts.actions_failed++;
	for (int roots = 1; roots >= 0; roots--)
		for (size_t i = 0; i < list.n; i++) {
			const struct gov_census_task *task = &list.tasks[i];

			if ((task->pid == task->root_pid) != (roots == 1))
				continue;
			if (task->flags & GOV_RECORD_IN_SLICE)
				census_inside(manager, task);
			else
				census_see(manager, (pid_t)task->pid, task);
		}
	free(list.tasks);
}

static int scan_one(pid_t pid, void *userdata)
{
	census_see(userdata, pid, NULL);
	return 0;
}

/* The exit records of roots may be among those that were lost. */
static void census_roots(struct manager *manager)
{
	size_t n = 0, cursor = 0, size = state_agent_count(manager->state);
	_cleanup_free_ struct event *ended = calloc(size ? size : 1, sizeof(*ended));
	const struct agent *agent;

	while (ended && (agent = state_agent_next(manager->state, &cursor))) {
		uint64_t start_ticks;
		int r;

		if (!agent->has_root)
			continue;
		r = procfs_start_ticks(agent->root_pid, &start_ticks);
		/* Without descriptors nothing is known. */
		if (r == 0 ? start_ticks == agent->root_start_ticks : r != -ESRCH)
			continue;
		ended[n] = (struct event){.kind = EVENT_EXIT};
		ended[n].exit.pid = agent->root_pid;
		ended[n++].exit.start_ticks = agent->root_start_ticks;
	}
	for (size_t i = 0; i < n; i++)
		manager_dispatch(manager, &ended[i]);
}

void manager_census(struct manager *manager)
{
	struct event end = {.kind = EVENT_CENSUS_END};
	bool scans_proc = manager->census_scans_proc;

	manager->census_wanted = false;
	manager->census_scans_proc = false;
	manager->counts.resyncs++;
	manager_drain_ring(manager);
	if (bpf_sense_drain_overflow(manager->bpf, manager_got_record, manager) < 0)
		manager->counts.actions_failed++;
	census_marked(manager);
	if (scans_proc && procfs_scan(scan_one, manager) < 0)
		manager->counts.actions_failed++;
	/* What was sent meanwhile is a part of this census; what was lost meanwhile asks for the next one. */
	manager_read_ring(manager);
	census_roots(manager);
	manager_dispatch(manager, &end);
	manager_count_lost(manager);
}

static int on_census(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	if (manager->census_wanted)
		manager_census(manager);
	return 0;
}

void manager_ask_census(struct manager *manager, const char *reason)
{
	uint64_t now_us = manager_now_ns() / NSEC_PER_USEC, at_us = now_us;

	if (streq(reason, "left")) {
		at_us = MAX2(now_us, manager->left_us + LEFT_EVERY_US);
		manager->left_us = at_us;
	}
	if (!manager->census_wanted || at_us < manager->census_at_us) {
		manager->census_at_us = at_us;
		sd_event_source_set_time(manager->census_source, at_us);
		sd_event_source_set_enabled(manager->census_source, SD_EVENT_ONESHOT);
	}
	manager->census_wanted = true;
	manager->census_scans_proc |= streq(reason, "policies");
}

int manager_open_census(struct manager *manager)
{
	int r = sd_event_add_time(manager->event, &manager->census_source, CLOCK_MONOTONIC, UINT64_MAX, 1, on_census,
				  manager);

	return r < 0 ? r : sd_event_source_set_enabled(manager->census_source, SD_EVENT_OFF);
}
