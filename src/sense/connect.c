/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Agents of connect pacing: what their policies say, their slots, their counters. */
#include <sys/mman.h>

#include <bpf/bpf.h>

#include "base/text.h"
#include "sense/bpf_private.h"
#include "sense/connect.h"

#define BATCH 64
/* The kernel copies a batch by whole buckets, whose usual length is 1. */
#define BATCH_MAX 4096

#define STATS_PAGE (4096 / sizeof(struct gov_connect_stats)) /* slots in a page; the least page there is */

/* ---- hashes ------------------------------------------------------------------------------------------------------ */

struct batch {
	char *keys, *values;
	uint32_t size;
};

static void batch_done(struct batch *batch)
{
	free(batch->keys);
	free(batch->values);
}

static int batch_resize(struct batch *batch, const struct bpf_hash *hash, uint32_t size)
{
	struct batch larger = {.size = size};

	if (size > BATCH_MAX)
		return -E2BIG;
	larger.keys = calloc(size, hash->key_size);
	larger.values = calloc(size, hash->value_size);
	if (!larger.keys || !larger.values) {
		batch_done(&larger);
		return -ENOMEM;
	}
	batch_done(batch);
	*batch = larger;
	return 0;
}

int bpf_hash_each(const struct bpf_hash *hash, bpf_hash_fn fn, void *userdata)
{
	const struct bpf_map_batch_opts options = {.sz = sizeof(options), .elem_flags = hash->flags};
	_cleanup_(batch_done) struct batch batch = {};
	uint32_t cursor = 0, next = 0;
	bool is_first = true;
	int r = batch_resize(&batch, hash, BATCH);

	while (r == 0) {
		uint32_t n = batch.size;

		r = bpf_map_lookup_batch(hash->fd, is_first ? NULL : &cursor, &next, batch.keys, batch.values, &n,
					 &options);
		if (r == -ENOSPC) {
			/* One bucket holds more. */
			r = batch_resize(&batch, hash, 2 * batch.size);
			continue;
		}
		/* ENOENT: these were the last. */
		if (r < 0 && r != -ENOENT)
			return r;
		for (uint32_t i = 0; i < n; i++) {
			int q = fn(batch.keys + i * hash->key_size, batch.values + i * hash->value_size, userdata);

			if (q < 0)
				return q;
		}
		cursor = next;
		is_first = false;
	}
	return r == -ENOENT ? 0 : r;
}

/* ---- slots ------------------------------------------------------------------------------------------------------- */

static bool slot_is_taken(const struct bpf_connect *connect, uint32_t slot)
{
	return connect->slots[slot / 64] & (UINT64_C(1) << slot % 64);
}

static void slot_take(struct bpf_connect *connect, uint32_t slot)
{
	connect->slots[slot / 64] |= UINT64_C(1) << slot % 64;
}

static void slot_free(struct bpf_connect *connect, uint32_t slot)
{
	if (slot < GOV_CONNECT_AGENTS_MAX)
		connect->slots[slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

/* The lowest, so that few pages of counters are mapped. */
static int slot_find(const struct bpf_connect *connect, uint32_t *ret_slot)
{
	for (uint32_t i = 0; i < ELEMENTSOF(connect->slots); i++) {
		if (~connect->slots[i] == 0)
			continue;
		*ret_slot = i * 64 + (uint32_t)__builtin_ctzll(~connect->slots[i]);
		return 0;
	}
	return -ENOSPC;
}

int bpf_connect_map_stats(struct bpf_sense *sense, uint32_t slot, struct gov_connect_stats **ret_stats)
{
	struct gov_connect_stats **page = &sense->connect.stats[slot / STATS_PAGE];

	if (!*page) {
		void *bytes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, sense->fds[BPF_FD_STATS],
				   (off_t)(slot / STATS_PAGE * 4096));

		if (bytes == MAP_FAILED)
			return -errno;
		*page = bytes;
	}
	*ret_stats = *page + slot % STATS_PAGE;
	return 0;
}

/* ---- agents ------------------------------------------------------------------------------------------------------ */

static struct bpf_hash agents_of(const struct bpf_sense *sense)
{
	return (struct bpf_hash){
		.fd = sense->fds[BPF_FD_AGENTS],
		.key_size = sizeof(uint64_t),
		.value_size = sizeof(struct gov_connect_agent),
	};
}

/* A slot of two owners can't be: what isn't as govd writes it is begun anew. */
static int note_slot(const void *key, const void *value, void *userdata)
{
	const struct gov_connect_agent *agent = value;
	struct bpf_sense *sense = userdata;

	if (agent->slot >= GOV_CONNECT_AGENTS_MAX || slot_is_taken(&sense->connect, agent->slot))
		return bpf_map_delete_elem(sense->fds[BPF_FD_AGENTS], key);
	slot_take(&sense->connect, agent->slot);
	return 0;
}

void bpf_connect_clear(struct bpf_sense *sense)
{
	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++)
		sense->connect.links[i] = -EBADF;
	sense->connect.watch_link = -EBADF;
}

int bpf_connect_init(struct bpf_sense *sense, const char *pin_dir)
{
	const struct bpf_hash agents = agents_of(sense);

	if (pin_dir) {
		sense->connect.pin_dir = strdup(pin_dir);
		if (!sense->connect.pin_dir)
			return -ENOMEM;
	}
	return sense->connect.error ? 0 : bpf_hash_each(&agents, note_slot, sense);
}

void bpf_connect_done(struct bpf_sense *sense)
{
	struct bpf_connect *connect = &sense->connect;

	for (size_t i = 0; i < BPF_CONNECT_LINKS; i++)
		close_p(&connect->links[i]);
	close_p(&connect->watch_link);
	for (size_t i = 0; i < BPF_STATS_PAGES; i++)
		if (connect->stats[i])
			munmap(connect->stats[i], 4096);
	free(connect->pin_dir);
}

const char *bpf_connect_words(const struct bpf_sense *sense)
{
	return sense->connect.words;
}

int bpf_connect_get_agent(struct bpf_sense *sense, uint64_t owner, struct gov_connect_agent *ret_agent)
{
	return bpf_map_lookup_elem(sense->fds[BPF_FD_AGENTS], &owner, ret_agent);
}

static int new_slot(struct bpf_sense *sense, uint32_t *ret_slot)
{
	struct gov_connect_stats *stats;
	uint32_t slot;
	int r = slot_find(&sense->connect, &slot);

	if (r == 0)
		r = bpf_connect_map_stats(sense, slot, &stats);
	if (r != 0)
		return r;
	*stats = (struct gov_connect_stats){};
	slot_take(&sense->connect, slot);
	*ret_slot = slot;
	return 0;
}

int bpf_connect_set_agent(struct bpf_sense *sense, uint64_t owner, const struct gov_connect_agent *agent)
{
	struct gov_connect_agent there = {}, wanted = *agent;
	int r = bpf_connect_get_agent(sense, owner, &there);
	bool is_new = r == -ENOENT;

	if (r < 0 && !is_new)
		return r;
	wanted.slot = there.slot;
	if (is_new) {
		r = new_slot(sense, &wanted.slot);
		if (r < 0)
			return r;
	}
	r = bpf_map_update_elem(sense->fds[BPF_FD_AGENTS], &owner, &wanted, BPF_ANY);
	if (r < 0 && is_new)
		slot_free(&sense->connect, wanted.slot);
	return r == -E2BIG ? -ENOSPC : r;
}

int bpf_connect_drop_agent(struct bpf_sense *sense, uint64_t owner)
{
	struct gov_connect_agent agent;
	int r = bpf_connect_get_agent(sense, owner, &agent);

	/* First the agent: without it the programs make no entries. */
	if (r == 0)
		r = bpf_map_delete_elem(sense->fds[BPF_FD_AGENTS], &owner);
	if (r < 0)
		return r;
	slot_free(&sense->connect, agent.slot);
	return bpf_connect_drop_entries(sense, owner);
}

struct owners {
	uint64_t *list;
	size_t n;
};

static int add_owner(const void *key, const void *value _unused_, void *userdata)
{
	struct owners *owners = userdata;

	if (owners->n < GOV_CONNECT_AGENTS_MAX)
		memcpy(&owners->list[owners->n++], key, sizeof(uint64_t));
	return 0;
}

int bpf_connect_owners(struct bpf_sense *sense, void (*fn)(uint64_t owner, void *userdata), void *userdata)
{
	_cleanup_free_ uint64_t *list = calloc(GOV_CONNECT_AGENTS_MAX, sizeof(*list));
	const struct bpf_hash agents = agents_of(sense);
	struct owners owners = {.list = list};
	int r;

	if (!list)
		return -ENOMEM;
	/* All of them first: fn may drop some. */
	r = bpf_hash_each(&agents, add_owner, &owners);
	if (r < 0)
		return r;
	for (size_t i = 0; i < owners.n; i++)
		fn(list[i], userdata);
	return 0;
}

int bpf_connect_stats(struct bpf_sense *sense, uint64_t owner, struct gov_connect_stats *ret_stats)
{
	struct gov_connect_stats *stats, copy;
	struct gov_connect_agent agent;
	int r = bpf_connect_get_agent(sense, owner, &agent);

	if (r == 0 && agent.slot >= GOV_CONNECT_AGENTS_MAX)
		r = -EBADMSG;
	if (r == 0)
		r = bpf_connect_map_stats(sense, agent.slot, &stats);
	if (r != 0)
		return r;
	/* The kernel counts on: each number for itself is whole. */
	for (size_t i = 0; i < sizeof(copy) / sizeof(uint64_t); i++) {
		uint64_t value = __atomic_load_n((const uint64_t *)(const void *)stats + i, __ATOMIC_RELAXED);

		memcpy((char *)&copy + i * sizeof(value), &value, sizeof(value));
	}
	*ret_stats = copy;
	return 0;
}
