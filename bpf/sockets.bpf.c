// SPDX-License-Identifier: GPL-2.0-only
/* The census of sockets: one struct gov_census_socket for each TCP socket of an agent's. */
#include "sockets.bpf.h"

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
	line.port = socket_address(line.address, sk);
	bpf_seq_write(ctx->meta->seq, &line, sizeof(line));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
