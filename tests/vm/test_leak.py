#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent that leaks beside an innocent one: contained, told before its cap is reached, and ended as its policy says."""

import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import GovdTest, is_alive, wait_until  # noqa: E402

MIB = 1 << 20
CAP = 300 * MIB
ENDS = 120  # seconds: 30 to the cap, those that the ladder takes, and an emulated machine
SLOWER_MAX = 0.10
POLICY = "match: {script: DIR/leaker.py}\nmemory: {high: 200M, max: 300M, swap_max: 0, on_oom: %s}\nleak: {horizon: 30min}\n"
# Leaks 10 MiB/s; its process is the agent or its tool.
LEAKER = """import subprocess, sys, time
LEAKS = '''
import time
kept, begin = [], time.monotonic()
while True:
    kept.append(bytearray(b"x") * (1 << 20))
    time.sleep(max(0, begin + len(kept) / 10 - time.monotonic()))
'''
if "--tool" not in sys.argv:
    exec(LEAKS)
status = subprocess.run([sys.executable, "-c", LEAKS]).returncode
print(f"the tool has ended: {status}", flush=True)
time.sleep(1000)
"""
# A unit of work every 20 ms, and how many of them a second.
INNOCENT = """import sys, time
done, file = 0, open(sys.argv[1], "w", buffering=1)
while True:
    sum(range(20000))
    done += 1
    file.seek(0)
    file.write(f"{done}\\n")
    time.sleep(0.02)
"""


class LeakTest(GovdTest):
    def begin(self, on_oom, *words):
        self.policy("leaker", POLICY % on_oom)
        self.policy("innocent", "match: {script: DIR/innocent.py}\nmemory: {max: 100M}\n")
        self.start()
        self.innocent = self.spawn(sys.executable, self.script("innocent.py", INNOCENT), self.path("done"))
        self.assert_placed(self.innocent.pid)
        wait_until(self.work_done, "the innocent one works")
        since = self.moment()
        time.sleep(10)
        self.before = self.work_per_s(since)
        # Its output tells of its tool.
        with open(self.path("out"), "w", encoding="ascii") as out:
            process = self.spawn(sys.executable, self.script("leaker.py", LEAKER), *words, stdout=out)
        self.since = self.moment()
        self.assert_placed(process.pid)
        return process

    def moment(self):
        return self.work_done(), time.monotonic()

    def work_done(self):
        try:
            with open(self.path("done"), encoding="ascii") as file:
                return int(file.readline() or 0)
        except FileNotFoundError:
            return 0

    def work_per_s(self, since):
        done, at = self.moment()
        return (done - since[0]) / (at - since[1])

    def assert_not_slowed(self):
        """From the beginning of the leak to its end."""
        during, lasted = self.work_per_s(self.since), time.monotonic() - self.since[1]
        print(f"work of the innocent one: {self.before:.1f}/s before, {during:.1f}/s in {lasted:.0f} s of the leak",
              file=sys.stderr, flush=True)
        self.assertGreater(during, self.before * (1 - SLOWER_MAX))

    def told(self, kind):
        return self.ctl_json("incidents", "--kind", kind)

    def assert_told(self, process):
        """In the order in which it happened: the leak, before the cap, and why it ended."""
        (leak,) = self.told("leak")
        self.assertEqual((leak["policy"], leak["action"], leak["evidence"]["pid"]), ("leaker", "alert", process.pid), leak)
        self.assertEqual(leak["evidence"]["cap_bytes"], CAP, leak)
        self.assertLess(leak["evidence"]["anon_bytes"], CAP * 9 // 10, leak)
        for kind in ("pressure", "oom", "stopped"):
            for later in self.told(kind):
                print(f"{kind}: {later['rule']} {later['action']} {later['result']} {later['evidence']}", file=sys.stderr)
                if kind != "pressure":
                    self.assertGreater(later["time"], leak["time"], (leak, later))
        self.assertIsNone(self.innocent.poll(), "the innocent one has ended")

    def check_agent_ends(self, on_oom):
        process = self.begin(on_oom)
        self.assertLess(process.wait(ENDS), 0)
        self.assert_not_slowed()
        (end,) = wait_until(lambda: self.told("stopped"), "its end is told")
        self.assertNotEqual(end["rule"], "exit", end)
        self.assert_told(process)

    def test_the_agent_ends_by_the_kernel(self):
        self.check_agent_ends("kernel")

    def test_the_agent_ends_whole(self):
        self.check_agent_ends("kill-agent")

    def test_the_tool_ends_and_the_agent_lives(self):
        process = self.begin("kill-tool", "--tool")
        with open(self.path("out"), encoding="ascii") as out:
            line = wait_until(lambda: out.seek(0) or out.readline(), "the agent sees its tool fail", ENDS)
        self.assert_not_slowed()
        self.assertIn(line, (f"the tool has ended: {-number}\n" for number in (signal.SIGKILL, signal.SIGTERM)))
        self.assertTrue(is_alive(process.pid))
        self.assertEqual(self.told("stopped"), [])
        self.assert_told(process)


if __name__ == "__main__":
    unittest.main()
