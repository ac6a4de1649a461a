/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_CORE_FANOUT_H
#define GOV_CORE_FANOUT_H

#include "core/policy.h"

/* How the kernel is to count: births within length_ns beyond limit are told. False: it needn't. */
bool fanout_rule(const struct policy *policy, uint64_t *ret_length_ns, uint64_t *ret_limit);

#endif
