/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_BPF_PRIVATE_H
#define GOV_SENSE_BPF_PRIVATE_H

#include "gov/connect.h"
#include "sense/bpf.h"

/* Shared by the files of bpf.c and connect.c: the loader, the ring's reader, the API. */

#define BPF_WORDS_MAX 512 /* of libbpf and the verifier */

/* What the loader hands over. The objects live as long as their descriptors. Those behind BPF_FD_REQUIRED are of
 * connect pacing: all are there, or none (-EBADF). */
enum bpf_fd {
	BPF_FD_MARKS,
	BPF_FD_CANDIDATES,
	BPF_FD_CONFIG,
	BPF_FD_COUNTS,
	BPF_FD_OVERFLOW,
	BPF_FD_RING,
	BPF_FD_PROG_EXEC,
	BPF_FD_PROG_FORK,
	BPF_FD_PROG_EXIT,
	BPF_FD_LINK_EXEC,
	BPF_FD_LINK_FORK,
	BPF_FD_LINK_EXIT,
	BPF_FD_LINK_CENSUS,
	BPF_FD_PROG_OOM, /* -EBADF where the kernel's mark_victim is an old one; then neither its link */
	BPF_FD_PROG_KILL,
	BPF_FD_LINK_OOM,
	BPF_FD_LINK_KILL,
	BPF_FD_LINK_OOM_BEGIN, /* -EBADF where oom_kill_process() can't be attached to */
	BPF_FD_LINK_OOM_END,
	BPF_FD_REQUIRED,
	BPF_FD_AGENTS = BPF_FD_REQUIRED,
	BPF_FD_STATS,
	BPF_FD_ENTRIES,
	BPF_FD_STRANGERS,
	BPF_FD_SOCKS,
	BPF_FD_FLOWS,
	BPF_FD_SEATS,
	BPF_FD_PROG_SOCKOPS,
	BPF_FD_PROG_EGRESS,
	BPF_FD_PROG_ADDR4,
	BPF_FD_PROG_ADDR6,
	BPF_FD_PROG_SEND4,
	BPF_FD_PROG_SEND6,
	BPF_FD_PROG_WATCH,
	BPF_FD_LINK_SOCKETS,
	BPF_FD_ACTIVITY,
	BPF_FD_LINK_ACTIVITY_TASKS,
	BPF_FD_LINK_ACTIVITY_SOCKETS,
	BPF_FD_FANOUT,
	BPF_FD_PROG_FANOUT,
	BPF_FDS,
};

/* The reader of a BPF ring buffer. Only a window of its data is mapped at a time: the whole would count as resident,
 * twice. */
struct bpf_ring {
	int fd; /* borrowed */
	size_t bytes, page;
	unsigned long *consumer;
	const unsigned long *producer;
	const uint8_t *window;
	size_t window_start, window_size;
};

#define BPF_CONNECT_LINKS 6
#define BPF_STATS_PAGES (GOV_CONNECT_AGENTS_MAX * sizeof(struct gov_connect_stats) / 4096)

struct bpf_connect {
	int error; /* why there is none of it: 0 or -errno */
	char words[BPF_WORDS_MAX];
	char *pin_dir;		      /* NULL: nothing is pinned */
	int links[BPF_CONNECT_LINKS]; /* in the order of the table in connect_attach.c */
	int watch_link;
	uint64_t slots[GOV_CONNECT_AGENTS_MAX / 64]; /* bits: taken */
	struct gov_connect_stats *stats[BPF_STATS_PAGES];
};

struct bpf_sense {
	int fds[BPF_FDS];
	struct bpf_ring ring;
	struct gov_config config;	      /* what is in the map */
	struct gov_candidate_key *candidates; /* what is in the map, sorted */
	size_t n_candidates;
	struct gov_count *counts; /* one kind on all CPUs, for reading */
	size_t n_cpus;
	struct bpf_connect connect;
	int fanout_link;      /* -EBADF: nobody's births are counted */
	uint64_t activity_ns; /* CLOCK_BOOTTIME of the last census of activity; 0: there was none */
};

/* ---- the loader -------------------------------------------------------------------------------------------------- */

struct bpf_load_result {
	int fds[BPF_FDS];
	int connect_error;		   /* 0, or why the programs of connect pacing can't be loaded */
	char words[BPF_WORDS_MAX];	   /* why it failed */
	char connect_words[BPF_WORDS_MAX]; /* why not, or what was amiss with the pins; "" nothing */
};

/* Loads and attaches in a child process, so that this one never holds the kernel's BTF and the ELF file (20 MiB).
 * ret_result is written also at failure. */
int bpf_load(const struct bpf_sense_options *options, struct bpf_load_result *ret_result) _must_check_;

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

int bpf_ring_init(struct bpf_ring *ring, int fd, size_t bytes) _must_check_;
void bpf_ring_done(struct bpf_ring *ring);
/* As bpf_sense_read. */
int bpf_ring_read(struct bpf_ring *ring, size_t max, bpf_record_fn fn, void *userdata) _must_check_;

/* Whether these bytes, 8-aligned, are one whole record of this version. */
bool bpf_record_is_valid(const void *bytes, size_t size);

/* ---- connect pacing ---------------------------------------------------------------------------------------------- */

/* Maps that are pinned, by their names. */
struct bpf_pinned_map {
	const char *name;
	enum bpf_fd fd;
};
#define BPF_PINNED_MAPS 6
extern const struct bpf_pinned_map bpf_pinned_maps[BPF_PINNED_MAPS];

/* DIR/NAME; size BPF_PIN_PATH_MAX. -ENAMETOOLONG. */
#define BPF_PIN_PATH_MAX 512
int bpf_pin_path(char *path, const char *dir, const char *name) _must_check_;

/* Before all else: so that bpf_connect_done() may be called. */
void bpf_connect_clear(struct bpf_sense *sense);
/* Once the maps are there. */
int bpf_connect_init(struct bpf_sense *sense, const char *pin_dir) _must_check_;
void bpf_connect_done(struct bpf_sense *sense);

/* Every element of a hash. A batch at a time: what is put in or taken out meanwhile may or may not be seen. */
struct bpf_hash {
	int fd;
	size_t key_size, value_size;
	uint64_t flags; /* BPF_F_LOCK where the values have a lock */
};
typedef int (*bpf_hash_fn)(const void *key, const void *value, void *userdata);
/* Ends early when fn returns a negative, and returns it. */
int bpf_hash_each(const struct bpf_hash *hash, bpf_hash_fn fn, void *userdata) _must_check_;

/* All that an iterator's link tells, in items of this size, at most 4096 bytes each. */
typedef void (*bpf_iter_fn)(const void *item, void *userdata);
int bpf_iter_each(int link_fd, size_t size, bpf_iter_fn fn, void *userdata) _must_check_;

/* The counters of a slot, mapped. */
int bpf_connect_map_stats(struct bpf_sense *sense, uint32_t slot, struct gov_connect_stats **ret_stats) _must_check_;
/* Forgets all entries of an owner. */
int bpf_connect_drop_entries(struct bpf_sense *sense, uint64_t owner) _must_check_;

#endif
