/* SPDX-License-Identifier: GPL-2.0-or-later */
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
		close_p(link);
		return 0;
	}
	/* Of a raw tracepoint by BTF: the program knows its own target. */
	fd = bpf_link_create(sense->fds[BPF_FD_PROG_WATCH], 0, BPF_TRACE_RAW_TP, NULL);
	if (fd < 0)
		return fd;
	*link = fd;
	return 0;
}

struct census {
	bpf_connect_socket_fn fn;
	void *userdata;
};

static void census_socket(const void *item, void *userdata)
{
	const struct census *census = userdata;

	census->fn(item, census->userdata);
}

int bpf_connect_sockets(struct bpf_sense *sense, bpf_connect_socket_fn fn, void *userdata)
{
	struct census census = {.fn = fn, .userdata = userdata};

	if (sense->connect.error)
		return -EBADF;
	return bpf_iter_each(sense->fds[BPF_FD_LINK_SOCKETS], sizeof(struct gov_census_socket), census_socket, &census);
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
