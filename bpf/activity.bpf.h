/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_ACTIVITY_BPF_H
#define GOV_ACTIVITY_BPF_H

#include "connect_maps.bpf.h"

#include "gov/activity.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GOV_CONNECT_AGENTS_MAX);
	__type(key, __u64);
	__type(value, struct gov_activity);
} gov_activity SEC(".maps") __weak;

/* Made where it isn't there. NULL: no memory, or too many. */
static __always_inline struct gov_activity *activity_of(__u64 owner)
{
	struct gov_activity *sum = bpf_map_lookup_elem(&gov_activity, &owner);
	struct gov_activity none = {};

	if (sum)
		return sum;
	bpf_map_update_elem(&gov_activity, &owner, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&gov_activity, &owner);
}

#endif
