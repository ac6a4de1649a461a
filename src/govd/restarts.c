/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "out/restarts.h"

#include <fcntl.h>

#include "base/log.h"
#include "base/text.h"
#include "govd/manager.h"

/* Counts of restarts on disk, so that a crash loop doesn't begin anew with each govd; and who was released, so that the
 * next govd doesn't take it again. */

#define SAVE_AFTER_US UINT64_C(1000000) /* changes in one second are written once */

static bool make_path(const struct manager *manager, const char *suffix, char *path, size_t size)
{
	return (size_t)snprintf(path, size, "%s/" RESTARTS_FILE "%s", manager->options.state_dir, suffix) < size;
}

static int write_all(const struct manager *manager, FILE *file)
{
	const struct restart *restart;
	char boot[RESTARTS_BOOT_MAX];
	uint64_t start_ticks;
	size_t cursor = 0;
	pid_t pid;
	int r;

	r = restarts_boot_id(boot);
	if (r < 0)
		return r;
	restarts_write_head(file, boot);
	while ((restart = state_restart_next(manager->state, &cursor)))
		restarts_write(file, restart, manager_now_ns());
	cursor = 0;
	while (state_released_next(manager->state, &cursor, &pid, &start_ticks))
		restarts_write_released(file, pid, start_ticks);
	for (size_t i = 0; i < manager->policies->n; i++)
		if (cull_is_suspended(manager->state, manager->policies->policies[i]))
			restarts_write_suspended(file, manager->policies->policies[i]->name);
	return fflush(file) != 0 || ferror(file) ? -EIO : 0;
}

/* What can't be written stays in memory, and is tried again with the next change. */
static int save(struct manager *manager)
{
	char path[PATH_MAX], fresh[PATH_MAX];
	_cleanup_fclose_ FILE *file = NULL;
	int fd, r;

	if (!make_path(manager, "", path, sizeof(path)) || !make_path(manager, ".new", fresh, sizeof(fresh)))
		return -ENAMETOOLONG;
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	file = fdopen(fd, "w");
	if (!file) {
		close(fd);
		return -ENOMEM;
	}
	r = write_all(manager, file);
	if (r == 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(fresh);
	return r;
}

static int on_save(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;

	restarts_save(manager);
	return 0;
}

void restarts_save(struct manager *manager)
{
	uint64_t changes = state_restart_changes(manager->state);
	bool was_failing = manager->restarts_failed;
	int r;

	if (changes == manager->restarts_saved)
		return;
	r = save(manager);
	manager->restarts_failed = r < 0;
	manager->restarts_saved = changes;
	if (r < 0 && !was_failing)
		log_warning("can't keep how often agents restart in %s: %s; it would begin anew with the next govd",
			    manager->options.state_dir, strerror(-r));
}

void restarts_check(struct manager *manager)
{
	if (state_restart_changes(manager->state) != manager->restarts_saved)
		manager_call_after(manager, &manager->restarts_source, SAVE_AFTER_US, on_save);
}

/* Without its newline; false at the end. */
static bool read_line(FILE *file, char line[static RESTARTS_LINE_MAX])
{
	if (!fgets(line, RESTARTS_LINE_MAX, file))
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static void load_released(struct manager *manager, pid_t pid, uint64_t start_ticks)
{
	struct event event = {.kind = EVENT_FREED};
	uint64_t now_ticks;

	event.freed.pid = pid;
	event.freed.start_ticks = start_ticks;
	/* Those that have ended meanwhile are forgotten. */
	if (procfs_start_ticks(pid, &now_ticks) == 0 && now_ticks == start_ticks)
		manager_dispatch(manager, &event);
}

static void load_suspended(struct manager *manager, const char *policy)
{
	struct event event = {.kind = EVENT_SUSPENDED};

	event.suspended.policy = policy;
	manager_dispatch(manager, &event);
	log_warning("policy %s is suspended: an earlier govd would have ended most of its agents by it; `govctl policy "
		    "resume %s` lifts that",
		    policy, policy);
}

static void load_lines(struct manager *manager, FILE *file, char *line)
{
	struct event event = {.kind = EVENT_RESTART};
	char policy[POLICY_NAME_MAX];
	struct restart restart;
	uint64_t start_ticks;
	size_t bad = 0;
	pid_t pid;

	event.restart.restart = &restart;
	while (read_line(file, line)) {
		if (restarts_parse(line, &restart) == 0) {
			manager_dispatch(manager, &event);
			restart_done(&restart);
		} else if (restarts_parse_released(line, &pid, &start_ticks) == 0) {
			load_released(manager, pid, start_ticks);
		} else if (restarts_parse_suspended(line, policy) == 0) {
			if (policy_set_find(manager->policies, policy))
				load_suspended(manager, policy);
		} else {
			bad++;
		}
	}
	if (bad)
		log_warning("%s/" RESTARTS_FILE ": %zu lines are broken, and left out", manager->options.state_dir,
			    bad);
}

void restarts_load(struct manager *manager)
{
	_cleanup_free_ char *line = malloc(RESTARTS_LINE_MAX);
	char path[PATH_MAX], boot[RESTARTS_BOOT_MAX];
	_cleanup_fclose_ FILE *file = NULL;

	if (!line || !make_path(manager, "", path, sizeof(path)) || restarts_boot_id(boot) < 0)
		return;
	file = fopen(path, "re");
	if (!file) {
		if (errno != ENOENT)
			log_warning("can't read %s: %s", path, strerror(errno));
		return;
	}
	/* Else it is of another boot, or another version. */
	if (read_line(file, line) && restarts_is_head(line, boot))
		load_lines(manager, file, line);
	manager->restarts_saved = state_restart_changes(manager->state);
}
