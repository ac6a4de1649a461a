/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <netinet/tcp.h>

#include "base/text.h"

/* The census of sockets: walked when somebody asks, and every 10 s while a policy limits them. */

#define COUNT_EVERY_NS NSEC_PER_SEC
#define WATCH_EVERY_US (10 * 1000000ULL)
#define SOCKETS_MAX (256U << 10) /* 8 MiB of them; what is beyond isn't counted */

struct sockets {
	struct gov_census_socket *items;
	size_t n, size;
	bool is_cut;
};

static void collect(const struct gov_census_socket *socket, void *userdata)
{
	struct sockets *list = userdata;

	if (socket->state == TCP_TIME_WAIT)
		return;
	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 256;
		struct gov_census_socket *items =
			size > SOCKETS_MAX ? NULL : reallocarray(list->items, size, sizeof(*items));

		if (!items) {
			list->is_cut = true;
			return;
		}
		list->items = items;
		list->size = size;
	}
	list->items[list->n++] = *socket;
}

/* By owner, then by peer. */
static int compare_sockets(const void *a, const void *b)
{
	const struct gov_census_socket *x = a, *y = b;

	if (x->owner != y->owner)
		return x->owner < y->owner ? -1 : 1;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	return memcmp(x->address, y->address, sizeof(x->address));
}

static void count_one(struct socket_view *view, const struct gov_census_socket *socket)
{
	view->open++;
	view->listening += socket->state == TCP_LISTEN;
	view->close_wait += socket->state == TCP_CLOSE_WAIT;
	if (socket->state == TCP_LISTEN || !socket->unread_bytes)
		return;
	view->unread_sockets++;
	view->unread_bytes += socket->unread_bytes;
}

static void note_peer(struct socket_view *view, const struct gov_census_socket *socket, uint64_t open)
{
	struct gov_connect_key key = {.port = socket->port, .kind = GOV_CONNECT_DESTINATION};

	if (socket->state == TCP_LISTEN || open <= view->top_open)
		return;
	memcpy(key.address, socket->address, sizeof(key.address));
	bpf_connect_format(view->top, sizeof(view->top), &key);
	view->top_open = open;
}

/* list is sorted. */
static size_t fold(const struct sockets *list, struct owner_sockets *items)
{
	size_t n = 0;
	uint64_t open = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct gov_census_socket *socket = &list->items[i];
		bool is_last = i + 1 == list->n || compare_sockets(socket, socket + 1) != 0;

		if (!i || socket->owner != socket[-1].owner)
			items[n++] = (struct owner_sockets){.owner = socket->owner};
		count_one(&items[n - 1].view, socket);
		open += socket->state != TCP_LISTEN;
		if (!is_last)
			continue;
		note_peer(&items[n - 1].view, socket, open);
		open = 0;
	}
	return n;
}

static size_t count_owners(const struct sockets *list)
{
	size_t n = 0;

	for (size_t i = 0; i < list->n; i++)
		n += !i || list->items[i].owner != list->items[i - 1].owner;
	return n;
}

static void take_census(struct manager *manager)
{
	struct manager_sockets *sockets = &manager->sockets;
	struct sockets list = {0};

	sockets_done(manager);
	if (bpf_connect_sockets(manager->bpf, collect, &list) < 0 || list.is_cut)
		manager->counts.actions_failed++;
	if (list.n)
		qsort(list.items, list.n, sizeof(*list.items), compare_sockets);
	sockets->items = calloc(MAX2(count_owners(&list), (size_t)1), sizeof(*sockets->items));
	if (sockets->items) {
		sockets->n = fold(&list, sockets->items);
		sockets->counted_ns = manager_now_ns();
	}
	free(list.items);
}

static int compare_owner(const void *key, const void *item)
{
	uint64_t owner = *(const uint64_t *)key;
	const struct owner_sockets *sockets = item;

	return owner == sockets->owner ? 0 : owner < sockets->owner ? -1 : 1;
}

const struct socket_view *sockets_of(struct manager *manager, const struct agent *agent)
{
	static const struct socket_view none;
	struct manager_sockets *sockets = &manager->sockets;
	uint64_t owner = connects_owner(agent);
	const struct owner_sockets *found;

	/* Sockets are known by their group. */
	if (!manager->connects.is_on || !owner || agent->is_observed)
		return NULL;
	if (!sockets->counted_ns || manager_now_ns() - sockets->counted_ns >= COUNT_EVERY_NS)
		take_census(manager);
	if (!sockets->counted_ns)
		return NULL;
	found = bsearch(&owner, sockets->items, sockets->n, sizeof(*sockets->items), compare_owner);
	return found ? &found->view : &none;
}

void sockets_done(struct manager *manager)
{
	free(manager->sockets.items);
	manager->sockets = (struct manager_sockets){0};
}

/* ---- sockets.max ---- */

static bool tell_sockets(struct manager *manager, const struct agent *agent)
{
	struct event event = {.kind = EVENT_SOCKETS};
	const struct socket_view *view;

	if (agent->policy->sockets.max == UNIT_INFINITY)
		return false;
	view = sockets_of(manager, agent);
	if (view) {
		event.sockets.agent = agent->handle;
		event.sockets.view = *view;
		manager_dispatch(manager, &event);
	}
	return true;
}

static int on_sockets(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;
	const struct agent *agent;
	bool is_wanted = false;
	size_t cursor = 0;

	while ((agent = state_agent_next(manager->state, &cursor)))
		is_wanted |= tell_sockets(manager, agent);
	if (!is_wanted)
		return 0;
	sd_event_source_set_time(source, usec + WATCH_EVERY_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

void sockets_watch(struct manager *manager)
{
	if (!manager->connects.is_on || sd_event_source_get_enabled(manager->sockets_source, NULL) != 0)
		return;
	sd_event_source_set_time(manager->sockets_source, manager_now_ns() / NSEC_PER_USEC + WATCH_EVERY_US);
	sd_event_source_set_enabled(manager->sockets_source, SD_EVENT_ONESHOT);
}

int sockets_open(struct manager *manager)
{
	int r = sd_event_add_time(manager->event, &manager->sockets_source, CLOCK_MONOTONIC, UINT64_MAX, 1000000,
				  on_sockets, manager);

	return r < 0 ? r : sd_event_source_set_enabled(manager->sockets_source, SD_EVENT_OFF);
}
