#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What govctl prints for people: tables that fit, and nothing that steers the terminal."""

import re
import time
import unittest

from govctl_case import AGENT, CONTROL, HOSTILE, GovctlTest, a_dict, a_string, dicts


class Tables(GovctlTest):
    def agents(self):
        return [{**AGENT, "id": f"{i:08x}", "policy": "a-policy-with-a-long-name" if i % 2 else "bots",
                 "key": f"a-room-with-quite-a-long-name-{i}" if i % 3 else "räume"} for i in range(12)]

    def test_fits(self):
        self.serve(ListAgents=dicts(*self.agents()))
        shown = {}
        for columns in (10, 20, 40, 80, 120, 200):
            text = self.govctl("list", env={"COLUMNS": str(columns)}).stdout
            lines = text.splitlines()
            self.assertEqual(len(lines), 13, text)
            self.assertLessEqual(max(map(len, lines)), columns, text)
            self.assertFalse([line for line in lines if line != line.rstrip()])
            shown[columns] = lines
        for column in ("ID", "POLICY", "STATE"):
            self.assertIn(column, shown[40][0])
        for column in ("ID", "POLICY", "KEY", "STATE", "MEMORY", "AGE"):
            self.assertIn(column, shown[80][0])
        for column in ("PID", "IDLE", "MAX", "CPU", "TASKS", "CGROUP"):
            self.assertIn(column, shown[200][0])
        self.assertIn("/agents.slice/govd-bots-1a2b3c4d", shown[200][1])
        self.assertIn("…", shown[40][2])
        # Columns stand below each other.
        where = shown[200][0].index("STATE")
        self.assertTrue(all(line[where:].startswith("active") for line in shown[200][1:]))

    def test_no_limit_into_a_pipe(self):
        self.serve(ListAgents=dicts({**AGENT, "cgroup": "/agents.slice/" + "x" * 300}))
        self.assertIn("x" * 300, self.govctl("list").stdout)

    def test_units_are_for_people(self):
        self.serve(ListAgents=dicts({**AGENT, "memory_max_bytes": None}))
        row = self.govctl("list", env={"COLUMNS": "200"}).stdout.splitlines()[1]
        for words in ("1h 2min", "152.4M", "4.2s", " - "):
            self.assertIn(words, row)

    def test_connects(self):
        """list has the sums of an agent, show each destination and what the policy allows."""
        destination = {"destination": "192.0.2.1:443", "protocol": "tcp", "attempts": 1234, "delayed": 1200,
                       "refused": 3, "established": 9, "failed": 1222, "dropped": 0, "open": 2, "rate_per_s": 0.083333,
                       "storm": True, "breaker": {"state": "open", "interval_s": 24.0}, "next_in_s": 12.5}
        agent = {**AGENT, "connects": 4321, "delayed": 1200, "refused": 3, "sockets": 17}
        full = {**agent, "destinations": [destination, {**destination, "destination": "[2001:db8::1]:80",
                                                        "rate_per_s": 12.5, "storm": False,
                                                        "breaker": {"state": "closed", "interval_s": 0.0}}],
                "limits": {"connect": {"rate_per_s": 0.083333, "burst": 5, "max_delay_s": 30.0}}}
        self.serve(ListAgents=dicts(agent), ShowAgent=a_dict(full))
        titles, row = self.govctl("list", env={"COLUMNS": "200"}).stdout.splitlines()
        for title, words in (("CONNECTS", "4321"), ("DELAYED", "1200"), ("REFUSED", "3"), ("SOCKETS", "17")):
            end = titles.index(title) + len(title)
            self.assertEqual(row[:end].split()[-1], words, f"{title}: {row}")
        text = self.govctl("show", "1a2b3c4d").stdout
        self.assertRegex(text, r"(?m)^    connect +rate 5/min, burst 5, max delay 30s$")
        self.assertRegex(text, r"(?m)^192\.0\.2\.1:443 .* 5/min +yes +open 24s +12s$")
        self.assertRegex(text, r"(?m)^\[2001:db8::1\]:80 .* 12\.5/s +no +closed +12s$")

    def test_status(self):
        self.serve(Status=a_dict({"version": "0.1.0", "backend": "native", "mode": "enforce", "kernel": "6.18",
                                  "agents": {"total": 3, "held": 0, "frozen": 1}, "uptime_s": 90, "nothing": "",
                                  "a_rather_long_name": 7}))
        lines = self.govctl("status").stdout.splitlines()
        self.assertEqual(lines[0], "govd 0.1.0: enforce, native backend, Linux 6.18")
        self.assertIn("  agents              total 3, held 0, frozen 1", lines)
        self.assertIn("  uptime              1min 30s", lines)
        self.assertIn("  a rather long name  7", lines)
        self.assertNotIn("nothing", "".join(lines))

    def test_many_agents_are_listed_at_once(self):
        self.serve(ListAgents=dicts(*(self.agents() * 25)))
        start = time.monotonic()
        self.assertEqual(len(self.govctl("list").stdout.splitlines()), 301)
        self.assertLess(time.monotonic() - start, 2)

    def test_empty(self):
        self.serve(ListAgents=dicts(), ListPolicies=dicts())
        self.assertEqual(self.govctl("list").stdout, "No agents.\n")
        self.assertIn("No policies", self.govctl("policy", "list").stdout)

    def test_control_characters_do_not_reach_the_terminal(self):
        agent = {**AGENT, "key": HOSTILE, "policy": HOSTILE, "cgroup": HOSTILE, "state": HOSTILE, "exe": HOSTILE,
                 "limits": {HOSTILE: HOSTILE}, "next": {"action": HOSTILE, "in_s": 1.0},
                 "tools": [{"id": HOSTILE, "pid": 1}], "incidents": [{"kind": HOSTILE, "evidence": {HOSTILE: HOSTILE}}]}
        reasons = {"exe": HOSTILE, "policies": [{"policy": HOSTILE, "matched": False, "key": HOSTILE, "reason": HOSTILE},
                                               {"policy": "b", "matched": True, "reason": HOSTILE}]}
        self.serve(ListAgents=dicts(agent), ShowAgent=a_dict(agent), Status=a_dict({"version": HOSTILE, "x": {"y": HOSTILE}}),
                   Explain=a_dict(reasons), TestPolicy=a_dict(reasons), Adopt=a_string(HOSTILE), Command=a_string(HOSTILE),
                   Subscribe=dicts({"event": HOSTILE, "key": HOSTILE, "policy": HOSTILE, HOSTILE: HOSTILE}),
                   ListPolicies=dicts({"name": HOSTILE, "error": HOSTILE, "file": HOSTILE}),
                   ShowPolicy=a_string(HOSTILE), Run={"types": "sb", "value": [HOSTILE, True]},
                   Reload=a_dict({"policies": 1, "errors": []}))
        for args in (["list"], ["show", "1a"], ["status"], ["explain", "7"], ["policy", "test", "7"], ["adopt", "7"],
                     ["thaw", "1"], ["events"], ["policy", "list"], ["policy", "show", "x"], ["policy", "reload"],
                     ["run", "--reuse", "true"], ["version"]):
            for json_mode in ([], ["--json=short"], ["--json=pretty"]):
                if args[0] == "run":
                    command = json_mode + args
                else:
                    command = args + json_mode
                with self.subTest(args=command):
                    text = self.on_terminal(*command, env={"NO_COLOR": "1"}, columns=400)
                    self.assertNotRegex(text, CONTROL)
                    self.assertTrue(text.endswith("\n"))

    def test_colours_only_on_a_terminal_that_wants_them(self):
        self.serve(ListAgents=dicts(AGENT))
        self.assertIn("\x1b[32mactive\x1b[0m", self.on_terminal("list"))
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b", self.on_terminal("list", env=env))
        self.assertNotIn("\x1b", self.govctl("list", env={"TERM": "xterm"}).stdout)
        plain = re.sub("\x1b\\[[0-9]*m", "", self.on_terminal("list", columns=60))
        self.assertLessEqual(max(map(len, plain.splitlines())), 60)

    def test_reasons(self):
        self.serve(Explain=a_dict({
            "pid": 7, "exe": "/usr/bin/python3", "policy": "bots", "state": "active", "next": {"action": "kill", "in_s": 4.0},
            "policies": [{"policy": "bots", "matched": True},
                         {"policy": "claude", "matched": False, "key": "exe", "reason": "exe is /usr/bin/python3"}]}))
        text = self.govctl("explain", "7").stdout
        self.assertRegex(text, r"(?m)^exe +/usr/bin/python3$")
        self.assertRegex(text, r"(?m)^next +action kill, in 4s$")
        self.assertRegex(text, r"(?m)^  bots +matched$")
        self.assertRegex(text, r"(?m)^  claude +no: exe: exe is /usr/bin/python3$")


if __name__ == "__main__":
    unittest.main()
