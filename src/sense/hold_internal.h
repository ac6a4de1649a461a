/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_HOLD_INTERNAL_H
#define GOV_SENSE_HOLD_INTERNAL_H

#include "sense/hold.h"

/* ---- hold_watch.c: which paths govd-hold is told to watch ---- */

/* A path for GOV_HOLD_WATCH. */
struct hold_watch {
	char *path;
	bool is_exec;
};

struct hold_watches {
	struct hold_watch *watches; /* HOLD_WATCHES_MAX */
	size_t n;
	int error; /* of expanding, positive */
};

/* A policy's pattern whose directory has wildcards; kept to know what hold_watch_also's path is for. */
struct hold_pattern {
	char *glob;
	bool is_exec;
};

struct hold_patterns {
	struct hold_pattern *patterns;
	size_t n;
};

/* Can it be watched at all? It has a literal directory, be it only the head. */
bool hold_pattern_is_watchable(const char *glob);
void hold_watches_done(struct hold_watches *watches);
void hold_patterns_done(struct hold_patterns *patterns);
/* What the set's policies want, into both (which are empty). 0 or -ENOMEM. */
int hold_watches_from_set(struct hold_watches *watches, struct hold_patterns *patterns,
			  const struct policy_set *set) _must_check_;
/* Adds the directory of path where a pattern matches it. 1: something was added; 0; -errno. */
int hold_watches_add_found(struct hold_watches *watches, const struct hold_patterns *patterns,
			   const char *path) _must_check_;
/* 1: added; 0: there already, or too many (-> error); -ENOMEM. */
int hold_watches_add(struct hold_watches *watches, const char *path, bool is_exec) _must_check_;

/* ---- hold_expand.c: directories with wildcards ---- */

/* Adds the directories that exist and that the glob is about. 0 or -ENOMEM. */
int hold_expand(struct hold_watches *watches, const char *glob, bool is_exec) _must_check_;
/* The glob for the last component: `*` when it has a `**`. */
const char *hold_last_glob(const char *glob);
/* Length of the head of whole components that have no wildcard. */
size_t hold_literal_head(const char *glob);

/* ---- hold.c ---- */

#define HOLD_ENDED_MAX 16
#define DISPATCH_MAX 256 /* messages of one call */

struct hold {
	char *program;
	struct hold_events events;
	pid_t pid; /* 0: not running */
	int fd;
	unsigned generation; /* of the process */
	bool was_started;
	bool is_starting;   /* failures are hold_start's, without `ended` */
	uint64_t ping_ns;   /* sent and not answered; 0: none */
	uint64_t pinged_ns; /* the last time */
	pid_t exempt[GOV_HOLD_EXEMPT_MAX];
	size_t n_exempt;	     /* ever added */
	pid_t ended[HOLD_ENDED_MAX]; /* killed, to be reaped without waiting */
	struct hold_watches watches;
	struct hold_patterns patterns;
	char *also[HOLD_ALSO_MAX];
	size_t n_also; /* ever added */
	struct hold_stats stats;
	struct gov_hold_message in, out;
};

/* Kills and forgets govd-hold, and calls `ended`, which may start it again. */
void hold_end(struct hold *hold, const char *why);
void hold_reap(struct hold *hold);
/* Sends hold->out; ends it when it can't. */
int hold_send(struct hold *hold, enum gov_hold_kind kind, const char *path) _must_check_;
void hold_clear_out(struct hold *hold);
/* All that govd-hold has to know. */
int hold_send_all(struct hold *hold) _must_check_;

#endif
