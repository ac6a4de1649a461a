/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_BPF_PRIVATE_H
#define GOV_SENSE_BPF_PRIVATE_H

#include "sense/bpf.h"

/* Shared by the files of bpf.c: the loader, the ring's reader, the API. */

/* What the loader hands over. The objects live as long as their descriptors. */
enum bpf_fd {
	BPF_FD_MARKS,
	BPF_FD_CANDIDATES,
	BPF_FD_CONFIG,
	BPF_FD_COUNTS,
	BPF_FD_OVERFLOW,
	BPF_FD_RING,
	BPF_FD_PROG_EXEC, /* in the order of enum gov_record_kind */
	BPF_FD_PROG_FORK,
	BPF_FD_PROG_EXIT,
	BPF_FD_LINK_EXEC,
	BPF_FD_LINK_FORK,
	BPF_FD_LINK_EXIT,
	BPF_FD_LINK_CENSUS,
	BPF_FDS,
};

/* Loads and attaches in a child process, so that this one never holds the kernel's BTF and the ELF file (20 MiB). */
int bpf_load(size_t ring_bytes, int fds[BPF_FDS], char *error, size_t error_size) _must_check_;

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

int bpf_ring_init(struct bpf_ring *ring, int fd, size_t bytes) _must_check_;
void bpf_ring_done(struct bpf_ring *ring);
/* As bpf_sense_read. */
int bpf_ring_read(struct bpf_ring *ring, size_t max, bpf_record_fn fn, void *userdata) _must_check_;

/* Whether these bytes, 8-aligned, are one whole record of this version. */
bool bpf_record_is_valid(const void *bytes, size_t size);

#endif
