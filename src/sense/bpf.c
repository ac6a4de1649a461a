/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/text.h"
#include "sense/bpf_private.h"

static int new_parts(struct bpf_sense *sense, size_t ring_bytes)
{
	int n_cpus = libbpf_num_possible_cpus();

	if (n_cpus < 0)
		return n_cpus;
	sense->n_cpus = (size_t)n_cpus;
	sense->counts = calloc(sense->n_cpus, sizeof(*sense->counts));
	if (!sense->counts)
		return -ENOMEM;
	return bpf_ring_init(&sense->ring, sense->fds[BPF_FD_RING], ring_bytes);
}

static int check_ring_bytes(size_t bytes, char *error, size_t error_size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (bytes >= page && (bytes & (bytes - 1)) == 0 && bytes <= UINT32_MAX / 4)
		return 0;
	snprintf(error, error_size, "the ring's size must be a power of two of at least %zu", page);
	return -EINVAL;
}

static int sense_load(struct bpf_sense *sense, const struct bpf_sense_options *options, char words[BPF_WORDS_MAX])
{
	_cleanup_free_ struct bpf_load_result *result = calloc(1, sizeof(*result));
	int r;

	if (!result)
		return -ENOMEM;
	r = bpf_load(options, result);
	memcpy(sense->fds, result->fds, sizeof(sense->fds));
	if (r < 0) {
		text_copy(words, BPF_WORDS_MAX, result->words);
		return r;
	}
	sense->connect.error = result->connect_error;
	text_copy(sense->connect.words, sizeof(sense->connect.words), result->connect_words);
	text_copy(words, BPF_WORDS_MAX, result->connect_words);
	r = new_parts(sense, options->ring_bytes);
	if (r < 0)
		snprintf(words, BPF_WORDS_MAX, "mapping the ring: %s", strerror(-r));
	return r;
}

int bpf_sense_new(const struct bpf_sense_options *options, struct bpf_sense **ret_sense, char *error, size_t error_size)
{
	_cleanup_(bpf_sense_freep) struct bpf_sense *sense = NULL;
	struct bpf_sense_options chosen = options ? *options : (struct bpf_sense_options){};
	char words[BPF_WORDS_MAX] = "";
	int r;

	if (!chosen.ring_bytes)
		chosen.ring_bytes = GOV_RING_BYTES;
	r = check_ring_bytes(chosen.ring_bytes, words, sizeof(words));
	if (r == 0) {
		sense = calloc(1, sizeof(*sense));
		if (!sense)
			return -ENOMEM;
		for (size_t i = 0; i < BPF_FDS; i++)
			sense->fds[i] = -EBADF;
		bpf_connect_clear(sense);
		sense->fanout_link = -EBADF;
		r = sense_load(sense, &chosen, words);
	}
	if (r == 0)
		r = bpf_connect_init(sense, chosen.pin_dir);
	if (error)
		text_copy(error, error_size, words);
	if (r < 0)
		return r;
	*ret_sense = TAKE_PTR(sense);
	return 0;
}

struct bpf_sense *bpf_sense_free(struct bpf_sense *sense)
{
	if (!sense)
		return NULL;
	bpf_ring_done(&sense->ring);
	bpf_connect_done(sense);
	close_p(&sense->fanout_link);
	/* The links last come first: no program runs on when its maps go. */
	for (size_t i = BPF_FDS; i-- > 0;)
		if (sense->fds[i] >= 0)
			close(sense->fds[i]);
	free(sense->candidates);
	free(sense->counts);
	free(sense);
	return NULL;
}

int bpf_sense_ring_fd(const struct bpf_sense *sense)
{
	return sense->fds[BPF_FD_RING];
}

int bpf_sense_read(struct bpf_sense *sense, size_t max, bpf_record_fn fn, void *userdata)
{
	return bpf_ring_read(&sense->ring, max, fn, userdata);
}

/* ---- candidates and configuration -------------------------------------------------------------------------------- */

/* See maps.h for what the bits mean. */
static void candidate_key(const char *name, struct gov_candidate_key *ret_key)
{
	struct gov_candidate_key key = {};
	size_t length = strcspn(name, "*?[\\");
	bool is_exact = name[length] == '\0';

	if (length >= GOV_COMM_SIZE - 1) {
		length = GOV_COMM_SIZE - 1;
		is_exact = false;
	}
	memcpy(key.name, name, length);
	key.prefix_bits = (uint32_t)(8 * (length + is_exact));
	*ret_key = key;
}

static int key_compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct gov_candidate_key));
}

/* Sorted and each once. */
static int candidate_keys(const char *const *names, size_t n, struct gov_candidate_key **ret_keys, size_t *ret_n)
{
	_cleanup_free_ struct gov_candidate_key *keys = calloc(MAX2(n, (size_t)1), sizeof(*keys));
	size_t used = 0;

	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		candidate_key(names[i], &keys[i]);
	qsort(keys, n, sizeof(*keys), key_compare);
	for (size_t i = 0; i < n; i++)
		if (used == 0 || key_compare(&keys[i], &keys[used - 1]) != 0)
			keys[used++] = keys[i];
	if (used > GOV_CANDIDATES_MAX)
		return -E2BIG;
	*ret_keys = TAKE_PTR(keys);
	*ret_n = used;
	return 0;
}

static bool keys_have(const struct gov_candidate_key *keys, size_t n, const struct gov_candidate_key *key)
{
	return n > 0 && bsearch(key, keys, n, sizeof(*keys), key_compare) != NULL;
}

/* Deletes those of the first n of keys that aren't among keep. */
static int candidates_delete(struct bpf_sense *sense, const struct gov_candidate_key *keys, size_t n,
			     const struct gov_candidate_key *keep, size_t n_keep)
{
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int r;

		if (keys_have(keep, n_keep, &keys[i]))
			continue;
		r = bpf_map_delete_elem(sense->fds[BPF_FD_CANDIDATES], &keys[i]);
		if (r < 0 && r != -ENOENT && first == 0)
			first = r;
	}
	return first;
}

int bpf_sense_set_candidates(struct bpf_sense *sense, const char *const *names, size_t n)
{
	_cleanup_free_ struct gov_candidate_key *keys = NULL;
	const uint8_t one = 1;
	size_t n_keys = 0;
	int r;

	r = candidate_keys(names, n, &keys, &n_keys);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n_keys; i++) {
		if (keys_have(sense->candidates, sense->n_candidates, &keys[i]))
			continue;
		r = bpf_map_update_elem(sense->fds[BPF_FD_CANDIDATES], &keys[i], &one, BPF_ANY);
		if (r < 0) {
			int ignored _unused_ =
				candidates_delete(sense, keys, i, sense->candidates, sense->n_candidates);
			return r;
		}
	}
	r = candidates_delete(sense, sense->candidates, sense->n_candidates, keys, n_keys);
	/* What couldn't be deleted only makes records that match no policy. */
	free(sense->candidates);
	sense->candidates = TAKE_PTR(keys);
	sense->n_candidates = n_keys;
	return r;
}

int bpf_sense_set_config(struct bpf_sense *sense, const struct gov_config *config)
{
	const uint32_t zero = 0;
	uint64_t settled_mark = MAX2(config->settled_mark, sense->config.settled_mark);

	sense->config = *config;
	sense->config.settled_mark = settled_mark;
	return bpf_map_update_elem(sense->fds[BPF_FD_CONFIG], &zero, &sense->config, BPF_ANY);
}

int bpf_sense_settle(struct bpf_sense *sense, uint64_t mark)
{
	struct gov_config config = sense->config;

	if (mark <= config.settled_mark)
		return 0;
	config.settled_mark = mark;
	return bpf_sense_set_config(sense, &config);
}

bool bpf_sense_is_settled(const struct bpf_sense *sense, uint64_t mark)
{
	return mark <= sense->config.settled_mark || mark >= GOV_MARK_KERNEL_END;
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

int bpf_sense_set_mark(struct bpf_sense *sense, int pidfd, const struct gov_mark *mark)
{
	/* To delete, a mark of id 0 is left: it counts for the whole process, whose threads may have copies. */
	const struct gov_mark none = {};
	int r = bpf_map_update_elem(sense->fds[BPF_FD_MARKS], &pidfd, mark->id ? mark : &none, BPF_ANY);

	return r == -ENOENT ? -ESRCH : r;
}

int bpf_sense_get_mark(struct bpf_sense *sense, int pidfd, struct gov_mark *ret_mark)
{
	struct gov_mark mark = {};
	int r = bpf_map_lookup_elem(sense->fds[BPF_FD_MARKS], &pidfd, &mark);

	if (r < 0)
		return r;
	if (!mark.id)
		return -ENOENT;
	*ret_mark = mark;
	return 0;
}

/* ---- census, overflow, counts ------------------------------------------------------------------------------------ */

#define ITER_BYTES 4096

int bpf_iter_each(int link_fd, size_t size, bpf_iter_fn fn, void *userdata)
{
	_cleanup_close_ int fd = bpf_iter_create(link_fd);
	_Alignas(uint64_t) uint8_t items[ITER_BYTES];
	size_t have = 0, used;

	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t n = read(fd, items + have, sizeof(items) - have);

		/* EAGAIN: a long stretch of what isn't told (kernel/bpf/bpf_iter.c). */
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		have += (size_t)n;
		for (used = 0; used + size <= have; used += size)
			fn(items + used, userdata);
		have -= used;
		memmove(items, items + used, have);
	}
}

struct census {
	bpf_census_fn fn;
	void *userdata;
};

static void census_task(const void *item, void *userdata)
{
	const struct census *census = userdata;

	census->fn(item, census->userdata);
}

int bpf_sense_census(struct bpf_sense *sense, bpf_census_fn fn, void *userdata)
{
	struct census census = {.fn = fn, .userdata = userdata};

	return bpf_iter_each(sense->fds[BPF_FD_LINK_CENSUS], sizeof(struct gov_census_task), census_task, &census);
}

int bpf_sense_drain_overflow(struct bpf_sense *sense, bpf_record_fn fn, void *userdata)
{
	_cleanup_free_ struct gov_record_exec *record = malloc(sizeof(*record));
	int fd = sense->fds[BPF_FD_OVERFLOW];

	if (!record)
		return -ENOMEM;
	/* Bounded: execs go on to come in. */
	for (size_t i = 0; i < (size_t)2 * GOV_OVERFLOW_MAX; i++) {
		uint64_t mark;
		int r = bpf_map_get_next_key(fd, NULL, &mark);

		if (r == -ENOENT)
			return 0;
		if (r == 0)
			r = bpf_map_lookup_and_delete_elem(fd, &mark, record);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && bpf_record_is_valid(record, record->head.size))
			fn(&record->head, userdata);
	}
	return 0;
}

/* Runs that the kernel left out because the program was running on that CPU: its records are lost too. */
static int program_misses(int fd, uint64_t *ret_misses)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	int r = bpf_obj_get_info_by_fd(fd, &info, &size);

	if (r < 0)
		return r;
	*ret_misses = info.recursion_misses;
	return 0;
}

int bpf_sense_counts(const struct bpf_sense *sense, struct gov_count ret_counts[GOV_RECORD_KINDS])
{
	/* The kernel leaves out no runs of a cgroup's programs. */
	static const int programs[GOV_RECORD_KINDS] = {
		[GOV_RECORD_EXEC] = BPF_FD_PROG_EXEC,	  [GOV_RECORD_FORK] = BPF_FD_PROG_FORK,
		[GOV_RECORD_EXIT] = BPF_FD_PROG_EXIT,	  [GOV_RECORD_CONNECT] = -1,
		[GOV_RECORD_OOM] = BPF_FD_PROG_OOM,	  [GOV_RECORD_KILL] = BPF_FD_PROG_KILL,
		[GOV_RECORD_FANOUT] = BPF_FD_PROG_FANOUT,
	};
	struct gov_count sums[GOV_RECORD_KINDS] = {};

	for (uint32_t kind = 0; kind < GOV_RECORD_KINDS; kind++) {
		uint64_t misses = 0;
		int r = bpf_map_lookup_elem(sense->fds[BPF_FD_COUNTS], &kind, sense->counts);

		if (r == 0 && programs[kind] >= 0 && sense->fds[programs[kind]] >= 0)
			r = program_misses(sense->fds[programs[kind]], &misses);
		if (r < 0)
			return r;
		sums[kind].lost = misses;
		for (size_t i = 0; i < sense->n_cpus; i++) {
			sums[kind].sent += sense->counts[i].sent;
			sums[kind].lost += sense->counts[i].lost;
			sums[kind].kept += sense->counts[i].kept;
		}
	}
	memcpy(ret_counts, sums, sizeof(sums));
	return 0;
}
