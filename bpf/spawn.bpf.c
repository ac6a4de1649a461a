// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that start and end: records of candidates' execs, of the forks of marked processes until they are in a
 * group below the slice, and of the ends of marks' roots. See include/gov/event.h and maps.h.
 *
 * These hooks run for every process of the host: what nobody asked for must leave as early as possible.
 */
#include "task.bpf.h"

#define ENOENT 2 /* include/uapi/asm-generic/errno-base.h */
#define EXEC_HEAD_SIZE offsetof(struct gov_record_exec, args)

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * GOV_CANDIDATES_MAX); /* the old ones and the new while userspace replaces them */
	__type(key, struct gov_candidate_key);
	__type(value, __u8);
} gov_candidates SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, GOV_OVERFLOW_MAX);
	__type(key, __u64);
	__type(value, struct gov_record_exec);
} gov_overflow SEC(".maps");

/*
 * Where exec records are made: too large for the stack. Safe: tracepoints run with preemption disabled (to 6.18), and
 * no exec happens in an interrupt.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct gov_record_exec);
} gov_scratch SEC(".maps");

/* The last mark id given out. Userspace's own ids have a high bit set (MARK_OF_CORE, src/core/state.h). */
__u64 last_mark = 0;
/* And the last number of a tool. */
__u64 last_tool = 0;

static __always_inline void mark_put(struct task_struct *task, struct gov_mark *mark)
{
	struct gov_mark *there = bpf_task_storage_get(&gov_marks, task, mark, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (there)
		*there = *mark;
}

/* ---- exec -------------------------------------------------------------------------------------------------------- */

static __always_inline bool candidate_lookup(const struct gov_candidate_key *key)
{
	return bpf_map_lookup_elem(&gov_candidates, key) != NULL;
}

/* Both zero-padded; a name is 4-aligned in its key. */
static __always_inline bool name_is_same(const char *a, const char *b)
{
	const __u32 *x = (const __u32 *)a, *y = (const __u32 *)b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

/* By the name of the executed file (an interpreter's, for `#!`) or by comm (the script's, for `#!`). */
static __always_inline bool exec_is_candidate(struct task_struct *task, struct linux_binprm *bprm)
{
	struct gov_candidate_key file = {.prefix_bits = 8 * GOV_COMM_SIZE};
	struct gov_candidate_key comm = {.prefix_bits = 8 * GOV_COMM_SIZE};

	bpf_probe_read_kernel_str(file.name, sizeof(file.name), bprm->file->f_path.dentry->d_name.name);
	if (candidate_lookup(&file))
		return true;
	bpf_probe_read_kernel_str(comm.name, sizeof(comm.name), task->comm);
	/* Mostly they are the same. */
	if (name_is_same(file.name, comm.name))
		return false;
	return candidate_lookup(&comm);
}

static __always_inline void exec_fill_args(struct gov_record_exec *record, struct task_struct *task)
{
	unsigned long start = task->mm->arg_start, end = task->mm->arg_end;
	__u64 size = end - start;

	record->args_size = 0;
	if (end <= start)
		return;
	if (size > GOV_ARGS_SIZE) {
		size = GOV_ARGS_SIZE;
		record->head.flags |= GOV_RECORD_ARGS_TRUNCATED;
	}
	/* The pages were written a moment ago; where one is swapped out already, userspace reads /proc. */
	if (bpf_probe_read_user(record->args, size, (const void *)start) == 0)
		record->args_size = size;
	else
		record->head.flags |= GOV_RECORD_ARGS_TRUNCATED;
}

static __always_inline void exec_fill(struct gov_record_exec *record, struct task_struct *task,
				      struct linux_binprm *bprm)
{
	long n = bpf_probe_read_kernel_str(record->filename, sizeof(record->filename), bprm->filename);

	if (n <= 0) {
		record->filename[0] = '\0';
		n = 1;
	}
	record->filename_size = n;
	__builtin_memset(record->comm, 0, sizeof(record->comm));
	bpf_probe_read_kernel_str(record->comm, sizeof(record->comm), task->comm);
	exec_fill_args(record, task);
}

static __always_inline void exec_send(struct gov_record_exec *record)
{
	__u32 args_size = record->args_size;
	struct gov_count *count;

	if (args_size > GOV_ARGS_SIZE)
		return;
	record->head.size = EXEC_HEAD_SIZE + args_size;
	if (record_send(&record->head, EXEC_HEAD_SIZE + args_size, BPF_RB_FORCE_WAKEUP) == 0)
		return;
	count = count_of(GOV_RECORD_EXEC);
	if (bpf_map_update_elem(&gov_overflow, &record->head.mark, record, BPF_ANY) == 0 && count)
		count->kept++;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(spawn_exec, struct task_struct *task, pid_t old_pid, struct linux_binprm *bprm)
{
	const struct gov_config *config;
	struct gov_record_exec *record;
	struct gov_mark *old, mark = {};
	__u32 zero = 0;

	if (!exec_is_candidate(task, bprm))
		return 0;
	config = config_get();
	record = bpf_map_lookup_elem(&gov_scratch, &zero);
	if (!config || !record || (__u32)task->tgid == config->self_pid)
		return 0;
	old = mark_or_tool_of(task);
	record->parent_mark = old ? old->id : 0;
	mark.id = __sync_fetch_and_add(&last_mark, 1) + 1;
	mark.root_pid = task->tgid;
	/* What it is a part of stays so; and a root that executes again has tools still. */
	if (old) {
		mark.tool = old->tool;
		mark.home_id = old->home_id;
		if (old->root_pid == mark.root_pid)
			mark.flags = old->flags & GOV_MARK_TOOLS;
	}
	mark_put(task, &mark);

	record->head.kind = GOV_RECORD_EXEC;
	record->head.mark = mark.id;
	head_fill(&record->head, task, config);
	exec_fill(record, task, bprm);
	exec_send(record);
	return 0;
}

/* ---- fork -------------------------------------------------------------------------------------------------------- */

/* Inside the slice the group tells whose a process is; but what has just been executed there may yet be moved. */
static __always_inline bool mark_counts(const struct gov_mark *mark, struct task_struct *child,
					const struct gov_config *config)
{
	if (!task_is_in_slice(child, config))
		return true;
	return mark->id > config->settled_mark && mark->id < GOV_MARK_KERNEL_END && !(mark->flags & GOV_MARK_QUIET);
}

/*
 * Whether the child begins a tool, or is a part of one that hasn't been moved to its group yet: mark.tool. It isn't
 * when it is born into another group than its parent's (CLONE_INTO_CGROUP), or is a thread.
 */
static __always_inline bool fork_is_tool(struct gov_mark *mark, struct task_struct *parent, struct task_struct *child,
					 const struct gov_config *config)
{
	bool begins = (mark->flags & GOV_MARK_TOOLS) && mark->root_pid == (__u32)parent->tgid;
	__u64 home_id = mark->home_id;

	if ((!begins && !mark->tool) || child->pid != child->tgid)
		return false;
	if (!begins)
		return task_cgroup_id(child) == home_id;
	home_id = task_cgroup_id(parent);
	if (task_cgroup_id(child) != home_id || !task_is_in_slice(child, config))
		return false;
	__builtin_memset(mark, 0, sizeof(*mark));
	mark->root_pid = child->tgid;
	mark->tool = __sync_fetch_and_add(&last_tool, 1) + 1;
	mark->home_id = home_id;
	return true;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(spawn_fork, struct task_struct *parent, struct task_struct *child)
{
	struct gov_record_fork record = {};
	const struct gov_config *config;
	struct gov_mark *found, mark;
	bool is_tool, counts;

	found = mark_or_tool_of(parent);
	if (!found)
		return 0;
	mark = *found;
	config = config_get();
	if (!config || (__u32)parent->tgid == config->self_pid)
		return 0;
	is_tool = fork_is_tool(&mark, parent, child, config);
	counts = mark.id && mark_counts(&mark, child, config);
	if (!counts && !is_tool)
		return 0;
	if (!is_tool)
		mark.tool = mark.home_id = 0;
	if (!counts)
		mark.id = mark.flags = 0;
	/* Threads too: execve by one that isn't the leader makes it the leader. */
	mark_put(child, &mark);
	if (child->pid != child->tgid || (!is_tool && (mark.flags & GOV_MARK_QUIET)))
		return 0;
	record.head.kind = GOV_RECORD_FORK;
	record.head.size = sizeof(record);
	record.head.mark = mark.id;
	record.tool = is_tool ? mark.tool : 0;
	head_fill(&record.head, child, config);
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}

/* ---- exit -------------------------------------------------------------------------------------------------------- */

/* As wait_task_zombie() does it (kernel/exit.c). */
static __always_inline int exit_code_of(struct task_struct *leader)
{
	struct signal_struct *signal = leader->signal;

	return signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
}

/*
 * A leader that ends because another of its threads executes (de_thread(), fs/exec.c) leaves the process and its mark
 * to that one.
 */
static __always_inline void exit_hand_over(struct task_struct *task)
{
	struct task_struct *heir = task->signal->group_exec_task;
	struct gov_mark *found, mark;

	if (!heir || heir == task || task->pid != task->tgid)
		return;
	found = bpf_task_storage_get(&gov_marks, task, NULL, 0);
	if (!found)
		return;
	mark = *found;
	mark_put(heir, &mark);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(spawn_exit, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	struct gov_record_exit record = {};
	const struct gov_config *config;
	struct gov_mark *found, mark;

	/* The tracepoint's own group_dead argument is newer than 6.1; both come from signal->live. */
	if (task->signal->live.counter > 0) {
		exit_hand_over(task);
		return 0;
	}
	found = bpf_task_storage_get(&gov_marks, leader, NULL, 0);
	if (!found || (!found->id && !found->tool) || found->root_pid != (__u32)leader->tgid)
		return 0;
	mark = *found;
	config = config_get();
	/* Several threads may get here when the last ones end at once: one of them finds the mark. */
	if (!config || bpf_task_storage_delete(&gov_marks, leader) == -ENOENT)
		return 0;
	head_fill(&record.head, leader, config);
	record.head.kind = GOV_RECORD_EXIT;
	record.head.size = sizeof(record);
	record.head.mark = mark.id;
	record.exit_code = exit_code_of(leader);
	record_send(&record.head, sizeof(record), BPF_RB_FORCE_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
