/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose right a method is: what is known of the client, for core/access.c, and how it is told no. */
#include "out/bus_internal.h"

/* Some policy lists it. Nobody else has got in at the socket. */
static bool is_listed(const struct bus_client *client)
{
	const struct bus_peer *peer = &client->peer;
	const struct bus_calls *calls = &client->bus->calls;

	return !client->sender.name || calls->may_connect(peer->uid, peer->groups, peer->n_groups, calls->userdata);
}

enum access_verdict bus_right_decide(const struct bus_client *client, enum access_class class, bool is_denied)
{
	const struct access_caller caller = {
		.is_root = client->peer.is_root,
		.may_look = client->peer.may_read,
		.is_allowed = is_listed(client),
		.may_be_asked = client->sender.name,
		.is_denied = is_denied,
	};

	return access_decide(class, &caller);
}

int bus_right_refuse(struct bus_client *client, enum access_class class, const char *method, sd_bus_error *error)
{
	static const char *const others[] = {
		[ACCESS_LOOK] = " and members of group " GOV_BUS_GROUP,
		[ACCESS_ACT] = "",
		[ACCESS_RUN] = " and those whom the policy's `allow` lists",
	};
	const struct bus_calls *calls = &client->bus->calls;

	/* Of strangers, who may come in any number, no more than the count. */
	if (client->peer.may_read || is_listed(client))
		calls->refused(&client->peer, method, calls->userdata);
	else
		client->bus->counts.refused++;
	return sd_bus_error_setf(error, GOV_ERROR_DENIED, "%s is for root%s only; use sudo.", method, others[class]);
}
