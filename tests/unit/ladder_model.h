/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TESTS_UNIT_LADDER_MODEL_H
#define GOV_TESTS_UNIT_LADDER_MODEL_H

#include "world.h"

/* One agent and its kernel, second by second: the memory and the stalls are set, what the core wants is carried out. */

#define MIB (UINT64_C(1) << 20)
#define ROOT 100

struct model {
	struct world world;
	const struct agent *agent;
	uint64_t handle;
	struct pressure_view view;
	bool is_watched, is_frozen, has_ended;
	uint64_t timer_ns;
	uint64_t high_bytes;	       /* in force */
	size_t counts[ACTION_KINDS];   /* ever */
	size_t second[ACTION_KINDS];   /* in this second */
	uint64_t reclaim_bytes;	       /* asked for last */
	struct incident incidents[64]; /* pressure */
	size_t n_incidents;
};

struct model_policy {
	enum policy_pressure on_pressure;
	enum policy_on_oom on_oom;
	uint64_t high_bytes, max_bytes; /* 0: none */
	bool protect;
};

/* Placed and at rest, with half of its memory.high in use; v2 without swap. */
void model_init(struct model *model, const struct model_policy *policy);
void model_done(struct model *model);
void model_set_policy(struct model *model, const struct model_policy *policy);
/* Goes on for so many seconds in which its tasks wait for this part of the time. */
void model_run(struct model *model, unsigned seconds, unsigned some_pct, unsigned full_pct);
void model_send(struct model *model, struct event *event);
void model_command(struct model *model, enum command command);
/* The i-th incident with this action, or NULL. */
const struct incident *model_incident(const struct model *model, const char *action, size_t i);
bool model_acts(const struct model *model);

#endif
