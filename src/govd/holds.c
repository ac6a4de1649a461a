/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/pidfd.h>

#include "base/log.h"

/* Processes that govd-hold keeps waiting until they are placed. */

#define HOLD_RETRY_NS NSEC_PER_SEC /* after govd-hold ended; doubled while it doesn't last */
#define HOLD_RETRY_MAX_NS (60 * NSEC_PER_SEC)
_Static_assert(GOV_HOLD_PING_MS == 1000, "pinged on whole seconds");

uint64_t manager_mark_of(struct manager *manager, pid_t pid)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	struct gov_mark mark;

	return pidfd >= 0 && bpf_sense_get_mark(manager->bpf, pidfd, &mark) == 0 ? mark.id : 0;
}

static void hold_asked(uint64_t token, pid_t pid, bool is_exec, const char *path, void *userdata)
{
	struct manager *manager = userdata;
	struct event event = {.kind = EVENT_HOLD};
	int r;

	/* What was told before comes before: how the last life ended tells how this one begins. */
	manager_read_ring_briefly(manager);
	if (is_exec)
		r = procfs_read_exec(manager->procfs, pid, path, &event.hold.proc);
	else
		r = procfs_read_script(manager->procfs, pid, path, &event.hold.proc);
	if (r < 0) {
		/* Not a start of an agent, or not to be told yet: the exec record will. */
		hold_answer(manager->hold, token, 0);
		return;
	}
	event.hold.token = token;
	event.hold.proc.mark = manager_mark_of(manager, pid);
	manager_dispatch(manager, &event);
}

static void hold_expired(_unused_ uint64_t token, void *userdata)
{
	struct manager *manager = userdata;

	manager->counts.holds_expired++;
}

static int on_hold(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;

	if (hold_dispatch(manager->hold) < 0)
		manager->counts.actions_failed++;
	return 0;
}

static void hold_retry_later(struct manager *manager)
{
	uint64_t now_ns = manager_now_ns();

	/* One that has lasted begins with the shortest wait again. */
	if (now_ns - manager->hold_begun_ns > HOLD_RETRY_MAX_NS)
		manager->hold_wait_ns = HOLD_RETRY_NS;
	else
		manager->hold_wait_ns = MIN2(MAX2(manager->hold_wait_ns * 2, HOLD_RETRY_NS), HOLD_RETRY_MAX_NS);
	manager->hold_is_down = true;
	sd_event_source_set_time(manager->hold_timer, (now_ns + manager->hold_wait_ns) / NSEC_PER_USEC);
	sd_event_source_set_enabled(manager->hold_timer, SD_EVENT_ONESHOT);
}

static void hold_ended(const char *why, void *userdata)
{
	struct manager *manager = userdata;

	log_warning("govd-hold ended: %s; agents are caught by their exec until it runs again", why);
	manager->hold_source = sd_event_source_disable_unref(manager->hold_source);
	hold_retry_later(manager);
}

static int hold_join(struct manager *manager)
{
	int r = manager_protect(manager, hold_pid(manager->hold));

	if (r < 0)
		return r;
	if (manager->recorder_pid)
		hold_exempt(manager->hold, manager->recorder_pid);
	r = manager_watch_fd(manager, &manager->hold_source, hold_fd(manager->hold), on_hold);
	if (r < 0)
		return r;
	return sd_event_source_set_priority(manager->hold_source, SD_EVENT_PRIORITY_IMPORTANT - 1);
}

static int hold_attach(struct manager *manager)
{
	int r = hold_start(manager->hold);

	if (r < 0)
		return r;
	manager->hold_is_down = false;
	manager->hold_begun_ns = manager_now_ns();
	r = hold_join(manager);
	if (r < 0) {
		/* It has died already, perhaps: nobody would notice, and it would count as started. */
		manager->hold_source = sd_event_source_disable_unref(manager->hold_source);
		hold_stop(manager->hold);
	}
	return r;
}

static void hold_again(struct manager *manager)
{
	if (hold_attach(manager) < 0)
		hold_retry_later(manager);
}

/* Time to ping, or, when it is down, to start it again. */
static int on_watch(sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	if (manager->hold_is_down)
		hold_again(manager);
	else if (hold_watch_over(manager->hold, manager_now_ns()) < 0)
		manager->counts.actions_failed++;
	if (!manager->hold_is_down)
		sd_event_source_set_time(source, manager_next_second_us());
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int manager_open_hold(struct manager *manager)
{
	struct hold_events events = {
		.ask = hold_asked, .expired = hold_expired, .ended = hold_ended, .userdata = manager};
	char program[PATH_MAX];
	int r;

	r = program_path("govd-hold", program, sizeof(program));
	if (r < 0)
		return r;
	r = hold_new(program, &events, &manager->hold);
	if (r < 0)
		return r;
	r = sd_event_add_time(manager->event, &manager->hold_timer, CLOCK_MONOTONIC, manager_next_second_us(),
			      REST_ACCURACY_US, on_watch, manager);
	if (r < 0)
		return r;
	r = hold_attach(manager);
	if (r < 0) {
		log_warning("agents can't be held at their start (%s): they are caught by their exec; `govctl doctor` "
			    "tells why",
			    strerror(-r));
		hold_retry_later(manager);
	}
	return 0;
}
