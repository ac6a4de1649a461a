/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_HOLD_H
#define GOV_HOLD_H

/*
 * govd <-> govd-hold, on a SOCK_SEQPACKET pair that govd-hold inherits as descriptor 3. One message a packet.
 * govd-hold owns the fanotify group and lets a process go when govd has answered, when the deadline has passed,
 * or when the socket has ended. See src/hold/.
 */

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define GOV_HOLD_VERSION 1
#define GOV_HOLD_FD 3

/* A held process waits at most this long for govd's answer; the promise of govd(8) is 1 s, see src/hold/hold.h. */
#define GOV_HOLD_DEADLINE_MS 650
/* At a ping's time govd kills a govd-hold that hasn't answered the last one for this long. That one which is stopped or
 * hangs ends by itself and sooner, so that a ping, which wakes both of an idle host, can be rare. */
#define GOV_HOLD_PING_MS 1000
#define GOV_HOLD_PONG_MS 500

enum gov_hold_kind {
	/* govd -> govd-hold */
	GOV_HOLD_RESET = 1, /* the next set begins empty; what is in force stays so until COMMIT */
	/* Adds to the next set. path: literal directory + `/` + glob of the last component (fnmatch(3), a leading dot
	 * is nothing special). is_exec: 1 execve of such a file, 0 open of it (a script by its interpreter). */
	GOV_HOLD_WATCH,
	/* The next set is complete: make it so, without a gap for what stays; answered by GOV_HOLD_WATCHING. A WATCH
	 * that comes after it without a RESET adds to this set. */
	GOV_HOLD_COMMIT,
	GOV_HOLD_ANSWER, /* let token go, or with error EPERM refuse what it waits for; one that doesn't wait is ignored
			  */
	GOV_HOLD_PING,
	/* govd-hold -> govd */
	/* count: marks in force; error: the last errno met, 0 none. After a COMMIT and whenever directories came or
	 * went. */
	GOV_HOLD_WATCHING,
	GOV_HOLD_ASK,	  /* token, pid, is_exec, path: pid waits */
	GOV_HOLD_EXPIRED, /* token: let go at its deadline, without an answer */
	GOV_HOLD_PONG,
	/* govd -> govd-hold, again */
	GOV_HOLD_EXEMPT, /* pid: a helper of govd, never held (the latest GOV_HOLD_EXEMPT_MAX count) */
};

#define GOV_HOLD_EXEMPT_MAX 16

struct gov_hold_message {
	uint16_t kind;
	uint16_t version;
	int32_t pid;
	uint64_t token;
	uint32_t is_exec; /* ASK, WATCH: 1 execve of path; 0 open of path (a script by its interpreter) */
	uint32_t count;
	int32_t error;	    /* errno, positive */
	uint32_t path_size; /* bytes that follow, with the NUL; 0: none */
	char path[PATH_MAX];
};

#define GOV_HOLD_HEAD_SIZE (sizeof(struct gov_hold_message) - PATH_MAX)
_Static_assert(GOV_HOLD_HEAD_SIZE == 32, "wire struct");

/* A packet of size bytes in *message: 0, or -1 when it isn't a whole message. Its kind may still be unknown. */
static inline int gov_hold_check(const struct gov_hold_message *message, size_t size)
{
	if (size < GOV_HOLD_HEAD_SIZE || size > sizeof(*message) || message->version != GOV_HOLD_VERSION)
		return -1;
	if (message->path_size != size - GOV_HOLD_HEAD_SIZE)
		return -1;
	if (message->path_size == 0)
		return 0;
	return memchr(message->path, '\0', message->path_size) == message->path + message->path_size - 1 ? 0 : -1;
}

#endif
