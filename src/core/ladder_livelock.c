/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/tool.h"

/* Percent of the time, times 1000: over all looks, and what a single one may show when the agent pauses by itself. */
#define LIVELOCK_MILLI 90000
#define LIVELOCK_LOOK_MILLI 75000
/* In a row. memory.high lets a task sleep for 2 s at a time (MEMCG_MAX_HIGH_DELAY_JIFFIES). */
#define LIVELOCK_LOOKS 3
#define NEAR_HIGH 32	  /* at most 1/32 below memory.high is at it */
#define RELAXED_EIGHTHS 7 /* of memory.high: below that it is in force again */

bool ladder_is_at_high(const struct agent *agent)
{
	uint64_t high = agent->policy->limits.memory_high_bytes, bytes = agent->ladder->view.memory_bytes;

	return high != UNIT_INFINITY && bytes != UINT64_MAX && bytes >= high - high / NEAR_HIGH;
}

/*
 * Above memory.high each allocation sleeps; where nothing can be reclaimed the agent never gets below again nor, by
 * sleeping, up to memory.max, where the kernel would end it. Nobody acts: systemd-oomd does with swap only.
 */
static bool looks_livelocked(const struct agent *agent)
{
	const struct ladder *ladder = agent->ladder;
	const struct pressure_view *view = &ladder->view;
	uint64_t high = agent->policy->limits.memory_high_bytes;

	if (high == UNIT_INFINITY || high >= agent->policy->limits.memory_max_bytes || !view->can_throttle ||
	    ladder->is_lifted || ladder->throttle_bytes || ladder->has_frozen || agent->state == AGENT_FROZEN)
		return false;
	if (!ladder_is_at_high(agent))
		return false;
	if (view->swap_free_bytes == UINT64_MAX || view->swap_free_bytes >= LADDER_NO_SWAP_BYTES)
		return false;
	return ladder->full_milli > LIVELOCK_LOOK_MILLI;
}

/* The kernel decides, at memory.max. */
static const char *raise_high(_unused_ struct state *state, struct agent *agent, struct actions *actions)
{
	/* Without one there is nothing but memory.high that contains it. */
	if (agent->policy->limits.memory_max_bytes == UNIT_INFINITY)
		return "none";
	agent->ladder->is_lifted = true;
	actions_add(actions, ACTION_LIMIT, agent);
	return "raise-high";
}

static const char *end_whole(struct state *state, struct agent *agent, struct actions *actions)
{
	if (agent->policy->protect)
		return raise_high(state, agent, actions);
	agent->stop_rule = "livelock";
	agent->by_uid = INCIDENT_BY_GOVD;
	kill_agent(state, agent, actions);
	ladder_leave(agent, actions);
	return "kill-agent";
}

/* One after the other, as long as it lasts. */
static const char *end_tool(struct state *state, struct agent *agent, struct actions *actions)
{
	return tool_end_grown(agent, "livelock", actions) ? "kill-tool" : end_whole(state, agent, actions);
}

static void resolve_livelock(struct state *state, struct agent *agent, struct actions *actions)
{
	static const char *(*const resolvers[])(struct state *, struct agent *, struct actions *) = {
		[POLICY_OOM_KERNEL] = raise_high,
		[POLICY_OOM_KILL_AGENT] = end_whole,
		[POLICY_OOM_KILL_TOOL] = end_tool,
	};
	const char *action = "none";

	agent->ladder->is_livelock = true;
	agent->ladder->full_looks = 0;
	if (agent->policy->on_pressure != POLICY_PRESSURE_NOTE)
		action = resolvers[agent->policy->limits.on_oom](state, agent, actions);
	record_livelock(state, agent, action, actions);
}

bool livelock_is_suspected(const struct agent *agent)
{
	return agent->ladder->full_looks > 0 && agent->ladder->full_looks < LIVELOCK_LOOKS &&
	       !agent->ladder->is_livelock;
}

bool livelock_watch(struct state *state, struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;

	if (!looks_livelocked(agent)) {
		ladder->full_looks = 0;
		ladder->is_livelock = false;
		return false;
	}
	if (!ladder->full_looks++)
		ladder->full_sum_milli = 0;
	ladder->full_sum_milli += ladder->full_milli;
	if (ladder->full_looks < LIVELOCK_LOOKS || ladder->full_milli <= LIVELOCK_MILLI ||
	    ladder->full_sum_milli <= LIVELOCK_MILLI * (uint64_t)ladder->full_looks)
		return false;
	resolve_livelock(state, agent, actions);
	return true;
}

bool livelock_relax(struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	uint64_t high = agent->policy->limits.memory_high_bytes;

	if (!ladder->is_lifted || ladder->view.memory_bytes == UINT64_MAX ||
	    ladder->view.memory_bytes >= high / 8 * RELAXED_EIGHTHS)
		return false;
	ladder->is_lifted = false;
	actions_add(actions, ACTION_LIMIT, agent);
	return true;
}
