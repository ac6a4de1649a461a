/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <signal.h>

#include "conf/conf.h"

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};

static int parse(const char *text, struct policy **ret_policy, struct conf_errors *errors)
{
	return conf_policy_parse(&(struct conf_text){"bots", "bots.yaml", text, strlen(text)}, &host, ret_policy,
				 errors);
}

static struct policy *parse_good(const char *text)
{
	struct policy *policy = NULL;
	struct conf_errors errors = {0};
	int r = parse(text, &policy, &errors);

	cr_assert_eq(r, 0, "%s: %s", text, errors.n ? errors.lines[0] : "");
	cr_assert_eq(errors.n, 0);
	return policy;
}

static const char full[] =
	"match:\n"
	"  exe: [/opt/bots/**/claude, \"/a b/[c]*\"]\n"
	"  script: /srv/agents/*.py\n"
	"  args: [\"--room=\\\\S+\", \"a: b # c\"]\n"
	"  env: {pm_exec_path: \"*/agent.js\", ROOM: [\"*\", \"~\"]}\n"
	"  user: [root, 12345]\n"
	"  cgroup: /system.slice/*\n"
	"  parent: uvicorn\n"
	"key: {args: \"--room=(\\\\S+)\"}\n"
	"mode: observe\n"
	"hold: never\n"
	"placement: nested\n"
	"allow: {users: root, groups: [root]}\n"
	"memory: {high: 400M, max: 25%, swap_max: 0, on_oom: kernel}\n"
	"cpu: {weight: 50, max: 150%}\n"
	"tasks: {max: 512, spawn_rate: 50/s}\n"
	"connect: {rate: 5/min, burst: 3, per: port, max_delay: 1min, on_excess: delay, udp: refuse}\n"
	"breaker: {failures: 7, factor: 1.25, max_interval: 90s, stable_after: 2min}\n"
	"sockets: {max: 100, new_rate: 10/s}\n"
	"restart: {min_uptime: 1s, delay: 2s, factor: 2, max_delay: 1min, limit: 5, window: 1h, on_limit: refuse}\n"
	"lifecycle: {idle: 7min, idle_cpu: 0.5%, idle_io: 2K/min, idle_net: 0, idle_connects: 3/h, idle_spawns: "
	"infinity}\n"
	"hung: {after: 2min}\n"
	"leak: {horizon: 1h}\n"
	"stop: {signal: SIGINT, grace: 1min 30s}\n"
	"priority: -5\n"
	"protect: true\n";

Test(conf, every_key_is_read)
{
	struct policy *p = parse_good(full);

	cr_expect_str_eq(p->name, "bots");
	cr_expect_str_eq(p->file, "bots.yaml");
	cr_assert_eq(p->match.exe.n, 2);
	cr_expect_str_eq(p->match.exe.globs[1], "/a b/[c]*");
	cr_assert_eq(p->match.script.n, 1);
	cr_expect_str_eq(p->match.script.globs[0], "/srv/agents/*.py");
	cr_assert_eq(p->match.n_args, 2);
	cr_expect_str_eq(p->match.args_text[0], "--room=\\S+");
	cr_assert_eq(p->match.n_env, 2);
	cr_expect_str_eq(p->match.env[1].name, "ROOM");
	cr_expect_str_eq(p->match.env[1].values.globs[1], "~");
	cr_assert_eq(p->match.n_users, 2);
	cr_expect_eq(p->match.users[0], 0);
	cr_expect_eq(p->match.users[1], 12345);
	cr_expect_str_eq(p->match.cgroup.globs[0], "/system.slice/*");
	cr_expect_str_eq(p->match.parent.globs[0], "uvicorn");
	cr_expect_str_eq(p->key_args_text, "--room=(\\S+)");
	cr_expect_eq(p->mode, POLICY_OBSERVE);
	cr_expect_eq(p->hold, POLICY_HOLD_NEVER);
	cr_expect_eq(p->placement, POLICY_PLACEMENT_NESTED);
	cr_expect_eq(p->n_allow_users, 1);
	cr_expect_eq(p->allow_groups[0], 0);
	cr_expect_eq(p->limits.memory_high_bytes, UINT64_C(400) << 20);
	cr_expect_eq(p->limits.memory_max_bytes, UINT64_C(2) << 30);
	cr_expect_eq(p->limits.swap_max_bytes, 0);
	cr_expect_eq(p->limits.cpu_weight, 50);
	cr_expect_eq(p->limits.cpu_max_pct, 150);
	cr_expect_eq(p->limits.tasks_max, 512);
	cr_expect_eq(p->spawn.count, 50);
	cr_expect_eq(p->spawn.per_ns, NSEC_PER_SEC);
	cr_expect_eq(p->connect.rate.count, 5);
	cr_expect_eq(p->connect.rate.per_ns, 60 * NSEC_PER_SEC);
	cr_expect_eq(p->connect.burst, 3);
	cr_expect_eq(p->connect.per, POLICY_PER_PORT);
	cr_expect_eq(p->connect.max_delay_ns, 60 * NSEC_PER_SEC);
	cr_expect_eq(p->connect.on_excess, POLICY_EXCESS_DELAY);
	cr_expect_eq(p->connect.udp, POLICY_UDP_REFUSE);
	cr_expect_eq(p->breaker.failures, 7);
	cr_expect_eq(p->breaker.factor_milli, 1250);
	cr_expect_eq(p->breaker.max_interval_ns, 90 * NSEC_PER_SEC);
	cr_expect_eq(p->breaker.stable_after_ns, 120 * NSEC_PER_SEC);
	cr_expect_eq(p->sockets.max, 100);
	cr_expect_eq(p->sockets.new_rate.count, 10);
	cr_expect_eq(p->sockets.new_rate.per_ns, NSEC_PER_SEC);
	cr_expect_eq(p->restart.min_uptime_ns, NSEC_PER_SEC);
	cr_expect_eq(p->restart.delay_ns, 2 * NSEC_PER_SEC);
	cr_expect_eq(p->restart.factor_milli, 2000);
	cr_expect_eq(p->restart.max_delay_ns, 60 * NSEC_PER_SEC);
	cr_expect_eq(p->restart.limit, 5);
	cr_expect_eq(p->restart.window_ns, 3600 * NSEC_PER_SEC);
	cr_expect_eq(p->restart.on_limit, POLICY_LIMIT_REFUSE);
	cr_expect_eq(p->leak.horizon_ns, 3600 * NSEC_PER_SEC);
	cr_expect_eq(p->leak.action, POLICY_LEAK_ALERT);
	cr_expect_eq(p->idle.after_ns, 7 * 60 * NSEC_PER_SEC);
	cr_expect_eq(p->idle.cpu.count * 200, p->idle.cpu.per_ns);
	cr_expect(p->idle.io.count == 2048 && p->idle.io.per_ns == 60 * NSEC_PER_SEC);
	cr_expect_eq(p->idle.net.count, 0);
	cr_expect(p->idle.connects.count == 3 && p->idle.connects.per_ns == 3600 * NSEC_PER_SEC);
	cr_expect_eq(p->idle.spawns.count, UNIT_INFINITY);
	cr_expect_eq(p->hung.after_ns, 2 * 60 * NSEC_PER_SEC);
	cr_expect_eq(p->hung.action, POLICY_HUNG_ALERT);
	cr_expect_eq(p->stop_signal, SIGINT);
	cr_expect_eq(p->stop_grace_ns, 90 * NSEC_PER_SEC);
	cr_expect_eq(p->priority, -5);
	cr_expect(p->protect);
	policy_unref(p);
}

Test(conf, defaults)
{
	struct policy *p = parse_good("match: {exe: claude}\n");

	cr_expect_eq(p->mode, POLICY_ENFORCE);
	cr_expect_eq(p->hold, POLICY_HOLD_AUTO);
	cr_expect_eq(p->placement, POLICY_PLACEMENT_AUTO);
	cr_expect_eq(p->limits.memory_high_bytes, UNIT_INFINITY);
	cr_expect_eq(p->limits.memory_max_bytes, UNIT_INFINITY);
	cr_expect_eq(p->limits.swap_max_bytes, UNIT_INFINITY);
	cr_expect_eq(p->limits.cpu_weight, 0);
	cr_expect_eq(p->limits.cpu_max_pct, 0);
	cr_expect_eq(p->limits.tasks_max, UNIT_INFINITY);
	cr_expect_eq(p->spawn.count, 0);
	cr_expect_eq(p->tools.memory_max_bytes, UNIT_INFINITY);
	cr_expect_eq(p->tools.max_runtime_ns, UNIT_INFINITY);
	cr_expect_not(policy_has_tools(p));
	cr_expect_eq(p->stop_signal, SIGTERM);
	cr_expect_eq(p->connect.rate.count, 0);
	cr_expect_eq(p->breaker.failures, 0);
	cr_expect_eq(p->sockets.max, UNIT_INFINITY);
	cr_expect_eq(p->sockets.new_rate.count, 0);
	cr_expect_eq(p->stop_grace_ns, 10 * NSEC_PER_SEC);
	cr_expect_eq(p->restart.min_uptime_ns, 0);
	cr_expect_eq(p->priority, 0);
	cr_expect_not(p->protect);
	cr_expect_null(p->key_args);
	cr_expect_null(p->key_env);
	policy_unref(p);
}

Test(conf, tools_are_read_and_shown)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"tools: {memory_max: 1G}\n", "tools:\n  memory_max: 1G\n  max_runtime: infinity\n"},
		{"tools: {max_runtime: 10min}\n", "tools:\n  memory_max: infinity\n  max_runtime: 10min\n"},
		{"memory: {on_oom: kill-tool}\n", "  on_oom: kill-tool\n"},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		_cleanup_free_ char *text = NULL;
		struct policy *p;
		char yaml[128];

		snprintf(yaml, sizeof(yaml), "match: {exe: claude}\n%s", cases[i].text);
		p = parse_good(yaml);
		cr_expect(policy_has_tools(p), "%s", cases[i].text);
		cr_assert_eq(conf_policy_dump(p, &text), 0);
		cr_expect_not_null(strstr(text, cases[i].shown), "%s", text);
		policy_unref(p);
	}
}

Test(conf, spawn_rate_is_shown)
{
	struct policy *p = parse_good("match: {exe: claude}\ntasks: {spawn_rate: 300/min}\n");
	_cleanup_free_ char *text = NULL;

	cr_expect_eq(p->spawn.per_ns, 60 * NSEC_PER_SEC);
	cr_assert_eq(conf_policy_dump(p, &text), 0);
	cr_expect_not_null(strstr(text, "tasks:\n  max: infinity\n  spawn_rate: 300/min\n"), "%s", text);
	policy_unref(p);
}

Test(conf, on_pressure_is_read_and_shown)
{
	static const char *const words[] = {"note", "reclaim", "high", "freeze", "stop"};

	for (unsigned i = 0; i < ELEMENTSOF(words); i++) {
		char text[128], line[64];
		struct policy *p;
		_cleanup_free_ char *shown = NULL;

		snprintf(text, sizeof(text), "match: {exe: claude}\nmemory: {on_pressure: %s}\n", words[i]);
		snprintf(line, sizeof(line), "  on_pressure: %s\n", words[i]);
		p = parse_good(text);
		cr_expect_eq(p->on_pressure, i);
		cr_assert_eq(conf_policy_dump(p, &shown), 0);
		cr_expect_not_null(strstr(shown, line), "%s", shown);
		policy_unref(p);
	}
}

Test(conf, on_oom_is_read_and_shown)
{
	struct policy *p = parse_good("match: {exe: claude}\nmemory: {on_oom: kill-agent}\n");
	struct policy *none = parse_good("match: {exe: claude}\n");
	_cleanup_free_ char *text = NULL, *none_text = NULL;

	cr_expect_eq(p->limits.on_oom, POLICY_OOM_KILL_AGENT);
	cr_expect_eq(none->limits.on_oom, POLICY_OOM_KERNEL);
	cr_expect_eq(none->on_pressure, POLICY_PRESSURE_HIGH);
	cr_assert_eq(conf_policy_dump(p, &text), 0);
	cr_assert_eq(conf_policy_dump(none, &none_text), 0);
	cr_expect_not_null(strstr(text, "  on_oom: kill-agent\n"), "%s", text);
	cr_expect_not_null(strstr(none_text, "  on_oom: kernel\n"), "%s", none_text);
	policy_unref(p);
	policy_unref(none);
}

Test(conf, defaults_of_connect_breaker_and_sockets)
{
	struct policy *p = parse_good("match: {exe: claude}\nconnect: {rate: 2/s}\nbreaker: {}\nsockets: {}\n");

	cr_expect_eq(p->connect.rate.count, 2);
	cr_expect_eq(p->connect.rate.per_ns, NSEC_PER_SEC);
	cr_expect_eq(p->connect.burst, 5);
	cr_expect_eq(p->connect.per, POLICY_PER_DESTINATION);
	cr_expect_eq(p->connect.max_delay_ns, 30 * NSEC_PER_SEC);
	cr_expect_eq(p->connect.on_excess, POLICY_EXCESS_REFUSE);
	cr_expect_eq(p->connect.udp, POLICY_UDP_COUNT);
	cr_expect_eq(p->breaker.failures, 5);
	cr_expect_eq(p->breaker.factor_milli, 2000);
	cr_expect_eq(p->breaker.max_interval_ns, 60 * NSEC_PER_SEC);
	cr_expect_eq(p->breaker.stable_after_ns, 30 * NSEC_PER_SEC);
	cr_expect_eq(p->sockets.max, UNIT_INFINITY);
	cr_expect_eq(p->sockets.new_rate.count, 0);
	policy_unref(p);

	p = parse_good("match: {exe: claude}\nbreaker: {factor: 3, failures: infinity}\nsockets: {max: 7}\n");
	cr_expect_eq(p->connect.rate.count, 0);
	cr_expect_eq(p->breaker.failures, 0);
	cr_expect_eq(p->breaker.factor_milli, 3000);
	cr_expect_eq(p->sockets.max, 7);
	policy_unref(p);
}

Test(conf, idle_and_hung)
{
	struct policy *p = parse_good("match: {exe: claude}\n");

	cr_expect_eq(p->idle.after_ns, 0);
	cr_expect_eq(p->hung.after_ns, 0);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\nlifecycle: {idle: 5min}\nhung: {}\n");
	cr_expect_eq(p->idle.cpu.count * 50, p->idle.cpu.per_ns);
	cr_expect(p->idle.io.count == 1024 && p->idle.io.per_ns == NSEC_PER_SEC);
	cr_expect(p->idle.net.count == 1024 && p->idle.net.per_ns == NSEC_PER_SEC);
	cr_expect(p->idle.connects.count == 1 && p->idle.connects.per_ns == 60 * NSEC_PER_SEC);
	cr_expect(p->idle.spawns.count == 1 && p->idle.spawns.per_ns == 60 * NSEC_PER_SEC);
	cr_expect_eq(p->hung.after_ns, 60 * NSEC_PER_SEC);
	policy_unref(p);
}

Test(conf, leak)
{
	struct policy *p = parse_good("match: {exe: claude}\n");

	cr_expect_eq(p->leak.horizon_ns, 0);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\nmemory: {high: 1G}\nleak: {action: stop}\n");
	cr_expect_eq(p->leak.horizon_ns, 30 * 60 * NSEC_PER_SEC);
	cr_expect_eq(p->leak.action, POLICY_LEAK_STOP);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\nleak: {horizon: off}\n");
	cr_expect_eq(p->leak.horizon_ns, 0);
	policy_unref(p);
}

/* The limits of what is right. */
Test(conf, extremes_of_connect)
{
	struct policy *p = parse_good("match: {exe: claude}\nconnect: {rate: 30/h, max_delay: 120s, burst: 10000}\n"
				      "breaker: {factor: 1, max_interval: 1s, stable_after: 1ms, failures: 1}\n");

	cr_expect_eq(p->connect.rate.per_ns / p->connect.rate.count, POLICY_DELAY_MAX_NS);
	cr_expect_eq(p->breaker.factor_milli, 1000);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\nconnect: {rate: 1000000/s, max_delay: 1us, burst: 1}\n"
		       "breaker: {factor: 100.000}\nsockets: {new_rate: 1/d}\n");
	cr_expect_eq(p->breaker.factor_milli, 100000);
	cr_expect_eq(p->sockets.new_rate.per_ns, 86400 * NSEC_PER_SEC);
	policy_unref(p);
}

Test(conf, show_has_all_defaults_of_connect)
{
	struct policy *p = parse_good("match: {exe: claude}\nconnect: {rate: 120/min}\nbreaker: {factor: 1.5}\n");
	_cleanup_free_ char *text = NULL;

	cr_assert_eq(conf_policy_dump(p, &text), 0);
	cr_expect_not_null(strstr(text, "connect:\n"
					"  rate: 120/min\n"
					"  burst: 5\n"
					"  per: destination\n"
					"  max_delay: 30s\n"
					"  on_excess: refuse\n"
					"  udp: count\n"
					"breaker:\n"
					"  failures: 5\n"
					"  factor: 1.5\n"
					"  max_interval: 1min\n"
					"  stable_after: 30s\n"
					"sockets:\n"
					"  max: infinity\n"
					"  new_rate: infinity\n"),
			   "%s", text);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\n");
	free(text);
	cr_assert_eq(conf_policy_dump(p, &text), 0);
	cr_expect_not_null(strstr(text, "connect:\n  rate: infinity\n"), "%s", text);
	cr_expect_not_null(strstr(text, "breaker:\n  failures: infinity\n"), "%s", text);
	policy_unref(p);
}

static void expect_same_connects(const struct policy *a, const struct policy *b)
{
	cr_expect_eq(a->connect.rate.count, b->connect.rate.count);
	cr_expect_eq(a->connect.rate.per_ns, b->connect.rate.per_ns);
	cr_expect_eq(a->connect.burst, b->connect.burst);
	cr_expect_eq(a->connect.per, b->connect.per);
	cr_expect_eq(a->connect.max_delay_ns, b->connect.max_delay_ns);
	cr_expect_eq(a->connect.on_excess, b->connect.on_excess);
	cr_expect_eq(a->connect.udp, b->connect.udp);
	cr_expect_eq(memcmp(&a->breaker, &b->breaker, sizeof(a->breaker)), 0);
	cr_expect_eq(memcmp(&a->sockets, &b->sockets, sizeof(a->sockets)), 0);
	cr_expect_eq(a->leak.horizon_ns, b->leak.horizon_ns);
	cr_expect_eq(a->leak.action, b->leak.action);
	cr_expect_eq(memcmp(&a->idle, &b->idle, sizeof(a->idle)), 0);
	cr_expect_eq(memcmp(&a->hung, &b->hung, sizeof(a->hung)), 0);
}

static void expect_same_dump(const struct policy *policy)
{
	_cleanup_free_ char *first = NULL, *second = NULL;
	struct policy *back;

	cr_assert_eq(conf_policy_dump(policy, &first), 0);
	back = parse_good(first);
	cr_assert_eq(conf_policy_dump(back, &second), 0);
	cr_expect_str_eq(first, second);
	cr_expect_eq(memcmp(&policy->limits, &back->limits, sizeof(policy->limits)), 0, "%s", first);
	expect_same_connects(policy, back);
	cr_expect_eq(policy->stop_signal, back->stop_signal);
	cr_expect_eq(policy->stop_grace_ns, back->stop_grace_ns);
	cr_expect_eq(policy->priority, back->priority);
	cr_expect_eq(policy->protect, back->protect);
	cr_expect_eq(policy->mode, back->mode);
	cr_expect_eq(policy->hold, back->hold);
	cr_expect_eq(policy->placement, back->placement);
	cr_assert_eq(policy->match.exe.n, back->match.exe.n);
	for (size_t i = 0; i < policy->match.exe.n; i++)
		cr_expect_str_eq(policy->match.exe.globs[i], back->match.exe.globs[i]);
	cr_assert_eq(policy->match.n_env, back->match.n_env);
	for (size_t i = 0; i < policy->match.n_env; i++)
		cr_expect_str_eq(policy->match.env[i].name, back->match.env[i].name);
	cr_assert_eq(policy->match.n_users, back->match.n_users);
	cr_assert_eq(policy->match.n_args, back->match.n_args);
	policy_unref(back);
}

Test(conf, dump_loads_back)
{
	struct policy *p = parse_good(full);

	expect_same_dump(p);
	policy_unref(p);
	p = parse_good("match: {exe: claude}\nkey: {env: ROOM}\n");
	expect_same_dump(p);
	policy_unref(p);
}

/* Whatever a value holds, it is quoted so that it comes back. */
Test(conf, dump_quotes_any_value)
{
	static const char chars[] = "a/ :#'\"\\n*&!%@`{}[],-?|>~=\n\t\x1b\xc3\xa9";

	srand(3);
	for (int i = 0; i < 3000; i++) {
		struct policy *p = parse_good("match: {exe: [/a, /b]}\n");
		char value[24];
		size_t n = 1 + (size_t)rand() % 8, at = 0;

		while (at < n) {
			/* The last two bytes are one character. */
			size_t c = (size_t)rand() % (sizeof(chars) - 2);

			value[at++] = chars[c];
			if (chars[c] == '\xc3')
				value[at++] = '\xa9';
		}
		value[at] = '\0';
		/* Not a glob, and no path ends so. */
		for (char *s = value; *s; s++)
			if (*s == '[' || *s == '\\')
				*s = 'x';
		strcat(value, "x");
		free(p->match.exe.globs[1]);
		p->match.exe.globs[1] = strdup(value);
		expect_same_dump(p);
		policy_unref(p);
	}
}

static bool candidates_have(char **names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (streq(names[i], name))
			return true;
	return false;
}

Test(conf, candidates)
{
	struct policy *policies[3] = {parse_good("match: {exe: [claude, /x/a**]}\n")};
	struct policy_set set = {.references = 1, .policies = policies, .n = 1};
	char **names;
	size_t n;

	/* `a**` crosses slashes: any base name. */
	cr_assert_eq(conf_candidates(&set, &names, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(names[0], "*");
	conf_names_free(names, n);
	policy_unref(policies[0]);

	policies[0] = parse_good("match: {exe: [/opt/**/claude, /x/py*, claude, \"/x/y[a/b]z\"]}\n");
	policies[1] = parse_good("match: {script: [/srv/agent.py, \"/srv/bot-*.py\"]}\n");
	set.n = 2;
	cr_assert_eq(conf_candidates(&set, &names, &n), 0);
	cr_expect(candidates_have(names, n, "claude"));
	cr_expect(candidates_have(names, n, "py*"));
	cr_expect(candidates_have(names, n, "y*"), "a slash in a set ends no directory");
	cr_expect_not(candidates_have(names, n, "*"));
	cr_expect(candidates_have(names, n, "python*"));
	cr_expect_not(candidates_have(names, n, "bash*"), "no shell runs a .py");
	cr_expect_not(candidates_have(names, n, "agent.py"), "an interpreter is executed, not the script");
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			cr_expect_str_neq(names[i], names[j]);
	conf_names_free(names, n);

	policies[2] = parse_good("match: {script: /srv/agent}\n");
	set.n = 3;
	cr_assert_eq(conf_candidates(&set, &names, &n), 0);
	cr_expect(candidates_have(names, n, "bash*"));
	cr_expect(candidates_have(names, n, "node*"));
	conf_names_free(names, n);
	policy_unref(policies[2]);

	policies[2] = parse_good("match: {user: root}\n");
	cr_assert_eq(conf_candidates(&set, &names, &n), 0);
	cr_assert_eq(n, 1);
	cr_expect_str_eq(names[0], "*");
	conf_names_free(names, n);
	for (size_t i = 0; i < 3; i++)
		policy_unref(policies[i]);
}
