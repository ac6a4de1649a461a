/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <criterion/criterion.h>
#include <fnmatch.h>

#include "core/proc.h"

struct script_case {
	int index;
	const char *exe;
	const char *argv[8];
};

Test(script, index)
{
	static const struct script_case cases[] = {
		{1, "python3.11", {"python3", "a.py", "-c"}},
		{2, "python3", {"python3", "-u", "a.py"}},
		{3, "python3", {"python3", "-W", "ignore", "a.py"}},
		{2, "python3", {"python3", "-Wignore", "a.py"}},
		{3, "python3", {"python3", "-uBX", "dev", "a.py"}},
		{3, "python3", {"python3", "--check-hash-based-pycs", "always", "a.py"}},
		{2, "python3", {"python3", "--check-hash-based-pycs=always", "a.py"}},
		{2, "python3", {"python3", "--", "-odd.py"}},
		{-1, "python3", {"python3", "-c", "print()", "a.py"}},
		{-1, "python3", {"python3", "-Ic", "print()"}},
		{-1, "python3", {"python3", "-m", "http.server"}},
		{-1, "python3", {"python3", "-mhttp.server"}},
		{-1, "python3", {"python3", "-", "a.py"}},
		{-1, "python3", {"python3"}},
		{-1, "python3", {"python3", "-W"}},
		{1, "python3.13t", {"python3", "a.py"}},
		{1, "node", {"node", "a.js"}},
		{3, "node", {"node", "--require", "x", "a.js"}},
		{3, "node", {"node", "-r", "x", "a.js"}},
		{2, "node", {"node", "--require=x", "a.js"}},
		{2, "node", {"node", "--max-old-space-size=4096", "a.js"}},
		{4, "node", {"node", "--no-warnings", "--import", "tsx", "a.ts"}},
		{-1, "node", {"node", "-e", "1", "a.js"}},
		{-1, "node", {"node", "--eval=1", "a.js"}},
		{-1, "node", {"node", "-pe", "1"}},
		{-1, "node", {"node", "--run", "start"}},
		{1, "node", {"node", "/x/pm2/lib/ProcessContainerFork.js"}},
		{2, "deno", {"deno", "run", "a.ts"}},
		{3, "deno", {"deno", "run", "-A", "a.ts"}},
		{4, "deno", {"deno", "run", "--config", "c", "a.ts"}},
		{1, "deno", {"deno", "a.ts"}},
		{-1, "deno", {"deno", "eval", "1"}},
		{2, "bun", {"bun", "run", "a.ts"}},
		{1, "bun", {"bun", "a.ts"}},
		{-1, "bun", {"bun", "install"}},
		{-1, "bun", {"bun", "-e", "1"}},
		{1, "bash", {"bash", "a.sh"}},
		{2, "bash", {"bash", "-x", "a.sh"}},
		{3, "bash", {"bash", "-eo", "pipefail", "a.sh"}},
		{3, "bash", {"bash", "+o", "posix", "a.sh"}},
		{3, "bash", {"bash", "--rcfile", "rc", "a.sh"}},
		{2, "bash", {"bash", "--norc", "a.sh"}},
		{-1, "bash", {"bash", "-c", "a.sh"}},
		{-1, "bash", {"bash", "-lc", "a.sh"}},
		{-1, "bash", {"bash", "-s", "a.sh"}},
		{-1, "bash", {"-bash"}},
		{2, "sh", {"sh", "-", "a.sh"}},
		{1, "dash", {"/bin/sh", "a.sh"}},
		{2, "zsh", {"zsh", "-f", "a.sh"}},
		{2, "perl", {"perl", "-w", "a.pl"}},
		{3, "perl", {"perl", "-I", "lib", "a.pl"}},
		{2, "perl5.36.0", {"perl", "-Mfeature", "a.pl"}},
		{2, "perl", {"perl", "-i.e", "a.pl"}},
		{-1, "perl", {"perl", "-ne", "1"}},
		{3, "ruby3.1", {"ruby", "-r", "json", "a.rb"}},
		{-1, "ruby", {"ruby", "-e", "1"}},
		{2, "php8.2", {"php", "-f", "a.php"}},
		{1, "php", {"php", "a.php"}},
		{3, "php", {"php", "-d", "x=1", "a.php"}},
		{2, "php", {"php", "--file", "a.php"}},
		{-1, "php", {"php", "-r", "1;"}},
		{3, "lua5.4", {"lua", "-l", "x", "a.lua"}},
		{-1, "claude", {"claude", "a.js"}},
		{-1, "pythonx", {"pythonx", "a.py"}},
		{-1, "shred", {"shred", "a.sh"}},
		{-1, "python3", {NULL}},
		{-1, "python3", {"python3", ""}},
	};

	for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
		const struct script_case *c = &cases[i];
		size_t n = 0;

		while (n < ELEMENTSOF(c->argv) && c->argv[n])
			n++;
		cr_expect_eq(proc_script_index(c->exe, c->argv, n), c->index, "case %zu: %s %s %s: %d", i, c->exe,
			     n > 1 ? c->argv[1] : "", n > 2 ? c->argv[2] : "", proc_script_index(c->exe, c->argv, n));
	}
}

/* An interpreter that the kernel doesn't look for would never be seen. */
Test(script, globs_cover_the_interpreters)
{
	static const char *const names[] = {"python3.11", "pypy3",  "node",	  "nodejs",  "deno",	 "bun",
					    "sh",	  "bash",   "rbash",	  "dash",    "ash",	 "zsh",
					    "zsh-5.9",	  "ksh93",  "mksh",	  "fish",    "perl5.36", "ruby3.1",
					    "php8.2",	  "lua5.4", "luajit-2.1", "tclsh8.6"};

	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		bool found = false;

		cr_expect(proc_is_interpreter(names[i]), "%s", names[i]);
		for (const char *const *glob = proc_interpreter_globs("/srv/agent"); *glob; glob++)
			found |= fnmatch(*glob, names[i], 0) == 0;
		cr_expect(found, "%s", names[i]);
	}
	cr_expect_not(proc_is_interpreter("claude"));
	cr_expect_not(proc_is_interpreter("node-MainThread"));
	cr_expect_not(proc_is_interpreter(""));
}

Test(script, pm2)
{
	cr_expect(proc_is_pm2_container("/usr/lib/node_modules/pm2/lib/ProcessContainerFork.js"));
	cr_expect(proc_is_pm2_container("/x/pm2/lib/ProcessContainer.js"));
	cr_expect_not(proc_is_pm2_container("/srv/agent.js"));
	cr_expect_not(proc_is_pm2_container("/srv/ProcessContainer.js/agent.js"));
}
