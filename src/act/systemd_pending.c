/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "act/saved.h"
#include "act/systemd.h"
#include "base/file.h"
#include "base/text.h"

/*
 * Scopes that no govd has seen finished. Until a scope has the agent's state, a file named as the scope has it: a govd
 * that comes after a crash knows from it whose the scope is. A scope that never held a process systemd waits for for
 * ever, as it is told of a group's changes only: that one is stopped.
 */

#define PENDING_DIR "placing"
#define SETTLE_WAIT_NS (10 * NSEC_PER_SEC)
#define SETTLE_LOOK_US 20000

int pending_open(struct groups *groups, const char *runtime_dir)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/" PENDING_DIR, runtime_dir) >= sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	groups->systemd->pending_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return groups->systemd->pending_fd < 0 ? -errno : 0;
}

int pending_write(struct groups *groups, const struct request *request)
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t n;
	int r;

	fd = openat(groups->systemd->pending_fd, request->unit, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	n = write(fd, request->state, request->state_length);
	if (n == (ssize_t)request->state_length)
		return 0;
	r = n < 0 ? -errno : -ENOSPC;
	pending_drop(groups, request->unit);
	return r;
}

void pending_drop(struct groups *groups, const char *unit)
{
	(void)unlinkat(groups->systemd->pending_fd, unit, 0);
}

/* 1: systemd has a job for it; 0: no more; -ENOENT: it has no such unit; else -errno. */
static int unit_has_job(struct groups *groups, const char *unit)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL, *job = NULL;
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus *bus = groups->systemd->bus;
	const char *object;
	uint32_t id;
	int r;

	r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_MANAGER, "GetUnit", &error, &reply, "s", unit);
	if (r < 0)
		return sd_bus_error_is_set(&error) ? systemd_errno(&error) : r;
	r = sd_bus_message_read(reply, "o", &object);
	if (r < 0)
		return r;
	r = sd_bus_get_property(bus, SYSTEMD_NAME, object, SYSTEMD_NAME ".Unit", "Job", &error, &job, "(uo)");
	/* It has ended since. */
	if (sd_bus_error_has_name(&error, SD_BUS_ERROR_UNKNOWN_OBJECT))
		return -ENOENT;
	if (r < 0)
		return sd_bus_error_is_set(&error) ? systemd_errno(&error) : r;
	r = sd_bus_message_read(job, "(uo)", &id, NULL);
	return r < 0 ? r : id != 0;
}

/* systemd has read what the earlier govd has sent before it reads what we send. */
static int pending_settle(struct groups *groups, const char *unit, uint64_t deadline_ns)
{
	int r;

	while ((r = unit_has_job(groups, unit)) == 1 || r == -EAGAIN) {
		if (watch_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		usleep(SETTLE_LOOK_US);
	}
	return r == -ENOENT ? 0 : r;
}

static int pending_restore_one(struct groups *groups, const char *unit, uint64_t deadline_ns)
{
	_cleanup_free_ char *state = NULL;
	_cleanup_close_ int fd = -EBADF;
	size_t length;
	int r;

	r = pending_settle(groups, unit, deadline_ns);
	if (r < 0)
		return r;
	fd = unit_open(groups, unit);
	if (fd < 0 || tree_read_flag(fd, "cgroup.events", "populated") != 1)
		return 0;
	r = file_read_all(groups->systemd->pending_fd, unit, SAVED_SIZE, &state, &length);
	if (r < 0)
		return r;
	/* XATTR_CREATE: what it has got since is newer. */
	return fsetxattr(fd, SAVED_XATTR, state, length, XATTR_CREATE) < 0 && errno != EEXIST ? -errno : 0;
}

int pending_restore(struct groups *groups)
{
	uint64_t deadline_ns = watch_now_ns() + SETTLE_WAIT_NS;
	struct dirent *entry;
	int fd, first = 0;
	DIR *dir;

	fd = openat(groups->systemd->pending_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir))) {
		int r;

		if (entry->d_name[0] == '.')
			continue;
		r = unit_is_scope(entry->d_name) ? pending_restore_one(groups, entry->d_name, deadline_ns) : 0;
		/* What can't be told of yet is left to the next govd. */
		if (r >= 0)
			pending_drop(groups, entry->d_name);
		else if (first == 0)
			first = r;
	}
	closedir(dir);
	return first;
}

/* ---- empty ones */

static bool is_empty(struct groups *groups, const char *unit)
{
	_cleanup_close_ int fd = unit_open(groups, unit);

	return fd >= 0 && tree_read_flag(fd, "cgroup.events", "populated") == 0;
}

static void stop_run(struct groups *groups, struct request *request)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL;
	int r;

	if (!is_empty(groups, request->unit)) {
		request_end(request);
		return;
	}
	r = systemd_message(groups, "StopUnit", &message);
	if (r >= 0)
		r = sd_bus_message_append(message, "ss", request->unit, "replace");
	systemd_call(groups, request, message, r);
}

static void stop_answer(struct groups *groups, struct request *request, int error)
{
	if (error < 0 && error != -ENOENT)
		groups->counts.failed++;
	request_end(request);
}

static void stop_expire(struct groups *groups, struct request *request)
{
	stop_answer(groups, request, -ETIMEDOUT);
}

static const struct request_kind request_stop = {.run = stop_run, .answer = stop_answer, .expire = stop_expire};

void systemd_sweep(struct groups *groups, const char *unit)
{
	struct request *request;

	if (!unit_is_scope(unit) || !is_empty(groups, unit))
		return;
	request = request_new(groups, &request_stop, 0);
	if (!request) {
		groups->counts.failed++;
		return;
	}
	text_copy(request->unit, sizeof(request->unit), unit);
	request_begin(groups, request);
}
