/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The methods of org.govd1.Manager: one table of rights and functions, and sd-bus's vtable. */
#include "out/bus_internal.h"

struct call {
	struct bus_client *client;
	struct bus_peer peer;
	sd_bus_message *m;
	sd_bus_message *reply; /* to be filled by methods that read */
	uint64_t request;      /* of methods that change */
	sd_bus_error *error;
};

struct method {
	const char *name;
	enum access_class class;
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
	return calls->run(call->request, &call->peer, policy, key, reuse, executable, argv, call->error,
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
	return calls->adopt(call->request, &call->peer, pid, policy, call->error, calls->userdata);
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
			return calls->command(call->request, &call->peer, commands[i].command, id, call->error,
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
	return calls->lease(call->request, &call->peer, id, BUS_LEASE_RENEW, call->error, calls->userdata);
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
	return calls->lease(call->request, &call->peer, id, ms, call->error, calls->userdata);
}

static const struct method methods[] = {
	{"Status", ACCESS_LOOK, false, on_status},
	{"ListAgents", ACCESS_LOOK, false, on_list_agents},
	{"ShowAgent", ACCESS_LOOK, false, on_show_agent},
	{"ListPolicies", ACCESS_LOOK, false, on_list_policies},
	{"ShowPolicy", ACCESS_LOOK, false, on_show_policy},
	{"TestPolicy", ACCESS_LOOK, false, on_test_policy},
	{"Explain", ACCESS_LOOK, false, on_explain},
	{"Subscribe", ACCESS_LOOK, false, on_subscribe},
	{"Reload", ACCESS_ACT, false, on_reload},
	{"Run", ACCESS_RUN, true, on_run},
	{"Adopt", ACCESS_ACT, true, on_adopt},
	{"Command", ACCESS_ACT, true, on_command},
	{"Touch", ACCESS_RUN, true, on_touch},
	{"Lease", ACCESS_RUN, true, on_lease},
};

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

static int busy(sd_bus_error *error)
{
	return sd_bus_error_setf(error, GOV_ERROR_BUSY,
				 "%d calls of this client wait for their answers; wait for one of them.",
				 BUS_CALLS_MAX);
}

static int call_later(struct call *call, const struct method *method)
{
	struct bus *bus = call->client->bus;
	struct bus_request *request;
	int r;

	if (call->client->n_requests >= BUS_CALLS_MAX)
		return busy(call->error);
	r = bus_request_new(call->client, call->m, &request);
	if (r < 0)
		return r;
	request->is_run = method->call == on_run;
	request->is_granted = call->peer.is_granted;
	call->request = request->id;
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

/* ---- what polkit says ---- */

void bus_method_deny(struct bus_client *client, sd_bus_message *m, bool is_challenge)
{
	const struct method *method = method_find(sd_bus_message_get_member(m));
	sd_bus_error error = SD_BUS_ERROR_NULL;

	if (!method)
		return;
	if (is_challenge)
		sd_bus_error_set(&error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
				 "polkit would grant it to who authenticates; allow it to ask.");
	else
		(void)!bus_right_refuse(client, method->class, method->name, &error);
	(void)sd_bus_reply_method_error(m, &error);
	sd_bus_error_free(&error);
}

bool bus_method_appeal(struct bus_client *client, sd_bus_message *m)
{
	const struct method *method = method_find(sd_bus_message_get_member(m));
	int r;

	if (!method || bus_right_decide(client, method->class, true) != ACCESS_ASK)
		return false;
	r = bus_polkit_ask(client, m, access_action(method->class));
	if (r == -EBUSY)
		r = sd_bus_reply_method_errorf(m, GOV_ERROR_BUSY, BUS_SENDER_BUSY);
	return r >= 0;
}

/* ---- all methods come here; one that isn't in the table is nobody's right ---- */

static int method_run(struct bus_client *client, sd_bus_message *m, bool is_granted, sd_bus_error *error)
{
	struct call call = {.client = client, .peer = client->peer, .m = m, .error = error};
	const struct method *method = method_find(sd_bus_message_get_member(m));
	enum access_verdict verdict;
	int r;

	if (!method)
		return sd_bus_error_set(error, SD_BUS_ERROR_UNKNOWN_METHOD, "There is no such method.");
	verdict = is_granted ? ACCESS_GRANTED : bus_right_decide(client, method->class, false);
	if (verdict == ACCESS_DENIED)
		return bus_right_refuse(client, method->class, method->name, error);
	call.peer.is_granted = is_granted;
	if (verdict == ACCESS_ASK)
		r = bus_polkit_ask(client, m, access_action(method->class));
	else
		r = method->is_pending ? call_later(&call, method) : call_now(&call, method);
	if (sd_bus_error_is_set(error))
		return -sd_bus_error_get_errno(error);
	if (r == -EBUSY && verdict == ACCESS_ASK)
		return busy(error);
	if (r < 0)
		return sd_bus_error_setf(error, GOV_ERROR_FAILED, "%s failed: %s.", method->name, strerror(-r));
	return 1;
}

void bus_method_resume(struct bus_client *client, sd_bus_message *m, bool is_granted)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;

	(void)sd_bus_message_rewind(m, true);
	if (method_run(client, m, is_granted, &error) < 0)
		(void)sd_bus_reply_method_error(m, &error);
	sd_bus_error_free(&error);
}

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	return method_run(userdata, m, false, error);
}

static int on_system_method(sd_bus_message *m, void *userdata, sd_bus_error *error)
{
	struct bus *bus = userdata;
	struct bus_client *client;
	sd_bus_message *call;
	int r = bus_call_copy(m, &call);

	if (r == -EMSGSIZE) {
		bus->counts.dropped_large++;
		return sd_bus_error_setf(error, GOV_ERROR_INVALID, "A call has at most %u KiB.", BUS_MESSAGE_MAX >> 10);
	}
	if (r < 0)
		return r;
	r = bus_sender_admit(bus, call, &client);
	if (r > 0)
		r = method_run(client, call, false, error);
	else if (r == -EBUSY)
		r = sd_bus_error_set(error, GOV_ERROR_BUSY, BUS_SENDER_BUSY);
	sd_bus_message_unref(call);
	return r < 0 ? r : 1;
}

#define METHOD(name, in, out, handler) SD_BUS_METHOD(name, in, out, handler, SD_BUS_VTABLE_UNPRIVILEGED)

/* clang-format off */
#define METHODS(handler)                                 \
	SD_BUS_VTABLE_START(0),                          \
	METHOD("Status", "", "a{sv}", handler),          \
	METHOD("ListAgents", "s", "aa{sv}", handler),    \
	METHOD("ShowAgent", "s", "a{sv}", handler),      \
	METHOD("Run", "ssbsas", "sb", handler),          \
	METHOD("Adopt", "us", "s", handler),             \
	METHOD("Command", "ss", "s", handler),           \
	METHOD("Touch", "s", "s", handler),              \
	METHOD("Lease", "st", "s", handler),             \
	METHOD("ListPolicies", "", "aa{sv}", handler),   \
	METHOD("ShowPolicy", "s", "s", handler),         \
	METHOD("TestPolicy", "u", "a{sv}", handler),     \
	METHOD("Explain", "s", "a{sv}", handler),        \
	METHOD("Reload", "", "a{sv}", handler),          \
	METHOD("Subscribe", "b", "aa{sv}", handler),     \
	SD_BUS_SIGNAL("Event", "a{sv}", 0),              \
	SD_BUS_VTABLE_END
/* clang-format on */

static const sd_bus_vtable vtable[] = {METHODS(on_method)};
static const sd_bus_vtable system_vtable[] = {METHODS(on_system_method)};

int bus_method_attach(struct bus_client *client)
{
	return sd_bus_add_object_vtable(client->connection, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, vtable, client);
}

int bus_method_attach_system(struct bus *bus)
{
	return sd_bus_add_object_vtable(bus->system.connection, NULL, GOV_BUS_PATH, GOV_BUS_MANAGER, system_vtable,
					bus);
}
