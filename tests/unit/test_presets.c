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
	const struct conf_source source = {.dirs = dirs, .n_dirs = 1, .host_file = "/nonexistent", .host = &host};

	cr_assert_eq(conf_load_all(&source, &set, &errors), 0);
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
	struct proc_env env; /* one of its variables */
};

#define SDK "--output-format stream-json --verbose --input-format stream-json"
#define CLI "/usr/lib/node_modules/@anthropic-ai/claude-code/cli.js"
#define PYTHON "/usr/bin/python3.11"
#define CHROME "/root/.cache/ms-playwright/chromium-1140/chrome-linux/chrome"
#define SPAWNED "-c from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)"

static const struct look looks[] = {
	{"claude-agent-sdk", "", "/opt/bots/node_modules/bin/claude", NULL, "claude " SDK, {0}},
	{"claude-agent-sdk",
	 "8f14e45f",
	 "/home/bot/.local/share/claude/versions/2.1.7",
	 NULL,
	 "claude --resume 8f14e45f " SDK,
	 {0}},
	{"claude-agent-sdk", "", "/usr/bin/node", CLI, "node " CLI " " SDK, {0}},
	/* A person's, in a terminal. */
	{"claude-code", "", "/home/me/.local/share/claude/versions/2.1.7", NULL, "claude", {0}},
	{"claude-code", "8f14e45f", "/usr/bin/claude", NULL, "/usr/bin/claude --resume 8f14e45f", {0}},
	{"claude-code", "", "/usr/bin/claude", NULL, "claude -p say hello", {0}},
	{"claude-code", "", "/usr/bin/node", CLI, "node --max-old-space-size=8192 " CLI, {0}},
	{"claude-code", "", "/usr/bin/node", "/usr/bin/claude", "node /usr/bin/claude --resume", {0}},
	{NULL, NULL, "/usr/bin/grep", NULL, "grep -r -- --input-format stream-json", {0}},
	{NULL, NULL, "/usr/bin/node", "/srv/site/claude.js", "node /srv/site/claude.js claude", {0}},
	{NULL, NULL, "/usr/bin/node", "/srv/site/index.js", "node /srv/site/index.js claude", {0}},
	{"livekit-agents",
	 "front-desk",
	 PYTHON,
	 "/srv/voice/agent.py",
	 "python agent.py start",
	 {"LIVEKIT_AGENT_NAME", "front-desk"}},
	{"livekit-agents", "", "/usr/bin/python3.13", "/srv/agents/hotel.py", "/srv/venv/bin/python hotel.py dev", {0}},
	{"livekit-agents-node", "", "/usr/bin/node", "/srv/voice/dist/agent.js", "node ./dist/agent.js start", {0}},
	{"livekit-agents-node",
	 "desk",
	 "/usr/bin/node",
	 "/srv/voice/worker.mjs",
	 "node worker.mjs dev",
	 {"LIVEKIT_AGENT_NAME", "desk"}},
	/* Processes of jobs, when their worker isn't there any more; other programs. */
	{NULL, NULL, PYTHON, NULL, "python " SPAWNED, {0}},
	{NULL,
	 NULL,
	 "/usr/bin/node",
	 "/srv/voice/node_modules/@livekit/agents/dist/ipc/job_proc_lazy_main.js",
	 "node /srv/voice/node_modules/@livekit/agents/dist/ipc/job_proc_lazy_main.js",
	 {0}},
	{NULL, NULL, PYTHON, "/srv/site/manage.py", "python3 manage.py start", {0}},
	{NULL, NULL, PYTHON, "/srv/voice/voice-agents.py", "python3 voice-agents.py download-files", {0}},
	{"pm2-apps",
	 "3",
	 "/usr/bin/node",
	 "/srv/site/app.js",
	 "node /usr/lib/node_modules/pm2/lib/ProcessContainerFork.js",
	 {"pm_id", "3"}},
	{NULL, NULL, "/usr/bin/node", NULL, "PM2 v5.4.3: God Daemon (/root/.pm2)", {0}},
	{NULL, NULL, "/usr/bin/node", "/srv/site/app.js", "node app.js", {0}},
	{"playwright-chromium",
	 "",
	 CHROME,
	 NULL,
	 CHROME " --headless --user-data-dir=/tmp/playwright_chromiumdev_profile-k3Jx0b --remote-debugging-pipe",
	 {0}},
	{"puppeteer-chromium",
	 "",
	 "/root/.cache/puppeteer/chrome/linux-131.0/chrome-linux64/chrome",
	 NULL,
	 "chrome --remote-debugging-port=0 --user-data-dir=/tmp/puppeteer_dev_chrome_profile-ab12 about:blank",
	 {0}},
	/* One of its processes; a person's browser. */
	{NULL,
	 NULL,
	 CHROME,
	 NULL,
	 CHROME " --type=renderer --user-data-dir=/tmp/playwright_chromiumdev_profile-k3Jx0b --lang=en",
	 {0}},
	{NULL, NULL, "/usr/lib/chromium/chromium", NULL, "/usr/lib/chromium/chromium --user-data-dir=/home/me/x", {0}},
	{"gunicorn",
	 "",
	 PYTHON,
	 "/srv/venv/bin/gunicorn",
	 "/srv/venv/bin/python /srv/venv/bin/gunicorn -w 4 app:app",
	 {0}},
	{"gunicorn", "", PYTHON, NULL, "python3 -u -m gunicorn -k uvicorn.workers.UvicornWorker app:app", {0}},
	{"uvicorn", "", PYTHON, "/srv/venv/bin/uvicorn", "/srv/venv/bin/python /srv/venv/bin/uvicorn main:app", {0}},
	{"uvicorn", "", PYTHON, NULL, "python3 -m uvicorn main:app --workers 4", {0}},
	{NULL, NULL, PYTHON, "/srv/deploy.py", "python3 /srv/deploy.py gunicorn", {0}},
	{"zz-generic", "", PYTHON, "/srv/bots/agents/mail.py", "python3 /srv/bots/agents/mail.py", {0}},
	{"zz-generic", "", "/usr/bin/node", "/srv/bots/mail-agent.js", "node mail-agent.js", {0}},
	{"zz-generic", "", PYTHON, "/srv/voice/agent.py", "python3 agent.py download-files", {0}},
	{NULL, NULL, "/usr/bin/vim", NULL, "vim /srv/bots/agents/mail.py", {0}},
	{NULL, NULL, "/usr/bin/ssh-agent", NULL, "ssh-agent", {0}},
};

Test(presets, match_what_they_are_for)
{
	_cleanup_(policy_set_unrefp) struct policy_set *set = presets_load();

	for (size_t i = 0; i < ELEMENTSOF(looks); i++) {
		const struct look *look = &looks[i];
		/* Whatever PM2 starts has it. */
		struct proc_env env[] = {look->env, {"pm_exec_path", look->script}};
		bool is_pm2s = look->env.name && streq(look->env.name, "pm_id");
		struct proc proc = {.pid = 4711,
				    .ppid = 4000,
				    .uid = 1000,
				    .exe = look->exe,
				    .script = look->script,
				    .args = look->args,
				    .cgroup = "/system.slice/bots.service",
				    .env = env,
				    .n_env = is_pm2s	      ? 2
					     : look->env.name ? 1
							      : 0};
		const struct policy *found = match_find(set, &proc);
		char key[POLICY_KEY_MAX] = "";

		cr_expect_str_eq(found ? found->name : "none", look->policy ? look->policy : "none", "%s", look->args);
		if (!found)
			continue;
		match_agent_key(found, &proc, key, sizeof(key));
		cr_expect_str_eq(key, look->key, "%s", look->args);
	}
}
