/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_BPF_CHILD_H
#define GOV_SENSE_BPF_CHILD_H

#include <sys/types.h>

#include "sense/bpf_private.h"

/*
 * Everything that needs the ELF object and the kernel's BTF happens in a short-lived child: it answers over a
 * SOCK_SEQPACKET pair, one struct child_message a packet, with the descriptors attached.
 */

struct child_message {
	int error;	   /* 0 or -errno */
	int connect_error; /* of the programs of connect pacing, when those that are required are loaded */
	uint64_t has_fds;  /* bits: which of enum bpf_fd are attached */
	char program[64];  /* probe: whose answer this is */
	char text[BPF_WORDS_MAX];
	char connect_text[BPF_WORDS_MAX];
};

struct child_request {
	struct bpf_sense_options options;
	void (*run)(int socket_fd, const struct child_request *request);
};

/* Returns the child's pid; its messages come from *ret_socket_fd until its end. */
pid_t bpf_child_start(const struct child_request *request, int *ret_socket_fd) _must_check_;
void bpf_child_wait(pid_t pid);

/* In the child. fds: by enum bpf_fd, those that aren't there negative; NULL: none. */
void bpf_child_send(int socket_fd, const struct child_message *message, const int *fds);
/* In the parent. 1, or 0 at the end, or -errno. Descriptors that didn't come are -EBADF. */
int bpf_child_receive(int socket_fd, struct child_message *ret_message, int fds[BPF_FDS]) _must_check_;

/* bpf_optional.c */
struct bpf_link;
/* -EBADF: it isn't attached. */
int bpf_optional_link(const struct bpf_link *link);
/* What not every kernel has. */
struct bpf_offer {
	bool victim_is_task;   /* mark_victim is there, and tells the victim itself, not its pid */
	bool oom_kill_process; /* can be attached to: it is neither inlined nor made another function */
};
void bpf_offer_look(struct bpf_offer *ret_offer);

#endif
