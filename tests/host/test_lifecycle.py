#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Orphans, duplicates, agents that run for too long; and that nothing else is ended."""

import os
import signal
import subprocess
import sys
import time
import unittest

from harness import GovdTest, is_alive, wait_until

# Starts its arguments in the background, tells their pid, and waits for a line or the end of its input.
STARTER = """import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid, flush=True)
sys.stdin.readline()
"""


class LifecycleTest(GovdTest):
    def begin(self, rules, key=""):
        self.agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n" + key + rules + "\nstop: {grace: 2s}\n")
        self.start()

    def starter(self, *command):
        process = self.spawn(sys.executable, "-c", STARTER, *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process, int(process.stdout.readline())

    def incidents(self, kind):
        return self.ctl_json("incidents", "--kind", kind)

    def assert_told(self, kind, rule):
        """Once."""
        wait_until(lambda: self.incidents(kind), "the incident")
        self.assertEqual([i["rule"] for i in self.incidents(kind)], [rule])

    def test_orphan_is_ended_after_its_grace_and_a_child_of_the_living_is_not(self):
        self.begin("lifecycle: {orphan: 1s}")
        one, orphan = self.starter(self.agent, "300")
        _, child = self.starter(self.agent, "300")
        for pid in (orphan, child):
            self.assert_placed(pid)
        began = time.monotonic()
        one.kill()
        one.wait()
        wait_until(lambda: not is_alive(orphan), "the orphan's end")
        self.assertGreater(time.monotonic() - began, 1, "after its grace")
        self.assertTrue(is_alive(child))
        self.assert_told("orphan", "lifecycle.orphan")

    def test_orphaned_while_no_govd_ran(self):
        self.begin("lifecycle: {orphan: 1s}")
        starter, orphan = self.starter(self.agent, "300")
        _, child = self.starter(self.agent, "300")
        for pid in (orphan, child):
            self.assert_placed(pid)
        self.stop_govd(signal.SIGKILL)
        starter.kill()
        starter.wait()
        self.start()
        wait_until(lambda: not is_alive(orphan), "the orphan's end")
        self.assertTrue(is_alive(child))

    def test_old_one_of_a_key_ends_when_the_new_one_has_lived(self):
        self.begin("lifecycle: {per_key: 1}\nrestart: {min_uptime: 2s}", 'key: {env: ROOM}\n')
        def start(room):
            process = self.spawn(self.agent, "300", env=dict(os.environ, ROOM=room))
            self.assert_placed(process.pid)
            return process
        old, other = start("blue"), start("red")
        # One that fails at once takes nobody's place.
        failed = start("blue")
        failed.kill()
        failed.wait()
        time.sleep(2.5)
        self.assertIsNone(old.poll())
        new = start("blue")
        wait_until(lambda: old.poll() is not None, "the old one's end")
        self.assertIsNone(new.poll())
        self.assertIsNone(other.poll())
        self.assert_told("duplicate", "lifecycle.per_key")

    def test_max_runtime(self):
        self.begin("lifecycle: {max_runtime: 2s}")
        began = time.monotonic()
        process = self.spawn(self.agent, "300")
        wait_until(lambda: process.poll() is not None, "its end")
        self.assertGreater(time.monotonic() - began, 1.9)
        self.assertEqual(process.returncode, -signal.SIGTERM)
        self.assert_told("expired", "lifecycle.max_runtime")

    def test_policy_that_would_end_most_is_suspended_until_resumed(self):
        self.begin("lifecycle: {max_runtime: 3s}")
        agents = [self.spawn(self.agent, "300") for _ in range(10)]
        wait_until(lambda: [i for i in self.incidents("alert") if i["action"] == "suspend"], "the suspension", 20)
        wait_until(lambda: len([a for a in agents if a.poll() is not None]) == 5, "half of them")
        time.sleep(1)
        self.assertEqual(len([a for a in agents if a.poll() is None]), 5)
        self.assertEqual([p["state"] for p in self.ctl_json("policy", "list")], ["suspended"])
        # The next govd knows it.
        self.stop_govd()
        self.start()
        time.sleep(1)
        self.assertEqual(len([a for a in agents if a.poll() is None]), 5)
        self.assertIn("policy bot is suspended", self.log_text())
        self.ctl("policy", "resume", "bot")
        wait_until(lambda: len([a for a in agents if a.poll() is None]) < 5, "the next")

    def test_drain(self):
        self.begin("")
        agents = [self.spawn(self.agent, "300") for _ in range(3)]
        for agent in agents:
            self.assert_placed(agent.pid)
        self.assertEqual(self.ctl("policy", "resume", "none", check=False).returncode, 1)
        self.ctl("drain", "--policy", "other")
        self.assertEqual([a.poll() for a in agents], [None] * 3)
        self.ctl("drain", "--policy", "bot")
        for agent in agents:
            self.assertEqual(agent.wait(10), -signal.SIGTERM)

    def drain_on_stop(self, value):
        with open(self.path("govd.yaml"), "w", encoding="utf-8") as file:
            file.write(f"drain_on_stop: {value}\n")

    def test_drain_on_stop(self):
        self.drain_on_stop("true")
        self.policy("safe", "match: {exe: DIR/bin/safe}\nprotect: true\n")
        self.begin("")
        agents = [self.spawn(self.agent, "300") for _ in range(3)]
        safe = self.spawn(self.copy("sleep", "safe"), "300")
        stubborn = self.spawn(self.agent, "300", preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
        for agent in (*agents, stubborn, safe):
            self.assert_placed(agent.pid)
        began = time.monotonic()
        self.assertEqual(self.stop_govd(), 0)
        # It has waited for the grace, and for nothing else.
        self.assertGreater(time.monotonic() - began, 1.9)
        self.assertLess(time.monotonic() - began, 10)
        self.assertEqual([a.wait(5) for a in agents], [-signal.SIGTERM] * 3)
        self.assertEqual(stubborn.wait(5), -signal.SIGKILL)
        self.assertIsNone(safe.poll())
        self.assertTrue(self.is_inside(safe.pid))
        self.assertEqual([(i["rule"], i["by"]) for i in self.ctl_json("incidents", "--kind", "stopped")],
                         [("drain_on_stop", "govd")] * 4)
        self.start()

    def test_drain_on_stop_told_twice_ends_at_once(self):
        self.drain_on_stop("true")
        self.begin("")
        stubborn = self.spawn(self.agent, "300", preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN))
        self.assert_placed(stubborn.pid)
        self.govd.send_signal(signal.SIGTERM)
        wait_until(lambda: "waiting for the end of 1 agents" in self.log_text(), "it waits")
        self.assertEqual(self.stop_govd(), 0)
        # Else it would have been killed when its grace was over.
        self.assertIsNone(stubborn.poll())
        self.start()

    def test_by_default_agents_run_on_within_their_limits(self):
        self.begin("memory: {max: 100M}")
        agent = self.spawn(self.agent, "300")
        self.assert_placed(agent.pid)
        self.assertEqual(self.stop_govd(), 0)
        self.assertIsNone(agent.poll())
        self.assertTrue(self.is_inside(agent.pid))
        self.start()
        self.assertEqual(self.agent_of(agent.pid)["memory_max_bytes"], 100 << 20)


if __name__ == "__main__":
    unittest.main()
