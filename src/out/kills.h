/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_OUT_KILLS_H
#define GOV_OUT_KILLS_H

#include "base/macro.h"

/*
 * When agents were ended in emergencies of the host (core/emergency.h), so that no restart of govd makes room for more
 * of them: in RUNTIME_DIR/emergency. It is mapped, and govd's memory is locked: to keep a time is a store to memory,
 * which waits for nothing when memory is short, and is there for the next govd however this one ends.
 */

#define KILLS_FILE "emergency"

struct kills {
	struct kills_page *page; /* NULL: they aren't kept */
};

/* What was kept in another boot, or by another version, is void. */
int kills_open(const char *runtime_dir, struct kills *ret_kills) _must_check_;
void kills_close(struct kills *kills);
/* time_ns: CLOCK_MONOTONIC. Takes the place of the oldest. */
void kills_add(struct kills *kills, uint64_t time_ns);
/* Up to EMERGENCY_KILLS_MAX times, in no order; returns how many. */
size_t kills_read(const struct kills *kills, uint64_t *times_ns, size_t max);

#endif
