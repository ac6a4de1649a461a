/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_BUS_INTERNAL_H
#define GOV_OUT_BUS_INTERNAL_H

#include <sys/queue.h>

#include "base/idmap.h"
#include "out/bus.h"
#include "out/bus_frame.h"

/* Between the files of the bus only. */

struct bus_request {
	TAILQ_ENTRY(bus_request) by_age;
	uint64_t id;
	uint64_t deadline_us; /* CLOCK_MONOTONIC */
	struct bus_client *client;
	sd_bus_message *call;
	bool is_run; /* answered by sb instead of s */
};

struct bus_client {
	TAILQ_ENTRY(bus_client) entry;
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
	size_t n_requests;
	bool is_ready; /* authenticated */
	bool is_subscribed;
	bool is_dead; /* freed by the reaper, when no callback of it is on the stack */
};

TAILQ_HEAD(bus_clients, bus_client);
TAILQ_HEAD(bus_requests, bus_request);

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
	struct bus_counts counts;
};

/* bus_listen.c */
int bus_listen_open(struct bus *bus, const char *runtime_dir) _must_check_;
void bus_listen_close(struct bus *bus);

/* bus_peer.c: who is at the other end of fd; the caller frees *ret_groups. */
int bus_peer_read(int fd, gid_t reading_group, struct bus_peer *ret_peer, gid_t **ret_groups) _must_check_;

/* bus_client.c: takes fd and groups, also when it fails. */
int bus_client_new(struct bus *bus, int fd, const struct bus_peer *peer, gid_t *groups) _must_check_;
void bus_client_free(struct bus_client *client);
/* Cut off at once, freed soon. */
void bus_client_end(struct bus_client *client);
/* sd-bus has dispatched a message: the next may follow. */
void bus_client_handled(struct bus_client *client);

/* bus_method.c */
int bus_method_attach(struct bus_client *client) _must_check_;

/* bus_request.c */
int bus_request_new(struct bus_client *client, sd_bus_message *call, bool is_run, uint64_t *ret_id) _must_check_;
void bus_request_free(struct bus *bus, struct bus_request *request);
void bus_request_cancel(struct bus *bus, uint64_t id);
void bus_request_forget(struct bus_client *client);
/* The timer of struct bus. */
int bus_request_on_time(sd_event_source *source, uint64_t time_us, void *userdata);

#endif
