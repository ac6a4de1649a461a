/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/placement.h"
#include "core/trace_private.h"

/* All fields of all events: a new one is a row. */

#define FIELD(name, kind, member) TRACE_FIELD(name, kind, event, member, TRACE_EVENT)
#define FOUND(name, kind, member) TRACE_FIELD(name, kind, agent, member, TRACE_FOUND)
#define RESTART(name, kind, member) TRACE_FIELD(name, kind, restart, member, TRACE_RESTART)
#define WEIGHT(name, kind, member) TRACE_FIELD(name, kind, agent_weight, member, TRACE_EVENT)
#define LIFE(name, kind, member) TRACE_FIELD(name, kind, activity_view, member, TRACE_EVENT)
#define WORD(name, member, word, n) TRACE_WORD(name, event, member, word, n, TRACE_EVENT)
#define LIST(name_, items_)                                                                                            \
	{                                                                                                              \
		.name = (name_), .type = &trace_list, .items = &(items_)                                               \
	}

/* Of a process; env is of the whole struct. */
#define PROC(member)                                                                                                   \
	FIELD("pid", signed, member.pid), FIELD("ppid", signed, member.ppid),                                          \
		FIELD("start", unsigned, member.start_ticks), FIELD("mark", unsigned, member.mark),                    \
		FIELD("uid", unsigned, member.uid), FIELD("flags", unsigned, member.flags),                            \
		FIELD("exe", string, member.exe), FIELD("script", string, member.script),                              \
		FIELD("args", string, member.args), FIELD("directory", string, member.directory),                      \
		FIELD("cgroup", string, member.cgroup), FIELD("cgroup_id", unsigned, member.cgroup_id),                \
		FIELD("parent_exe", string, member.parent_exe), FIELD("parent_script", string, member.parent_script),  \
		FIELD("env.", env, member)
#define VICTIM(member)                                                                                                 \
	FIELD("pid", signed, member.pid), FIELD("start", unsigned, member.start_ticks),                                \
		FIELD("owner", unsigned, member.owner), FIELD("mark", unsigned, member.mark),                          \
		FIELD("comm", chars, member.comm)

static const char *action_word(int number)
{
	return action_kind_name((enum action_kind)number);
}

static const char *command_word(int number)
{
	return command_name((enum command)number);
}

static const char *placement_word(int number)
{
	return placement_name((enum policy_placement)number);
}

static const char *breaker_word(int number)
{
	return connect_breaker_name((enum gov_breaker_state)number);
}

static const char *limit_word(int number)
{
	return oom_limit_name((enum oom_limit)number);
}

static const struct trace_field policies_fields[] = {FIELD("observe", flag, policies.observe)};
static const struct trace_field exec_fields[] = {
	PROC(exec.proc),
	FIELD("parent_mark", unsigned, exec.parent_mark),
};
static const struct trace_field fork_fields[] = {
	FIELD("agent", agent, fork.agent),
	FIELD("pid", signed, fork.pid),
	FIELD("ppid", signed, fork.ppid),
	FIELD("start", unsigned, fork.start_ticks),
	FIELD("mark", unsigned, fork.mark),
	FIELD("cgroup_id", unsigned, fork.cgroup_id),
	FIELD("tool", unsigned, fork.tool),
	FIELD("of_pid", signed, fork.of.pid),
	FIELD("of_start", unsigned, fork.of.start_ticks),
};
static const struct trace_field exit_fields[] = {
	FIELD("pid", signed, exit.pid),
	FIELD("start", unsigned, exit.start_ticks),
	FIELD("has_code", flag, exit.has_code),
	FIELD("code", signed, exit.exit_code),
	FIELD("cgroup_id", unsigned, exit.cgroup_id),
};
static const struct trace_field hold_fields[] = {PROC(hold.proc), FIELD("token", unsigned, hold.token)};
static const struct trace_field seen_fields[] = {PROC(seen.proc)};
static const struct trace_field found_fields[] = {
	{.name = "policy",
	 .type = &trace_string,
	 .offset = offsetof(struct event, found.policy),
	 .size = sizeof(char *),
	 .is_required = true},
	FOUND("id", chars, id),
	FOUND("key", string, key),
	FOUND("pid", signed, root_pid),
	FOUND("start", unsigned, root_start_ticks),
	FOUND("uid", unsigned, uid),
	FOUND("parent", signed, parent_pid),
	FOUND("since", unsigned, since_ns),
	FOUND("run", unsigned, run_ns),
	FOUND("thaw", unsigned, thaw_ns),
	FOUND("lease", unsigned, lease_ns),
	FOUND("until", unsigned, lease_until_ns),
	FOUND("exe", string, exe),
	FOUND("script", string, script),
	FOUND("cgroup", string, cgroup),
	FOUND("cgroup_id", unsigned, cgroup_id),
	FOUND("origin", string, origin),
	FOUND("is_explicit", flag, is_explicit),
	TRACE_WORD("placement", agent, placement, placement_word, POLICY_PLACEMENT_NONE + 1, TRACE_FOUND),
	FIELD("restart", unsigned, found.restart_id),
	FIELD("is_populated", flag, found.is_populated),
	FIELD("is_frozen", flag, found.is_frozen),
	FIELD("root_lives", flag, found.root_lives),
	FIELD("is_frozen_briefly", flag, found.is_frozen_briefly),
};
static const struct trace_field empty_fields[] = {FIELD("agent", agent, empty.agent)};
static const struct trace_field sample_fields[] = {
	FIELD("agent", agent, sample.agent),
	FIELD("cpu_ns", unsigned, sample.cpu_ns),
	FIELD("memory", unsigned, sample.memory_bytes),
	FIELD("anon", unsigned, sample.anon_bytes),
	FIELD("has_read", flag, sample.has_read),
};
static const struct trace_field lost_fields[] = {
	FIELD("execs", unsigned, lost.execs),
	FIELD("forks", unsigned, lost.forks),
	FIELD("exits", unsigned, lost.exits),
};
static const struct trace_field released_fields[] = {
	FIELD("agent", agent, released.agent),
	FIELD("pid", signed, released.pid),
	FIELD("start", unsigned, released.start_ticks),
};
static const struct trace_field swept_fields[] = {
	FIELD("agent", agent, swept.agent),
	FIELD("moved", unsigned, swept.moved),
};
static const struct trace_field command_fields[] = {
	WORD("command", command.command, command_word, COMMANDS),
	FIELD("request", unsigned, command.request),
	FIELD("agent", agent, command.agent),
	FIELD("by", unsigned, command.uid),
	FIELD("granted", flag, command.granted),
	FIELD("gids", gids, kind),
	FIELD("policy", string, command.policy),
	FIELD("key", string, command.key),
	FIELD("reuse", flag, command.reuse),
	FIELD("lease", unsigned, command.lease_ns),
	PROC(command.proc),
};
static const struct trace_field result_fields[] = {
	WORD("action", result.action, action_word, ACTION_KINDS),
	FIELD("agent", agent, result.agent),
	FIELD("error", signed, result.error),
	FIELD("pid", signed, result.pid),
	FIELD("start", unsigned, result.start_ticks),
	FIELD("cgroup_id", unsigned, result.cgroup_id),
	FIELD("cgroup", string, result.cgroup),
	FIELD("origin", string, result.origin),
	FIELD("killed", unsigned, result.killed),
	FIELD("bytes", unsigned, result.bytes),
	FIELD("left", unsigned, result.left.processes),
	FIELD("left_uninterruptible", unsigned, result.left.uninterruptible),
	FIELD("left_zombies", unsigned, result.left.zombies),
	FIELD("left_first", chars, result.left.first),
};
static const struct trace_field connects_fields[] = {
	FIELD("agent", agent, connects.agent),
	FIELD("pid", signed, connects.pid),
	FIELD("exe", string, connects.exe),
	FIELD("destination", chars, connects.view.destination),
	FIELD("is_udp", flag, connects.view.is_udp),
	FIELD("attempts", unsigned, connects.view.attempts),
	FIELD("delayed", unsigned, connects.view.delayed),
	FIELD("refused", unsigned, connects.view.refused),
	FIELD("established", unsigned, connects.view.established),
	FIELD("failed", unsigned, connects.view.failed),
	FIELD("dropped", unsigned, connects.view.dropped),
	FIELD("open", unsigned, connects.view.open),
	FIELD("recent", unsigned, connects.view.recent),
	FIELD("rate_milli", unsigned, connects.view.rate_milli),
	FIELD("failed_pct", unsigned, connects.view.failed_pct),
	FIELD("storm_ns", unsigned, connects.view.storm_ns),
	FIELD("is_over_new_rate", flag, connects.view.is_over_new_rate),
	WORD("breaker", connects.view.breaker, breaker_word, GOV_BREAKER_HALF_OPEN + 1),
	FIELD("breaker_interval_ns", unsigned, connects.view.breaker_interval_ns),
	FIELD("breaker_failures", unsigned, connects.view.breaker_failures),
	FIELD("last_ns", unsigned, connects.view.last_ns),
};
static const struct trace_field connects_end_fields[] = {FIELD("agent", agent, connects_end.agent)};
static const struct trace_field sockets_fields[] = {
	FIELD("agent", agent, sockets.agent),
	FIELD("open", unsigned, sockets.view.open),
	FIELD("listening", unsigned, sockets.view.listening),
	FIELD("close_wait", unsigned, sockets.view.close_wait),
	FIELD("unread_sockets", unsigned, sockets.view.unread_sockets),
	FIELD("unread_bytes", unsigned, sockets.view.unread_bytes),
	FIELD("top", chars, sockets.view.top),
	FIELD("top_open", unsigned, sockets.view.top_open),
};
static const struct trace_field oom_fields[] = {
	VICTIM(oom.victim),
	FIELD("anon", unsigned, oom.anon_bytes),
	FIELD("file", unsigned, oom.file_bytes),
	FIELD("shmem", unsigned, oom.shmem_bytes),
	WORD("limit", oom.limit, limit_word, OOM_LIMITS),
	FIELD("limit_bytes", unsigned, oom.limit_bytes),
	FIELD("usage_bytes", unsigned, oom.usage_bytes),
	FIELD("agent_anon", unsigned, oom.agent_anon_bytes),
	FIELD("agent_file", unsigned, oom.agent_file_bytes),
	FIELD("agent_shmem", unsigned, oom.agent_shmem_bytes),
	FIELD("agent_kernel", unsigned, oom.agent_kernel_bytes),
	FIELD("largest", chars, oom.largest),
	FIELD("tool", unsigned, oom.tool_number),
	FIELD("tool_group", unsigned, oom.tool_group),
	FIELD("tool_name", chars, oom.tool_name),
	FIELD("tool_peak", unsigned, oom.tool_peak_bytes),
};
static const struct trace_field killed_fields[] = {
	VICTIM(killed.victim),
	FIELD("sender_pid", signed, killed.sender_pid),
	FIELD("sender_uid", unsigned, killed.sender_uid),
	FIELD("sender_comm", chars, killed.sender_comm),
	FIELD("is_oomd", flag, killed.is_oomd),
};
/* All events of tools have one struct. */
static const struct trace_field tool_fields[] = {
	FIELD("agent", agent, tool.agent),
	FIELD("pid", signed, tool.id.pid),
	FIELD("start", unsigned, tool.id.start_ticks),
	WORD("action", tool.action, action_word, ACTION_KINDS),
	FIELD("error", signed, tool.error),
	FIELD("cgroup_id", unsigned, tool.cgroup_id),
	FIELD("memory_id", unsigned, tool.memory_id),
	FIELD("since", unsigned, tool.since_ns),
	FIELD("memory", unsigned, tool.memory_bytes),
	FIELD("found", unsigned, tool.found),
	FIELD("name", chars, tool.name),
};
static const struct trace_field host_fields[] = {
	FIELD("total", unsigned, host.total_bytes),
	FIELD("available", unsigned, host.available_bytes),
	FIELD("swap_total", unsigned, host.swap_total_bytes),
	FIELD("swap_free", unsigned, host.swap_free_bytes),
	FIELD("full_ns", unsigned, host.full_ns),
};
static const struct trace_field weight_fields[] = {
	WEIGHT("agent", agent, agent),
	WEIGHT("bytes", unsigned, bytes),
	WEIGHT("ppid", signed, ppid),
};
static const struct trace_items weights = {TRACE_ROWS(weight_fields, false), sizeof(struct agent_weight),
					   offsetof(struct event, weighed.items), offsetof(struct event, weighed.n),
					   offsetof(struct trace_event, weights)};
static const struct trace_field weighed_fields[] = {LIST("weight", weights)};
static const struct trace_field life_fields[] = {
	LIFE("agent", agent, agent),
	LIFE("cpu_ns", unsigned, cpu_ns),
	LIFE("io", unsigned, io_bytes),
	LIFE("child_faults", unsigned, child_faults),
	LIFE("connects", unsigned, connects),
	LIFE("accepts", unsigned, accepts),
	LIFE("net", unsigned, net_bytes),
	LIFE("spawns", unsigned, spawns),
	LIFE("has_input", flag, has_input),
	LIFE("is_traced", flag, is_traced),
	LIFE("is_stopped", flag, is_stopped),
	LIFE("wait_since", unsigned, wait.since_ns),
	LIFE("wait_unread", unsigned, wait.unread),
	LIFE("wait_is_listening", flag, wait.is_listening),
	LIFE("wait_socket", chars, wait.socket),
};
static const struct trace_items lives = {TRACE_ROWS(life_fields, false), sizeof(struct activity_view),
					 offsetof(struct event, activity.items), offsetof(struct event, activity.n),
					 offsetof(struct trace_event, activities)};
static const struct trace_field activity_fields[] = {LIST("of", lives)};
static const struct trace_field ending_fields[] = {FIELD("drains", flag, ending.drains)};
static const struct trace_field pressure_fields[] = {
	FIELD("agent", agent, pressure.agent),
	FIELD("some_us", unsigned, pressure.view.some_us),
	FIELD("full_us", unsigned, pressure.view.full_us),
	FIELD("some_avg10_milli", unsigned, pressure.view.some_avg10_milli),
	FIELD("full_avg10_milli", unsigned, pressure.view.full_avg10_milli),
	FIELD("memory", unsigned, pressure.view.memory_bytes),
	FIELD("file", unsigned, pressure.view.file_bytes),
	FIELD("swap_free", unsigned, pressure.view.swap_free_bytes),
	FIELD("highs", unsigned, pressure.view.highs),
	FIELD("maxes", unsigned, pressure.view.maxes),
	FIELD("ooms", unsigned, pressure.view.ooms),
	FIELD("oom_kills", unsigned, pressure.view.oom_kills),
	FIELD("can_reclaim", flag, pressure.view.can_reclaim),
	FIELD("can_throttle", flag, pressure.view.can_throttle),
};
static const struct trace_field restart_fields[] = {
	RESTART("id", unsigned, id),
	RESTART("policy", chars, policy),
	RESTART("crashes", crashes, id),
	RESTART("starts", unsigned, starts),
	RESTART("used", unsigned, used_ns),
	RESTART("delayed", unsigned, delayed_ns),
	RESTART("has_code", flag, has_exit_code),
	RESTART("code", signed, exit_code),
};
static const struct trace_field fanout_fields[] = {
	FIELD("owner", unsigned, fanout.owner),	  FIELD("mark", unsigned, fanout.mark),
	FIELD("births", unsigned, fanout.births), FIELD("window_ns", unsigned, fanout.window_ns),
	FIELD("pid", signed, fanout.pid),	  FIELD("comm", chars, fanout.comm),
};
static const struct trace_field freed_fields[] = {
	FIELD("pid", signed, freed.pid),
	FIELD("start", unsigned, freed.start_ticks),
};
static const struct trace_field traced_fields[] = {
	FIELD("agent", agent, traced.agent),
	FIELD("tracer", signed, traced.tracer_pid),
};
static const struct trace_field tick_fields[] = {
	FIELD("slice_bytes", unsigned, tick.slice_bytes),
	FIELD("looked_ns", unsigned, tick.looked_ns),
};
static const struct trace_field suspended_fields[] = {FIELD("policy", string, suspended.policy)};
static const struct trace_field past_kill_fields[] = {FIELD("kill_ns", unsigned, past_kill.kill_ns)};
static const struct trace_field orphaned_fields[] = {FIELD("agent", agent, orphaned.agent)};

const struct trace_fields trace_event_fields[EVENT_KINDS] = {
	[EVENT_POLICIES] = TRACE_ROWS(policies_fields, true),
	[EVENT_EXEC] = TRACE_ROWS(exec_fields, true),
	[EVENT_FORK] = TRACE_ROWS(fork_fields, true),
	[EVENT_EXIT] = TRACE_ROWS(exit_fields, true),
	[EVENT_HOLD] = TRACE_ROWS(hold_fields, true),
	[EVENT_SEEN] = TRACE_ROWS(seen_fields, true),
	[EVENT_FOUND] = TRACE_ROWS(found_fields, false),
	[EVENT_EMPTY] = TRACE_ROWS(empty_fields, false),
	[EVENT_SAMPLE] = TRACE_ROWS(sample_fields, true),
	[EVENT_LOST] = TRACE_ROWS(lost_fields, true),
	[EVENT_CENSUS_END] = TRACE_NO_ROWS(true),
	[EVENT_RELEASED] = TRACE_ROWS(released_fields, false),
	[EVENT_SWEPT] = TRACE_ROWS(swept_fields, false),
	[EVENT_COMMAND] = TRACE_ROWS(command_fields, false),
	[EVENT_RESULT] = TRACE_ROWS(result_fields, false),
	[EVENT_CONNECTS] = TRACE_ROWS(connects_fields, true),
	[EVENT_CONNECTS_END] = TRACE_ROWS(connects_end_fields, true),
	[EVENT_SOCKETS] = TRACE_ROWS(sockets_fields, true),
	[EVENT_OOM] = TRACE_ROWS(oom_fields, true),
	[EVENT_KILLED] = TRACE_ROWS(killed_fields, true),
	[EVENT_TOOL_FOUND] = TRACE_ROWS(tool_fields, false),
	[EVENT_TOOL_RESULT] = TRACE_ROWS(tool_fields, false),
	[EVENT_TOOL_EMPTY] = TRACE_ROWS(tool_fields, false),
	[EVENT_TOOL_SAMPLE] = TRACE_ROWS(tool_fields, false),
	[EVENT_TOOL_WEIGHED] = TRACE_ROWS(tool_fields, false),
	[EVENT_TOOL_LOOKED] = TRACE_ROWS(tool_fields, false),
	[EVENT_HOST] = TRACE_ROWS(host_fields, true),
	[EVENT_WEIGHED] = TRACE_ROWS(weighed_fields, false),
	[EVENT_PRESSURE] = TRACE_ROWS(pressure_fields, true),
	[EVENT_ENDING] = TRACE_ROWS(ending_fields, false),
	[EVENT_ACTIVITY] = TRACE_ROWS(activity_fields, true),
	[EVENT_RESTART] = TRACE_ROWS(restart_fields, false),
	[EVENT_SUSPENDED] = TRACE_ROWS(suspended_fields, false),
	[EVENT_PAST_KILL] = TRACE_ROWS(past_kill_fields, false),
	[EVENT_ORPHANED] = TRACE_ROWS(orphaned_fields, true),
	[EVENT_FANOUT] = TRACE_ROWS(fanout_fields, true),
	[EVENT_FREED] = TRACE_ROWS(freed_fields, false),
	[EVENT_TRACED] = TRACE_ROWS(traced_fields, true),
	[EVENT_TICK] = TRACE_ROWS(tick_fields, false),
};

bool trace_is_external(enum event_kind kind)
{
	return trace_event_fields[kind].is_external;
}
