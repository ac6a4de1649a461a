/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_INCIDENT_H
#define GOV_CORE_INCIDENT_H

#include "core/policy.h"
#include "core/told.h"

/* Something that was decided or that happened, with its evidence. */

#define AGENT_ID_SIZE 16 /* 8 hex digits and the NUL, rounded up */
#define INCIDENT_FACTS_MAX 20
#define INCIDENT_FACT_TEXT_MAX 128
#define INCIDENT_TEXTS_MAX 768 /* of all facts together, with their NULs */

enum incident_kind {
	INCIDENT_PLACED,
	INCIDENT_RELEASED,
	INCIDENT_STOPPED, /* by stop or kill, or because it ended */
	INCIDENT_PROTECTED,
	INCIDENT_LOST,
	INCIDENT_ALERT,
	INCIDENT_REFUSED, /* a call on the bus */
	INCIDENT_STORM,
	INCIDENT_BREAKER,
	INCIDENT_SOCKETS,
	INCIDENT_OOM,
	INCIDENT_LEAK,
	INCIDENT_PRESSURE,
	INCIDENT_EXPIRED,
	INCIDENT_EMERGENCY,
	INCIDENT_RESTART_DELAY,
	INCIDENT_RESTART_LIMIT,
	INCIDENT_ORPHAN,
	INCIDENT_DUPLICATE,
	INCIDENT_IDLE,
	INCIDENT_HUNG,
	INCIDENT_FAN_OUT,
	INCIDENT_KINDS,
};

const char *incident_kind_name(enum incident_kind kind);

struct fact {
	const char *name; /* static */
	bool is_number;
	bool is_milli;	  /* number is in thousandths */
	uint16_t text_at; /* in incident.texts; by incident_text() */
	uint64_t number;
};

struct incident {
	enum incident_kind kind;
	char agent[AGENT_ID_SIZE];
	char policy[POLICY_NAME_MAX];
	char key[POLICY_KEY_MAX];
	const char *rule;   /* static: the policy key or the law that led to it: `match`, `stop`, `protect`; "" none */
	const char *action; /* static: place, would-place, stop, ... */
	const char *result; /* static: done, failed, refused; "" none yet */
	int error;	    /* errno, positive, behind a failed result; 0 none */
	uint32_t by_uid;    /* the user who asked; INCIDENT_BY_GOVD and the like */
	struct fact facts[INCIDENT_FACTS_MAX];
	size_t n_facts, texts_used;
	char texts[INCIDENT_TEXTS_MAX];
};

#define INCIDENT_BY_GOVD UINT32_MAX
#define INCIDENT_BY_KERNEL (UINT32_MAX - 1)
#define INCIDENT_BY_OOMD (UINT32_MAX - 2)

/* Add evidence; what is beyond INCIDENT_FACTS_MAX or INCIDENT_TEXTS_MAX is dropped, texts are cut. */
void incident_add_number(struct incident *incident, const char *name, uint64_t number);
void incident_add_milli(struct incident *incident, const char *name, uint64_t milli);
void incident_add_text(struct incident *incident, const char *name, const char *text);
/* `exit_code` and `exit_signal`, of what wait(2) has. */
void incident_add_exit(struct incident *incident, int32_t exit_code);
/* "" of a number. */
const char *incident_text(const struct incident *incident, const struct fact *fact);

#endif
