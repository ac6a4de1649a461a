/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether others than govctl can reach govd: by the system bus. */
#include <systemd/sd-bus.h>
#include <time.h>

#include "gov/bus.h"
#include "govd/doctor_check.h"

#define ANSWER_US (2 * UINT64_C(1000000))
#define SYSTEM_BUS_SOCKET "/run/dbus/system_bus_socket"

static const char *const policies[] = {
	"/usr/share/dbus-1/system.d/" GOV_BUS_SERVICE ".conf",
	"/usr/local/share/dbus-1/system.d/" GOV_BUS_SERVICE ".conf",
	"/etc/dbus-1/system.d/" GOV_BUS_SERVICE ".conf",
};

static bool has_policy(void)
{
	for (size_t i = 0; i < ELEMENTSOF(policies); i++)
		if (access(policies[i], F_OK) == 0)
			return true;
	return false;
}

static uint64_t now_us(void)
{
	struct timespec t = {};

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* sd-bus itself would wait for 90 s for one that hangs. */
static int wait_ready(sd_bus *bus)
{
	uint64_t until = now_us() + ANSWER_US, now = 0;
	int r = 0;

	while (r >= 0 && sd_bus_is_ready(bus) == 0 && (now = now_us()) < until) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, until - now);
	}
	if (r >= 0)
		r = sd_bus_is_ready(bus);
	return r == 0 ? -ETIMEDOUT : r;
}

static int ask(const char *name, int *ret_has_owner)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	sd_bus_message *reply = NULL;
	int r = sd_bus_open_system(&bus);

	if (r >= 0)
		r = wait_ready(bus);
	if (r < 0)
		return r;
	(void)sd_bus_set_method_call_timeout(bus, ANSWER_US);
	r = sd_bus_call_method(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
			       "NameHasOwner", NULL, &reply, "s", name);
	if (r >= 0)
		r = sd_bus_message_read(reply, "b", ret_has_owner);
	sd_bus_message_unref(reply);
	return r < 0 ? r : 0;
}

void doctor_check_bus(struct doctor *doctor)
{
	int has_owner = 0, r;

	if (!secure_getenv("DBUS_SYSTEM_BUS_ADDRESS") && access(SYSTEM_BUS_SOCKET, F_OK) < 0) {
		doctor_report(doctor, "system bus", DOCTOR_OK,
			      "there is none: govd is reached by its socket alone, as govctl does");
		return;
	}
	r = ask(GOV_BUS_SERVICE, &has_owner);
	if (r < 0)
		doctor_report(doctor, "system bus", DOCTOR_WARN,
			      "it doesn't answer (%s): govd is reached by its socket alone until it does",
			      strerror(-r));
	else if (has_owner)
		doctor_report(doctor, "system bus", DOCTOR_OK, "govd is on it as " GOV_BUS_SERVICE);
	else if (!has_policy())
		doctor_report(doctor, "system bus", DOCTOR_WARN,
			      "it has no policy for " GOV_BUS_SERVICE ": govd is reached by its socket alone; install "
			      "units/" GOV_BUS_SERVICE ".conf as %s",
			      policies[0]);
	else
		doctor_report(doctor, "system bus", DOCTOR_OK,
			      "nobody has the name " GOV_BUS_SERVICE " now; govd takes it when it runs");
}
