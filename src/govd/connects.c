/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include <time.h>

#include "base/log.h"

/* Connect pacing: what policies say to the kernel; what the kernel tells to the core. */

#define LOST_AFTER_US 1000000		  /* from the first hint that was lost to a look at all */
#define SWEEP_IDLE_NS (60 * NSEC_PER_SEC) /* entries at rest for so long make room for others */

uint64_t connects_owner(const struct agent *agent)
{
	/* A nested group isn't below the slice, where the programs are attached. */
	if (agent->placement == POLICY_PLACEMENT_NESTED && !agent->is_observed)
		return 0;
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
		connects_watch(manager);
	else
		connects_wake(manager);
	connect_rule(action->agent->policy, &rule);
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
	connects_rest(manager);
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
static void note_entry(const struct gov_connect_key *key, const struct gov_connect_entry *entry, void *userdata)
{
	struct manager *manager = userdata;
	struct manager_connects *connects = &manager->connects;

	if (key->kind != GOV_CONNECT_DESTINATION && key->kind != GOV_CONNECT_OTHERS)
		return;
	if (!entry->storm_ns && !entry->breaker.interval_ns && !entry->rate_ns)
		return;
	if (connects->n_troubled == connects->size_troubled) {
		size_t size = connects->size_troubled ? connects->size_troubled * 2 : 64;
		struct troubled_entry *items = reallocarray(connects->troubled, size, sizeof(*items));

		if (!items) {
			manager->counts.actions_failed++;
			return;
		}
		connects->troubled = items;
		connects->size_troubled = size;
	}
	connects->troubled[connects->n_troubled++] = (struct troubled_entry){.key = *key, .entry = *entry};
}

/* All that is in trouble, once for all looks of one turn: many agents suffer from the same server at the same time. */
static void read_troubled(struct manager *manager)
{
	struct manager_connects *connects = &manager->connects;

	if (connects->has_troubled || !connects->is_on)
		return;
	connects->has_troubled = true;
	if (bpf_connect_entries(manager->bpf, 0, note_entry, manager) < 0)
		manager->counts.actions_failed++;
}

void connects_forget_troubled(struct manager *manager)
{
	struct manager_connects *connects = &manager->connects;

	free(connects->troubled);
	connects->troubled = NULL;
	connects->n_troubled = connects->size_troubled = 0;
	connects->has_troubled = false;
}

static struct look look_of(struct manager *manager, const struct agent *agent)
{
	struct look look = {.manager = manager, .agent = agent, .now_ns = manager_now_ns()};

	connect_rule(agent->policy, &look.rule);
	return look;
}

void connects_look(struct manager *manager, const struct action *action)
{
	const struct manager_connects *connects = &manager->connects;
	struct look look = look_of(manager, action->agent);
	struct event end = {.kind = EVENT_CONNECTS_END};
	uint64_t owner = connects_owner(action->agent);

	read_troubled(manager);
	for (size_t i = 0; owner && i < connects->n_troubled; i++)
		if (connects->troubled[i].key.owner == owner)
			tell_entry(&look, &connects->troubled[i].key, &connects->troubled[i].entry);
	end.connects_end.agent = action->agent->handle;
	manager_enqueue(manager, &end);
}

/* Hints were lost: where they would have pointed to is looked at. */
static int on_lost(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata)
{
	struct manager *manager = userdata;
	struct manager_connects *connects = &manager->connects;
	_cleanup_free_ struct troubled_entry *items = NULL;
	size_t n;

	read_troubled(manager);
	/* What is dispatched ends a turn, and with it the list. */
	items = TAKE_PTR(connects->troubled);
	n = connects->n_troubled;
	connects_forget_troubled(manager);
	for (size_t i = 0; i < n; i++) {
		const struct agent *agent = agent_of_owner(manager, items[i].key.owner);
		struct look look;

		if (!agent)
			continue;
		look = look_of(manager, agent);
		tell_entry(&look, &items[i].key, &items[i].entry);
	}
	return 0;
}

void connects_lost(struct manager *manager)
{
	sd_event_source *source = manager->connects_source;

	if (!manager->connects.is_on || sd_event_source_get_enabled(source, NULL) != 0)
		return;
	sd_event_source_set_time(source, manager_now_ns() / NSEC_PER_USEC + LOST_AFTER_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int connects_open(struct manager *manager)
{
	int r = sd_event_add_time(manager->event, &manager->connects_source, CLOCK_MONOTONIC, UINT64_MAX, 100000,
				  on_lost, manager);

	if (r == 0)
		r = sd_event_source_set_enabled(manager->connects_source, SD_EVENT_OFF);
	return r < 0 ? r : connects_open_rest(manager);
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
	connects_rest(manager);
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
	connects_update_watch(manager);
	return bpf_sense_set_config(manager->bpf, &config);
}
