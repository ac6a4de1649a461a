/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_GOVCTL_SINCE_H
#define GOV_GOVCTL_SINCE_H

#include "base/macro.h"

/* A point in time: `2h` (ago), `2026-11-21`, `2026-11-21 10:00[:30]` (local; a `T` in between and a `Z` for UTC at the
 * end are taken too), `@1795255200`. now_ms and the result: ms since 1970. 0, -EINVAL or -ERANGE. */
int since_parse(const char *text, int64_t now_ms, int64_t *ret_ms) _must_check_;

#endif
