#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The policies that are installed, on processes that look like those they are for.

The presets are for names that others on this host may have, too: here each wants a variable of this test's as well.
"""

import glob
import os
import re
import shutil
import unittest

from harness import ROOT, GovdTest, cgroups_of, program, wait_until

SDK = "--output-format stream-json --verbose --input-format stream-json"
PROFILE = "--user-data-dir=/tmp/playwright_chromiumdev_profile-k3Jx0b"
PM2 = {"pm_exec_path": "DIR/site/app.js", "pm_id": "3", "name": "site"}

# (policy and key, or None; file of the executable; arguments, the script's path below DIR if it has one; variables).
# Relative scripts are looked for in DIR/cwd.
LOOKS = [
    ("claude-agent-sdk", "", "node_modules/bin/claude", "claude " + SDK, {}),
    ("claude-agent-sdk", "8f14", "share/claude/versions/2.1.7", "claude --resume 8f14 " + SDK, {}),
    ("claude-agent-sdk", "", "bin/node", "node DIR/lib/@anthropic-ai/claude-code/cli.js " + SDK, {}),
    ("claude-code", "", "share/claude/versions/2.1.8", "claude", {}),
    ("claude-code", "", "bin/node", "node DIR/lib/@anthropic-ai/claude-code/cli.js --continue", {}),
    ("livekit-agents", "desk", "bin/python3.11", "python agent.py start", {"LIVEKIT_AGENT_NAME": "desk"}),
    ("livekit-agents-node", "", "bin/node", "node ./dist/agent.js start", {}),
    ("pm2-apps", "3", "bin/node", "node DIR/pm2/lib/ProcessContainerFork.js", PM2),
    ("playwright-chromium", "", "ms-playwright/chrome", f"chrome --headless {PROFILE} --remote-debugging-pipe", {}),
    ("puppeteer-chromium", "", "puppeteer/chrome-headless-shell",
     "chrome-headless-shell --remote-debugging-port=0 --user-data-dir=/tmp/puppeteer_dev_chrome_profile-a1", {}),
    ("gunicorn", "", "bin/python3.11", "DIR/venv/bin/python DIR/venv/bin/gunicorn -w 4 app:app", {}),
    ("uvicorn", "", "bin/python3.11", "python3 -m uvicorn main:app --workers 4", {}),
    ("zz-generic", "", "bin/python3.11", "python3 DIR/agents/mail.py", {}),
    (None, "", "ms-playwright/chrome", f"chrome --type=renderer {PROFILE}", {}),
    (None, "", "bin/python3.11", "python3 -c import_multiprocessing", {}),
    (None, "", "bin/node", "node DIR/site/app.js", {}),
    (None, "", "bin/sleep", "claude " + SDK, {}),
]
SCRIPTS = ["lib/@anthropic-ai/claude-code/cli.js", "cwd/agent.py", "cwd/dist/agent.js", "pm2/lib/ProcessContainerFork.js",
           "venv/bin/gunicorn", "agents/mail.py", "site/app.js"]


class PresetsTest(GovdTest):
    def install(self):
        """Returns the names of all presets."""
        names = []
        for path in glob.glob(os.path.join(ROOT, "policies", "*.yaml")):
            with open(path, encoding="utf-8") as file:
                text = file.read()
            confined, n = re.subn(r"(?m)^  env: \{", f"  env: {{GOVD_TEST: {self.dir}, ", text)
            if n == 0:
                confined, n = re.subn(r"(?m)^match:\n", f"match:\n  env: {{GOVD_TEST: {self.dir}}}\n", text)
            self.assertEqual(n, 1, path)
            names.append(os.path.basename(path).removesuffix(".yaml"))
            self.policy(names[-1], confined)
        return names

    def look(self, executable, arguments, variables):
        path = self.path("opt", executable)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.exists(path):
            shutil.copy(program("look"), path)
        variables = {name: value.replace("DIR", self.dir) for name, value in variables.items()}
        return self.spawn(*arguments.replace("DIR", self.dir).split(), executable=path, cwd=self.path("cwd"),
                          env={"GOVD_TEST": self.dir, **variables})

    def test_looks(self):
        names = self.install()
        self.assertEqual({look[0] for look in LOOKS} - {None}, set(names), "each preset has a look, and each look a preset")
        for script in SCRIPTS:
            os.makedirs(os.path.dirname(self.path(script)), exist_ok=True)
            self.script(script, "")
        self.start()
        started = [(look, self.look(*look[2:])) for look in LOOKS]
        before = cgroups_of(os.getpid())
        for (policy, key, executable, arguments, _), process in started:
            with self.subTest(executable=executable, arguments=arguments):
                tested = wait_until(lambda p=process: self.ask(p.pid, executable), "it has executed")
                self.assertEqual(tested["policy"], policy)
                self.assertEqual([p["policy"] for p in tested["policies"] if p["matched"]][:1], [policy] if policy else [])
                self.assertEqual(len(tested["policies"]), len(names))
                if policy:
                    agent = self.agent_of(process.pid)
                    self.assertEqual((agent["policy"], agent["key"], agent["observed"]), (policy, key, True))
                self.assertEqual(cgroups_of(process.pid), before)
        self.assertEqual({a["pid"] for a in self.agents()}, {p.pid for look, p in started if look[0]})

    def ask(self, pid, executable):
        answer = self.ctl_json("policy", "test", str(pid))
        return answer if answer["exe"].endswith("/opt/" + executable) else None


if __name__ == "__main__":
    unittest.main()
