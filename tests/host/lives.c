/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * An agent that does one thing, again and again: lives KIND MS [WORDS]
 *   rest            nothing
 *   cpu BUSY        computes for BUSY ms of each MS
 *   io BYTES        writes that many bytes to /dev/null
 *   trickle         reads a byte that a child of its own wrote into a pipe
 *   net PORT BYTES  sends that many bytes to a server at 127.0.0.1 by send(2), which isn't counted as io
 *   connect PORT    connects there, and closes again
 *   spawn           has a child that ends at once
 *   type            reads a line from its terminal, whenever one comes
 *   serve PORT      listens, tells `ready`, and accepts; doesn't any more after SIGUSR1
 */

static volatile sig_atomic_t hangs;

static void hang(int number)
{
	(void)number;
	hangs = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void wait_ms(long ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&left, NULL);
}

static struct sockaddr_in local_port(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return address;
}

static int connected(const char *port)
{
	struct sockaddr_in address = local_port(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("connect");
	return fd;
}

static void compute(long ms)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
}

static void live_cpu(long ms, char **words)
{
	for (;; wait_ms(ms))
		compute(atol(words[0]));
}

static void live_io(long ms, char **words)
{
	static char bytes[1 << 20];
	FILE *null = fopen("/dev/null", "we");

	if (!null)
		fail("/dev/null");
	setbuf(null, NULL);
	for (;; wait_ms(ms))
		(void)!fwrite(bytes, 1, (size_t)atol(words[0]), null);
}

static void live_rest(long ms, char **words)
{
	(void)words;
	for (;;)
		wait_ms(ms);
}

static void live_trickle(long ms, char **words)
{
	int ends[2];
	char byte;

	(void)words;
	if (pipe(ends) < 0)
		fail("pipe");
	if (fork() == 0) {
		close(ends[0]);
		while (wait_ms(ms), write(ends[1], "x", 1) == 1)
			;
		exit(0);
	}
	close(ends[1]);
	while (read(ends[0], &byte, 1) == 1)
		;
}

static void live_net(long ms, char **words)
{
	static char bytes[1 << 16];
	int fd = connected(words[0]);

	while (send(fd, bytes, (size_t)atol(words[1]), MSG_NOSIGNAL) > 0)
		wait_ms(ms);
}

static void live_connect(long ms, char **words)
{
	for (;; wait_ms(ms))
		close(connected(words[0]));
}

static void live_spawn(long ms, char **words)
{
	(void)words;
	for (;; wait_ms(ms)) {
		pid_t pid = fork();

		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
}

static void live_type(long ms, char **words)
{
	char line[256];

	(void)ms;
	(void)words;
	while (read(STDIN_FILENO, line, sizeof(line)) > 0)
		;
}

static void live_serve(long ms, char **words)
{
	struct sockaddr_in address = local_port(words[0]);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sigaction action = {.sa_handler = hang};

	sigaction(SIGUSR1, &action, NULL);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0)
		fail("listen");
	puts("ready");
	fflush(stdout);
	while (!hangs) {
		int peer = accept(fd, NULL, NULL);

		if (peer >= 0)
			close(peer);
	}
	live_rest(ms, words);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*live)(long ms, char **words);
		int words;
	} kinds[] = {
		{"rest", live_rest, 0},	      {"cpu", live_cpu, 1},   {"io", live_io, 1},
		{"trickle", live_trickle, 0}, {"net", live_net, 2},   {"connect", live_connect, 1},
		{"spawn", live_spawn, 0},     {"type", live_type, 0}, {"serve", live_serve, 1},
	};

	for (size_t i = 0; argc > 2 && i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strcmp(argv[1], kinds[i].name) == 0 && argc == 3 + kinds[i].words) {
			kinds[i].live(atol(argv[2]), &argv[3]);
			return 0;
		}
	fputs("usage: lives KIND MS [WORDS]\n", stderr);
	return 2;
}
