/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govd/manager.h"

#include "base/text.h"
#include "base/unit.h"
#include "core/tool.h"

/* Records of deaths by SIGKILL, and what only a look at the group can tell, as long as it is there. */

#define LARGEST 5

static void fill_victim(struct victim *victim, const struct gov_record_head *head, uint64_t owner, const char *comm)
{
	victim->owner = owner;
	victim->mark = head->mark;
	victim->pid = (pid_t)head->pid;
	victim->start_ticks = procfs_ticks_of_ns(head->start_ns);
	text_copy(victim->comm, sizeof(victim->comm), comm);
}

/* A name is its process's own choice: none may look like two. */
static void add_process(struct text *text, const struct group_process *process)
{
	char comm[4 * sizeof(process->comm)], size[32];

	text_escape(comm, sizeof(comm), process->comm);
	for (char *c = comm; *c; c++)
		if (*c == ' ' || *c == ',')
			*c = '_';
	unit_format_size_rough(size, sizeof(size), process->bytes);
	text_addf(text, "%s%d %s %s", text->length ? ", " : "", (int)process->pid, comm, size);
}

/* The victim's memory may be gone by now: it goes to its place with what the kernel has counted. */
static void fill_largest(struct manager *manager, const struct agent *agent, struct oom_view *oom)
{
	struct group_process victim = {.pid = oom->victim.pid}, processes[LARGEST];
	size_t n = groups_largest(manager->groups, agent->handle, processes, LARGEST);
	struct text text = TEXT_ON(oom->largest);
	bool is_told = false;

	victim.bytes = oom->anon_bytes + oom->file_bytes + oom->shmem_bytes;
	text_copy(victim.comm, sizeof(victim.comm), oom->victim.comm);
	for (size_t i = 0, told = 0; told < LARGEST && (i < n || !is_told); told++) {
		if (!is_told && (i == n || victim.bytes >= processes[i].bytes)) {
			is_told = true;
			add_process(&text, &victim);
			continue;
		}
		if (processes[i].pid != victim.pid)
			add_process(&text, &processes[i]);
		i++;
	}
}

/* Where it was its last process, systemd may have removed its group by now. */
static void fill_agent(struct manager *manager, const struct agent *agent, struct oom_view *oom)
{
	struct group_memory memory;

	if (groups_memory(manager->groups, agent->handle, &memory) < 0)
		return;
	oom->agent_anon_bytes = memory.anon_bytes;
	oom->agent_file_bytes = memory.file_bytes;
	oom->agent_shmem_bytes = memory.shmem_bytes;
	oom->agent_kernel_bytes = memory.kernel_bytes;
}

static void fill_tool(struct manager *manager, const struct agent *agent, const struct gov_record_oom *record,
		      struct oom_view *oom)
{
	const struct tool *tool = tool_of_group(agent, record->tool_id);
	struct group_stats stats;

	if (!tool)
		return;
	oom->tool_group = record->tool_id;
	if (tool->memory_id && tool->memory_id == record->limit_id)
		oom->limit = OOM_LIMIT_TOOL;
	if (groups_tool_stats(manager->groups, agent->handle, &tool->id, &stats) == 0)
		oom->tool_peak_bytes = stats.memory_peak_bytes;
	if (tool->id.pid == oom->victim.pid)
		text_copy(oom->tool_name, sizeof(oom->tool_name), oom->victim.comm);
	else
		groups_tool_name(manager->groups, agent->handle, &tool->id, oom->tool_name);
}

void oom_got_record(struct manager *manager, const struct gov_record_oom *record)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const struct agent *agent = state_agent_of_process(manager->state, record->owner_id, record->head.mark);
	struct event event = {.kind = EVENT_OOM};
	struct oom_view *oom = &event.oom;

	if (!agent)
		return;
	fill_victim(&oom->victim, &record->head, record->owner_id, record->comm);
	oom->anon_bytes = record->anon_pages * page;
	oom->file_bytes = record->file_pages * page;
	oom->shmem_bytes = record->shmem_pages * page;
	oom->limit = OOM_LIMIT_HOST;
	if (record->limit_id)
		oom->limit = record->limit_id == groups_memory_id(manager->groups, agent->handle) ? OOM_LIMIT_AGENT
												  : OOM_LIMIT_OTHER;
	oom->limit_bytes = record->limit_pages * page;
	oom->usage_bytes = record->usage_pages * page;
	oom->tool_peak_bytes = UINT64_MAX;
	oom->tool_number = record->tool;
	fill_tool(manager, agent, record, oom);
	oom->agent_anon_bytes = oom->agent_file_bytes = oom->agent_shmem_bytes = oom->agent_kernel_bytes = UINT64_MAX;
	/* One that isn't recorded needs no evidence. */
	if (told_is_due(agent->ooms_told.at_ns, DEATH_TOLD_EVERY_NS, manager_now_ns())) {
		fill_agent(manager, agent, oom);
		fill_largest(manager, agent, oom);
	}
	manager_dispatch(manager, &event);
}

/* By its executable: everybody may take its name. */
static bool is_oomd(struct manager *manager, const struct gov_record_kill *record)
{
	static const char *const paths[] = {"/usr/lib/systemd/systemd-oomd", "/lib/systemd/systemd-oomd"};
	struct proc proc;

	if (!streq(record->sender_comm, "systemd-oomd") ||
	    procfs_read(manager->procfs, (pid_t)record->sender_pid, &proc) < 0 || !proc.exe)
		return false;
	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		if (streq(proc.exe, paths[i]))
			return true;
	return false;
}

void oom_got_kill(struct manager *manager, const struct gov_record_kill *record)
{
	struct event event = {.kind = EVENT_KILLED};

	fill_victim(&event.killed.victim, &record->head, record->owner_id, record->comm);
	event.killed.sender_pid = (pid_t)record->sender_pid;
	event.killed.sender_uid = record->sender_uid;
	text_copy(event.killed.sender_comm, sizeof(event.killed.sender_comm), record->sender_comm);
	event.killed.is_oomd = is_oomd(manager, record);
	manager_dispatch(manager, &event);
}
