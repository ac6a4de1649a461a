/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_SENSE_CONNECT_H
#define GOV_SENSE_CONNECT_H

#include "gov/connect.h"
#include "sense/bpf.h"

/*
 * The connect programs and their maps. Maps and links are pinned below the directory that bpf_sense_new() was given, so
 * that pacing goes on when govd doesn't. Its last part is `v` and the version of the maps; directories `vN` beside it
 * are of other versions and go when this one is attached. Where the programs can't be loaded, all but attach and words
 * say -EBADF.
 */

/* Why bpf_connect_attach() says -EOPNOTSUPP, or what was pinned and couldn't be taken over; "" nothing. */
const char *bpf_connect_words(const struct bpf_sense *sense);

/* Attaches the programs to the slice (descriptor of its v2 directory), in the place of those that an earlier govd has
 * left there: never two at once, never none. Where it fails, all is as it was. The config must be set
 * (bpf_sense_set_config()). 0, or -errno; -EOPNOTSUPP: this kernel can't (see doctor). */
int bpf_connect_attach(struct bpf_sense *sense, int slice_fd) _must_check_;
/* Detaches and unpins all: nothing is paced any more. What waits leaves at its time. */
int bpf_connect_detach(struct bpf_sense *sense) _must_check_;

/* agent->slot is chosen here, and stays for as long as the owner is there. 0, -ENOSPC, ... */
int bpf_connect_set_agent(struct bpf_sense *sense, uint64_t owner, const struct gov_connect_agent *agent) _must_check_;
/* And forgets its entries. -ENOENT: there was none. */
int bpf_connect_drop_agent(struct bpf_sense *sense, uint64_t owner) _must_check_;
/* All owners there are: for those that an earlier govd has left and that are gone. */
int bpf_connect_owners(struct bpf_sense *sense, void (*fn)(uint64_t owner, void *userdata),
		       void *userdata) _must_check_;
int bpf_connect_get_agent(struct bpf_sense *sense, uint64_t owner, struct gov_connect_agent *ret_agent) _must_check_;
int bpf_connect_stats(struct bpf_sense *sense, uint64_t owner, struct gov_connect_stats *ret_stats) _must_check_;

typedef void (*bpf_connect_entry_fn)(const struct gov_connect_key *key, const struct gov_connect_entry *entry,
				     void *userdata);
/* The entries of an owner (0: of all). */
int bpf_connect_entries(struct bpf_sense *sense, uint64_t owner, bpf_connect_entry_fn fn, void *userdata) _must_check_;
int bpf_connect_entry(struct bpf_sense *sense, const struct gov_connect_key *key,
		      struct gov_connect_entry *ret_entry) _must_check_;
/* Removes entries that are at rest: nothing open, no slot to come, breaker closed, no attempt for idle_ns. Returns how
 * many. */
int bpf_connect_sweep(struct bpf_sense *sense, uint64_t now_ns, uint64_t idle_ns) _must_check_;
int bpf_connect_stranger(struct bpf_sense *sense, const struct gov_stranger_key *key,
			 struct gov_stranger *ret_stranger) _must_check_;

/* Every TCP socket of a group below the slice, by the kernel's TCP iterator. */
typedef void (*bpf_connect_socket_fn)(const struct gov_census_socket *socket, void *userdata);
int bpf_connect_sockets(struct bpf_sense *sense, bpf_connect_socket_fn fn, void *userdata) _must_check_;

/* Whether connects are counted that nobody governs, and those of agents that are only observed. Never pinned. */
int bpf_connect_watch(struct bpf_sense *sense, bool is_wanted) _must_check_;

/* `192.0.2.1:443`, `[2001:db8::1]:443`; `port 443`, `agent`, `others` for the other kinds. */
void bpf_connect_format(char *text, size_t size, const struct gov_connect_key *key);

#endif
