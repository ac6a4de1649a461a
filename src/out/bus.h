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

/* On the system bus. dbus-daemon(1) lets a user have 256 connections (max_connections_per_user), and one connection 512
 * matches and 128 calls that wait for an answer (max_match_rules_per_connection, max_replies_per_connection). */
#define BUS_SENDERS_MAX 64	/* whose credentials are kept */
#define BUS_STRANGERS_MAX 384	/* whose credentials have been asked for */
#define BUS_APPEALS_MAX 96	/* calls that wait for polkit; of one user BUS_CALLS_MAX */
#define BUS_KEPT_MAX (8U << 20) /* bytes of calls that wait, but for those that are small */
#define BUS_SMALL_MAX 1024

#define BUS_LEASE_RENEW UINT64_MAX
#define BUS_LEASE_MAX_MS (UINT64_C(30) * 86400 * 1000) /* who forgets one doesn't keep an agent for ever */

struct bus_peer {
	pid_t pid;
	uint64_t start_ticks; /* of pid when it connected: 0 unknown */
	uid_t uid;
	const gid_t *groups; /* primary and supplementary; borrowed for the call */
	size_t n_groups;
	bool is_root, may_read;
	bool is_granted; /* this call, by polkit, whatever a policy's `allow` says */
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
	/* lease_ms: from now on; 0: it has none any more; BUS_LEASE_RENEW: the one that it has, if any, begins anew. */
	int (*lease)(uint64_t request, const struct bus_peer *peer, const char *id, uint64_t lease_ms,
		     sd_bus_error *error, void *userdata);
	/* May this user, by some policy's allow, connect at all? Groups: primary and supplementary. */
	bool (*may_connect)(uid_t uid, const gid_t *groups, size_t n_groups, void *userdata);
	/* A call was refused for want of rights. */
	void (*refused)(const struct bus_peer *peer, const char *method, void *userdata);
	/* The name on the system bus is govd's: 0. Not any more: -ENOTCONN (no bus); not: -EACCES (the bus's policy),
	 * -EEXIST (another has it). Told when it changes; NULL: to nobody. */
	void (*named)(int error, void *userdata);
	void *userdata;
};

struct bus;

/* Makes runtime_dir (0755) and the socket (0666; each caller is checked); -EADDRINUSE when another govd answers there.
 */
int bus_new(sd_event *event, const char *runtime_dir, struct journal *journal, const struct bus_calls *calls,
	    struct bus **ret_bus) _must_check_;
struct bus *bus_free(struct bus *bus);
DEFINE_CLEANUP(struct bus *, bus_free)

/*
 * The same calls on the system bus too, as GOV_BUS_SERVICE: as soon as there is one, and again whenever it comes back.
 * Nothing is waited for.
 */
int bus_system_open(struct bus *bus) _must_check_;
bool bus_system_is_named(const struct bus *bus);

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
	uint64_t refused;	/* connections, on the system bus calls: not their right, or too many */
	uint64_t dropped_slow;	/* didn't authenticate, complete a message or read in time */
	uint64_t dropped_large; /* a message beyond BUS_MESSAGE_MAX, or no D-Bus at all */
};
void bus_get_counts(const struct bus *bus, struct bus_counts *ret_counts);

/*
 * Writes the body of a reply. It sticks at the first error, so that writers need not look after each field: error is 0,
 * or that error, which the call returns.
 */
#define BUS_WRITER_DEPTH_MAX 8

struct bus_writer {
	sd_bus_message *message;
	int error;
	unsigned depth;
	uint8_t levels[BUS_WRITER_DEPTH_MAX]; /* D-Bus containers of each dict or list that is open */
};

/* An entry of the a{sv} that is open. Texts are made valid UTF-8; NULL and UINT64_MAX, for what isn't known, are left
 * out. */
void bus_write_string(struct bus_writer *writer, const char *name, const char *value);
void bus_write_u64(struct bus_writer *writer, const char *name, uint64_t value);
void bus_write_i64(struct bus_writer *writer, const char *name, int64_t value);
void bus_write_double(struct bus_writer *writer, const char *name, double value);
void bus_write_bool(struct bus_writer *writer, const char *name, bool value);
void bus_write_strings(struct bus_writer *writer, const char *name, char *const *values, size_t n);
/* An a{sv}, or an aa{sv}: as the entry `name`, or, with NULL, as the body or as the next of the list that is open. */
void bus_begin_dict(struct bus_writer *writer, const char *name);
void bus_begin_list(struct bus_writer *writer, const char *name);
/* Of the innermost that is open. */
void bus_end(struct bus_writer *writer);

/* The a{sv} of one line of the journal: time (RFC 3339, UTC, milliseconds), event, agent, policy, key, pid, action,
 * result; what is empty is left out. */
int bus_add_journal_line(sd_bus_message *m, const struct journal_line *line);

#endif
