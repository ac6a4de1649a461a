/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_BUS_H
#define GOV_OUT_BUS_H

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "core/action.h"
#include "core/event.h"
#include "gov/bus.h"
#include "out/journal.h"

/*
 * The API: listens on RUNTIME_DIR/govd.sock, checks each caller, and hands calls to the owner through bus_calls. It
 * knows the D-Bus types, not what stands behind them.
 */

#define BUS_CLIENTS_MAX 64
#define BUS_CLIENTS_PER_USER_MAX 16  /* of users other than root */
#define BUS_CLIENTS_ROOT 16	     /* of BUS_CLIENTS_MAX that only root gets */
#define BUS_MESSAGE_MAX (256U << 10) /* bytes; a client that sends more for one message is cut off */
#define BUS_CALLS_MAX 16	     /* of one client waiting for an answer */
#define BUS_PATIENCE_MS 5000	     /* to authenticate, to complete a message, to read what was asked for */
#define BUS_ANSWER_MS 25000	     /* a call that nobody has answered until then has failed */
#define BUS_QUEUE_MAX 1024	     /* messages waiting for a slow reader; beyond it is cut off */

struct bus_peer {
	pid_t pid;
	uint64_t start_ticks; /* of pid when it connected: 0 unknown */
	uid_t uid;
	const gid_t *groups; /* primary and supplementary; borrowed for the call */
	size_t n_groups;
	bool is_root, may_read;
};

/* A pending reply of a changing call: request ids for EVENT_COMMAND. */
struct bus_calls {
	/* Reading: append the reply's body (one a{sv}, aa{sv} or s as gov/bus.h says) to message. 0, or -errno with
	 * error set. */
	int (*status)(sd_bus_message *reply, void *userdata);
	int (*list)(sd_bus_message *reply, const char *policy, sd_bus_error *error, void *userdata);
	int (*show)(sd_bus_message *reply, const char *id, sd_bus_error *error, void *userdata);
	int (*list_policies)(sd_bus_message *reply, void *userdata);
	int (*show_policy)(sd_bus_message *reply, const char *name, sd_bus_error *error, void *userdata);
	int (*test_policy)(sd_bus_message *reply, uint32_t pid, sd_bus_error *error, void *userdata);
	int (*explain)(sd_bus_message *reply, const char *what, sd_bus_error *error, void *userdata);
	int (*reload)(sd_bus_message *reply, sd_bus_error *error, void *userdata);
	/* Changing: 0 when bus_reply(request) will answer (or already has), or -errno with error set. argv is
	 * NULL-terminated. */
	int (*run)(uint64_t request, const struct bus_peer *peer, const char *policy, const char *key, bool reuse,
		   const char *executable, char *const *argv, sd_bus_error *error, void *userdata);
	int (*adopt)(uint64_t request, const struct bus_peer *peer, uint32_t pid, const char *policy,
		     sd_bus_error *error, void *userdata);
	int (*command)(uint64_t request, const struct bus_peer *peer, enum command command, const char *id,
		       sd_bus_error *error, void *userdata);
	/* May this user, by some policy's allow, connect at all? Groups: primary and supplementary. */
	bool (*may_connect)(uid_t uid, const gid_t *groups, size_t n_groups, void *userdata);
	/* A call was refused for want of rights. */
	void (*refused)(const struct bus_peer *peer, const char *method, void *userdata);
	void *userdata;
};

struct bus;

/* Makes runtime_dir (0755) and the socket (0666; each caller is checked); -EADDRINUSE when another govd answers there.
 */
int bus_new(sd_event *event, const char *runtime_dir, struct journal *journal, const struct bus_calls *calls,
	    struct bus **ret_bus) _must_check_;
struct bus *bus_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_free)

/* The group whose members may read, instead of GOV_BUS_GROUP; (gid_t)-1: none. For those who connect from now on. */
void bus_set_group(struct bus *bus, gid_t group);

/* Answers a changing call. Does nothing when the client has gone. */
void bus_reply(struct bus *bus, uint64_t request, const struct action *reply);
/* Tells subscribers of the journal's newest line. */
void bus_publish(struct bus *bus, const struct journal_line *line);
size_t bus_client_count(const struct bus *bus);
/* Since the start. */
struct bus_counts {
	uint64_t clients;	/* connections accepted */
	uint64_t refused;	/* connections: not their right, or too many */
	uint64_t dropped_slow;	/* didn't authenticate, complete a message or read in time */
	uint64_t dropped_large; /* a message beyond BUS_MESSAGE_MAX, or no D-Bus at all */
};
void bus_get_counts(const struct bus *bus, struct bus_counts *ret_counts);

/* Appending one entry of a{sv}. */
int bus_add_string(sd_bus_message *m, const char *name, const char *value); /* made valid UTF-8; NULL is left out */
int bus_add_u64(sd_bus_message *m, const char *name, uint64_t value);	    /* UINT64_MAX is left out */
int bus_add_i64(sd_bus_message *m, const char *name, int64_t value);
int bus_add_double(sd_bus_message *m, const char *name, double value);
int bus_add_bool(sd_bus_message *m, const char *name, bool value);
/* Opens the entry `name` with an a{sv} (or an aa{sv}) inside; close with bus_close_dict. */
int bus_open_dict(sd_bus_message *m, const char *name);
int bus_close_dict(sd_bus_message *m);
int bus_open_list(sd_bus_message *m, const char *name);
int bus_close_list(sd_bus_message *m);
/* The a{sv} of one line of the journal: time (RFC 3339, UTC, milliseconds), event, agent, policy, key, pid, action,
 * result; what is empty is left out. */
int bus_add_journal_line(sd_bus_message *m, const struct journal_line *line);

#endif
