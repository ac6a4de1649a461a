#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents that are short of memory: what the ladder does, on real memory.high, memory.max and PSI. Runs in a guest."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import GovdTest, v2_root, wait_until  # noqa: E402

MIB = 1 << 20
HIGH, MAX = 48 * MIB, 96 * MIB
LIMITS = "high: 48M, max: 96M, swap_max: 0"
WIDE = "max: 160M, swap_max: 0"  # of those whose group within their own is short of memory
CACHE = 24 * MIB
INNER_HIGH = 4 * MIB
SLOW = 90  # seconds
RESOLVED_WITHIN = 10
# Grows by 10 MB/s to so many MiB, and gives all back when the file `grows` has gone.
GROWS = """
import os, sys, time
kept = []
while len(kept) < int(sys.argv[1]):
    kept.append(b"x" * (1 << 20))
    time.sleep(0.1)
while os.path.exists(sys.argv[2]):
    time.sleep(0.1)
kept.clear()
time.sleep(600)
"""
# Has a tool grow so, and lives on; how the tool ends is in the file `ended`.
STARTS = """
import subprocess, sys, time
tool = subprocess.Popen(["/usr/bin/python3", "-c", *sys.argv[1:4]])
with open(sys.argv[4], "w") as file:
    file.write(str(tool.pid))
with open(sys.argv[5], "w") as file:
    file.write(str(tool.wait()))
time.sleep(600)
"""
# Reads a file once the file `reads` is there, and grows as long as the file `grows` is.
PRESSED = """
import os, sys, time
def wait(path):
    while not os.path.exists(path):
        time.sleep(0.1)
wait(sys.argv[2])
with open(sys.argv[1], "rb", buffering=0) as file:
    while file.read(1 << 20):
        pass
wait(sys.argv[3])
kept = []
while os.path.exists(sys.argv[3]):
    kept.append(b"x" * (1 << 16))
    time.sleep(0.01)
kept.clear()
time.sleep(600)
"""
# Counts its work, each tenth of a second that of 20 ms: a guest's time is dear.
WORKS = """
import time
while True:
    n, end = 0, time.monotonic() + 0.02
    while time.monotonic() < end:
        bytes(4096).find(b"x")
        n += 1
    print(n, flush=True)
    time.sleep(0.08)
"""


def read(*names):
    with open(os.path.join(*names), encoding="ascii") as file:
        return file.read().strip()


def write(text, *names):
    with open(os.path.join(*names), "w", encoding="ascii") as file:
        file.write(text)


class PressureTest(GovdTest):
    def setUp(self):
        super().setUp()
        self.python = self.copy(sys.executable, "agent")

    def begin(self, memory, script, *words):
        """An agent of this policy: its process and how govd shows it."""
        self.policy("bot", f"match: {{exe: DIR/bin/agent}}\nmemory: {{{memory}}}\n")
        self.start()
        process = self.spawn(self.python, "-c", script, *words)
        agent = wait_until(lambda: next((a for a in self.agents() if a["pid"] == process.pid and
                                         a["state"] not in ("starting", "held")), None), "it is placed", SLOW)
        return process, agent

    def touch(self, name):
        write("", self.path(name))
        return self.path(name)

    def of(self, agent, name):
        return read(v2_root() + agent["cgroup"], name)

    def wait_file(self, agent, name, condition, what, within=SLOW):
        return wait_until(lambda: condition(self.of(agent, name)), what, within)

    def told(self, action, rule="memory.on_pressure", result=None):
        def find():
            time.sleep(0.2)  # asking takes a guest some 10 ms
            return next((i for i in self.ctl_json("incidents", "--kind", "pressure") if i["action"] == action and
                         i["rule"] == rule and result in (None, i["result"])), None)
        return wait_until(find, f"{rule} {action} is told", SLOW)

    def show(self, agent):
        return self.ctl_json("show", agent["id"])

    def restart(self):
        self.stop_govd(signal.SIGKILL)
        self.start()

    # ---- the livelock

    def wait_stuck(self, agent):
        """Until it waits for memory nearly all the time; returns since when."""
        def full_us():
            return int(self.of(agent, "memory.pressure").rsplit("total=", 1)[1])
        deadline, before, at = time.monotonic() + SLOW, full_us(), time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now, now_at = full_us(), time.monotonic()
            if now - before > 0.9 * (now_at - at) * 1e6:
                return at
            before, at = now, now_at
        raise AssertionError("it is never stuck")

    def stuck(self, on_oom, mib):
        process, agent = self.begin(f"{LIMITS}, on_oom: {on_oom}", GROWS, str(mib), self.touch("grows"))
        return process, agent, self.wait_stuck(agent)

    def assert_resolved(self, since):
        took = time.monotonic() - since
        print(f"resolved in {took:.1f} s", end=" ", flush=True)
        self.assertLess(took, RESOLVED_WITHIN)

    def test_livelock_is_left_to_the_kernel_within_10_s(self):
        process, agent, since = self.stuck("kernel", 200)
        self.wait_file(agent, "memory.high", lambda high: high == "max", "memory.high is raised", RESOLVED_WITHIN)
        self.assert_resolved(since)
        self.assertIn("stuck at memory.high", self.ctl_json("explain", agent["id"])["why"])
        told = self.told("raise-high", "livelock")
        evidence = told["evidence"]
        self.assertEqual((told["agent"], told["by"], told["result"]), (agent["id"], "govd", "done"), told)
        self.assertGreater(evidence["full_pct"], 90, told)
        self.assertGreaterEqual(evidence["memory_bytes"], HIGH - HIGH // 32, told)
        self.assertEqual((evidence["memory_high_bytes"], evidence["memory_max_bytes"]), (HIGH, MAX), told)
        self.assertEqual(self.told("note")["result"], "begun")
        self.assertEqual(process.wait(SLOW), -signal.SIGKILL)
        (oom,) = wait_until(lambda: self.ctl_json("incidents", "--kind", "oom"), "the kernel's kill is told")
        self.assertEqual((oom["rule"], oom["by"]), ("memory.max", "kernel"), oom)

    # ---- the rungs

    def pressed(self, on_pressure):
        """An agent with page cache that waits for memory of a group within its own, until the file `grows` has gone."""
        # In /var/tmp, as the pages of a tmpfs would be its own; a hole is read without the disk.
        cached = tempfile.NamedTemporaryFile(dir="/var/tmp", prefix="govd-test-")
        self.addCleanup(cached.close)
        cached.truncate(CACHE)
        process, agent = self.begin(f"{WIDE}, on_pressure: {on_pressure}", PRESSED, cached.name, self.path("reads"),
                                    self.path("grows"))
        self.touch("reads")
        self.wait_file(agent, "memory.stat", lambda text: self.page_cache(text) > CACHE * 9 // 10, "it has page cache")
        group = v2_root() + agent["cgroup"]
        os.mkdir(os.path.join(group, "inner"))
        write(str(process.pid), group, "inner", "cgroup.procs")
        write("+memory", group, "cgroup.subtree_control")
        write(str(INNER_HIGH), group, "inner", "memory.high")
        self.touch("grows")
        return process, agent

    @staticmethod
    def page_cache(text):
        return int(next(line for line in text.splitlines() if line.startswith("file ")).split()[1])

    def test_high_is_lowered_and_taken_back(self):
        _, agent = self.pressed("high")
        self.wait_file(agent, "memory.high", lambda high: high != "max", "memory.high is lowered")
        shown = self.show(agent)
        self.assertEqual((shown["pressure"]["rung"], shown["next"]["action"]), ("high", "unthrottle"), shown)
        self.assertEqual(shown["state"], "active")
        self.told("high")
        # The next govd doesn't know of it, and sets what the policy says.
        self.restart()
        self.wait_file(agent, "memory.high", lambda high: high == "max", "the next govd takes it back")
        self.wait_file(agent, "memory.high", lambda high: high != "max", "it is lowered again")
        self.wait_file(agent, "memory.high", lambda high: high == "max", "it is taken back after a while")
        os.unlink(self.path("grows"))
        self.told("note", result="over")
        self.assertEqual(self.of(agent, "memory.high"), "max")
        self.assertEqual(self.show(agent)["pressure"]["rung"], "rest")

    def wait_frozen(self, agent):
        self.wait_file(agent, "cgroup.freeze", lambda frozen: frozen == "1", "it is frozen")

    def test_freeze_is_brief_also_when_govd_is_killed(self):
        _, agent = self.pressed("freeze")
        self.wait_frozen(agent)
        self.stop_govd()
        self.assertEqual(self.of(agent, "cgroup.freeze"), "0", "it ends with govd")
        self.start()
        self.wait_frozen(agent)
        self.restart()
        self.wait_file(agent, "cgroup.freeze", lambda frozen: frozen == "0", "the next govd thaws it", 5)
        self.wait_frozen(agent)
        began = time.monotonic()
        self.wait_file(agent, "cgroup.freeze", lambda frozen: frozen == "0", "it is thawed", 20)
        self.assertLess(time.monotonic() - began, 10)
        self.told("freeze")
        # What a user has frozen is theirs.
        self.ctl("freeze", agent["id"])
        self.restart()
        time.sleep(6)
        self.assertEqual(self.of(agent, "cgroup.freeze"), "1")
        self.assertEqual(self.show(agent)["state"], "frozen")
        self.ctl("thaw", agent["id"])
        self.assertEqual(self.of(agent, "cgroup.freeze"), "0")

    def test_livelock_ends_the_agent_within_10_s(self):
        process, agent, since = self.stuck("kill-agent", 200)
        self.assertEqual(process.wait(RESOLVED_WITHIN), -signal.SIGKILL)
        self.assert_resolved(since)
        self.assertEqual(self.told("kill-agent", "livelock")["result"], "done")
        (end,) = wait_until(lambda: self.ctl_json("incidents", "--kind", "stopped"), "its end is told")
        self.assertEqual((end["rule"], end["by"], end["agent"]), ("livelock", "govd", agent["id"]), end)

    def test_livelock_ends_the_tool_within_10_s_and_the_agent_lives(self):
        began, ended = self.path("began"), self.path("ended")
        process, agent = self.begin(f"{LIMITS}, on_oom: kill-tool", STARTS, GROWS, "200", self.touch("grows"), began, ended)
        since = self.wait_stuck(agent)
        wait_until(lambda: os.path.exists(ended) and read(ended), "the tool ends", RESOLVED_WITHIN)
        self.assert_resolved(since)
        self.assertEqual(read(ended), str(-signal.SIGKILL))
        told = self.told("kill-tool", "livelock")
        self.assertGreater(told["evidence"]["full_pct"], 90, told)
        (end,) = wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "pressure") if "tool_pid" in i["evidence"]],
                            "the tool's end is told")
        self.assertEqual((end["agent"], end["rule"], end["action"], end["result"], end["by"]),
                         (agent["id"], "livelock", "kill-tool", "done", "govd"), end)
        self.assertEqual(end["evidence"]["tool_pid"], int(read(began)), end)
        self.assertGreater(end["evidence"]["tool_bytes"], HIGH // 2, end)
        self.told("note", result="over")
        self.assertEqual(self.of(agent, "memory.high"), str(HIGH))
        self.assertEqual((self.show(agent)["state"], process.poll()), ("active", None))
        self.assertEqual(self.ctl_json("incidents", "--kind", "oom"), [])

    def test_high_is_back_when_less_is_used(self):
        process, agent, _ = self.stuck("kernel", 64)
        self.wait_file(agent, "memory.high", lambda high: high == "max", "memory.high is raised", RESOLVED_WITHIN)
        self.wait_file(agent, "memory.current", lambda used: int(used) > 64 * MIB, "it goes on")
        os.unlink(self.path("grows"))
        self.wait_file(agent, "memory.high", lambda high: high == str(HIGH), "memory.high is in force again")
        self.assertIsNone(process.poll())

    def test_a_neighbour_is_not_slowed_down(self):
        self.policy("calm", "match: {exe: DIR/bin/calm}\nmemory: {max: 200M}\n")
        self.policy("bot", f"match: {{exe: DIR/bin/agent}}\nmemory: {{{LIMITS}}}\n")
        self.start()
        worker = self.spawn(self.copy(sys.executable, "calm"), "-c", WORKS, stdout=subprocess.PIPE, text=True)
        self.addCleanup(worker.stdout.close)
        counts = []
        thread = threading.Thread(target=lambda: counts.extend((time.monotonic(), int(line)) for line in worker.stdout))
        thread.start()
        time.sleep(4)
        began = time.monotonic()
        process = self.spawn(self.python, "-c", GROWS, "200", self.touch("grows"))
        self.assertEqual(process.wait(SLOW), -signal.SIGKILL)
        ended = time.monotonic()
        worker.kill()
        thread.join()
        before = [n for at, n in counts if began - 2 < at < began]
        during = [n for at, n in counts if began + 1 < at < ended]
        ratio = sum(during) / len(during) / (sum(before) / len(before))
        print(f"{ratio:.3f} of its work, for {ended - began:.0f} s", end=" ", flush=True)
        self.assertGreater(ratio, 0.9)
        self.told("raise-high", "livelock")

    def test_page_cache_is_reclaimed(self):
        _, agent = self.pressed("reclaim")
        self.told("reclaim")
        self.wait_file(agent, "memory.stat", lambda text: self.page_cache(text) < CACHE // 2, "there is less of it")
        os.unlink(self.path("grows"))
        over = self.told("note", result="over")
        self.assertGreater(over["evidence"]["reclaimed_bytes"], MIB, over)
        self.assertEqual(over["evidence"]["peak"], "reclaim", over)

    def test_it_is_stopped_only_at_the_top(self):
        process, agent = self.pressed("stop")
        self.assertEqual(process.wait(SLOW), -signal.SIGTERM)
        (end,) = wait_until(lambda: self.ctl_json("incidents", "--kind", "stopped"), "its end is told")
        self.assertEqual((end["rule"], end["by"], end["agent"]), ("pressure", "govd", agent["id"]), end)
        told = [i["action"] for i in self.ctl_json("incidents", "--kind", "pressure")]
        self.assertEqual(sorted(told), sorted(["note", "reclaim", "high", "freeze", "stop"]))


if __name__ == "__main__":
    unittest.main()
