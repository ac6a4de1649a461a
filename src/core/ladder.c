/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/*
 * The ladder of memory pressure. How much: PSI's definition of the share of time in which some, or all, of the agent's
 * tasks waited for memory (Documentation/accounting/psi.rst), here between two looks, as avg10 takes 23 s to show 90 %.
 */

#define LOOK_EVERY_NS NSEC_PER_SEC
#define LOOK_MIN_NS (900 * NSEC_PER_MSEC) /* one that comes sooner isn't counted */
#define REST_LOOKS 3			  /* without pressure, and it is at rest */
#define LIFTED_LOOK_EVERY_NS (10 * NSEC_PER_SEC)

enum level { LEVEL_CALM, LEVEL_LIGHT, LEVEL_SOME, LEVEL_FULL, LEVEL_HEAVY, LEVELS };

/* Percent of the time, times 1000. */
#define LIGHT_MILLI 5000  /* what a healthy agent near its limit has */
#define SOME_MILLI 15000  /* psi.rst's own example of a trigger, 150 ms in 1 s: also what wakes us */
#define FULL_MILLI 30000  /* nearly a third of the time nothing is done */
#define HEAVY_MILLI 60000 /* DefaultMemoryPressureLimit=60% of systemd-oomd, oomd.conf(5) */

#define EVENTS_PER_LOOK 10 /* of memory.events where there is no PSI */

/* Of its memory, each second. */
#define RECLAIM_PART 16
#define RECLAIM_MIN_BYTES (UINT64_C(1) << 20)
#define RECLAIM_MAX_BYTES (UINT64_C(64) << 20)
/* So much over memory.high the kernel's delay is some 250 ms for each 64 pages: calculate_high_delay(). */
#define THROTTLE_PART 16

/* What each look on a rung asks for. */
static const enum ladder_move moves[LADDER_RUNGS][LEVELS] = {
	/* CALM, LIGHT, SOME, FULL, HEAVY */
	[LADDER_REST] = {LADDER_STAY, LADDER_STAY, LADDER_UP, LADDER_UP, LADDER_UP},
	[LADDER_NOTE] = {LADDER_DOWN, LADDER_STAY, LADDER_UP, LADDER_UP, LADDER_UP},
	[LADDER_RECLAIM] = {LADDER_DOWN, LADDER_STAY, LADDER_STAY, LADDER_UP, LADDER_UP},
	/* What the rung itself does shows as pressure, or as none: it lasts for its time, then is judged without. */
	[LADDER_HIGH] = {LADDER_DOWN, LADDER_DOWN, LADDER_DOWN, LADDER_DOWN, LADDER_DOWN},
	[LADDER_FREEZE] = {LADDER_DOWN, LADDER_DOWN, LADDER_DOWN, LADDER_DOWN, LADDER_DOWN},
	[LADDER_STOP] = {LADDER_STAY, LADDER_STAY, LADDER_STAY, LADDER_STAY, LADDER_STAY},
};

/* How long a move must be asked for without a break. From the note to the stop it is some 30 s, as systemd-oomd's
 * DefaultMemoryPressureDurationSec=. */
static const struct {
	uint64_t up_ns, down_ns;
} waits[LADDER_RUNGS] = {
	[LADDER_REST] = {0, 0},
	[LADDER_NOTE] = {3 * NSEC_PER_SEC, 5 * NSEC_PER_SEC},
	[LADDER_RECLAIM] = {5 * NSEC_PER_SEC, 5 * NSEC_PER_SEC},
	[LADDER_HIGH] = {0, 10 * NSEC_PER_SEC},
	/* A frozen agent frees nothing: no longer than its neighbours need to catch up. */
	[LADDER_FREEZE] = {0, 5 * NSEC_PER_SEC},
};

const char *ladder_next(const struct agent *agent, uint64_t *ret_at_ns)
{
	const struct ladder *ladder = ladder_of(agent);

	if (!ladder->throttle_bytes && !ladder->has_frozen)
		return NULL;
	*ret_at_ns = ladder->rung_ns + waits[ladder->rung].down_ns;
	return ladder->has_frozen ? "thaw" : "unthrottle";
}

/* ---- which agents ---- */

static bool is_watched(const struct agent *agent)
{
	return agent->is_placed && !agent->is_observed && !agent->is_releasing && !agent_is_ending(agent) &&
	       ladder_is_limited(agent->policy);
}

void ladder_begin(struct agent *agent, struct actions *actions)
{
	if (is_watched(agent) && !ladder_of(agent)->look_ns)
		actions_add(actions, ACTION_WATCH, agent);
}

/* ---- rungs ---- */

static void leave_rung(struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;

	if (ladder->throttle_bytes) {
		ladder->throttle_bytes = 0;
		actions_add(actions, ACTION_LIMIT, agent);
	}
	if (ladder->has_frozen) {
		ladder->has_frozen = false;
		actions_add(actions, ACTION_THAW, agent);
	}
}

static void enter_high(struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	uint64_t bytes = MIN2(ladder->view.memory_bytes, agent->policy->limits.memory_high_bytes);

	ladder->throttle_bytes = bytes - bytes / THROTTLE_PART;
	actions_add(actions, ACTION_LIMIT, agent);
}

static void enter_freeze(struct agent *agent, struct actions *actions)
{
	struct action *action = actions_add(actions, ACTION_FREEZE, agent);

	if (!action)
		return;
	action->is_brief = true;
	agent->ladder->has_frozen = true;
	agent->ladder->freezes++;
}

static void set_rung(const struct state *state, struct agent *agent, enum ladder_rung rung)
{
	agent->ladder->rung = rung;
	agent->ladder->rung_ns = state->now_ns;
	agent->ladder->move = LADDER_STAY;
}

static void begin_episode(const struct state *state, struct ladder *ladder)
{
	ladder->since_ns = state->now_ns;
	ladder->peak = LADDER_REST;
	ladder->is_told = false;
	ladder->untold++;
	ladder->freezes = 0;
	ladder->peak_some_milli = ladder->peak_full_milli = ladder->peak_bytes = ladder->reclaimed_bytes = 0;
	ladder->begin_highs = ladder->view.highs;
	ladder->begin_maxes = ladder->view.maxes;
}

static void climb(struct state *state, struct agent *agent, enum ladder_rung rung, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;

	if (ladder->rung == LADDER_REST)
		begin_episode(state, ladder);
	set_rung(state, agent, rung);
	ladder->peak = MAX2(ladder->peak, rung);
	if (rung > LADDER_RECLAIM)
		ladder->tried = rung;
	record_pressure(state, agent, rung, actions);
	if (rung == LADDER_HIGH)
		enter_high(agent, actions);
	else if (rung == LADDER_FREEZE)
		enter_freeze(agent, actions);
	else if (rung == LADDER_STOP) {
		agent->stop_rule = "pressure";
		agent->by_uid = INCIDENT_BY_GOVD;
		stop_agent(state, agent, actions);
	}
}

/* From high and freeze to reclaim, where it shows whether they have helped. */
static void descend(struct state *state, struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	enum ladder_rung rung = ladder->rung > LADDER_RECLAIM ? LADDER_RECLAIM : ladder->rung - 1;

	leave_rung(agent, actions);
	if (rung < LADDER_RECLAIM)
		ladder->tried = LADDER_REST;
	set_rung(state, agent, rung);
	if (rung == LADDER_REST && ladder->is_told)
		record_pressure_end(state, agent, actions);
}

void ladder_leave(struct agent *agent, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;

	if (!ladder)
		return;
	/* What is let go or has gone has lost its limits by that. */
	if (!agent->is_releasing && agent->state != AGENT_GONE)
		leave_rung(agent, actions);
	ladder->throttle_bytes = 0;
	ladder->has_frozen = false;
	/* One that is to end ends sooner without memory.high. */
	if (ladder->is_lifted && agent->state != AGENT_STOPPING) {
		ladder->is_lifted = false;
		actions_add(actions, ACTION_LIMIT, agent);
	}
	ladder->rung = ladder->tried = LADDER_REST;
	ladder->is_livelock = ladder->has_view = false;
	ladder->full_looks = ladder->calm_looks = 0;
	ladder->look_ns = 0;
}

/* At its own memory.high the kernel slows it down already. */
static bool can_throttle(const struct agent *agent)
{
	const struct pressure_view *view = &agent->ladder->view;

	return view->can_throttle && view->memory_bytes != UINT64_MAX && !agent->ladder->is_lifted &&
	       !ladder_is_at_high(agent);
}

/* What can be done here next; the same rung when nothing can. */
static enum ladder_rung rung_above(const struct agent *agent, enum level level)
{
	const struct ladder *ladder = agent->ladder;
	enum ladder_rung top = ladder_top(agent);
	bool has_high = can_throttle(agent);

	if (ladder->rung < LADDER_RECLAIM)
		return MIN2(ladder->rung + 1, top);
	/* What looks like a livelock is told from pressure first. */
	if (ladder->rung > LADDER_RECLAIM || livelock_is_suspected(agent))
		return ladder->rung;
	if (top >= LADDER_STOP && ladder->tried >= LADDER_FREEZE && level >= LEVEL_HEAVY)
		return LADDER_STOP;
	if (top >= LADDER_FREEZE && (ladder->tried >= LADDER_HIGH || !has_high) && level >= LEVEL_HEAVY)
		return LADDER_FREEZE;
	/* Again, where there is nothing beyond it. */
	return top >= LADDER_HIGH && has_high ? LADDER_HIGH : ladder->rung;
}

/* ---- looks ---- */

/* Percent of the time, times 1000, between two looks. */
static uint64_t share_milli(uint64_t now_us, uint64_t then_us, uint64_t time_us)
{
	if (now_us == UINT64_MAX || then_us == UINT64_MAX || now_us <= then_us || !time_us)
		return 0;
	return MIN2((now_us - then_us) * 100000 / time_us, UINT64_C(100000));
}

static uint64_t grown(uint64_t now, uint64_t then)
{
	return now != UINT64_MAX && then != UINT64_MAX && now > then ? now - then : 0;
}

/* False: there is nothing to compare it with yet. */
static bool measure(const struct state *state, struct ladder *ladder, const struct pressure_view *view,
		    uint64_t *ret_events)
{
	uint64_t time_us = (state->now_ns - ladder->view_ns) / NSEC_PER_USEC;
	bool had_view = ladder->has_view;

	if (had_view) {
		ladder->some_milli = share_milli(view->some_us, ladder->view.some_us, time_us);
		ladder->full_milli = share_milli(view->full_us, ladder->view.full_us, time_us);
		*ret_events = grown(view->highs, ladder->view.highs) + grown(view->maxes, ladder->view.maxes);
	}
	ladder->view = *view;
	ladder->view_ns = state->now_ns;
	ladder->has_view = true;
	return had_view;
}

static enum level level_of(const struct agent *agent, uint64_t events)
{
	const struct ladder *ladder = agent->ladder;

	/* Frozen by a user: it waits for nobody but them. */
	if (agent->state == AGENT_FROZEN && !ladder->has_frozen)
		return LEVEL_CALM;
	if (ladder->view.some_us == UINT64_MAX)
		return events >= EVENTS_PER_LOOK ? LEVEL_SOME : LEVEL_CALM;
	if (ladder->full_milli >= FULL_MILLI)
		return ladder->full_milli >= HEAVY_MILLI ? LEVEL_HEAVY : LEVEL_FULL;
	if (ladder->some_milli >= LIGHT_MILLI)
		return ladder->some_milli >= SOME_MILLI ? LEVEL_SOME : LEVEL_LIGHT;
	return LEVEL_CALM;
}

static void update_peaks(struct ladder *ladder)
{
	ladder->peak_some_milli = MAX2(ladder->peak_some_milli, ladder->some_milli);
	ladder->peak_full_milli = MAX2(ladder->peak_full_milli, ladder->full_milli);
	if (ladder->view.memory_bytes != UINT64_MAX)
		ladder->peak_bytes = MAX2(ladder->peak_bytes, ladder->view.memory_bytes);
}

static void reclaim(const struct agent *agent, struct actions *actions)
{
	const struct pressure_view *view = &agent->ladder->view;
	uint64_t bytes = MIN2(view->memory_bytes / RECLAIM_PART, RECLAIM_MAX_BYTES), most;
	struct action *action;

	if (!view->can_reclaim || view->memory_bytes == UINT64_MAX || view->file_bytes == UINT64_MAX)
		return;
	/* Without swap there is nothing but the page cache. */
	most = view->swap_free_bytes == UINT64_MAX || view->swap_free_bytes > LADDER_NO_SWAP_BYTES
		       ? UINT64_MAX
		       : view->file_bytes / 2;
	bytes = MIN2(bytes, most);
	if (bytes < RECLAIM_MIN_BYTES)
		return;
	action = actions_add(actions, ACTION_RECLAIM, agent);
	if (action)
		action->bytes = bytes;
}

/* ---- one look ---- */

static void take_step(struct state *state, struct agent *agent, enum level level, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	enum ladder_move move = moves[ladder->rung][level];
	enum ladder_rung above;
	uint64_t wait_ns;

	/* The policy has changed. */
	if (ladder->rung > ladder_top(agent)) {
		descend(state, agent, actions);
		return;
	}
	if (move != ladder->move) {
		ladder->move = move;
		ladder->move_ns = ladder->rung > LADDER_RECLAIM ? ladder->rung_ns : state->now_ns;
	}
	wait_ns = move == LADDER_UP ? waits[ladder->rung].up_ns : waits[ladder->rung].down_ns;
	above = rung_above(agent, level);
	if (move == LADDER_DOWN && state->now_ns - ladder->move_ns >= wait_ns)
		descend(state, agent, actions);
	else if (move == LADDER_UP && state->now_ns - ladder->move_ns >= wait_ns && above != ladder->rung)
		climb(state, agent, above, actions);
	else if (ladder->rung == LADDER_RECLAIM)
		reclaim(agent, actions);
	if (ladder->rung > LADDER_REST && !ladder->is_told)
		record_pressure(state, agent, LADDER_NOTE, actions);
}

/* When the next look is, or that there is none. */
static void plan(struct state *state, struct agent *agent, enum level level, struct actions *actions)
{
	struct ladder *ladder = agent->ladder;
	uint64_t after_ns = LOOK_EVERY_NS;

	ladder->calm_looks = level >= LEVEL_SOME ? 0 : ladder->calm_looks + 1;
	if (ladder->rung == LADDER_REST && ladder->calm_looks >= REST_LOOKS) {
		if (!ladder->is_lifted) {
			ladder->look_ns = 0;
			ladder->has_view = false;
			actions_add(actions, ACTION_WATCH, agent);
			return;
		}
		after_ns = LIFTED_LOOK_EVERY_NS;
	}
	ladder->look_ns = state->now_ns + after_ns;
	set_timer(state, ladder->look_ns, actions);
}

void step_pressure(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->pressure.agent);
	enum level level = LEVEL_SOME;
	uint64_t events = 0;

	if (!agent)
		return;
	if (!is_watched(agent)) {
		ladder_leave(agent, actions);
		return;
	}
	if (!agent->ladder)
		agent->ladder = calloc(1, sizeof(*agent->ladder));
	if (!agent->ladder) {
		actions_add(actions, ACTION_WATCH, agent);
		return;
	}
	if (agent->ladder->has_view && state->now_ns - agent->ladder->view_ns < LOOK_MIN_NS) {
		agent->ladder->look_ns = agent->ladder->view_ns + LOOK_EVERY_NS;
		set_timer(state, agent->ladder->look_ns, actions);
		return;
	}
	if (measure(state, agent->ladder, &event->pressure.view, &events)) {
		level = level_of(agent, events);
		if (!livelock_watch(state, agent, actions) && !livelock_relax(agent, actions))
			take_step(state, agent, level, actions);
		update_peaks(agent->ladder);
	}
	if (is_watched(agent))
		plan(state, agent, level, actions);
}

void ladder_look(struct agent *agent, struct actions *actions)
{
	if (agent->ladder)
		agent->ladder->look_ns = 0;
	if (is_watched(agent))
		actions_add(actions, ACTION_PRESSURE, agent);
	else
		ladder_leave(agent, actions);
}

/* The kernel couldn't freeze it in time, and it has been thawed. */
void ladder_freeze_failed(struct state *state, struct agent *agent)
{
	if (!ladder_of(agent)->has_frozen)
		return;
	agent->ladder->has_frozen = false;
	set_rung(state, agent, LADDER_RECLAIM);
}
