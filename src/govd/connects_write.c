/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

/* Connects and sockets of an agent, for list, show and status. */

#define DESTINATIONS_MAX ((size_t)2 * GOV_CONNECT_DESTINATIONS_MAX)

static double per_second(uint64_t count, uint64_t per_ns)
{
	return (double)count * (double)NSEC_PER_SEC / (double)per_ns;
}

void connects_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	const struct socket_view *sockets = sockets_of(manager, agent);
	uint64_t owner = connects_owner(agent);
	struct gov_connect_stats stats;

	if (sockets)
		bus_write_u64(writer, "sockets", sockets->open);
	if (!manager->connects.is_on || !owner || bpf_connect_stats(manager->bpf, owner, &stats) < 0)
		return;
	bus_write_u64(writer, "connects", stats.connects);
	bus_write_u64(writer, "delayed", stats.delayed);
	bus_write_u64(writer, "refused", stats.refused);
	bus_write_u64(writer, "abandoned", stats.abandoned);
}

/* ---- limits ---- */

static void write_connect(struct bus_writer *writer, const struct policy_connect *connect)
{
	static const char *const pers[] = {
		[POLICY_PER_DESTINATION] = "destination", [POLICY_PER_PORT] = "port", [POLICY_PER_AGENT] = "agent"};

	if (!connect->rate.count)
		return;
	bus_begin_dict(writer, "connect");
	bus_write_double(writer, "rate_per_s", per_second(connect->rate.count, connect->rate.per_ns));
	bus_write_u64(writer, "burst", connect->burst);
	bus_write_string(writer, "per", pers[connect->per]);
	bus_write_double(writer, "max_delay_s", manager_seconds(connect->max_delay_ns));
	bus_write_string(writer, "on_excess", connect->on_excess == POLICY_EXCESS_REFUSE ? "refuse" : "delay");
	bus_write_string(writer, "udp", connect->udp == POLICY_UDP_REFUSE ? "refuse" : "count");
	bus_end(writer);
}

void connects_write_limits(struct bus_writer *writer, const struct policy *policy)
{
	const struct policy_breaker *breaker = &policy->breaker;
	const struct policy_sockets *sockets = &policy->sockets;

	write_connect(writer, &policy->connect);
	if (breaker->failures) {
		bus_begin_dict(writer, "breaker");
		bus_write_u64(writer, "failures", breaker->failures);
		bus_write_double(writer, "factor", (double)breaker->factor_milli / 1000.0);
		bus_write_double(writer, "max_interval_s", manager_seconds(breaker->max_interval_ns));
		bus_write_double(writer, "stable_after_s", manager_seconds(breaker->stable_after_ns));
		bus_end(writer);
	}
	if (sockets->max == UNIT_INFINITY && !sockets->new_rate.count)
		return;
	bus_begin_dict(writer, "sockets");
	bus_write_u64(writer, "max", sockets->max);
	if (sockets->new_rate.count)
		bus_write_double(writer, "new_rate_per_s",
				 per_second(sockets->new_rate.count, sockets->new_rate.per_ns));
	bus_end(writer);
}

/* ---- destinations ---- */

struct destination {
	struct gov_connect_key key;
	struct gov_connect_entry entry;
};

struct destinations {
	struct destination *items;
	size_t n;
	struct gov_connect_agent rule;
	uint64_t now_ns;
};

static void collect(const struct gov_connect_key *key, const struct gov_connect_entry *entry, void *userdata)
{
	struct destinations *list = userdata;

	if (list->n < DESTINATIONS_MAX)
		list->items[list->n++] = (struct destination){.key = *key, .entry = *entry};
}

/* Those with most attempts first. */
static int compare_destinations(const void *a, const void *b)
{
	const struct destination *x = a, *y = b;

	if (x->entry.attempts != y->entry.attempts)
		return x->entry.attempts > y->entry.attempts ? -1 : 1;
	return memcmp(&x->key, &y->key, sizeof(x->key));
}

/* The schedule that it shares with others, or NULL. */
static const struct gov_pace *shared_pace(const struct destinations *list, const struct gov_connect_key *key)
{
	bool per_port = list->rule.flags & GOV_CONNECT_PER_PORT;

	if (!per_port && !(list->rule.flags & GOV_CONNECT_PER_AGENT))
		return NULL;
	for (size_t i = 0; i < list->n; i++) {
		const struct gov_connect_key *other = &list->items[i].key;

		if (other->is_udp == key->is_udp && other->kind == (per_port ? GOV_CONNECT_PORT : GOV_CONNECT_AGENT) &&
		    (!per_port || other->port == key->port))
			return &list->items[i].entry.pace;
	}
	return NULL;
}

/* When a connect that is made now would leave. */
static uint64_t next_in_ns(const struct destinations *list, const struct destination *destination)
{
	const struct gov_pace *shared = shared_pace(list, &destination->key);
	struct gov_pace_rate rate = {0};
	uint64_t depart_ns;

	if (!shared)
		rate = list->rule.rate;
	rate = gov_breaker_rate(&destination->entry.breaker, &rate, 0);
	depart_ns = gov_pace_peek(&destination->entry.pace, &rate, list->now_ns).depart_ns;
	if (shared)
		depart_ns = MAX2(depart_ns, gov_pace_peek(shared, &list->rule.rate, list->now_ns).depart_ns);
	return MIN2(depart_ns - list->now_ns, list->rule.max_delay_ns);
}

static void write_destination(struct bus_writer *writer, const struct destinations *list,
			      const struct destination *destination)
{
	struct connect_view view = {};

	bpf_connect_format(view.destination, sizeof(view.destination), &destination->key);
	connect_view_of(&destination->entry, &list->rule, list->now_ns, &view);
	bus_begin_dict(writer, NULL);
	bus_write_string(writer, "destination", view.destination);
	bus_write_string(writer, "protocol", destination->key.is_udp ? "udp" : "tcp");
	bus_write_u64(writer, "attempts", view.attempts);
	bus_write_u64(writer, "delayed", view.delayed);
	bus_write_u64(writer, "refused", view.refused);
	bus_write_u64(writer, "established", view.established);
	bus_write_u64(writer, "failed", view.failed);
	bus_write_u64(writer, "dropped", view.dropped);
	bus_write_u64(writer, "open", view.open);
	bus_write_double(writer, "rate_per_s", (double)view.rate_milli / 1000.0);
	bus_write_bool(writer, "storm", view.storm_ns);
	bus_begin_dict(writer, "breaker");
	bus_write_string(writer, "state", connect_breaker_name(view.breaker));
	bus_write_double(writer, "interval_s", manager_seconds(view.breaker_interval_ns));
	bus_end(writer);
	bus_write_double(writer, "next_in_s", manager_seconds(next_in_ns(list, destination)));
	bus_end(writer);
}

void connects_write_destinations(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	_cleanup_free_ struct destination *items = calloc(DESTINATIONS_MAX, sizeof(*items));
	struct destinations list = {.items = items, .now_ns = manager_now_ns()};
	uint64_t owner = connects_owner(agent);

	if (!manager->connects.is_on || !owner || !items)
		return;
	connect_rule(agent->policy, &list.rule);
	if (bpf_connect_entries(manager->bpf, owner, collect, &list) < 0)
		return;
	qsort(items, list.n, sizeof(*items), compare_destinations);
	bus_begin_list(writer, "destinations");
	for (size_t i = 0; i < list.n; i++)
		if (items[i].key.kind == GOV_CONNECT_DESTINATION || items[i].key.kind == GOV_CONNECT_OTHERS)
			write_destination(writer, &list, &items[i]);
	bus_end(writer);
}

void connects_write_sockets(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	const struct socket_view *view = sockets_of(manager, agent);

	if (!view)
		return;
	bus_begin_dict(writer, "socket_states");
	bus_write_u64(writer, "open", view->open);
	bus_write_u64(writer, "listening", view->listening);
	bus_write_u64(writer, "close_wait", view->close_wait);
	bus_write_u64(writer, "unread_sockets", view->unread_sockets);
	bus_write_u64(writer, "unread_bytes", view->unread_bytes);
	bus_write_string(writer, "top", *view->top ? view->top : NULL);
	bus_write_u64(writer, "top_open", *view->top ? view->top_open : UINT64_MAX);
	bus_end(writer);
}

/* ---- status ---- */

void connects_write_status(struct manager *manager, struct bus_writer *writer)
{
	struct gov_connect_stats sum = manager->connects.ended, stats;
	const struct agent *agent;
	size_t cursor = 0;

	bus_write_string(writer, "pacing", manager->connects.is_on ? "on" : "off");
	if (!manager->connects.is_on)
		return;
	while ((agent = state_agent_next(manager->state, &cursor))) {
		uint64_t owner = connects_owner(agent);

		if (!owner || bpf_connect_stats(manager->bpf, owner, &stats) < 0)
			continue;
		sum.connects += stats.connects;
		sum.delayed += stats.delayed;
		sum.refused += stats.refused;
	}
	bus_begin_dict(writer, "connects");
	bus_write_u64(writer, "total", sum.connects);
	bus_write_u64(writer, "delayed", sum.delayed);
	bus_write_u64(writer, "refused", sum.refused);
	bus_end(writer);
}
