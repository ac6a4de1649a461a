#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leases, and one agent for many callers."""

import json
import os
import subprocess
import sys
import time
import unittest

from harness import BUILD, GovdTest, is_alive, wait_until

CALLERS = 50

# Starts its arguments in the background, tells their pid, and waits for a line or the end of its input.
STARTER = """import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid, flush=True)
sys.stdin.readline()
"""


class LeaseTest(GovdTest):
    def begin(self, rules=""):
        self.agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nkey: {env: ROOM}\nallow: {users: [nobody]}\n" + rules +
                    "\nstop: {grace: 2s}\n")
        self.start()

    def orphan(self):
        """An agent, and the process that has started it."""
        starter = self.spawn(sys.executable, "-c", STARTER, self.agent, "300", stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        self.addCleanup(starter.stdout.close)
        self.addCleanup(starter.stdin.close)
        return starter, self.agent_of(int(starter.stdout.readline()))

    def test_orphan_lives_as_long_as_its_lease(self):
        self.begin("lifecycle: {orphan: 1s}")
        starter, agent = self.orphan()
        self.ctl("lease", agent["id"], "4s")
        self.assertLessEqual(self.ctl_json("show", agent["id"])["lease_s"], 4)
        starter.kill()
        starter.wait()
        time.sleep(2)
        renewed = time.monotonic()
        self.ctl("touch", agent["id"])
        wait_until(lambda: not is_alive(agent["pid"]), "its end")
        self.assertGreater(time.monotonic() - renewed, 3.9)
        told = wait_until(lambda: self.ctl_json("incidents", "--kind", "orphan"), "the incident")
        self.assertEqual([i["agent"] for i in told], [agent["id"]])

    def test_lease_that_is_given_back_is_over(self):
        self.begin("lifecycle: {orphan: 1s}")
        starter, agent = self.orphan()
        self.ctl("lease", agent["id"], "1h")
        starter.kill()
        starter.wait()
        time.sleep(2)
        self.assertTrue(is_alive(agent["pid"]))
        self.ctl("lease", agent["id"], "0s")
        wait_until(lambda: not is_alive(agent["pid"]), "its end")

    def test_lease_outlives_govd(self):
        self.begin("lifecycle: {orphan: 1s}")
        starter, agent = self.orphan()
        _, other = self.orphan()
        self.ctl("lease", agent["id"], "1h")
        self.stop_govd()
        starter.kill()
        starter.wait()
        self.start()
        self.assertGreater(self.ctl_json("show", agent["id"])["lease_s"], 3500)
        self.assertNotIn("lease_s", self.ctl_json("show", other["id"]))
        time.sleep(2)
        self.assertTrue(is_alive(agent["pid"]))
        self.ctl("lease", agent["id"], "0s")
        wait_until(lambda: not is_alive(agent["pid"]), "its end")
        self.assertTrue(is_alive(other["pid"]))

    def test_users_that_the_policy_allows(self):
        self.begin()
        self.policy("other", "match: {exe: DIR/bin/other}\n")
        self.ctl("policy", "reload")
        one, other = self.spawn(self.agent, "300"), self.spawn(self.copy("sleep", "other"), "300")
        one, other = self.agent_of(one.pid), self.agent_of(other.pid)
        self.ctl("lease", one["id"], "1min", user="nobody")
        self.ctl("touch", one["id"], user="nobody")
        for words in (["lease", other["id"], "1min"], ["touch", other["id"]]):
            self.assertIn("may", self.ctl(*words, user="nobody", check=False).stderr)
        self.assertIn("lease_s", self.ctl_json("show", one["id"]))
        self.assertNotIn("lease_s", self.ctl_json("show", other["id"]))

    def run_many(self, *words):
        """All at once; those that ended, and the one that became the agent."""
        command = [os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "--json=short", "run",
                   "--policy", "bot", *words, "--reuse", "--", self.agent, "300"]
        callers = [self.spawn(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                   for _ in range(CALLERS)]
        for caller in callers:
            self.addCleanup(caller.stdout.close)
            self.addCleanup(caller.stderr.close)
        wait_until(lambda: len([c for c in callers if c.poll() is None]) <= 1, "the callers", 60)
        return [c for c in callers if c.poll() is not None], [c for c in callers if c.poll() is None]

    def test_many_callers_get_one_agent(self):
        self.begin()
        ended, living = self.run_many("--key", "blue")
        self.assertEqual([(c.returncode, c.stderr.read()) for c in ended], [(0, "")] * (CALLERS - 1))
        self.assertEqual([self.agent_of(living[0].pid)["id"]], [a["id"] for a in self.agents()])
        self.assertEqual([json.loads(c.stdout.read()) for c in ended],
                         [{"id": self.agents()[0]["id"], "reused": True}] * (CALLERS - 1))
        self.assertEqual(self.agents()[0]["key"], "blue")
        self.ctl("lease", "bot/blue", "1h")
        self.ctl("lease", "bot/blue", "10s")
        time.sleep(1.5)
        # It renews the lease, and another key is another agent.
        self.ctl("run", "--policy", "bot", "--key", "blue", "--reuse", "--", self.agent, "300")
        self.assertGreater(self.ctl_json("show", "bot/blue")["lease_s"], 8.5)
        self.run_many("--key", "red")
        self.assertEqual(sorted(a["key"] for a in self.agents()), ["blue", "red"])

    def test_agent_that_is_being_stopped_is_not_reused(self):
        self.begin()
        stubborn = self.script("stubborn.sh", "#!/bin/sh\ntrap '' TERM\necho\nwhile :; do sleep 0.1; done\n")
        first = self.spawn(os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "run", "--policy",
                           "bot", "--key", "blue", "--", stubborn, stdout=subprocess.PIPE)
        self.addCleanup(first.stdout.close)
        first.stdout.readline()
        old = self.agent_of(first.pid)
        self.ctl("stop", old["id"])
        second = self.spawn(os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "run",
                            "--policy", "bot", "--key", "blue", "--reuse", "--", self.agent, "300")
        self.assertNotEqual(self.agent_of(second.pid)["id"], old["id"])
        wait_until(lambda: not is_alive(first.pid), "the end of the old one")


if __name__ == "__main__":
    unittest.main()
