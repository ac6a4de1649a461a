// SPDX-License-Identifier: GPL-2.0-only
/* The census of what agents do: include/gov/activity.h. First the iterator of tasks runs, then that of sockets. */
#include "activity.bpf.h"
#include "sockets.bpf.h"

#define SIGNAL_STOP_STOPPED 0x1 /* include/linux/sched/signal.h */
#define MINOR_LOW_MASK 0xffU	/* new_encode_dev(), include/linux/kdev_t.h */

/* Kernels without CONFIG_TASK_XACCT have no such fields. */
struct task_io_accounting___xacct {
	__u64 rchar, wchar;
} __attribute__((preserve_access_index));

/* A socket at the census before. */
struct activity_sock {
	__u64 bytes;
	__u64 wait_ns; /* since when nothing of its input was read, while there was some; 0: there is none */
	__u32 copied;  /* how far it was read then */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct activity_sock);
} gov_activity_socks SEC(".maps");

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

static __always_inline __u64 task_owner(struct task_struct *task, const struct gov_config *config)
{
	__u64 agent = task_agent_id(task, config);
	struct gov_mark *mark;

	if (agent)
		return agent;
	mark = mark_of(task);
	return mark ? GOV_OWNER_MARK | mark->id : 0;
}

static __always_inline __u64 chars_of(struct task_io_accounting *io)
{
	struct task_io_accounting___xacct *counted = (void *)io;

	if (!bpf_core_field_exists(counted->rchar))
		return 0;
	return BPF_CORE_READ(counted, rchar) + BPF_CORE_READ(counted, wchar);
}

/* The terminal that sends what is typed to this process. */
static __always_inline __u32 foreground_tty(struct signal_struct *signal)
{
	struct tty_struct *tty = signal->tty;
	__u32 minor;

	if (!tty || tty->ctrl.pgrp != signal->pids[PIDTYPE_PGID])
		return 0;
	minor = tty->driver->minor_start + tty->index;
	return (minor & MINOR_LOW_MASK) | (__u32)tty->driver->major << 8 | (minor & ~MINOR_LOW_MASK) << 12;
}

static __always_inline void add_process(struct gov_activity *sum, struct task_struct *leader,
					const struct gov_config *config)
{
	struct signal_struct *signal = leader->signal;
	__u32 tty = foreground_tty(signal);

	sum->cpu_ns += signal->sum_sched_runtime + signal->cutime + signal->cstime;
	sum->chars += chars_of(&signal->ioac);
	sum->child_faults += signal->cmin_flt;
	sum->spawns += leader->start_boottime > config->born_after_ns;
	if (signal->flags & SIGNAL_STOP_STOPPED)
		sum->flags |= GOV_ACTIVITY_STOPPED;
	if (tty)
		sum->tty = tty;
}

SEC("iter/task")
int activity_task(struct bpf_iter__task *ctx)
{
	const struct gov_config *config = config_get();
	struct task_struct *task = ctx->task;
	struct gov_activity *sum;
	__u64 owner;

	if (!task || !config)
		return 0;
	owner = task_owner(task, config);
	sum = owner ? activity_of(owner) : NULL;
	if (!sum)
		return 0;
	sum->cpu_ns += task->se.sum_exec_runtime;
	sum->chars += chars_of(&task->ioac);
	if (task->ptrace)
		sum->flags |= GOV_ACTIVITY_TRACED;
	if (task->pid == task->tgid)
		add_process(sum, task, config);
	return 0;
}

/* ---- sockets ----------------------------------------------------------------------------------------------------- */

/*
 * Input that somebody may be waiting to see read. Not of a connection that the peer has closed: clients keep those,
 * with the peer's last words unread, until they want to use them again.
 */
static __always_inline __u32 unread_of(struct sock *sk, struct tcp_sock *tcp)
{
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		return sk->sk_ack_backlog;
	return sk->__sk_common.skc_state == TCP_ESTABLISHED ? tcp->rcv_nxt - tcp->copied_seq : 0;
}

static __always_inline void note_wait(struct activity_sock *seen, __u32 unread, __u32 copied)
{
	if (!unread)
		seen->wait_ns = 0;
	else if (!seen->wait_ns || seen->copied != copied)
		seen->wait_ns = bpf_ktime_get_ns();
	seen->copied = copied;
}

SEC("iter/tcp")
int activity_socket(struct bpf_iter__tcp *ctx)
{
	const struct gov_config *config = config_get();
	struct sock_common *common = ctx->sk_common;
	struct activity_sock *seen;
	struct gov_activity *sum;
	struct tcp_sock *tcp;
	struct sock *sk;
	__u32 unread;
	__u64 owner, bytes;

	tcp = common && config ? bpf_skc_to_tcp_sock(common) : NULL;
	if (!tcp)
		return 0;
	sk = &tcp->inet_conn.icsk_inet.sk;
	owner = socket_owner(sk, config);
	sum = owner ? bpf_map_lookup_elem(&gov_activity, &owner) : NULL;
	seen = sum ? bpf_sk_storage_get(&gov_activity_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (!seen)
		return 0;
	bytes = tcp->bytes_received + tcp->bytes_acked;
	sum->net_bytes += bytes - seen->bytes;
	seen->bytes = bytes;
	unread = unread_of(sk, tcp);
	note_wait(seen, unread, sk->__sk_common.skc_state == TCP_LISTEN ? 0 : tcp->copied_seq);
	if (!seen->wait_ns || (sum->wait_ns && sum->wait_ns <= seen->wait_ns))
		return 0;
	sum->wait_ns = seen->wait_ns;
	sum->unread = unread;
	sum->flags &= ~GOV_ACTIVITY_LISTENING;
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		sum->flags |= GOV_ACTIVITY_LISTENING;
	__builtin_memset(sum->address, 0, sizeof(sum->address));
	sum->port = socket_address(sum->address, sk);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
