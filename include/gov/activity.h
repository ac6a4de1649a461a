/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_ACTIVITY_H
#define GOV_ACTIVITY_H

#include "gov/connect.h"

/* The census of what agents do: a task and a TCP iterator sum it up, userspace takes it out of the map. */

enum gov_activity_flags {
	GOV_ACTIVITY_TRACED = 1 << 0,	 /* a thread of it is, by ptrace(2) */
	GOV_ACTIVITY_STOPPED = 1 << 1,	 /* a process of it is, by a signal */
	GOV_ACTIVITY_LISTENING = 1 << 2, /* the socket that waits does */
};

/* gov_activity, a hash: owner (as in gov_connect_agents) -> sums over its processes and sockets. Filled by a census,
 * but for accepts. */
struct gov_activity {
	/* Ever, of those that live, their ended threads, and the children that they have waited for. */
	__u64 cpu_ns;
	__u64 chars;	    /* read and written: rchar and wchar of proc_pid_io(5) */
	__u64 child_faults; /* of the ended children alone: cminflt of proc_pid_stat(5) */
	__u64 spawns;	    /* processes that began after gov_config.born_after_ns */
	__u64 accepts;	    /* connections accepted since the census before, of those with GOV_CONNECT_COUNT_ACCEPTS */
	__u64 net_bytes;    /* of its TCP sockets, since the census before */
	__u64 wait_ns;	    /* of all sockets with input that nobody reads the longest: since when (CLOCK_MONOTONIC) */
	__u32 unread;	    /* bytes of that, or connections that wait for accept() */
	__u32 flags;
	__u32 tty; /* in whose foreground it is, as new_encode_dev() (linux/kdev_t.h) has it; 0: none */
	__u16 port;
	__u16 pad;
	__u8 address[16]; /* with port: as in struct gov_census_socket */
};

_Static_assert(sizeof(struct gov_activity) == 88, "map value");

#endif
