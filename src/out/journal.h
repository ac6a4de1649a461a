/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_JOURNAL_H
#define GOV_OUT_JOURNAL_H

#include "core/incident.h"

/* The recent events, in memory, for `govctl events`: a ring of JOURNAL_LINES. */

#define JOURNAL_LINES 512
#define JOURNAL_FACTS_MAX 12

struct journal_line {
	uint64_t time_ms;  /* CLOCK_REALTIME */
	const char *event; /* static: exec, fork, hold, placed, ... */
	char agent[AGENT_ID_SIZE];
	char policy[POLICY_NAME_MAX];
	char key[POLICY_KEY_MAX];
	pid_t pid;	    /* 0: none */
	const char *action; /* static */
	const char *result; /* static */
};

struct journal {
	struct journal_line *lines; /* JOURNAL_LINES of them */
	uint64_t n;		    /* ever added */
};

int journal_init(struct journal *journal) _must_check_;
void journal_done(struct journal *journal);
/* The new line, zeroed, overwriting the oldest. */
struct journal_line *journal_add(struct journal *journal);
/* i counts from 0, the oldest kept; NULL at the end. */
const struct journal_line *journal_get(const struct journal *journal, size_t i);

#endif
