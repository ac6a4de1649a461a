/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Entries of connect pacing: what the kernel knows of each destination of an agent. */
#include <bpf/bpf.h>

#include "sense/bpf_private.h"
#include "sense/connect.h"

static struct bpf_hash entries_of(const struct bpf_sense *sense)
{
	return (struct bpf_hash){
		.fd = sense->fds[BPF_FD_ENTRIES],
		.key_size = sizeof(struct gov_connect_key),
		.value_size = sizeof(struct gov_connect_entry),
		.flags = BPF_F_LOCK,
	};
}

int bpf_connect_entry(struct bpf_sense *sense, const struct gov_connect_key *key, struct gov_connect_entry *ret_entry)
{
	return bpf_map_lookup_elem_flags(sense->fds[BPF_FD_ENTRIES], key, ret_entry, BPF_F_LOCK);
}

int bpf_connect_stranger(struct bpf_sense *sense, const struct gov_stranger_key *key, struct gov_stranger *ret_stranger)
{
	return bpf_map_lookup_elem(sense->fds[BPF_FD_STRANGERS], key, ret_stranger);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct reading {
	uint64_t owner;
	bpf_connect_entry_fn fn;
	void *userdata;
};

static int read_entry(const void *key, const void *value, void *userdata)
{
	const struct gov_connect_key *id = key;
	const struct reading *reading = userdata;

	if (!reading->owner || id->owner == reading->owner)
		reading->fn(id, value, reading->userdata);
	return 0;
}

int bpf_connect_entries(struct bpf_sense *sense, uint64_t owner, bpf_connect_entry_fn fn, void *userdata)
{
	struct reading reading = {.owner = owner, .fn = fn, .userdata = userdata};
	const struct bpf_hash entries = entries_of(sense);

	return bpf_hash_each(&entries, read_entry, &reading);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

struct removal {
	struct bpf_sense *sense;
	uint64_t now_ns, idle_ns;
	struct gov_connect_agent agent; /* of the owner seen last */
	uint64_t owner;
	bool has_agent;
	int n;
};

static void look_for_agent(struct removal *removal, uint64_t owner)
{
	if (removal->owner == owner)
		return;
	removal->owner = owner;
	removal->has_agent = bpf_connect_get_agent(removal->sense, owner, &removal->agent) == 0;
	if (!removal->has_agent)
		removal->agent = (struct gov_connect_agent){};
}

/* Without an agent there are no rules: its breakers are closed. An open one that nobody has tried for so long (the
 * longest interval is 2 min) is of no use to anybody. */
#define BREAKER_KEEP_NS (600 * NSEC_PER_SEC)

static bool entry_is_at_rest(const struct removal *removal, const struct gov_connect_entry *entry)
{
	uint64_t now_ns = removal->now_ns;

	/* The whole burst may be used again. */
	if (gov_pace_add(gov_pace_time(entry->pace.next_slot), removal->agent.rate.tolerance_ns) > now_ns)
		return false;
	if (entry->open || gov_pace_add(entry->last_ns, removal->idle_ns) > now_ns)
		return false;
	return gov_pace_add(entry->last_ns, BREAKER_KEEP_NS) <= now_ns ||
	       gov_breaker_state(&entry->breaker, &removal->agent.breaker, now_ns) == GOV_BREAKER_CLOSED;
}

/* As connect_make_entry() has counted it up (bpf/connect.bpf.h). */
static void count_down(struct removal *removal, const struct gov_connect_key *key)
{
	struct gov_connect_stats *stats;
	uint64_t value;

	if (key->kind == GOV_CONNECT_OTHERS || !removal->has_agent || removal->agent.slot >= GOV_CONNECT_AGENTS_MAX ||
	    bpf_connect_map_stats(removal->sense, removal->agent.slot, &stats) < 0)
		return;
	/* Not below 0: the counters may be younger than the entries (a pin that was replaced). */
	value = __atomic_load_n(&stats->destinations, __ATOMIC_RELAXED);
	while (value && !__atomic_compare_exchange_n(&stats->destinations, &value, value - 1, false, __ATOMIC_RELAXED,
						     __ATOMIC_RELAXED))
		;
}

static int sweep_entry(const void *key, const void *value, void *userdata)
{
	const struct gov_connect_key *id = key;
	struct removal *removal = userdata;
	struct gov_connect_entry taken;
	int fd = removal->sense->fds[BPF_FD_ENTRIES], r;

	look_for_agent(removal, id->owner);
	if (!entry_is_at_rest(removal, value))
		return 0;
	r = bpf_map_lookup_and_delete_elem_flags(fd, id, &taken, BPF_F_LOCK);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	/* Used since it was read: back again, unless there is a new one already. */
	if (!entry_is_at_rest(removal, &taken) && bpf_map_update_elem(fd, id, &taken, BPF_NOEXIST) == 0)
		return 0;
	count_down(removal, id);
	removal->n++;
	return 0;
}

int bpf_connect_sweep(struct bpf_sense *sense, uint64_t now_ns, uint64_t idle_ns)
{
	struct removal removal = {.sense = sense, .now_ns = now_ns, .idle_ns = idle_ns};
	const struct bpf_hash entries = entries_of(sense);
	int r = bpf_hash_each(&entries, sweep_entry, &removal);

	return r < 0 ? r : removal.n;
}

static int drop_entry(const void *key, const void *value _unused_, void *userdata)
{
	const struct gov_connect_key *id = key;
	struct removal *removal = userdata;
	int r;

	if (id->owner != removal->owner)
		return 0;
	r = bpf_map_delete_elem(removal->sense->fds[BPF_FD_ENTRIES], id);
	return r == -ENOENT ? 0 : r;
}

int bpf_connect_drop_entries(struct bpf_sense *sense, uint64_t owner)
{
	struct removal removal = {.sense = sense, .owner = owner};
	const struct bpf_hash entries = entries_of(sense);

	return bpf_hash_each(&entries, drop_entry, &removal);
}
