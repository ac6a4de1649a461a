/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <limits.h>

#include "base/log.h"

/* govd-recorder: started, heard, and started again. */

static int on_recorder(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;

	if (recorder_dispatch(manager->recorder) < 0)
		manager->counts.actions_failed++;
	manager_watch_recorder(manager);
	return 0;
}

void manager_watch_recorder(struct manager *manager)
{
	pid_t pid = recorder_pid(manager->recorder);

	if (recorder_fd(manager->recorder) < 0) {
		manager->recorder_source = sd_event_source_disable_unref(manager->recorder_source);
		manager->recorder_pid = 0;
		return;
	}
	if (pid == manager->recorder_pid)
		return;
	manager->recorder_pid = pid;
	if (manager->hold)
		hold_exempt(manager->hold, pid);
	if (manager_protect(manager, pid) < 0 ||
	    manager_watch_fd(manager, &manager->recorder_source, recorder_fd(manager->recorder), on_recorder) < 0)
		manager->counts.actions_failed++;
}

static int on_watch(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	if (recorder_watch_over(manager->recorder, manager_now_ns()) < 0)
		manager->counts.actions_failed++;
	manager_watch_recorder(manager);
	sd_event_source_set_time(source, manager_next_second_us());
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int manager_open_recorder(struct manager *manager)
{
	char program[PATH_MAX];
	int r;

	r = program_path("govd-recorder", program, sizeof(program));
	if (r < 0) {
		log_err("govd-recorder is neither beside govd nor in " GOV_LIBEXECDIR ": install govd again");
		return r;
	}
	r = recorder_new(program, manager->options.state_dir, &manager->recorder);
	if (r < 0) {
		log_err("can't start govd-recorder: %s", strerror(-r));
		return r;
	}
	return sd_event_add_time(manager->event, NULL, CLOCK_MONOTONIC, manager_next_second_us(), REST_ACCURACY_US,
				 on_watch, manager);
}
