/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TRACE_H
#define GOV_CORE_TRACE_H

#include "base/idmap.h"
#include "base/text.h"
#include "core/action.h"
#include "core/event.h"

/*
 * What step() was told and what it decided as lines of text, govd.trace(5), so that it can be told again:
 *
 *     SECONDS EVENT NAME=VALUE...
 *     > ACTION AGENT NAME=VALUE...
 *
 * An agent's name in a trace is the pid that its root has begun with, and `.2` and so on when it isn't the first living
 * one of that pid: it says more than a handle, and stays when other policies make other agents.
 */

#define TRACE_VERSION 1
#define TRACE_LINE_MAX                                                                                                 \
	(2U << 20)	   /* bytes, with the NUL: EVENT_ACTIVITY of 4096 agents, of which each has all there is */
#define TRACE_AGENT_MAX 24 /* of an agent's name, with the NUL */

struct state;

struct trace_names {
	struct idmap by_handle; /* -> struct trace_name, owned */
	struct idmap by_name;
	uint64_t last_handle; /* up to which all are known */
};

void trace_names_done(struct trace_names *names);
/* After each step(): agents that are new, and those that are gone. */
void trace_names_learn(struct trace_names *names, const struct state *state);
void trace_names_forget(struct trace_names *names, const struct actions *actions);
/* `gone` for one that isn't known. */
void trace_name_format(const struct trace_names *names, uint64_t handle, char name[static TRACE_AGENT_MAX]);
/* UINT64_MAX, which is no agent's: nobody has this name. */
uint64_t trace_name_find(const struct trace_names *names, const char *name);

/* An event, and the room for what it points to. Large: on the heap. */
struct trace_event;
struct trace_event *trace_event_new(void);
struct trace_event *trace_event_free(struct trace_event *trace_event);
DEFINE_CLEANUP(struct trace_event *, trace_event_free)

/*
 * One line without its newline. 0, or -EINVAL with what is wrong in error. The event is borrowed from trace_event until
 * the next decode. For EVENT_POLICIES the set is to be filled in. ret_is_known: each agent that it names is one.
 */
int trace_decode(const char *line, const struct trace_names *names, struct trace_event *trace_event,
		 struct event **ret_event, bool *ret_is_known) _must_check_;
const char *trace_error(const struct trace_event *trace_event);

/* Whole lines with their newlines, behind what is in text; text->truncated when one doesn't fit. */
void trace_encode(const struct event *event, const struct trace_names *names, struct text *text);
/* Nothing for an action that only looks at something, or comes again for its own sake. */
void trace_encode_action(const struct action *action, const struct trace_names *names, struct text *text);

/* Whether an event comes from outside; else it answers what the core has asked for. */
bool trace_is_external(enum event_kind kind);

/*
 * A process without what is private, and still the same to its policy (NULL: none): of its arguments only what the
 * policy's expressions match stays, each other word becomes `*`; of its variables those that the policy names; of one
 * that is nobody's no strings at all. The strings are borrowed from `from` and from reduced.
 */
struct trace_reduced {
	struct proc proc;
	char args[PROC_ARGS_MAX + 1];
	struct proc_env env[POLICY_PATTERNS_MAX + 1];
};
/* False: what is left doesn't match as before, as an expression looks at more than it matches. */
bool trace_reduce(const struct policy_set *set, const struct policy *policy, const struct proc *from,
		  struct trace_reduced *reduced);
/* Whether it can matter to step() at all: a scan comes across each process of the host. */
bool trace_matters(const struct state *state, const struct event *event);

#endif
