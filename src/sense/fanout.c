/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sense/fanout.h"

#include <bpf/bpf.h>

#include "sense/bpf_private.h"

static int attach(struct bpf_sense *sense)
{
	int fd;

	if (sense->fanout_link >= 0)
		return 0;
	if (sense->fds[BPF_FD_PROG_FANOUT] < 0)
		return -EOPNOTSUPP;
	/* Of a raw tracepoint by BTF: the program knows its own target. */
	fd = bpf_link_create(sense->fds[BPF_FD_PROG_FANOUT], 0, BPF_TRACE_RAW_TP, NULL);
	if (fd < 0)
		return fd;
	sense->fanout_link = fd;
	return 0;
}

int bpf_fanout_set(struct bpf_sense *sense, uint64_t owner, uint64_t length_ns, uint64_t limit)
{
	struct gov_fanout fanout;
	int r = bpf_map_lookup_elem(sense->fds[BPF_FD_FANOUT], &owner, &fanout);

	if (r < 0 || fanout.length_ns != length_ns || fanout.limit != limit) {
		fanout = (struct gov_fanout){.length_ns = length_ns, .limit = limit};
		r = bpf_map_update_elem(sense->fds[BPF_FD_FANOUT], &owner, &fanout, BPF_ANY);
		if (r < 0)
			return r;
	}
	return attach(sense);
}

int bpf_fanout_drop(struct bpf_sense *sense, uint64_t owner)
{
	uint64_t any;
	int r;

	if (sense->fanout_link < 0)
		return 0;
	r = bpf_map_delete_elem(sense->fds[BPF_FD_FANOUT], &owner);
	if (r < 0 && r != -ENOENT)
		return r;
	/* The last one. */
	if (bpf_map_get_next_key(sense->fds[BPF_FD_FANOUT], NULL, &any) == -ENOENT)
		close_p(&sense->fanout_link);
	return 0;
}
