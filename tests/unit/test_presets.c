/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <dirent.h>

#include "conf/conf.h"
#include "core/match.h"

/* The policies that are installed: relative to the tree's root, where make starts the tests. */
#define PRESETS "policies"

static const struct conf_host host = {.memory_bytes = UINT64_C(8) << 30};

static struct policy_set *presets_load(void)
{
	const char *dirs[] = {PRESETS};
	struct conf_errors errors = {0};
	struct policy_set *set = NULL;

	cr_assert_eq(conf_load_all(dirs, 1, "/nonexistent", &host, NULL, &set, &errors), 0);
	cr_assert_eq(errors.n, 0, "%s", errors.n ? errors.lines[0] : "");
	return set;
}

Test(presets, all_load_and_only_observe)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = presets_load();
	DIR *dir = opendir(PRESETS);
	struct dirent *entry;
	size_t files = 0;

	cr_assert_not_null(dir);
	while ((entry = readdir(dir))) {
		size_t length = strlen(entry->d_name);

		files += length > 5 && streq(entry->d_name + length - 5, ".yaml");
	}
	closedir(dir);
	cr_expect_gt(files, 0);
	cr_expect_eq(set->n, files);
	for (size_t i = 0; i < set->n; i++)
		cr_expect_eq(set->policies[i]->mode, POLICY_OBSERVE, "%s", set->policies[i]->name);
}

/* With "*" govd would be told of all that the host executes. */
Test(presets, not_every_exec_is_a_candidate)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = presets_load();
	char **names = NULL;
	size_t n = 0;

	cr_assert_eq(conf_candidates(set, &names, &n), 0);
	for (size_t i = 0; i < n; i++)
		cr_expect_str_neq(names[i], "*");
	conf_names_free(names, n);
}

struct look {
	const char *policy, *key; /* NULL: none is for it */
	const char *exe, *script, *args;
	const char *agent_name; /* LIVEKIT_AGENT_NAME */
};

static const struct look looks[] = {
	{"claude", "", "/opt/bots/node_modules/bin/claude", NULL,
	 "claude --output-format stream-json --verbose --input-format stream-json", NULL},
	{"claude", "8f14e45f", "/home/bot/.local/share/claude/versions/2.1.7", NULL,
	 "claude --output-format stream-json --verbose --resume 8f14e45f --input-format stream-json", NULL},
	{"claude", "", "/usr/bin/node", "/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js",
	 "node /usr/lib/node_modules/@anthropic-ai/claude-code/cli.js --output-format stream-json --verbose "
	 "--input-format stream-json",
	 NULL},
	/* A person's, in a terminal. */
	{NULL, NULL, "/usr/bin/claude", NULL, "claude --resume", NULL},
	{NULL, NULL, "/usr/bin/grep", NULL, "grep -r -- --input-format stream-json", NULL},
	{"livekit-agents", "front-desk", "/usr/bin/python3.11", "/srv/voice/agent.py", "python agent.py start",
	 "front-desk"},
	{"livekit-agents", "", "/usr/bin/python3.13", "/srv/agents/hotel.py", "/srv/venv/bin/python hotel.py dev",
	 NULL},
	/* A job's process, when its worker isn't there any more; another program. */
	{NULL, NULL, "/usr/bin/python3.11", NULL, "python -c from multiprocessing.spawn import spawn_main", NULL},
	{NULL, NULL, "/usr/bin/python3.11", "/srv/site/manage.py", "python3 manage.py start", NULL},
	{NULL, NULL, "/usr/bin/python3.11", "/srv/voice/agent.py", "python3 agent.py download-files", NULL},
};

Test(presets, match_what_they_are_for)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = presets_load();

	for (size_t i = 0; i < ELEMENTSOF(looks); i++) {
		const struct look *look = &looks[i];
		struct proc_env env = {"LIVEKIT_AGENT_NAME", look->agent_name};
		struct proc proc = {.pid = 4711,
				    .ppid = 4000,
				    .uid = 1000,
				    .exe = look->exe,
				    .script = look->script,
				    .args = look->args,
				    .cgroup = "/system.slice/bots.service",
				    .env = &env,
				    .n_env = look->agent_name ? 1 : 0};
		const struct policy *found = match_find(set, &proc);
		char key[POLICY_KEY_MAX] = "";

		cr_expect_str_eq(found ? found->name : "none", look->policy ? look->policy : "none", "%s", look->args);
		if (!found)
			continue;
		match_agent_key(found, &proc, key, sizeof(key));
		cr_expect_str_eq(key, look->key, "%s", look->args);
	}
}
