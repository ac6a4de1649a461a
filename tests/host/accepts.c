/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "peer.h"

/*
 * Accepts TCP connections: accepts close|keep|reset PORT N ADDRESS...
 * At N ports from PORT on (0: any), each at all addresses. Prints the ports, one a line, and `ready`; then
 * `PORT TIME` (CLOCK_MONOTONIC, ns) for each connection.
 */

enum after { AFTER_CLOSE = 'c', AFTER_KEEP = 'k', AFTER_RESET = 'r' };

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int listen_at(int epoll, const char *address, int port)
{
	struct epoll_event event = {.events = EPOLLIN};
	int fd, one = 1, cookies = 16;
	struct peer peer;
	socklen_t length = sizeof(peer.address);

	if (!peer_parse(&peer, address, port))
		fail(address);
	fd = socket(peer.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (peer.address.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &cookies, sizeof(cookies));
	if (bind(fd, (struct sockaddr *)&peer.address, peer.length) < 0 || listen(fd, 4096) < 0)
		fail(address);
	getsockname(fd, (struct sockaddr *)&peer.address, &length);
	/* The same place in both families' addresses. */
	port = ntohs(((struct sockaddr_in *)&peer.address)->sin_port);
	event.data.u64 = (uint64_t)port << 32 | (uint32_t)fd;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
	return port;
}

static void accept_one(int epoll, int listening, unsigned port, enum after after)
{
	struct linger linger = {.l_onoff = 1};
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	/* Port 0: one that is kept. */
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint32_t)fd};

	if (fd < 0)
		return;
	printf("%u %llu\n", port, (unsigned long long)now_ns(CLOCK_MONOTONIC));
	if (after == AFTER_KEEP) {
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
		return;
	}
	if (after == AFTER_RESET)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void serve(int epoll, enum after after)
{
	struct epoll_event events[64];
	char bytes[64];

	for (;;) {
		int n = epoll_wait(epoll, events, 64, -1);

		for (int i = 0; i < n; i++) {
			unsigned port = (unsigned)(events[i].data.u64 >> 32);
			int fd = (int)(uint32_t)events[i].data.u64;

			if (port)
				accept_one(epoll, fd, port, after);
			else if (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
				close(fd);
		}
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), first = argc > 2 ? atoi(argv[2]) : 0;

	if (argc < 5 || epoll < 0)
		return 2;
	for (int i = 0; i < atoi(argv[3]); i++) {
		int port = first ? first + i : 0;

		for (int j = 4; j < argc; j++)
			port = listen_at(epoll, argv[j], port);
		printf("%d\n", port);
	}
	printf("ready\n");
	fflush(stdout);
	serve(epoll, (enum after)argv[1][0]);
}
