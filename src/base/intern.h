/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BASE_INTERN_H
#define GOV_BASE_INTERN_H

#include "base/idmap.h"

/* Texts that are kept once, however many hold them: 300 agents have one executable. Zeroed memory is an empty table. */
struct intern {
	struct idmap by_hash; /* -> struct interned, chained where hashes collide */
};

/* Frees all of them. */
void intern_done(struct intern *intern);
/* A reference to an equal text, cut to max bytes; NULL: no memory. NULL counts as "". */
const char *intern_get(struct intern *intern, const char *text, size_t max) _must_check_;
/* The equal text that is kept already, cut to max bytes, without a reference; NULL: none is. */
const char *intern_find(const struct intern *intern, const char *text, size_t max);
/* Gives a reference back; NULL-safe. */
void intern_put(struct intern *intern, const char *text);
/* How many texts there are. */
size_t intern_count(const struct intern *intern);

#endif
