#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Deaths by SIGKILL: for want of memory, by somebody, by govd. Each is told once, with what, why and by whom."""

import os
import signal
import subprocess
import unittest

from harness import BACKEND, DEADLINE, GovdTest, children_of, wait_until

MIB = 1 << 20
LIMIT = 40 * MIB
BY_KIND = {"anon_bytes", "file_bytes", "shmem_bytes", "kernel_bytes"}
LIMITED = "match: {exe: DIR/bin/agent}\nmemory: {max: 40M, swap_max: 0"
# The root is a shell that waits for its tool, and then for its end.
OUTLIVES = '"$0" /dev/zero; echo "the tool has ended: $?"; read -r line'


class OomTest(GovdTest):
    def setUp(self):
        super().setUp()
        # tail keeps all that it reads until it comes across a newline.
        self.hoarder = self.copy("tail", "hoarder")

    def incidents(self, *words):
        return self.ctl_json("incidents", *words)

    def only(self, kind):
        return wait_until(lambda: self.incidents("--kind", kind), f"an incident {kind}")

    def root_with_tool(self, policy):
        self.policy("bot", policy)
        self.start()
        root = self.spawn(self.copy("sh", "agent"), "-c", OUTLIVES, self.hoarder, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)
        for stream in (root.stdin, root.stdout):
            self.addCleanup(stream.close)
        return root

    def test_an_agent_that_hoards_is_told_with_its_evidence(self):
        agent = self.copy("tail", "agent")
        self.policy("bot", LIMITED + "}\n")
        self.start()
        process = self.spawn(agent, "/dev/zero")
        self.assertEqual(process.wait(DEADLINE), -signal.SIGKILL)
        (told,) = self.only("oom")
        evidence = told["evidence"]
        self.assertEqual((told["policy"], told["rule"], told["action"], told["result"], told["by"]),
                         ("bot", "memory.max", "kill", "done", "kernel"), told)
        self.assertEqual((evidence["pid"], evidence["victim_pid"], evidence["victim"], evidence["victim_is"]),
                         (process.pid, process.pid, "agent", "root"), told)
        self.assertEqual((evidence["limit"], evidence["limit_bytes"]), ("agent", LIMIT), told)
        self.assertLess(LIMIT - evidence["usage_bytes"], 2 * MIB, told)
        self.assertGreater(evidence["victim_anon_bytes"], LIMIT * 3 // 4, told)
        self.assertLessEqual(evidence["victim_anon_bytes"], LIMIT, told)
        self.assertLess(evidence["victim_shmem_bytes"], MIB, told)
        # The group is read a moment later: what has been freed by then isn't in it; and after its last process systemd
        # removes it.
        for name in BY_KIND if BACKEND != "systemd" else BY_KIND & evidence.keys():
            self.assertLessEqual(evidence[name], LIMIT, told)
        self.assertRegex(evidence["largest"], rf"^{process.pid} agent \d+\.\dM$", told)
        (end,) = self.only("stopped")
        self.assertEqual((end["rule"], end["action"], end["by"], end["evidence"]["exit_signal"]),
                         ("oom", "none", "kernel", signal.SIGKILL), end)
        # The signal that the kernel has sent isn't told again.
        self.assertEqual(self.incidents("--kind", "alert"), [])

    def test_a_tool_that_hoards_is_told_and_the_agent_lives_on(self):
        root = self.root_with_tool(LIMITED + "}\n")
        self.assertEqual(root.stdout.readline(), b"the tool has ended: 137\n")
        (told,) = self.only("oom")
        evidence = told["evidence"]
        self.assertEqual((evidence["pid"], evidence["victim"], evidence["victim_is"]), (root.pid, "hoarder", "tool"), told)
        for name in BY_KIND:
            self.assertLessEqual(evidence[name], LIMIT, told)
        first, second = evidence["largest"].split(", ")
        self.assertTrue(first.startswith(f"{evidence['victim_pid']} hoarder "), told)
        self.assertTrue(second.startswith(f"{root.pid} agent "), told)
        self.assertEqual(self.agents()[0]["pid"], root.pid)
        root.stdin.close()
        (end,) = self.only("stopped")
        self.assertEqual(end["rule"], "exit", end)

    def test_kill_agent_ends_all_of_it(self):
        root = self.root_with_tool(LIMITED + ", on_oom: kill-agent}\n")
        self.assertEqual(root.wait(DEADLINE), -signal.SIGKILL)
        (told,) = self.only("oom")
        self.assertEqual((told["rule"], told["action"], told["by"]), ("memory.max", "kill-agent", "kernel"), told)
        (end,) = self.only("stopped")
        self.assertEqual((end["rule"], end["action"]), ("oom", "stop"), end)
        self.assertEqual(self.incidents("--kind", "alert"), [])

    def test_a_sigkill_from_outside_is_an_alert_with_its_sender(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        process = self.spawn(agent, "300")
        self.agent_of(process.pid)
        sender = self.spawn(self.copy("sh", "killer"), "-c", 'kill -9 "$0"', str(process.pid))
        self.assertEqual(sender.wait(DEADLINE), 0)
        (told,) = self.only("alert")
        evidence = told["evidence"]
        self.assertEqual((told["policy"], told["rule"], told["action"], told["by"]), ("bot", "sigkill", "none", "root"), told)
        self.assertEqual((evidence["sender_pid"], evidence["sender"], evidence["sender_uid"]), (sender.pid, "killer", 0), told)
        self.assertEqual((evidence["victim_pid"], evidence["victim"], evidence["victim_is"]),
                         (process.pid, "agent", "root"), told)
        (end,) = self.only("stopped")
        self.assertEqual((end["rule"], end["by"], end["evidence"]["exit_signal"]), ("sigkill", "root", signal.SIGKILL), end)

    def test_an_observed_agent_is_told_of_too(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmode: observe\n")
        self.start()
        process = self.spawn(agent, "300")
        self.agent_of(process.pid)
        process.kill()
        (told,) = self.only("alert")
        self.assertEqual((told["rule"], told["evidence"]["sender_pid"]), ("sigkill", os.getpid()), told)

    def test_what_govd_or_the_agent_itself_kills_is_no_alert(self):
        agent = self.copy("sh", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nstop: {grace: 100ms}\n")
        self.start()
        stubborn = [self.spawn(agent, "-c", 'trap "" TERM; while :; do sleep 1; done') for _ in range(2)]
        for process, verb in zip(stubborn, ("kill", "stop")):
            wait_until(lambda p=process: children_of(p.pid), "its trap is set")
            self.ctl(verb, self.agent_of(process.pid)["id"])
            self.assertEqual(process.wait(DEADLINE), -signal.SIGKILL)
        own = self.spawn(agent, "-c", 'sleep 300 & kill -9 "$!"; wait "$!"')
        self.assertEqual(own.wait(DEADLINE), 128 + signal.SIGKILL)
        wait_until(lambda: len(self.incidents("--kind", "stopped")) == 3, "all ends are told")
        self.assertEqual(self.incidents("--kind", "alert"), [])


if __name__ == "__main__":
    unittest.main()
