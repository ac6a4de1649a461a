/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* What the ladder is to others. */

static const char *const rung_names[LADDER_RUNGS] = {
	[LADDER_REST] = "rest", [LADDER_NOTE] = "note",	    [LADDER_RECLAIM] = "reclaim",
	[LADDER_HIGH] = "high", [LADDER_FREEZE] = "freeze", [LADDER_STOP] = "stop",
};

const char *ladder_rung_name(enum ladder_rung rung)
{
	return rung_names[rung];
}

const struct ladder *ladder_of(const struct agent *agent)
{
	static const struct ladder at_rest;

	return agent->ladder ? agent->ladder : &at_rest;
}

void ladder_limits(const struct agent *agent, struct policy_limits *ret_limits)
{
	const struct ladder *ladder = ladder_of(agent);

	*ret_limits = agent->policy->limits;
	if (ladder->is_lifted)
		ret_limits->memory_high_bytes = UNIT_INFINITY;
	if (ladder->throttle_bytes)
		ret_limits->memory_high_bytes = MIN2(ret_limits->memory_high_bytes, ladder->throttle_bytes);
}

/* What the host is short of isn't theirs to answer for, and each watch costs a kernel thread, psimon. */
bool ladder_is_limited(const struct policy *policy)
{
	return policy->limits.memory_high_bytes != UNIT_INFINITY || policy->limits.memory_max_bytes != UNIT_INFINITY;
}

enum ladder_rung ladder_top(const struct agent *agent)
{
	static const enum ladder_rung tops[] = {
		[POLICY_PRESSURE_NOTE] = LADDER_NOTE, [POLICY_PRESSURE_RECLAIM] = LADDER_RECLAIM,
		[POLICY_PRESSURE_HIGH] = LADDER_HIGH, [POLICY_PRESSURE_FREEZE] = LADDER_FREEZE,
		[POLICY_PRESSURE_STOP] = LADDER_STOP,
	};
	enum ladder_rung top = tops[agent->policy->on_pressure];

	return top == LADDER_STOP && agent->policy->protect ? LADDER_FREEZE : top;
}
