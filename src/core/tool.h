/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TOOL_H
#define GOV_CORE_TOOL_H

#include "core/event.h"

/*
 * Tools: what an agent's root has started as a command, each subtree in a child group of the agent's own, when the
 * policy asks for it. A child of the root begins one; what it forks is a part of it wherever it goes.
 */

#define TOOLS_MAX 64 /* of one agent; what is beyond stays with the root */

enum tool_state {
	TOOL_PLACING,
	TOOL_ACTIVE,
	TOOL_STOPPING,
	TOOL_GONE, /* its group is being removed */
};

struct tool {
	struct tool_id id;
	enum tool_state state;
	uint64_t number;	   /* the kernel's, struct gov_mark.tool; 0: not known */
	uint64_t cgroup_id;	   /* of its v2 group */
	uint64_t memory_id;	   /* of its group of the memory controller; 0: none */
	uint64_t since_ns;	   /* CLOCK_MONOTONIC */
	uint64_t deadline_ns;	   /* of its runtime, or of what ends it; 0: none */
	uint64_t memory_bytes;	   /* as last weighed; UINT64_MAX: not known */
	unsigned tries;		   /* kills */
	const char *rule;	   /* static: why it is ended; NULL: it isn't */
	enum incident_kind ending; /* told with that at its end; INCIDENT_OOM is told at once */
	int32_t exit_code;	   /* of its first process, as wait(2) has it */
	bool has_exit_code;
	char name[TOOL_NAME_SIZE]; /* of its first process, when it was acted on last; "" not yet */
};

struct tools {
	struct tool *items; /* owned; an address is good until the next one is added */
	size_t n, size;
	uint64_t missed;	/* beyond TOOLS_MAX, since the agent began */
	unsigned looks;		/* in a row that came across new ones */
	const char *grown_rule; /* static: the one that has grown most is to be ended; NULL: none */
};

/* NULL-safe. */
void tools_free(struct tools *tools);

/* Whether its tools are put into groups: as its policy says, and where its own group is in the slice. */
bool agent_has_tools(const struct agent *agent);

/* Borrowed until the next step(). NULL: none. */
struct tool *tool_find(const struct agent *agent, const struct tool_id *id);
struct tool *tool_of_group(const struct agent *agent, uint64_t cgroup_id);
struct tool *tool_by_number(const struct agent *agent, uint64_t number);

/* ---- for the parts of step() ---- */

struct state;
struct actions;

/* Its root's children are tools from now on, and those that it has are looked for: after placing, or by a new policy.
 */
void tools_begin(struct state *state, struct agent *agent, struct actions *actions);
/* Asks for a look at who is with the root: each is a tool, or a part of one. */
void tools_look(const struct agent *agent, struct actions *actions);
/* tools.max_runtime has changed. */
void tools_set_deadlines(struct state *state, struct agent *agent, struct actions *actions);
/* Does what is due; returns when to come again, UINT64_MAX: never. */
uint64_t tools_tick(struct state *state, struct agent *agent, struct actions *actions);
/* A birth; false: it has nothing to do with tools. */
bool tool_forked(struct state *state, const struct event *event, struct actions *actions);
void tool_exited(struct state *state, const struct event *event);
/* Ends what is left of it at once. */
void tool_kill(struct state *state, const struct agent *agent, struct tool *tool, struct actions *actions);

/*
 * Ends the tool of the agent that has grown most since it began, as rule (static) wants it; it is told as an incident
 * `pressure` with that rule when it has ended. True also while the last one that was chosen is still ending; false: the
 * agent has no tool to end.
 */
bool tool_end_grown(struct agent *agent, const char *rule, struct actions *actions);

void step_tool_found(struct state *state, const struct event *event, struct actions *actions);
void step_tool_result(struct state *state, const struct event *event, struct actions *actions);
void step_tool_empty(struct state *state, const struct event *event, struct actions *actions);
void step_tool_sample(struct state *state, const struct event *event, struct actions *actions);
void step_tool_weighed(struct state *state, const struct event *event, struct actions *actions);
void step_tool_looked(struct state *state, const struct event *event, struct actions *actions);

#endif
