/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <malloc.h>

#include "base/log.h"
#include "base/text.h"

/* event -> step() -> actions -> act -> record, one event at a time. */

#define RECORD_AFTER_US UINT64_C(1000000)
#define BURST_MIN 64 /* actions of a step, or events that wait: more are rare */

void manager_enqueue(struct manager *manager, const struct event *event)
{
	struct queued_event *queued;

	if (manager->queue_n == manager->queue_size) {
		size_t size = manager->queue_size ? manager->queue_size * 2 : 16;
		struct queued_event *queue = calloc(size, sizeof(*queue));

		if (!queue) {
			manager->counts.actions_failed++;
			return;
		}
		for (size_t i = 0; i < manager->queue_n; i++)
			queue[i] = manager->queue[(manager->queue_head + i) % manager->queue_size];
		free(manager->queue);
		manager->queue = queue;
		manager->queue_size = size;
		manager->queue_head = 0;
	}
	queued = &manager->queue[(manager->queue_head + manager->queue_n++) % manager->queue_size];
	queued->event = *event;
	if (event->kind == EVENT_RESULT) {
		text_copy(queued->cgroup, sizeof(queued->cgroup), event->result.cgroup);
		text_copy(queued->origin, sizeof(queued->origin), event->result.origin);
	}
	if (event->kind == EVENT_CONNECTS)
		text_copy(queued->cgroup, sizeof(queued->cgroup), event->connects.exe);
}

/* What people may see of an event; the flood of forks, samples and ticks stays out. */
static void journal_event(struct manager *manager, const struct event *event)
{
	const struct agent *agent = NULL;
	struct journal_line *line;
	pid_t pid = 0;

	switch (event->kind) {
	case EVENT_EXEC:
		pid = event->exec.proc.pid;
		agent = state_agent_of(manager->state, event->exec.proc.cgroup_id, pid);
		break;
	case EVENT_HOLD:
		pid = event->hold.proc.pid;
		agent = state_agent_of(manager->state, event->hold.proc.cgroup_id, pid);
		break;
	case EVENT_EXIT:
		pid = event->exit.pid;
		agent = state_agent_of(manager->state, 0, pid);
		break;
	case EVENT_LOST:
	case EVENT_POLICIES:
		break;
	default:
		return;
	}
	line = journal_add(&manager->journal);
	line->time_ms = manager_realtime_ms();
	line->event = event_kind_name(event->kind);
	line->pid = pid;
	if (agent) {
		text_copy(line->agent, sizeof(line->agent), agent->id);
		text_copy(line->policy, sizeof(line->policy), agent->policy->name);
		text_copy(line->key, sizeof(line->key), agent->key);
	}
	bus_publish(manager->bus, line);
}

static void manager_step(struct manager *manager, struct event *event)
{
	event->time_ns = manager_now_ns();
	journal_event(manager, event);
	if (manager->tracer)
		tracer_event(manager->tracer, manager->state, event);
	step(manager->state, event, &manager->actions);
	emergency_keep(manager);
	if (manager->tracer)
		tracer_actions(manager->tracer, manager->state, &manager->actions);
	for (size_t i = 0; i < manager->actions.n; i++)
		manager_perform(manager, &manager->actions.items[i]);
}

/* After a burst, as a reload with many agents is, what it took is given back. */
static void manager_trim(struct manager *manager)
{
	uint64_t dropped = manager->actions.dropped;
	bool was_burst = manager->actions.size > BURST_MIN || manager->queue_size > BURST_MIN;

	connects_forget_troubled(manager);
	if (manager->actions.size > BURST_MIN) {
		actions_done(&manager->actions);
		manager->actions.dropped = dropped;
	}
	if (manager->queue_size > BURST_MIN) {
		free(manager->queue);
		manager->queue = NULL;
		manager->queue_size = manager->queue_head = 0;
	}
	if (was_burst)
		malloc_trim(0);
}

static int on_record(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	tracer_flush(manager->tracer);
	return 0;
}

/* What is recorded is on disk soon, also when nothing happens any more. */
static void manager_write_trace(struct manager *manager)
{
	if (manager->tracer && tracer_is_waiting(manager->tracer))
		manager_call_after(manager, &manager->tracer_source, RECORD_AFTER_US, on_record);
}

void manager_dispatch(struct manager *manager, struct event *event)
{
	/* Actions that are being performed may report at once: their events wait for their turn. */
	if (manager->is_dispatching) {
		manager_enqueue(manager, event);
		return;
	}
	manager->is_dispatching = true;
	manager_step(manager, event);
	while (manager->queue_n) {
		struct queued_event *queued = &manager->queue[manager->queue_head];
		struct queued_event now = *queued;

		manager->queue_head = (manager->queue_head + 1) % manager->queue_size;
		manager->queue_n--;
		if (now.event.kind == EVENT_RESULT) {
			now.event.result.cgroup = now.cgroup;
			now.event.result.origin = now.origin;
		}
		if (now.event.kind == EVENT_CONNECTS)
			now.event.connects.exe = now.cgroup;
		manager_step(manager, &now.event);
	}
	manager->is_dispatching = false;
	manager_trim(manager);
	restarts_check(manager);
	drain_check(manager);
	manager_write_trace(manager);
}

void manager_count_lost(struct manager *manager)
{
	struct gov_count counts[GOV_RECORD_KINDS];
	struct event event = {.kind = EVENT_LOST};
	uint64_t lost[GOV_RECORD_KINDS], sum = 0;

	if (bpf_sense_counts(manager->bpf, counts) < 0)
		return;
	for (size_t i = 0; i < GOV_RECORD_KINDS; i++) {
		lost[i] = counts[i].lost - manager->seen_counts[i].lost;
		sum += lost[i];
		manager->seen_counts[i] = counts[i];
	}
	manager->counts.lost += sum;
	/* Of connects only hints are lost: where they would have pointed to can be looked at. */
	if (lost[GOV_RECORD_CONNECT])
		connects_lost(manager);
	/* Nor can a look make up for deaths that weren't told. */
	if (!lost[GOV_RECORD_EXEC] && !lost[GOV_RECORD_FORK] && !lost[GOV_RECORD_EXIT])
		return;
	event.lost.execs = lost[GOV_RECORD_EXEC];
	event.lost.forks = lost[GOV_RECORD_FORK];
	event.lost.exits = lost[GOV_RECORD_EXIT];
	manager_dispatch(manager, &event);
}
