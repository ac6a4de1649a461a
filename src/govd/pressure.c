/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base/log.h"

/*
 * Watches agents' memory for the ladder: PSI's trigger and memory.events, each armed for one event. The triggers are in
 * the loop's own epoll, as looking at one takes its event.
 */

/*
 * After placing. The end of each trigger waits for an RCU grace period, some 10 ms, in which nothing that is held is
 * let go: psi_trigger_destroy(). What ends sooner never has one.
 */
#define TRIGGER_AFTER_US UINT64_C(2000000)
#define TRIGGER_ACCURACY_US UINT64_C(500000)

struct pressure_watch {
	struct manager *manager;
	uint64_t agent;
	sd_event_source *timer;	 /* until there is a trigger */
	sd_event_source *source; /* the trigger; NULL: not yet, or this host has none */
	int events;		 /* watch of memory.events; -1: none */
	bool is_armed;		 /* the core waits to be told */
};

static struct pressure_watch *watch_free(struct pressure_watch *watch)
{
	if (!watch)
		return NULL;
	sd_event_source_disable_unref(watch->timer);
	sd_event_source_disable_unref(watch->source);
	if (watch->events >= 0)
		(void)inotify_rm_watch(watch->manager->pressure.inotify_fd, watch->events);
	free(watch);
	return NULL;
}
DEFINE_CLEANUP(struct pressure_watch *, watch_free)

/* ---- looking ---- */

static void look(struct manager *manager, uint64_t agent)
{
	struct event event = {.kind = EVENT_PRESSURE};

	event.pressure.agent = agent;
	/* The core waits for it, whatever is there to be seen. */
	if (groups_pressure(manager->groups, agent, &event.pressure.view) < 0) {
		memset(&event.pressure.view, 0xff, sizeof(event.pressure.view));
		event.pressure.view.can_reclaim = event.pressure.view.can_throttle = false;
	}
	manager_dispatch(manager, &event);
}

void pressure_look(struct manager *manager, const struct action *action)
{
	look(manager, action->agent->handle);
}

/* Once is enough: from now on the core looks by itself, until it has it watched again. */
static void fire(struct pressure_watch *watch)
{
	struct manager *manager = watch->manager;

	watch->is_armed = false;
	if (watch->source)
		(void)sd_event_source_set_enabled(watch->source, SD_EVENT_OFF);
	if (watch->events >= 0)
		(void)inotify_rm_watch(manager->pressure.inotify_fd, watch->events);
	watch->events = -1;
	look(manager, watch->agent);
}

static int on_trigger(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata)
{
	fire(userdata);
	return 0;
}

static struct pressure_watch *find_events(struct manager *manager, int events)
{
	struct pressure_watch *watch;
	size_t cursor = 0;

	while ((watch = idmap_next(&manager->pressure.by_agent, &cursor)))
		if (watch->events == events)
			return watch;
	return NULL;
}

static int on_events(_unused_ sd_event_source *source, int fd, _unused_ uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char buffer[4096];
	struct manager *manager = userdata;
	ssize_t n;

	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		for (char *p = buffer; p < buffer + n;) {
			const struct inotify_event *event = (const struct inotify_event *)(const void *)p;
			struct pressure_watch *watch = event->mask & IN_MODIFY ? find_events(manager, event->wd) : NULL;

			p += sizeof(*event) + event->len;
			if (!watch)
				continue;
			watch->events = -1; /* IN_ONESHOT: it is gone */
			fire(watch);
		}
	return 0;
}

/* ---- watching ---- */

static int open_trigger(struct manager *manager, struct pressure_watch *watch)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = groups_pressure_open(manager->groups, watch->agent, &fd);
	if (r < 0)
		return r;
	r = sd_event_add_io(manager->event, &watch->source, fd, EPOLLPRI, on_trigger, watch);
	if (r < 0)
		return r;
	r = sd_event_source_set_io_fd_own(watch->source, true);
	if (r >= 0)
		TAKE_FD(fd);
	return r;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct pressure_watch *watch = userdata;
	struct manager *manager = watch->manager;
	int r = open_trigger(manager, watch);

	if (r < 0 && r != -ENOENT && r != -ENODEV && !manager->pressure.is_told) {
		manager->pressure.is_told = true;
		log_warning("agents' memory pressure isn't told (memory.pressure: %s); `govctl doctor` tells more",
			    strerror(-r));
	}
	if (watch->source)
		(void)sd_event_source_set_enabled(watch->source, watch->is_armed ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	return 0;
}

static struct pressure_watch *watch_of(struct manager *manager, uint64_t agent)
{
	_cleanup_(watch_freep) struct pressure_watch *watch = idmap_get(&manager->pressure.by_agent, agent);

	if (watch)
		return TAKE_PTR(watch);
	watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	*watch = (struct pressure_watch){.manager = manager, .agent = agent, .events = -1};
	if (sd_event_add_time_relative(manager->event, &watch->timer, CLOCK_MONOTONIC, TRIGGER_AFTER_US,
				       TRIGGER_ACCURACY_US, on_timer, watch) < 0)
		return NULL;
	if (idmap_put(&manager->pressure.by_agent, agent, watch) < 0)
		return NULL;
	return TAKE_PTR(watch);
}

void pressure_watch(struct manager *manager, const struct action *action)
{
	struct pressure_watch *watch = watch_of(manager, action->agent->handle);

	if (!watch) {
		manager->counts.actions_failed++;
		return;
	}
	watch->is_armed = true;
	if (watch->source)
		(void)sd_event_source_set_enabled(watch->source, SD_EVENT_ONESHOT);
	if (watch->events < 0 &&
	    groups_events_watch(manager->groups, watch->agent, manager->pressure.inotify_fd, &watch->events) < 0)
		watch->events = -1;
}

void pressure_forget(struct manager *manager, const struct agent *agent)
{
	watch_free(idmap_remove(&manager->pressure.by_agent, agent->handle));
}

int manager_open_pressure(struct manager *manager)
{
	_cleanup_close_ int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int r;

	if (fd < 0)
		return -errno;
	r = sd_event_add_io(manager->event, &manager->pressure.source, fd, EPOLLIN, on_events, manager);
	if (r < 0)
		return r;
	r = sd_event_source_set_io_fd_own(manager->pressure.source, true);
	if (r >= 0)
		manager->pressure.inotify_fd = TAKE_FD(fd);
	return r;
}

void pressure_done(struct manager *manager)
{
	struct pressure_watch *watch;
	size_t cursor = 0;

	while ((watch = idmap_next(&manager->pressure.by_agent, &cursor)))
		watch_free(watch);
	idmap_done(&manager->pressure.by_agent);
	sd_event_source_disable_unref(manager->pressure.source);
}

/* ---- for people ---- */

static double percent(uint64_t milli)
{
	return (double)milli / 1000.0;
}

void pressure_write(struct manager *manager, struct bus_writer *writer, const struct agent *agent)
{
	struct pressure_view view;

	if (!agent->is_placed || groups_pressure(manager->groups, agent->handle, &view) < 0 ||
	    view.some_avg10_milli == UINT64_MAX || view.full_avg10_milli == UINT64_MAX)
		return;
	bus_begin_dict(writer, "pressure");
	bus_write_double(writer, "some_pct", percent(view.some_avg10_milli));
	bus_write_double(writer, "full_pct", percent(view.full_avg10_milli));
	bus_write_string(writer, "rung", ladder_rung_name(ladder_of(agent)->rung));
	bus_end(writer);
}
