// SPDX-License-Identifier: GPL-2.0-only
/* Who begins processes without end: include/gov/fanout.h. Attached only while somebody's policy asks. */
#include "task.bpf.h"

#include "gov/fanout.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GOV_CONNECT_AGENTS_MAX);
	__type(key, __u64);
	__type(value, struct gov_fanout);
} gov_fanout SEC(".maps");

static __always_inline struct gov_fanout *fanout_of(struct task_struct *task, const struct gov_config *config,
						    __u64 *ret_owner)
{
	__u64 owner = task_agent_id(task, config);
	const struct gov_mark *mark;

	if (!owner) {
		mark = mark_of(task);
		if (!mark)
			return NULL;
		owner = GOV_OWNER_MARK | mark->id;
	}
	*ret_owner = owner;
	return bpf_map_lookup_elem(&gov_fanout, &owner);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fanout_fork, struct task_struct *parent, struct task_struct *child)
{
	const struct gov_config *config = config_get();
	struct gov_record_fanout record = {};
	struct gov_fanout *fanout;
	__u64 owner = 0, now_ns;

	/* Threads cost a fraction of a process, and tasks.max counts them. */
	if (!config || child->pid != child->tgid)
		return 0;
	fanout = fanout_of(parent, config, &owner);
	if (!fanout)
		return 0;
	now_ns = bpf_ktime_get_ns();
	if (now_ns - fanout->window_ns >= fanout->length_ns) {
		fanout->window_ns = now_ns;
		fanout->births = 0;
	}
	/* Of several at once one is the one too many. */
	if (__sync_fetch_and_add(&fanout->births, 1) != fanout->limit)
		return 0;
	head_fill(&record.head, parent, config);
	record.head.kind = GOV_RECORD_FANOUT;
	record.head.size = sizeof(record);
	record.owner = owner;
	record.births = fanout->limit + 1;
	record.window_ns = now_ns - fanout->window_ns;
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), parent->comm);
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
