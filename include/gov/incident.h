/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_INCIDENT_H
#define GOV_INCIDENT_H

/*
 * govd -> govd-recorder, on a SOCK_SEQPACKET pair that govd-recorder inherits as descriptor 3: an incident a packet.
 * The database that govd-recorder writes is STATE_DIR/incidents.db; `govctl incidents` reads it.
 */

#include <stdint.h>

#define GOV_INCIDENT_VERSION 1
#define GOV_RECORDER_FD 3
#define GOV_INCIDENT_DB "incidents.db"

enum gov_incident_message_kind {
	GOV_INCIDENT_ADD = 1, /* govd -> recorder */
	GOV_INCIDENT_KEEP,    /* govd -> recorder: keep_s, keep_max in force from now on */
	GOV_INCIDENT_STATS,   /* recorder -> govd: written, failed; at least each time failed has grown */
};

#define GOV_INCIDENT_TEXT_MAX 4096

struct gov_incident_message {
	uint16_t kind;
	uint16_t version;
	uint32_t size;		   /* of the whole message, bytes */
	uint64_t time_ms;	   /* CLOCK_REALTIME, ms since 1970 */
	uint64_t written, failed;  /* STATS: rows since the recorder started */
	uint64_t keep_s, keep_max; /* KEEP: seconds, rows */
	int32_t error;		   /* STATS: SQLite's extended result code of the last attempt to write, 0 well */
	uint32_t pad;
	/*
	 * ADD: nine NUL-terminated strings one behind the other: kind, agent, policy, key, rule, evidence (a JSON
	 * object), action, result, by. STATS: one, that failure in words.
	 */
	char text[GOV_INCIDENT_TEXT_MAX];
};

#define GOV_INCIDENT_HEAD_SIZE (sizeof(struct gov_incident_message) - GOV_INCIDENT_TEXT_MAX)
_Static_assert(GOV_INCIDENT_HEAD_SIZE == 56, "wire struct");

/* The table, version 1 (PRAGMA user_version). time is ms since 1970; all else is text. */
#define GOV_INCIDENT_SCHEMA                                                                                            \
	"CREATE TABLE IF NOT EXISTS incidents (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, "    \
	"agent TEXT NOT NULL, policy TEXT NOT NULL, key TEXT NOT NULL, rule TEXT NOT NULL, evidence TEXT NOT NULL, "   \
	"action TEXT NOT NULL, result TEXT NOT NULL, by TEXT NOT NULL);"                                               \
	"CREATE INDEX IF NOT EXISTS incidents_time ON incidents (time);"

#endif
