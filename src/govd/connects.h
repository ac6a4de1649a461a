/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_CONNECTS_H
#define GOV_GOVD_CONNECTS_H

#include <limits.h>

#include "core/action.h"
#include "out/bus.h"
#include "sense/connect.h"

struct manager;

/* A destination with a storm, with a breaker that isn't closed, or with many new connections. */
struct troubled_entry {
	struct gov_connect_key key;
	struct gov_connect_entry entry;
};

/* connects.c, connects_attach.c: pacing. */
struct manager_connects {
	bool is_on;	  /* can be */
	bool is_attached; /* the programs are */
	bool watch_strangers;
	char base[PATH_MAX - 16];	 /* directory of all versions of the pins */
	char pins[PATH_MAX];		 /* of this one */
	bool is_mount;			 /* base is a bpffs that govd has mounted */
	struct gov_connect_stats ended;	 /* sums of agents that have gone */
	struct troubled_entry *troubled; /* of all agents; for one turn of the event loop */
	size_t n_troubled, size_troubled;
	bool has_troubled;
};

/* Before the BPF objects are loaded: where their pins are. */
int connects_find_pins(struct manager *manager) _must_check_;
/* The host's part of the BPF programs' configuration, with the slice that exists by then. */
int connects_set_config(struct manager *manager, bool watch_strangers) _must_check_;
/* Also what an earlier govd has left; when it fails govd goes on without. */
void connects_attach(struct manager *manager);
/* Before an agent is paced: the programs are attached. */
void connects_wake(struct manager *manager);
/* Before the connects of those outside of the slice are watched; and when it isn't known whether anybody's are. */
void connects_watch(struct manager *manager);
void connects_update_watch(struct manager *manager);
/* An agent has gone: what was attached for it, and isn't for others, is detached a little later. */
void connects_rest(struct manager *manager);
int connects_open_rest(struct manager *manager) _must_check_;
/* After the start-up scan: agents of an earlier govd that are gone. */
void connects_drop_lost(struct manager *manager);
/* At a clean end: when no agent is left nothing is. */
void connects_close(struct manager *manager);

void connects_pace(struct manager *manager, const struct action *action);
void connects_unpace(struct manager *manager, const struct action *action);
void connects_look(struct manager *manager, const struct action *action);
/* The turn is over: what was read for its looks isn't new any more. */
void connects_forget_troubled(struct manager *manager);
int connects_open(struct manager *manager) _must_check_;
/* Records were lost: looks at all, soon. */
void connects_lost(struct manager *manager);
void connects_got_record(struct manager *manager, const struct gov_record_connect *record);
/* By which the kernel knows it; 0: it doesn't. */
uint64_t connects_owner(const struct agent *agent);

/* sockets.c: the census of sockets, on demand or every 10 s for policies with `sockets.max`. */
struct owner_sockets {
	uint64_t owner;
	struct socket_view view;
};

struct manager_sockets {
	struct owner_sockets *items; /* sorted by owner */
	size_t n;
	uint64_t counted_ns; /* 0: never */
};

int sockets_open(struct manager *manager) _must_check_;
/* An agent's policy has `sockets.max`. */
void sockets_watch(struct manager *manager);
/* As of now, or of a second ago. NULL: it isn't known. */
const struct socket_view *sockets_of(struct manager *manager, const struct agent *agent);
void sockets_done(struct manager *manager);

/* connects_write.c: for list, show and status. */
void connects_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent);
void connects_write_limits(struct bus_writer *writer, const struct policy *policy);
void connects_write_destinations(struct manager *manager, struct bus_writer *writer, const struct agent *agent);
void connects_write_sockets(struct manager *manager, struct bus_writer *writer, const struct agent *agent);
void connects_write_status(struct manager *manager, struct bus_writer *writer);

#endif
