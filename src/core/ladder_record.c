/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* The incidents of memory pressure, with their evidence. */

/* Without what record_agent() tells of its executable: the evidence needs the room. */
static struct incident *record_ladder(const struct agent *agent, struct record_words words, struct actions *actions)
{
	struct incident *incident = record_agent(actions, INCIDENT_PRESSURE, agent, words);

	if (!incident)
		return NULL;
	incident->n_facts = MIN2(incident->n_facts, (size_t)1);
	incident->by_uid = INCIDENT_BY_GOVD;
	return incident;
}

static void add_known(struct incident *incident, const char *name, uint64_t number)
{
	if (number != UINT64_MAX)
		incident_add_number(incident, name, number);
}

static void add_memory(struct incident *incident, const struct agent *agent)
{
	const struct ladder *ladder = agent->ladder;
	const struct pressure_view *view = &ladder->view;

	if (view->some_us != UINT64_MAX) {
		incident_add_milli(incident, "some_pct", ladder->some_milli);
		incident_add_milli(incident, "full_pct", ladder->full_milli);
	}
	if (view->some_avg10_milli != UINT64_MAX && view->full_avg10_milli != UINT64_MAX) {
		incident_add_milli(incident, "some_avg10", view->some_avg10_milli);
		incident_add_milli(incident, "full_avg10", view->full_avg10_milli);
	}
	add_known(incident, "memory_bytes", view->memory_bytes);
	add_known(incident, "memory_high_bytes", agent->policy->limits.memory_high_bytes);
	add_known(incident, "memory_max_bytes", agent->policy->limits.memory_max_bytes);
}

static void add_events(struct incident *incident, const struct agent *agent)
{
	const struct ladder *ladder = agent->ladder;
	const struct pressure_view *view = &ladder->view;

	if (view->highs == UINT64_MAX || ladder->begin_highs == UINT64_MAX)
		return;
	incident_add_number(incident, "highs", view->highs - MIN2(ladder->begin_highs, view->highs));
	incident_add_number(incident, "maxes", view->maxes - MIN2(ladder->begin_maxes, view->maxes));
}

void record_pressure(const struct state *state, struct agent *agent, enum ladder_rung rung, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	struct incident *incident;

	/* Where nothing can be reclaimed the rung is but a wait. */
	if (rung == LADDER_RECLAIM && !ladder->view.can_reclaim)
		return;
	if (!may_tell(&ladder->told_ns[rung], TOLD_EVERY_NS, state->now_ns))
		return;
	ladder->is_told = true;
	incident = record_ladder(agent,
				 (struct record_words){"memory.on_pressure", ladder_rung_name(rung),
						       rung == LADDER_NOTE ? "begun" : "done"},
				 actions);
	if (!incident)
		return;
	add_memory(incident, agent);
	add_events(incident, agent);
	if (rung != LADDER_NOTE)
		incident_add_milli(incident, "lasts_s", (state->now_ns - ladder->since_ns) / NSEC_PER_MSEC);
	if (ladder->untold > 1)
		incident_add_number(incident, "untold", ladder->untold - 1);
	ladder->untold = 0;
}

void record_pressure_end(const struct state *state, struct agent *agent, struct actions *actions)
{
	const struct ladder *ladder = agent->ladder;
	struct incident *incident =
		record_ladder(agent, (struct record_words){"memory.on_pressure", "note", "over"}, actions);

	if (!incident)
		return;
	incident_add_milli(incident, "duration_s", (state->now_ns - ladder->since_ns) / NSEC_PER_MSEC);
	incident_add_text(incident, "peak", ladder_rung_name(ladder->peak));
	incident_add_milli(incident, "peak_some_pct", ladder->peak_some_milli);
	incident_add_milli(incident, "peak_full_pct", ladder->peak_full_milli);
	if (ladder->peak_bytes)
		incident_add_number(incident, "peak_bytes", ladder->peak_bytes);
	add_known(incident, "memory_bytes", ladder->view.memory_bytes);
	add_events(incident, agent);
	if (ladder->reclaimed_bytes)
		incident_add_number(incident, "reclaimed_bytes", ladder->reclaimed_bytes);
	if (ladder->freezes)
		incident_add_number(incident, "freezes", ladder->freezes);
}

void record_livelock(const struct state *state, struct agent *agent, const char *action, struct actions *actions)
{
	struct incident *incident;

	if (!may_tell(&agent->ladder->livelock_told_ns, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_ladder(agent, (struct record_words){"livelock", action, "done"}, actions);
	if (!incident)
		return;
	add_memory(incident, agent);
	add_events(incident, agent);
	incident_add_number(incident, "swap_free_bytes", agent->ladder->view.swap_free_bytes);
}
