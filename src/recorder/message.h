/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_RECORDER_MESSAGE_H
#define GOV_RECORDER_MESSAGE_H

#include "base/macro.h"
#include "gov/incident.h"

/* The columns that are text, in the order of the message and of the table. */
enum row_column {
	ROW_KIND,
	ROW_AGENT,
	ROW_POLICY,
	ROW_KEY,
	ROW_RULE,
	ROW_EVIDENCE,
	ROW_ACTION,
	ROW_RESULT,
	ROW_BY,
	ROW_COLUMNS,
};

/* One incident that waits to be written. */
struct row {
	int64_t time_ms;
	const char *columns[ROW_COLUMNS]; /* in text */
	char text[];
};

struct message {
	enum gov_incident_message_kind kind;
	struct row *row;	   /* ADD: the caller frees */
	uint64_t keep_s, keep_max; /* KEEP */
};

/* Decodes a packet of size bytes. 0, -EBADMSG, or -ENOMEM. Trusts nothing in it. */
int message_decode(const void *packet, size_t size, struct message *ret_message) _must_check_;

#endif
