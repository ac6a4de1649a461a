/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BENCH_PACED_H
#define BENCH_PACED_H

#include <bpf/libbpf.h>
#include <stdbool.h>

/* The connect programs on a slice of the benchmark's own, attached and detached at will: by the whole govd that would
 * take too long to do it hundreds of times. */

#define PACED_PROGRAMS 8

/* Where a process can be, and whose sockets it makes there. */
enum paced_place {
	PLACE_OUTSIDE, /* of the slice, in the group that it is in */
	PLACE_COUNTED, /* an agent without a limit: connects are counted */
	PLACE_PACED,   /* an agent with a limit that it is far below, and a breaker */
	PLACES,
};

struct paced {
	struct bpf_object *object;
	struct bpf_program *programs[PACED_PROGRAMS];
	struct bpf_link *links[PACED_PROGRAMS];
	int n_programs, n_links;
	int slice_fd;
	int procs_fds[PLACES];
};

/* Loads the programs, makes slice (a v2 directory below mount) and two groups in it, which the caller removes. Ends the
 * process where it can't. */
void paced_open(struct paced *paced, const char *object, const char *mount, const char *slice);
void paced_attach(struct paced *paced, bool on);
void paced_move(struct paced *paced, enum paced_place place);

#endif
