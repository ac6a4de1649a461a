/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_ACTIVITY_H
#define GOV_GOVD_ACTIVITY_H

#include "core/action.h"
#include "core/activity.h"
#include "out/bus.h"

struct manager;

/* activity.c: the census of what agents do, when the core asks for it. */

#define ACTIVITY_TTYS_MAX 64 /* terminals in whose foreground agents are; input of those beyond doesn't count */

struct activity_tty {
	uint32_t device;
	int64_t read_s; /* its access time, CLOCK_REALTIME */
	bool is_new, is_read;
};

struct manager_activity {
	struct activity_view *views; /* of the last census, by agent */
	size_t n, size;
	struct activity_tty ttys[ACTIVITY_TTYS_MAX]; /* of the last census */
	size_t n_ttys;
	bool is_told; /* that this host can't */
};

void activity_look(struct manager *manager, const struct action *action);
void activity_done(struct manager *manager);
/* `activity`, for show. */
void activity_write(struct bus_writer *writer, const struct agent *agent);

#endif
