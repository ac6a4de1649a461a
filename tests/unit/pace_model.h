/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TEST_PACE_MODEL_H
#define GOV_TEST_PACE_MODEL_H

#include <stdint.h>
#include <stdlib.h>

#include "base/macro.h"
#include "gov/breaker.h"

/*
 * One destination and all who connect to it, as the BPF programs do it; driven by anybody's random bytes (test_pace.c,
 * tests/fuzz/fuzz_pace.c). What must hold is checked at each act; NULL: it does.
 */

#define PACE_OWNERS 512

/* One who was given a slot. */
struct pace_owner {
	uint64_t slot, depart_ns;
	bool is_refunded, has_outcome;
};

struct pace_model {
	struct gov_pace pace;
	struct gov_pace_rate rate;
	struct gov_breaker breaker;
	struct gov_breaker_rule rule;
	uint64_t now_ns, max_delay_ns;
	struct pace_owner owners[PACE_OWNERS];
	size_t n;
	uint64_t interval_min_ns, tolerance_max_ns; /* of all rates */
	uint64_t open_depart_ns, open_gap_ns;	    /* of the last one to whom an open breaker gave a slot; 0: none */
	uint64_t refused;
};

enum pace_act {
	PACE_ARRIVE,
	PACE_ABANDON,	  /* one who waits */
	PACE_ABANDON_ALL, /* but the last */
	PACE_WAIT,
	PACE_RATE,
	PACE_FAIL, /* outcomes of one who has left */
	PACE_ESTABLISH,
	PACE_END,
	PACE_LIVE,
	PACE_PUSH,
	PACE_ACTS,
};

static inline void pace_model_rate(struct pace_model *model, uint64_t interval_ns, uint64_t burst)
{
	model->rate = (struct gov_pace_rate){.interval_ns = interval_ns,
					     .tolerance_ns = MAX2(burst, 1U) * interval_ns - interval_ns};
	model->open_depart_ns = 0;
	/* Without a limit only a breaker gives slots: of 1 s, less half for the jitter. */
	model->interval_min_ns = MIN2(model->interval_min_ns, interval_ns ? interval_ns : NSEC_PER_SEC / 2);
	model->tolerance_max_ns = MAX2(model->tolerance_max_ns, model->rate.tolerance_ns);
}

static inline void pace_model_init(struct pace_model *model, uint64_t now_ns, uint64_t interval_ns, uint64_t burst)
{
	*model = (struct pace_model){.now_ns = now_ns,
				     .max_delay_ns = 120 * NSEC_PER_SEC,
				     .interval_min_ns = UINT64_MAX,
				     .rule = {.first_ns = MAX2(interval_ns, NSEC_PER_SEC),
					      .max_ns = 60 * NSEC_PER_SEC,
					      .stable_ns = 30 * NSEC_PER_SEC,
					      .failures = 5,
					      .factor_milli = 2000}};
	pace_model_rate(model, interval_ns, burst);
}

static inline bool pace_owner_left(const struct pace_model *model, const struct pace_owner *owner)
{
	return !owner->is_refunded && owner->depart_ns <= model->now_ns;
}

static inline const char *pace_model_check_slot(struct pace_model *model, const struct gov_pace_slot *slot,
						const struct gov_pace_rate *rate)
{
	bool is_open = model->breaker.interval_ns != 0, is_freed = slot->slot < model->pace.next_slot;

	if (slot->depart_ns < model->now_ns)
		return "leaves before it came";
	if (!rate->interval_ns)
		return slot->slot || slot->depart_ns != model->now_ns ? "waits without a limit" : NULL;
	if (gov_pace_time(slot->slot) > slot->depart_ns)
		return "leaves before its slot";
	if (slot->slot >= GOV_PACE_NEVER)
		return NULL;
	if (slot->depart_ns + GOV_PACE_ORIGIN > slot->slot + rate->tolerance_ns)
		return "leaves when its slot is over";
	for (size_t i = 0; i < model->n; i++)
		if (!model->owners[i].is_refunded && model->owners[i].slot == slot->slot)
			return "has another's slot";
	if (!is_open)
		return NULL;
	if (slot->depart_ns < model->pace.floor_ns)
		return "leaves before the time that it was put off to";
	if (!is_freed && model->open_depart_ns && slot->depart_ns < model->open_depart_ns + model->open_gap_ns)
		return "leaves less than an interval after the one before although the breaker is open";
	model->open_depart_ns = is_freed ? model->open_depart_ns : slot->depart_ns;
	model->open_gap_ns = MAX2(model->rate.interval_ns, model->breaker.interval_ns / 2);
	return NULL;
}

static inline const char *pace_model_arrive(struct pace_model *model, uint32_t random)
{
	struct gov_pace_rate rate;
	struct gov_pace_slot slot;
	const char *wrong;

	if (gov_breaker_settle(&model->breaker, &model->rule, model->now_ns))
		model->open_depart_ns = 0;
	rate = gov_breaker_rate(&model->breaker, &model->rate, random);
	slot = gov_pace_peek(&model->pace, &rate, model->now_ns);
	if (slot.depart_ns > gov_pace_add(model->now_ns, model->max_delay_ns) || model->n == PACE_OWNERS) {
		model->refused++;
		return slot.depart_ns < model->now_ns ? "leaves before it came" : NULL;
	}
	wrong = pace_model_check_slot(model, &slot, &rate);
	gov_pace_take(&model->pace, &rate, slot.slot);
	if (slot.slot)
		model->owners[model->n++] = (struct pace_owner){.slot = slot.slot, .depart_ns = slot.depart_ns};
	if (!slot.slot || slot.depart_ns == model->now_ns)
		gov_breaker_leave(&model->breaker);
	return wrong;
}

static inline void pace_model_refund(struct pace_model *model, struct pace_owner *owner)
{
	if (owner->is_refunded || owner->depart_ns <= model->now_ns)
		return;
	gov_pace_refund(&model->pace, &model->rate, owner->slot, model->now_ns);
	owner->is_refunded = true;
	model->open_depart_ns = 0;
}

static inline const char *pace_model_outcome(struct pace_model *model, struct pace_owner *owner,
					     enum gov_outcome outcome)
{
	struct gov_breaker before = model->breaker;
	bool is_settled, has_changed;

	if (!pace_owner_left(model, owner) || owner->has_outcome)
		return NULL;
	owner->has_outcome = outcome != GOV_OUTCOME_ESTABLISHED;
	is_settled = gov_breaker_settle(&before, &model->rule, model->now_ns);
	has_changed = gov_breaker_outcome(&model->breaker, &model->rule, outcome, owner->depart_ns, model->now_ns);
	if (has_changed != (is_settled || before.interval_ns != model->breaker.interval_ns ||
			    before.changed_ns != model->breaker.changed_ns))
		return "tells a change wrongly";
	if (!model->breaker.interval_ns) {
		model->open_depart_ns = 0;
		return NULL;
	}
	if (model->breaker.interval_ns > model->rule.max_ns)
		return "has an interval beyond the longest";
	if (before.interval_ns && has_changed && owner->depart_ns <= before.changed_ns)
		return "learns from what left before the last change";
	if (before.interval_ns && model->breaker.interval_ns > before.interval_ns / 1000 * model->rule.factor_milli)
		return "grows by more than the factor";
	if (has_changed)
		gov_pace_push(&model->pace, gov_pace_add(model->now_ns, model->breaker.interval_ns / 2));
	return NULL;
}

static inline const char *pace_model_act(struct pace_model *model, enum pace_act act, uint64_t random)
{
	struct pace_owner *owner = model->n ? &model->owners[random % model->n] : NULL;

	switch (act) {
	case PACE_ARRIVE:
		return pace_model_arrive(model, (uint32_t)random);
	case PACE_ABANDON:
		if (owner)
			pace_model_refund(model, owner);
		return NULL;
	case PACE_ABANDON_ALL:
		/* In either order, or in steps. */
		for (size_t i = 0; i + 1 < model->n; i++)
			pace_model_refund(model, &model->owners[random % 2 ? i * (1 + random / 2 % 8) % (model->n - 1)
									   : model->n - 2 - i]);
		return NULL;
	case PACE_WAIT:
		model->now_ns += random;
		return NULL;
	case PACE_PUSH:
		gov_pace_push(&model->pace, gov_pace_add(model->now_ns, random % (30 * NSEC_PER_SEC)));
		return NULL;
	case PACE_FAIL:
		return owner ? pace_model_outcome(model, owner,
						  random & 1024 ? GOV_OUTCOME_FAILED : GOV_OUTCOME_DROPPED)
			     : NULL;
	case PACE_ESTABLISH:
		return owner ? pace_model_outcome(model, owner, GOV_OUTCOME_ESTABLISHED) : NULL;
	case PACE_END:
		return owner ? pace_model_outcome(model, owner, GOV_OUTCOME_ENDED) : NULL;
	case PACE_LIVE:
		return owner ? pace_model_outcome(model, owner, GOV_OUTCOME_LIVED) : NULL;
	default:
		return NULL;
	}
}

static inline int pace_compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Of all that have left or will, in every window from one to another: at most burst + t / interval. */
static inline const char *pace_model_check_windows(const struct pace_model *model)
{
	uint64_t left_ns[PACE_OWNERS];
	size_t n = 0;

	for (size_t i = 0; i < model->n; i++)
		if (!model->owners[i].is_refunded && model->owners[i].depart_ns < GOV_PACE_NEVER)
			left_ns[n++] = model->owners[i].depart_ns;
	qsort(left_ns, n, sizeof(left_ns[0]), pace_compare_times);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i; j < n; j++)
			if (j - i > (left_ns[j] - left_ns[i] + model->tolerance_max_ns) / model->interval_min_ns)
				return "more leave in a window than burst + t / interval";
	return NULL;
}

#endif
