/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

/* Connect pacing: what policies say to the kernel; what the kernel tells to the core. */

#define BPFFS "/sys/fs/bpf"
#define SWEEP_IDLE_NS (60 * NSEC_PER_SEC) /* entries at rest for so long make room for others */

uint64_t connects_owner(const struct agent *agent)
{
	if (!agent->is_observed)
		return agent->is_placed ? agent->cgroup_id : 0;
	return agent->mark ? GOV_OWNER_MARK | agent->mark : 0;
}

static const struct agent *agent_of_owner(const struct manager *manager, uint64_t owner)
{
	const struct agent *agent;
	size_t cursor = 0;

	if (!(owner & GOV_OWNER_MARK))
		return state_agent_of(manager->state, owner, 0);
	while ((agent = state_agent_next(manager->state, &cursor)))
		if (connects_owner(agent) == owner)
			return agent;
	return NULL;
}

/* Those outside of the slice are watched only while somebody wants to know. */
static void update_watch(struct manager *manager)
{
	bool is_wanted = manager->connects.watch_strangers;
	const struct agent *agent;
	size_t cursor = 0;

	if (!manager->connects.is_on)
		return;
	while (!is_wanted && (agent = state_agent_next(manager->state, &cursor)))
		is_wanted = agent->is_observed;
	if (bpf_connect_watch(manager->bpf, is_wanted) < 0)
		manager->counts.actions_failed++;
}

/* ---- actions ---- */

void connects_pace(struct manager *manager, const struct action *action)
{
	uint64_t owner = connects_owner(action->agent);
	struct gov_connect_agent rule;
	int r;

	if (action->agent->policy->sockets.max != UNIT_INFINITY)
		sockets_watch(manager);
	if (!manager->connects.is_on || !owner)
		return;
	if (action->agent->is_observed)
		update_watch(manager);
	connect_rule(action->agent->policy, action->agent->is_observed, &rule);
	r = bpf_connect_set_agent(manager->bpf, owner, &rule);
	if (r == 0)
		return;
	manager->counts.actions_failed++;
	log_warning("connects of agent %s aren't paced: %s", action->agent->id, strerror(-r));
}

static void drop_owner(struct manager *manager, uint64_t owner)
{
	struct gov_connect_stats *ended = &manager->connects.ended, stats;
	int r;

	if (bpf_connect_stats(manager->bpf, owner, &stats) == 0) {
		ended->connects += stats.connects;
		ended->delayed += stats.delayed;
		ended->refused += stats.refused;
	}
	r = bpf_connect_drop_agent(manager->bpf, owner);
	if (r < 0 && r != -ENOENT)
		manager->counts.actions_failed++;
}

void connects_unpace(struct manager *manager, const struct action *action)
{
	uint64_t owner = connects_owner(action->agent);

	if (manager->connects.is_on && owner)
		drop_owner(manager, owner);
	if (action->agent->is_observed)
		update_watch(manager);
}

struct look {
	struct manager *manager;
	const struct agent *agent;
	struct gov_connect_agent rule;
	uint64_t now_ns;
};

static void tell_entry(const struct look *look, const struct gov_connect_key *key,
		       const struct gov_connect_entry *entry)
{
	struct event event = {.kind = EVENT_CONNECTS};

	event.connects.agent = look->agent->handle;
	bpf_connect_format(event.connects.view.destination, sizeof(event.connects.view.destination), key);
	event.connects.view.is_udp = key->is_udp;
	connect_view_of(entry, &look->rule, look->now_ns, &event.connects.view);
	manager_dispatch(look->manager, &event);
}

/* Also those that the kernel hasn't heard of since their storm: the core is told what became of it. */
static void look_entry(const struct gov_connect_key *key, const struct gov_connect_entry *entry, void *userdata)
{
	const struct look *look = userdata;
	uint32_t new_max = look->rule.new_max;

	if (key->kind != GOV_CONNECT_DESTINATION && key->kind != GOV_CONNECT_OTHERS)
		return;
	if (entry->storm_ns || entry->breaker.interval_ns ||
	    (new_max && MAX2(entry->burst.attempts, entry->burst.last_attempts) >= new_max))
		tell_entry(look, key, entry);
}

static struct look look_of(struct manager *manager, const struct agent *agent)
{
	struct look look = {.manager = manager, .agent = agent, .now_ns = manager_now_ns()};

	connect_rule(agent->policy, agent->is_observed, &look.rule);
	return look;
}

static void look_at(struct manager *manager, const struct agent *agent)
{
	struct look look = look_of(manager, agent);
	struct event end = {.kind = EVENT_CONNECTS_END};
	uint64_t owner = connects_owner(agent);

	end.connects_end.agent = agent->handle;
	if (manager->connects.is_on && owner && bpf_connect_entries(manager->bpf, owner, look_entry, &look) < 0)
		manager->counts.actions_failed++;
	manager_dispatch(manager, &end);
}

void connects_look(struct manager *manager, const struct action *action)
{
	look_at(manager, action->agent);
}

void connects_look_all(struct manager *manager)
{
	const struct agent *agent;
	size_t cursor = 0;

	while ((agent = state_agent_next(manager->state, &cursor)))
		look_at(manager, agent);
}

/* ---- records ---- */

static void got_stranger(struct manager *manager, const struct gov_record_connect *record)
{
	struct gov_stranger_key key = {.pid = record->head.pid, .port = record->key.port};
	struct event event = {.kind = EVENT_CONNECTS};
	struct gov_stranger stranger;
	struct proc proc;

	memcpy(key.address, record->key.address, sizeof(key.address));
	if (bpf_connect_stranger(manager->bpf, &key, &stranger) < 0)
		return;
	event.connects.pid = (pid_t)key.pid;
	if (procfs_read(manager->procfs, event.connects.pid, &proc) == 0)
		event.connects.exe = proc.exe;
	bpf_connect_format(event.connects.view.destination, sizeof(event.connects.view.destination), &record->key);
	connect_view_of_stranger(&stranger, manager_now_ns(), &event.connects.view);
	manager_dispatch(manager, &event);
}

void connects_got_record(struct manager *manager, const struct gov_record_connect *record)
{
	struct gov_connect_entry entry;
	const struct agent *agent;
	struct look look;

	if (record->reasons & GOV_REASON_FULL && bpf_connect_sweep(manager->bpf, manager_now_ns(), SWEEP_IDLE_NS) < 0)
		manager->counts.actions_failed++;
	if (record->reasons & GOV_REASON_STRANGER) {
		got_stranger(manager, record);
		return;
	}
	agent = agent_of_owner(manager, record->key.owner);
	if (!agent || bpf_connect_entry(manager->bpf, &record->key, &entry) < 0)
		return;
	look = look_of(manager, agent);
	tell_entry(&look, &record->key, &entry);
}

/* ---- start and end ---- */

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

void connects_attach(struct manager *manager)
{
	_cleanup_close_ int slice_fd = open_slice(manager);
	int r = slice_fd < 0 ? slice_fd : bpf_connect_attach(manager->bpf, slice_fd);

	manager->connects.is_on = r == 0;
	if (r < 0)
		log_warning("connects are neither paced nor counted: %s (%s); `govctl doctor` tells more", strerror(-r),
			    bpf_connect_words(manager->bpf));
}

struct owners {
	struct manager *manager;
	uint64_t *owners;
	size_t n, size;
};

static void collect_lost(uint64_t owner, void *userdata)
{
	struct owners *list = userdata;

	if (agent_of_owner(list->manager, owner))
		return;
	if (list->n == list->size) {
		size_t size = list->size ? list->size * 2 : 64;
		uint64_t *owners = reallocarray(list->owners, size, sizeof(*owners));

		if (!owners)
			return;
		list->owners = owners;
		list->size = size;
	}
	list->owners[list->n++] = owner;
}

void connects_drop_lost(struct manager *manager)
{
	struct owners list = {.manager = manager};

	if (!manager->connects.is_on)
		return;
	if (bpf_connect_owners(manager->bpf, collect_lost, &list) < 0)
		manager->counts.actions_failed++;
	for (size_t i = 0; i < list.n; i++)
		drop_owner(manager, list.owners[i]);
	free(list.owners);
}

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

int connects_set_config(struct manager *manager, bool watch_strangers)
{
	struct gov_config config = {
		.self_pid = (uint32_t)getpid(),
		.slice_id = groups_slice_id(manager->groups),
		.slice_level = groups_slice_level(manager->groups),
		.flags = watch_strangers ? GOV_CONFIG_WATCH_STRANGERS : 0U,
	};
	struct timespec tick;

	/* The coarse clock is set by the timer's interrupt. */
	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) < 0)
		return -errno;
	config.tick_ns = (uint32_t)tick.tv_nsec;
	manager->connects.watch_strangers = watch_strangers;
	update_watch(manager);
	return bpf_sense_set_config(manager->bpf, &config);
}
