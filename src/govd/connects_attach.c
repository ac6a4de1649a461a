/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statfs.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

/* The programs of connect pacing: where they are pinned, how they begin, and when they go. */

#define BPFFS "/sys/fs/bpf"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == BPF_FS_MAGIC;
}

/* A bpffs knows no names with dots. */
static void add_escaped(struct text *text, const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (name[i] == '.' || name[i] == '%')
			text_addf(text, "%%%02x", (unsigned char)name[i]);
		else
			text_addf(text, "%c", name[i]);
}

/* On the host's bpffs, or on one of govd's own where nobody has mounted it. Pins that an earlier govd has left decide.
 */
static int find_base(struct manager_connects *connects, const struct manager_options *options)
{
	struct text base = TEXT_ON(connects->base);
	int r;

	text_addf(&base, "%s/bpf", options->runtime_dir);
	connects->is_mount = is_bpffs(connects->base);
	if (connects->is_mount)
		return base.truncated ? -ENAMETOOLONG : 0;
	if (is_bpffs(BPFFS)) {
		base = TEXT_ON(connects->base);
		text_add(&base, BPFFS "/govd/");
		add_escaped(&base, options->slice, strlen(options->slice) - strlen(".slice"));
		return base.truncated ? -ENAMETOOLONG : file_mkdir_all(connects->base, 0700);
	}
	r = file_mkdir_all(connects->base, 0700);
	if (r < 0)
		return r;
	if (mount("bpf", connects->base, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return -errno;
	connects->is_mount = true;
	return 0;
}

int connects_find_pins(struct manager *manager)
{
	struct manager_connects *connects = &manager->connects;
	int r = find_base(connects, &manager->options);

	if (r < 0)
		return r;
	snprintf(connects->pins, sizeof(connects->pins), "%s/v%d", connects->base, GOV_CONNECT_VERSION);
	return 0;
}

static int open_slice(const struct manager *manager)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), "%s%s", groups_v2_root(manager->groups),
			     groups_slice_path(manager->groups)) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void attach(struct manager *manager)
{
	_cleanup_close_ int slice_fd = open_slice(manager);
	int r = slice_fd < 0 ? slice_fd : bpf_connect_attach(manager->bpf, slice_fd);

	manager->connects.is_attached = r == 0;
	if (r < 0)
		log_warning("connects are neither paced nor counted: %s (%s); `govctl doctor` tells more", strerror(-r),
			    bpf_connect_words(manager->bpf));
}

void connects_attach(struct manager *manager)
{
	attach(manager);
	manager->connects.is_on = manager->connects.is_attached;
}

/* ---- without agents ---- */

/*
 * As long as programs are attached they cost others: for those of the slice, in whatever group, the kernel makes ready
 * in each connect of the host, which then takes 1 or 2 % longer; what watches runs in each. Not for each start of an
 * agent anew: to switch them on or off the kernel patches its code, and waits up to 100 ms until no CPU uses the old.
 */
#define REST_AFTER_US UINT64_C(10000000)

void connects_wake(struct manager *manager)
{
	if (manager->connects.is_on && !manager->connects.is_attached)
		attach(manager);
}

static void set_watch(struct manager *manager, bool is_wanted)
{
	if (manager->connects.is_on && bpf_connect_watch(manager->bpf, is_wanted) < 0)
		manager->counts.actions_failed++;
}

void connects_watch(struct manager *manager)
{
	set_watch(manager, true);
}

void connects_update_watch(struct manager *manager)
{
	bool is_wanted = manager->connects.watch_strangers;
	const struct agent *agent;
	size_t cursor = 0;

	while (!is_wanted && (agent = state_agent_next(manager->state, &cursor)))
		is_wanted = agent->is_observed;
	set_watch(manager, is_wanted);
}

void connects_rest(struct manager *manager)
{
	if (!manager->connects.is_on)
		return;
	sd_event_source_set_time(manager->connects_rest, manager_now_ns() / NSEC_PER_USEC + REST_AFTER_US);
	sd_event_source_set_enabled(manager->connects_rest, SD_EVENT_ONESHOT);
}

static void find_group(uint64_t owner, void *userdata)
{
	bool *has_group = userdata;

	*has_group = *has_group || !(owner & GOV_OWNER_MARK);
}

static int on_rest(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;
	bool has_group = false;
	int r;

	connects_update_watch(manager);
	if (!manager->connects.is_attached)
		return 0;
	r = bpf_connect_owners(manager->bpf, find_group, &has_group);
	if (r == 0 && has_group)
		return 0;
	if (r == 0) {
		manager->connects.is_attached = false;
		r = bpf_connect_detach(manager->bpf);
	}
	if (r < 0)
		log_warning("can't detach the programs of connect pacing: %s", strerror(-r));
	return 0;
}

int connects_open_rest(struct manager *manager)
{
	int r = sd_event_add_time(manager->event, &manager->connects_rest, CLOCK_MONOTONIC, UINT64_MAX, 1000000,
				  on_rest, manager);

	return r < 0 ? r : sd_event_source_set_enabled(manager->connects_rest, SD_EVENT_OFF);
}

/* ---- the end ---- */

void connects_close(struct manager *manager)
{
	const struct manager_connects *connects = &manager->connects;
	const struct agent *agent;
	size_t cursor = 0;
	int r;

	/* Agents that go on are paced on, by programs that nobody needs to serve. */
	while ((agent = state_agent_next(manager->state, &cursor)))
		if (agent->is_placed)
			return;
	r = connects->is_on ? bpf_connect_detach(manager->bpf) : 0;
	if (r < 0)
		log_warning("can't remove what is pinned in %s: %s", connects->pins, strerror(-r));
	if (!connects->is_mount) {
		/* Other instances may have theirs beside it. */
		if (rmdir(connects->base) == 0)
			rmdir(BPFFS "/govd");
		return;
	}
	if (umount2(connects->base, MNT_DETACH) < 0)
		log_warning("can't unmount %s: %m", connects->base);
	else
		rmdir(connects->base);
}
