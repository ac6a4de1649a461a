/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <sys/epoll.h>
#include <sys/inotify.h>

#include "base/log.h"

/*
 * Watches agents' memory for the ladder, each until something is told of it: by PSI's trigger of the slice, and by
 * memory.events. One trigger serves all, as the end of each waits for an RCU grace period, some 10 ms, in which nothing
 * that is held is let go, or, when the group is removed before, all of cgroups waits: psi_trigger_destroy(). Only
 * agents that aren't in the slice have one of their own. Triggers are in the loop's own epoll, as looking at one takes
 * its event.
 */

/* So much since the last look is worth a look by the core: the kernel tells once a second. */
#define ENOUGH_US 150000

struct pressure_watch {
	struct manager *manager;
	uint64_t agent;
	sd_event_source *source; /* a trigger of its own; NULL: the slice's, or this host has none */
	int events;		 /* watch of memory.events; -1: none */
	bool is_armed;		 /* the core waits to be told */
	bool is_due;		 /* and is told soon */
	uint64_t some_us;	 /* as in the view, at the last look */
};

static struct pressure_watch *watch_free(struct pressure_watch *watch)
{
	if (!watch)
		return NULL;
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
	struct pressure_watch *watch = idmap_get(&manager->pressure.by_agent, agent);
	struct event event = {.kind = EVENT_PRESSURE};

	event.pressure.agent = agent;
	/* The core waits for it, whatever is there to be seen. */
	if (groups_pressure(manager->groups, agent, &event.pressure.view) < 0) {
		memset(&event.pressure.view, 0xff, sizeof(event.pressure.view));
		event.pressure.view.can_reclaim = event.pressure.view.can_throttle = false;
	}
	if (watch && event.pressure.view.some_us != UINT64_MAX)
		watch->some_us = event.pressure.view.some_us;
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

	watch->is_armed = watch->is_due = false;
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

static struct pressure_watch *find_due(struct manager *manager)
{
	struct pressure_watch *watch;
	size_t cursor = 0;

	while ((watch = idmap_next(&manager->pressure.by_agent, &cursor)))
		if (watch->is_due)
			return watch;
	return NULL;
}

/* Some agent waits for memory: which? Telling the core may end a watch, so that they are found first. */
static int on_slice_trigger(_unused_ sd_event_source *source, _unused_ int fd, uint32_t revents, void *userdata)
{
	struct manager *manager = userdata;
	struct pressure_watch *watch;
	size_t cursor = 0;

	/* The slice has been removed. */
	if (revents & EPOLLERR)
		manager->pressure.slice = sd_event_source_disable_unref(manager->pressure.slice);
	while ((watch = idmap_next(&manager->pressure.by_agent, &cursor))) {
		uint64_t some_us =
			watch->is_armed ? groups_pressure_some_us(manager->groups, watch->agent) : UINT64_MAX;

		if (some_us == UINT64_MAX)
			continue;
		watch->is_due = some_us >= watch->some_us + ENOUGH_US;
		watch->some_us = some_us;
	}
	while ((watch = find_due(manager)))
		fire(watch);
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

static void tell_blind(struct manager *manager, int error)
{
	if (error == -ENOENT || error == -ENODEV || manager->pressure.is_told)
		return;
	manager->pressure.is_told = true;
	log_warning("agents' memory pressure isn't told (memory.pressure: %s); `govctl doctor` tells more",
		    strerror(-error));
}

/* Of one that isn't in the slice. */
static void open_own(struct manager *manager, struct pressure_watch *watch)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = groups_pressure_open(manager->groups, watch->agent, &fd);
	if (r >= 0)
		r = sd_event_add_io(manager->event, &watch->source, fd, EPOLLPRI, on_trigger, watch);
	if (r >= 0)
		r = manager_give_fd(&watch->source, &fd);
	if (r < 0)
		tell_blind(manager, r);
}

void pressure_watch_slice(struct manager *manager)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	manager->pressure.slice = sd_event_source_disable_unref(manager->pressure.slice);
	r = groups_slice_pressure_open(manager->groups, &fd);
	if (r >= 0)
		r = sd_event_add_io(manager->event, &manager->pressure.slice, fd, EPOLLPRI, on_slice_trigger, manager);
	if (r >= 0)
		r = manager_give_fd(&manager->pressure.slice, &fd);
	if (r < 0)
		tell_blind(manager, r);
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
	open_own(manager, watch);
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
	manager->pressure.inotify_fd = fd;
	r = manager_give_fd(&manager->pressure.source, &fd);
	if (r < 0)
		return r;
	pressure_watch_slice(manager);
	return 0;
}

void pressure_done(struct manager *manager)
{
	struct pressure_watch *watch;
	size_t cursor = 0;

	while ((watch = idmap_next(&manager->pressure.by_agent, &cursor)))
		watch_free(watch);
	idmap_done(&manager->pressure.by_agent);
	sd_event_source_disable_unref(manager->pressure.slice);
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
