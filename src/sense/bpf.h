/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_BPF_H
#define GOV_SENSE_BPF_H

#include "base/macro.h"
#include "gov/event.h"
#include "gov/maps.h"

/* The BPF object: probe, load, attach, maps. Needs CAP_BPF, CAP_PERFMON (and CAP_SYS_RESOURCE for memlock on old
 * kernels). */

struct bpf_sense;

typedef void (*bpf_record_fn)(const struct gov_record_head *record, void *userdata);
typedef void (*bpf_census_fn)(const struct gov_census_task *task, void *userdata);

struct bpf_sense_options {
	size_t ring_bytes;	/* 0: GOV_RING_BYTES */
	const char *pin_dir;	/* on a bpffs, no dots in its names; where connect pacing is pinned (sense/connect.h) */
	bool without_functions; /* as where the kernel's functions can't be attached to */
};

/* options: NULL for the defaults: nothing is pinned. error: in words, for the log (may be NULL); not empty after
 * success too, when connect pacing can't be loaded or what was pinned can't be taken over. */
int bpf_sense_new(const struct bpf_sense_options *options, struct bpf_sense **ret_sense, char *error,
		  size_t error_size) _must_check_;
struct bpf_sense *bpf_sense_free(struct bpf_sense *sense);
DEFINE_CLEANUP(struct bpf_sense *, bpf_sense_free)

/* Readable (epoll) when records wait. Owned by sense. */
int bpf_sense_ring_fd(const struct bpf_sense *sense);
/* Hands at most max records (0: all there are) to fn; each has been checked for size and version. Returns how many, or
 * -errno. */
int bpf_sense_read(struct bpf_sense *sense, size_t max, bpf_record_fn fn, void *userdata);

/* Replaces the candidates: base names with `*` at most as the end (`python3*`, `*`; a glob with a wildcard inside
 * counts up to it). Never a moment without those that stay. */
int bpf_sense_set_candidates(struct bpf_sense *sense, const char *const *names, size_t n) _must_check_;
/* slice_id 0: none. self: govd's pid. */
int bpf_sense_set_config(struct bpf_sense *sense, const struct gov_config *config) _must_check_;

/* What was executed with marks up to this one is where it belongs: inside the slice its forks aren't told of any more.
 * Never goes back. */
int bpf_sense_settle(struct bpf_sense *sense, uint64_t mark) _must_check_;
bool bpf_sense_is_settled(const struct bpf_sense *sense, uint64_t mark);

/* Sets the mark of the process behind pidfd; mark.id 0 deletes it. */
int bpf_sense_set_mark(struct bpf_sense *sense, int pidfd, const struct gov_mark *mark) _must_check_;
int bpf_sense_get_mark(struct bpf_sense *sense, int pidfd, struct gov_mark *ret_mark) _must_check_;

/* All processes that carry a mark, by the task iterator. */
int bpf_sense_census(struct bpf_sense *sense, bpf_census_fn fn, void *userdata) _must_check_;
/* Execs that didn't fit into the ring, each once. */
int bpf_sense_drain_overflow(struct bpf_sense *sense, bpf_record_fn fn, void *userdata) _must_check_;

/* Sums over all CPUs since the load, by kind. */
int bpf_sense_counts(const struct bpf_sense *sense, struct gov_count ret_counts[GOV_RECORD_KINDS]) _must_check_;

/* For doctor: tries each program by itself. fn is called with the program's name, 0 or -errno, and the verifier's last
 * line. Programs of a cgroup are only loaded. */
int bpf_sense_probe(void (*fn)(const char *program, int error, const char *detail, void *userdata),
		    void *userdata) _must_check_;

#endif
