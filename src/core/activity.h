/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_ACTIVITY_H
#define GOV_CORE_ACTIVITY_H

#include "core/connect.h"
#include "core/policy.h"

/* Signs of life of an agent, as a census sums them up, and what step() remembers of them. */

/* The first that is above its threshold is told as the one that keeps the agent alive. */
enum activity_signal {
	ACTIVITY_CPU,
	ACTIVITY_IO,	   /* characters read and written, rchar and wchar of proc_pid_io(5) */
	ACTIVITY_NET,	   /* bytes through its TCP sockets */
	ACTIVITY_CONNECTS, /* made or accepted */
	ACTIVITY_SPAWNS,   /* processes that have begun or ended */
	ACTIVITY_INPUT,	   /* from the terminal in whose foreground it is */
	ACTIVITY_MEASURED,
	ACTIVITY_START = ACTIVITY_MEASURED, /* it was looked at for the first time, or again after a gap */
	ACTIVITY_TOUCH,			    /* somebody has said that it is needed */
	ACTIVITY_FROZEN,		    /* it can't show any: it is frozen, or held */
	ACTIVITY_DEBUGGER,		    /* nor while it is traced */
	ACTIVITY_SIGNALS,
};

const char *activity_signal_name(enum activity_signal signal);

/* Input that nobody has read. */
struct activity_wait {
	uint64_t since_ns; /* since when none of it was read; CLOCK_MONOTONIC; 0: nothing waits */
	uint64_t unread;   /* bytes, or connections that wait for accept() */
	bool is_listening;
	char socket[CONNECT_DESTINATION_MAX]; /* of a listening one its own address, else the peer's */
};

/* Of one agent, of one census. */
struct activity_view {
	uint64_t agent; /* handle */
	/* Ever, of the processes that live and those that they have waited for; less than before when one has ended
	 * that nobody in the agent has waited for. */
	uint64_t cpu_ns, io_bytes, child_faults; /* the last: page faults of ended children */
	uint64_t connects;			 /* made ever; UINT64_MAX: not known */
	uint64_t accepts, net_bytes, spawns;	 /* since the census before; processes that began and live */
	bool has_input;				 /* since the census before */
	bool is_traced, is_stopped;		 /* any process, by ptrace(2) or by a signal */
	struct activity_wait wait;		 /* the longest */
};

/* One agent whose policy has `idle` or `hung`. Times are CLOCK_MONOTONIC. */
struct activity {
	uint64_t look_ns; /* the next look */
	uint64_t seen_ns; /* the last that was judged; 0: there is nothing to compare with */
	struct {
		uint64_t cpu_ns, io_bytes, child_faults, connects;
	} last;				    /* at the last census */
	uint64_t grown[ACTIVITY_MEASURED];  /* since seen_ns */
	uint64_t window[ACTIVITY_MEASURED]; /* in the last window that was judged, */
	uint64_t window_ns;		    /* which was that long */
	enum activity_signal signal;	    /* the last, at agent->active_ns */
	uint64_t quiet_ns;		    /* since when it has had no CPU time to speak of */
	bool is_asked;			    /* the next census judges it */
	bool is_stopped;		    /* any of its processes was, by a signal, at the last look */
	bool is_idle, is_hung;		    /* the census that is being looked at says so */
	const struct activity_wait *wait;   /* of that census */
};

#endif
