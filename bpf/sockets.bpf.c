// SPDX-License-Identifier: GPL-2.0-only
/* The census of sockets: one struct gov_census_socket for each TCP socket of an agent's. */
#include "connect_maps.bpf.h"

static __always_inline __u64 socket_owner(struct sock *sk, const struct gov_config *config)
{
	struct cgroup *cgrp = sk->sk_cgrp_data.cgroup;
	struct connect_sock *sock;

	if (cgroup_is_in_slice(cgrp, config))
		return cgroup_agent_id(cgrp, config);
	/* An observed agent's, as far as it was seen to connect. */
	sock = bpf_sk_storage_get(&gov_connect_socks, sk, NULL, 0);
	return sock && (sock->key.owner & GOV_OWNER_MARK) ? sock->key.owner : 0;
}

/* Of a listening socket its own address, else the peer's. */
static __always_inline void socket_address(struct gov_census_socket *line, struct sock *sk)
{
	if (sk->__sk_common.skc_state != TCP_LISTEN) {
		address_set_peer(line->address, sk);
		line->port = __builtin_bswap16(sk->__sk_common.skc_dport);
		return;
	}
	if (sk->__sk_common.skc_family == AF_INET)
		address_set_v4(line->address, sk->__sk_common.skc_rcv_saddr);
	else
		bpf_core_read(line->address, sizeof(line->address), &sk->__sk_common.skc_v6_rcv_saddr);
	line->port = sk->__sk_common.skc_num;
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
