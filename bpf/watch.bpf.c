// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connects of those who are never touched: agents that are only observed (known by their lineage mark: they have no
 * group of their own) and, when govd.yaml says watch_strangers, everybody else. Counted as if they were paced. Attached
 * only while there is somebody to watch.
 */
#include "connect.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, GOV_CONNECT_STRANGERS_MAX);
	__type(key, struct gov_stranger_key);
	__type(value, struct gov_stranger);
} gov_connect_strangers SEC(".maps");

/* A connect of an observed agent: what would its policy have done? */
static __always_inline void watch_agent(struct connect_turn *turn, const struct gov_connect_agent *agent,
					struct sock *sk)
{
	struct gov_connect_stats *stats = bpf_map_lookup_elem(&gov_connect_stats, &agent->slot);
	struct connect_sock *sock;

	sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!stats || !sock)
		return;
	turn->now_ns = bpf_ktime_get_ns();
	connect_enter(turn, agent, stats);
	if ((turn->flags & TURN_EXCESS) && (agent->flags & GOV_CONNECT_REFUSE))
		connect_count(&stats->refused);
	else if (turn->flags & TURN_WAITS)
		connect_count(&stats->delayed);
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->key = turn->key;
	sock->left_ns = turn->now_ns;
}

static __always_inline struct gov_stranger *stranger_of(const struct gov_connect_key *key, __u32 pid, bool may_create)
{
	struct gov_stranger nothing = {}, *stranger;
	struct gov_stranger_key of = {.pid = pid, .port = key->port};

	__builtin_memcpy(of.address, key->address, sizeof(of.address));
	stranger = bpf_map_lookup_elem(&gov_connect_strangers, &of);
	if (stranger || !may_create)
		return stranger;
	bpf_map_update_elem(&gov_connect_strangers, &of, &nothing, BPF_NOEXIST);
	return bpf_map_lookup_elem(&gov_connect_strangers, &of);
}

/* Counted without a lock: what two threads make at the same time may be counted once. */
static __always_inline void watch_stranger(struct gov_connect_key *key, __u32 pid, struct sock *sk)
{
	struct gov_stranger *stranger = stranger_of(key, pid, true);
	struct connect_sock *sock;
	__u64 now_ns = bpf_ktime_get_ns();

	sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (sock) {
		__builtin_memset(sock, 0, sizeof(*sock));
		sock->key = *key;
		sock->pid = pid;
	}
	if (!stranger)
		return;
	stranger->attempts++;
	gov_burst_count(&stranger->burst, false, now_ns);
	if (!gov_burst_is_storm(&stranger->burst)) {
		if (stranger->burst.last_attempts < GOV_STORM_ATTEMPTS)
			stranger->storm_ns = 0;
		return;
	}
	if (stranger->storm_ns)
		return;
	stranger->storm_ns = now_ns;
	connect_tell(key, pid, GOV_REASON_STORM | GOV_REASON_STRANGER);
}

/* In the context of the process that connects. */
static __always_inline void watch_begin(struct sock *sk, const struct gov_config *config)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct gov_connect_agent *agent;
	struct connect_turn turn = {};
	struct gov_mark *mark;

	if (task_is_in_slice(task, config))
		return;
	address_set_peer(turn.key.address, sk);
	turn.key.port = __builtin_bswap16(sk->__sk_common.skc_dport);
	mark = mark_of(task);
	if (mark) {
		turn.key.owner = GOV_OWNER_MARK | mark->id;
		agent = bpf_map_lookup_elem(&gov_connect_agents, &turn.key.owner);
		if (agent) {
			watch_agent(&turn, agent, sk);
			return;
		}
		turn.key.owner = 0;
	}
	if (config->flags & GOV_CONFIG_WATCH_STRANGERS)
		watch_stranger(&turn.key, task->tgid, sk);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(watch_state, const struct sock *const_sk, int from, int to)
{
	struct sock *sk = (struct sock *)const_sk;
	const struct gov_config *config;
	struct gov_stranger *stranger;
	struct connect_sock *sock;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (from == TCP_CLOSE && to == TCP_SYN_SENT) {
		config = config_get();
		if (config)
			watch_begin(sk, config);
		return 0;
	}
	if (!connect_is_news(from))
		return 0;
	sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0);
	if (!sock)
		return 0;
	if (sock->key.owner & GOV_OWNER_MARK) {
		connect_state(sock, from, to, sk->sk_err);
	} else if (sock->pid && from == TCP_SYN_SENT && to == TCP_CLOSE) {
		stranger = stranger_of(&sock->key, sock->pid, false);
		if (stranger) {
			stranger->failed++;
			stranger->burst.failed++;
		}
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
