/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_INCIDENTS_H
#define GOV_GOVCTL_INCIDENTS_H

#include "govctl.h"

/* Reads STATE_DIR/incidents.db, which govd-recorder may be writing meanwhile. */

struct incidents;

struct incidents_query {
	int64_t since_ms;		   /* CLOCK_REALTIME; 0: all */
	const char *kind, *agent, *policy; /* NULL: any */
	uint64_t last;			   /* the last so many; 0: all */
};

/* Tells why when it fails. */
int incidents_open(const struct context *context, const struct incidents_query *query,
		   struct incidents **ret_incidents) _must_check_;
/* The same without a word: -ENOENT and others. */
int incidents_open_quiet(const struct context *context, const struct incidents_query *query,
			 struct incidents **ret_incidents) _must_check_;
struct incidents *incidents_close(struct incidents *incidents);
DEFINE_CLEANUP(struct incidents *, incidents_close)
/* The next, oldest first, as the JSON contract has it: 1, 0 at the end, or -errno after telling why. */
int incidents_next(struct incidents *incidents, json_t **ret_incident) _must_check_;

#endif
