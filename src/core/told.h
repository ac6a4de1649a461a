/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_TOLD_H
#define GOV_CORE_TOLD_H

#include "base/macro.h"

/* Of what comes again and again not each is an incident: those that come too soon are only counted, or not even that.
 */

#define TOLD_EVERY_NS (60 * NSEC_PER_SEC)

struct told {
	uint64_t at_ns;	 /* the last that was recorded; 0: none */
	uint64_t untold; /* since then */
};

static inline bool told_is_due(uint64_t told_ns, uint64_t every_ns, uint64_t now_ns)
{
	return !told_ns || now_ns - told_ns >= every_ns;
}

/* Whether this one is to be recorded, which is noted. */
static inline bool may_tell(uint64_t *told_ns, uint64_t every_ns, uint64_t now_ns)
{
	if (!told_is_due(*told_ns, every_ns, now_ns))
		return false;
	*told_ns = now_ns;
	return true;
}

/* The same, and counts it when it isn't. */
static inline bool told_may(struct told *told, uint64_t every_ns, uint64_t now_ns)
{
	bool may = may_tell(&told->at_ns, every_ns, now_ns);

	told->untold += !may;
	return may;
}

struct incident;
/* Evidence: how many came before it, untold. They count no more. */
void told_add(struct told *told, struct incident *incident);

#endif
