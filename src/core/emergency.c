/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/emergency.h"

#include "core/state.h"

/* Is the memory of the host short, and may something be done? emergency_choose.c says to whom. */

#define LOOK_MIN_NS (50 * NSEC_PER_MSEC)
#define LOOK_MAX_NS NSEC_PER_SEC
/* Faster than this a host isn't expected to fill: about 4 GB a second, as 8 CPUs that touch new pages. */
#define FILL_BYTES_PER_NS 4
#define RECENT_NS NSEC_PER_SEC /* for how fast memory falls */
#define SAMPLES_OF_FOR 16      /* pressure is kept so often within `for` */
/* Limits of groups stall their members, too. With this share of memory available it isn't the host that lacks it. */
#define PRESSURE_AVAILABLE_PCT 25
/* Between two choices that came to nothing. */
#define CHOOSE_EVERY_NS NSEC_PER_SEC

uint64_t emergency_share(const struct host_share *share, uint64_t total_bytes)
{
	return share->bytes ? MIN2(share->bytes, total_bytes) : total_bytes / 100 * share->pct;
}

static const struct host_emergency *rules_of(const struct state *state)
{
	static const struct host_emergency none = {0};

	return state->set ? &state->set->host.emergency : &none;
}

static bool is_off(const struct host_emergency *rules)
{
	return !rules->memory_available.bytes && !rules->memory_available.pct && !rules->pressure_full_pct;
}

/* ---- what was seen ---- */

static const struct emergency_look *look_at(const struct emergency *emergency, size_t ago)
{
	return ago < MIN2(emergency->n_looks, (size_t)EMERGENCY_LOOKS)
		       ? &emergency->looks[(emergency->n_looks - 1 - ago) % EMERGENCY_LOOKS]
		       : NULL;
}

static uint64_t fall_between(const struct emergency_look *from, const struct emergency_look *to)
{
	uint64_t ms = from && to ? (to->time_ns - from->time_ns) / NSEC_PER_MSEC : 0;

	if (!ms || to->available_bytes >= from->available_bytes)
		return 0;
	return (from->available_bytes - to->available_bytes) * 1000 / ms;
}

uint64_t emergency_fall(const struct emergency *emergency, uint64_t over_ns)
{
	const struct emergency_look *now = look_at(emergency, 0), *then = now, *before;

	for (size_t ago = 1; then && emergency->look_ns - then->time_ns < over_ns; ago++) {
		before = look_at(emergency, ago);
		if (!before)
			break;
		then = before;
	}
	return fall_between(then, now);
}

uint64_t emergency_pressure_milli(const struct emergency *emergency, uint64_t for_ns)
{
	size_t n = MIN2(emergency->n_samples, (size_t)EMERGENCY_SAMPLES);
	const struct emergency_sample *then = NULL;
	uint64_t elapsed_ns, stalled_ns;

	if (emergency->host.full_ns == UINT64_MAX || !n)
		return UINT64_MAX;
	/* The oldest that isn't much older than `for`; else the newest. */
	for (size_t ago = 1; ago <= n; ago++) {
		const struct emergency_sample *sample =
			&emergency->samples[(emergency->n_samples - ago) % EMERGENCY_SAMPLES];

		if (then && emergency->look_ns - sample->time_ns > for_ns + for_ns / 4)
			break;
		then = sample;
	}
	/* As long as less than `for` is known, nothing is guessed: the rest was calm. */
	elapsed_ns = MAX2(emergency->look_ns - then->time_ns, for_ns);
	stalled_ns = emergency->host.full_ns > then->full_ns ? emergency->host.full_ns - then->full_ns : 0;
	return MIN2(stalled_ns, elapsed_ns) / 1000 * 100000 / MAX2(elapsed_ns / 1000, UINT64_C(1));
}

/* Stalls until now don't count again. */
static void forget_pressure(struct emergency *emergency)
{
	emergency->samples[0] = (struct emergency_sample){emergency->look_ns, emergency->host.full_ns};
	emergency->n_samples = 1;
}

static void take_look(struct emergency *emergency, const struct host_view *host, uint64_t now_ns, uint64_t for_ns)
{
	const struct emergency_look *last = look_at(emergency, 0);
	const struct emergency_sample *sample;

	/* Two at one time are one. */
	if (last && last->time_ns == now_ns)
		emergency->n_looks--;
	emergency->looks[emergency->n_looks++ % EMERGENCY_LOOKS] =
		(struct emergency_look){now_ns, host->available_bytes};
	if (emergency->host.full_ns == UINT64_MAX)
		emergency->n_samples = 0;
	emergency->host = *host;
	emergency->look_ns = now_ns;
	if (!emergency->n_samples) {
		forget_pressure(emergency);
		return;
	}
	sample = &emergency->samples[(emergency->n_samples - 1) % EMERGENCY_SAMPLES];
	if (now_ns - sample->time_ns >= for_ns / SAMPLES_OF_FOR && now_ns > sample->time_ns)
		emergency->samples[emergency->n_samples++ % EMERGENCY_SAMPLES] =
			(struct emergency_sample){now_ns, host->full_ns};
}

/* ---- is it an emergency? ---- */

/* While there is swap the kernel goes on: then it is pressure that tells when that doesn't work any more. */
static bool swap_is_short(const struct host_emergency *rules, const struct host_view *host)
{
	return !host->swap_total_bytes ||
	       host->swap_free_bytes < emergency_share(&rules->memory_available, host->swap_total_bytes);
}

/* Would it be gone before an end could help? Two looks in a row say so, as one may have seen but a jump. */
static bool is_soon_gone(const struct emergency *emergency)
{
	const struct emergency_look *now = look_at(emergency, 0), *before = look_at(emergency, 1),
				    *first = look_at(emergency, 2);
	uint64_t fall = MIN2(fall_between(before, now), fall_between(first, before));

	return now->available_bytes < fall / (NSEC_PER_SEC / EMERGENCY_HORIZON_NS);
}

static bool memory_is_short(struct emergency *emergency, const struct host_emergency *rules)
{
	const struct host_view *host = &emergency->host;
	uint64_t threshold = emergency_share(&rules->memory_available, host->total_bytes);

	if (host->available_bytes >= threshold || !swap_is_short(rules, host)) {
		emergency->low_since_ns = 0;
		return false;
	}
	if (!emergency->low_since_ns)
		emergency->low_since_ns = emergency->look_ns;
	return host->available_bytes < threshold / 2 || is_soon_gone(emergency) ||
	       emergency->look_ns - emergency->low_since_ns >= rules->for_ns;
}

static bool pressure_is_high(const struct emergency *emergency, const struct host_emergency *rules)
{
	uint64_t milli = emergency_pressure_milli(emergency, rules->for_ns);

	return rules->pressure_full_pct && milli != UINT64_MAX && milli > rules->pressure_full_pct * UINT64_C(1000) &&
	       emergency->host.available_bytes < emergency->host.total_bytes / 100 * PRESSURE_AVAILABLE_PCT;
}

static const char *find_rule(struct emergency *emergency, const struct host_emergency *rules)
{
	bool is_short = memory_is_short(emergency, rules);

	if (is_short)
		return "emergency.memory_available";
	return pressure_is_high(emergency, rules) ? "emergency.pressure_full" : NULL;
}

struct emergency_need emergency_need(const struct state *state)
{
	const struct emergency *emergency = &state->emergency;
	uint64_t threshold = emergency_share(&rules_of(state)->memory_available, emergency->host.total_bytes);
	uint64_t wanted = 2 * threshold, available = emergency->host.available_bytes;
	struct emergency_need need = {.missing_bytes = available < wanted ? wanted - available : 0};

	need.missing_bytes = MAX2(need.missing_bytes, threshold / 2);
	need.growing_bytes =
		MIN2(emergency_fall(emergency, RECENT_NS) * EMERGENCY_GROWTH_S, emergency->host.total_bytes);
	return need;
}

unsigned emergency_kills(const struct emergency *emergency, uint64_t now_ns)
{
	unsigned kills = 0;

	for (size_t i = 0; i < EMERGENCY_KILLS_MAX; i++)
		kills += emergency->kills[i] && now_ns - emergency->kills[i] < EMERGENCY_WINDOW_NS;
	return kills;
}

void emergency_note_kill(uint64_t kills[static EMERGENCY_KILLS_MAX], uint64_t time_ns)
{
	uint64_t *oldest = kills;

	for (size_t i = 1; i < EMERGENCY_KILLS_MAX; i++)
		if (kills[i] < *oldest)
			oldest = &kills[i];
	*oldest = time_ns;
}

void step_past_kill(struct state *state, const struct event *event, _unused_ struct actions *actions)
{
	emergency_note_kill(state->emergency.kills, event->past_kill.kill_ns);
}

/* ---- one at a time ---- */

/* Whether the memory of the last one may still come back; else it is waited for no longer. */
static bool wait_for_memory(struct state *state)
{
	struct emergency *emergency = &state->emergency;
	const struct agent *agent = state_get(state, emergency->victim);
	uint64_t now_ns = state->now_ns;

	if (!emergency->victim)
		return false;
	if (emergency->wait_until_ns) {
		if (now_ns < emergency->wait_until_ns)
			return true;
	} else if (agent && !agent->is_empty && agent->state == AGENT_STOPPING) {
		if (now_ns - emergency->victim_ns < EMERGENCY_KILL_WAIT_NS)
			return true;
	} else {
		if (!emergency->victim_gone_ns)
			emergency->victim_gone_ns = now_ns;
		if (now_ns - emergency->victim_gone_ns < EMERGENCY_SETTLE_NS &&
		    emergency->host.available_bytes < emergency->victim_available_bytes + emergency->victim_bytes / 2)
			return true;
	}
	emergency->victim = 0;
	emergency->low_since_ns = 0;
	emergency->choose_ns = 0;
	forget_pressure(emergency);
	return false;
}

static void record_over(const struct state *state, struct actions *actions)
{
	const struct emergency *emergency = &state->emergency;
	struct incident *incident =
		record_agent(actions, INCIDENT_EMERGENCY, NULL, (struct record_words){emergency->rule, "none", "over"});

	if (!incident)
		return;
	incident_add_number(incident, "took_ms", (state->now_ns - emergency->since_ns) / NSEC_PER_MSEC);
	incident_add_number(incident, "ended", emergency->ended);
	incident_add_number(incident, "available_bytes", emergency->host.available_bytes);
}

static void record_limit(struct state *state, unsigned kills, struct actions *actions)
{
	struct emergency *emergency = &state->emergency;
	struct incident *incident;

	if (!may_tell(&emergency->told_ns, TOLD_EVERY_NS, state->now_ns))
		return;
	incident = record_agent(actions, INCIDENT_ALERT, NULL,
				(struct record_words){"emergency.kills_per_min", "kill", "refused"});
	if (!incident)
		return;
	incident_add_number(incident, "kills", kills);
	incident_add_number(incident, "available_bytes", emergency->host.available_bytes);
}

static void choose(struct state *state, const struct host_emergency *rules, struct actions *actions)
{
	struct emergency *emergency = &state->emergency;
	unsigned kills = emergency_kills(emergency, state->now_ns);
	struct action *action;

	if (emergency->choose_ns > state->now_ns)
		return;
	emergency->choose_ns = state->now_ns + CHOOSE_EVERY_NS;
	if (kills >= MIN2(rules->kills_per_min, (uint32_t)EMERGENCY_KILLS_MAX)) {
		record_limit(state, kills, actions);
		return;
	}
	action = actions_add(actions, ACTION_WEIGH, NULL);
	if (!action)
		return;
	/* Below it an agent is too small to be chosen anyway. */
	action->bytes = emergency_need(state).missing_bytes / EMERGENCY_PART;
	emergency->is_choosing = true;
}

void step_host(struct state *state, const struct event *event, struct actions *actions)
{
	const struct host_emergency *rules = rules_of(state);
	struct emergency *emergency = &state->emergency;
	const char *rule;

	take_look(emergency, &event->host, state->now_ns, rules->for_ns);
	if (wait_for_memory(state))
		return;
	rule = find_rule(emergency, rules);
	if (!rule && emergency->rule && emergency->ended)
		record_over(state, actions);
	if (rule && !emergency->rule) {
		emergency->since_ns = emergency->look_ns;
		emergency->ended = 0;
		emergency->choose_ns = 0;
	}
	emergency->rule = rule;
	emergency->is_choosing = false;
	if (rule)
		choose(state, rules, actions);
}

/* ---- for the edges ---- */

uint64_t state_next_look_ns(const struct state *state)
{
	const struct host_emergency *rules = rules_of(state);
	const struct emergency *emergency = &state->emergency;
	const struct host_view *host = &emergency->host;
	uint64_t threshold = emergency_share(&rules->memory_available, host->total_bytes);
	uint64_t milli = emergency_pressure_milli(emergency, rules->for_ns);
	uint64_t wait_ns = LOOK_MIN_NS;

	if (is_off(rules))
		return UINT64_MAX;
	if (!emergency->rule && !emergency->victim && host->available_bytes > threshold &&
	    (milli == UINT64_MAX || milli < (rules->pressure_full_pct + 1) * UINT64_C(1000) / 4))
		wait_ns = (host->available_bytes - threshold) / FILL_BYTES_PER_NS;
	if (wait_ns < LOOK_MAX_NS)
		return emergency->look_ns + MAX2(wait_ns, LOOK_MIN_NS);
	/* On a whole second, as all that is done at rest: one wake-up does for all. */
	return emergency->look_ns + LOOK_MAX_NS - emergency->look_ns % LOOK_MAX_NS;
}

uint64_t state_last_kill_ns(const struct state *state)
{
	return state->emergency.last_kill_ns;
}

void state_emergency(const struct state *state, struct emergency_view *ret_view)
{
	const struct host_emergency *rules = rules_of(state);
	const struct emergency *emergency = &state->emergency;
	bool is_known = emergency->look_ns;

	*ret_view = (struct emergency_view){
		.state = "calm",
		.available_bytes = is_known ? emergency->host.available_bytes : UINT64_MAX,
		.full_milli = is_known ? emergency_pressure_milli(emergency, rules->for_ns) : UINT64_MAX,
		.kills = emergency->n_kills,
	};
	if (is_off(rules))
		ret_view->state = "off";
	else if (emergency->victim)
		ret_view->state = "ending";
	else if (emergency->rule || emergency->low_since_ns)
		ret_view->state = "short";
}
