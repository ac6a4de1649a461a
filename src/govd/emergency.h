/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVD_EMERGENCY_H
#define GOV_GOVD_EMERGENCY_H

#include <systemd/sd-event.h>

#include "core/action.h"
#include "core/event.h"
#include "out/bus.h"
#include "out/kills.h"
#include "sense/host.h"

/* The edge of the host's emergency: looks when the core asks for it, and weighs the agents. */

struct manager;

struct manager_emergency {
	struct host_sense host;
	bool is_open;		      /* host can be read */
	bool has_failed;	      /* and it has been told that it can't */
	sd_event_source *look;	      /* the next one */
	sd_event_source *trigger;     /* of the kernel: pressure is high */
	struct agent_weight *weights; /* STATE_AGENTS_MAX */
	struct kills kills;	      /* of this govd and earlier ones */
	uint64_t kept_ns;	      /* the last of this one's */
};

int emergency_open(struct manager *manager) _must_check_;
void emergency_done(struct manager *manager);
/* Tells the core whom earlier govds have ended. */
void emergency_load(struct manager *manager);
/* What step() has decided is kept before it is done. */
void emergency_keep(struct manager *manager);
/* New policies: another threshold may hold. */
void emergency_reload(struct manager *manager);
/* ACTION_WEIGH; only from within an action. */
void emergency_weigh(struct manager *manager, const struct action *action);
void emergency_write_status(struct manager *manager, struct bus_writer *writer);
/* What govd needs in an emergency stays in memory; call it when all is set up. */
void emergency_lock_memory(void);

#endif
