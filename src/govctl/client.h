/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_CLIENT_H
#define GOV_GOVCTL_CLIENT_H

#include <jansson.h>
#include <systemd/sd-bus.h>

#include "base/macro.h"

/* A connection to govd. Unless it says otherwise a function that fails has told why. */
struct client;

/* 0, or -errno. */
int client_open(const char *socket, struct client **ret_client) _must_check_;
/* The same without a word. */
int client_open_quiet(const char *socket, struct client **ret_client) _must_check_;
struct client *client_close(struct client *client);
DEFINE_CLEANUP(struct client *, client_close)

/* A call of the manager's method, to append arguments to. */
int client_message(struct client *client, const char *method, sd_bus_message **ret_message) _must_check_;
/* Sends it and waits for the answer's body as JSON (convert.h). */
int client_send(struct client *client, sd_bus_message *message, json_t **ret_answer) _must_check_;
int client_send_quiet(struct client *client, sd_bus_message *message, json_t **ret_answer) _must_check_;
/* Both of the above for plain arguments, as sd_bus_message_append(3) has them; types "" for none. */
int client_ask(struct client *client, json_t **ret_answer, const char *method, const char *types, ...) _must_check_;
int client_ask_quiet(struct client *client, json_t **ret_answer, const char *method, const char *types,
		     ...) _must_check_;

/* Whether the last call failed with this D-Bus error (gov/bus.h). */
bool client_failed_with(const struct client *client, const char *error_name);
/* Says why the last call failed. */
void client_tell(const struct client *client, int error);

/* Waits for the signal Event and gives its body; 1, 0 when govd has ended, or -errno. */
int client_next_event(struct client *client, json_t **ret_event) _must_check_;

#endif
