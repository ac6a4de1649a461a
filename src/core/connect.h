/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_CONNECT_H
#define GOV_CORE_CONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "gov/connect.h"

struct policy;

/* What the edges tell of connects and sockets. */

#define CONNECT_DESTINATION_MAX 64 /* `[IPv6 address]:65535`, with the NUL and some room */

/* One destination of an agent or of a stranger, as the kernel counts it. */
struct connect_view {
	char destination[CONNECT_DESTINATION_MAX]; /* `192.0.2.1:443`, `[2001:db8::1]:443`, `others` */
	bool is_udp;
	uint64_t attempts, delayed, refused, established, failed, dropped; /* since the first */
	uint64_t open;
	uint64_t recent;       /* attempts in the last one or two windows of 5 s, or in a row that had to wait */
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

/* What the kernel is to be told of an agent under this policy; all but the slot. */
void connect_rule(const struct policy *policy, struct gov_connect_agent *ret_rule);

/*
 * Whether a storm goes on: 50 connects in one of the last two windows, or 5 in a row that waited and none for 30 s
 * since (for slower rates: for two intervals). The kernel tells when one begins; that it is over has no event of its
 * own.
 */
bool connect_is_storm(const struct gov_burst *burst, uint64_t last_ns, uint64_t interval_ns, uint64_t now_ns);

/* All but destination and is_udp. */
void connect_view_of(const struct gov_connect_entry *entry, const struct gov_connect_agent *rule, uint64_t now_ns,
		     struct connect_view *ret_view);
void connect_view_of_stranger(const struct gov_stranger *stranger, uint64_t now_ns, struct connect_view *ret_view);

/* `closed`, `open`, `half-open`. */
const char *connect_breaker_name(enum gov_breaker_state state);

#endif
