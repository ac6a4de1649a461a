/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_BUS_INTERNAL_H
#define GOV_OUT_BUS_INTERNAL_H

#include <sys/queue.h>

#include "base/idmap.h"
#include "core/access.h"
#include "out/bus.h"
#include "out/bus_frame.h"

/* Between the files of the bus only. */

struct bus_request {
	TAILQ_ENTRY(bus_request) by_age;
	uint64_t id;
	uint64_t deadline_us; /* CLOCK_MONOTONIC */
	struct bus_client *client;
	sd_bus_message *call;
	bool is_run;	 /* answered by sb instead of s */
	bool is_granted; /* polkit has been asked */
};

/* A call on the system bus that waits: for who its sender is, or for polkit. */
struct bus_ask {
	TAILQ_ENTRY(bus_ask) entry;
	struct bus_client *client;
	sd_bus_message *call;
	sd_bus_slot *slot; /* polkit's answer; NULL: for the sender's credentials */
	size_t size;	   /* bytes */
};

TAILQ_HEAD(bus_asks, bus_ask);
TAILQ_HEAD(bus_clients, bus_client);
TAILQ_HEAD(bus_requests, bus_request);

/* A client of the system bus: one of many on a connection that they share. */
struct bus_sender {
	char *name; /* unique on the bus; NULL: the client has a connection of its own */
	sd_bus_slot *gone, *credentials;
	struct bus_asks asks;
	size_t n_asks, bytes; /* of asks */
	uint64_t used;	      /* when, in calls */
	bool is_known;	      /* peer is filled in */
};

struct bus_client {
	TAILQ_ENTRY(bus_client) entry;
	struct bus_clients *list; /* that it is in */
	struct bus *bus;
	struct bus_peer peer;
	gid_t *groups; /* peer.groups */
	sd_bus *connection;
	int fd;	     /* what the client sends is read here, */
	int feed_fd; /* and handed on to sd-bus here, when it is within the limits; -EBADF: the client has ended */
	sd_event_source *fd_source, *feed_source, *timer;
	struct bus_frame frame;
	uint64_t handed, handled; /* messages */
	uint64_t progress;	  /* their sum when the timer was set */
	struct bus_sender sender;
	size_t n_requests;
	bool is_ready; /* authenticated */
	bool is_subscribed;
	bool is_dead; /* freed by the reaper, when no callback of it is on the stack */
};

struct bus_system {
	sd_bus *connection;
	sd_event_source *timer; /* to connect again; NULL: no system bus is wanted */
	uint64_t backoff_us;
	struct bus_clients senders;
	uint64_t n_calls;
	size_t bytes; /* of all asks */
	int error;    /* that was told, or 0: the name is ours */
	bool is_named, is_told;
};

struct bus {
	sd_event *event;
	struct journal *journal;
	struct bus_calls calls;
	int dir_fd;
	int fd;		/* listens; -EBADF: not yet */
	int reserve_fd; /* given up for a moment to turn away a client when there are no descriptors */
	dev_t dev;	/* of the socket's name, to remove no other's */
	ino_t ino;
	gid_t group;
	sd_event_source *listen_source, *reaper, *timer;
	struct bus_clients clients;
	struct bus_requests requests; /* the oldest first: all have the same time */
	struct idmap requests_by_id;
	uint64_t next_request;
	struct bus_system system;
	struct bus_counts counts;
};

/* bus_listen.c */
int bus_listen_open(struct bus *bus, const char *runtime_dir) _must_check_;
void bus_listen_close(struct bus *bus);

/* bus_peer.c: who is at the other end of fd; the caller frees *ret_groups. */
int bus_peer_read(int fd, gid_t reading_group, struct bus_peer *ret_peer, gid_t **ret_groups) _must_check_;
/* What follows from uid and groups. */
void bus_peer_rate(struct bus_peer *peer, gid_t reading_group);
/* Of a process that somebody else has named: 0 when it isn't uid's. */
uint64_t bus_peer_start_ticks(pid_t pid, uid_t uid);

/* bus_client.c: takes fd and groups, also when it fails. */
int bus_client_new(struct bus *bus, int fd, const struct bus_peer *peer, gid_t *groups) _must_check_;
void bus_client_free(struct bus_client *client);
/* Cut off at once, freed soon. */
void bus_client_end(struct bus_client *client);
/* sd-bus has dispatched a message: the next may follow. */
void bus_client_handled(struct bus_client *client);

/* bus_method.c */
int bus_method_attach(struct bus_client *client) _must_check_;
int bus_method_attach_system(struct bus *bus) _must_check_;
/* A call whose sender is known by now; its answer, also that it has failed, is sent. is_granted: by polkit. */
void bus_method_resume(struct bus_client *client, sd_bus_message *m, bool is_granted);
/* A policy has said no: true when it's answered, now or when polkit has been asked. */
bool bus_method_appeal(struct bus_client *client, sd_bus_message *m);
/* Says no to the call's sender. */
void bus_method_deny(struct bus_client *client, sd_bus_message *m, bool is_challenge);

/* bus_request.c */
int bus_request_new(struct bus_client *client, sd_bus_message *call, struct bus_request **ret_request) _must_check_;
void bus_request_free(struct bus *bus, struct bus_request *request);
void bus_request_cancel(struct bus *bus, uint64_t id);
void bus_request_forget(struct bus_client *client);

/* bus_system.c: the connection, which comes and goes. */
void bus_system_close(struct bus *bus);
/* It doesn't read any more: another is made. */
void bus_system_drop(struct bus *bus);

/* bus_call.c: both -EMSGSIZE when it's larger than BUS_MESSAGE_MAX. */
int bus_call_size(sd_bus_message *m, size_t *ret_size) _must_check_;
int bus_call_copy(sd_bus_message *m, sd_bus_message **ret_copy) _must_check_;

/* Whether the bus itself says so. sd-bus takes what anybody sends for the bus's word, when it has its form. */
static inline bool bus_says(sd_bus_message *m)
{
	const char *sender = sd_bus_message_get_sender(m);

	return sender && streq(sender, "org.freedesktop.DBus");
}

/* bus_sender.c: who calls there. 1: this client, now; 0: later, when it's known who it is, by bus_method_resume();
 * -EBUSY. */
int bus_sender_admit(struct bus *bus, sd_bus_message *call, struct bus_client **ret_client) _must_check_;
#define BUS_SENDER_BUSY "Too many calls wait for their answers; try again in a moment."
/* Keeps a call until it is resumed or denied; the answer of polkit's that it waits for is of the ask. -EBUSY: too many,
 * or too large. */
int bus_sender_ask(struct bus_client *client, sd_bus_message *call, struct bus_ask **ret_ask) _must_check_;
void bus_sender_ask_free(struct bus_ask *ask);
void bus_sender_done(struct bus_client *client);

/* bus_right.c */
enum access_verdict bus_right_decide(const struct bus_client *client, enum access_class class, bool is_denied);
/* Sets error, which it returns, and counts or tells it. */
int bus_right_refuse(struct bus_client *client, enum access_class class, const char *method,
		     sd_bus_error *error) _must_check_;

/* bus_polkit.c: whether polkit grants this action; the call is resumed or denied then. */
int bus_polkit_ask(struct bus_client *client, sd_bus_message *call, const char *action) _must_check_;

/* The timer of struct bus. */
int bus_request_on_time(sd_event_source *source, uint64_t time_us, void *userdata);

#endif
