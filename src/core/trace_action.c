/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/trace_private.h"

/* What was decided: actions that change or tell something. Those that look, or tidy up, aren't written. */

#define FIELD(name_, kind, member)                                                                                     \
	{                                                                                                              \
		.name = (name_), .type = &trace_##kind, .offset = offsetof(struct action, member),                     \
		.size = sizeof(((struct action *)NULL)->member)                                                        \
	}
#define WORD(name_, member, word_)                                                                                     \
	{                                                                                                              \
		.name = (name_), .type = &trace_words, .offset = offsetof(struct action, member), .size = sizeof(int), \
		.word = (word_)                                                                                        \
	}

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

#define ROWS(fields)                                                                                                   \
	{                                                                                                              \
		fields, ELEMENTSOF(fields), true, false                                                                \
	}
#define NO_ROWS                                                                                                        \
	{                                                                                                              \
		NULL, 0, true, false                                                                                   \
	}

const struct trace_fields trace_action_fields[ACTION_KINDS] = {
	[ACTION_PLACE] = ROWS(process_fields),
	[ACTION_MOVE] = ROWS(process_fields),
	[ACTION_EVICT] = ROWS(process_fields),
	[ACTION_LIMIT] = NO_ROWS,
	[ACTION_RELEASE] = NO_ROWS,
	[ACTION_FREEZE] = ROWS(freeze_fields),
	[ACTION_THAW] = NO_ROWS,
	[ACTION_SIGNAL] = ROWS(process_fields),
	[ACTION_SIGNAL_ALL] = ROWS(process_fields),
	[ACTION_KILL] = NO_ROWS,
	[ACTION_HOLD_ANSWER] = ROWS(hold_fields),
	[ACTION_REPLY] = ROWS(reply_fields),
	[ACTION_RECORD] = ROWS(record_fields),
	[ACTION_PACE] = NO_ROWS,
	[ACTION_UNPACE] = NO_ROWS,
	[ACTION_TOOL_PLACE] = ROWS(tool_fields),
	[ACTION_TOOL_SIGNAL] = ROWS(tool_fields),
	[ACTION_TOOL_KILL] = ROWS(tool_fields),
	[ACTION_RECLAIM] = ROWS(reclaim_fields),
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
