/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include "base/log.h"

/* What comes in from the kernel: records of the ring, the groups, time. */

#define RING_BATCH 256			   /* records between two looks at the other sources */
#define READ_BRIEF_NS (20 * NSEC_PER_MSEC) /* little of GOV_HOLD_DEADLINE_MS */
#define SAMPLE_EVERY_US (30 * 1000000ULL)  /* signs of life; list and show look at once */

/* It was caught by its exec: no watch was there for it. The next of its kind is held. */
static void hold_next_time(struct manager *manager, pid_t pid)
{
	const struct agent *agent = state_agent_of(manager->state, 0, pid);
	const char *path;

	if (!agent || !manager->hold || agent->is_observed || agent->policy->hold != POLICY_HOLD_AUTO)
		return;
	path = *agent->script ? agent->script : agent->exe;
	if (*path == '/' && hold_watch_also(manager->hold, path) < 0)
		manager->counts.actions_failed++;
}

static void got_exec(struct manager *manager, const struct gov_record_exec *record)
{
	struct event event = {.kind = EVENT_EXEC};

	if (procfs_read_record(manager->procfs, record, &event.exec.proc) < 0)
		return;
	manager->handled_mark = MAX2(manager->handled_mark, record->head.mark);
	event.exec.proc.mark = record->head.mark;
	event.exec.parent_mark = record->parent_mark;
	manager_dispatch(manager, &event);
	hold_next_time(manager, (pid_t)record->head.pid);
}

void manager_got_record(const struct gov_record_head *head, void *userdata)
{
	struct manager *manager = userdata;
	struct event event;

	manager->counts.records++;
	switch (head->kind) {
	case GOV_RECORD_EXEC:
		got_exec(manager, (const struct gov_record_exec *)head);
		return;
	case GOV_RECORD_FORK:
		event = (struct event){.kind = EVENT_FORK};
		event.fork.pid = (pid_t)head->pid;
		event.fork.ppid = (pid_t)head->ppid;
		event.fork.start_ticks = procfs_ticks_of_ns(head->start_ns);
		event.fork.mark = head->mark;
		event.fork.cgroup_id = head->cgroup_id;
		event.fork.tool = ((const struct gov_record_fork *)head)->tool;
		break;
	case GOV_RECORD_EXIT:
		event = (struct event){.kind = EVENT_EXIT};
		event.exit.pid = (pid_t)head->pid;
		event.exit.start_ticks = procfs_ticks_of_ns(head->start_ns);
		event.exit.exit_code = ((const struct gov_record_exit *)head)->exit_code;
		event.exit.has_code = true;
		event.exit.cgroup_id = head->cgroup_id;
		break;
	case GOV_RECORD_CONNECT:
		connects_got_record(manager, (const struct gov_record_connect *)head);
		return;
	case GOV_RECORD_FANOUT:
		fanout_got_record(manager, (const struct gov_record_fanout *)head);
		return;
	case GOV_RECORD_OOM:
		oom_got_record(manager, (const struct gov_record_oom *)head);
		return;
	case GOV_RECORD_KILL:
		oom_got_kill(manager, (const struct gov_record_kill *)head);
		return;
	default:
		return;
	}
	manager_dispatch(manager, &event);
}

static void read_ring_until(struct manager *manager, uint64_t end_ns)
{
	int r;

	do
		r = bpf_sense_read(manager->bpf, RING_BATCH, manager_got_record, manager);
	while (r == RING_BATCH && manager_now_ns() < end_ns);
	if (r < 0)
		manager->counts.actions_failed++;
}

void manager_read_ring(struct manager *manager)
{
	read_ring_until(manager, UINT64_MAX);
}

void manager_read_ring_briefly(struct manager *manager)
{
	read_ring_until(manager, manager_now_ns() + READ_BRIEF_NS);
}

void manager_drain_ring(struct manager *manager)
{
	manager_read_ring(manager);
	manager_count_lost(manager);
}

/*
 * The ring was empty: who carries a mark from before is in the group where it belongs. Those of the time before, not of
 * now, as two processors' records may be swapped, and what was forked during a move is told of a moment later. Nor
 * those of agents that are being placed, which takes systemd some time.
 */
static void settle_marks(struct manager *manager)
{
	/* What is missing is looked for by its mark. */
	if (manager->census_wanted)
		return;
	if (bpf_sense_settle(manager->bpf, state_settled(manager->state, manager->drained_mark)) < 0)
		manager->counts.actions_failed++;
	manager->drained_mark = manager->handled_mark;
}

static int on_ring(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;
	int r = bpf_sense_read(manager->bpf, RING_BATCH, manager_got_record, manager);

	if (r < 0)
		manager->counts.actions_failed++;
	manager_count_lost(manager);
	if (r < RING_BATCH)
		settle_marks(manager);
	return 0;
}

/* ---- the groups ---- */

static void group_done(const struct event *result, void *userdata)
{
	struct event event = *result;

	manager_dispatch(userdata, &event);
}

static void group_empty(uint64_t agent, void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_EMPTY};

	/* What the lineage did before it ended comes first. */
	if (!manager->is_dispatching)
		manager_drain_ring(manager);
	event.empty.agent = agent;
	manager_dispatch(manager, &event);
}

static void group_found(const struct group_found *found, void *userdata)
{
	struct event event = {.kind = EVENT_FOUND};
	struct manager *manager = userdata;
	const struct agent *agent;

	event.found.agent = found->saved;
	event.found.policy = found->policy;
	event.found.restart_id = found->restart_id;
	event.found.is_populated = found->is_populated;
	event.found.is_frozen = found->is_frozen;
	event.found.is_frozen_briefly = found->is_frozen_briefly;
	event.found.root_lives = found->root_lives;
	manager_dispatch(manager, &event);
	agent = state_agent_of(manager->state, found->saved->cgroup_id, 0);
	if (agent && groups_bind(manager->groups, agent) < 0)
		manager->counts.actions_failed++;
	if (agent)
		tools_found(manager, agent);
}

/* What is attached to the one that has gone is gone, too. */
static void group_slice(void *userdata)
{
	struct manager *manager = userdata;

	log_info("%s has been stopped, and started again: agents go there from now on", manager->options.slice);
	if (connects_set_config(manager, manager->connects.watch_strangers) < 0)
		manager->counts.actions_failed++;
	manager->connects.is_attached = false;
	connects_wake(manager);
	pressure_watch_slice(manager);
}

static int on_groups(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;

	if (groups_dispatch(manager->groups) < 0)
		manager->counts.actions_failed++;
	return 0;
}

/* ---- time ---- */

/* Of all whom the tick may end. Returns the time up to which those are known that are due. */
static uint64_t look_for_debuggers(struct manager *manager)
{
	struct event event = {.kind = EVENT_TRACED};
	uint64_t now_ns = manager_now_ns();
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = state_endangered_next(manager->state, now_ns, &cursor))) {
		event.traced.agent = agent->handle;
		event.traced.tracer_pid = groups_debugger(manager->groups, agent->handle);
		manager_dispatch(manager, &event);
	}
	return now_ns;
}

static int on_tick(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_TICK, .tick.slice_bytes = groups_slice_bytes(manager->groups)};

	/* Who has ended by now doesn't take anybody's place, and needn't be ended. */
	manager_read_ring(manager);
	event.tick.looked_ns = look_for_debuggers(manager);
	manager_dispatch(manager, &event);
	return 0;
}

void manager_sample(struct manager *manager)
{
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = state_agent_next(manager->state, &cursor))) {
		struct event event = {.kind = EVENT_SAMPLE};

		if (!agent->is_placed || groups_cpu_ns(manager->groups, agent->handle, &event.sample.cpu_ns) < 0)
			continue;
		event.sample.agent = agent->handle;
		event.sample.memory_bytes = groups_memory_bytes(manager->groups, agent->handle);
		event.sample.anon_bytes = UINT64_MAX;
		manager_dispatch(manager, &event);
	}
}

static int on_sample(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	manager_sample(manager);
	sd_event_source_set_time(source, usec + SAMPLE_EVERY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int open_backend(struct manager *manager, const struct group_events *events, char *words, size_t size)
{
	const struct manager_options *options = &manager->options;
	bool is_systemd = streq(options->backend, "systemd");
	char why[256] = "--backend";
	int r;

	if (streq(options->backend, "auto")) {
		r = groups_choose_backend(&is_systemd, why, sizeof(why));
		if (r < 0) {
			snprintf(words, size, "%s", why);
			return r;
		}
	}
	r = is_systemd ? groups_new_systemd(options->slice, events, &manager->groups, words, size)
		       : groups_new_native(options->slice, events, &manager->groups, words, size);
	if (r >= 0)
		log_info("%s backend: %s", groups_backend(manager->groups), why);
	return r;
}

static int open_groups(struct manager *manager)
{
	static const struct group_events handlers = {.done = group_done,
						     .empty = group_empty,
						     .slice = group_slice,
						     .found = group_found,
						     .tool_empty = tools_empty};
	struct group_events events = handlers;
	char why[256] = "";
	int r;

	events.userdata = manager;
	r = open_backend(manager, &events, why, sizeof(why));
	if (r < 0)
		log_err("can't make the slice %s: %s (%s)", manager->options.slice, *why ? why : strerror(-r),
			strerror(-r));
	else if (*why)
		log_warning("%s", why);
	if (r < 0)
		return r;
	r = groups_remember(manager->groups, manager->options.runtime_dir);
	if (r < 0)
		log_warning(
			"can't keep in %s whose scope is whose (%s): agents that begin or end while there is no govd "
			"may be missed",
			manager->options.runtime_dir, strerror(-r));
	return 0;
}

static int open_bpf(struct manager *manager)
{
	struct bpf_sense_options options = {.ring_bytes = manager->options.ring_bytes,
					    .pin_dir = manager->connects.pins};
	char why[512] = "";
	int r;

	r = connects_find_pins(manager);
	if (r < 0) {
		log_warning("can't make %s (%s): connects are paced only while govd runs", manager->connects.base,
			    strerror(-r));
		options.pin_dir = NULL;
	}
	r = bpf_sense_new(&options, &manager->bpf, why, sizeof(why));
	if (r < 0) {
		log_err("can't load the BPF programs: %s (%s); `govctl doctor` tells more", strerror(-r), why);
		return r;
	}
	if (*why)
		log_warning("connect pacing: %s", why);
	r = connects_set_config(manager, false);
	if (r < 0) {
		log_err("can't set up the BPF programs: %s", strerror(-r));
		return r;
	}
	connects_attach(manager);
	r = connects_open(manager);
	return r < 0 ? r : sockets_open(manager);
}

int manager_open_sensors(struct manager *manager)
{
	sd_event_source *source = NULL;
	uint64_t now_us = manager_now_ns() / NSEC_PER_USEC;
	int r;

	r = open_groups(manager);
	if (r < 0)
		return r;
	r = open_bpf(manager);
	if (r < 0)
		return r;
	r = procfs_new(groups_v2_root(manager->groups), &manager->procfs);
	if (r < 0)
		return r;
	procfs_set_slice(manager->procfs, groups_slice_path(manager->groups));
	r = sd_event_add_io(manager->event, &source, bpf_sense_ring_fd(manager->bpf), EPOLLIN, on_ring, manager);
	if (r < 0)
		return r;
	sd_event_source_set_floating(source, true);
	sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
	sd_event_source_unref(source);
	r = sd_event_add_io(manager->event, NULL, groups_fd(manager->groups), EPOLLIN, on_groups, manager);
	if (r < 0)
		return r;
	r = manager_open_pressure(manager);
	if (r < 0)
		return r;
	r = manager_open_census(manager);
	if (r < 0)
		return r;
	r = emergency_open(manager);
	if (r < 0)
		return r;
	r = sd_event_add_time(manager->event, &manager->tick_source, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_tick,
			      manager);
	if (r < 0)
		return r;
	sd_event_source_set_enabled(manager->tick_source, SD_EVENT_OFF);
	return sd_event_add_time(manager->event, NULL, CLOCK_MONOTONIC, now_us + SAMPLE_EVERY_US, 1000000, on_sample,
				 manager);
}
