/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_HOLD_H
#define GOV_SENSE_HOLD_H

#include "core/policy.h"
#include "gov/hold.h"

/* govd's side of govd-hold: starts it, tells it what to watch, hears who waits, watches over it. */

struct hold;

struct hold_events {
	/* pid waits; answer with hold_answer(token). */
	void (*ask)(uint64_t token, pid_t pid, bool is_exec, const char *path, void *userdata);
	/* let go without an answer */
	void (*expired)(uint64_t token, void *userdata);
	/* it died or was killed for not answering a ping; hold_start again. Nobody is held meanwhile. */
	void (*ended)(const char *why, void *userdata);
	void *userdata;
};

/* program: path of govd-hold. */
int hold_new(const char *program, const struct hold_events *events, struct hold **ret_hold) _must_check_;
struct hold *hold_free(struct hold *hold); /* ends it; all who wait run on */
DEFINE_CLEANUP(struct hold *, hold_free)

/* -EPIPE: it ended at once (see stats.error). Doesn't block: a socket that is full is treated as a govd-hold that died.
 * hold_free must not be called by a callback, hold_start may be by `ended`. A new govd-hold that ends at once should
 * not be started in a tight loop. */
int hold_start(struct hold *hold) _must_check_;
void hold_stop(struct hold *hold);	 /* at once, without `ended` */
pid_t hold_pid(const struct hold *hold); /* 0: not running */
/* Readable: call hold_dispatch. Changes with hold_start; -EBADF when it doesn't run. */
int hold_fd(const struct hold *hold);
int hold_dispatch(struct hold *hold);
/* Call every GOV_HOLD_PING_MS while it runs: pings, and kills it (-> ended) when the pong is overdue. now_ns:
 * CLOCK_MONOTONIC. */
int hold_watch_over(struct hold *hold, uint64_t now_ns);
/* error: 0 lets it go, EPERM refuses what it waits for. */
void hold_answer(struct hold *hold, uint64_t token, int error);

/* A helper process of govd's own: never held. */
void hold_exempt(struct hold *hold, pid_t pid);

/*
 * Watches what the set's policies (hold: auto, enforce) name by path in exe and script; of a policy with both, the
 * script alone when all its patterns can be watched. Patterns with no literal directory (`claude`, `**`) can't be held:
 * they are caught by the exec event. Directories with wildcards are expanded to those that exist now (`**`: to those
 * where a matching file exists now). stats.error: E2BIG when that went beyond HOLD_VISITS_MAX or HOLD_WATCHES_MAX.
 * Of the callbacks only `ended` is called from here.
 */
#define HOLD_VISITS_MAX 4096
#define HOLD_WATCHES_MAX 1024
int hold_set_policies(struct hold *hold, const struct policy_set *set) _must_check_;
/* Watch this file's directory too: a `**` has matched there. Kept over hold_set_policies and hold_start (the latest
 * HOLD_ALSO_MAX); cheap when it is watched already. */
#define HOLD_ALSO_MAX 256
int hold_watch_also(struct hold *hold, const char *path) _must_check_;

/* For status: marks in force, asks, expired, restarts; error: last errno of marking, positive. */
struct hold_stats {
	uint32_t marks;
	int error;
	uint64_t asked, expired, restarts;
};
void hold_get_stats(const struct hold *hold, struct hold_stats *ret_stats);

#endif
