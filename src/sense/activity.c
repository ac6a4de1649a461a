/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include <bpf/bpf.h>

#include "sense/activity.h"
#include "sense/bpf_private.h"

#define BATCH 256

static uint64_t boot_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

/* The programs tell nothing themselves. */
static void ignore(const void *item _unused_, void *userdata _unused_)
{
}

static int run_iterators(const struct bpf_sense *sense)
{
	int r = bpf_iter_each(sense->fds[BPF_FD_LINK_ACTIVITY_TASKS], sizeof(uint64_t), ignore, NULL);

	return r < 0 ? r : bpf_iter_each(sense->fds[BPF_FD_LINK_ACTIVITY_SOCKETS], sizeof(uint64_t), ignore, NULL);
}

/* Whoever is only deleted isn't told. */
static int take(const struct bpf_sense *sense, bpf_activity_fn fn, void *userdata)
{
	_cleanup_free_ struct gov_activity *values = calloc(BATCH, sizeof(*values));
	_cleanup_free_ uint64_t *owners = calloc(BATCH, sizeof(*owners));
	uint32_t cursor = 0, next = 0;
	bool is_first = true;
	int r = values && owners ? 0 : -ENOMEM;

	while (r == 0) {
		uint32_t n = BATCH;

		r = bpf_map_lookup_and_delete_batch(sense->fds[BPF_FD_ACTIVITY], is_first ? NULL : &cursor, &next,
						    owners, values, &n, NULL);
		/* ENOENT: these were the last. */
		if (r < 0 && r != -ENOENT)
			return r;
		for (uint32_t i = 0; fn && i < n; i++)
			fn(owners[i], &values[i], userdata);
		cursor = next;
		is_first = false;
	}
	return r == -ENOENT ? 0 : r;
}

int bpf_activity_census(struct bpf_sense *sense, bpf_activity_fn fn, void *userdata)
{
	uint64_t now_ns = boot_time_ns();
	int r;

	if (sense->connect.error)
		return -EBADF;
	sense->config.born_after_ns = sense->activity_ns ? sense->activity_ns : now_ns;
	sense->activity_ns = now_ns;
	r = bpf_sense_set_config(sense, &sense->config);
	if (r == 0)
		r = run_iterators(sense);
	if (r == 0)
		return take(sense, fn, userdata);
	(void)!take(sense, NULL, NULL); /* a half of it would count twice */
	return r;
}
