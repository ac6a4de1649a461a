/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "conf/conf.h"
#include "core/replay.h"

/*
 * Any bytes are a trace or an error: what is read as an event is written and read again the same, and step() bears
 * whatever events there are, in any order; a trace says what its writer likes.
 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};
static char written[TRACE_LINE_MAX], again[TRACE_LINE_MAX];

static void check_line(const char *line, struct trace_event *trace_event)
{
	struct trace_names names = {0};
	struct text text = TEXT_ON(written), back = TEXT_ON(again);
	struct event *event;
	bool is_known;

	if (trace_decode(line, &names, trace_event, &event, &is_known) < 0)
		return;
	trace_encode(event, &names, &text);
	if (text.truncated)
		return;
	written[text.length - 1] = '\0';
	if (trace_decode(written, &names, trace_event, &event, &is_known) < 0)
		abort();
	trace_encode(event, &names, &back);
	again[back.length - 1] = '\0';
	if (!streq(written, again))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf_errors errors = {0};
	struct conf_trace trace = {.file = "fuzz", .host = &host, .errors = &errors};
	const struct replay_calls calls = {
		.policy = conf_trace_policy, .policies = conf_trace_policies, .userdata = &trace};
	struct trace_event *trace_event = trace_event_new();
	char *text = strndup((const char *)data, size), *rest = text, *line;
	struct replay *replay;
	int r = 0;

	if (!text || !trace_event || replay_new(&calls, false, &replay) < 0)
		abort();
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		check_line(line, trace_event);
		r = replay_line(replay, line);
	}
	if (r == 0)
		r = replay_end(replay);
	if (r == -EINVAL && !*replay_error(replay))
		abort();
	replay_free(replay);
	conf_trace_done(&trace);
	conf_errors_done(&errors);
	trace_event_free(trace_event);
	free(text);
	return 0;
}
