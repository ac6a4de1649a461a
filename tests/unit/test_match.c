/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>

#include "conf/conf.h"
#include "core/match.h"

static struct policy *policy_of(const char *name, const char *text)
{
	static const struct conf_host host = {.memory_bytes = 1 << 30};
	struct conf_errors errors = {0};
	struct policy *policy = NULL;
	int r = conf_policy_parse(&(struct conf_text){name, name, text, strlen(text)}, &host, &policy, &errors);

	cr_assert_eq(r, 0, "%s: %s", text, errors.n ? errors.lines[0] : "");
	return policy;
}

static const struct proc_env agent_env[] = {{"ROOM", "kitchen"}, {"TOKEN", "geheim"}};

static const struct proc agent = {
	.pid = 4711,
	.ppid = 4000,
	.uid = 0,
	.exe = "/usr/bin/python3.11",
	.script = "/srv/agents/bot.py",
	.args = "python3 /srv/agents/bot.py --room=7 --token=geheim",
	.cgroup = "/system.slice/bots.service",
	.parent_exe = "/usr/bin/python3.11",
	.parent_script = "/usr/bin/uvicorn",
	.env = agent_env,
	.n_env = ELEMENTSOF(agent_env),
};

struct match_case {
	const char *text;
	enum match_key key;
	const char *explain; /* when key isn't MATCH_ALL */
};

static const struct match_case cases[] = {
	{"match: {exe: \"/usr/bin/python3.*\"}", MATCH_ALL, NULL},
	{"match: {exe: /opt/bin/x}", MATCH_EXE, "exe is /usr/bin/python3.11, wanted /opt/bin/x"},
	{"match: {exe: [/a, /b]}", MATCH_EXE, "exe is /usr/bin/python3.11, wanted one of /a, /b"},
	{"match: {script: /srv/agents/*.py}", MATCH_ALL, NULL},
	{"match: {script: other.py}", MATCH_SCRIPT, "script is /srv/agents/bot.py, wanted other.py"},
	{"match: {args: \"--room=\\\\d\"}", MATCH_ALL, NULL},
	{"match: {args: [nothing, \"--room=\"]}", MATCH_ALL, NULL},
	{"match: {args: --camera}", MATCH_ARGS, "args don't match, wanted --camera"},
	{"match: {env: {ROOM: kit*}}", MATCH_ALL, NULL},
	{"match: {env: {ROOM: [x, kitchen]}}", MATCH_ALL, NULL},
	{"match: {env: {ROOM: kitchen, TOKEN: x}}", MATCH_ENV, "env TOKEN doesn't match, wanted x"},
	{"match: {env: {OTHER: x}}", MATCH_ENV, "env OTHER is not set, wanted x"},
	{"match: {user: root}", MATCH_ALL, NULL},
	{"match: {user: [root, 12345]}", MATCH_ALL, NULL},
	{"match: {user: 12345}", MATCH_USER, "user is 0, wanted 12345"},
	{"match: {cgroup: /system.slice/*}", MATCH_ALL, NULL},
	{"match: {cgroup: /user.slice/**}", MATCH_CGROUP,
	 "cgroup is /system.slice/bots.service, wanted /user.slice/**"},
	{"match: {parent: uvicorn}", MATCH_ALL, NULL},
	{"match: {parent: python3.11}", MATCH_ALL, NULL},
	{"match: {parent: bash}", MATCH_PARENT,
	 "parent is /usr/bin/python3.11 with script /usr/bin/uvicorn, wanted bash"},
	/* All keys must match, and the first in order is told. */
	{"match: {parent: bash, script: other.py, exe: \"python3.*\"}", MATCH_SCRIPT,
	 "script is /srv/agents/bot.py, wanted other.py"},
};

Test(match, each_key)
{
	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		struct policy *policy = policy_of("p", cases[i].text);
		enum match_key key = match_policy(policy, &agent);
		char text[256];

		cr_expect_eq(key, cases[i].key, "%s: %s", cases[i].text, match_key_name(key));
		match_explain(policy, &agent, key, text, sizeof(text));
		cr_expect_str_eq(text, cases[i].explain ? cases[i].explain : "every key matches");
		cr_expect_null(strstr(text, "geheim"));
		cr_expect_null(strstr(text, "kitchen"));
		policy_unref(policy);
	}
}

Test(match, what_is_not_known_does_not_match)
{
	static const struct proc nothing = {.pid = 2, .uid = 1};
	static const char *const texts[][2] = {
		{"match: {exe: \"**\"}", "exe is not known, wanted **"},
		{"match: {script: \"**\"}", "it runs no script, wanted **"},
		{"match: {args: .}", "args are not known, wanted ."},
		{"match: {cgroup: \"**\"}", "cgroup is not known, wanted **"},
		{"match: {parent: \"**\"}", "parent is not known, wanted **"},
	};

	for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
		struct policy *policy = policy_of("p", texts[i][0]);
		enum match_key key = match_policy(policy, &nothing);
		char text[256], cut[5];

		cr_expect_neq(key, MATCH_ALL, "%s", texts[i][0]);
		match_explain(policy, &nothing, key, text, sizeof(text));
		cr_expect_str_eq(text, texts[i][1]);
		match_explain(policy, &nothing, key, cut, sizeof(cut));
		cr_expect_eq(strncmp(cut, texts[i][1], 4), 0);
		policy_unref(policy);
	}
}

Test(match, names_are_escaped)
{
	struct policy *policy = policy_of("p", "match: {exe: /x}");
	struct proc proc = agent;
	char text[256];

	proc.exe = "/tmp/a\n\x1b[31m";
	match_explain(policy, &proc, MATCH_EXE, text, sizeof(text));
	cr_expect_str_eq(text, "exe is /tmp/a\\x0a\\x1b[31m, wanted /x");
	policy_unref(policy);
}

Test(match, the_first_policy_wins_and_the_protected_are_nobodys)
{
	struct policy *policies[] = {policy_of("a", "match: {exe: /no}"), policy_of("b", "match: {script: bot.py}"),
				     policy_of("c", "match: {user: root}")};
	char *protect[] = {(char[]){"/srv/agents/*"}};
	struct policy_set set = {.references = 1, .policies = policies, .n = 3};
	struct proc proc = agent;

	cr_expect_eq(match_find(&set, &proc), policies[1]);
	proc.script = NULL;
	cr_expect_eq(match_find(&set, &proc), policies[2]);
	proc.uid = 5;
	cr_expect_null(match_find(&set, &proc));
	proc = agent;
	proc.flags = PROC_PROTECTED;
	cr_expect_null(match_find(&set, &proc));
	proc.flags = PROC_KTHREAD;
	cr_expect_null(match_find(&set, &proc));
	proc.flags = 0;
	proc.pid = 1;
	cr_expect_null(match_find(&set, &proc));
	proc = agent;
	set.host.protect = (struct pattern_list){.globs = protect, .n = 1};
	cr_expect(match_is_protected(&set, &proc), "by its script");
	cr_expect_null(match_find(&set, &proc));
	proc.script = NULL;
	cr_expect_not(match_is_protected(&set, &proc));
	proc.exe = "/srv/agents/x";
	cr_expect(match_is_protected(&set, &proc), "by its executable");
	for (size_t i = 0; i < ELEMENTSOF(policies); i++)
		policy_unref(policies[i]);
}

Test(match, agent_keys)
{
	struct policy *by_args = policy_of("a", "match: {user: root}\nkey: {args: \"--room=(\\\\S+)\"}");
	struct policy *by_env = policy_of("e", "match: {user: root}\nkey: {env: ROOM}");
	struct policy *none = policy_of("n", "match: {user: root}");
	struct proc proc = agent;
	char key[5] = "old";

	match_agent_key(by_args, &agent, key, sizeof(key));
	cr_expect_str_eq(key, "7");
	match_agent_key(by_env, &agent, key, sizeof(key));
	cr_expect_str_eq(key, "kitc", "cut");
	match_agent_key(none, &agent, key, sizeof(key));
	cr_expect_str_eq(key, "");
	proc.args = "x";
	proc.n_env = 0;
	strcpy(key, "old");
	match_agent_key(by_args, &proc, key, sizeof(key));
	cr_expect_str_eq(key, "");
	match_agent_key(by_env, &proc, key, sizeof(key));
	cr_expect_str_eq(key, "");
	policy_unref(by_args);
	policy_unref(by_env);
	policy_unref(none);
}

Test(match, a_bomb_of_arguments_is_no_match_and_is_told)
{
	struct policy *policy = policy_of("p", "match: {args: \"(a+)+$\"}");
	char *args = malloc((1 << 20) + 1), text[256];
	struct proc proc = agent;

	memset(args, 'a', 1 << 20);
	args[(1 << 20) - 1] = 'b';
	args[1 << 20] = '\0';
	proc.args = args;
	cr_expect_eq(match_policy(policy, &proc), MATCH_ARGS);
	match_explain(policy, &proc, MATCH_ARGS, text, sizeof(text));
	cr_expect_str_eq(text, "args take too many steps to search, simplify the expression, wanted (a+)+$");
	free(args);
	policy_unref(policy);
}
