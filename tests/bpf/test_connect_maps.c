/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "support.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

#include <bpf/bpf.h>

#include "sense/bpf_private.h"
#include "sense/connect.h"

/* Agents, counters, entries: what userspace does with the maps. Nothing is attached or pinned. */

#define SECOND NSEC_PER_SEC
#define NOW (1000 * SECOND)
#define IDLE (60 * SECOND)

static struct bpf_sense *sense;

static void open_sense(void)
{
	const struct bpf_sense_options options = {.ring_bytes = 65536};
	char words[512] = "";

	cr_assert_eq(geteuid(), 0, "these tests need root");
	cr_assert_eq(bpf_sense_new(&options, &sense, words, sizeof(words)), 0, "%s", words);
	cr_assert_eq(words[0], '\0', "%s", words);
}

static void close_sense(void)
{
	sense = bpf_sense_free(sense);
}

TestSuite(connect_maps, .init = open_sense, .fini = close_sense);

static const struct gov_connect_agent plain = {
	.slot = 77,
	.max_delay_ns = 30 * SECOND,
	.breaker = {.first_ns = SECOND,
		    .max_ns = 60 * SECOND,
		    .stable_ns = 30 * SECOND,
		    .failures = 5,
		    .factor_milli = 2000},
};

static uint32_t set(uint64_t owner)
{
	struct gov_connect_agent agent;

	cr_assert_eq(bpf_connect_set_agent(sense, owner, &plain), 0);
	cr_assert_eq(bpf_connect_get_agent(sense, owner, &agent), 0);
	return agent.slot;
}

static void set_stats(uint32_t slot, const struct gov_connect_stats *stats)
{
	cr_assert_eq(bpf_map_update_elem(sense->fds[BPF_FD_STATS], &slot, stats, BPF_ANY), 0);
}

static uint64_t destinations_of(uint64_t owner)
{
	struct gov_connect_stats stats;

	cr_assert_eq(bpf_connect_stats(sense, owner, &stats), 0);
	return stats.destinations;
}

static void sum_owners(uint64_t owner, void *userdata)
{
	*(uint64_t *)userdata += owner;
	/* While they are told. */
	cr_expect_eq(bpf_connect_drop_agent(sense, owner), 0);
}

Test(connect_maps, slots_are_kept_freed_and_used_again)
{
	const struct gov_connect_stats used = {.connects = 1, .abandoned = 2, .destinations = 3};
	struct gov_connect_stats stats;
	uint64_t sum = 0;

	cr_expect_eq(set(10), 0);
	cr_expect_eq(set(11), 1);
	cr_expect_eq(set(12), 2);
	cr_expect_eq(set(11), 1, "it stays");
	set_stats(1, &used);
	cr_assert_eq(bpf_connect_stats(sense, 11, &stats), 0);
	cr_expect_arr_eq(&stats, &used, sizeof(stats));
	cr_assert_eq(bpf_connect_drop_agent(sense, 11), 0);
	cr_expect_eq(bpf_connect_drop_agent(sense, 11), -ENOENT);
	cr_expect_eq(bpf_connect_stats(sense, 11, &stats), -ENOENT);
	cr_expect_eq(set(13), 1, "the lowest that is free");
	cr_assert_eq(bpf_connect_stats(sense, 13, &stats), 0);
	cr_expect_arr_eq(&stats, &(struct gov_connect_stats){}, sizeof(stats), "without what the last one has counted");
	cr_assert_eq(bpf_connect_owners(sense, sum_owners, &sum), 0);
	cr_expect_eq(sum, 10 + 12 + 13);
	cr_expect_eq(set(14), 0);
}

Test(connect_maps, there_is_an_end_to_slots)
{
	const struct gov_connect_stats marked = {.refused = 5};
	struct gov_connect_stats stats;

	for (uint64_t owner = 1; owner <= GOV_CONNECT_AGENTS_MAX; owner++)
		cr_assert_eq(set(owner), owner - 1);
	cr_expect_eq(bpf_connect_set_agent(sense, 9999, &plain), -ENOSPC);
	cr_expect_eq(bpf_connect_set_agent(sense, 4096, &plain), 0, "no new one");
	/* The last page of counters is the right one. */
	set_stats(GOV_CONNECT_AGENTS_MAX - 1, &marked);
	cr_assert_eq(bpf_connect_stats(sense, GOV_CONNECT_AGENTS_MAX, &stats), 0);
	cr_expect_eq(stats.refused, 5);
	cr_assert_eq(bpf_connect_drop_agent(sense, 2000), 0);
	cr_expect_eq(set(9999), 1999);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static struct gov_connect_key key_of(uint64_t owner, uint16_t port)
{
	struct gov_connect_key key = {.owner = owner, .port = port};

	return key;
}

static void put(const struct gov_connect_key *key, const struct gov_connect_entry *entry)
{
	cr_assert_eq(bpf_map_update_elem(sense->fds[BPF_FD_ENTRIES], key, entry, BPF_ANY), 0);
}

static void count(const struct gov_connect_key *key, const struct gov_connect_entry *entry, void *userdata)
{
	cr_expect_eq(entry->attempts, key->port, "the value is the key's");
	++*(size_t *)userdata;
}

static size_t entries_of(uint64_t owner)
{
	size_t n = 0;

	cr_assert_eq(bpf_connect_entries(sense, owner, count, &n), 0);
	return n;
}

Test(connect_maps, entries_are_told_each_once)
{
	struct gov_connect_entry entry;
	struct gov_connect_key key;

	cr_expect_eq(entries_of(0), 0);
	/* Many enough for batches, and for some buckets with several. */
	for (uint16_t port = 1; port <= 5000; port++) {
		key = key_of(port % 2 ? 21 : 20, port);
		put(&key, &(struct gov_connect_entry){.attempts = port});
	}
	cr_expect_eq(entries_of(0), 5000);
	cr_expect_eq(entries_of(20), 2500);
	cr_expect_eq(entries_of(22), 0);
	key = key_of(20, 1234);
	cr_assert_eq(bpf_connect_entry(sense, &key, &entry), 0);
	cr_expect_eq(entry.attempts, 1234);
	key.is_udp = 1;
	cr_expect_eq(bpf_connect_entry(sense, &key, &entry), -ENOENT);
}

Test(connect_maps, dropping_an_agent_forgets_its_entries_only)
{
	struct gov_connect_key key;

	set(20);
	set(21);
	for (uint16_t port = 1; port <= 300; port++) {
		key = key_of(port % 2 ? 21 : 20, port);
		put(&key, &(struct gov_connect_entry){.attempts = port, .open = 1});
	}
	cr_assert_eq(bpf_connect_drop_agent(sense, 20), 0);
	cr_expect_eq(entries_of(20), 0);
	cr_expect_eq(entries_of(21), 150);
}

/* One each that must stay, for its own reason. */
static const struct gov_connect_entry busy[] = {
	{.open = 1},
	{.pace = {.next_slot = GOV_PACE_ORIGIN + NOW + 1}},
	{.last_ns = NOW - IDLE + 1},
	{.breaker = {.interval_ns = SECOND}, .last_ns = NOW - 599 * SECOND},
	{.breaker = {.interval_ns = SECOND, .alive_ns = NOW - 29 * SECOND, .is_probing = 1},
	 .last_ns = NOW - 599 * SECOND},
};

static const struct gov_connect_entry idle[] = {
	{},
	{.pace = {.next_slot = GOV_PACE_ORIGIN + NOW}, .last_ns = NOW - IDLE, .storm_ns = 1},
	{.breaker = {.interval_ns = SECOND}, .last_ns = NOW - 600 * SECOND},
	/* Closed, which the kernel would notice at the next connect. */
	{.breaker = {.interval_ns = SECOND, .alive_ns = NOW - 30 * SECOND, .is_probing = 1}},
};

Test(connect_maps, sweep_removes_only_what_is_at_rest)
{
	uint32_t slot = set(30);
	struct gov_connect_key key;
	uint16_t port = 1;

	set_stats(slot, &(struct gov_connect_stats){.destinations = ELEMENTSOF(busy) + ELEMENTSOF(idle)});
	for (size_t i = 0; i < ELEMENTSOF(busy) + ELEMENTSOF(idle); i++, port++) {
		struct gov_connect_entry entry = i < ELEMENTSOF(busy) ? busy[i] : idle[i - ELEMENTSOF(busy)];

		entry.attempts = port;
		key = key_of(30, port);
		put(&key, &entry);
	}
	/* Not one of its destinations. */
	key = key_of(30, port);
	key.kind = GOV_CONNECT_OTHERS;
	put(&key, &(struct gov_connect_entry){.attempts = port});
	cr_expect_eq(bpf_connect_sweep(sense, NOW, IDLE), ELEMENTSOF(idle) + 1);
	for (port = 1; port <= ELEMENTSOF(busy); port++) {
		struct gov_connect_entry entry;

		key = key_of(30, port);
		cr_expect_eq(bpf_connect_entry(sense, &key, &entry), 0, "busy %u", port - 1);
	}
	cr_expect_eq(entries_of(30), ELEMENTSOF(busy));
	cr_expect_eq(destinations_of(30), ELEMENTSOF(busy));
	cr_expect_eq(bpf_connect_sweep(sense, NOW, IDLE), 0);
}

Test(connect_maps, sweep_takes_what_nobody_owns)
{
	struct gov_connect_key key = key_of(40, 1);

	put(&key, &busy[3]);
	cr_expect_eq(bpf_connect_sweep(sense, NOW, IDLE), 1, "no agent, no breaker");
	/* More entries than were counted: never below 0. */
	set(41);
	key = key_of(41, 1);
	put(&key, &(struct gov_connect_entry){});
	cr_expect_eq(bpf_connect_sweep(sense, NOW, IDLE), 1);
	cr_expect_eq(destinations_of(41), 0);
}

/* ---- sockets, strangers, words ----------------------------------------------------------------------------------- */

static int listen_at(struct sockaddr_in *ret_address)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 8) == 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_address = address;
	return fd;
}

static void connect_to(const struct sockaddr_in *address)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
}

Test(connect_maps, strangers_are_watched_only_when_it_is_wanted)
{
	const struct gov_config config = {.flags = GOV_CONFIG_WATCH_STRANGERS};
	struct gov_stranger_key key = {.pid = (uint32_t)getpid(), .address = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
	struct gov_stranger stranger;
	struct sockaddr_in address;
	_cleanup_close_ int listener = listen_at(&address);

	key.port = ntohs(address.sin_port);
	cr_assert_eq(bpf_sense_set_config(sense, &config), 0);
	connect_to(&address);
	cr_expect_eq(bpf_connect_stranger(sense, &key, &stranger), -ENOENT);
	cr_assert_eq(bpf_connect_watch(sense, true), 0);
	cr_assert_eq(bpf_connect_watch(sense, true), 0);
	connect_to(&address);
	connect_to(&address);
	cr_assert_eq(bpf_connect_stranger(sense, &key, &stranger), 0);
	cr_expect_eq(stranger.attempts, 2);
	cr_assert_eq(bpf_connect_watch(sense, false), 0);
	connect_to(&address);
	cr_assert_eq(bpf_connect_stranger(sense, &key, &stranger), 0);
	cr_expect_eq(stranger.attempts, 2);
	cr_expect_geq(listener, 0);
}

Test(connect_maps, a_key_in_words)
{
	static const struct {
		struct gov_connect_key key;
		const char *text;
	} cases[] = {
		{{.address = {[10] = 0xff, 0xff, 192, 0, 2, 1}, .port = 443}, "192.0.2.1:443"},
		{{.address = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}, .port = 65535}, "[2001:db8::1]:65535"},
		{{.address = {[15] = 1}, .port = 80}, "[::1]:80"},
		{{.kind = GOV_CONNECT_PORT, .port = 443}, "port 443"},
		{{.kind = GOV_CONNECT_AGENT}, "agent"},
		{{.kind = GOV_CONNECT_OTHERS}, "others"},
	};
	char text[64];

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		bpf_connect_format(text, sizeof(text), &cases[i].key);
		cr_expect_str_eq(text, cases[i].text);
	}
	bpf_connect_format(text, 5, &cases[0].key);
	cr_expect_str_eq(text, "192.");
}
