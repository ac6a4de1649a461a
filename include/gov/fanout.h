/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_FANOUT_H
#define GOV_FANOUT_H

/*
 * gov_fanout, a hash: whose births of processes are counted (the owner as in connect.h: a group or a mark), in windows.
 * The program runs only while the map holds somebody.
 */

#include "gov/connect.h"

struct gov_fanout {
	__u64 length_ns; /* of a window; userspace's, as the next */
	__u64 limit;	 /* births in a window; the next one is told, once in it */
	__u64 window_ns; /* when it began, CLOCK_MONOTONIC */
	__u64 births;	 /* in it */
};

#define GOV_FANOUT_WINDOW_NS 5000000000ULL /* at least: a program that starts others at its own start is no storm */

_Static_assert(sizeof(struct gov_fanout) == 32, "map value");

#endif
