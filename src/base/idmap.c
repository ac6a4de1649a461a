/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/idmap.h"

#define IDMAP_MIN_SIZE 16

/* Finaliser of splitmix64 (Steele, Lea, Flood 2014): ids are often consecutive. */
static uint64_t idmap_hash(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static size_t idmap_slot_of(const struct idmap *map, uint64_t id)
{
	size_t i = (size_t)idmap_hash(id) & (map->size - 1);

	while (map->slots[i].value && map->slots[i].id != id)
		i = (i + 1) & (map->size - 1);
	return i;
}

void idmap_done(struct idmap *map)
{
	free(map->slots);
	*map = (struct idmap){0};
}

void *idmap_get(const struct idmap *map, uint64_t id)
{
	return map->size ? map->slots[idmap_slot_of(map, id)].value : NULL;
}

static int idmap_grow(struct idmap *map)
{
	struct idmap bigger = {.size = map->size ? map->size * 2 : IDMAP_MIN_SIZE, .used = map->used};

	bigger.slots = calloc(bigger.size, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (size_t i = 0; i < map->size; i++)
		if (map->slots[i].value)
			bigger.slots[idmap_slot_of(&bigger, map->slots[i].id)] = map->slots[i];
	free(map->slots);
	*map = bigger;
	return 0;
}

int idmap_put(struct idmap *map, uint64_t id, void *value)
{
	struct idmap_slot *slot;

	if (map->used + 1 > map->size / 4 * 3) {
		int r = idmap_grow(map);

		if (r < 0)
			return r;
	}
	slot = &map->slots[idmap_slot_of(map, id)];
	if (!slot->value)
		map->used++;
	*slot = (struct idmap_slot){.id = id, .value = value};
	return 0;
}

void *idmap_remove(struct idmap *map, uint64_t id)
{
	size_t hole, i, mask = map->size - 1;
	void *value;

	if (!map->size)
		return NULL;
	hole = idmap_slot_of(map, id);
	value = map->slots[hole].value;
	if (!value)
		return NULL;
	/* Pull back each follower whose home is not between the hole and itself. */
	for (i = (hole + 1) & mask; map->slots[i].value; i = (i + 1) & mask) {
		size_t home = (size_t)idmap_hash(map->slots[i].id) & mask;

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			map->slots[hole] = map->slots[i];
			hole = i;
		}
	}
	map->slots[hole] = (struct idmap_slot){0};
	map->used--;
	return value;
}

void *idmap_next(const struct idmap *map, size_t *cursor)
{
	while (*cursor < map->size) {
		void *value = map->slots[(*cursor)++].value;

		if (value)
			return value;
	}
	return NULL;
}
