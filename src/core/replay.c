/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/replay.h"

#include "core/trace_private.h"

#include <stdarg.h>

/* Lines that belong together: the YAML of a policy, the decisions of an event. */
struct lines {
	char *bytes; /* terminated; NULL: empty */
	size_t length, size;
};

struct replay {
	struct replay_calls calls;
	bool is_others;
	bool has_head, has_policies;
	struct state *state;
	struct actions actions;
	struct trace_names names;
	struct trace_event *trace_event;
	uint64_t timer_ns; /* that step() has asked for, under other policies */
	size_t line;
	/* Of the last event. */
	size_t event_line;
	char event_text[160]; /* cut */
	struct lines wanted, got;
	/* The YAML that is being read. */
	bool is_reading;
	char policy[POLICY_NAME_MAX]; /* "": the host's */
	struct lines yaml;
	struct replay_counts counts;
	char action_text[TRACE_LINE_MAX];
	char error[512];
};

static int _printf_(2, 3) wrong(struct replay *replay, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(replay->error, sizeof(replay->error), format, args);
	va_end(args);
	return -EINVAL;
}

static int lines_add(struct lines *lines, const char *line)
{
	size_t length = strlen(line), wanted = lines->length + length + 2;

	if (wanted > lines->size) {
		size_t size = MAX2(wanted, 2 * lines->size);
		char *bytes = realloc(lines->bytes, size);

		if (!bytes)
			return -ENOMEM;
		lines->bytes = bytes;
		lines->size = size;
	}
	memcpy(lines->bytes + lines->length, line, length);
	lines->length += length;
	if (length == 0 || line[length - 1] != '\n')
		lines->bytes[lines->length++] = '\n';
	lines->bytes[lines->length] = '\0';
	return 0;
}

static void lines_clear(struct lines *lines)
{
	lines->length = 0;
	if (lines->bytes)
		lines->bytes[0] = '\0';
}

static const char *lines_text(const struct lines *lines)
{
	return lines->bytes ? lines->bytes : "";
}

int replay_new(const struct replay_calls *calls, bool others, struct replay **ret_replay)
{
	_cleanup_(replay_freep) struct replay *replay = calloc(1, sizeof(*replay));

	if (!replay)
		return -ENOMEM;
	replay->calls = *calls;
	replay->is_others = others;
	replay->timer_ns = UINT64_MAX;
	replay->trace_event = trace_event_new();
	if (!replay->trace_event)
		return -ENOMEM;
	*ret_replay = TAKE_PTR(replay);
	return 0;
}

struct replay *replay_free(struct replay *replay)
{
	if (!replay)
		return NULL;
	trace_names_done(&replay->names);
	trace_event_free(replay->trace_event);
	actions_done(&replay->actions);
	state_free(replay->state);
	free(replay->wanted.bytes);
	free(replay->got.bytes);
	free(replay->yaml.bytes);
	free(replay);
	return NULL;
}

const char *replay_error(const struct replay *replay)
{
	return replay->error;
}

const struct trace_names *replay_names(const struct replay *replay)
{
	return &replay->names;
}

void replay_count(const struct replay *replay, struct replay_counts *ret_counts)
{
	*ret_counts = replay->counts;
}

/* ---- events ---- */

static int keep_decisions(struct replay *replay)
{
	for (size_t i = 0; i < replay->actions.n; i++) {
		struct text text = TEXT_ON(replay->action_text);
		int r;

		text.bytes[0] = '\0';
		trace_encode_action(&replay->actions.items[i], &replay->names, &text);
		if (!text.length)
			continue;
		replay->counts.decisions++;
		r = lines_add(&replay->got, text.bytes);
		if (r < 0)
			return r;
	}
	return 0;
}

static int do_step(struct replay *replay, const struct event *event)
{
	uint64_t dropped = replay->actions.dropped;
	int r;

	step(replay->state, event, &replay->actions);
	if (replay->actions.dropped != dropped)
		return -ENOMEM;
	trace_names_learn(&replay->names, replay->state);
	r = keep_decisions(replay);
	if (replay->calls.stepped)
		replay->calls.stepped(replay->state, event->time_ns, &replay->actions, replay->calls.userdata);
	for (size_t i = 0; i < replay->actions.n; i++)
		if (replay->actions.items[i].kind == ACTION_TIMER)
			replay->timer_ns = replay->actions.items[i].time_ns;
	trace_names_forget(&replay->names, &replay->actions);
	return r;
}

static bool has_asked(const struct replay *replay, enum action_kind kind)
{
	for (size_t i = 0; i < replay->actions.n; i++)
		if (replay->actions.items[i].kind == kind)
			return true;
	return false;
}

/* Under other policies: what was due before. */
static int do_ticks(struct replay *replay, uint64_t until_ns)
{
	while (replay->timer_ns <= until_ns) {
		struct event tick = {.kind = EVENT_TICK, .time_ns = replay->timer_ns};
		int r;

		replay->timer_ns = UINT64_MAX;
		r = do_step(replay, &tick);
		if (r < 0)
			return r;
	}
	return 0;
}

static int step_under_others(struct replay *replay, struct event *event, bool is_known)
{
	struct event end = {.kind = EVENT_CENSUS_END, .time_ns = event->time_ns};
	int r;

	if (!trace_is_external(event->kind) || !is_known || (event->kind == EVENT_POLICIES && replay->has_policies)) {
		replay->counts.skipped++;
		return 0;
	}
	r = do_ticks(replay, event->time_ns);
	if (r < 0)
		return r;
	r = do_step(replay, event);
	/* It has nothing to tell that the trace doesn't, but its end is waited for. */
	while (r == 0 && has_asked(replay, ACTION_CENSUS))
		r = do_step(replay, &end);
	return r;
}

static int tell_difference(struct replay *replay)
{
	const char *wanted = lines_text(&replay->wanted), *got = lines_text(&replay->got);

	if (!streq(wanted, got)) {
		replay->counts.differences++;
		if (replay->calls.differs && !replay->is_others)
			replay->calls.differs(replay->event_line, replay->event_text, wanted, got,
					      replay->calls.userdata);
	}
	lines_clear(&replay->wanted);
	lines_clear(&replay->got);
	return 0;
}

static int event_line(struct replay *replay, const char *line)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = NULL;
	struct event *event;
	bool is_known;
	int r = tell_difference(replay);

	if (r == 0)
		r = trace_decode(line, &replay->names, replay->trace_event, &event, &is_known);
	if (r < 0)
		return wrong(replay, "%s", trace_error(replay->trace_event));
	if (!replay->has_policies && event->kind != EVENT_POLICIES)
		return wrong(replay, "an event before the policies");
	if (event->kind == EVENT_POLICIES) {
		r = replay->calls.policies(&set, replay->calls.userdata);
		if (r < 0)
			return wrong(replay, "these policies can't be loaded");
		event->policies.set = set;
		event->policies.observe |= replay->is_others;
	}
	replay->event_line = replay->line;
	text_copy(replay->event_text, sizeof(replay->event_text), line);
	replay->counts.events++;
	r = replay->is_others ? step_under_others(replay, event, is_known) : do_step(replay, event);
	replay->has_policies = true;
	return r;
}

/* ---- lines ---- */

static int head_line(struct replay *replay, const char *line)
{
	static const char magic[] = "govd-trace ";
	uint64_t version, seed;
	char digits[24] = "";
	const char *at = line + strlen(magic);

	if (strncmp(line, magic, strlen(magic)) != 0)
		return wrong(replay, "this is no trace of govd: it begins with `govd-trace 1 seed=NUMBER`");
	text_copy(digits, MIN2(sizeof(digits), strcspn(at, " ") + 1), at);
	if (!trace_parse_number(digits, UINT32_MAX, &version) || version != TRACE_VERSION)
		return wrong(replay, "a trace of version %s: wanted %d", digits, TRACE_VERSION);
	at += strcspn(at, " ");
	if (strncmp(at, " seed=", strlen(" seed=")) != 0 ||
	    !trace_parse_number(at + strlen(" seed="), UINT64_MAX, &seed))
		return wrong(replay, "the first line has no seed=NUMBER");
	replay->state = state_new(seed);
	replay->has_head = true;
	return replay->state ? 0 : -ENOMEM;
}

/* The YAML is complete. */
static int yaml_end(struct replay *replay)
{
	int r = 0;

	if (!replay->is_reading)
		return 0;
	replay->is_reading = false;
	if (!replay->is_others)
		r = replay->calls.policy(*replay->policy ? replay->policy : NULL, lines_text(&replay->yaml),
					 replay->calls.userdata);
	lines_clear(&replay->yaml);
	return r < 0 ? wrong(replay, "the policy above can't be loaded") : 0;
}

static int yaml_begin(struct replay *replay, const char *name)
{
	replay->is_reading = true;
	if (!text_copy(replay->policy, sizeof(replay->policy), name))
		return wrong(replay, "a policy's name is shorter than %d bytes", POLICY_NAME_MAX);
	return 0;
}

int replay_line(struct replay *replay, const char *line)
{
	int r;

	replay->line++;
	if (!replay->has_head)
		return head_line(replay, line);
	if (!*line || *line == '#')
		return 0;
	if (*line == '\t')
		return replay->is_reading ? lines_add(&replay->yaml, line + 1)
					  : wrong(replay, "a line behind a tab belongs to no policy");
	r = yaml_end(replay);
	if (r < 0)
		return r;
	if (strncmp(line, "policy ", strlen("policy ")) == 0 && line[strlen("policy ")])
		return yaml_begin(replay, line + strlen("policy "));
	if (streq(line, "host"))
		return yaml_begin(replay, "");
	if (*line == '>')
		return lines_add(&replay->wanted, line);
	return event_line(replay, line);
}

int replay_end(struct replay *replay)
{
	int r = yaml_end(replay);

	if (r < 0)
		return r;
	return replay->has_head ? tell_difference(replay) : wrong(replay, "it is empty");
}
