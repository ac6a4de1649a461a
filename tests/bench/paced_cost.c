/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the connect programs cost: paced_cost OBJECT MOUNT SLICE NETNS PEER_NETNS ADDRESS WORKLOAD ROUNDS. Every round
 * measures all conditions once, in an order of its own, by one and the same process, which goes from group to group. A
 * line for each round: a time in ns for each condition.
 */
#include "median.h"
#include "paced.h"

#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "base/macro.h"

#define BACKLOG 4096
#define WARM_CONNECTS 100
#define CONNECTS 300
#define CHUNK_BYTES (256 << 10)
#define BUFFER_BYTES (4 << 20)
#define WARM_CHUNKS 100
#define CHUNKS 300

/* In the order in which they are printed; the second is there to see how much the measurement itself says. */
static const struct condition {
	bool is_attached;
	enum paced_place place;
} conditions[] = {
	{false, PLACE_OUTSIDE}, {false, PLACE_OUTSIDE}, {true, PLACE_OUTSIDE},
	{true, PLACE_COUNTED},	{true, PLACE_PACED},
};

struct bench {
	struct sockaddr_in address;
	int listen_fd;
	bool is_bulk;
	char *chunk;
};

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void buffers_widen(const struct bench *bench, int fd)
{
	const int bytes = BUFFER_BYTES;

	if (bench->is_bulk && (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0 ||
			       setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0))
		err(1, "buffers");
}

static int connect_once(const struct bench *bench)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	buffers_widen(bench, fd);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&bench->address, sizeof(bench->address)) < 0)
		err(1, "connect");
	return fd;
}

static int accept_once(const struct bench *bench)
{
	int fd = accept(bench->listen_fd, NULL, NULL);

	if (fd < 0)
		err(1, "accept");
	return fd;
}

/* ---- workloads --------------------------------------------------------------------------------------------------- */

/* By a server of the same process: all that a connection costs is in it. */
static double bare_measure(const struct bench *bench)
{
	double times[CONNECTS];

	for (int i = -WARM_CONNECTS; i < CONNECTS; i++) {
		double begin = now_ns();
		int fd = connect_once(bench), peer = accept_once(bench);

		close(fd);
		close(peer);
		if (i >= 0)
			times[i] = now_ns() - begin;
	}
	return median(times, CONNECTS);
}

static double connect_measure(const struct bench *bench)
{
	double times[CONNECTS];

	for (int i = -WARM_CONNECTS; i < CONNECTS; i++) {
		double begin = now_ns();

		close(connect_once(bench));
		if (i >= 0)
			times[i] = now_ns() - begin;
	}
	return median(times, CONNECTS);
}

static void connect_serve(const struct bench *bench)
{
	for (;;) {
		_cleanup_close_ int fd = accept_once(bench);
		char byte;

		/* The client ends it first: connections that the server drops would open the breaker. */
		if (recv(fd, &byte, 1, 0) > 0)
			errx(1, "the client said something");
	}
}

/* Both ends of one connection in turn, in one process: no scheduler comes between, and buffers hold a chunk. */
static double bulk_measure(const struct bench *bench)
{
	_cleanup_close_ int fd = connect_once(bench), peer = accept_once(bench);
	double times[CHUNKS];

	for (int i = -WARM_CHUNKS; i < CHUNKS; i++) {
		double begin = now_ns();

		if (send(fd, bench->chunk, CHUNK_BYTES, MSG_NOSIGNAL) != CHUNK_BYTES ||
		    recv(peer, bench->chunk, CHUNK_BYTES, MSG_WAITALL) != CHUNK_BYTES)
			err(1, "bulk");
		if (i >= 0)
			times[i] = now_ns() - begin;
	}
	close(peer);
	return median(times, CHUNKS);
}

static const struct workload {
	const char *name;
	double (*measure)(const struct bench *bench);
	void (*serve)(const struct bench *bench); /* in another process; NULL: in the same */
} workloads[] = {
	{"bare", bare_measure, NULL},
	{"connect", connect_measure, connect_serve},
	{"bulk", bulk_measure, NULL},
};

static const struct workload *workload_find(const char *name)
{
	for (size_t i = 0; i < ELEMENTSOF(workloads); i++)
		if (streq(workloads[i].name, name))
			return &workloads[i];
	errx(2, "%s: no such workload", name);
}

/* ---- the frame --------------------------------------------------------------------------------------------------- */

static void enter(const char *netns)
{
	_cleanup_close_ int fd = open(netns, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		err(1, "%s", netns);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	/* There may be one only. */
	if (sched_setaffinity(0, sizeof(set), &set) < 0 && errno != EINVAL)
		err(1, "sched_setaffinity");
}

static void bench_listen(struct bench *bench, const char *address)
{
	socklen_t size = sizeof(bench->address);

	bench->address = (struct sockaddr_in){.sin_family = AF_INET};
	if (inet_pton(AF_INET, address, &bench->address.sin_addr) != 1)
		errx(2, "%s: not an address", address);
	bench->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	buffers_widen(bench, bench->listen_fd);
	if (bench->listen_fd < 0 || bind(bench->listen_fd, (struct sockaddr *)&bench->address, size) < 0 ||
	    getsockname(bench->listen_fd, (struct sockaddr *)&bench->address, &size) < 0 ||
	    listen(bench->listen_fd, BACKLOG) < 0)
		err(1, "listen");
}

static void server_start(const struct bench *bench, const struct workload *workload)
{
	pid_t pid;

	if (!workload->serve)
		return;
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (pid > 0) {
		close(bench->listen_fd);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	workload->serve(bench);
	_exit(0);
}

static void shuffle(size_t order[], size_t n)
{
	for (size_t i = n - 1; i > 0; i--) {
		size_t j = (size_t)rand() % (i + 1), kept = order[i];

		order[i] = order[j];
		order[j] = kept;
	}
}

static void measure_round(struct paced *paced, const struct bench *bench, const struct workload *workload)
{
	size_t order[ELEMENTSOF(conditions)];
	double result[ELEMENTSOF(conditions)];

	for (size_t i = 0; i < ELEMENTSOF(order); i++)
		order[i] = i;
	shuffle(order, ELEMENTSOF(order));
	for (size_t i = 0; i < ELEMENTSOF(order); i++) {
		const struct condition *condition = &conditions[order[i]];

		paced_attach(paced, condition->is_attached);
		paced_move(paced, condition->place);
		result[order[i]] = workload->measure(bench);
	}
	for (size_t i = 0; i < ELEMENTSOF(result); i++)
		printf("%.0f%c", result[i], i + 1 < ELEMENTSOF(result) ? ' ' : '\n');
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const struct workload *workload;
	struct bench bench = {};
	struct paced paced;

	if (argc != 9)
		return 2;
	workload = workload_find(argv[7]);
	bench.is_bulk = workload->measure == bulk_measure;
	bench.chunk = calloc(1, CHUNK_BYTES);
	if (!bench.chunk)
		err(1, "calloc");
	paced_open(&paced, argv[1], argv[2], argv[3]);
	enter(argv[5]);
	bench_listen(&bench, argv[6]);
	server_start(&bench, workload);
	enter(argv[4]);
	pin(0);
	for (long i = strtol(argv[8], NULL, 10); i > 0; i--)
		measure_round(&paced, &bench, workload);
	paced_attach(&paced, false);
	paced_move(&paced, PLACE_OUTSIDE);
	return 0;
}
