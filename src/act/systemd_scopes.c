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
 * Scopes as files in the runtime directory, named as they are, with what their xattr has or will have. By those in
 * PLACING a govd that comes after a crash knows whose a scope is that systemd was asked for; by those in SCOPES, which
 * of its agents have ended while there was no govd, as systemd removes a scope with all that it says.
 */

#define PLACING "placing"
#define SCOPES "scopes"
#define SETTLE_WAIT_NS (10 * NSEC_PER_SEC)
#define SETTLE_LOOK_US 20000

static int open_dir(const char *runtime_dir, const char *name, int *ret_fd)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", runtime_dir, name) >= sizeof(path))
		return -ENAMETOOLONG;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int scopes_open(struct groups *groups, const char *runtime_dir)
{
	int r = open_dir(runtime_dir, PLACING, &groups->systemd->placing_fd);

	return r < 0 ? r : open_dir(runtime_dir, SCOPES, &groups->systemd->scopes_fd);
}

int scopes_begin(struct groups *groups, const struct request *request)
{
	_cleanup_close_ int fd = -EBADF;
	ssize_t n;
	int r;

	fd = openat(groups->systemd->placing_fd, request->unit, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -errno;
	n = write(fd, request->state, request->state_length);
	if (n == (ssize_t)request->state_length)
		return 0;
	r = n < 0 ? -errno : -ENOSPC;
	scopes_fail(groups, request->unit);
	return r;
}

void scopes_fail(struct groups *groups, const char *unit)
{
	(void)unlinkat(groups->systemd->placing_fd, unit, 0);
}

void scopes_place(struct groups *groups, const char *unit)
{
	if (renameat(groups->systemd->placing_fd, unit, groups->systemd->scopes_fd, unit) < 0)
		scopes_fail(groups, unit);
}

void scopes_end(struct groups *groups, const char *unit)
{
	(void)unlinkat(groups->systemd->scopes_fd, unit, 0);
}

/* ---- what an earlier govd has left */

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
static int settle(struct groups *groups, const char *unit, uint64_t deadline_ns)
{
	int r;

	while ((r = unit_has_job(groups, unit)) == 1 || r == -EAGAIN) {
		if (watch_now_ns() >= deadline_ns)
			return -ETIMEDOUT;
		usleep(SETTLE_LOOK_US);
	}
	return r == -ENOENT ? 0 : r;
}

/* Gives it the state that it doesn't have yet. */
static int restore_placing(struct groups *groups, const char *unit, uint64_t deadline_ns)
{
	_cleanup_free_ char *state = NULL;
	_cleanup_close_ int fd = -EBADF;
	size_t length;
	int r;

	r = settle(groups, unit, deadline_ns);
	if (r < 0)
		return r; /* what can't be told yet is left to the next govd */
	fd = unit_open(groups, unit);
	if (fd < 0 || tree_read_flag(fd, "cgroup.events", "populated") != 1) {
		scopes_fail(groups, unit);
		return 0;
	}
	r = file_read_all(groups->systemd->placing_fd, unit, SAVED_SIZE, &state, &length);
	if (r < 0)
		return r;
	/* XATTR_CREATE: what it has got since is newer. */
	if (fsetxattr(fd, SAVED_XATTR, state, length, XATTR_CREATE) < 0 && errno != EEXIST)
		return -errno;
	scopes_place(groups, unit);
	return 0;
}

/* Tells of its agent's end, when nobody can any more. */
static int restore_scope(struct groups *groups, const char *unit, _unused_ uint64_t deadline_ns)
{
	_cleanup_free_ struct saved *saved = calloc(1, sizeof(*saved));
	_cleanup_free_ char *state = NULL;
	struct group_found found = {.is_populated = false};
	size_t length;
	int r;

	if (!saved)
		return -ENOMEM;
	if (faccessat(groups->slice_fd, unit, F_OK, 0) == 0)
		return 0;
	r = file_read_all(groups->systemd->scopes_fd, unit, SAVED_SIZE, &state, &length);
	if (r < 0)
		return r;
	scopes_end(groups, unit);
	r = saved_parse(state, length, saved);
	/* A root that lives will be found for what it is by now. */
	if (r < 0 || process_lives(saved->agent.root_pid, saved->agent.root_start_ticks))
		return r;
	saved->agent.cgroup = "";
	found.saved = &saved->agent;
	found.policy = saved->policy;
	found.restart_id = saved->restart_id;
	groups->events.found(&found, groups->events.userdata);
	return 0;
}

static int each_file(struct groups *groups, int dir_fd, int (*each)(struct groups *, const char *, uint64_t))
{
	uint64_t deadline_ns = watch_now_ns() + SETTLE_WAIT_NS;
	struct dirent *entry;
	int r, first = 0;
	DIR *dir;

	r = file_open_dir(dir_fd, ".", &dir);
	if (r < 0)
		return r;
	while ((entry = readdir(dir))) {
		r = unit_is_scope(entry->d_name) ? each(groups, entry->d_name, deadline_ns) : 0;
		if (r < 0 && first == 0)
			first = r;
	}
	closedir(dir);
	return first;
}

int scopes_restore(struct groups *groups)
{
	int first = each_file(groups, groups->systemd->placing_fd, restore_placing);
	int r = each_file(groups, groups->systemd->scopes_fd, restore_scope);

	return first < 0 ? first : r;
}
