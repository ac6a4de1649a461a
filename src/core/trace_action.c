/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace_private.h"

/* What was decided: actions that change or tell something. Those that look, or tidy up, aren't written. */

#define FIELD(name, kind, member) TRACE_FIELD(name, kind, action, member, TRACE_EVENT)
/* Only written. */
#define WORD(name, member, word) TRACE_WORD(name, action, member, word, 0, TRACE_EVENT)

static const char *incident_word(int number)
{
	return incident_kind_name((enum incident_kind)number);
}

static const char *reply_word(int number)
{
	static const char *const words[] = {
		[REPLY_OK] = "ok",
		[REPLY_NO_SUCH_PROCESS] = "no-such-process",
		[REPLY_NO_SUCH_AGENT] = "no-such-agent",
		[REPLY_NO_SUCH_POLICY] = "no-such-policy",
		[REPLY_NO_MATCH] = "no-match",
		[REPLY_PROTECTED] = "protected",
		[REPLY_DENIED] = "denied",
		[REPLY_ALREADY] = "already",
		[REPLY_OBSERVED] = "observed",
		[REPLY_BUSY] = "busy",
		[REPLY_FULL] = "full",
		[REPLY_FAILED] = "failed",
	};

	return words[number];
}

static const struct trace_field process_fields[] = {
	FIELD("pid", signed, process.pid),
	FIELD("signal", signed, process.signal),
};
static const struct trace_field tool_fields[] = {
	FIELD("tool", signed, tool.id.pid),
	FIELD("pid", signed, tool.pid),
	FIELD("signal", signed, tool.signal),
};
static const struct trace_field hold_fields[] = {
	FIELD("token", unsigned, hold.token),
	FIELD("is_refused", flag, hold.is_refused),
};
static const struct trace_field reply_fields[] = {
	FIELD("request", unsigned, reply.request),
	WORD("code", reply.code, reply_word),
	FIELD("error", signed, reply.error),
	FIELD("reused", flag, reply.reused),
};
static const struct trace_field record_fields[] = {
	WORD("kind", incident.kind, incident_word),
	FIELD("policy", chars, incident.policy),
	FIELD("key", chars, incident.key),
	FIELD("rule", string, incident.rule),
	FIELD("action", string, incident.action),
	FIELD("result", string, incident.result),
	FIELD("error", signed, incident.error),
	FIELD("by", by, incident.by_uid),
	FIELD("", facts, incident),
};
static const struct trace_field freeze_fields[] = {FIELD("is_brief", flag, is_brief)};
static const struct trace_field reclaim_fields[] = {FIELD("bytes", unsigned, bytes)};

static const struct trace_fields trace_action_fields[ACTION_KINDS] = {
	[ACTION_PLACE] = TRACE_ROWS(process_fields, false),
	[ACTION_MOVE] = TRACE_ROWS(process_fields, false),
	[ACTION_EVICT] = TRACE_ROWS(process_fields, false),
	[ACTION_LIMIT] = TRACE_NO_ROWS(false),
	[ACTION_RELEASE] = TRACE_NO_ROWS(false),
	[ACTION_FREEZE] = TRACE_ROWS(freeze_fields, false),
	[ACTION_THAW] = TRACE_NO_ROWS(false),
	[ACTION_SIGNAL] = TRACE_ROWS(process_fields, false),
	[ACTION_SIGNAL_ALL] = TRACE_ROWS(process_fields, false),
	[ACTION_KILL] = TRACE_NO_ROWS(false),
	[ACTION_HOLD_ANSWER] = TRACE_ROWS(hold_fields, false),
	[ACTION_REPLY] = TRACE_ROWS(reply_fields, false),
	[ACTION_RECORD] = TRACE_ROWS(record_fields, false),
	[ACTION_PACE] = TRACE_NO_ROWS(false),
	[ACTION_UNPACE] = TRACE_NO_ROWS(false),
	[ACTION_TOOL_PLACE] = TRACE_ROWS(tool_fields, false),
	[ACTION_TOOL_SIGNAL] = TRACE_ROWS(tool_fields, false),
	[ACTION_TOOL_KILL] = TRACE_ROWS(tool_fields, false),
	[ACTION_RECLAIM] = TRACE_ROWS(reclaim_fields, false),
};

void trace_encode_action(const struct action *action, const struct trace_names *names, struct text *text)
{
	const void *const bases[] = {action};
	char name[TRACE_AGENT_MAX] = "-";

	if (!trace_action_fields[action->kind].is_told)
		return;
	if (action->agent)
		trace_name_format(names, action->agent->handle, name);
	text_addf(text, "> %s %s", action_kind_name(action->kind), name);
	trace_format_fields(&trace_action_fields[action->kind], bases, names, text);
	text_add(text, "\n");
}
