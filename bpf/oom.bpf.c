// SPDX-License-Identifier: GPL-2.0-only
/*
 * Deaths by SIGKILL that govd hasn't ordered: the kernel's, for want of memory, and those that somebody has sent.
 *
 * Of OOM the victim is told by mark_victim (mm/oom_kill.c). Which group's limit was reached isn't among its arguments:
 * oom_kill_process(), in which it is called, knows. Where that can't be attached to the groups are asked: while one has
 * an OOM, it and all that are in it are locked against another (mem_cgroup_oom_trylock(), mm/memcontrol.c, since 6.11
 * mm/memcontrol-v1.c, for v2 as well). By a lowered memory.max, and by a kernel without CONFIG_MEMCG_V1, none is
 * locked: then it is the first group that has counted an OOM of its own, as that is done before the victim is chosen,
 * and is at its limit, for somebody who is in it, or above it.
 *
 * Of signals only signal_generate knows the sender. It runs in every signal of the host and leaves by one comparison
 * unless it is SIGKILL; the exit hook, which runs anyway, would know no more than the number.
 */
#include "task.bpf.h"

#define SIGKILL 9
#define GROUPS_MAX 16	       /* levels of groups that are looked at */
#define NEAR_PAGES 64	       /* charges are made in batches: MEMCG_CHARGE_BATCH, include/linux/memcontrol.h */
#define NEAR_PART 32	       /* and other processes give back some while the victim is chosen */
#define SEND_SIG_FROM_KERNEL 1 /* SEND_SIG_PRIV, include/linux/sched/signal.h */

/* Up to 6.1 (f1a7941243c1) the counters of a process were one struct. */
struct mm_rss_stat___old {
	atomic_long_t count[1];
} __attribute__((preserve_access_index));

struct mm_struct___old {
	struct mm_rss_stat___old rss_stat;
} __attribute__((preserve_access_index));

/* Of a process of an agent: the group nested in the agent's own that it is in; 0: it is in that itself. */
static __always_inline __u64 task_tool_group(struct task_struct *task, const struct gov_config *config)
{
	struct cgroup *cgrp = task_cgroup(task);
	__u32 level = config->slice_level + 2;

	if ((__u32)cgrp->level < level)
		return 0;
	return (__u32)cgrp->level == level ? cgrp->kn->id : cgroup_ancestor_id(cgrp, level);
}

/* Whether it is an agent's, governed or observed. Fills in what is told of it. */
static __always_inline bool task_is_told(struct task_struct *task, const struct gov_config *config,
					 struct gov_record_head *head, __u64 *ret_owner)
{
	struct gov_mark *mark = mark_of(task);
	__u64 owner = task_agent_id(task, config);

	if (!owner && !mark)
		return false;
	head_fill(head, task, config);
	head->mark = mark ? mark->id : 0;
	*ret_owner = owner;
	return true;
}

static __always_inline bool task_has_mark(struct task_struct *task, __u64 id)
{
	struct gov_mark *mark = mark_of(task);

	return mark && mark->id == id;
}

/* ---- out of memory ----------------------------------------------------------------------------------------------- */

static __always_inline __u64 pages_of(struct mm_struct *mm, __u32 member)
{
	__s64 pages = 0;

	if (bpf_core_type_exists(struct mm_rss_stat___old))
		bpf_probe_read_kernel(&pages, sizeof(pages),
				      (void *)mm + bpf_core_field_offset(struct mm_struct___old, rss_stat.count) +
					      member * sizeof(pages));
	else
		bpf_probe_read_kernel(&pages, sizeof(pages),
				      (void *)mm + bpf_core_field_offset(struct mm_struct, rss_stat) +
					      member * bpf_core_type_size(struct percpu_counter) +
					      bpf_core_field_offset(struct percpu_counter, count));
	/* What is counted on other processors isn't in it yet. */
	return pages > 0 ? pages : 0;
}

static __always_inline struct cgroup_subsys_state *memory_of(struct task_struct *task)
{
	__u32 id = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	struct cgroup_subsys_state *css = NULL;

	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)task->cgroups + bpf_core_field_offset(struct css_set, subsys) + id * sizeof(css));
	return css;
}

static __always_inline struct mem_cgroup *memory_of_css(struct cgroup_subsys_state *css)
{
	return (void *)css - bpf_core_field_offset(struct mem_cgroup, css);
}

/* The OOM in hand, from oom_kill_process() on: there is one at a time, under the kernel's oom_lock. */
static volatile bool oom_is_in_hand;
static volatile __u64 oom_memory; /* a struct mem_cgroup's address; 0: it is the host's */

SEC("fentry/oom_kill_process")
int BPF_PROG(oom_begin, struct oom_control *control)
{
	oom_memory = (__u64)control->memcg;
	oom_is_in_hand = true;
	return 0;
}

SEC("fexit/oom_kill_process")
int BPF_PROG(oom_end)
{
	oom_is_in_hand = false;
	return 0;
}

static __always_inline bool limit_is_locked(struct mem_cgroup *memory)
{
	return bpf_core_field_exists(memory->oom_lock) && BPF_CORE_READ(memory, oom_lock);
}

/* Whether the current task, which asks for memory in vain, is in this group or in one nested in it. */
static __always_inline bool group_asks(struct cgroup_subsys_state *css)
{
	struct cgroup_subsys_state *asks = memory_of(bpf_get_current_task_btf());
	__u32 level = BPF_CORE_READ(css, cgroup, level);
	struct cgroup *cgrp;

	if (!asks)
		return false;
	cgrp = BPF_CORE_READ(asks, cgroup);
	return (__u32)BPF_CORE_READ(cgrp, level) >= level &&
	       cgroup_ancestor_id(cgrp, level) == BPF_CORE_READ(css, cgroup, kn, id);
}

/* Whether this group has come to its limit: somebody in it asks for more, or the limit was lowered. */
static __always_inline bool limit_is_reached(struct cgroup_subsys_state *css)
{
	struct mem_cgroup *memory = memory_of_css(css);
	__u64 usage = BPF_CORE_READ(memory, memory.usage.counter), max = BPF_CORE_READ(memory, memory.max);

	if (!BPF_CORE_READ(memory, memory_events_local[MEMCG_OOM].counter))
		return false;
	return usage > max || (usage + NEAR_PAGES + max / NEAR_PART >= max && group_asks(css));
}

/* The group whose limit it is, as the group of the victim and those that this is in have it; NULL: none's. */
static __always_inline struct mem_cgroup *limit_above(struct cgroup_subsys_state *css)
{
	struct mem_cgroup *locked = NULL, *reached = NULL;

	for (int i = 0; i < GROUPS_MAX && css; i++) {
		struct mem_cgroup *memory = memory_of_css(css);

		/* The highest: those in it are locked with it. */
		if (limit_is_locked(memory))
			locked = memory;
		if (!reached && limit_is_reached(css))
			reached = memory;
		css = BPF_CORE_READ(css, parent);
	}
	return locked ? locked : reached;
}

static __always_inline void fill_limit(struct gov_record_oom *record, struct cgroup_subsys_state *css)
{
	struct mem_cgroup *memory = oom_is_in_hand ? (struct mem_cgroup *)oom_memory : limit_above(css);

	record->memory_id = BPF_CORE_READ(css, cgroup, kn, id);
	if (!memory)
		return;
	record->limit_id = BPF_CORE_READ(memory, css.cgroup, kn, id);
	record->limit_pages = BPF_CORE_READ(memory, memory.max);
	record->usage_pages = BPF_CORE_READ(memory, memory.usage.counter);
}

SEC("tp_btf/mark_victim")
int BPF_PROG(oom_victim, struct task_struct *task)
{
	const struct gov_config *config = config_get();
	struct cgroup_subsys_state *css;
	struct gov_record_oom record = {};
	struct gov_mark *mark;
	struct mm_struct *mm;

	if (!config || !task_is_told(task, config, &record.head, &record.owner_id))
		return 0;
	record.head.kind = GOV_RECORD_OOM;
	record.head.size = sizeof(record);
	record.tool_id = record.owner_id ? task_tool_group(task, config) : 0;
	mark = mark_or_tool_of(task);
	record.tool = mark ? mark->tool : 0;
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	mm = task->mm;
	if (mm) {
		record.anon_pages = pages_of(mm, MM_ANONPAGES);
		record.file_pages = pages_of(mm, MM_FILEPAGES);
		record.shmem_pages = pages_of(mm, MM_SHMEMPAGES);
		record.swap_pages = pages_of(mm, MM_SWAPENTS);
	}
	css = memory_of(task);
	if (css)
		fill_limit(&record, css);
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* ---- SIGKILL ----------------------------------------------------------------------------------------------------- */

/*
 * What the kernel sends by itself isn't told from here: of OOM mark_victim tells more. An agent that ends its own
 * processes does so with good reason.
 */
SEC("tp_btf/signal_generate")
int BPF_PROG(oom_signal, int number, struct kernel_siginfo *info, struct task_struct *task, int is_group, int result)
{
	struct task_struct *sender = bpf_get_current_task_btf();
	struct gov_record_kill record = {};
	const struct gov_config *config;

	if (number != SIGKILL || result || (unsigned long)info == SEND_SIG_FROM_KERNEL)
		return 0;
	config = config_get();
	if (!config || (__u32)sender->tgid == config->self_pid || sender->tgid == task->tgid)
		return 0;
	/* It has ended, and only its exit code waits for the parent. */
	if (task->signal->live.counter <= 0)
		return 0;
	if (!task_is_told(task, config, &record.head, &record.owner_id))
		return 0;
	if (record.owner_id ? task_agent_id(sender, config) == record.owner_id
			    : task_has_mark(sender, record.head.mark))
		return 0;
	record.head.kind = GOV_RECORD_KILL;
	record.head.size = sizeof(record);
	record.sender_pid = sender->tgid;
	record.sender_uid = sender->real_cred->uid.val;
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->group_leader->comm);
	bpf_probe_read_kernel_str(record.sender_comm, sizeof(record.sender_comm), sender->comm);
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
