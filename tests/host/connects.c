/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

/*
 * Connects and closes in a loop: the client of the tests of connect pacing (accepts.c is its server).
 *
 * connects [OPTION]... ADDRESS PORT [ADDRESS PORT]...
 *     --how block|poll|uring|fastopen|udp-connect|udp-send   --mptcp
 *     --concurrency N   threads for each destination          --count N   connects of each thread (0: no end)
 *     --timeout MS      of the application's own              --seconds N, --pause MS
 *     --keep            reads until the peer ends it          --mark N, --bind-device NAME
 *     --prepare N       each thread makes N sockets first; prints `ready`, and goes on when it has read a character
 *
 * In the end, or at SIGTERM, one line: {"connects": N, "errors": {"ECONNREFUSED": N}, "worst_ms": N, ...}
 */

#define ERRNOS 256
#define PREPARED_MAX 64

static struct {
	const char *how, *device;
	bool is_mptcp, is_kept;
	int concurrency, timeout_ms, pause_ms, seconds, mark, prepare;
	long count;
} options = {.how = "block", .concurrency = 1, .timeout_ms = -1};

static _Atomic long n_connects, n_timeouts, worst_ns, n_errors[ERRNOS];
static _Atomic int running, seen_mark;
static char seen_device[32];
static pthread_barrier_t prepared;

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

/* ---- ways to connect: 0, or -1 and errno; ETIMEDOUT: the application's own timeout ---- */

static int connect_block(int fd, const struct peer *peer)
{
	int r = connect(fd, (const struct sockaddr *)&peer->address, peer->length);

	/* SO_SNDTIMEO has run out (man 7 socket). */
	if (r < 0 && errno == EINPROGRESS)
		errno = ETIMEDOUT;
	return r;
}

static int connect_poll(int fd, const struct peer *peer)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	int error = 0;
	socklen_t length = sizeof(error);

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (connect(fd, (const struct sockaddr *)&peer->address, peer->length) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -1;
	if (poll(&wait, 1, options.timeout_ms) == 0)
		error = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	return error ? -1 : 0;
}

static int connect_fastopen(int fd, const struct peer *peer)
{
	ssize_t n = sendto(fd, "hello", 5, MSG_FASTOPEN, (const struct sockaddr *)&peer->address, peer->length);

	return n == 5 ? 0 : -1;
}

static int connect_udp(int fd, const struct peer *peer)
{
	return connect(fd, (const struct sockaddr *)&peer->address, peer->length);
}

static int connect_send(int fd, const struct peer *peer)
{
	ssize_t n = sendto(fd, "hello", 5, 0, (const struct sockaddr *)&peer->address, peer->length);

	return n == 5 ? 0 : -1;
}

/* A ring of one entry for each thread. */
struct ring {
	int fd;
	uint32_t *sq_tail, *sq_mask, *sq_array, *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
};

static __thread struct ring ring;

static void ring_open(void)
{
	struct io_uring_params p = {};
	size_t size;
	char *rings;

	ring.fd = (int)syscall(SYS_io_uring_setup, 1, &p);
	if (ring.fd < 0)
		fail("io_uring_setup");
	size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe) + p.sq_off.array;
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, p.sq_entries * sizeof(*ring.sqes), PROT_READ | PROT_WRITE, MAP_SHARED, ring.fd,
			 IORING_OFF_SQES);
	if (rings == MAP_FAILED || ring.sqes == MAP_FAILED || !(p.features & IORING_FEAT_SINGLE_MMAP))
		fail("io_uring's mmap");
	ring.sq_tail = (uint32_t *)(rings + p.sq_off.tail);
	ring.sq_mask = (uint32_t *)(rings + p.sq_off.ring_mask);
	ring.sq_array = (uint32_t *)(rings + p.sq_off.array);
	ring.cq_head = (uint32_t *)(rings + p.cq_off.head);
	ring.cq_tail = (uint32_t *)(rings + p.cq_off.tail);
	ring.cq_mask = (uint32_t *)(rings + p.cq_off.ring_mask);
	ring.cqes = (struct io_uring_cqe *)(rings + p.cq_off.cqes);
}

static int connect_uring(int fd, const struct peer *peer)
{
	uint32_t tail, head;
	int result;

	if (!ring.sqes)
		ring_open();
	tail = *ring.sq_tail;
	ring.sqes[tail & *ring.sq_mask] = (struct io_uring_sqe){
		.opcode = IORING_OP_CONNECT,
		.fd = fd,
		.addr = (uint64_t)(uintptr_t)&peer->address,
		.off = peer->length,
	};
	ring.sq_array[tail & *ring.sq_mask] = tail & *ring.sq_mask;
	__atomic_store_n(ring.sq_tail, tail + 1, __ATOMIC_RELEASE);
	while (syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		if (errno != EINTR)
			return -1;
	head = *ring.cq_head;
	while (head == __atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE))
		syscall(SYS_io_uring_enter, ring.fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
	result = ring.cqes[head & *ring.cq_mask].res;
	__atomic_store_n(ring.cq_head, head + 1, __ATOMIC_RELEASE);
	errno = -result;
	return result < 0 ? -1 : 0;
}

static const struct how {
	const char *name;
	int (*connect)(int fd, const struct peer *peer);
	int type;
} hows[] = {
	{"block", connect_block, SOCK_STREAM},	  {"poll", connect_poll, SOCK_STREAM},
	{"uring", connect_uring, SOCK_STREAM},	  {"fastopen", connect_fastopen, SOCK_STREAM},
	{"udp-connect", connect_udp, SOCK_DGRAM}, {"udp-send", connect_send, SOCK_DGRAM},
};

static const struct how *how;

/* ---- the client ---- */

static int make_socket(const struct peer *peer)
{
	int fd = socket(peer->address.ss_family, how->type | SOCK_CLOEXEC, options.is_mptcp ? IPPROTO_MPTCP : 0);
	struct timeval timeout = {options.timeout_ms / 1000, options.timeout_ms % 1000 * 1000};

	if (fd < 0)
		fail("socket");
	if (options.timeout_ms > 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (options.mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &options.mark, sizeof(options.mark)) < 0)
		fail("SO_MARK");
	if (options.device &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, options.device, (socklen_t)strlen(options.device)) < 0)
		fail("SO_BINDTODEVICE");
	return fd;
}

static void connect_one(int fd, const struct peer *peer)
{
	uint64_t begin = now_ns(CLOCK_MONOTONIC);
	int r = how->connect(fd, peer), error = r < 0 ? errno : 0, mark = 0;
	long took = (long)(now_ns(CLOCK_MONOTONIC) - begin), worst = worst_ns;
	socklen_t length = sizeof(mark);
	char byte[64];

	while (took > worst && !atomic_compare_exchange_weak(&worst_ns, &worst, took))
		;
	n_connects += r == 0;
	if (error == ETIMEDOUT && options.timeout_ms > 0)
		n_timeouts++;
	else if (r < 0)
		n_errors[(unsigned)error % ERRNOS]++;
	if (r == 0 && getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &length) == 0)
		seen_mark = mark;
	length = sizeof(seen_device);
	if (r == 0 && options.device)
		getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, seen_device, &length);
	if (r == 0 && options.is_kept) {
		fcntl(fd, F_SETFL, 0);
		while (recv(fd, byte, sizeof(byte), 0) > 0)
			;
	}
	close(fd);
}

static void *client(void *userdata)
{
	const struct peer *peer = userdata;
	int fds[PREPARED_MAX];

	for (int i = 0; i < options.prepare; i++)
		fds[i] = make_socket(peer);
	pthread_barrier_wait(&prepared);
	pthread_barrier_wait(&prepared);
	for (int i = 0; i < options.prepare; i++)
		connect_one(fds[i], peer);
	for (long i = 0; !options.count || i < options.count; i++) {
		connect_one(make_socket(peer), peer);
		if (options.pause_ms)
			usleep((useconds_t)options.pause_ms * 1000);
	}
	if (--running == 0)
		kill(getpid(), SIGTERM);
	return NULL;
}

static void report(void)
{
	const char *comma = "";

	printf("{\"connects\": %ld, \"timeouts\": %ld, \"errors\": {", n_connects, n_timeouts);
	for (int i = 0; i < ERRNOS; i++) {
		if (!n_errors[i])
			continue;
		printf("%s\"%s\": %ld", comma, strerrorname_np(i) ?: "?", n_errors[i]);
		comma = ", ";
	}
	printf("}, \"worst_ms\": %.3f, \"cpu_ns\": %ld, \"mark\": %d, \"device\": \"%s\"}\n", (double)worst_ns / 1e6,
	       (long)now_ns(CLOCK_PROCESS_CPUTIME_ID), seen_mark, seen_device);
	fflush(stdout);
	_exit(0);
}

static void run_clients(int argc, char **argv)
{
	int n = argc / 2 * options.concurrency;
	struct timespec limit = {.tv_sec = options.seconds ? options.seconds : 1000000};
	struct peer *peers = calloc((size_t)argc, sizeof(*peers));
	sigset_t signals;
	pthread_t thread;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	pthread_barrier_init(&prepared, NULL, (unsigned)n + 1);
	running = n;
	for (int i = 0; i < n; i++) {
		int at = i / options.concurrency;

		if (!peer_parse(&peers[at], argv[2 * at], atoi(argv[2 * at + 1])) ||
		    pthread_create(&thread, NULL, client, &peers[at]) != 0)
			fail(argv[2 * at]);
	}
	pthread_barrier_wait(&prepared);
	if (options.prepare) {
		printf("ready\n");
		fflush(stdout);
		getchar();
	}
	pthread_barrier_wait(&prepared);
	sigtimedwait(&signals, NULL, &limit);
	report();
}

static const struct option long_options[] = {
	{"how", 1, NULL, 'h'},	       {"mptcp", 0, NULL, 'm'},	  {"concurrency", 1, NULL, 'n'},
	{"count", 1, NULL, 'c'},       {"timeout", 1, NULL, 't'}, {"seconds", 1, NULL, 's'},
	{"pause", 1, NULL, 'p'},       {"keep", 0, NULL, 'k'},	  {"mark", 1, NULL, 'M'},
	{"bind-device", 1, NULL, 'd'}, {"prepare", 1, NULL, 'P'}, {},
};

static void set_option(int option)
{
	int *numbers[128] = {
		['n'] = &options.concurrency, ['t'] = &options.timeout_ms, ['s'] = &options.seconds,
		['p'] = &options.pause_ms,    ['M'] = &options.mark,	   ['P'] = &options.prepare,
	};
	const char **texts[128] = {['h'] = &options.how, ['d'] = &options.device};
	bool *flags[128] = {['m'] = &options.is_mptcp, ['k'] = &options.is_kept};

	if (option == 'c')
		options.count = atol(optarg);
	else if (numbers[option % 128])
		*numbers[option % 128] = atoi(optarg);
	else if (texts[option % 128])
		*texts[option % 128] = optarg;
	else if (flags[option % 128])
		*flags[option % 128] = true;
	else
		exit(2);
}

int main(int argc, char **argv)
{
	for (int option; (option = getopt_long(argc, argv, "", long_options, NULL)) >= 0;)
		set_option(option);
	for (size_t i = 0; i < sizeof(hows) / sizeof(*hows); i++)
		if (strcmp(hows[i].name, options.how) == 0)
			how = &hows[i];
	if (!how || optind == argc || (argc - optind) % 2 || options.prepare > PREPARED_MAX)
		return 2;
	run_clients(argc - optind, argv + optind);
}
