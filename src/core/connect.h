/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_CONNECT_H
#define GOV_CORE_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "gov/pace.h"

/* What the edges tell of connects and sockets. */

#define CONNECT_DESTINATION_MAX 64 /* `[IPv6 address]:65535`, with the NUL and some room */

/* One destination of an agent or of a stranger, as the kernel counts it. */
struct connect_view {
	char destination[CONNECT_DESTINATION_MAX]; /* `192.0.2.1:443`, `[2001:db8::1]:443`, `others` */
	bool is_udp;
	uint64_t attempts, delayed, refused, established, failed, dropped; /* since the first */
	uint64_t open;
	uint64_t rate_milli;   /* connects a second over the last one or two windows of 5 s, times 1000 */
	uint64_t failed_pct;   /* of those, failed or dropped */
	uint64_t storm_ns;     /* since when there is a storm; 0: none */
	bool is_over_new_rate; /* more new connections than `sockets.new_rate` in the window */
	enum gov_breaker_state breaker;
	uint64_t breaker_interval_ns; /* between two attempts while it isn't closed */
	uint64_t breaker_failures;    /* bad outcomes in a row */
	uint64_t last_ns;	      /* the last attempt */
};

/* The open sockets of one agent. */
struct socket_view {
	uint64_t open; /* TCP sockets but those in TIME_WAIT */
	uint64_t listening, close_wait;
	uint64_t unread_sockets; /* with unread input */
	uint64_t unread_bytes;
	char top[CONNECT_DESTINATION_MAX]; /* the peer with most of them; "" none */
	uint64_t top_open;
};

#endif
