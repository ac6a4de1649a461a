/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/bpf.h>
#include <sys/mman.h>

#include "sense/bpf_private.h"

/* The kernel's side: kernel/bpf/ringbuf.c. Pages of the file: consumer position, producer position, data, data again.
 */

#define RING_WINDOW_BYTES (128U << 10)

static bool exec_is_valid(const struct gov_record_exec *record, size_t size)
{
	const size_t head_size = offsetof(struct gov_record_exec, args);

	return size >= head_size && record->args_size <= GOV_ARGS_SIZE && size == head_size + record->args_size &&
	       record->filename_size >= 1 && record->filename_size <= GOV_FILENAME_SIZE &&
	       record->filename[record->filename_size - 1] == '\0' && record->comm[GOV_COMM_SIZE - 1] == '\0';
}

static bool oom_is_valid(const struct gov_record_oom *record, size_t size)
{
	return size == sizeof(*record) && record->comm[GOV_COMM_SIZE - 1] == '\0';
}

static bool kill_is_valid(const struct gov_record_kill *record, size_t size)
{
	return size == sizeof(*record) && record->comm[GOV_COMM_SIZE - 1] == '\0' &&
	       record->sender_comm[GOV_COMM_SIZE - 1] == '\0';
}

static bool fanout_is_valid(const struct gov_record_fanout *record, size_t size)
{
	return size == sizeof(*record) && record->comm[GOV_COMM_SIZE - 1] == '\0';
}

bool bpf_record_is_valid(const void *bytes, size_t size)
{
	const struct gov_record_head *head = bytes;

	if (size < sizeof(*head) || head->version != GOV_RECORD_VERSION || head->size != size)
		return false;
	switch (head->kind) {
	case GOV_RECORD_EXEC:
		return exec_is_valid(bytes, size);
	case GOV_RECORD_FORK:
		return size == sizeof(struct gov_record_fork);
	case GOV_RECORD_EXIT:
		return size == sizeof(struct gov_record_exit);
	case GOV_RECORD_CONNECT:
		return size == sizeof(struct gov_record_connect);
	case GOV_RECORD_OOM:
		return oom_is_valid(bytes, size);
	case GOV_RECORD_KILL:
		return kill_is_valid(bytes, size);
	case GOV_RECORD_FANOUT:
		return fanout_is_valid(bytes, size);
	default:
		return false;
	}
}

int bpf_ring_init(struct bpf_ring *ring, int fd, size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *producer;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (producer == MAP_FAILED) {
		int r = -errno;

		munmap(consumer, page);
		return r;
	}
	*ring = (struct bpf_ring){
		.fd = fd,
		.bytes = bytes,
		.page = page,
		.consumer = consumer,
		.producer = producer,
	};
	return 0;
}

void bpf_ring_done(struct bpf_ring *ring)
{
	if (ring->window)
		munmap((void *)(uintptr_t)ring->window, ring->window_size);
	if (ring->consumer)
		munmap(ring->consumer, ring->page);
	if (ring->producer)
		munmap((void *)(uintptr_t)ring->producer, ring->page);
	*ring = (struct bpf_ring){};
}

/* Makes size bytes from this offset readable; size is at most ring->bytes, as is every record. */
static int ring_map(struct bpf_ring *ring, size_t offset, size_t size, const uint8_t **ret_bytes)
{
	size_t start, window_size;
	void *window;

	if (ring->window && offset >= ring->window_start && offset + size <= ring->window_start + ring->window_size) {
		*ret_bytes = ring->window + (offset - ring->window_start);
		return 0;
	}
	start = offset & ~(ring->page - 1);
	window_size = MIN2(MAX2(RING_WINDOW_BYTES, size + ring->page), 2 * ring->bytes - start);
	window_size = (window_size + ring->page - 1) & ~(ring->page - 1);
	if (ring->window)
		munmap((void *)(uintptr_t)ring->window, ring->window_size);
	ring->window = NULL;
	window = mmap(NULL, window_size, PROT_READ, MAP_SHARED, ring->fd, (off_t)(2 * ring->page + start));
	if (window == MAP_FAILED)
		return -errno;
	ring->window = window;
	ring->window_start = start;
	ring->window_size = window_size;
	*ret_bytes = ring->window + (offset - start);
	return 0;
}

/* One record at position. Returns 1 when it was handed over, 0 when it was skipped, -EAGAIN when it isn't complete. */
static int ring_read_one(struct bpf_ring *ring, unsigned long *position, bpf_record_fn fn, void *userdata)
{
	size_t offset = *position & (ring->bytes - 1), size;
	const uint8_t *bytes;
	uint32_t length;
	int r;

	r = ring_map(ring, offset, BPF_RINGBUF_HDR_SZ, &bytes);
	if (r < 0)
		return r;
	length = __atomic_load_n((const uint32_t *)(const void *)bytes, __ATOMIC_ACQUIRE);
	if (length & BPF_RINGBUF_BUSY_BIT)
		return -EAGAIN;
	size = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
	if (size > ring->bytes - BPF_RINGBUF_HDR_SZ)
		return -EBADMSG;
	r = ring_map(ring, offset, BPF_RINGBUF_HDR_SZ + size, &bytes);
	if (r < 0)
		return r;
	bytes += BPF_RINGBUF_HDR_SZ;
	r = !(length & BPF_RINGBUF_DISCARD_BIT) && bpf_record_is_valid(bytes, size);
	if (r)
		fn((const struct gov_record_head *)(const void *)bytes, userdata);
	*position += (BPF_RINGBUF_HDR_SZ + size + 7) & ~(size_t)7;
	/* The record's bytes may be written again from here on. */
	__atomic_store_n(ring->consumer, *position, __ATOMIC_RELEASE);
	return r;
}

int bpf_ring_read(struct bpf_ring *ring, size_t max, bpf_record_fn fn, void *userdata)
{
	/* Only this process writes the consumer's position. */
	unsigned long position = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	int n = 0;

	while (position < __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE)) {
		int r = ring_read_one(ring, &position, fn, userdata);

		if (r == -EAGAIN)
			break;
		if (r < 0)
			return r;
		n += r;
		if (max && (size_t)n >= max)
			break;
	}
	return n;
}
