// SPDX-License-Identifier: GPL-2.0-or-later
/* What is only looked at: the sockets' census, the connects of those that nobody governs. And how keys are written. */
#include <arpa/inet.h>

#include <bpf/bpf.h>

#include "base/text.h"
#include "sense/bpf_private.h"
#include "sense/connect.h"

int bpf_connect_watch(struct bpf_sense *sense, bool is_wanted)
{
	int *link = &sense->connect.watch_link;
	int fd;

	if (sense->connect.error)
		return is_wanted ? -EBADF : 0;
	if (is_wanted == (*link >= 0))
		return 0;
	if (!is_wanted) {
		close(TAKE_FD(*link));
		return 0;
	}
	/* Of a raw tracepoint by BTF: the program knows its own target. */
	fd = bpf_link_create(sense->fds[BPF_FD_PROG_WATCH], 0, BPF_TRACE_RAW_TP, NULL);
	if (fd < 0)
		return fd;
	*link = fd;
	return 0;
}

int bpf_connect_sockets(struct bpf_sense *sense, bpf_connect_socket_fn fn, void *userdata)
{
	struct gov_census_socket sockets[64];
	_cleanup_close_ int fd = -EBADF;
	size_t have = 0;

	if (sense->connect.error)
		return -EBADF;
	fd = bpf_iter_create(sense->fds[BPF_FD_LINK_SOCKETS]);
	if (fd < 0)
		return fd;
	for (;;) {
		ssize_t n = read(fd, (char *)sockets + have, sizeof(sockets) - have);
		size_t whole;

		/* EAGAIN: a long stretch of sockets that aren't told (kernel/bpf/bpf_iter.c). */
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		have += (size_t)n;
		whole = have / sizeof(sockets[0]);
		for (size_t i = 0; i < whole; i++)
			fn(&sockets[i], userdata);
		have -= whole * sizeof(sockets[0]);
		memmove(sockets, &sockets[whole], have);
	}
}

static void format_address(struct text *text, const struct gov_connect_key *key)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char address[INET6_ADDRSTRLEN] = "";

	if (memcmp(key->address, mapped, sizeof(mapped)) == 0) {
		inet_ntop(AF_INET, key->address + sizeof(mapped), address, sizeof(address));
		text_addf(text, "%s:%u", address, key->port);
		return;
	}
	inet_ntop(AF_INET6, key->address, address, sizeof(address));
	text_addf(text, "[%s]:%u", address, key->port);
}

void bpf_connect_format(char *text, size_t size, const struct gov_connect_key *key)
{
	struct text to = {.bytes = text, .size = size};

	if (!size)
		return;
	text[0] = '\0';
	switch ((enum gov_connect_kind)key->kind) {
	case GOV_CONNECT_PORT:
		text_addf(&to, "port %u", key->port);
		break;
	case GOV_CONNECT_AGENT:
		text_add(&to, "agent");
		break;
	case GOV_CONNECT_OTHERS:
		text_add(&to, "others");
		break;
	case GOV_CONNECT_DESTINATION:
	default:
		format_address(&to, key);
	}
}
