/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/utsname.h>

#include "base/log.h"

/* The daemon at a glance: everything that it counts. */

static int add_agents_status(struct manager *manager, sd_bus_message *m)
{
	const struct agent *agent;
	size_t cursor = 0, held = 0, frozen = 0;
	int r;

	while ((agent = state_agent_next(manager->state, &cursor))) {
		held += agent->state == AGENT_HELD;
		frozen += agent->state == AGENT_FROZEN;
	}
	r = bus_open_dict(m, "agents");
	if (r < 0)
		return r;
	r = bus_add_u64(m, "total", state_agent_count(manager->state));
	if (r < 0)
		return r;
	r = bus_add_u64(m, "held", held);
	if (r < 0)
		return r;
	r = bus_add_u64(m, "frozen", frozen);
	if (r < 0)
		return r;
	return bus_close_dict(m);
}

struct status_number {
	const char *name;
	uint64_t value;
};

static int add_numbers(sd_bus_message *m, const char *name, const struct status_number *numbers, size_t n)
{
	int r;

	r = bus_open_dict(m, name);
	for (size_t i = 0; r >= 0 && i < n; i++)
		r = bus_add_u64(m, numbers[i].name, numbers[i].value);
	return r < 0 ? r : bus_close_dict(m);
}

static int add_counters(struct manager *manager, sd_bus_message *m)
{
	struct recorder_stats recorder;
	struct hold_stats hold = {0};
	struct groups_counts groups;
	struct bus_counts bus;
	struct log_counts lines;
	int r;

	recorder_get_stats(manager->recorder, &recorder);
	groups_get_counts(manager->groups, &groups);
	bus_get_counts(manager->bus, &bus);
	log_get_counts(&lines);
	if (manager->hold)
		hold_get_stats(manager->hold, &hold);
	const struct status_number events[] = {
		{"received", manager->counts.records},
		{"lost", manager->counts.lost},
		{"resyncs", manager->counts.resyncs},
	};
	const struct status_number actions[] = {
		{"placed", groups.placed},
		{"moved", groups.moved},
		{"failed", groups.failed + manager->counts.actions_failed},
		{"dropped", manager->actions.dropped},
	};
	const struct status_number holds[] = {
		{"watches", hold.marks},
		{"asked", hold.asked},
		{"expired", hold.expired},
		{"restarts", hold.restarts},
		{"down", manager->hold_is_down || !manager->hold},
	};
	const struct status_number clients[] = {
		{"connected", bus_client_count(manager->bus)},
		{"refused", bus.refused},
		{"dropped", bus.dropped_slow + bus.dropped_large},
	};
	const struct status_number records[] = {
		{"written", recorder.written},
		{"dropped", recorder.dropped},
		{"failed", recorder.failed},
		{"restarts", recorder.restarts},
	};
	const struct status_number log[] = {
		{"emitted", lines.emitted},
		{"dropped", lines.dropped},
	};
	const struct {
		const char *name;
		const struct status_number *numbers;
		size_t n;
	} groups_of[] = {
		{"events", events, ELEMENTSOF(events)},	    {"actions", actions, ELEMENTSOF(actions)},
		{"holds", holds, ELEMENTSOF(holds)},	    {"clients", clients, ELEMENTSOF(clients)},
		{"recorder", records, ELEMENTSOF(records)}, {"log", log, ELEMENTSOF(log)},
	};
	for (size_t i = 0; i < ELEMENTSOF(groups_of); i++) {
		r = add_numbers(m, groups_of[i].name, groups_of[i].numbers, groups_of[i].n);
		if (r < 0)
			return r;
	}
	r = bus_add_u64(m, "incidents", recorder.sent);
	if (r < 0)
		return r;
	return recorder.error ? bus_add_string(m, "recorder_error", recorder.error_text) : 0;
}

int call_status(sd_bus_message *reply, void *userdata)
{
	struct manager *manager = userdata;
	struct utsname kernel;
	int r;

	if (uname(&kernel) < 0)
		return -errno;
	const struct {
		const char *name, *value;
	} strings[] = {
		{"version", GOV_VERSION},
		{"backend", groups_backend(manager->groups)},
		{"mode", manager->options.observe ? "observe" : "enforce"},
		{"kernel", kernel.release},
		{"slice", groups_slice_path(manager->groups)},
		{"state_dir", manager->options.state_dir},
	};
	r = sd_bus_message_open_container(reply, 'a', "{sv}");
	if (r < 0)
		return r;
	for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
		r = bus_add_string(reply, strings[i].name, strings[i].value);
		if (r < 0)
			return r;
	}
	r = bus_add_u64(reply, "policies", manager->policies->n);
	if (r < 0)
		return r;
	r = bus_add_u64(reply, "policy_errors", manager->policy_errors.n);
	if (r < 0)
		return r;
	r = add_agents_status(manager, reply);
	if (r < 0)
		return r;
	r = add_counters(manager, reply);
	if (r < 0)
		return r;
	return sd_bus_message_close_container(reply);
}
