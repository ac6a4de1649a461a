/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_MAPS_BPF_H
#define GOV_MAPS_BPF_H

#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

#include "gov/maps.h"

/*
 * Maps that several objects share: weak, so that `bpftool gen object` makes one of all their definitions. Keys, values
 * and limits: include/gov/maps.h.
 */

/* uapi macros, which BTF doesn't carry. */
#ifndef BPF_ANY
#define BPF_ANY 0
#endif

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct gov_mark);
} gov_marks SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gov_config);
} gov_config SEC(".maps") __weak;

static __always_inline const struct gov_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gov_config, &zero);
}

#endif
