/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_IDMAP_H
#define GOV_BASE_IDMAP_H

#include "base/macro.h"

/*
 * A hash map from a 64-bit id (pid, cgroup id, mark) to a pointer: open addressing, power-of-two size, at most 3/4
 * full, backward-shift deletion. Doesn't own the pointers. Zeroed memory is an empty map.
 */
struct idmap_slot {
	uint64_t id;
	void *value; /* NULL: free slot */
};

struct idmap {
	struct idmap_slot *slots;
	size_t size, used;
};

void idmap_done(struct idmap *map);
void *idmap_get(const struct idmap *map, uint64_t id);
/* Replaces what was there. 0 or -ENOMEM; value must not be NULL. */
int idmap_put(struct idmap *map, uint64_t id, void *value) _must_check_;
/* Returns what was there, or NULL. */
void *idmap_remove(struct idmap *map, uint64_t id);
/* Iterates: start with *cursor = 0; NULL at the end. The map must not change meanwhile. */
void *idmap_next(const struct idmap *map, size_t *cursor);

#endif
