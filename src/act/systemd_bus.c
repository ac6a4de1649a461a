/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "act/systemd.h"
#include "base/text.h"

/*
 * The connection to systemd: by the system bus or, where there is none (yet, or at the moment), by systemd's own
 * socket, which root may use. Its descriptors are in the group's epoll, so that the loop knows but one.
 */

#define PRIVATE_ADDRESS "unix:path=/run/systemd/private"
#define CALL_TIMEOUT_US (5 * UINT64_C(1000000))
#define BACKOFF_MIN_NS (50 * NSEC_PER_MSEC)
#define BACKOFF_MAX_NS (2 * NSEC_PER_SEC)
/* Of one dispatch: however much is sent to us, the loop has others to look after. */
#define MESSAGES_MAX 64
#define BUS_NAME "org.freedesktop.DBus"

int systemd_errno(const sd_bus_error *error)
{
	static const struct {
		const char *name;
		int error;
	} known[] = {
		/* Nobody has answered, or nobody is there: it is asked again. */
		{"org.freedesktop.DBus.Error.NoReply", EAGAIN},
		{"org.freedesktop.DBus.Error.Timeout", EAGAIN},
		{"org.freedesktop.DBus.Error.Disconnected", EAGAIN},
		{"org.freedesktop.DBus.Error.ServiceUnknown", EAGAIN},
		{"org.freedesktop.DBus.Error.NameHasNoOwner", EAGAIN},
		{"org.freedesktop.DBus.Error.LimitsExceeded", EAGAIN},
		{SYSTEMD_NAME ".UnitExists", EEXIST},
		/* The slice is being stopped. */
		{SYSTEMD_NAME ".TransactionIsDestructive", EBUSY},
		{SYSTEMD_NAME ".NoSuchUnit", ENOENT},
		{SYSTEMD_NAME ".UnitNotLoaded", ENOENT},
	};
	int number;

	for (size_t i = 0; i < ELEMENTSOF(known); i++)
		if (sd_bus_error_has_name(error, known[i].name))
			return -known[i].error;
	number = sd_bus_error_get_errno(error);
	return number > 0 ? -number : -EIO;
}

/* ---- who speaks */

/*
 * The bus lets any user send any signal to one connection, and sd-bus takes it for whose it has the form of: neither
 * compares the sender with who has a name.
 */
static bool bus_says(sd_bus_message *message)
{
	const char *sender = sd_bus_message_get_sender(message);

	return sender && streq(sender, BUS_NAME);
}

static bool systemd_says(const struct systemd *systemd, sd_bus_message *message)
{
	const char *sender = sd_bus_message_get_sender(message);

	/* On its own socket, which is root's, there is nobody else. */
	return systemd->is_private || (sender && streq(sender, systemd->owner));
}

static int on_owner_changed(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *error)
{
	struct systemd *systemd = ((struct groups *)userdata)->systemd;
	const char *owner;

	/* s name, s old owner, s new owner or "": the D-Bus Specification */
	if (bus_says(message) && sd_bus_message_read(message, "sss", NULL, NULL, &owner) > 0)
		text_copy(systemd->owner, sizeof(systemd->owner), owner);
	return 0;
}

static int owner_ask(struct groups *groups);

static int on_owner(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *ret_error)
{
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	struct groups *groups = userdata;
	const char *owner;

	if (!error && bus_says(reply) && sd_bus_message_read(reply, "s", &owner) > 0)
		text_copy(groups->systemd->owner, sizeof(groups->systemd->owner), owner);
	/* When there is none yet, the change will be told. */
	if (error && sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY))
		(void)owner_ask(groups);
	return 0;
}

static int owner_ask(struct groups *groups)
{
	return sd_bus_call_method_async(groups->systemd->bus, NULL, BUS_NAME, "/org/freedesktop/DBus", BUS_NAME,
					"GetNameOwner", on_owner, groups, "s", SYSTEMD_NAME);
}

/* The owner is known before the first signal comes, as the bus does in order what it is asked for. */
static int owner_watch(struct groups *groups)
{
	static const char match[] =
		"type='signal',sender='" BUS_NAME "',path='/org/freedesktop/DBus',interface='" BUS_NAME
		"',member='NameOwnerChanged',arg0='" SYSTEMD_NAME "'";
	int r;

	r = sd_bus_add_match_async(groups->systemd->bus, NULL, match, on_owner_changed, NULL, groups);
	return r < 0 ? r : owner_ask(groups);
}

/* ---- what it says */

static void on_job_removed(struct groups *groups, sd_bus_message *message)
{
	const char *unit, *result;

	/* u id, o job, s unit, s result: org.freedesktop.systemd1(5) */
	if (sd_bus_message_read(message, "uoss", NULL, NULL, &unit, &result) >= 0)
		systemd_job_removed(groups, unit, result);
}

/*
 * The kernel tells of a group's changes at most every 10 ms, and drops what it hasn't told when the group is removed
 * (cgroup_file_notify(), cgroup_rm_file(), kernel/cgroup/cgroup.c), which systemd does at once.
 */
static void on_unit_removed(struct groups *groups, sd_bus_message *message)
{
	struct group *group;
	const char *unit;
	size_t cursor = 0;

	/* s id, o unit */
	if (sd_bus_message_read(message, "so", &unit, NULL) < 0 || !unit_is_scope(unit))
		return;
	while ((group = idmap_next(&groups->by_id, &cursor)))
		if (streq(group->name, unit))
			watch_check_soon(groups, group);
}

static void on_reloading(struct groups *groups, sd_bus_message *message)
{
	int begins;

	/* b: true before, false after; also of a reexec */
	if (sd_bus_message_read(message, "b", &begins) >= 0 && !begins)
		systemd_set_oom_again(groups);
}

static const struct {
	const char *name;
	void (*heard)(struct groups *groups, sd_bus_message *message);
} signals[] = {
	{"JobRemoved", on_job_removed},
	{"UnitRemoved", on_unit_removed},
	{"Reloading", on_reloading},
};

static int on_signal(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *error)
{
	struct groups *groups = userdata;

	if (!systemd_says(groups->systemd, message))
		return 0;
	for (size_t i = 0; i < ELEMENTSOF(signals); i++)
		if (sd_bus_message_is_signal(message, SYSTEMD_MANAGER, signals[i].name) > 0)
			signals[i].heard(groups, message);
	return 0;
}

static int signals_watch(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;
	int r;

	for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
		r = sd_bus_match_signal_async(systemd->bus, NULL, systemd->is_private ? NULL : SYSTEMD_NAME,
					      SYSTEMD_PATH, SYSTEMD_MANAGER, signals[i].name, on_signal, NULL, groups);
		if (r < 0)
			return r;
	}
	/* Else systemd sends no signals. It keeps that over a reexec. */
	return sd_bus_call_method_async(systemd->bus, NULL, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "Subscribe",
					NULL, NULL, NULL);
}

/* ---- the connection */

static void epoll_forget(struct groups *groups)
{
	if (groups->systemd->bus_fd >= 0)
		(void)epoll_ctl(groups->epoll_fd, EPOLL_CTL_DEL, groups->systemd->bus_fd, NULL);
	groups->systemd->bus_fd = -EBADF;
}

static void bus_drop(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;

	epoll_forget(groups);
	requests_restart(groups);
	systemd->bus = sd_bus_close_unref(systemd->bus);
	systemd->backoff_ns = MIN2(MAX2(systemd->backoff_ns * 2, BACKOFF_MIN_NS), BACKOFF_MAX_NS);
	systemd->reconnect_ns = watch_now_ns() + systemd->backoff_ns;
}

static int open_private(sd_bus **ret_bus)
{
	_cleanup_(sd_bus_unrefp) sd_bus *bus = NULL;
	int r;

	r = sd_bus_new(&bus);
	if (r < 0)
		return r;
	r = sd_bus_set_address(bus, PRIVATE_ADDRESS);
	if (r < 0)
		return r;
	r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret_bus = TAKE_PTR(bus);
	return 0;
}

/* What is sent before the other side has let us in waits in the bus's queue. */
static int bus_connect(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;
	int r;

	systemd->is_private = false;
	*systemd->owner = '\0';
	r = sd_bus_open_system_with_description(&systemd->bus, "govd");
	if (r < 0) {
		systemd->is_private = true;
		r = open_private(&systemd->bus);
	}
	if (r < 0)
		return r;
	systemd->reconnect_ns = 0;
	(void)sd_bus_set_method_call_timeout(systemd->bus, CALL_TIMEOUT_US);
	r = systemd->is_private ? 0 : owner_watch(groups);
	if (r >= 0)
		r = signals_watch(groups);
	if (r < 0)
		return r;
	/* It may have been reloaded, and have removed scopes, while nobody heard it. */
	systemd_set_oom_again(groups);
	watch_check_all(groups);
	return 0;
}

static int timer_open(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;

	systemd->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	return systemd->timer_fd < 0 ? -errno : watch_fd(groups, systemd->timer_fd);
}

int systemd_bus_open(struct groups *groups)
{
	int r;

	r = timer_open(groups);
	return r < 0 ? r : bus_connect(groups);
}

void systemd_bus_close(struct groups *groups)
{
	epoll_forget(groups);
	sd_bus_flush_close_unref(groups->systemd->bus);
	close_p(&groups->systemd->timer_fd);
}

int systemd_message(struct groups *groups, const char *method, sd_bus_message **ret_message)
{
	if (!groups->systemd->bus)
		return -ENOTCONN;
	return sd_bus_message_new_method_call(groups->systemd->bus, ret_message, SYSTEMD_NAME, SYSTEMD_PATH,
					      SYSTEMD_MANAGER, method);
}

#define RETRY_NS (100 * NSEC_PER_MSEC)

static int on_answer(sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *ret_error)
{
	struct request *request = userdata;
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	int r = error ? systemd_errno(error) : 0;

	request->slot = sd_bus_slot_unref(request->slot);
	if (r == -EAGAIN)
		request_again(request, RETRY_NS);
	else
		request->kind->answer(request->groups, request, r);
	return 0;
}

/* error: that the message couldn't be made. */
void systemd_call(struct groups *groups, struct request *request, sd_bus_message *message, int error)
{
	struct systemd *systemd = groups->systemd;

	request->slot = sd_bus_slot_unref(request->slot);
	if (error >= 0)
		error = sd_bus_call_async(systemd->bus, &request->slot, message, on_answer, request, 0);
	if (error >= 0) {
		request->tries++;
		request_again(request, NSEC_PER_SEC);
		return;
	}
	/* Not connected: as soon as that is so; ENOBUFS: systemd doesn't read. */
	request_again(request, error == -ENOTCONN ? BACKOFF_MIN_NS : NSEC_PER_SEC);
	if (error == -EINVAL || error == -ENOMEM)
		request->kind->answer(groups, request, error);
}

static int bus_watch(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;
	int fd = sd_bus_get_fd(systemd->bus), events = sd_bus_get_events(systemd->bus);
	struct epoll_event event = {.data.fd = fd};

	if (fd < 0 || events < 0)
		return fd < 0 ? fd : events;
	event.events = (uint32_t)events; /* POLLIN and POLLOUT are EPOLLIN and EPOLLOUT */
	if (systemd->bus_fd != fd)
		epoll_forget(groups);
	if (epoll_ctl(groups->epoll_fd, systemd->bus_fd < 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) < 0)
		return -errno;
	systemd->bus_fd = fd;
	return 0;
}

void systemd_arm(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;
	uint64_t next = UINT64_MAX, timeout_us;
	struct itimerspec timer = {0};

	if (systemd->bus && bus_watch(groups) < 0)
		next = 1;
	if (systemd->bus && sd_bus_get_timeout(systemd->bus, &timeout_us) >= 0 && timeout_us != UINT64_MAX)
		next = MIN2(next, timeout_us * NSEC_PER_USEC);
	if (systemd->reconnect_ns)
		next = MIN2(next, systemd->reconnect_ns);
	for (const struct request *request = systemd->requests; request; request = request->next)
		next = MIN2(next, request->is_done ? 1 : request->run_ns);
	if (next != UINT64_MAX) {
		next = MAX2(next, 1U);
		timer.it_value.tv_sec = (time_t)(next / NSEC_PER_SEC);
		timer.it_value.tv_nsec = (long)(next % NSEC_PER_SEC);
	}
	timerfd_settime(systemd->timer_fd, TFD_TIMER_ABSTIME, &timer, NULL);
}

static void bus_process(struct groups *groups)
{
	struct systemd *systemd = groups->systemd;
	int r = 1;

	/* The loop comes back for the others: those in the socket make it readable, and for those that sd-bus has read
	 * already its timeout is 0. */
	for (unsigned n = 0; n < MESSAGES_MAX && r > 0; n++)
		r = systemd->bus ? sd_bus_process(systemd->bus, NULL) : 0;
	if (r < 0 && r != -EAGAIN)
		bus_drop(groups);
	else if (systemd->bus && sd_bus_is_ready(systemd->bus) > 0)
		systemd->backoff_ns = 0;
	if (!systemd->bus && systemd->reconnect_ns <= watch_now_ns() && bus_connect(groups) < 0)
		bus_drop(groups);
}

int systemd_dispatch(struct groups *groups)
{
	uint64_t expirations;

	if (read(groups->systemd->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
		return -errno;
	bus_process(groups);
	requests_run(groups);
	systemd_arm(groups);
	return 0;
}
