/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/event.h"

static const char *const event_names[EVENT_KINDS] = {
	[EVENT_POLICIES] = "policies",
	[EVENT_EXEC] = "exec",
	[EVENT_FORK] = "fork",
	[EVENT_EXIT] = "exit",
	[EVENT_HOLD] = "hold",
	[EVENT_SEEN] = "seen",
	[EVENT_FOUND] = "found",
	[EVENT_EMPTY] = "empty",
	[EVENT_SAMPLE] = "sample",
	[EVENT_LOST] = "lost",
	[EVENT_CENSUS_END] = "census-end",
	[EVENT_RELEASED] = "released",
	[EVENT_SWEPT] = "swept",
	[EVENT_COMMAND] = "command",
	[EVENT_RESULT] = "result",
	[EVENT_CONNECTS] = "connects",
	[EVENT_CONNECTS_END] = "connects-end",
	[EVENT_SOCKETS] = "sockets",
	[EVENT_OOM] = "oom",
	[EVENT_KILLED] = "killed",
	[EVENT_TOOL_FOUND] = "tool-found",
	[EVENT_TOOL_RESULT] = "tool-result",
	[EVENT_TOOL_EMPTY] = "tool-empty",
	[EVENT_TOOL_SAMPLE] = "tool-sample",
	[EVENT_TOOL_WEIGHED] = "tool-weighed",
	[EVENT_TOOL_LOOKED] = "tool-looked",
	[EVENT_HOST] = "host",
	[EVENT_WEIGHED] = "weighed",
	[EVENT_PRESSURE] = "pressure",
	[EVENT_ENDING] = "ending",
	[EVENT_RESTART] = "restart",
	[EVENT_FREED] = "freed",
	[EVENT_SUSPENDED] = "suspended",
	[EVENT_PAST_KILL] = "past-kill",
	[EVENT_ORPHANED] = "orphaned",
	[EVENT_TRACED] = "traced",
	[EVENT_ACTIVITY] = "activity",
	[EVENT_FANOUT] = "fan-out",
	[EVENT_TICK] = "tick",
};

static const char *const command_names[COMMANDS] = {
	[COMMAND_RUN] = "run",	       [COMMAND_ADOPT] = "adopt",   [COMMAND_TOUCH] = "touch",
	[COMMAND_RELEASE] = "release", [COMMAND_FREEZE] = "freeze", [COMMAND_THAW] = "thaw",
	[COMMAND_STOP] = "stop",       [COMMAND_KILL] = "kill",	    [COMMAND_DRAIN] = "drain",
	[COMMAND_RESUME] = "resume",   [COMMAND_LEASE] = "lease",
};

static const char *const state_names[AGENT_STATES] = {
	[AGENT_STARTING] = "starting", [AGENT_HELD] = "held",	      [AGENT_ACTIVE] = "active", [AGENT_IDLE] = "idle",
	[AGENT_FROZEN] = "frozen",     [AGENT_STOPPING] = "stopping", [AGENT_GONE] = "gone",
};

static const char *const oom_limit_names[OOM_LIMITS] = {
	[OOM_LIMIT_HOST] = "host",
	[OOM_LIMIT_AGENT] = "agent",
	[OOM_LIMIT_TOOL] = "tool",
	[OOM_LIMIT_OTHER] = "other",
};

const char *event_kind_name(enum event_kind kind)
{
	return event_names[kind];
}

const char *command_name(enum command command)
{
	return command_names[command];
}

const char *oom_limit_name(enum oom_limit limit)
{
	return oom_limit_names[limit];
}

const char *agent_state_name(enum agent_state state)
{
	return state_names[state];
}
