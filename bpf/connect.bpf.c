// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connects of agents, paced by deferral of their SYNs. Attached to the slice; all run by the group that the socket was
 * made in.
 *
 * connect() never fails for it, it takes longer: at BPF_SOCK_OPS_TCP_CONNECT_CB (the route is known) the connect gets
 * its time of departure; until then the egress program drops its SYN; at BPF_SOCK_OPS_TIMEOUT_INIT the wait becomes the
 * first timeout of the SYN, so that the kernel's own timer sends it again when the time has come.
 *
 * Not by binding the socket to a device that leads nowhere, which would need no program for each packet: the binding
 * must be undone from the timer, where sock_bindtoindex_locked() (net/core/sock.c) wants CAP_NET_RAW of whichever
 * task was interrupted.
 */
#include "activity.bpf.h"
#include "connect.bpf.h"

#include <bpf/bpf_endian.h>

/* uapi macros, which BTF doesn't carry. */
#define SOL_TCP 6
#define TCP_SYNCNT 7

/* A SYN is sent again no sooner than a second after the last: with a short wait as its timeout it would be before an
 * answer can be there. A little less, as timers come early. */
#define SYN_AGAIN_NS 950000000ULL

/*
 * Connections that needn't wait: a seat each, found by the socket's cookie, as to allocate and to free a storage costs
 * more than all else in a connect (0.7 of 1.3 us). Who finds its seat taken gets a storage, as those that wait. Pinned.
 */
#define SEATS 1024 /* a power of two */

struct connect_seat {
	__u64 cookie; /* 0: free */
	struct connect_sock sock;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEATS);
	__type(key, __u32);
	__type(value, struct connect_seat);
} gov_connect_seats SEC(".maps");

/* ---- a connect begins -------------------------------------------------------------------------------------------- */

static __always_inline void key_of_ops(struct gov_connect_key *key, struct bpf_sock_ops *ops)
{
	if (ops->family == AF_INET) {
		address_set_v4(key->address, ops->remote_ip4);
	} else {
		__u32 address[4] = {ops->remote_ip6[0], ops->remote_ip6[1], ops->remote_ip6[2], ops->remote_ip6[3]};

		__builtin_memcpy(key->address, address, sizeof(address));
	}
	key->port = bpf_ntohl(ops->remote_port);
}

static __always_inline __u64 owner_of_ops(struct bpf_sock_ops *ops, const struct gov_config *config)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tcp ? cgroup_agent_id(tcp->inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup, config) : 0;
}

static __always_inline void syn_set_retries(struct bpf_sock_ops *ops, __u64 wait_ns)
{
	int retries = 6; /* tcp_syn_retries' default */

	bpf_getsockopt(ops, SOL_TCP, TCP_SYNCNT, &retries, sizeof(retries));
	retries = gov_syn_retries(wait_ns, retries);
	bpf_setsockopt(ops, SOL_TCP, TCP_SYNCNT, &retries, sizeof(retries));
}

/* Those that wait have a storage, always: the egress program looks at nothing else. */
static __always_inline struct connect_sock *sock_of_ops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0) : NULL;
}

static __always_inline struct connect_seat *seat_of_cookie(__u64 cookie)
{
	__u32 index = cookie % SEATS;

	return bpf_map_lookup_elem(&gov_connect_seats, &index);
}

static __always_inline struct connect_sock *sock_make(struct bpf_sock_ops *ops, struct bpf_sock *sk, bool waits)
{
	/* A socket may connect more than once: it keeps its storage. */
	struct connect_sock *sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0);
	struct connect_seat *seat;
	__u64 cookie;

	if (sock)
		return sock;
	if (!waits) {
		cookie = bpf_get_socket_cookie(ops);
		seat = seat_of_cookie(cookie);
		if (seat && __sync_val_compare_and_swap(&seat->cookie, 0, cookie) == 0)
			return &seat->sock;
	}
	return bpf_sk_storage_get(&gov_connect_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void connect_begin(struct bpf_sock_ops *ops)
{
	const struct gov_config *config = config_get();
	const struct gov_connect_agent *agent;
	struct gov_connect_stats *stats;
	struct connect_turn turn = {};
	struct connect_sock *sock;
	struct bpf_sock *sk = ops->sk;
	__u64 wait_ns, now_ns;
	bool waits;

	turn.key.owner = config ? owner_of_ops(ops, config) : 0;
	agent = turn.key.owner ? bpf_map_lookup_elem(&gov_connect_agents, &turn.key.owner) : NULL;
	stats = agent ? bpf_map_lookup_elem(&gov_connect_stats, &agent->slot) : NULL;
	if (!stats || !sk)
		return;
	key_of_ops(&turn.key, ops);
	now_ns = turn.now_ns = bpf_ktime_get_ns();
	connect_enter(&turn, agent, stats);
	waits = (turn.flags & TURN_WAITS) && turn.depart_ns > now_ns;
	sock = sock_make(ops, sk, waits);
	if (!sock)
		return;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->key = turn.key;
	sock->depart_ns = turn.depart_ns;
	sock->left_ns = now_ns;
	bpf_sock_ops_cb_flags_set(ops, ops->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG |
					       (waits ? BPF_SOCK_OPS_RTO_CB_FLAG : 0));
	if (!waits)
		return;
	connect_count(&stats->delayed);
	wait_ns = turn.depart_ns - now_ns;
	sock->left_ns = 0;
	sock->slot = turn.slot;
	sock->shared_slot = turn.shared_slot;
	sock->ticks = gov_wheel_ticks(wait_ns, config->tick_ns);
	syn_set_retries(ops, wait_ns);
}

/* The kernel's timer has run out: the SYN leaves now. */
static __always_inline void connect_depart(struct connect_sock *sock)
{
	struct gov_connect_entry *entry;

	if (sock->left_ns)
		return;
	sock->left_ns = bpf_ktime_get_ns();
	entry = bpf_map_lookup_elem(&gov_connect_entries, &sock->key);
	if (!entry)
		return;
	bpf_spin_lock(&entry->lock);
	gov_breaker_leave(&entry->breaker);
	bpf_spin_unlock(&entry->lock);
}

static __always_inline int error_of_ops(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct tcp_sock *tcp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	return tcp ? tcp->inet_conn.icsk_inet.sk.sk_err : 0;
}

static __always_inline void connect_change(struct bpf_sock_ops *ops, int from, int to)
{
	struct connect_sock *sock = sock_of_ops(ops);
	struct connect_seat *seat;
	__u64 cookie;

	if (sock) {
		connect_state(sock, from, to, error_of_ops(ops));
		return;
	}
	cookie = bpf_get_socket_cookie(ops);
	seat = seat_of_cookie(cookie);
	if (!seat || seat->cookie != cookie)
		return;
	connect_state(&seat->sock, from, to, error_of_ops(ops));
	if (to != TCP_ESTABLISHED)
		seat->cookie = 0;
}

/* Many are over by the time that a census looks at sockets. */
static __always_inline void connect_accepted(struct bpf_sock_ops *ops)
{
	const struct gov_config *config = config_get();
	const struct gov_connect_agent *agent;
	struct gov_activity *sum;
	__u64 owner = config ? owner_of_ops(ops, config) : 0;

	agent = owner ? bpf_map_lookup_elem(&gov_connect_agents, &owner) : NULL;
	if (!agent || !(agent->flags & GOV_CONNECT_COUNT_ACCEPTS))
		return;
	sum = activity_of(owner);
	if (sum)
		__sync_fetch_and_add(&sum->accepts, 1);
}

SEC("sockops")
int connect_sockops(struct bpf_sock_ops *ops)
{
	struct connect_sock *sock;

	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		connect_begin(ops);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		connect_accepted(ops);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		/* Only what waits has asked for that callback. */
		if (!(ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_RTO_CB_FLAG))
			break;
		sock = sock_of_ops(ops);
		if (sock && sock->ticks)
			ops->reply = sock->ticks;
		break;
	case BPF_SOCK_OPS_RTO_CB:
		sock = sock_of_ops(ops);
		if (sock)
			connect_depart(sock);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (connect_is_news(ops->args[0]))
			connect_change(ops, ops->args[0], ops->args[1]);
		break;
	}
	return 1;
}

/* ---- its SYN ----------------------------------------------------------------------------------------------------- */

/* 1 lets a packet go. */
SEC("cgroup_skb/egress")
int connect_egress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct connect_sock *sock;
	__u64 now_ns;

	if (!sk || sk->state != BPF_TCP_SYN_SENT)
		return 1;
	sk = bpf_sk_fullsock(sk);
	sock = sk ? bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0) : NULL;
	if (!sock || !sock->ticks)
		return 1;
	now_ns = bpf_ktime_get_ns();
	/* Whatever may have become of the timer: nobody waits much longer than was said. */
	if (!sock->left_ns && now_ns < sock->depart_ns + SYN_AGAIN_NS)
		return 0;
	if (now_ns < sock->again_ns)
		return 0;
	sock->again_ns = now_ns + SYN_AGAIN_NS;
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
