/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_RECORDER_H
#define GOV_OUT_RECORDER_H

#include "core/incident.h"
#include "gov/incident.h"

/* govd's side of govd-recorder: the process that writes incidents, so that a slow or full disk never stops governing.
 */

struct recorder;

struct recorder_stats {
	uint64_t sent, dropped; /* by govd: the socket was full or the recorder down, or it died with them */
	uint64_t written,
		failed; /* by the recorder; failed: rows given up because the disk didn't take them for long */
	uint64_t restarts;
	int error; /* SQLite's, of the last attempt to write: 0 all is well */
	char error_text[128];
};

/* program: path of govd-recorder. Starts it. */
int recorder_new(const char *program, const char *state_dir, struct recorder **ret_recorder) _must_check_;
/* Lets it write what it has (2 s at the most). */
struct recorder *recorder_free(struct recorder *recorder);
DEFINE_CLEANUP(struct recorder *, recorder_free)

pid_t recorder_pid(const struct recorder *recorder);
int recorder_fd(const struct recorder *recorder); /* readable: recorder_dispatch; -EBADF: down */
int recorder_dispatch(struct recorder *recorder);
/* Starts it again when it is down and the backoff (1 s, 2 s, ... 60 s) has passed. Call once a second or so. */
int recorder_watch_over(struct recorder *recorder, uint64_t now_ns);
void recorder_set_keep(struct recorder *recorder, uint64_t keep_ns, uint64_t keep_max);

/* Never blocks; what can't be sent is counted. time_ms: CLOCK_REALTIME. */
void recorder_add(struct recorder *recorder, uint64_t time_ms, const struct incident *incident);
void recorder_get_stats(const struct recorder *recorder, struct recorder_stats *ret_stats);

#endif
