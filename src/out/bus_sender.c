/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who calls on the system bus. The bus is asked for the credentials of each sender, once, and tells when it leaves; the
 * calls that come before the answer wait for it.
 */
#include "out/bus_internal.h"

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

static bool is_idle(const struct bus_client *client)
{
	return !client->is_subscribed && client->n_requests == 0 && client->sender.n_asks == 0;
}

/* Who has nothing under way may be asked for again. */
static void make_room(struct bus_system *system)
{
	struct bus_client *client, *oldest = NULL;
	size_t n = 0;

	for (client = TAILQ_FIRST(&system->senders); client; client = TAILQ_NEXT(client, entry)) {
		if (client->is_dead || !client->sender.is_known)
			continue;
		n++;
		if (is_idle(client) && (!oldest || client->sender.used < oldest->sender.used))
			oldest = client;
	}
	if (n > BUS_SENDERS_MAX && oldest)
		bus_client_end(oldest);
}

static size_t count_strangers(const struct bus_system *system)
{
	const struct bus_client *client;
	size_t n = 0;

	for (client = TAILQ_FIRST(&system->senders); client; client = TAILQ_NEXT(client, entry))
		n += !client->is_dead && !client->sender.is_known;
	return n;
}

/* No user keeps the others from being served, nor all of them root; by the socket's numbers. */
static bool has_room(const struct bus_client *asking)
{
	const struct bus_client *client = TAILQ_FIRST(asking->list);
	size_t own = 0, others = 0, all = 0;

	for (; client; client = TAILQ_NEXT(client, entry)) {
		if (client == asking || client->is_dead || is_idle(client) || !client->sender.is_known)
			continue;
		all++;
		own += client->peer.uid == asking->peer.uid;
		others += !client->peer.is_root;
	}
	if (asking->peer.is_root)
		return all < BUS_SENDERS_MAX;
	return own < BUS_CLIENTS_PER_USER_MAX && others < BUS_SENDERS_MAX - BUS_CLIENTS_ROOT;
}

/* ---- calls that wait ---- */

/* What bus and polkit have to answer isn't all one user's. */
static bool may_appeal(const struct bus_client *asking)
{
	const struct bus_client *client = TAILQ_FIRST(asking->list);
	const struct bus_ask *ask;
	size_t own = 0, all = 0;

	for (; client; client = TAILQ_NEXT(client, entry))
		for (ask = TAILQ_FIRST(&client->sender.asks); ask; ask = TAILQ_NEXT(ask, entry)) {
			all += ask->slot != NULL;
			own += ask->slot && client->peer.uid == asking->peer.uid;
		}
	return own < BUS_CALLS_MAX && all < BUS_APPEALS_MAX;
}

int bus_sender_ask(struct bus_client *client, sd_bus_message *call, struct bus_ask **ret_ask)
{
	struct bus_ask *ask;
	size_t size;
	int r;

	if (client->sender.n_asks + client->n_requests >= BUS_CALLS_MAX)
		return -EBUSY;
	if (client->sender.is_known && !may_appeal(client))
		return -EBUSY;
	r = bus_call_size(call, &size);
	if (r < 0)
		return r;
	if (client->sender.bytes + size > BUS_MESSAGE_MAX ||
	    (size > BUS_SMALL_MAX && client->bus->system.bytes + size > BUS_KEPT_MAX))
		return -EBUSY;
	ask = calloc(1, sizeof(*ask));
	if (!ask)
		return -ENOMEM;
	ask->client = client;
	ask->call = sd_bus_message_ref(call);
	ask->size = size;
	client->sender.n_asks++;
	client->sender.bytes += size;
	client->bus->system.bytes += size;
	TAILQ_INSERT_TAIL(&client->sender.asks, ask, entry);
	*ret_ask = ask;
	return 0;
}

void bus_sender_ask_free(struct bus_ask *ask)
{
	TAILQ_REMOVE(&ask->client->sender.asks, ask, entry);
	ask->client->sender.n_asks--;
	ask->client->sender.bytes -= ask->size;
	ask->client->bus->system.bytes -= ask->size;
	sd_bus_slot_unref(ask->slot);
	sd_bus_message_unref(ask->call);
	free(ask);
}

static void answer(struct bus_client *client, sd_bus_message *call)
{
	if (!client->sender.is_known)
		bus_method_deny(client, call, false);
	else if (has_room(client))
		bus_method_resume(client, call, false);
	else
		(void)sd_bus_reply_method_errorf(call, GOV_ERROR_BUSY, BUS_SENDER_BUSY);
}

/* Those that wait for the credentials are answered; what then waits for polkit is behind them, and has a slot. */
static void answer_asks(struct bus_client *client)
{
	struct bus_ask *ask = TAILQ_FIRST(&client->sender.asks), *next;

	for (; ask && !client->is_dead; ask = next) {
		sd_bus_message *call = sd_bus_message_ref(ask->call);
		bool is_waiting = !ask->slot;

		next = TAILQ_NEXT(ask, entry);
		if (is_waiting) {
			bus_sender_ask_free(ask);
			answer(client, call);
		}
		sd_bus_message_unref(call);
	}
}

static void sender_fail(struct bus_client *client)
{
	client->sender.is_known = false;
	answer_asks(client);
	bus_client_end(client);
}

/* ---- credentials ---- */

/* One entry of GetConnectionCredentials, D-Bus Specification. */
static int read_credential(sd_bus_message *m, struct bus_client *client, bool *has_uid)
{
	const void *groups;
	const char *name;
	uint32_t number;
	size_t size;
	int r = sd_bus_message_read(m, "s", &name);

	if (r < 0)
		return r;
	if (streq(name, "UnixUserID") || streq(name, "ProcessID")) {
		r = sd_bus_message_read(m, "v", "u", &number);
		if (r >= 0 && *name == 'U') {
			client->peer.uid = number;
			*has_uid = true;
		} else if (r >= 0) {
			client->peer.pid = (pid_t)number;
		}
		return r;
	}
	if (!streq(name, "UnixGroupIDs") || client->groups)
		return sd_bus_message_skip(m, "v");
	r = sd_bus_message_enter_container(m, 'v', "au");
	if (r >= 0)
		r = sd_bus_message_read_array(m, 'u', &groups, &size);
	if (r < 0)
		return r;
	client->groups = malloc(MAX2(size, sizeof(gid_t)));
	if (!client->groups)
		return -ENOMEM;
	if (size)
		memcpy(client->groups, groups, size);
	client->peer.n_groups = size / sizeof(gid_t);
	return sd_bus_message_exit_container(m);
}

static int read_credentials(sd_bus_message *m, struct bus_client *client)
{
	bool has_uid = false;
	int r = sd_bus_message_enter_container(m, 'a', "{sv}");

	while (r >= 0) {
		r = sd_bus_message_enter_container(m, 'e', "sv");
		if (r <= 0)
			break;
		r = read_credential(m, client, &has_uid);
		if (r >= 0)
			r = sd_bus_message_exit_container(m);
	}
	if (r < 0)
		return r;
	if (!has_uid)
		return -ENODATA;
	client->peer.groups = client->groups;
	/* Who has connected may have ended, and another have its number: only a process of the same user is placed. */
	client->peer.start_ticks = bus_peer_start_ticks(client->peer.pid, client->peer.uid);
	if (!client->peer.start_ticks)
		client->peer.pid = 0;
	bus_peer_rate(&client->peer, client->bus->group);
	return 0;
}

static int on_credentials(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
	struct bus_client *client = userdata;

	client->sender.credentials = sd_bus_slot_unref(client->sender.credentials);
	if (client->is_dead)
		return 0;
	if (!bus_says(reply) || sd_bus_message_is_method_error(reply, NULL) || read_credentials(reply, client) < 0) {
		sender_fail(client);
		return 0;
	}
	client->sender.is_known = true;
	answer_asks(client);
	make_room(&client->bus->system);
	return 0;
}

/* ---- coming and leaving ---- */

static int on_gone(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	if (bus_says(m))
		bus_client_end(userdata);
	return 0;
}

/* Nobody is kept whose leaving wouldn't be told. */
static int on_watched(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
	struct bus_client *client = userdata;

	if (sd_bus_message_is_method_error(reply, NULL) && !client->is_dead)
		sender_fail(client);
	return 0;
}

/* In this order: one that leaves in between has no credentials any more. */
static int sender_ask_bus(struct bus_client *client)
{
	char match[512];
	int r;

	/* A unique name has no character that would have to be escaped. */
	snprintf(match, sizeof(match),
		 "type='signal',sender='" BUS_NAME "',path='" BUS_PATH "',interface='" BUS_NAME
		 "',member='NameOwnerChanged',arg0='%s',arg2=''",
		 client->sender.name);
	r = sd_bus_add_match_async(client->connection, &client->sender.gone, match, on_gone, on_watched, client);
	if (r < 0)
		return r;
	return sd_bus_call_method_async(client->connection, &client->sender.credentials, BUS_NAME, BUS_PATH, BUS_NAME,
					"GetConnectionCredentials", on_credentials, client, "s", client->sender.name);
}

static int sender_new(struct bus *bus, const char *name, struct bus_client **ret_client)
{
	struct bus_client *client = calloc(1, sizeof(*client));
	int r;

	if (!client)
		return -ENOMEM;
	client->sender.name = strdup(name);
	if (!client->sender.name) {
		free(client);
		return -ENOMEM;
	}
	TAILQ_INIT(&client->sender.asks);
	client->bus = bus;
	client->peer.uid = (uid_t)-1;
	client->fd = client->feed_fd = -EBADF;
	client->connection = sd_bus_ref(bus->system.connection);
	client->list = &bus->system.senders;
	TAILQ_INSERT_TAIL(client->list, client, entry);
	r = sender_ask_bus(client);
	if (r < 0) {
		bus_client_free(client);
		return r;
	}
	*ret_client = client;
	return 0;
}

static int sender_get(struct bus *bus, const char *name, struct bus_client **ret_client)
{
	struct bus_client *client;
	int r = 0;

	for (client = TAILQ_FIRST(&bus->system.senders); client; client = TAILQ_NEXT(client, entry))
		if (!client->is_dead && streq(client->sender.name, name))
			break;
	if (!client)
		r = count_strangers(&bus->system) < BUS_STRANGERS_MAX ? sender_new(bus, name, &client) : -EBUSY;
	if (r < 0)
		return r;
	client->sender.used = ++bus->system.n_calls;
	*ret_client = client;
	return 0;
}

int bus_sender_admit(struct bus *bus, sd_bus_message *call, struct bus_client **ret_client)
{
	struct bus_client *client;
	struct bus_ask *ask;
	uint64_t queued = 0;
	int r = sd_bus_get_n_queued_write(bus->system.connection, &queued);

	/* An answer may be large: so many are the most that all of them can make us keep, beside events. */
	if (r >= 0 && queued >= BUS_CALLS_MAX)
		return -EBUSY;
	if (r >= 0)
		r = sender_get(bus, sd_bus_message_get_sender(call), &client);
	if (r < 0)
		return r;
	if (!client->sender.is_known)
		return bus_sender_ask(client, call, &ask);
	if (!has_room(client))
		return -EBUSY;
	*ret_client = client;
	return 1;
}

void bus_sender_done(struct bus_client *client)
{
	struct bus_sender *sender = &client->sender;

	if (!sender->name)
		return;
	while (TAILQ_FIRST(&sender->asks))
		bus_sender_ask_free(TAILQ_FIRST(&sender->asks));
	sd_bus_slot_unref(sender->credentials);
	sd_bus_slot_unref(sender->gone);
	free(sender->name);
}
