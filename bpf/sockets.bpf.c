// SPDX-License-Identifier: GPL-2.0-only
/* The census of sockets: one struct gov_census_socket for each TCP socket of an agent's. */
#include "connect.bpf.h"

#define AF_INET 2

static __always_inline __u64 socket_owner(struct sock *sk, const struct gov_config *config)
{
	struct connect_sock *sock;
	__u64 owner = connect_owner(sk->sk_cgrp_data.cgroup, config);

	if (owner)
		return owner;
	/* An observed agent's, as far as it was seen to connect. */
	sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0);
	return sock && (sock->key.owner & GOV_OWNER_MARK) ? sock->key.owner : 0;
}

static __always_inline void socket_address(struct gov_census_socket *line, struct sock *sk)
{
	bool is_listening = sk->__sk_common.skc_state == TCP_LISTEN;
	__u32 address;

	if (sk->__sk_common.skc_family == AF_INET) {
		address = is_listening ? sk->__sk_common.skc_rcv_saddr : sk->__sk_common.skc_daddr;
		line->address[10] = 0xff;
		line->address[11] = 0xff;
		__builtin_memcpy(&line->address[12], &address, sizeof(address));
	} else if (is_listening) {
		BPF_CORE_READ_INTO(&line->address, sk, __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
	} else {
		BPF_CORE_READ_INTO(&line->address, sk, __sk_common.skc_v6_daddr.in6_u.u6_addr8);
	}
	line->port = is_listening ? sk->__sk_common.skc_num : __builtin_bswap16(sk->__sk_common.skc_dport);
}

SEC("iter/tcp")
int census_socket(struct bpf_iter__tcp *ctx)
{
	const struct gov_config *config = config_get();
	struct sock_common *common = ctx->sk_common;
	struct gov_census_socket line = {};
	struct tcp_sock *tcp;
	struct sock *sk;

	/* NULL for those that are no more than a reminder: TIME_WAIT, half-open requests. */
	tcp = common && config ? bpf_skc_to_tcp_sock(common) : NULL;
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	line.owner = socket_owner(sk, config);
	if (!line.owner)
		return 0;
	line.state = sk->__sk_common.skc_state;
	line.unread_bytes = line.state == TCP_LISTEN ? sk->sk_ack_backlog : tcp->rcv_nxt - tcp->copied_seq;
	socket_address(&line, sk);
	bpf_seq_write(ctx->meta->seq, &line, sizeof(line));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
