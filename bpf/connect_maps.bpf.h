/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_CONNECT_MAPS_BPF_H
#define GOV_CONNECT_MAPS_BPF_H

#include "task.bpf.h"

#include "gov/connect.h"

/* The maps of connect pacing, and how addresses are written in their keys. */

/* uapi macros, which BTF doesn't carry. */
#define AF_INET 2
#ifndef BPF_NOEXIST
#define BPF_NOEXIST 1
#endif
#ifndef BPF_SK_STORAGE_GET_F_CREATE
#define BPF_SK_STORAGE_GET_F_CREATE 1
#endif

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GOV_CONNECT_AGENTS_MAX);
	__type(key, __u64);
	__type(value, struct gov_connect_agent);
} gov_connect_agents SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, GOV_CONNECT_AGENTS_MAX);
	__type(key, __u32);
	__type(value, struct gov_connect_stats);
} gov_connect_stats SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GOV_CONNECT_ENTRIES_MAX);
	__type(key, struct gov_connect_key);
	__type(value, struct gov_connect_entry);
} gov_connect_entries SEC(".maps") __weak;

/* A TCP connection from its connect() on. Pinned: any change is a change of GOV_CONNECT_VERSION. */
struct connect_sock {
	struct gov_connect_key key;
	__u64 slot, shared_slot; /* to give back; 0: none */
	__u64 depart_ns;	 /* until then its SYN is held */
	__u64 left_ns;		 /* when its SYN left; 0: not yet */
	__u64 again_ns;		 /* the SYN isn't repeated before; 0: it hasn't been sent yet */
	__u64 since_ns;		 /* established; 0: not, or not any more */
	__u32 ticks;		 /* what the kernel's timer was asked for; 0: nothing was held */
	__u32 pid;		 /* of a stranger; 0: key.owner's */
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connect_sock);
} gov_connect_socks SEC(".maps") __weak;

/* address: zeros; becomes v4-mapped. */
static __always_inline void address_set_v4(__u8 *address, __u32 v4)
{
	address[10] = 0xff;
	address[11] = 0xff;
	__builtin_memcpy(&address[12], &v4, sizeof(v4));
}

/* Of the peer. */
static __always_inline void address_set_peer(__u8 *address, struct sock *sk)
{
	if (sk->__sk_common.skc_family == AF_INET)
		address_set_v4(address, sk->__sk_common.skc_daddr);
	else
		bpf_core_read(address, 16, &sk->__sk_common.skc_v6_daddr);
}

#endif
