/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_REPLAY_H
#define GOV_CORE_REPLAY_H

#include "core/step.h"
#include "core/trace.h"

/*
 * A trace line by line through step().
 *
 * As recorded: all events as they were, under the policies that the trace holds; the decisions are the recorded ones if
 * step() is as it was. Under other policies: what the world would then have been like isn't known, so these only
 * observe. Of the events those count that came from outside; what was an answer to the recorded decisions is left out,
 * and time is the replay's own.
 */

struct replay_calls {
	/* A policy of the trace, or (name NULL) the host's configuration, as YAML. -EINVAL: told by it. */
	int (*policy)(const char *name, const char *yaml, void *userdata);
	/* The set that is in force from now on: a reference for the caller. */
	int (*policies)(struct policy_set **ret_set, void *userdata);
	/* After each event; actions in order, borrowed. */
	void (*stepped)(const struct state *state, uint64_t time_ns, const struct actions *actions, void *userdata);
	/* The decisions upon the event of this line aren't those that stand below it: both as lines. May be NULL. */
	void (*differs)(size_t line, const char *event, const char *wanted, const char *got, void *userdata);
	void *userdata;
};

struct replay_counts {
	size_t events, skipped; /* skipped: of agents that there aren't, or answers, under other policies */
	size_t decisions, differences;
};

struct replay;

/* others: under other policies than the trace's, which the call `policies` gives. */
int replay_new(const struct replay_calls *calls, bool others, struct replay **ret_replay) _must_check_;
struct replay *replay_free(struct replay *replay);
DEFINE_CLEANUP(struct replay *, replay_free)

/* Without its newline. 0, -ENOMEM, or -EINVAL: replay_error() says what is wrong. */
int replay_line(struct replay *replay, const char *line) _must_check_;
/* After the last line. */
int replay_end(struct replay *replay) _must_check_;
const char *replay_error(const struct replay *replay);
const struct trace_names *replay_names(const struct replay *replay);
void replay_count(const struct replay *replay, struct replay_counts *ret_counts);

#endif
