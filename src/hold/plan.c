/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <limits.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/text.h"
#include "hold/hold.h"

#define INTERESTS_MAX 32768
#define ENTRIES_MAX 16384 /* read of one directory */
#define BREATH_NS (5 * NSEC_PER_MSEC)

#define MASK_EXEC ((uint64_t)FAN_OPEN_EXEC_PERM)
/* Both, to tell execve's open of a script from the interpreter's: see struct exec_open. */
#define MASK_OPEN ((uint64_t)(FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM))

/* What a rule is about, resolved. */
struct target {
	const char *directory, *glob;
	bool is_exec, is_busy;
};

static void plan_entry(struct plan *plan, const struct target *target, const char *name, bool may_follow);

void plan_done(struct plan *plan)
{
	watch_list_done(&plan->rules);
	marks_done(&plan->marks);
	for (size_t i = 0; i < plan->n_interests; i++)
		free(plan->interests[i]);
	free(plan->interests);
	if (plan->inotify_fd >= 0)
		close(plan->inotify_fd);
	*plan = (struct plan){.inotify_fd = -EBADF, .fan_fd = -EBADF};
}

static void plan_fail(struct plan *plan, int r)
{
	if (r < 0 && r != -EEXIST)
		plan->error = -r;
}

int plan_notify(struct plan *plan, const char *directory, uint32_t mask)
{
	int wd = inotify_add_watch(plan->inotify_fd, *directory ? directory : "/",
				   mask | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_MASK_ADD);

	if (wd >= 0)
		return wd;
	if (errno != ENOENT && errno != ENOTDIR)
		plan_fail(plan, -errno);
	return -errno;
}

static int plan_grow_interests(struct plan *plan)
{
	size_t room = MAX2(plan->room_interests * 2, (size_t)64);
	struct interest **interests;

	if (plan->n_interests < plan->room_interests)
		return 0;
	if (plan->n_interests >= INTERESTS_MAX)
		return -E2BIG;
	interests = reallocarray(plan->interests, room, sizeof(*interests));
	if (!interests)
		return -ENOMEM;
	plan->interests = interests;
	plan->room_interests = room;
	return 0;
}

void plan_add_interest(struct plan *plan, const struct interest *like, const char *directory)
{
	size_t directory_size = strlen(directory) + 1, name_size = strlen(like->name) + 1;
	struct interest *interest;
	int r;

	r = plan_grow_interests(plan);
	if (r < 0) {
		plan_fail(plan, r);
		return;
	}
	interest = malloc(sizeof(*interest) + directory_size + name_size);
	if (!interest) {
		plan_fail(plan, -ENOMEM);
		return;
	}
	*interest = *like;
	memcpy(interest->directory, directory, directory_size);
	interest->name = memcpy(interest->directory + directory_size, like->name, name_size);
	plan->interests[plan->n_interests++] = interest;
}

static void plan_mark(struct plan *plan, const char *path, bool is_exec, bool is_directory)
{
	uint64_t mask = (is_exec ? MASK_EXEC : MASK_OPEN) | (is_directory ? (uint64_t)FAN_EVENT_ON_CHILD : 0);

	mark_add(&plan->marks, plan->fan_fd, *path ? path : "/", mask);
}

/* Who waits while a large plan is made is served by the rules in force. */
static void plan_breathe(struct plan *plan)
{
	if (!plan->holder || clock_ns() - plan->served_ns < BREATH_NS)
		return;
	if (serve_turn(plan->holder, 0) < 0)
		_exit(EXIT_FAILURE); /* the kernel lets all go */
	plan->served_ns = clock_ns();
}

static void plan_scan(struct plan *plan, const struct target *target, bool may_follow)
{
	DIR *stream;
	const struct dirent *entry;
	unsigned n = 0;

	stream = opendir(*target->directory ? target->directory : "/");
	if (!stream) {
		plan_fail(plan, -errno);
		return;
	}
	while ((entry = readdir(stream)) && n++ < ENTRIES_MAX) {
		plan_breathe(plan);
		plan_entry(plan, target, entry->d_name, may_follow);
	}
	if (entry)
		plan_fail(plan, -E2BIG);
	closedir(stream);
}

/* directory is resolved. may_follow: symlinks in it count, which is so only at the first level. */
static void plan_directory(struct plan *plan, struct target target, bool may_follow)
{
	int r, wd;

	target.is_busy = busy_is(target.directory, target.is_exec);
	r = busy_check_filesystem(target.directory);
	if (r >= 0)
		r = watch_list_add(&plan->rules, target.directory, target.glob, target.is_exec);
	if (r < 0) {
		plan_fail(plan, r);
		return;
	}
	/* Before the marks and the scan, so that what comes meanwhile is told. */
	wd = plan_notify(plan, target.directory, IN_CREATE | IN_MOVED_TO);
	if (wd >= 0)
		plan_add_interest(
			plan,
			&(struct interest){.wd = wd, .is_entry = true, .is_exec = target.is_exec, .name = target.glob},
			target.directory);
	if (!target.is_busy)
		plan_mark(plan, target.directory, target.is_exec, true);
	/* All entries of a script's directory are looked at, for special files. */
	if (target.is_exec && watch_glob_is_literal(target.glob))
		plan_entry(plan, &target, target.glob, may_follow);
	else
		plan_scan(plan, &target, may_follow);
}

/* path is a symlink that a watch's glob matches: what it points to is watched under its own name. */
static void plan_link(struct plan *plan, const char *path, bool is_exec)
{
	char real[PATH_MAX], glob[2 * NAME_MAX + 1], *slash;
	struct stat st;
	int r;

	r = plan_resolve(plan, path, real);
	if (r == -ENOENT)
		return;
	if (r < 0) {
		plan_fail(plan, r);
		return;
	}
	slash = strrchr(real, '/');
	if (!slash || lstat(real, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	*slash = '\0';
	watch_glob_escape(glob, sizeof(glob), slash + 1);
	plan_directory(plan, (struct target){.directory = real, .glob = glob, .is_exec = is_exec}, false);
}

/* A name in a watched directory. */
static void plan_entry(struct plan *plan, const struct target *target, const char *name, bool may_follow)
{
	char path[PATH_MAX + NAME_MAX + 2];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", target->directory, name);
	if (!target->is_busy && !may_follow && target->is_exec)
		return;
	if (lstat(path, &st) < 0 || S_ISDIR(st.st_mode))
		return;
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode)) {
		if (!target->is_busy)
			mark_ignore(plan->fan_fd, path);
		return;
	}
	if (!watch_glob_match(target->glob, name))
		return;
	if (S_ISLNK(st.st_mode) && may_follow)
		plan_link(plan, path, target->is_exec);
	else if (S_ISREG(st.st_mode) && target->is_busy)
		plan_mark(plan, path, target->is_exec, false);
}

static void plan_watch(struct plan *plan, const struct watch *watch)
{
	char real[PATH_MAX];
	int r = plan_resolve(plan, watch->directory, real);

	/* Not there yet: inotify will tell. */
	if (r == -ENOENT || r == -ENOTDIR)
		return;
	if (r < 0) {
		plan_fail(plan, r);
		return;
	}
	plan_directory(plan, (struct target){.directory = real, .glob = watch->glob, .is_exec = watch->is_exec}, true);
}

/* Whether what came is a reason to plan again; a plain file in a busy directory is just marked. */
static bool plan_change(struct plan *plan, const struct interest *interest, const char *name)
{
	struct target target = {.directory = interest->directory,
				.glob = interest->name,
				.is_exec = interest->is_exec,
				.is_busy = busy_is(interest->directory, interest->is_exec)};
	char path[PATH_MAX + NAME_MAX + 2];
	struct stat st;

	if (!interest->is_entry)
		return streq(interest->name, name);
	snprintf(path, sizeof(path), "%s/%s", interest->directory, name);
	if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
		return watch_glob_match(interest->name, name);
	plan_entry(plan, &target, name, false);
	return false;
}

static bool plan_read_one(struct plan *plan, const struct inotify_event *event)
{
	bool is_due = false;

	if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW))
		return true;
	if (event->len == 0)
		return false;
	for (size_t i = 0; i < plan->n_interests && !is_due; i++)
		if (plan->interests[i]->wd == event->wd)
			is_due = plan_change(plan, plan->interests[i], event->name);
	return is_due;
}

bool plan_read_changes(struct plan *plan)
{
	char buffer[4096] __attribute__((aligned(8)));
	bool is_due = false;
	ssize_t n = read(plan->inotify_fd, buffer, sizeof(buffer));

	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *event = (const void *)(buffer + at);

		is_due = plan_read_one(plan, event) || is_due;
		at += (ssize_t)(sizeof(*event) + event->len);
	}
	return is_due;
}

void plan_make(struct holder *holder)
{
	uint64_t start_ns = clock_ns();
	struct plan plan = {
		.inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK),
		.fan_fd = holder->fan_fd,
		.holder = holder,
		.served_ns = start_ns,
	};

	if (plan.inotify_fd < 0)
		plan_fail(&plan, -errno);
	for (size_t i = 0; i < holder->told.n; i++) {
		plan_watch(&plan, &holder->told.watches[i]);
		plan_breathe(&plan);
	}
	plan.holder = NULL;
	marks_drop(&holder->plan.marks, &plan.marks, holder->fan_fd);
	plan_done(&holder->plan);
	holder->plan = plan;
	holder->plan_not_before_ns = clock_ns() + 8 * (clock_ns() - start_ns);
	holder->out = (struct gov_hold_message){
		.count = (uint32_t)plan.marks.map.used,
		.error = plan.marks.error ? plan.marks.error : plan.error,
	};
	/* Full: govd will see the count the next time. */
	(void)!serve_send(holder, GOV_HOLD_WATCHING);
}
