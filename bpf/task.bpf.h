/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GOV_TASK_BPF_H
#define GOV_TASK_BPF_H

#include "maps.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* What the programs ask of tasks. Pointers come from tp_btf arguments or iterators, so fields are plain loads. */

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */

/* Before kernel 6.1 (7f203bc89eb6) a cgroup had the ids of its ancestors instead of pointers to them. */
struct cgroup___ids {
	__u64 ancestor_ids[1];
} __attribute__((preserve_access_index));

static __always_inline struct cgroup *task_cgroup(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	return task_cgroup(task)->kn->id;
}

/* Id of the ancestor of cgrp at this level (0: the root); cgrp->level must be at least level. */
static __always_inline __u64 cgroup_ancestor_id(struct cgroup *cgrp, __u32 level)
{
	struct cgroup *ancestor = NULL;
	__u64 id = 0;

	if (bpf_core_field_exists(((struct cgroup___ids *)0)->ancestor_ids)) {
		bpf_probe_read_kernel(&id, sizeof(id),
				      (void *)cgrp + bpf_core_field_offset(struct cgroup___ids, ancestor_ids) +
					      level * sizeof(id));
		return id;
	}
	/* The verifier knows no variable index into a flexible array. */
	bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
			      (void *)cgrp + bpf_core_field_offset(struct cgroup, ancestors) +
				      level * sizeof(ancestor));
	return BPF_CORE_READ(ancestor, kn, id);
}

static __always_inline bool cgroup_is_in_slice(struct cgroup *cgrp, const struct gov_config *config)
{
	if (!config->slice_id || (__u32)cgrp->level < config->slice_level)
		return false;
	return cgroup_ancestor_id(cgrp, config->slice_level) == config->slice_id;
}

static __always_inline bool task_is_in_slice(struct task_struct *task, const struct gov_config *config)
{
	return cgroup_is_in_slice(task_cgroup(task), config);
}

/* Of a group in the slice: the group of its agent, the slice's child that it is or is in. 0: it is the slice itself. */
static __always_inline __u64 cgroup_agent_id(struct cgroup *cgrp, const struct gov_config *config)
{
	__u32 level = cgrp->level;

	if (!config->slice_id || level <= config->slice_level)
		return 0;
	if (level == config->slice_level + 1)
		return cgrp->kn->id;
	return cgroup_ancestor_id(cgrp, config->slice_level + 1);
}

/* The group of its agent; 0: it is outside of all, or in the slice itself. */
static __always_inline __u64 task_agent_id(struct task_struct *task, const struct gov_config *config)
{
	return task_is_in_slice(task, config) ? cgroup_agent_id(task_cgroup(task), config) : 0;
}

/* The process's mark is its leader's; a thread's own counts only where the leader has none. */
static __always_inline struct gov_mark *mark_or_tool_of(struct task_struct *task)
{
	struct gov_mark *mark = bpf_task_storage_get(&gov_marks, task->group_leader, NULL, 0);

	if (!mark && task->pid != task->tgid)
		mark = bpf_task_storage_get(&gov_marks, task, NULL, 0);
	return mark;
}

/* NULL: not marked. */
static __always_inline struct gov_mark *mark_of(struct task_struct *task)
{
	struct gov_mark *mark = mark_or_tool_of(task);

	/* Id 0: a tool's, or userspace has deleted it, and threads may still have theirs. */
	return mark && mark->id ? mark : NULL;
}

/* The group by which userspace knows a process: its agent's, whatever is nested in that. */
static __always_inline __u64 task_known_id(struct task_struct *task, const struct gov_config *config)
{
	__u64 agent = task_agent_id(task, config);

	return agent ? agent : task_cgroup_id(task);
}

/* Of the process, all but kind, size and mark. */
static __always_inline void head_fill(struct gov_record_head *head, struct task_struct *task,
				      const struct gov_config *config)
{
	head->version = GOV_RECORD_VERSION;
	head->time_ns = bpf_ktime_get_ns();
	head->start_ns = task->group_leader->start_boottime;
	head->cgroup_id = task_known_id(task, config);
	head->pid = task->tgid;
	head->ppid = task->group_leader->real_parent->tgid;
	head->flags = task_is_in_slice(task, config) ? GOV_RECORD_IN_SLICE : 0;
	head->uid = task->real_cred->uid.val;
}

#endif
