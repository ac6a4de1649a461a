/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/text.h"
#include "core/state.h"

/* Storms, breakers and sockets: what becomes an incident, and what is looked at again. */

#define LOOK_EVERY_NS (5 * NSEC_PER_SEC) /* while there is trouble; the kernel's window of bursts */
#define CALM_PCT 90			 /* of a limit: below it an alert may come again */

/* ---- episodes ---- */

/* The next would be recorded. */
static bool may_begin(const struct episode *episode, uint64_t now_ns)
{
	return told_is_due(episode->told_ns, TOLD_EVERY_NS, now_ns);
}

/* It goes on, since now or since before: true when that is to be recorded. One that began too soon after the one before
 * is recorded later, if it lasts. */
static bool episode_goes_on(struct episode *episode, uint64_t now_ns)
{
	if (!episode->is_on) {
		episode->is_on = true;
		episode->is_told = false;
		episode->since_ns = now_ns;
		episode->untold++;
	}
	if (episode->is_told || !may_tell(&episode->told_ns, TOLD_EVERY_NS, now_ns))
		return false;
	episode->is_told = true;
	episode->untold--;
	return true;
}

/* True when its end is to be recorded. */
static bool episode_ends(struct episode *episode)
{
	bool is_told = episode->is_on && episode->is_told;

	episode->is_on = false;
	return is_told;
}

/* ---- destinations in trouble ---- */

static bool is_active(const struct trouble *trouble)
{
	return trouble->storm.is_on || trouble->breaker.is_on || trouble->rate.is_on;
}

/* Nothing would be told too often if it were forgotten. */
static bool is_forgettable(const struct trouble *trouble, uint64_t now_ns)
{
	return !is_active(trouble) && may_begin(&trouble->storm, now_ns) && may_begin(&trouble->breaker, now_ns) &&
	       may_begin(&trouble->rate, now_ns);
}

static bool view_is_trouble(const struct connect_view *view)
{
	return view->storm_ns || view->breaker != GOV_BREAKER_CLOSED || view->is_over_new_rate;
}

static struct troubles *troubles_of(struct agent *agent)
{
	if (!agent->troubles)
		agent->troubles = calloc(1, sizeof(*agent->troubles));
	return agent->troubles;
}

/* More destinations are in trouble than are followed one by one: that, at least, is told. */
static void miss(struct state *state, struct agent *agent, struct actions *actions)
{
	struct troubles *troubles = agent->troubles;

	troubles->missed++;
	troubles->has_missed = true;
	if (!may_tell(&troubles->missed_told_ns, TOLD_EVERY_NS, state->now_ns))
		return;
	record_missed(agent, actions);
	troubles->missed = 0;
}

/* The one of this destination, or a new one when it is in trouble; NULL: neither. */
static struct trouble *find_trouble(struct state *state, struct agent *agent, const struct connect_view *view,
				    struct actions *actions)
{
	struct troubles *troubles = view_is_trouble(view) ? troubles_of(agent) : agent->troubles;
	struct trouble *spare = NULL;

	if (!troubles)
		return NULL;
	for (size_t i = 0; i < troubles->n; i++) {
		struct trouble *trouble = &troubles->items[i];

		if (trouble->view.is_udp == view->is_udp && streq(trouble->view.destination, view->destination))
			return trouble;
		if (is_forgettable(trouble, state->now_ns))
			spare = trouble;
	}
	if (!view_is_trouble(view))
		return NULL;
	if (troubles->n < TROUBLES_MAX)
		spare = &troubles->items[troubles->n++];
	if (spare)
		*spare = (struct trouble){0};
	else
		miss(state, agent, actions);
	return spare;
}

/* What of a counter belongs to the storm that has just been told: of the last attempts at most all. */
static uint64_t before(uint64_t counter, const struct connect_view *view)
{
	return counter - MIN2(counter, view->recent);
}

static void storm_begins(struct trouble *trouble, const struct connect_view *view)
{
	trouble->begin = *view;
	trouble->begin.attempts = before(view->attempts, view);
	trouble->begin.delayed = before(view->delayed, view);
	trouble->begin.refused = before(view->refused, view);
	trouble->begin.failed = before(view->failed, view);
	trouble->begin.dropped = before(view->dropped, view);
}

static void update_breaker(struct state *state, struct agent *agent, struct trouble *trouble, struct actions *actions)
{
	struct episode *episode = &trouble->breaker;
	bool is_half_open = trouble->view.breaker == GOV_BREAKER_HALF_OPEN;

	if (trouble->view.breaker == GOV_BREAKER_CLOSED) {
		if (episode_ends(episode))
			record_breaker(state, agent, trouble, actions);
		return;
	}
	if (episode_goes_on(episode, state->now_ns)) {
		trouble->has_probed = is_half_open;
		record_breaker(state, agent, trouble, actions);
	} else if (episode->is_told && is_half_open && !trouble->has_probed) {
		/* Each probe that fails opens it again, for longer: that isn't worth an incident. */
		trouble->has_probed = true;
		record_breaker(state, agent, trouble, actions);
	}
}

static void update_rate(struct state *state, const struct agent *agent, struct trouble *trouble,
			struct actions *actions)
{
	const struct connect_view *view = &trouble->view;
	uint64_t max_milli = new_rate_milli(&agent->policy->sockets);

	if (view->is_over_new_rate) {
		if (episode_goes_on(&trouble->rate, state->now_ns))
			record_rate(agent, trouble, actions);
	} else if (max_milli == UINT64_MAX || view->rate_milli < max_milli / 100 * CALM_PCT) {
		episode_ends(&trouble->rate);
	}
}

static void update_trouble(struct state *state, struct agent *agent, struct trouble *trouble,
			   const struct connect_view *view, struct actions *actions)
{
	if (view->storm_ns && !trouble->storm.is_on)
		storm_begins(trouble, view);
	trouble->view = *view;
	if (view->storm_ns) {
		if (episode_goes_on(&trouble->storm, state->now_ns))
			record_storm(agent, trouble, actions);
	} else if (episode_ends(&trouble->storm)) {
		record_storm_end(state, agent, trouble, actions);
	}
	update_breaker(state, agent, trouble, actions);
	update_rate(state, agent, trouble, actions);
}

/* Asks for the next look, or for none. */
static void plan_look(struct state *state, struct agent *agent, struct actions *actions)
{
	const struct troubles *troubles = agent->troubles;
	bool wanted = troubles && troubles->has_missed;

	for (size_t i = 0; troubles && i < troubles->n; i++)
		wanted |= is_active(&troubles->items[i]);
	if (!wanted)
		agent->connect_look_ns = 0;
	if (!wanted || agent->connect_look_ns)
		return;
	/* All agents' looks at the same times: the kernel's table is read once for all of them. */
	agent->connect_look_ns = (state->now_ns / LOOK_EVERY_NS + 1) * LOOK_EVERY_NS;
	set_timer(state, agent->connect_look_ns, actions);
}

void connect_look(struct agent *agent, struct actions *actions)
{
	agent->connect_look_ns = 0;
	if (agent->state == AGENT_GONE || !agent->troubles)
		return;
	agent->troubles->has_missed = false;
	for (size_t i = 0; i < agent->troubles->n; i++)
		agent->troubles->items[i].is_seen = false;
	actions_add(actions, ACTION_LOOK, agent);
}

/* ---- strangers ---- */

static struct stranger *find_stranger(struct state *state, pid_t pid, const char *destination)
{
	struct stranger *spare = NULL;

	for (size_t i = 0; i < STRANGERS_MAX; i++) {
		struct stranger *stranger = &state->strangers[i];

		if (stranger->pid == pid && streq(stranger->destination, destination))
			return stranger;
		if (may_begin(&stranger->storm, state->now_ns) &&
		    (!spare || stranger->storm.told_ns < spare->storm.told_ns))
			spare = stranger;
	}
	if (!spare)
		return NULL;
	*spare = (struct stranger){.pid = pid};
	text_copy(spare->destination, sizeof(spare->destination), destination);
	return spare;
}

/* The kernel tells of each begin; nobody looks for the end. */
static void stranger_storms(struct state *state, const struct event *event, struct actions *actions)
{
	const struct connect_view *view = &event->connects.view;
	struct stranger *stranger = find_stranger(state, event->connects.pid, view->destination);

	if (!stranger) {
		state->strangers_missed++;
		return;
	}
	stranger->storm.is_on = false;
	if (!episode_goes_on(&stranger->storm, state->now_ns))
		return;
	record_stranger(state, event, stranger, actions);
	state->strangers_missed = 0;
}

/* ---- events ---- */

void step_connects(struct state *state, const struct event *event, struct actions *actions)
{
	const struct connect_view *view = &event->connects.view;
	struct trouble *trouble;
	struct agent *agent;

	if (!event->connects.agent) {
		if (view->storm_ns)
			stranger_storms(state, event, actions);
		return;
	}
	agent = state_get(state, event->connects.agent);
	if (!agent || agent->state == AGENT_GONE)
		return;
	trouble = find_trouble(state, agent, view, actions);
	if (trouble) {
		trouble->is_seen = true;
		update_trouble(state, agent, trouble, view, actions);
	}
	plan_look(state, agent, actions);
}

void step_connects_end(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->connects_end.agent);

	if (!agent || agent->state == AGENT_GONE || !agent->troubles)
		return;
	for (size_t i = 0; i < agent->troubles->n; i++) {
		struct trouble *trouble = &agent->troubles->items[i];
		struct connect_view view = trouble->view;

		if (trouble->is_seen || !is_active(trouble))
			continue;
		view.storm_ns = 0;
		view.breaker = GOV_BREAKER_CLOSED;
		view.breaker_failures = view.breaker_interval_ns = 0;
		view.is_over_new_rate = false;
		view.rate_milli = 0;
		update_trouble(state, agent, trouble, &view, actions);
	}
	plan_look(state, agent, actions);
}

void step_sockets(struct state *state, const struct event *event, struct actions *actions)
{
	struct agent *agent = state_get(state, event->sockets.agent);
	const struct socket_view *view = &event->sockets.view;
	uint64_t max;

	if (!agent || agent->state == AGENT_GONE)
		return;
	max = agent->policy->sockets.max;
	if (max != UNIT_INFINITY && view->open > max) {
		if (troubles_of(agent) && episode_goes_on(&agent->troubles->sockets, state->now_ns))
			record_sockets(agent, view, actions);
	} else if (agent->troubles && (max == UNIT_INFINITY || (double)view->open < (double)max * CALM_PCT / 100)) {
		episode_ends(&agent->troubles->sockets);
	}
}

/* ---- policies ---- */

static bool rate_equal(const struct policy_rate *a, const struct policy_rate *b)
{
	return a->count == b->count && a->per_ns == b->per_ns;
}

static bool connect_equal(const struct policy_connect *a, const struct policy_connect *b)
{
	return rate_equal(&a->rate, &b->rate) && a->burst == b->burst && a->per == b->per &&
	       a->max_delay_ns == b->max_delay_ns && a->on_excess == b->on_excess && a->udp == b->udp;
}

static bool breaker_equal(const struct policy_breaker *a, const struct policy_breaker *b)
{
	return a->failures == b->failures && a->factor_milli == b->factor_milli &&
	       a->max_interval_ns == b->max_interval_ns && a->stable_after_ns == b->stable_after_ns;
}

static bool sockets_equal(const struct policy_sockets *a, const struct policy_sockets *b)
{
	return a->max == b->max && rate_equal(&a->new_rate, &b->new_rate);
}

bool pacing_equal(const struct policy *a, const struct policy *b)
{
	return connect_equal(&a->connect, &b->connect) && breaker_equal(&a->breaker, &b->breaker) &&
	       sockets_equal(&a->sockets, &b->sockets) && !a->idle.after_ns == !b->idle.after_ns &&
	       rate_equal(&a->spawn, &b->spawn);
}
