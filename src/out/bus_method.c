/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The methods of org.govd1.Manager: one table of rights and functions, and sd-bus's vtable. */
#include "out/bus_internal.h"

enum right {
	RIGHT_READ,   /* root and members of the group */
	RIGHT_CHANGE, /* root */
	RIGHT_RUN,    /* whoever got in: the policy decides */
};

struct call {
	struct bus_client *client;
	sd_bus_message *m;
	sd_bus_message *reply; /* to be filled by methods that read */
	uint64_t request;      /* of methods that change */
	sd_bus_error *error;
};

struct method {
	const char *name;
	enum right right;
	bool is_pending; /* bus_reply() answers */
	int (*call)(struct call *call);
};

static int invalid(struct call *call, const char *words)
{
	return sd_bus_error_set(call->error, GOV_ERROR_INVALID, words);
}

static int on_status(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;

	return calls->status(call->reply, calls->userdata);
}

static int on_list_policies(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;

	return calls->list_policies(call->reply, calls->userdata);
}

static int on_reload(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;

	return calls->reload(call->reply, call->error, calls->userdata);
}

/* The methods that take one string and answer at once. */
static int read_by_name(struct call *call, int (*read)(sd_bus_message *, const char *, sd_bus_error *, void *))
{
	const char *name;
	int r = sd_bus_message_read(call->m, "s", &name);

	return r < 0 ? r : read(call->reply, name, call->error, call->client->bus->calls.userdata);
}

static int on_list_agents(struct call *call)
{
	return read_by_name(call, call->client->bus->calls.list);
}

static int on_show_agent(struct call *call)
{
	return read_by_name(call, call->client->bus->calls.show);
}

static int on_show_policy(struct call *call)
{
	return read_by_name(call, call->client->bus->calls.show_policy);
}

static int on_explain(struct call *call)
{
	return read_by_name(call, call->client->bus->calls.explain);
}

static int on_test_policy(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	uint32_t pid;
	int r = sd_bus_message_read(call->m, "u", &pid);

	return r < 0 ? r : calls->test_policy(call->reply, pid, call->error, calls->userdata);
}

static int on_subscribe(struct call *call)
{
	const struct journal *journal = call->client->bus->journal;
	const struct journal_line *line;
	int is_on, r;

	r = sd_bus_message_read(call->m, "b", &is_on);
	if (r >= 0)
		r = sd_bus_message_open_container(call->reply, 'a', "a{sv}");
	for (size_t i = 0; r >= 0 && (line = journal_get(journal, i)); i++)
		r = bus_add_journal_line(call->reply, line);
	if (r >= 0)
		r = sd_bus_message_close_container(call->reply);
	if (r >= 0)
		call->client->is_subscribed = is_on;
	return r;
}

static void strings_free(char ***strings)
{
	for (char **s = *strings; s && *s; s++)
		free(*s);
	free(*strings);
}

static int on_run(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	_cleanup_(strings_free) char **argv = NULL;
	const char *policy, *key, *executable;
	int reuse, r;

	r = sd_bus_message_read(call->m, "ssbs", &policy, &key, &reuse, &executable);
	if (r >= 0)
		r = sd_bus_message_read_strv(call->m, &argv);
	if (r < 0)
		return r;
	if (!*executable || !argv || !argv[0])
		return invalid(call, "Run needs an executable and its arguments, beginning with its name.");
	return calls->run(call->request, &call->client->peer, policy, key, reuse, executable, argv, call->error,
			  calls->userdata);
}

static int on_adopt(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	const char *policy;
	uint32_t pid;
	int r = sd_bus_message_read(call->m, "us", &pid, &policy);

	if (r < 0)
		return r;
	if (pid == 0 || pid > INT32_MAX)
		return invalid(call, "A process id is a number from 1 on.");
	return calls->adopt(call->request, &call->client->peer, pid, policy, call->error, calls->userdata);
}

static int on_command(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	static const struct {
		const char *name;
		enum command command;
	} commands[] = {
		{"touch", COMMAND_TOUCH}, {"release", COMMAND_RELEASE}, {"freeze", COMMAND_FREEZE},
		{"thaw", COMMAND_THAW},	  {"stop", COMMAND_STOP},	{"kill", COMMAND_KILL},
		{"drain", COMMAND_DRAIN}, {"resume", COMMAND_RESUME},
	};
	const char *name, *id;
	int r = sd_bus_message_read(call->m, "ss", &name, &id);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		if (streq(commands[i].name, name))
			return calls->command(call->request, &call->client->peer, commands[i].command, id, call->error,
					      calls->userdata);
	return invalid(
		call,
		"There is no such command; it is one of touch, release, freeze, thaw, stop, kill, drain, resume.");
}

static int on_touch(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	const char *id;
	int r = sd_bus_message_read(call->m, "s", &id);

	if (r < 0)
		return r;
	return calls->lease(call->request, &call->client->peer, id, BUS_LEASE_RENEW, call->error, calls->userdata);
}

static int on_lease(struct call *call)
{
	const struct bus_calls *calls = &call->client->bus->calls;
	uint64_t ms;
	const char *id;
	int r = sd_bus_message_read(call->m, "st", &id, &ms);

	if (r < 0)
		return r;
	if (ms > BUS_LEASE_MAX_MS)
		return invalid(call, "A lease is for at most 30 days.");
	return calls->lease(call->request, &call->client->peer, id, ms, call->error, calls->userdata);
}

static const struct method methods[] = {
	{"Status", RIGHT_READ, false, on_status},
	{"ListAgents", RIGHT_READ, false, on_list_agents},
	{"ShowAgent", RIGHT_READ, false, on_show_agent},
	{"ListPolicies", RIGHT_READ, false, on_list_policies},
	{"ShowPolicy", RIGHT_READ, false, on_show_policy},
	{"TestPolicy", RIGHT_READ, false, on_test_policy},
	{"Explain", RIGHT_READ, false, on_explain},
	{"Subscribe", RIGHT_READ, false, on_subscribe},
	{"Reload", RIGHT_CHANGE, false, on_reload},
	{"Run", RIGHT_RUN, true, on_run},
	{"Adopt", RIGHT_CHANGE, true, on_adopt},
	{"Command", RIGHT_CHANGE, true, on_command},
	{"Touch", RIGHT_RUN, true, on_touch},
	{"Lease", RIGHT_RUN, true, on_lease},
};

static bool peer_has(const struct bus_peer *peer, enum right right)
{
	return peer->is_root || right == RIGHT_RUN || (right == RIGHT_READ && peer->may_read);
}

static int call_now(struct call *call, const struct method *method)
{
	int r = sd_bus_message_new_method_return(call->m, &call->reply);

	if (r >= 0)
		r = method->call(call);
	if (r >= 0 && !sd_bus_error_is_set(call->error))
		r = sd_bus_send(call->client->connection, call->reply, NULL);
	call->reply = sd_bus_message_unref(call->reply);
	return r;
}

static int call_later(struct call *call, const struct method *method)
{
	struct bus *bus = call->client->bus;
	int r;

	if (call->client->n_requests >= BUS_CALLS_MAX)
		return sd_bus_error_setf(call->error, GOV_ERROR_BUSY,
					 "%d calls of this client wait for their answers; wait for one of them.",
					 BUS_CALLS_MAX);
	r = bus_request_new(call->client, call->m, method->call == on_run, &call->request);
	if (r < 0)
		return r;
	r = method->call(call);
	if (r < 0 || sd_bus_error_is_set(call->error))
		bus_request_cancel(bus, call->request);
	return r;
}

static const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(methods); i++)
		if (name && streq(methods[i].name, name))
			return &methods[i];
	return NULL;
}

/* All methods come here; one that isn't in the table is nobody's right. */
static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct call call = {.client = userdata, .m = m, .error = error};
	const struct method *method = method_find(sd_bus_message_get_member(m));
	const struct bus_calls *calls = &call.client->bus->calls;
	int r;

	if (!method)
		return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_METHOD, "There is no such method.");
	if (!peer_has(&call.client->peer, method->right)) {
		calls->refused(&call.client->peer, method->name, calls->userdata);
		return sd_bus_error_setf(error, GOV_ERROR_DENIED, "%s is for root%s only; use sudo.", method->name,
					 method->right == RIGHT_READ ? " and members of group " GOV_BUS_GROUP : "");
	}
	r = method->is_pending ? call_later(&call, method) : call_now(&call, method);
	if (sd_bus_error_is_set(error))
		return -sd_bus_error_get_errno(error);
	if (r < 0)
		return sd_bus_error_setf(error, GOV_ERROR_FAILED, "%s failed: %s.", method->name, strerror(-r));
	return 1;
}

#define METHOD(name, in, out) SD_BUS_METHOD(name, in, out, on_method, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable vtable[] = {
	SD_BUS_VTABLE_START(0),
	METHOD("Status", "", "a{sv}"),
	METHOD("ListAgents", "s", "aa{sv}"),
	METHOD("ShowAgent", "s", "a{sv}"),
	METHOD("Run", "ssbsas", "sb"),
	METHOD("Adopt", "us", "s"),
	METHOD("Command", "ss", "s"),
	METHOD("Touch", "s", "s"),
	METHOD("Lease", "st", "s"),
	METHOD("ListPolicies", "", "aa{sv}"),
	METHOD("ShowPolicy", "s", "s"),
	METHOD("TestPolicy", "u", "a{sv}"),
	METHOD("Explain", "s", "a{sv}"),
	METHOD("Reload", "", "a{sv}"),
	METHOD("Subscribe", "b", "aa{sv}"),
	SD_BUS_SIGNAL("Event", "a{sv}", 0),
	SD_BUS_VTABLE_END,
};

int bus_method_attach(struct bus_client *client)
{
	return sd_bus_add_object_vtable(client->connection, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, vtable, client);
}
