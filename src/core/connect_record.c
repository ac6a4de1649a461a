/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"

/* The incidents of connects and sockets, with their evidence. */

/* Those before it that were not recorded. */
static void add_untold(struct incident *incident, struct episode *episode)
{
	if (episode->untold)
		incident_add_number(incident, "untold", episode->untold);
	episode->untold = 0;
}

/* Without what record_agent() tells of its executable: the agent's own incident has it, and the evidence needs the
 * room. */
static struct incident *record_connects(struct actions *actions, enum incident_kind kind, const struct agent *agent,
					struct record_words words)
{
	struct incident *incident = record_agent(actions, kind, agent, words);

	if (!incident)
		return NULL;
	incident->n_facts = MIN2(incident->n_facts, (size_t)1);
	incident->by_uid = kind == INCIDENT_SOCKETS ? INCIDENT_BY_GOVD : INCIDENT_BY_KERNEL;
	return incident;
}

static void add_destination(struct incident *incident, const struct connect_view *view)
{
	char destination[CONNECT_DESTINATION_MAX + sizeof("/udp")];

	snprintf(destination, sizeof(destination), "%s%s", view->destination, view->is_udp ? "/udp" : "");
	incident_add_text(incident, "destination", destination);
}

static struct record_words storm_words(const struct agent *agent, const char *result)
{
	struct record_words words = {.rule = "connect", .action = "delay", .result = result};

	if (!agent->policy->connect.rate.count)
		words = (struct record_words){.rule = "storm", .action = "none", .result = result};
	else if (agent->is_observed)
		words.action = "would-delay";
	return words;
}

void record_storm(const struct agent *agent, struct trouble *trouble, struct actions *actions)
{
	const struct connect_view *view = &trouble->view;
	struct incident *incident = record_connects(actions, INCIDENT_STORM, agent, storm_words(agent, "begun"));

	if (!incident)
		return;
	add_destination(incident, view);
	incident_add_number(incident, "attempts", view->attempts - trouble->begin.attempts);
	incident_add_milli(incident, "rate_per_s", view->rate_milli);
	incident_add_number(incident, "failed_pct", view->failed_pct);
	incident_add_number(incident, "delayed", view->delayed - trouble->begin.delayed);
	add_untold(incident, &trouble->storm);
}

/* A counter begins anew when its entry was removed and made again. */
static uint64_t since(uint64_t now, uint64_t begin)
{
	return now > begin ? now - begin : now < begin ? now : 0;
}

void record_storm_end(const struct state *state, const struct agent *agent, const struct trouble *trouble,
		      struct actions *actions)
{
	const struct connect_view *view = &trouble->view, *begin = &trouble->begin;
	struct incident *incident = record_connects(actions, INCIDENT_STORM, agent, storm_words(agent, "over"));
	uint64_t attempts = since(view->attempts, begin->attempts);
	uint64_t bad = since(view->failed, begin->failed) + since(view->dropped, begin->dropped);

	if (!incident)
		return;
	add_destination(incident, view);
	incident_add_number(incident, "attempts", attempts);
	incident_add_number(incident, "failed_pct", attempts ? MIN2(bad * 100 / attempts, UINT64_C(100)) : 0);
	incident_add_number(incident, "delayed", since(view->delayed, begin->delayed));
	incident_add_number(incident, "refused", since(view->refused, begin->refused));
	incident_add_milli(incident, "duration_s", (state->now_ns - trouble->storm.since_ns) / NSEC_PER_MSEC);
}

void record_breaker(const struct state *state, const struct agent *agent, struct trouble *trouble,
		    struct actions *actions)
{
	const struct connect_view *view = &trouble->view;
	struct incident *incident =
		record_connects(actions, INCIDENT_BREAKER, agent,
				(struct record_words){"breaker", agent->is_observed ? "would-delay" : "delay",
						      connect_breaker_name(view->breaker)});

	if (!incident)
		return;
	add_destination(incident, view);
	incident_add_number(incident, "attempts", view->attempts);
	incident_add_number(incident, "failures", view->breaker_failures);
	if (view->breaker == GOV_BREAKER_CLOSED)
		incident_add_milli(incident, "duration_s", (state->now_ns - trouble->breaker.since_ns) / NSEC_PER_MSEC);
	else
		incident_add_milli(incident, "interval_s", view->breaker_interval_ns / NSEC_PER_MSEC);
	add_untold(incident, &trouble->breaker);
}

uint64_t new_rate_milli(const struct policy_sockets *sockets)
{
	if (!sockets->new_rate.count || !sockets->new_rate.per_ns)
		return UINT64_MAX;
	return (uint64_t)((double)sockets->new_rate.count * 1000.0 * (double)NSEC_PER_SEC /
			  (double)sockets->new_rate.per_ns);
}

void record_rate(const struct agent *agent, struct trouble *trouble, struct actions *actions)
{
	struct incident *incident = record_connects(actions, INCIDENT_SOCKETS, agent,
						    (struct record_words){"sockets.new_rate", "alert", "done"});

	if (!incident)
		return;
	add_destination(incident, &trouble->view);
	incident_add_milli(incident, "rate_per_s", trouble->view.rate_milli);
	incident_add_milli(incident, "max_per_s", new_rate_milli(&agent->policy->sockets));
	incident_add_number(incident, "open", trouble->view.open);
	add_untold(incident, &trouble->rate);
}

void record_sockets(const struct agent *agent, const struct socket_view *view, struct actions *actions)
{
	struct incident *incident = record_connects(actions, INCIDENT_SOCKETS, agent,
						    (struct record_words){"sockets.max", "alert", "done"});

	if (!incident)
		return;
	incident_add_number(incident, "open", view->open);
	incident_add_number(incident, "max", agent->policy->sockets.max);
	if (*view->top)
		incident_add_text(incident, "destination", view->top);
	incident_add_number(incident, "destination_pct", view->open ? view->top_open * 100 / view->open : 0);
	incident_add_number(incident, "unread", view->unread_sockets);
	incident_add_number(incident, "close_wait", view->close_wait);
	add_untold(incident, &agent->troubles->sockets);
}

void record_missed(const struct agent *agent, struct actions *actions)
{
	struct incident *incident =
		record_connects(actions, INCIDENT_ALERT, agent, (struct record_words){"destinations", "none", "done"});

	if (!incident)
		return;
	incident_add_number(incident, "followed", TROUBLES_MAX);
	incident_add_number(incident, "missed", agent->troubles->missed);
}

void record_stranger(const struct state *state, const struct event *event, struct stranger *stranger,
		     struct actions *actions)
{
	const struct connect_view *view = &event->connects.view;
	struct incident *incident =
		record_agent(actions, INCIDENT_STORM, NULL, (struct record_words){"watch_strangers", "none", "begun"});

	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_KERNEL;
	incident_add_number(incident, "pid", (uint64_t)event->connects.pid);
	if (!str_empty(event->connects.exe))
		incident_add_text(incident, "exe", event->connects.exe);
	add_destination(incident, view);
	incident_add_number(incident, "attempts", view->attempts);
	incident_add_milli(incident, "rate_per_s", view->rate_milli);
	incident_add_number(incident, "failed_pct", view->failed_pct);
	add_untold(incident, &stranger->storm);
	if (state->strangers_missed)
		incident_add_number(incident, "missed", state->strangers_missed);
}
