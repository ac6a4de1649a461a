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

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, GOV_RING_BYTES);
} gov_ring SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, GOV_RECORD_KINDS);
	__type(key, __u32);
	__type(value, struct gov_count);
} gov_counts SEC(".maps") __weak;

static __always_inline const struct gov_config *config_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&gov_config, &zero);
}

static __always_inline struct gov_count *count_of(__u32 kind)
{
	return bpf_map_lookup_elem(&gov_counts, &kind);
}

/* Sends and counts. Returns 0, or the helper's error when the ring was full. */
static __always_inline long record_send(struct gov_record_head *head, __u32 size, __u64 flags)
{
	struct gov_count *count = count_of(head->kind);
	long r = bpf_ringbuf_output(&gov_ring, head, size, flags);

	if (count && r == 0)
		count->sent++;
	else if (count)
		count->lost++;
	return r;
}

#endif
