#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent that leaks beside an innocent one: contained, told before its cap is reached, and ended as its policy says."""

import os
import shutil
import signal
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import GovdTest, is_alive, v2_root, wait_until  # noqa: E402

MIB = 1 << 20
HIGH, CAP = 200 * MIB, 300 * MIB
RATE = 10 * MIB  # a second
ENDS = 120  # seconds: 30 to the cap, those that the ladder takes, and an emulated machine
# An innocent one that is slowed by no more than a tenth: none of these windows, in seconds, has less than 90 % of the work of a
# quiet one; and none is without work for longer than a tenth of it.
QUIET, WINDOW, SLOWER_MAX = 15, 5, 0.10
GAP_MAX = WINDOW * SLOWER_MAX
POLICY = "match: {script: DIR/leaker.py}\nmemory: {high: 200M, max: 300M, swap_max: 0, on_oom: %s}\nleak: {horizon: 30min}\n"
# Leaks 10 MiB/s beside another process of its own; the one that leaks is the agent, or a tool of two. Both tell their
# pids first.
LEAKER = """import subprocess, sys, time
BEGINS = "import os, subprocess, time; print(os.getpid(), subprocess.Popen(['sleep', '1000']).pid, flush=True)"
LEAKS = '''
kept, begin = [], time.monotonic()
while True:
    kept.append(bytearray(b"x") * (1 << 20))
    time.sleep(max(0, begin + len(kept) / 10 - time.monotonic()))
'''
exec(BEGINS)
if "--tool" not in sys.argv:
    exec(LEAKS)
status = subprocess.run([sys.executable, "-c", BEGINS + LEAKS]).returncode
print(f"the tool has ended: {status}", flush=True)
time.sleep(1000)
"""
# Works for 20 of each 100 ms, as the time of a guest is dear, and tells when and how much: what CPU it gets, and how soon. Its
# work goes through its memory: pages of a file, which is what the kernel takes first, and as many of its own.
INNOCENT = """import mmap, os, sys, time
STEP, PAGE, SIZE = 1 << 18, 4096, 1 << 24
with open(sys.argv[1], "wb+", buffering=0) as file:
    file.write(b"x" * SIZE)
    os.fsync(file)
    pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
own, at, begin = bytearray(b"x") * len(pages), 0, time.monotonic()
with open(sys.argv[2], "w", buffering=1) as out:
    while True:
        done, end = 0, time.monotonic() + 0.02
        while time.monotonic() < end:
            pages[at:at + STEP:PAGE], own[at:at + STEP:PAGE]
            at = (at + STEP) % len(own)
            done += 1
        out.write(f"{time.monotonic()} {done}\\n")
        begin = max(begin + 0.1, time.monotonic())
        time.sleep(max(0, begin - time.monotonic()))
"""


class LeakTest(GovdTest):
    def begin(self, on_oom, *words):
        self.policy("leaker", POLICY % on_oom)
        self.policy("innocent", "match: {script: DIR/innocent.py}\nmemory: {max: 100M}\n")
        self.start()
        self.begin_innocent()
        time.sleep(QUIET)  # measured
        self.quiet_faults, self.leak_begins = self.faults(), time.monotonic()
        with open(self.path("out"), "w", encoding="ascii") as out:
            process = self.spawn(sys.executable, self.script("leaker.py", LEAKER), *words, stdout=out)
        self.assert_placed(process.pid)
        return process

    def begin_innocent(self):
        disk = tempfile.mkdtemp(prefix="govd-test-", dir="/var/tmp")  # /tmp may be memory
        self.addCleanup(shutil.rmtree, disk)
        script = self.script("innocent.py", INNOCENT)
        self.innocent = self.spawn(sys.executable, script, os.path.join(disk, "pages"), self.path("done"))
        self.assert_placed(self.innocent.pid)
        wait_until(lambda: len(self.work()) > 10, "the innocent one works")
        self.quiet_begins = time.monotonic()

    def work(self):
        """(when, how much) of each piece."""
        try:
            with open(self.path("done"), encoding="ascii") as file:
                lines = [line.split() for line in file if line.endswith("\n")]
        except FileNotFoundError:
            return []
        return [(float(at), int(done)) for at, done in lines]

    def faults(self):
        """What it had to wait for the disk for: major faults, and pages of its group that were taken and read again."""
        with open(f"/proc/{self.innocent.pid}/stat", encoding="ascii") as file:
            major = int(file.read().rpartition(")")[2].split()[9])
        group = next(a["cgroup"] for a in self.agents("innocent"))
        with open(os.path.join(v2_root() + group, "memory.stat"), encoding="ascii") as file:
            stat = dict(line.split() for line in file)
        return major, int(stat["workingset_refault_file"]), int(stat["workingset_refault_anon"])

    def assert_not_slowed(self):
        """From the beginning of the leak to its end."""
        over, work = time.monotonic(), self.work()

        def rate(begins, ends):
            return sum(done for at, done in work if begins <= at < ends) / (ends - begins)

        quiet = rate(self.quiet_begins, self.leak_begins)
        count = int((over - self.leak_begins) / WINDOW)
        shares = [rate(self.leak_begins + i * WINDOW, self.leak_begins + (i + 1) * WINDOW) / quiet for i in range(count)]
        times = [at for at, _ in work if at >= self.leak_begins] + [over]
        gap = max(later - at for at, later in zip(times, times[1:]))
        print(f"work of the innocent one: {quiet:.0f}/s before, {min(shares):.3f} to {max(shares):.3f} of it in {count} windows "
              f"of the leak, longest gap {gap * 1000:.0f} ms, faults {self.quiet_faults} {self.faults()}",
              file=sys.stderr, flush=True)
        self.assertGreaterEqual(count, 4)
        self.assertGreaterEqual(min(shares), 1 - SLOWER_MAX, shares)
        self.assertLessEqual(gap, GAP_MAX)
        self.assertEqual(self.faults(), self.quiet_faults)

    def told(self, kind):
        return self.ctl_json("incidents", "--kind", kind)

    def pids(self, number):
        """Of the agent (0), or of the tool that leaks (1): its first process, and the one beside it."""
        with open(self.path("out"), encoding="ascii") as out:
            return [int(word) for word in out.readlines()[number].split()]

    def assert_told_before(self, process):
        """The leak was told, and when it would reach the cap, before it had."""
        (leak,) = self.told("leak")
        evidence = leak["evidence"]
        print(f"leak: {leak}", file=sys.stderr)
        self.assertEqual((leak["policy"], leak["rule"], leak["action"], leak["result"], leak["by"], evidence["pid"]),
                         ("leaker", "leak.horizon", "alert", "done", "govd", process.pid), leak)
        self.assertEqual(evidence["cap_bytes"], CAP, leak)
        self.assertLess(evidence["anon_bytes"], CAP * 9 // 10, leak)
        self.assertTrue(RATE * 60 * 0.8 < evidence["slope_bytes_per_min"] < RATE * 60 * 1.25, leak)
        self.assertTrue(0 < evidence["reached_in_s"] < CAP / RATE * 1.25, leak)
        return leak["time"]

    def assert_livelock(self, process, action, since):
        """Above its memory.high it gets no further: that, too, is told, and what was done then is what the policy says."""
        (livelock,) = wait_until(lambda: [i for i in self.told("pressure") if i["rule"] == "livelock" and
                                          "memory_high_bytes" in i["evidence"]], "the livelock is told")
        evidence = livelock["evidence"]
        print(f"livelock: {livelock}", file=sys.stderr)
        self.assertEqual((livelock["action"], livelock["result"], livelock["by"], evidence["pid"]),
                         (action, "done", "govd", process.pid), livelock)
        self.assertEqual((evidence["memory_high_bytes"], evidence["memory_max_bytes"]), (HIGH, CAP), livelock)
        self.assertTrue(HIGH <= evidence["memory_bytes"] < CAP, livelock)
        self.assertGreater(livelock["time"], since, livelock)
        return livelock["time"]

    def assert_end(self, process, rule, by, since):
        (end,) = wait_until(lambda: self.told("stopped"), "its end is told")
        print(f"stopped: {end}", file=sys.stderr)
        self.assertEqual((end["policy"], end["rule"], end["by"], end["evidence"]["pid"], end["evidence"]["exit_signal"]),
                         ("leaker", rule, by, process.pid, signal.SIGKILL), end)
        self.assertGreater(end["time"], since, end)

    def test_the_agent_ends_by_the_kernel(self):
        """Without govd's memory.high in its way it gets to its cap. The kernel takes the largest process and leaves the other."""
        process = self.begin("kernel")
        self.assertEqual(process.wait(ENDS), -signal.SIGKILL)
        self.assert_not_slowed()
        since = self.assert_livelock(process, "raise-high", self.assert_told_before(process))
        (oom,) = wait_until(lambda: self.told("oom"), "its end is told")
        print(f"oom: {oom}", file=sys.stderr)
        evidence = oom["evidence"]
        self.assertEqual((oom["policy"], oom["rule"], oom["action"], oom["by"]), ("leaker", "memory.max", "kill", "kernel"), oom)
        self.assertEqual((evidence["victim_pid"], evidence["victim_is"], evidence["limit"], evidence["limit_bytes"]),
                         (process.pid, "root", "agent", CAP), oom)
        self.assertTrue(CAP - MIB < evidence["usage_bytes"] <= CAP, oom)
        self.assertGreater(evidence["victim_anon_bytes"], CAP * 9 // 10, oom)
        self.assertTrue(evidence["largest"].startswith(f"{process.pid} "), oom)
        self.assertGreater(oom["time"], since, oom)
        _, beside = self.pids(0)
        self.assertTrue(is_alive(beside), "the kernel's choice is one process")
        os.kill(beside, signal.SIGKILL)
        self.assert_end(process, "oom", "kernel", oom["time"])

    def test_the_agent_ends_whole(self):
        process = self.begin("kill-agent")
        self.assertEqual(process.wait(ENDS), -signal.SIGKILL)
        self.assert_not_slowed()
        since = self.assert_livelock(process, "kill-agent", self.assert_told_before(process))
        self.assert_end(process, "livelock", "govd", since)
        self.assertFalse(is_alive(self.pids(0)[1]), "half of it lives on")
        self.assertEqual(self.told("oom"), [])

    def test_the_tool_ends_and_the_agent_lives(self):
        process = self.begin("kill-tool", "--tool")
        with open(self.path("out"), encoding="ascii") as out:
            line = wait_until(lambda: out.seek(0) or (out.readlines() + [""] * 3)[2], "the agent sees its tool fail", ENDS)
        self.assert_not_slowed()
        since = self.assert_livelock(process, "kill-tool", self.assert_told_before(process))
        self.assertEqual(line, f"the tool has ended: {-signal.SIGKILL}\n")
        (tool, beside_it), (_, beside) = self.pids(1), self.pids(0)
        (end,) = wait_until(lambda: [i for i in self.told("pressure") if "tool_pid" in i["evidence"]], "the tool's end is told")
        print(f"tool: {end}", file=sys.stderr)
        self.assertEqual((end["rule"], end["action"], end["result"], end["by"], end["evidence"]["tool_pid"]),
                         ("livelock", "kill-tool", "done", "govd", tool), end)
        self.assertTrue(HIGH * 9 // 10 < end["evidence"]["tool_bytes"] < CAP, end)
        self.assertGreaterEqual(end["time"], since, end)
        self.assertFalse(is_alive(beside_it), "half of the tool lives on")
        self.assertTrue(is_alive(beside), "a tool that hasn't grown has ended")
        self.assertIsNone(process.poll())
        self.assertEqual((self.told("stopped"), self.told("oom")), ([], []))


if __name__ == "__main__":
    unittest.main()
