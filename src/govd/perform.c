/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/pidfd.h>

#include "base/log.h"
#include "base/text.h"

/* One action of the core: to whom it goes. */

#define RELEASED_MAX 4096 /* processes of one agent that are remembered as released */

static void perform_group(struct manager *manager, const struct action *action)
{
	int r = groups_act(manager->groups, action);

	if (r < 0 && r != -ESRCH) {
		log_debug("%s of agent %s failed: %s", action_kind_name(action->kind),
			  action->agent ? action->agent->id : "-", strerror(-r));
	}
}

static void perform_release(struct manager *manager, const struct action *action)
{
	_cleanup_free_ pid_t *pids = calloc(RELEASED_MAX, sizeof(*pids));
	struct event event = {.kind = EVENT_RELEASED};
	ssize_t n = pids ? groups_pids(manager->groups, action->agent->handle, pids, RELEASED_MAX) : 0;

	event.released.agent = action->agent->handle;
	for (ssize_t i = 0; i < MIN2(n, (ssize_t)RELEASED_MAX); i++) {
		event.released.pid = pids[i];
		if (procfs_start_ticks(pids[i], &event.released.start_ticks) == 0)
			manager_enqueue(manager, &event);
	}
	perform_group(manager, action);
}

static void perform_mark(struct manager *manager, const struct action *action)
{
	_cleanup_close_ int pidfd = pidfd_open(action->process.pid, 0);
	struct gov_mark mark;
	uint64_t start_ticks;
	int r;

	if (pidfd < 0 || procfs_start_ticks(action->process.pid, &start_ticks) < 0 ||
	    start_ticks != action->process.start_ticks)
		return;
	if (action->process.mark)
		mark = (struct gov_mark){.id = action->process.mark,
					 .root_pid = (uint32_t)action->process.pid,
					 .flags = action->process.has_tools ? GOV_MARK_TOOLS : 0};
	else if (bpf_sense_get_mark(manager->bpf, pidfd, &mark) < 0)
		return;
	else if (!action->process.is_quiet)
		mark = (struct gov_mark){0};
	if (action->process.is_quiet)
		mark.flags |= GOV_MARK_QUIET;
	r = bpf_sense_set_mark(manager->bpf, pidfd, &mark);
	/* ESRCH: ended meanwhile, as processes do. */
	if (r < 0 && r != -ESRCH)
		manager->counts.actions_failed++;
}

static void perform_hold_answer(struct manager *manager, const struct action *action)
{
	if (manager->hold)
		hold_answer(manager->hold, action->hold.token, action->hold.is_refused ? EPERM : 0);
}

static void perform_reply(struct manager *manager, const struct action *action)
{
	bus_reply(manager->bus, action->reply.request, action);
}

static void perform_record(struct manager *manager, const struct action *action)
{
	const struct incident *incident = &action->incident;
	uint64_t now_ms = manager_realtime_ms();
	struct journal_line *line;

	recorder_add(manager->recorder, now_ms, incident);
	line = journal_add(&manager->journal);
	line->time_ms = now_ms;
	line->event = incident_kind_name(incident->kind);
	text_copy(line->agent, sizeof(line->agent), incident->agent);
	text_copy(line->policy, sizeof(line->policy), incident->policy);
	text_copy(line->key, sizeof(line->key), incident->key);
	line->pid = action->agent ? action->agent->root_pid : 0;
	line->action = incident->action;
	line->result = incident->result;
	bus_publish(manager->bus, line);
	log_debug("%s %s %s %s", incident_kind_name(incident->kind), incident->agent, incident->action,
		  incident->result);
}

static void perform_pace(struct manager *manager, const struct action *action)
{
	connects_pace(manager, action);
	fanout_pace(manager, action->agent);
}

static void perform_unpace(struct manager *manager, const struct action *action)
{
	connects_unpace(manager, action);
	fanout_forget(manager, action->agent);
}

static void perform_forget(struct manager *manager, const struct action *action)
{
	perform_unpace(manager, action);
	pressure_forget(manager, action->agent);
	parents_forget(manager, action->agent->handle);
	perform_group(manager, action);
}

static void perform_sweep(struct manager *manager, const struct action *action)
{
	manager_sweep(manager, action->agent);
}

static void perform_census(struct manager *manager, const struct action *action)
{
	manager_ask_census(manager, action->reason);
}

static void perform_sample(struct manager *manager, const struct action *action)
{
	uint64_t agent = action->agent->handle;
	struct event event = {.kind = EVENT_SAMPLE};

	event.sample.agent = agent;
	event.sample.cpu_ns = UINT64_MAX;
	event.sample.memory_bytes = groups_memory_bytes(manager->groups, agent);
	event.sample.anon_bytes = action->wants_anon ? groups_anon_bytes(manager->groups, agent) : UINT64_MAX;
	event.sample.has_read = action->wants_anon;
	manager_enqueue(manager, &event);
}

static void perform_timer(struct manager *manager, const struct action *action)
{
	uint64_t at_us = action->time_ns / NSEC_PER_USEC + 1;

	if (action->time_ns == UINT64_MAX) {
		sd_event_source_set_enabled(manager->tick_source, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(manager->tick_source, at_us);
	sd_event_source_set_enabled(manager->tick_source, SD_EVENT_ONESHOT);
}

void manager_perform(struct manager *manager, const struct action *action)
{
	static void (*const performers[ACTION_KINDS])(struct manager *, const struct action *) = {
		[ACTION_PLACE] = perform_group,	     [ACTION_MOVE] = perform_group,
		[ACTION_EVICT] = perform_group,	     [ACTION_LIMIT] = perform_group,
		[ACTION_MARK] = perform_mark,	     [ACTION_RELEASE] = perform_release,
		[ACTION_FREEZE] = perform_group,     [ACTION_THAW] = perform_group,
		[ACTION_SIGNAL] = perform_group,     [ACTION_SIGNAL_ALL] = perform_group,
		[ACTION_KILL] = perform_group,	     [ACTION_REMOVE] = perform_group,
		[ACTION_REPLY] = perform_reply,	     [ACTION_HOLD_ANSWER] = perform_hold_answer,
		[ACTION_SWEEP] = perform_sweep,	     [ACTION_RECORD] = perform_record,
		[ACTION_TIMER] = perform_timer,	     [ACTION_CENSUS] = perform_census,
		[ACTION_PACE] = perform_pace,	     [ACTION_UNPACE] = perform_unpace,
		[ACTION_LOOK] = connects_look,	     [ACTION_FORGET] = perform_forget,
		[ACTION_TOOL_PLACE] = perform_group, [ACTION_TOOL_SIGNAL] = perform_group,
		[ACTION_TOOL_KILL] = perform_group,  [ACTION_TOOL_REMOVE] = perform_group,
		[ACTION_TOOL_WEIGH] = tools_weigh,   [ACTION_TOOL_LOOK] = tools_look_at,
		[ACTION_SAMPLE] = perform_sample,    [ACTION_WATCH] = pressure_watch,
		[ACTION_PRESSURE] = pressure_look,   [ACTION_RECLAIM] = perform_group,
		[ACTION_WEIGH] = emergency_weigh,    [ACTION_WATCH_PARENT] = parents_watch,
		[ACTION_SAVE] = perform_group,	     [ACTION_ACTIVITY] = activity_look,
	};

	performers[action->kind](manager, action);
}
