/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/utsname.h>

#include "base/log.h"

/* The daemon at a glance: everything that it counts. */

static void write_agents(const struct manager *manager, struct bus_writer *writer)
{
	const struct agent *agent;
	size_t cursor = 0, held = 0, frozen = 0;

	while ((agent = state_agent_next(manager->state, &cursor))) {
		held += agent->state == AGENT_HELD;
		frozen += agent->state == AGENT_FROZEN;
	}
	bus_begin_dict(writer, "agents");
	bus_write_u64(writer, "total", state_agent_count(manager->state));
	bus_write_u64(writer, "held", held);
	bus_write_u64(writer, "frozen", frozen);
	bus_end(writer);
}

static void write_doings(const struct manager *manager, struct bus_writer *writer)
{
	struct groups_counts groups;

	groups_get_counts(manager->groups, &groups);
	bus_begin_dict(writer, "events");
	bus_write_u64(writer, "received", manager->counts.records);
	bus_write_u64(writer, "lost", manager->counts.lost);
	bus_write_u64(writer, "resyncs", manager->counts.resyncs);
	bus_end(writer);
	bus_begin_dict(writer, "actions");
	bus_write_u64(writer, "placed", groups.placed);
	bus_write_u64(writer, "moved", groups.moved);
	bus_write_u64(writer, "failed", groups.failed + manager->counts.actions_failed);
	bus_write_u64(writer, "degraded", groups.degraded);
	bus_write_u64(writer, "dropped", manager->actions.dropped);
	bus_end(writer);
}

static void write_hold(const struct manager *manager, struct bus_writer *writer)
{
	struct hold_stats hold;

	hold_get_stats(manager->hold, &hold);
	bus_begin_dict(writer, "holds");
	bus_write_u64(writer, "watches", hold.marks);
	bus_write_u64(writer, "asked", hold.asked);
	bus_write_u64(writer, "expired", hold.expired);
	bus_write_u64(writer, "restarts", hold.restarts);
	bus_write_u64(writer, "down", manager->hold_is_down);
	bus_end(writer);
}

static void write_recorder(const struct manager *manager, struct bus_writer *writer)
{
	struct recorder_stats stats;

	recorder_get_stats(manager->recorder, &stats);
	bus_begin_dict(writer, "recorder");
	bus_write_u64(writer, "written", stats.written);
	bus_write_u64(writer, "dropped", stats.dropped);
	bus_write_u64(writer, "failed", stats.failed);
	bus_write_u64(writer, "restarts", stats.restarts);
	bus_end(writer);
	bus_write_u64(writer, "incidents", stats.sent);
	bus_write_string(writer, "recorder_error", stats.error ? stats.error_text : NULL);
}

static void write_clients_and_log(const struct manager *manager, struct bus_writer *writer)
{
	struct bus_counts bus;
	struct log_counts log;

	bus_get_counts(manager->bus, &bus);
	log_get_counts(&log);
	bus_begin_dict(writer, "clients");
	bus_write_u64(writer, "connected", bus_client_count(manager->bus));
	bus_write_u64(writer, "refused", bus.refused);
	bus_write_u64(writer, "dropped", bus.dropped_slow + bus.dropped_large);
	bus_write_bool(writer, "system_bus", bus_system_is_named(manager->bus));
	bus_end(writer);
	bus_begin_dict(writer, "log");
	bus_write_u64(writer, "emitted", log.emitted);
	bus_write_u64(writer, "dropped", log.dropped);
	bus_end(writer);
}

int call_status(sd_bus_message *reply, void *userdata)
{
	struct bus_writer writer = {.message = reply};
	struct manager *manager = userdata;
	struct utsname kernel;

	if (uname(&kernel) < 0)
		return -errno;
	bus_begin_dict(&writer, NULL);
	bus_write_string(&writer, "version", GOV_VERSION);
	bus_write_string(&writer, "backend", groups_backend(manager->groups));
	bus_write_string(&writer, "mode", manager->options.observe ? "observe" : "enforce");
	bus_write_string(&writer, "kernel", kernel.release);
	bus_write_string(&writer, "slice", groups_slice_path(manager->groups));
	bus_write_string(&writer, "state_dir", manager->options.state_dir);
	bus_write_u64(&writer, "policies", manager->policies->n);
	bus_write_u64(&writer, "policy_errors", manager->policy_errors.n);
	write_agents(manager, &writer);
	write_doings(manager, &writer);
	emergency_write_status(manager, &writer);
	connects_write_status(manager, &writer);
	write_hold(manager, &writer);
	write_recorder(manager, &writer);
	write_clients_and_log(manager, &writer);
	bus_end(&writer);
	return writer.error;
}
