/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system bus: one connection, which waits for the bus where there is none yet, and is made anew when the bus has
 * restarted. It is attached to the loop, so that its failures end with it. Nobody on it is root's friend by being
 * there: who calls is found by bus_sender.c.
 */
#include "out/bus_internal.h"

#define SYSTEM_BUS_ADDRESS "unix:path=/run/dbus/system_bus_socket"
#define BACKOFF_MIN_US (50 * UINT64_C(1000))
#define BACKOFF_MAX_US (30 * UINT64_C(1000000))
/* After what the kernel tells: whoever floods the bus delays the bus only. */
#define SYSTEM_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 10)

static void tell(struct bus *bus, bool is_named, int error)
{
	struct bus_system *system = &bus->system;
	bool is_news = !system->is_told || system->error != error;

	system->is_named = is_named;
	system->is_told = true;
	system->error = error;
	if (is_news && bus->calls.named)
		bus->calls.named(error, bus->calls.userdata);
}

void bus_system_drop(struct bus *bus)
{
	struct bus_system *system = &bus->system;
	struct bus_client *sender;
	int on = SD_EVENT_OFF;

	if (sd_event_source_get_enabled(system->timer, &on) < 0 || on != SD_EVENT_OFF)
		return;
	/* Nothing more is written to them. */
	for (sender = TAILQ_FIRST(&system->senders); sender; sender = TAILQ_NEXT(sender, entry))
		bus_client_end(sender);
	if (system->is_named)
		tell(bus, false, -ENOTCONN);
	system->backoff_us = MIN2(MAX2(system->backoff_us * 2, BACKOFF_MIN_US), BACKOFF_MAX_US);
	sd_event_source_set_time_relative(system->timer, system->backoff_us);
	sd_event_source_set_enabled(system->timer, SD_EVENT_ONESHOT);
}

/* A signal of the bus's own about our name. */
static bool is_about_name(sd_bus_message *m, const char *signal)
{
	const char *name;

	return bus_says(m) && sd_bus_message_is_signal(m, "org.freedesktop.DBus", signal) > 0 &&
	       sd_bus_message_read(m, "s", &name) > 0 && streq(name, GOV_BUS_SERVICE);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error _unused_)
{
	struct bus *bus = userdata;
	const char *sender = sd_bus_message_get_sender(m);
	uint64_t queued = 0;

	/* It doesn't take our answers, which may be large, and calls go on coming. */
	if (sd_bus_get_n_queued_write(bus->system.connection, &queued) >= 0 && queued > BUS_QUEUE_MAX) {
		bus_system_drop(bus);
		return 1;
	}
	if (sender && streq(sender, "org.freedesktop.DBus.Local") &&
	    sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", "Disconnected") > 0) {
		bus_system_drop(bus);
	} else if (is_about_name(m, "NameAcquired")) {
		bus->system.backoff_us = 0;
		tell(bus, true, 0);
	} else if (is_about_name(m, "NameLost")) {
		tell(bus, false, -EEXIST);
	}
	/* Others read it from its beginning. */
	(void)sd_bus_message_rewind(m, true);
	return 0;
}

static int on_name(sd_bus_message *reply, void *userdata, sd_bus_error *error _unused_)
{
	/* Reply of RequestName, D-Bus Specification: 2 is that another has it, and we are in its queue. */
	enum { IN_QUEUE = 2 };
	struct bus *bus = userdata;
	const sd_bus_error *failed = sd_bus_message_get_error(reply);
	uint32_t result = 0;

	/* Its policy may come a moment after us. */
	if (sd_bus_error_has_name(failed, SD_BUS_ERROR_ACCESS_DENIED))
		tell(bus, false, -EACCES);
	if (failed)
		bus_system_drop(bus);
	else if (sd_bus_message_read(reply, "u", &result) > 0 && result == IN_QUEUE)
		tell(bus, false, -EEXIST);
	return 0;
}

static int configure(struct bus *bus, sd_bus *connection)
{
	const char *address = secure_getenv("DBUS_SYSTEM_BUS_ADDRESS");
	int r = sd_bus_set_address(connection, address ? address : SYSTEM_BUS_ADDRESS);

	if (r >= 0)
		r = sd_bus_set_bus_client(connection, 1);
	/* By inotify(7): no bus costs nothing. */
	if (r >= 0)
		r = sd_bus_set_watch_bind(connection, 1);
	if (r >= 0)
		r = sd_bus_set_description(connection, "govd");
	/* Descriptors that somebody sends aren't taken. */
	if (r >= 0)
		r = sd_bus_negotiate_fds(connection, 0);
	/* Closing would wait until all is written. */
	if (r >= 0)
		r = sd_bus_set_close_on_exit(connection, 0);
	if (r >= 0)
		r = sd_bus_add_filter(connection, NULL, on_message, bus);
	if (r >= 0)
		r = sd_bus_start(connection);
	return r < 0 ? r : sd_bus_attach_event(connection, bus->event, SYSTEM_PRIORITY);
}

static int system_connect(struct bus *bus)
{
	struct bus_system *system = &bus->system;
	int r = sd_bus_new(&system->connection);

	if (r >= 0)
		r = configure(bus, system->connection);
	if (r >= 0)
		r = bus_method_attach_system(bus);
	/* Waits in the connection's queue until the bus lets us in. */
	if (r >= 0)
		r = sd_bus_request_name_async(system->connection, NULL, GOV_BUS_SERVICE, SD_BUS_NAME_QUEUE, on_name,
					      bus);
	return r;
}

static void system_disconnect(struct bus *bus)
{
	struct bus_client *sender;

	while ((sender = TAILQ_FIRST(&bus->system.senders)))
		bus_client_free(sender);
	/* No flush: it would wait for the bus. */
	bus->system.connection = sd_bus_close_unref(bus->system.connection);
}

static int on_time(sd_event_source *source _unused_, uint64_t time_us _unused_, void *userdata)
{
	struct bus *bus = userdata;

	system_disconnect(bus);
	if (system_connect(bus) < 0)
		bus_system_drop(bus);
	return 0;
}

int bus_system_open(struct bus *bus)
{
	struct bus_system *system = &bus->system;
	int r = sd_event_add_time(bus->event, &system->timer, CLOCK_MONOTONIC, 0, 0, on_time, bus);

	if (r >= 0)
		r = sd_event_source_set_enabled(system->timer, SD_EVENT_OFF);
	if (r >= 0 && system_connect(bus) < 0)
		bus_system_drop(bus);
	return r < 0 ? r : 0;
}

void bus_system_close(struct bus *bus)
{
	system_disconnect(bus);
	bus->system.timer = sd_event_source_disable_unref(bus->system.timer);
}

bool bus_system_is_named(const struct bus *bus)
{
	return bus->system.is_named;
}
