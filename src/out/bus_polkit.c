/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Rights beyond those of uid and groups: by polkit, which knows the sender by its name on the bus. */
#include "out/bus_internal.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_AUTHORITY "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_INTERACTION 1U /* AllowUserInteraction of CheckAuthorizationFlags */

#define ANSWER_US (10 * UINT64_C(1000000))
#define PASSWORD_US (120 * UINT64_C(1000000)) /* somebody types one */

/* (bba{ss}): is authorized, would be after a challenge, details. */
static int read_result(sd_bus_message *reply, bool *ret_is_challenge)
{
	int is_authorized, is_challenge, r;

	if (sd_bus_message_is_method_error(reply, NULL))
		return -EACCES;
	r = sd_bus_message_enter_container(reply, 'r', "bba{ss}");
	if (r >= 0)
		r = sd_bus_message_read(reply, "bb", &is_authorized, &is_challenge);
	if (r < 0)
		return r;
	*ret_is_challenge = !is_authorized && is_challenge;
	return is_authorized ? 0 : -EACCES;
}

/* No polkit, or one that doesn't answer, grants nothing. */
static int on_result(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
	struct bus_ask *ask = userdata;
	struct bus_client *client = ask->client;
	sd_bus_message *call = sd_bus_message_ref(ask->call);
	bool is_challenge = false;
	int r = read_result(reply, &is_challenge);

	bus_sender_ask_free(ask);
	if (!client->is_dead && r == 0)
		bus_method_resume(client, call, true);
	else if (!client->is_dead)
		bus_method_deny(client, call, is_challenge);
	sd_bus_message_unref(call);
	return 0;
}

static int write_question(const struct bus_ask *ask, const char *action, sd_bus_message **ret_question)
{
	bool is_interactive = sd_bus_message_get_allow_interactive_authorization(ask->call) > 0;
	sd_bus_message *m = NULL;
	int r;

	r = sd_bus_message_new_method_call(ask->client->connection, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_AUTHORITY,
					   "CheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", ask->client->sender.name,
					  action);
	/* Rules may look at the method: action.lookup("method"). */
	if (r >= 0)
		r = sd_bus_message_append(m, "a{ss}us", 1, "method", sd_bus_message_get_member(ask->call),
					  is_interactive ? POLKIT_INTERACTION : 0, "");
	if (r < 0) {
		sd_bus_message_unref(m);
		return r;
	}
	*ret_question = m;
	return 0;
}

int bus_polkit_ask(struct bus_client *client, sd_bus_message *call, const char *action)
{
	bool is_interactive = sd_bus_message_get_allow_interactive_authorization(call) > 0;
	sd_bus_message *question = NULL;
	struct bus_ask *ask;
	int r;

	r = bus_sender_ask(client, call, &ask);
	if (r < 0)
		return r;
	r = write_question(ask, action, &question);
	if (r >= 0)
		r = sd_bus_call_async(client->connection, &ask->slot, question, on_result, ask,
				      is_interactive ? PASSWORD_US : ANSWER_US);
	sd_bus_message_unref(question);
	if (r < 0)
		bus_sender_ask_free(ask);
	return r < 0 ? r : 0;
}
