/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_TEST_PEER_H
#define GOV_TEST_PEER_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* What connects.c and accepts.c have in common. */

static inline uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

struct peer {
	struct sockaddr_storage address;
	socklen_t length;
};

static inline bool peer_parse(struct peer *peer, const char *address, int port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&peer->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&peer->address;

	memset(peer, 0, sizeof(*peer));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		peer->length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		peer->length = sizeof(*v6);
	}
	return peer->length != 0;
}

#endif
