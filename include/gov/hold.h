/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_HOLD_H
#define GOV_HOLD_H

/*
 * govd <-> govd-hold, on a SOCK_SEQPACKET pair that govd-hold inherits as descriptor 3. One message a packet.
 * govd-hold owns the fanotify group and lets a process go when govd has answered, when the deadline has passed,
 * or when the socket has ended. See src/hold/.
 */

#include <limits.h>
#include <stdint.h>

#define GOV_HOLD_VERSION 1
#define GOV_HOLD_FD 3

/* A held process waits at most this long for govd's answer; the promise of govd(8) is 1 s. */
#define GOV_HOLD_DEADLINE_MS 500
/* govd kills a govd-hold that hasn't answered a ping for this long (it may be stopped itself). */
#define GOV_HOLD_PING_MS 100
#define GOV_HOLD_PONG_MS 300

enum gov_hold_kind {
	/* govd -> govd-hold */
	GOV_HOLD_RESET = 1, /* forget all watches; then come WATCHes and a COMMIT */
	GOV_HOLD_WATCH,	    /* pattern: a path of literal directory + `/` + glob of the last component */
	GOV_HOLD_COMMIT,    /* the set is complete: make it so; answered by GOV_HOLD_WATCHING */
	GOV_HOLD_ANSWER,    /* let token go */
	GOV_HOLD_PING,
	/* govd-hold -> govd */
	GOV_HOLD_WATCHING, /* count: marks in force; error: the last errno met, 0 none */
	GOV_HOLD_ASK,	   /* token, pid, is_exec, path: pid waits */
	GOV_HOLD_EXPIRED,  /* token: let go at its deadline, without an answer */
	GOV_HOLD_PONG,
};

struct gov_hold_message {
	uint16_t kind;
	uint16_t version;
	int32_t pid;
	uint64_t token;
	uint32_t is_exec; /* 1: execve of path by pid; 0: open of path by pid (a script by its interpreter) */
	uint32_t count;
	int32_t error;	    /* errno, positive */
	uint32_t path_size; /* bytes that follow, with the NUL; 0: none */
	char path[PATH_MAX];
};

#define GOV_HOLD_HEAD_SIZE (sizeof(struct gov_hold_message) - PATH_MAX)
_Static_assert(GOV_HOLD_HEAD_SIZE == 32, "wire struct");

#endif
