/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "conf/conf.h"
#include "core/match.h"
#include "core/state.h"
#include "core/trace_private.h"
#include "random.h"
#include "world.h"

#define EXE "/opt/bots/bot"

/* What an agent may call itself, and worse. */
static const char *const strings[] = {
	"/opt/bots/bot", "",	"two words", "a \"quoted\" one", "back\\slash", "line\nfeed", "\x1b[31mred", "\xff",
	"grün",		 "max", "=",	     "> kill 100 pid=1",
};

static const char *random_string(void)
{
	return strings[next_random() % ELEMENTSOF(strings)];
}

static const gid_t gids[] = {0, 1000, UINT32_MAX};
static uint64_t crashes[] = {1, UINT64_MAX, 3};
static struct proc_env env[] = {{"ROOM", "blue one"}, {"A", ""}};

static void fill(const struct trace_field *field, void *base);

static void fill_list(const struct trace_field *field, struct event *event)
{
	static char room[8192];
	size_t n = next_random() % 4;

	cr_assert_leq(n * field->items->size, sizeof(room));
	memset(room, 0, sizeof(room));
	*(void **)(void *)((char *)event + field->items->items_at) = room;
	*(size_t *)(void *)((char *)event + field->items->n_at) = n;
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < field->items->fields.n; j++)
			fill(&field->items->fields.items[j], room + i * field->items->size);
}

/* Something that the field can hold. */
static void fill(const struct trace_field *field, void *base)
{
	char *at = (char *)base + field->offset;
	struct event *event = base;

	if (field->type == &trace_unsigned)
		memset(at, next_random() % 4 ? (int)(next_random() & 0x7f) : 0xff, field->size);
	else if (field->type == &trace_signed)
		*(int32_t *)(void *)at = (int32_t)(next_random() & INT32_MAX) * (next_random() % 2 ? 1 : -1);
	else if (field->type == &trace_flag)
		*(bool *)at = next_random() % 2;
	else if (field->type == &trace_string)
		*(const char **)(void *)at = random_string();
	else if (field->type == &trace_chars)
		text_copy(at, field->size, random_string());
	else if (field->type == &trace_agent)
		*(uint64_t *)(void *)at = next_random() % 3;
	else if (field->type == &trace_words)
		*(int *)(void *)at = (int)(next_random() % (uint64_t)field->n_words);
	else if (field->type == &trace_env)
		((struct proc *)(void *)at)->env = env, ((struct proc *)(void *)at)->n_env = next_random() % 3;
	else if (field->type == &trace_gids)
		event->command.gids = gids, event->command.n_gids = next_random() % 4;
	else if (field->type == &trace_list)
		fill_list(field, event);
	else if (field->type == &trace_crashes)
		((struct restart *)base)->crash_ns = crashes,
				 ((struct restart *)base)->n_crashes = (uint32_t)(next_random() % 3);
	else
		cr_assert(false, "a type of which this test knows nothing");
}

static void fill_event(enum event_kind kind, struct event *event, struct agent *found, struct restart *restart)
{
	const struct trace_fields *fields = &trace_event_fields[kind];
	void *const bases[] = {[TRACE_EVENT] = event, [TRACE_FOUND] = found, [TRACE_RESTART] = restart};

	*event = (struct event){.kind = kind, .time_ns = next_random() >> 2};
	if (kind == EVENT_FOUND)
		event->found.agent = found;
	if (kind == EVENT_RESTART)
		event->restart.restart = restart;
	for (size_t i = 0; i < fields->n; i++)
		fill(&fields->items[i], bases[fields->items[i].base]);
}

static void two_agents(struct world *world, struct trace_names *names)
{
	const struct world_policy policy = {.name = "bots", .exe = EXE};

	world_init(world, &policy, 1);
	for (pid_t pid = 100; pid < 102; pid++) {
		struct proc proc = world_proc(pid, EXE);

		world_exec(world, &proc, 0);
		world_placed(world, 0);
	}
	trace_names_learn(names, world->state);
	cr_assert_eq(names->last_handle, 2);
}

TestSuite(trace, .timeout = 60);

Test(trace, property_what_is_written_is_read_the_same)
{
	_cleanup_(trace_event_freep) struct trace_event *trace_event = trace_event_new();
	static char first[TRACE_LINE_MAX], second[TRACE_LINE_MAX];
	struct trace_names names = {0};
	struct world world;

	two_agents(&world, &names);
	for (int round = 0; round < 500 * EVENT_KINDS; round++) {
		enum event_kind kind = (enum event_kind)(round % EVENT_KINDS);
		struct text text = TEXT_ON(first), again = TEXT_ON(second);
		struct agent found = {0};
		struct restart restart = {0};
		struct event event, *read;
		bool is_known;

		cr_assert_not_null(event_kind_name(kind), "event %d has no name", (int)kind);
		cr_assert(trace_event_fields[kind].is_told, "%s has no row in trace_fields.c", event_kind_name(kind));
		fill_event(kind, &event, &found, &restart);
		trace_encode(&event, &names, &text);
		cr_assert(!text.truncated && first[text.length - 1] == '\n');
		cr_assert_eq(strchr(first, '\n'), first + text.length - 1, "one event is one line: %s", first);
		first[text.length - 1] = '\0';
		cr_assert_eq(trace_decode(first, &names, trace_event, &read, &is_known), 0, "%s: %s", first,
			     trace_error(trace_event));
		cr_assert(is_known && read->time_ns == event.time_ns && read->kind == kind);
		trace_encode(read, &names, &again);
		second[again.length - 1] = '\0';
		cr_assert_str_eq(first, second);
	}
	trace_names_done(&names);
	world_done(&world);
}

Test(trace, what_cannot_be_read_is_told)
{
	static const char *const wrong[] = {
		"",
		"x exec",
		"1e3 exec",
		"-1 exec",
		"1.0000000001 exec",
		"99999999999999999999 exec",
		"1",
		"1 exact",
		"1 exec pid",
		"1 exec =1",
		"1 exec pid=",
		"1 exec pid=1x",
		"1 exec pid=2147483648",
		"1 exec start=18446744073709551616",
		"1 exec uid=-1",
		"1 exec exe=\"unfinished",
		"1 exec exe=\"a\"b",
		"1 exec exe=\"\\x0",
		"1 exec exe=\"\\x00\"",
		"1 exec room=1",
		"1 result action=dance",
		"1 exit has_code=maybe",
		"1 oom comm=0123456789abcdef",
		"1 found pid=1",
		"1 weighed weight=\"agent=100 room=1\"",
		"1 command command=run gids=1,,2",
	};
	_cleanup_(trace_event_freep) struct trace_event *trace_event = trace_event_new();
	struct trace_names names = {0};
	struct event *event;
	bool is_known;

	for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
		cr_expect_eq(trace_decode(wrong[i], &names, trace_event, &event, &is_known), -EINVAL, "%s", wrong[i]);
		cr_expect(*trace_error(trace_event), "%s", wrong[i]);
	}
	cr_expect_eq(trace_decode("1.5 exit agent=1", &names, trace_event, &event, &is_known), -EINVAL);
	cr_assert_eq(trace_decode("1.5 empty agent=7", &names, trace_event, &event, &is_known), 0);
	cr_expect(!is_known && event->time_ns == 1500 * NSEC_PER_MSEC && event->empty.agent == UINT64_MAX);
}

Test(trace, an_agent_is_named_after_its_first_process)
{
	struct trace_names names = {0};
	char name[TRACE_AGENT_MAX];
	struct world world;
	struct proc proc;

	two_agents(&world, &names);
	trace_name_format(&names, 1, name);
	cr_expect_str_eq(name, "100");
	/* Its root has ended, and its pid is another's now. */
	world_exit(&world, 100, 0);
	proc = world_proc(100, EXE);
	proc.start_ticks++;
	world_exec(&world, &proc, 0);
	trace_names_learn(&names, world.state);
	trace_name_format(&names, 3, name);
	cr_expect_str_eq(name, "100.2");
	cr_expect_eq(trace_name_find(&names, "100.2"), 3);
	cr_expect_eq(trace_name_find(&names, "100"), 1);
	world_empty(&world, 1);
	trace_names_forget(&names, &world.actions);
	world_removed(&world, 1, 0);
	trace_names_forget(&names, &world.actions);
	cr_expect_eq(trace_name_find(&names, "100"), UINT64_MAX);
	trace_name_format(&names, 1, name);
	cr_expect_str_eq(name, "gone");
	trace_names_done(&names);
	world_done(&world);
}

/* ---- what is private ---- */

static struct policy_set *make_set(const char *yaml)
{
	static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};
	struct conf_errors errors = {0};
	struct conf_trace trace = {.file = "test", .host = &host, .errors = &errors};
	struct policy_set *set;

	cr_assert_eq(conf_trace_policy("bots", yaml, &trace), 0, "%s", errors.n ? errors.lines[0] : "");
	cr_assert_eq(conf_trace_policies(&set, &trace), 0);
	return set;
}

Test(trace, of_arguments_only_what_a_policy_matches_is_kept)
{
	static const char *const yaml = "match: {exe: /opt/bots/*, args: '--input-format stream-json'}\n"
					"key: {args: '--room=(\\S+)'}\n";
	_cleanup_(policy_set_unrefp) struct policy_set *set = make_set(yaml);
	static struct trace_reduced reduced;
	struct proc_env variables[] = {{"TOKEN", "secret"}};
	struct proc proc = world_proc(100, EXE);

	proc.args = "bot --token=secret --input-format stream-json --x--room=blue/1 secret";
	proc.parent_exe = "/secret";
	proc.env = variables;
	proc.n_env = 1;
	cr_assert(trace_reduce(set, NULL, &proc, &reduced));
	cr_expect_str_eq(reduced.proc.args, "* * --input-format stream-json *--room=blue/1 *");
	cr_expect_eq(reduced.proc.n_env, 0);
	cr_expect_null(reduced.proc.parent_exe);
	cr_expect_str_eq(reduced.proc.exe, EXE);
	/* Nobody's. */
	proc.args = "bot --token=secret";
	cr_assert(trace_reduce(set, NULL, &proc, &reduced));
	cr_expect(!reduced.proc.args && !reduced.proc.exe && !reduced.proc.directory && !reduced.proc.cgroup);
}

Test(trace, arguments_that_are_looked_at_but_not_matched_are_told_of)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set =
		make_set("match: {exe: /opt/bots/*, args: '--room(?==blue)'}\n");
	static struct trace_reduced reduced;
	struct proc proc = world_proc(100, EXE);

	proc.args = "bot --room=blue";
	cr_assert_not_null(match_find(set, &proc));
	cr_expect(!trace_reduce(set, NULL, &proc, &reduced));
	cr_expect_str_eq(reduced.proc.args, "* --room*");
}

Test(trace, of_variables_only_those_that_the_policy_names_are_kept)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set =
		make_set("match: {exe: /opt/bots/*, env: {MODE: [agent]}}\nkey: {env: ROOM}\n");
	static struct trace_reduced reduced;
	struct proc_env variables[] = {{"MODE", "agent"}, {"pm_exec_path", "/secret"}, {"ROOM", "blue"}};
	struct proc proc = world_proc(100, EXE);

	proc.env = variables;
	proc.n_env = ELEMENTSOF(variables);
	cr_assert(trace_reduce(set, NULL, &proc, &reduced));
	cr_assert_eq(reduced.proc.n_env, 2);
	cr_expect_str_eq(reduced.proc.env[0].name, "MODE");
	cr_expect_str_eq(reduced.proc.env[1].value, "blue");
	cr_expect_null(reduced.proc.args);
}

Test(trace, what_a_scan_comes_across_is_left_out_unless_it_matters)
{
	struct event event = {.kind = EVENT_SEEN};
	struct trace_names names = {0};
	struct world world;

	two_agents(&world, &names);
	event.seen.proc = world_proc(7, "/usr/bin/vi");
	cr_expect(!trace_matters(world.state, &event));
	event.seen.proc.mark = 5;
	cr_expect(trace_matters(world.state, &event));
	event.seen.proc = world_proc(7, EXE);
	cr_expect(trace_matters(world.state, &event));
	event.seen.proc = world_proc(7, "/usr/bin/vi");
	event.seen.proc.cgroup_id = 1001;
	cr_expect(trace_matters(world.state, &event));
	event.seen.proc = world_proc(7, "/usr/bin/vi");
	event.seen.proc.ppid = 101;
	cr_expect(trace_matters(world.state, &event));
	trace_names_done(&names);
	world_done(&world);
}

Test(trace, the_hosts_configuration_is_written_and_read_the_same)
{
	static const char *const yamls[] = {
		"",
		"emergency: {memory_available: 7%, pressure_full: 33%, for: 3s, kills_per_min: 9}\n"
		"protect: [/usr/bin/x*, /opt/y]\nincidents: {keep: 7d, max: 500}\nwatch_strangers: true\n",
		"emergency: {memory_available: 300M}\nprotect: []\n",
	};

	for (size_t i = 0; i < ELEMENTSOF(yamls); i++) {
		struct host_config config, again;
		struct conf_errors errors = {0};
		_cleanup_free_ char *first = NULL, *second = NULL;
		struct conf_text text = {.file = "a", .bytes = yamls[i], .length = strlen(yamls[i])};

		cr_assert_eq(conf_host_parse(&text, &config, &errors), 0);
		cr_assert_eq(conf_host_dump(&config, &first), 0);
		text = (struct conf_text){.file = "b", .bytes = first, .length = strlen(first)};
		cr_assert_eq(conf_host_parse(&text, &again, &errors), 0, "%s: %s", first,
			     errors.n ? errors.lines[0] : "");
		cr_assert_eq(conf_host_dump(&again, &second), 0);
		cr_expect_str_eq(first, second);
		cr_expect_eq(memcmp(&config.emergency, &again.emergency, sizeof(config.emergency)), 0);
		cr_expect_eq(config.protect.n, again.protect.n);
		cr_expect(config.incidents_keep_ns == again.incidents_keep_ns &&
			  config.incidents_max == again.incidents_max &&
			  config.watch_strangers == again.watch_strangers);
		host_config_done(&config);
		host_config_done(&again);
	}
}
