/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "sense/activity.h"

/* The census of what agents do, on the real kernel: a child in a group of the test's own does one thing after another.
 */

struct play {
	struct bench bench;
	struct slice slice;
	uint64_t owner; /* the agent's group */
	struct gov_activity last, now;
	bool is_found;
};

static void play_open(struct play *play)
{
	struct stat st;

	bench_open(&play->bench, 0);
	slice_make(&play->slice);
	cr_assert_eq(bpf_sense_set_config(play->bench.sense, &play->slice.config), 0);
	cr_assert_eq(stat(play->slice.agent, &st), 0);
	play->owner = st.st_ino;
}

static void play_close(struct play *play)
{
	slice_remove(&play->slice);
	bench_close(&play->bench);
}

static void note(uint64_t owner, const struct gov_activity *activity, void *userdata)
{
	struct play *play = userdata;

	if (owner != play->owner)
		return;
	cr_expect_not(play->is_found, "each once");
	play->now = *activity;
	play->is_found = true;
}

static void look(struct play *play)
{
	play->last = play->now;
	play->is_found = false;
	cr_assert_eq(bpf_activity_census(play->bench.sense, note, play), 0);
}

/* A child in the agent's group that does each thing that is asked for by a byte, and says when it has. */
struct doer {
	pid_t pid;
	int fd;
};

typedef void (*thing)(void);

static void doer_open(struct doer *doer, const struct play *play, const thing *things)
{
	int ends[2];
	char which;

	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	doer->pid = fork();
	cr_assert_geq(doer->pid, 0);
	if (doer->pid == 0) {
		close(ends[0]);
		while (recv(ends[1], &which, 1, 0) == 1) {
			things[(unsigned)which]();
			(void)!send(ends[1], &which, 1, 0);
		}
		_exit(0);
	}
	close(ends[1]);
	doer->fd = ends[0];
	slice_move(doer->pid, play->slice.agent);
}

static void doer_do(struct doer *doer, unsigned which)
{
	char byte = (char)which;

	cr_assert_eq(send(doer->fd, &byte, 1, 0), 1);
	cr_assert_eq(recv(doer->fd, &byte, 1, 0), 1);
}

static void doer_close(struct doer *doer)
{
	close(doer->fd);
	wait_for(doer->pid);
}

static void do_compute(void)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000LL + (now.tv_nsec - begin.tv_nsec) < 50000000);
}

static void do_write(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	char bytes[4096] = {};

	for (unsigned i = 0; i < 25; i++)
		(void)!write(fd, bytes, sizeof(bytes));
	close(fd);
}

/* By a child that has ended, and was waited for. */
static void do_compute_by_child(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		do_compute();
		do_write();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static pid_t lasting;

static void do_spawn(void)
{
	lasting = fork();
	if (lasting == 0)
		for (;;)
			pause();
}

static void do_reap(void)
{
	kill(lasting, SIGKILL);
	waitpid(lasting, NULL, 0);
}

static void do_traced_child(void)
{
	lasting = fork();
	if (lasting == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		for (;;)
			pause();
	}
	usleep(100000);
}

static const thing deeds[] = {do_compute, do_write, do_compute_by_child, do_spawn, do_reap, do_traced_child};
enum { COMPUTE, WRITE, BY_CHILD, SPAWN, REAP, TRACED };

#define CPU_NS 50000000U
#define CHARS (25U * 4096)

Test(activity, each_counter_grows_by_what_was_done)
{
	struct play play = {};
	struct doer doer;

	play_open(&play);
	look(&play);
	cr_expect_not(play.is_found, "nobody is in the group");
	doer_open(&doer, &play, deeds);
	look(&play);
	cr_assert(play.is_found);
	look(&play);
	cr_expect_leq(play.now.cpu_ns - play.last.cpu_ns, CPU_NS / 10);
	cr_expect_eq(play.now.chars, play.last.chars);
	cr_expect_eq(play.now.spawns, 0);
	cr_expect_eq(play.now.flags, 0);
	cr_expect_eq(play.now.tty, 0);
	doer_do(&doer, COMPUTE);
	look(&play);
	cr_expect_geq(play.now.cpu_ns - play.last.cpu_ns, CPU_NS * 9 / 10);
	cr_expect_leq(play.now.cpu_ns - play.last.cpu_ns, CPU_NS * 2);
	doer_do(&doer, WRITE);
	look(&play);
	cr_expect_eq(play.now.chars - play.last.chars, CHARS);
	cr_expect_eq(play.now.child_faults, play.last.child_faults);
	doer_do(&doer, BY_CHILD);
	look(&play);
	cr_expect_geq(play.now.cpu_ns - play.last.cpu_ns, CPU_NS * 9 / 10);
	cr_expect_eq(play.now.chars - play.last.chars, CHARS);
	cr_expect_gt(play.now.child_faults, play.last.child_faults);
	doer_do(&doer, SPAWN);
	look(&play);
	cr_expect_eq(play.now.spawns, 1);
	look(&play);
	cr_expect_eq(play.now.spawns, 0);
	doer_do(&doer, REAP);
	doer_do(&doer, TRACED);
	look(&play);
	cr_expect_eq(play.now.flags, GOV_ACTIVITY_TRACED);
	doer_do(&doer, REAP);
	kill(doer.pid, SIGSTOP);
	cr_assert_eq(waitpid(doer.pid, NULL, WUNTRACED), doer.pid);
	look(&play);
	cr_expect_eq(play.now.flags, GOV_ACTIVITY_STOPPED);
	kill(doer.pid, SIGCONT);
	doer_close(&doer);
	play_close(&play);
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

static uint16_t server_port;
static int server, accepted = -1, client = -1;

static void do_listen(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server_port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(server, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(server, 16) < 0)
		_exit(1);
}

static void do_accept(void)
{
	accepted = accept(server, NULL, NULL);
}

static void do_receive(void)
{
	char bytes[4096];

	(void)!recv(accepted, bytes, sizeof(bytes), 0);
}

static const thing server_deeds[] = {do_listen, do_accept, do_receive};
enum { LISTEN, ACCEPT, RECEIVE };

/* The test itself is the client, outside of the slice. */
static void connect_to_server(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server_port)};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(connect(client, (struct sockaddr *)&address, sizeof(address)), 0, "%s", strerror(errno));
}

static uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
	close(fd);
	return ntohs(address.sin_port);
}

static void say(const char *what, size_t n)
{
	cr_assert_eq(send(client, what, n, 0), (ssize_t)n);
	usleep(50000); /* loopback: long there */
}

Test(activity, what_waits_in_sockets_is_told_with_how_long)
{
	static const uint8_t local[16] = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1};
	struct play play = {};
	struct doer doer;
	uint64_t since_ns;

	play_open(&play);
	server_port = free_port();
	doer_open(&doer, &play, server_deeds);
	doer_do(&doer, LISTEN);
	look(&play);
	cr_assert(play.is_found);
	cr_expect_eq(play.now.wait_ns, 0);
	connect_to_server();
	look(&play);
	since_ns = play.now.wait_ns;
	cr_expect_neq(since_ns, 0);
	cr_expect_eq(play.now.unread, 1);
	cr_expect_eq(play.now.flags, GOV_ACTIVITY_LISTENING);
	cr_expect_eq(play.now.port, server_port);
	cr_expect_eq(memcmp(play.now.address, local, sizeof(local)), 0);
	look(&play);
	cr_expect_eq(play.now.wait_ns, since_ns, "it waits since then");
	doer_do(&doer, ACCEPT);
	look(&play);
	cr_expect_eq(play.now.wait_ns, 0);

	say("hello", 5);
	look(&play);
	since_ns = play.now.wait_ns;
	cr_expect_neq(since_ns, 0);
	cr_expect_eq(play.now.unread, 5);
	cr_expect_eq(play.now.net_bytes, 5);
	cr_expect_eq(play.now.flags, 0);
	cr_expect_neq(play.now.port, server_port, "the peer's");
	say("world!", 6);
	look(&play);
	cr_expect_eq(play.now.wait_ns, since_ns);
	cr_expect_eq(play.now.unread, 11);
	cr_expect_eq(play.now.net_bytes, 6);
	doer_do(&doer, RECEIVE);
	look(&play);
	cr_expect_eq(play.now.wait_ns, 0);
	cr_expect_eq(play.now.net_bytes, 0);
	/* The last words of a peer that has gone are nobody's business. */
	say("bye", 3);
	close(client);
	usleep(50000);
	look(&play);
	cr_expect_eq(play.now.wait_ns, 0);
	doer_close(&doer);
	play_close(&play);
}

/* ---- cost -------------------------------------------------------------------------------------------------------- */

#define COST_MAX_NS 20000 /* an agent */
#define ROUNDS 20

static void count_owner(uint64_t owner _unused_, const struct gov_activity *activity _unused_, void *userdata)
{
	++*(size_t *)userdata;
}

static uint64_t cpu_time_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

static uint64_t census_ns(struct bench *bench, size_t expected)
{
	uint64_t best_ns = UINT64_MAX;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t begin_ns = cpu_time_ns();
		size_t n = 0;

		cr_assert_eq(bpf_activity_census(bench->sense, count_owner, &n), 0);
		best_ns = MIN2(best_ns, cpu_time_ns() - begin_ns);
		cr_expect_eq(n, expected);
	}
	return best_ns;
}

/* A process in a group of its own for each. */
static void agents_begin(const struct slice *slice, pid_t *pids, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		char group[PATH_MAX + 32];

		snprintf(group, sizeof(group), "%s/cost%zu", slice->path, i);
		cr_assert_eq(mkdir(group, 0755), 0);
		pids[i] = fork();
		cr_assert_geq(pids[i], 0);
		if (pids[i] == 0)
			for (;;)
				pause();
		slice_move(pids[i], group);
	}
}

static void agents_end(const struct slice *slice, const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	for (size_t i = 0; i < n; i++) {
		char group[PATH_MAX + 32];

		wait_for(pids[i]);
		snprintf(group, sizeof(group), "%s/cost%zu", slice->path, i);
		cr_expect_eq(rmdir(group), 0);
	}
}

Test(activity, a_census_costs_little_and_grows_with_the_agents, .timeout = 120)
{
	static const size_t sizes[] = {0, 10, 100, 1000};
	static pid_t pids[1000];
	uint64_t base_ns = 0;
	struct play play = {};

	play_open(&play);
	for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
		uint64_t ns;

		agents_begin(&play.slice, pids, i ? sizes[i - 1] : 0, sizes[i]);
		ns = census_ns(&play.bench, sizes[i]);
		if (!i)
			base_ns = ns;
		printf("census of %zu agents: %.1f us, of which the host's own %.1f us\n", sizes[i], (double)ns / 1e3,
		       (double)base_ns / 1e3);
		if (sizes[i])
			cr_expect_leq((ns - MIN2(base_ns, ns)) / sizes[i], COST_MAX_NS);
	}
	agents_end(&play.slice, pids, 1000);
	play_close(&play);
}
