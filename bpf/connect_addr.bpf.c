// SPDX-License-Identifier: GPL-2.0-only
/*
 * What connect.bpf.c can't do, before there is a route: connects beyond max_delay are refused, and flows of UDP are
 * counted and, where the policy says so, refused. Attached to the slice; run by the group that the socket was made in.
 */
#include "connect.bpf.h"

#include <bpf/bpf_endian.h>

/* uapi macros, which BTF doesn't carry. */
#define SOCK_STREAM_TYPE 1
#define SOCK_DGRAM_TYPE 2
#define EAGAIN 11
#define ECONNREFUSED 111
#define DNS_PORT 53

/* The last destinations of a UDP socket: more to one of them isn't a new flow. */
#define FLOWS 4

struct connect_flows {
	__u32 hashes[FLOWS];
	__u32 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct connect_flows);
} gov_connect_flows SEC(".maps");

/* Would a connect leave after latest_ns by this entry? Mostly the unlocked look tells: nobody leaves later than the
 * first free slot and the floor say. */
static __always_inline bool tcp_is_late(struct gov_connect_entry *entry, struct gov_pace_rate rate, __u64 now_ns,
					__u64 latest_ns)
{
	__u32 random;
	bool is_late;

	if (gov_pace_max(gov_pace_time(entry->pace.next_slot), entry->pace.floor_ns) <= latest_ns)
		return false;
	random = bpf_get_prandom_u32();
	bpf_spin_lock(&entry->lock);
	rate = gov_breaker_rate(&entry->breaker, &rate, random);
	is_late = gov_pace_peek(&entry->pace, &rate, now_ns).depart_ns > latest_ns;
	entry->refused += is_late;
	bpf_spin_unlock(&entry->lock);
	return is_late;
}

/* Would this connect have to wait longer than it may? Reserves nothing: the route isn't known. */
GLOBAL_FUNCTION int tcp_is_excess(struct gov_connect_key *of, const struct gov_connect_agent *agent)
{
	struct gov_connect_key key, shared;
	struct gov_connect_entry *entry;
	__u64 now_ns, latest_ns;

	if (!of || !agent)
		return 0;
	key = *of;
	now_ns = bpf_ktime_get_ns();
	latest_ns = gov_pace_add(now_ns, agent->max_delay_ns);
	if (connect_is_shared(agent)) {
		connect_shared_key(&shared, &key, agent);
		entry = bpf_map_lookup_elem(&gov_connect_entries, &shared);
		if (entry && tcp_is_late(entry, agent->rate, now_ns, latest_ns))
			return 1;
	}
	entry = bpf_map_lookup_elem(&gov_connect_entries, &key);
	return entry && tcp_is_late(entry, connect_own_rate(agent), now_ns, latest_ns);
}

/* Never 0, which is an empty place. */
static __always_inline __u32 flow_hash(const struct gov_connect_key *key)
{
	const __u32 *words = (const __u32 *)key->address;

	return (words[0] ^ words[1] * 31 ^ words[2] * 131 ^ words[3] * 1031 ^ (key->port + 1) * 65599) | 1;
}

static __always_inline bool flow_is_known(const struct connect_flows *flows, __u32 hash)
{
	for (int i = 0; i < FLOWS; i++)
		if (flows->hashes[i] == hash)
			return true;
	return false;
}

/* Returns false where the flow is refused. */
static __always_inline bool udp_begin(struct bpf_sock *sk, struct connect_turn *turn,
				      const struct gov_connect_agent *agent, struct gov_connect_stats *stats)
{
	bool may_refuse = (agent->flags & GOV_CONNECT_REFUSE_UDP) && turn->key.port != DNS_PORT;
	struct connect_flows *flows;
	__u32 hash = flow_hash(&turn->key);

	flows = bpf_sk_storage_get(&gov_connect_flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	/* getaddrinfo() connects to port 0 to learn of routes. */
	if (!turn->key.port || !flows || flow_is_known(flows, hash))
		return true;
	turn->key.is_udp = 1;
	turn->now_ns = bpf_ktime_get_ns();
	connect_enter(turn, agent, stats);
	if ((turn->flags & TURN_WAITS) && may_refuse) {
		connect_count(&stats->refused);
		return false;
	}
	flows->hashes[flows->next++ % FLOWS] = hash;
	return true;
}

/* turn->key: address and port are set. Returns 1, or 0 with the errno that the caller gets. */
static __always_inline int addr_begin(struct bpf_sock_addr *addr, struct connect_turn *turn)
{
	const struct gov_config *config = config_get();
	const struct gov_connect_agent *agent;
	struct gov_connect_stats *stats;
	struct bpf_sock *sk = addr->sk;

	if (!config || !config->slice_id || !sk)
		return 1;
	turn->key.owner = bpf_get_current_ancestor_cgroup_id(config->slice_level + 1);
	agent = turn->key.owner ? bpf_map_lookup_elem(&gov_connect_agents, &turn->key.owner) : NULL;
	stats = agent ? bpf_map_lookup_elem(&gov_connect_stats, &agent->slot) : NULL;
	if (!stats)
		return 1;
	if (addr->type == SOCK_DGRAM_TYPE) {
		if (udp_begin(sk, turn, agent, stats))
			return 1;
		bpf_set_retval(-EAGAIN);
		return 0;
	}
	if (addr->type != SOCK_STREAM_TYPE || !(agent->flags & GOV_CONNECT_REFUSE) || !tcp_is_excess(&turn->key, agent))
		return 1;
	connect_count(&stats->refused);
	bpf_set_retval(-ECONNREFUSED);
	return 0;
}

static __always_inline int addr_begin_v4(struct bpf_sock_addr *addr)
{
	struct connect_turn turn = {};

	address_set_v4(turn.key.address, addr->user_ip4);
	turn.key.port = bpf_ntohs(addr->user_port);
	return addr_begin(addr, &turn);
}

static __always_inline int addr_begin_v6(struct bpf_sock_addr *addr)
{
	__u32 address[4] = {addr->user_ip6[0], addr->user_ip6[1], addr->user_ip6[2], addr->user_ip6[3]};
	struct connect_turn turn = {};

	__builtin_memcpy(turn.key.address, address, sizeof(address));
	turn.key.port = bpf_ntohs(addr->user_port);
	return addr_begin(addr, &turn);
}

SEC("cgroup/connect4")
int connect_addr4(struct bpf_sock_addr *addr)
{
	return addr_begin_v4(addr);
}

SEC("cgroup/connect6")
int connect_addr6(struct bpf_sock_addr *addr)
{
	return addr_begin_v6(addr);
}

SEC("cgroup/sendmsg4")
int connect_send4(struct bpf_sock_addr *addr)
{
	return addr_begin_v4(addr);
}

SEC("cgroup/sendmsg6")
int connect_send6(struct bpf_sock_addr *addr)
{
	return addr_begin_v6(addr);
}

char LICENSE[] SEC("license") = "GPL";
