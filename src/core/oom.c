/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "core/tool.h"

/* Deaths that govd hasn't ordered: of memory by the kernel's hand, by systemd-oomd's, or by anybody's SIGKILL. */

static struct agent *agent_of(const struct state *state, const struct victim *victim)
{
	struct agent *agent = victim->owner ? idmap_get(&state->by_cgroup, victim->owner) : NULL;

	return agent ? agent : state_by_mark(state, victim->mark);
}

static bool is_root(const struct agent *agent, const struct victim *victim)
{
	return agent->has_root && agent_is_root(agent, victim->pid, victim->start_ticks);
}

/* The evidence begins with the agent's root; what it is the agent's own incident tells. */
static struct incident *record_death(struct actions *actions, enum incident_kind kind, const struct agent *agent,
				     struct record_words words)
{
	struct incident *incident = record_agent(actions, kind, agent, words);

	if (incident)
		incident->n_facts = MIN2(incident->n_facts, (size_t)1);
	return incident;
}

static void add_victim(struct incident *incident, const struct agent *agent, const struct victim *victim)
{
	incident_add_number(incident, "victim_pid", (uint64_t)victim->pid);
	incident_add_text(incident, "victim", victim->comm);
	incident_add_text(incident, "victim_is", is_root(agent, victim) ? "root" : "tool");
}

static void add_bytes(struct incident *incident, const char *name, uint64_t bytes)
{
	if (bytes != UINT64_MAX)
		incident_add_number(incident, name, bytes);
}

/* ---- out of memory ---- */

/* What ends besides the victim. */
enum oom_part { OOM_VICTIM, OOM_TOOL, OOM_AGENT };

static enum oom_part part_of(const struct oom_view *oom, const struct agent *agent, const struct tool *tool)
{
	enum policy_on_oom on_oom = agent->policy->limits.on_oom;

	if (agent->is_observed || agent->policy->protect)
		return OOM_VICTIM;
	/* By its mark alone it may be one that was let out, as what is protected is. */
	if (agent->is_releasing || oom->victim.owner != agent->cgroup_id)
		return OOM_VICTIM;
	/* Its own limit ends a tool and nothing else. */
	if (tool && (oom->limit == OOM_LIMIT_TOOL || on_oom == POLICY_OOM_KILL_TOOL))
		return OOM_TOOL;
	/* Where tools have no groups, nobody knows what is one. */
	if (on_oom == POLICY_OOM_KERNEL || (on_oom == POLICY_OOM_KILL_TOOL && !agent_has_tools(agent)))
		return OOM_VICTIM;
	return OOM_AGENT;
}

static void add_tool(struct incident *incident, const struct oom_view *oom, const struct tool *tool)
{
	incident_add_number(incident, "tool_pid", (uint64_t)tool->id.pid);
	if (*oom->tool_name)
		incident_add_text(incident, "tool", oom->tool_name);
	add_bytes(incident, "tool_peak_bytes", oom->tool_peak_bytes);
}

static void record_oom(const struct oom_view *oom, struct agent *agent, const struct tool *tool,
		       struct actions *actions)
{
	static const char *const rules[OOM_LIMITS] = {
		[OOM_LIMIT_HOST] = "host",
		[OOM_LIMIT_AGENT] = "memory.max",
		[OOM_LIMIT_TOOL] = "tools.memory_max",
		[OOM_LIMIT_OTHER] = "memory",
	};
	static const char *const ended[] = {
		[OOM_VICTIM] = "kill", [OOM_TOOL] = "kill-tool", [OOM_AGENT] = "kill-agent"};
	struct incident *incident =
		record_death(actions, INCIDENT_OOM, agent,
			     (struct record_words){rules[oom->limit], ended[part_of(oom, agent, tool)], "done"});

	if (!incident)
		return;
	incident->by_uid = INCIDENT_BY_KERNEL;
	add_victim(incident, agent, &oom->victim);
	if (tool)
		add_tool(incident, oom, tool);
	incident_add_text(incident, "limit", oom_limit_name(oom->limit));
	if (oom->limit != OOM_LIMIT_HOST) {
		add_bytes(incident, "limit_bytes", oom->limit_bytes);
		add_bytes(incident, "usage_bytes", oom->usage_bytes);
	}
	add_bytes(incident, "victim_anon_bytes", oom->anon_bytes);
	add_bytes(incident, "victim_file_bytes", oom->file_bytes);
	add_bytes(incident, "victim_shmem_bytes", oom->shmem_bytes);
	add_bytes(incident, "anon_bytes", oom->agent_anon_bytes);
	add_bytes(incident, "file_bytes", oom->agent_file_bytes);
	add_bytes(incident, "shmem_bytes", oom->agent_shmem_bytes);
	add_bytes(incident, "kernel_bytes", oom->agent_kernel_bytes);
	if (*oom->largest)
		incident_add_text(incident, "largest", oom->largest);
	told_add(&agent->ooms_told, incident);
}

/* What memory.oom.group does where there is one; elsewhere the rest of the agent ends by this. */
static void end_whole(struct state *state, struct agent *agent, struct actions *actions)
{
	if (!agent->is_placed || agent_is_ending(agent))
		return;
	agent->stop_rule = "oom";
	agent->by_uid = INCIDENT_BY_GOVD;
	kill_agent(state, agent, actions);
}

static void end_tool(struct state *state, const struct agent *agent, struct tool *tool, struct actions *actions)
{
	tool->rule = "oom";
	tool->ending = INCIDENT_OOM;
	tool_kill(state, agent, tool, actions);
}

void step_oom(struct state *state, const struct event *event, struct actions *actions)
{
	const struct oom_view *oom = &event->oom;
	struct agent *agent = agent_of(state, &oom->victim);
	struct tool *tool;

	if (!agent)
		return;
	tool = tool_of_group(agent, oom->tool_group);
	if (!tool)
		tool = tool_by_number(agent, oom->tool_number);
	if (is_root(agent, &oom->victim)) {
		agent->root_rule = "oom";
		agent->root_by = INCIDENT_BY_KERNEL;
	}
	leak_forget(agent);
	if (told_may(&agent->ooms_told, DEATH_TOLD_EVERY_NS, state->now_ns))
		record_oom(oom, agent, tool, actions);
	if (part_of(oom, agent, tool) == OOM_AGENT)
		end_whole(state, agent, actions);
	else if (part_of(oom, agent, tool) == OOM_TOOL && !(tool->rule && tool->tries))
		end_tool(state, agent, tool, actions);
}

/* ---- SIGKILL ---- */

static void add_sender(struct incident *incident, const struct event *event)
{
	incident_add_number(incident, "sender_pid", (uint64_t)event->killed.sender_pid);
	incident_add_text(incident, "sender", event->killed.sender_comm);
	incident_add_number(incident, "sender_uid", event->killed.sender_uid);
}

void step_killed(struct state *state, const struct event *event, struct actions *actions)
{
	const struct victim *victim = &event->killed.victim;
	bool is_oomd = event->killed.is_oomd;
	uint32_t by_uid = is_oomd ? INCIDENT_BY_OOMD : event->killed.sender_uid;
	struct agent *agent = agent_of(state, victim);
	struct incident *incident;

	/* The service manager ends a unit when it is told to. */
	if (!agent || (event->killed.sender_pid == 1 && agent->stop_rule))
		return;
	if (is_root(agent, victim)) {
		agent->root_rule = is_oomd ? "oom" : "sigkill";
		agent->root_by = by_uid;
	}
	if (!told_may(&agent->kills_told, DEATH_TOLD_EVERY_NS, state->now_ns))
		return;
	if (is_oomd)
		incident = record_death(actions, INCIDENT_OOM, agent,
					(struct record_words){"systemd-oomd", "kill", "done"});
	else
		incident =
			record_death(actions, INCIDENT_ALERT, agent, (struct record_words){"sigkill", "none", "done"});
	if (!incident)
		return;
	incident->by_uid = by_uid;
	add_victim(incident, agent, victim);
	add_sender(incident, event);
	told_add(&agent->kills_told, incident);
}
