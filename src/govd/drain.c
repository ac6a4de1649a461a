/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <inttypes.h>
#include <systemd/sd-daemon.h>

#include "base/log.h"

/* The end of govd. Its agents run on within their limits, unless the host's configuration says drain_on_stop. */

/* After the last one's grace: kills that fail are tried again for as long. What is left then runs on. */
#define PATIENCE_NS (10 * NSEC_PER_SEC)

static int end(struct manager *manager)
{
	struct event event = {.kind = EVENT_ENDING};

	manager_dispatch(manager, &event);
	return sd_event_exit(manager->event, 0);
}

static int on_patience(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;
	uint64_t grace_ns;

	log_warning("%zu agents haven't ended: they run on, and their limits stay in force",
		    state_draining(manager->state, &grace_ns));
	sd_event_source_set_enabled(manager->drain_source, SD_EVENT_OFF);
	return end(manager);
}

int drain_begin(struct manager *manager)
{
	struct event event = {.kind = EVENT_ENDING};
	uint64_t grace_ns, wait_us;
	size_t n;
	int r;

	/* Who says it twice doesn't want to wait. */
	if (manager->drain_source || !manager->policies || !manager->policies->host.drain_on_stop)
		return end(manager);
	event.ending.drains = true;
	manager_dispatch(manager, &event);
	n = state_draining(manager->state, &grace_ns);
	if (!n)
		return end(manager);
	wait_us = (grace_ns + PATIENCE_NS) / NSEC_PER_USEC;
	r = sd_event_add_time_relative(manager->event, &manager->drain_source, CLOCK_MONOTONIC, wait_us, 0, on_patience,
				       manager);
	if (r < 0)
		return end(manager);
	log_info("waiting for the end of %zu agents", n);
	/* sd_notify(3): the service manager waits as long, and a second for govd's own end. */
	sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, wait_us + 1000000);
	return 0;
}

void drain_check(struct manager *manager)
{
	uint64_t grace_ns;
	int enabled;

	if (!manager->drain_source || sd_event_source_get_enabled(manager->drain_source, &enabled) < 0 ||
	    enabled == SD_EVENT_OFF || state_draining(manager->state, &grace_ns))
		return;
	/* Before the end is told to the core, which comes back here. */
	sd_event_source_set_enabled(manager->drain_source, SD_EVENT_OFF);
	if (end(manager) < 0)
		manager->counts.actions_failed++;
}
