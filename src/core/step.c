/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/step.h"

#include "core/state.h"
#include "core/tool.h"

void step(struct state *state, const struct event *event, struct actions *actions)
{
	static void (*const steps[EVENT_KINDS])(struct state *, const struct event *, struct actions *) = {
		[EVENT_POLICIES] = step_policies,
		[EVENT_EXEC] = step_exec,
		[EVENT_FORK] = step_fork,
		[EVENT_EXIT] = step_exit,
		[EVENT_HOLD] = step_hold,
		[EVENT_SEEN] = step_seen,
		[EVENT_FOUND] = step_found,
		[EVENT_EMPTY] = step_empty,
		[EVENT_SAMPLE] = step_sample,
		[EVENT_LOST] = step_lost,
		[EVENT_RELEASED] = step_released,
		[EVENT_CENSUS_END] = step_census_end,
		[EVENT_SWEPT] = step_swept,
		[EVENT_COMMAND] = step_command,
		[EVENT_RESULT] = step_result,
		[EVENT_TICK] = step_tick,
		[EVENT_CONNECTS] = step_connects,
		[EVENT_CONNECTS_END] = step_connects_end,
		[EVENT_SOCKETS] = step_sockets,
		[EVENT_OOM] = step_oom,
		[EVENT_KILLED] = step_killed,
		[EVENT_TOOL_FOUND] = step_tool_found,
		[EVENT_TOOL_RESULT] = step_tool_result,
		[EVENT_TOOL_EMPTY] = step_tool_empty,
		[EVENT_TOOL_SAMPLE] = step_tool_sample,
		[EVENT_TOOL_WEIGHED] = step_tool_weighed,
		[EVENT_TOOL_LOOKED] = step_tool_looked,
		[EVENT_HOST] = step_host,
		[EVENT_WEIGHED] = step_weighed,
		[EVENT_PRESSURE] = step_pressure,
		[EVENT_ENDING] = step_ending,
		[EVENT_RESTART] = step_restart,
		[EVENT_FREED] = step_freed,
		[EVENT_SUSPENDED] = step_suspended,
		[EVENT_PAST_KILL] = step_past_kill,
		[EVENT_ORPHANED] = step_orphaned,
		[EVENT_FANOUT] = step_fanout,
		[EVENT_TRACED] = step_traced,
		[EVENT_ACTIVITY] = step_activity,
	};

	actions->n = 0;
	state_free_ended(state);
	/* A clock that went back can't shorten a wait. */
	if (event->time_ns > state->now_ns)
		state->now_ns = event->time_ns;
	/* An idle host has only these, and they bring no law forward. */
	if (event->kind != EVENT_TICK && event->kind != EVENT_HOST)
		state->laws_ns = 0;
	steps[event->kind](state, event, actions);
}
