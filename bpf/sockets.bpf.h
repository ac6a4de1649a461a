/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_SOCKETS_BPF_H
#define GOV_SOCKETS_BPF_H

#include "connect_maps.bpf.h"

/* What both iterators of sockets ask. */

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

/* Of a listening socket its own address, else the peer's. address: zeros. */
static __always_inline __u16 socket_address(__u8 *address, struct sock *sk)
{
	if (sk->__sk_common.skc_state != TCP_LISTEN) {
		address_set_peer(address, sk);
		return __builtin_bswap16(sk->__sk_common.skc_dport);
	}
	if (sk->__sk_common.skc_family == AF_INET)
		address_set_v4(address, sk->__sk_common.skc_rcv_saddr);
	else
		bpf_core_read(address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
	return sk->__sk_common.skc_num;
}

#endif
