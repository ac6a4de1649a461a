/* SPDX-License-Identifier: GPL-2.0-only OR GPL-2.0-or-later */
#ifndef GOV_MAPS_H
#define GOV_MAPS_H

/* Keys and values of BPF maps that userspace reads or writes. */

#include "gov/event.h"

/*
 * gov_candidates, an LPM trie: which execs are worth a record. Looked up with the base name of the executed file and
 * with the new comm, 15 bytes at the most. An exact name has prefix_bits = 8 * (length + 1) (the NUL counts; of names
 * longer than 15 bytes the first 15 are the prefix), a glob `python3*` the bits of its literal head, `*` has 0: every
 * exec is a candidate.
 */
struct gov_candidate_key {
	__u32 prefix_bits;
	char name[GOV_COMM_SIZE];
};
#define GOV_CANDIDATES_MAX 4096

/*
 * gov_marks, task storage: the lineage of a process from its candidate exec until it is in a group of its own. Copied
 * to children and threads at fork while the parent is outside the slice and, inside, until userspace has dealt with the
 * exec (gov_config.settled_mark): who executes in an agent's group may be moved to one of its own. Userspace writes it
 * by pidfd for adopted roots.
 *
 * Tools: what a root with GOV_MARK_TOOLS forks begins a tool, whose processes carry its number as long as they are in
 * the group in which it began; each of their births is told, so that they can be moved to the tool's own group.
 */
struct gov_mark {
	__u64 id;	/* unique while the BPF objects are loaded; 0: none */
	__u32 root_pid; /* the process whose exec (or adoption) made the mark; of a mark without id: whose birth */
	__u32 flags;	/* enum gov_mark_flags */
	__u64 tool;	/* number of the tool that it is a part of, unique as ids are; 0: none */
	__u64 home_id;	/* v2 group (inode) in which the tool began */
};

#define GOV_MARK_KERNEL_END (1ULL << 62) /* the kernel's ids count up from 1, userspace's own are above */

enum gov_mark_flags {
	GOV_MARK_QUIET = 1 << 0, /* userspace has decided: no group. No fork records; exit record of the root stays */
	GOV_MARK_TOOLS = 1 << 1, /* the root's children are tools */
};

enum gov_config_flags {
	GOV_CONFIG_WATCH_STRANGERS = 1 << 0, /* count the connects of processes that nobody governs */
};

/* gov_config, an array of one. */
struct gov_config {
	__u64 slice_id;	     /* v2 group id (inode) of the slice; 0: no slice yet, nothing is inside */
	__u32 slice_level;   /* its depth below the v2 root */
	__u32 self_pid;	     /* govd: its own execs and forks are never candidates */
	__u32 tick_ns;	     /* of the kernel's timers, 1 s / CONFIG_HZ */
	__u32 flags;	     /* enum gov_config_flags */
	__u64 settled_mark;  /* the kernel's marks up to this one don't count inside the slice any more */
	__u64 born_after_ns; /* CLOCK_BOOTTIME; the census of activity counts the processes that began later */
};

/* gov_counts, a per-CPU array indexed by enum gov_record_kind. */
struct gov_count {
	__u64 sent;
	__u64 lost; /* the ring buffer was full */
	__u64 kept; /* of lost: execs saved in gov_overflow */
};

/* gov_overflow, a hash: mark id -> struct gov_record_exec that didn't fit into the ring; drained at a resync. */
#define GOV_OVERFLOW_MAX 4096

/* Default size of the ring buffer gov_ring, bytes (a power of two). Facts: a reader paused for 500 ms in an exec storm
 * lost 5 % at 1 MiB. */
#define GOV_RING_BYTES (4U << 20)

_Static_assert(sizeof(struct gov_candidate_key) == 20, "map key");
_Static_assert(sizeof(struct gov_mark) == 32, "map value");

#endif
