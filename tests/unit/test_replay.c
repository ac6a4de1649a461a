/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <glob.h>

#include "conf/conf.h"
#include "core/replay.h"
#include "kernel.h"

/* Recorded traces decide again what they decided: golden ones, and those of the simulated kernel. */

#define GOLDEN "tests/golden/*.trace" /* relative to the tree's root, where make starts the tests */

TestSuite(replay, .timeout = 120);

static void print_difference(size_t line, const char *event, const char *wanted, const char *got,
			     _unused_ void *userdata)
{
	cr_log_error("line %zu: %s\nwanted:\n%sgot:\n%s", line, event, wanted, got);
}

static void play_file(const char *path)
{
	static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};
	struct conf_errors errors = {0};
	struct conf_trace trace = {.file = path, .host = &host, .errors = &errors};
	const struct replay_calls calls = {
		.policy = conf_trace_policy,
		.policies = conf_trace_policies,
		.differs = print_difference,
		.userdata = &trace,
	};
	_cleanup_(replay_freep) struct replay *replay = NULL;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	struct replay_counts counts;
	size_t size = 0, n = 0;

	cr_assert_not_null(file, "%s", path);
	cr_assert_eq(replay_new(&calls, false, &replay), 0);
	while (getline(&line, &size, file) > 0) {
		line[strcspn(line, "\n")] = '\0';
		n++;
		cr_assert_eq(replay_line(replay, line), 0, "%s:%zu: %s", path, n, replay_error(replay));
	}
	cr_assert_eq(replay_end(replay), 0);
	replay_count(replay, &counts);
	cr_expect_eq(counts.differences, 0, "%s: `govctl simulate --expect` tells the %zu differences", path,
		     counts.differences);
	cr_expect_gt(counts.decisions, 10, "%s", path);
	conf_trace_done(&trace);
}

Test(replay, golden_traces)
{
	glob_t found;

	cr_assert_eq(glob(GOLDEN, 0, NULL, &found), 0);
	cr_expect_geq(found.gl_pathc, 4);
	for (size_t i = 0; i < found.gl_pathc; i++)
		play_file(found.gl_pathv[i]);
	globfree(&found);
}

/* ---- a trace in memory, of the simulated kernel ---- */

static struct {
	char *lines;
	size_t n, size;
	struct trace_names names;
	struct policy_set *sets[4096];
	size_t n_sets, next_set;
} tape;

static void tape_add(const char *text)
{
	size_t length = strlen(text);

	if (tape.n + length + 1 > tape.size) {
		tape.size = 2 * (tape.n + length + 1);
		tape.lines = realloc(tape.lines, tape.size);
		cr_assert_not_null(tape.lines);
	}
	memcpy(tape.lines + tape.n, text, length + 1);
	tape.n += length;
}

static int next_set(struct policy_set **ret_set, _unused_ void *userdata)
{
	cr_assert_lt(tape.next_set, tape.n_sets);
	*ret_set = policy_set_ref(tape.sets[tape.next_set++]);
	return 0;
}

static void tape_play(void)
{
	const struct replay_calls calls = {.policies = next_set, .differs = print_difference};
	_cleanup_(replay_freep) struct replay *replay = NULL;
	struct replay_counts counts;
	char *rest = tape.lines, *line;

	if (!tape.n)
		return;
	cr_assert_eq(replay_new(&calls, false, &replay), 0);
	while ((line = strsep(&rest, "\n")))
		cr_assert_eq(replay_line(replay, line), 0, "%s: %s", replay_error(replay), line);
	cr_assert_eq(replay_end(replay), 0);
	replay_count(replay, &counts);
	cr_assert_eq(counts.differences, 0);
}

static void tape_begin(uint64_t seed)
{
	char head[64];

	tape_play();
	trace_names_done(&tape.names);
	tape.n = tape.next_set = 0;
	while (tape.n_sets)
		policy_set_unref(tape.sets[--tape.n_sets]);
	snprintf(head, sizeof(head), "govd-trace %d seed=%llu\n", TRACE_VERSION, (unsigned long long)seed);
	tape_add(head);
}

static void tape_event(const struct state *state, const struct event *event)
{
	static char line[TRACE_LINE_MAX];
	struct text text = TEXT_ON(line);

	if (!trace_matters(state, event))
		return;
	if (event->kind == EVENT_POLICIES) {
		cr_assert_lt(tape.n_sets, ELEMENTSOF(tape.sets));
		tape.sets[tape.n_sets++] = policy_set_ref(event->policies.set);
	}
	trace_encode(event, &tape.names, &text);
	tape_add(line);
}

static void tape_actions(const struct state *state, const struct actions *actions)
{
	static char line[TRACE_LINE_MAX];

	trace_names_learn(&tape.names, state);
	for (size_t i = 0; i < actions->n; i++) {
		struct text text = TEXT_ON(line);

		line[0] = '\0';
		trace_encode_action(&actions->items[i], &tape.names, &text);
		tape_add(line);
	}
	trace_names_forget(&tape.names, actions);
}

Test(replay, property_the_same_is_decided_again)
{
	static const struct kernel_recorder recorder = {
		.begin = tape_begin, .event = tape_event, .actions = tape_actions};
	struct kernel *kernel = malloc(sizeof(*kernel));

	cr_assert_not_null(kernel);
	kernel_recorder = &recorder;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		kernel_init(kernel, seed, seed % 2);
		for (unsigned i = 0; i < 600; i++)
			kernel_act(kernel);
		kernel_settle(kernel);
		kernel_done(kernel);
	}
	kernel_recorder = NULL;
	tape_begin(0);
	tape.n = 0;
	free(tape.lines);
	free(kernel);
}
