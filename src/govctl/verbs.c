/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govctl.h"

/* The one place that knows all verbs and options: parsing, --help and the completion are made from it. */

#define ID_HELP "ID is an agent's id, a unique prefix of it, POLICY/KEY, or the name of a policy that has one agent.\n"
#define ANY SIZE_MAX

const struct option_row option_rows[OPTIONS] = {
	[OPTION_HELP] = {"help", 'h', NULL, NULL, WORD_ANY, "show this help, or that of the verb"},
	[OPTION_VERSION] = {"version", 0, NULL, NULL, WORD_ANY, "show govctl's version"},
	[OPTION_SOCKET] = {"socket", 0, "PATH", NULL, WORD_FILE,
			   "govd's socket (else $GOVD_SOCKET, /run/govd/govd.sock)"},
	[OPTION_STATE_DIR] = {"state-dir", 0, "DIR", NULL, WORD_FILE, "where incidents are (else as govd has it)"},
	[OPTION_JSON] = {"json", 0, "short|pretty|off", "short", WORD_JSON, "JSON for machines: exact, in base units"},
	[OPTION_POLICY] = {"policy", 'p', "POLICY", NULL, WORD_POLICY, "of or under this policy"},
	[OPTION_KEY] = {"key", 'k', "KEY", NULL, WORD_ANY, "the agent's key, instead of what the policy takes it from"},
	[OPTION_REUSE] = {"reuse", 0, NULL, NULL, WORD_ANY,
			  "start nothing when the policy has a living agent of this key"},
	[OPTION_WAIT] = {"wait", 'w', NULL, NULL, WORD_ANY, "return when the agent is gone"},
	[OPTION_FOLLOW] = {"follow", 'f', NULL, NULL, WORD_ANY, "go on with new ones until interrupted"},
	[OPTION_SINCE] = {"since", 0, "TIME", NULL, WORD_ANY,
			  "not older: 2h (ago), 2026-11-21, '2026-11-21 10:00', @EPOCH"},
	[OPTION_KIND] = {"kind", 0, "KIND", NULL, WORD_ANY, "of this kind: placed, stopped, protected, lost, ..."},
	[OPTION_AGENT] = {"agent", 0, "ID", NULL, WORD_AGENT, "of this agent: id, prefix of it, or POLICY/KEY"},
	[OPTION_COUNT] = {"lines", 'n', "N", NULL, WORD_ANY, "the last N; 0: all"},
	[OPTION_POLICY_DIR] = {"policy-dir", 0, "DIR", NULL, WORD_FILE, "the policies of DIR instead of the trace's"},
	[OPTION_EXPECT] = {"expect", 0, NULL, NULL, WORD_ANY, "fail when it isn't what was decided then"},
};

const struct verb verbs[] = {
	{"status", NULL, "", 0, 0, 0, 0, WORD_ANY, verb_status, "the daemon at a glance", NULL},
	{"list", NULL, "", 0, 0, OPTION_BIT(OPTION_POLICY), 0, WORD_ANY, verb_list, "agents", NULL},
	{"show", NULL, "ID", 1, 1, 0, 0, WORD_AGENT, verb_show, "one agent, with limits and recent incidents", ID_HELP},
	{"run", NULL, "[--] CMD [ARG]...", 1, ANY,
	 OPTION_BIT(OPTION_POLICY) | OPTION_BIT(OPTION_KEY) | OPTION_BIT(OPTION_REUSE), VERB_REST, WORD_COMMAND,
	 verb_run, "start CMD as an agent",
	 "govctl asks govd to place it, then becomes CMD: the same process, user, terminal and environment, so\n"
	 "that the exit code is CMD's. 127: CMD wasn't found, 126: it can't be executed. Without --policy govd\n"
	 "takes the first policy that matches. With --reuse and a living agent of that policy and key nothing\n"
	 "is started: its id is printed and the exit code is 0.\n"},
	{"adopt", NULL, "PID", 1, 1, OPTION_BIT(OPTION_POLICY), 0, WORD_ANY, verb_adopt,
	 "take over a running process and its descendants", NULL},
	{"release", NULL, "ID", 1, 1, 0, 0, WORD_AGENT, verb_command, "let an agent go: limits lifted, it lives on",
	 ID_HELP},
	{"touch", NULL, "ID", 1, 1, 0, 0, WORD_AGENT, verb_touch, "renew its lease: it is in use", ID_HELP},
	{"lease", NULL, "ID TIME", 2, 2, 0, 0, WORD_AGENT, verb_lease,
	 "keep it from being ended as idle, hung or orphaned for a time",
	 ID_HELP
	 "The lease begins now, and anew with each `govctl touch` and `govctl run --reuse`. 0s gives it back.\n"},
	{"freeze", NULL, "ID", 1, 1, 0, 0, WORD_AGENT, verb_command, "stop it where it is, memory and all", ID_HELP},
	{"thaw", NULL, "ID", 1, 1, 0, 0, WORD_AGENT, verb_command, "let a frozen one go on", ID_HELP},
	{"stop", NULL, "ID", 1, 1, OPTION_BIT(OPTION_WAIT), 0, WORD_AGENT, verb_command,
	 "end it: the policy's signal, grace, then the whole tree at once", ID_HELP},
	{"kill", NULL, "ID", 1, 1, OPTION_BIT(OPTION_WAIT), 0, WORD_AGENT, verb_command, "end the whole tree at once",
	 ID_HELP},
	{"drain", NULL, "", 0, 0, OPTION_BIT(OPTION_POLICY), 0, WORD_ANY, verb_drain,
	 "stop all agents gently, or those of one policy", NULL},
	{"policy", "list", "", 0, 0, 0, 0, WORD_ANY, verb_policy_list,
	 "policies in force, and the files that have errors", NULL},
	{"policy", "show", "POLICY", 1, 1, 0, 0, WORD_POLICY, verb_policy_show,
	 "one, with all defaults filled in, as YAML", NULL},
	{"policy", "check", "FILE...", 1, ANY, 0, 0, WORD_FILE, verb_policy_check, "find errors, without the daemon",
	 "Prints `file: key.path: what is wrong and what would be right`, one a line, and fails when there is one.\n"},
	{"policy", "test", "PID", 1, 1, 0, 0, WORD_ANY, verb_policy_test, "which policy a process would get, and why",
	 NULL},
	{"policy", "reload", "", 0, 0, 0, 0, WORD_ANY, verb_policy_reload, "read the files again",
	 "A file with an error keeps what was in force; govctl prints the error and fails.\n"},
	{"policy", "resume", "POLICY", 1, 1, 0, 0, WORD_POLICY, verb_policy_resume,
	 "lift the suspension of one that would have ended more than half of its agents", NULL},
	{"explain", NULL, "PID|ID", 1, 1, 0, 0, WORD_AGENT, verb_explain,
	 "which policy matched, why the others didn't, and what comes next", ID_HELP},
	{"events", NULL, "", 0, 0, OPTION_BIT(OPTION_FOLLOW), 0, WORD_ANY, verb_events, "what govd saw and did lately",
	 "With --json one object a line.\n"},
	{"incidents", NULL, "", 0, 0,
	 OPTION_BIT(OPTION_SINCE) | OPTION_BIT(OPTION_KIND) | OPTION_BIT(OPTION_AGENT) | OPTION_BIT(OPTION_POLICY) |
		 OPTION_BIT(OPTION_COUNT),
	 0, WORD_ANY, verb_incidents, "the history, also when govd is down",
	 "Oldest first. For people the last 200 unless -n or --since is given; with --json all.\n"},
	{"simulate", NULL, "FILE", 1, 1, OPTION_BIT(OPTION_POLICY_DIR) | OPTION_BIT(OPTION_EXPECT), 0, WORD_FILE,
	 verb_simulate, "what was, or would have been, decided in a trace of govd --record",
	 "Without the daemon and without privileges. With --policy-dir these policies only observe: what would\n"
	 "have come of their decisions isn't in the trace. With --expect only the differences are printed.\n"},
	{"doctor", NULL, "", 0, 0, 0, 0, WORD_ANY, verb_doctor, "can this host do it", NULL},
	{"version", NULL, "", 0, 0, 0, 0, WORD_ANY, verb_version, "versions of govctl and of the running govd", NULL},
	{"completion", "bash", "", 0, 0, 0, VERB_HIDDEN, WORD_ANY, verb_completion, "the completion script for bash",
	 NULL},
};

const size_t n_verbs = ELEMENTSOF(verbs);
