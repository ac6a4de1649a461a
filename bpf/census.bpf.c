// SPDX-License-Identifier: GPL-2.0-only
/* The census: one struct gov_census_task for each process that carries a mark. */
#include "task.bpf.h"

SEC("iter/task")
int census_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	const struct gov_config *config = config_get();
	struct gov_census_task line = {};
	struct gov_mark *mark;

	/* Thread group leaders stand for their processes; one whose threads have all ended is only waited for. */
	if (!task || !config || task->pid != task->tgid || task->signal->live.counter <= 0)
		return 0;
	mark = bpf_task_storage_get(&gov_marks, task, NULL, 0);
	if (!mark || !mark->id)
		return 0;
	line.mark = mark->id;
	line.root_pid = mark->root_pid;
	line.start_ns = task->start_boottime;
	line.cgroup_id = task_known_id(task, config);
	line.pid = task->tgid;
	line.ppid = task->real_parent->tgid;
	line.flags = task_is_in_slice(task, config) ? GOV_RECORD_IN_SLICE : 0;
	bpf_seq_write(ctx->meta->seq, &line, sizeof(line));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
