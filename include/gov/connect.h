/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_CONNECT_H
#define GOV_CONNECT_H

/*
 * Maps and records of connect pacing. The maps are pinned: a new govd takes them over with what they hold. Whatever
 * changes here changes GOV_CONNECT_VERSION, which is a part of the pins' path.
 */

#include "gov/breaker.h"
#include "gov/event.h"

#ifndef __VMLINUX_H__
#include <linux/bpf.h>
#endif

#define GOV_CONNECT_VERSION 4

/*
 * Whom a connect belongs to: the v2 group of an agent (its id: the inode of its directory) or, where there is none
 * (agents that are only observed), a lineage mark with this bit.
 */
#define GOV_OWNER_MARK (1ULL << 63)

#define GOV_CONNECT_AGENTS_MAX 4096	 /* as STATE_AGENTS_MAX */
#define GOV_CONNECT_ENTRIES_MAX 32768	 /* of all agents */
#define GOV_CONNECT_DESTINATIONS_MAX 256 /* of one; those beyond share one entry */
#define GOV_CONNECT_STRANGERS_MAX 4096

enum gov_connect_flags {
	GOV_CONNECT_REFUSE = 1 << 0,	 /* beyond max_delay: refuse; else: let go after max_delay */
	GOV_CONNECT_REFUSE_UDP = 1 << 1, /* flows beyond the rate; else they are only counted */
	GOV_CONNECT_PER_PORT = 1 << 2,	 /* one budget for each port; none of both: for each destination */
	GOV_CONNECT_PER_AGENT = 1 << 3,
	GOV_CONNECT_COUNT_ACCEPTS = 1 << 4, /* in gov_activity (gov/activity.h) */
};

/* gov_connect_agents, a hash: owner -> what its policy says. Written by userspace only. */
struct gov_connect_agent {
	__u32 slot; /* its struct gov_connect_stats */
	__u32 flags;
	struct gov_pace_rate rate;
	__u64 max_delay_ns;
	struct gov_breaker_rule breaker;
	__u32 new_max; /* new connections to one destination in GOV_BURST_WINDOW_NS that are worth a record; 0: none */
	__u32 pad;
};

/* gov_connect_stats, an array that userspace maps: counters of an agent, by slot. */
struct gov_connect_stats {
	__u64 connects; /* of TCP; and flows of UDP */
	__u64 delayed;
	__u64 refused;
	__u64 established;
	__u64 failed;
	__u64 dropped;	    /* by the peer, before the breaker's stable_after */
	__u64 abandoned;    /* by the application while they waited */
	__u64 destinations; /* entries of this agent; userspace counts down what it removes */
};

enum gov_connect_kind {
	GOV_CONNECT_DESTINATION = 0, /* address and port: counts, breaker and, by default, schedule */
	GOV_CONNECT_PORT,	     /* schedule of `per: port` */
	GOV_CONNECT_AGENT,	     /* schedule of `per: agent` */
	GOV_CONNECT_OTHERS,	     /* all destinations beyond GOV_CONNECT_DESTINATIONS_MAX */
};

/* gov_connect_entries, a hash. */
struct gov_connect_key {
	__u64 owner;
	__u8 address[16]; /* IPv6, or v4-mapped */
	__u16 port;	  /* host order */
	__u8 kind;	  /* enum gov_connect_kind */
	__u8 is_udp;
	__u32 pad;
};

struct gov_connect_entry {
	struct bpf_spin_lock lock;
	__u32 open; /* connections that live */
	struct gov_pace pace;
	struct gov_breaker breaker;
	struct gov_burst burst;
	__u64 attempts, delayed, refused, established, failed, dropped;
	__u64 last_ns;	/* the last attempt */
	__u64 storm_ns; /* since when there is a storm; 0: there is none */
	__u64 rate_ns;	/* when new_max was told last */
	__u64 full_ns;	/* of GOV_CONNECT_OTHERS: when GOV_REASON_FULL was told last */
};

/* gov_connect_strangers, an LRU hash: what nobody governs, when govd.yaml says watch_strangers. */
struct gov_stranger_key {
	__u32 pid; /* thread group */
	__u16 port;
	__u8 pad[2];
	__u8 address[16];
};

struct gov_stranger {
	struct gov_burst burst;
	__u64 attempts, failed;
	__u64 storm_ns;
};

enum gov_connect_reason {
	GOV_REASON_STORM = 1 << 0,    /* one has begun */
	GOV_REASON_BREAKER = 1 << 1,  /* its interval has changed */
	GOV_REASON_RATE = 1 << 2,     /* more than new_max */
	GOV_REASON_FULL = 1 << 3,     /* GOV_CONNECT_DESTINATIONS_MAX, or the map is full: look which are old */
	GOV_REASON_STRANGER = 1 << 4, /* a storm: head.pid; key without an owner */
};

/* GOV_RECORD_CONNECT: something is worth a look at this entry. head.cgroup_id: of the owner, or 0; head.pid: 0 unless a
 * stranger's. */
struct gov_record_connect {
	struct gov_record_head head;
	struct gov_connect_key key;
	__u32 reasons;
	__u32 pad;
};

/* One line of the sockets census (BPF TCP iterator): sockets of one owner, already summed over runs of the same. */
struct gov_census_socket {
	__u64 owner;
	__u8 address[16]; /* of the peer; of a listening socket: its own */
	__u16 port;
	__u8 state; /* TCP_ESTABLISHED ..., include/net/tcp_states.h */
	__u8 pad;
	__u32 unread_bytes; /* in the receive queue; listening: connections that wait for accept() */
};

_Static_assert(sizeof(struct gov_connect_key) == 32, "map key");
_Static_assert(sizeof(struct gov_connect_stats) == 64, "map value");
_Static_assert(sizeof(struct gov_record_connect) == 96, "wire struct");
_Static_assert(sizeof(struct gov_census_socket) == 32, "wire struct");
_Static_assert(sizeof(struct gov_stranger_key) == 24, "map key");

#endif
