#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents that don't end when they are killed, zombies, and services that leave their agents behind."""

import os
import signal
import subprocess
import sys
import time
import unittest

from harness import GovdTest, cgroups_of, is_alive, mounts_of, wait_until

# A supervisor that never waits for its children: tells their pids, and lives on.
CARELESS = """import subprocess, sys, time
children = [subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL) for _ in range(2)]
print(*(c.pid for c in children), flush=True)
time.sleep(300)
"""
# A service that is a subreaper, whose worker starts the agent; the worker's pid and the agent's.
SUBREAPER = """import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
worker = subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], stdout=subprocess.PIPE)
print(worker.pid, worker.stdout.readline().decode(), flush=True)
time.sleep(300)
"""
WORKER = """import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid, flush=True)
time.sleep(300)
"""


def state_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return None


class StopTest(GovdTest):
    def begin(self, rules=""):
        self.agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n" + rules + "\nstop: {grace: 1s}\n")
        self.start()

    def tell(self, *command):
        """A process, and the numbers of its first line."""
        process = self.spawn(*command, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        return process, [int(word) for word in process.stdout.readline().split()]

    def freezer(self, pid):
        """Has pid sleep uninterruptibly, as one that waits for a dead server: in a group of ours, v1's freezer."""
        mounts = [mount for mount in mounts_of("cgroup") if os.path.basename(mount) == "freezer"]
        if not mounts:
            self.skipTest("no v1 freezer: nothing else makes a process uninterruptible at will")
        path = mounts[0] + cgroups_of(os.getpid())["freezer"].rstrip("/") + f"/govtest-{os.getpid()}"
        os.mkdir(path)
        self.addCleanup(os.rmdir, path)
        self.put(path, "cgroup.procs", pid)
        self.addCleanup(self.leave, path, pid)
        self.put(path, "freezer.state", "FROZEN")
        wait_until(lambda: state_of(pid) == "D", "it sleeps uninterruptibly")
        return path

    @staticmethod
    def put(path, name, text):
        with open(os.path.join(path, name), "w", encoding="ascii") as file:
            file.write(str(text))

    @staticmethod
    def get(path, name):
        with open(os.path.join(path, name), encoding="ascii") as file:
            return file.read()

    def leave(self, path, pid):
        self.put(path, "freezer.state", "THAWED")
        wait_until(lambda: not is_alive(pid), "its end")
        wait_until(lambda: not self.get(path, "cgroup.procs"), "nobody is in it")

    def test_uninterruptible_is_told_and_nothing_waits_for_it(self):
        self.begin("key: {args: '(\\d+)$'}\nlifecycle: {per_key: 1}")
        stuck = self.spawn(self.agent, "300")
        agent = self.agent_of(stuck.pid)
        path = self.freezer(stuck.pid)
        began = time.monotonic()
        self.ctl("stop", agent["id"])
        # Another one of the same key needn't wait, nor must others be slower to end.
        other = self.spawn(self.agent, "300")
        self.assert_placed(other.pid)
        self.ctl("stop", "--wait", self.agent_of(other.pid)["id"])
        self.assertLess(time.monotonic() - began, 7)
        alerts = wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "alert") if i["action"] == "kill"],
                            "the alert", 30)
        # The grace, and then 1, 2 and 4 s.
        self.assertGreater(time.monotonic() - began, 7.9)
        self.assertEqual((alerts[0]["agent"], alerts[0]["rule"], alerts[0]["result"]), (agent["id"], "stop", "failed"))
        evidence = alerts[0]["evidence"]
        self.assertEqual((evidence["processes"], evidence["uninterruptible"], evidence["zombies"]), (1, 1, 0))
        self.assertRegex(evidence["first"], rf"^{stuck.pid} agent D\b")
        self.assertEqual(self.ctl_json("show", agent["id"])["state"], "stopping")
        self.put(path, "freezer.state", "THAWED")
        wait_until(lambda: not self.ctl_json("list"), "the end")
        stuck.wait(5)

    def test_zombies_are_no_agents(self):
        self.begin()
        _, children = self.tell(sys.executable, "-c", CARELESS, self.agent, "300")
        for child in children:
            self.assert_placed(child)
        self.ctl("stop", "--wait", self.agent_of(children[0])["id"])
        self.ctl("kill", "--wait", self.agent_of(children[1])["id"])
        self.assertEqual([state_of(child) for child in children], ["Z", "Z"])
        self.assertEqual(self.ctl_json("list"), [])
        time.sleep(2)
        self.assertEqual(self.ctl_json("incidents", "--kind", "alert"), [])

    def test_agents_of_a_service_end_with_it(self):
        self.begin("lifecycle: {orphan: 1s}")
        service, (worker, agent) = self.tell(sys.executable, "-c", SUBREAPER, WORKER, self.agent, "300")
        self.assert_placed(agent)
        # Its adopter lives, and isn't who has started it.
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(agent), "the agent's end")
        self.assertIsNone(service.poll())
        service, (worker, agent) = self.tell(sys.executable, "-c", SUBREAPER, WORKER, self.agent, "300")
        self.assert_placed(agent)
        # As service managers do that end the main process alone.
        service.kill()
        service.wait()
        self.assertTrue(is_alive(agent))
        time.sleep(1.5)
        self.assertTrue(is_alive(agent), "its worker lives")
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: not is_alive(agent), "the agent's end")
        self.assertEqual(len(wait_until(lambda: len(self.ctl_json("incidents", "--kind", "orphan")) == 2 and
                                        self.ctl_json("incidents", "--kind", "orphan"), "the incidents")), 2)


if __name__ == "__main__":
    unittest.main()
