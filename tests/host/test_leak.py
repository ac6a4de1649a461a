#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Leaks: told with what is to come before the cap is reached, and ended where the policy says so."""

import signal
import sys
import unittest

from harness import DEADLINE, GovdTest, wait_until

MIB = 1 << 20
CAP = 200 * MIB
POLICY = "match: {script: DIR/agent.py}\nmemory: {max: 200M}\nleak: "
# Leaks sys.argv[1] MiB/s after sys.argv[2] seconds.
LEAKS = """import sys, time
time.sleep(float(sys.argv[2]))
kept, begin = [], time.monotonic()
while True:
    kept.append(bytearray(b"x") * (1 << 18))
    time.sleep(max(0, begin + len(kept) / 4 / float(sys.argv[1]) - time.monotonic()))
"""


class LeakTest(GovdTest):
    def leaking(self, policy, rate=6, after=0):
        script = self.script("agent.py", LEAKS)
        self.policy("bot", POLICY + policy)
        self.start()
        return self.spawn(sys.executable, script, str(rate), str(after))

    def told(self, kind="leak"):
        return self.ctl_json("incidents", "--kind", kind)

    def test_a_leak_is_told_before_the_cap_with_what_is_to_come(self):
        process = self.leaking("{horizon: 10min}\n")
        (told,) = wait_until(self.told, "it is told", 40)
        self.assertEqual(self.told("oom"), [])
        evidence = told["evidence"]
        self.assertEqual((told["policy"], told["rule"], told["action"], told["result"], told["by"]),
                         ("bot", "leak.horizon", "alert", "done", "govd"), told)
        self.assertEqual((evidence["pid"], evidence["cap_bytes"]), (process.pid, CAP), told)
        self.assertLess(abs(evidence["slope_bytes_per_min"] / (6 * 60 * MIB) - 1), 0.3, told)
        left = (CAP - evidence["anon_bytes"]) / (evidence["slope_bytes_per_min"] / 60)
        self.assertLess(abs(evidence["reached_in_s"] / left - 1), 0.3, told)
        self.assertGreaterEqual(evidence["measured_s"], 10, told)
        shown = self.ctl_json("show", self.agents()[0]["id"])
        self.assertGreater(shown["leak"]["slope_bytes_per_s"], 3 * MIB, shown)
        self.assertEqual(shown["next"]["action"], "memory.max", shown)
        self.assertLessEqual(abs(shown["next"]["in_s"] - shown["leak"]["reaches_max_in_s"]), 1, shown)
        self.assertIn("it leaks", self.ctl("explain", str(process.pid)).stdout)
        # Then the kernel does as the policy says, and the leak was told once.
        self.assertEqual(process.wait(40), -signal.SIGKILL)
        wait_until(lambda: self.told("stopped"), "its end is told")
        self.assertEqual(len(self.told("oom")), 1)
        self.assertEqual(len(self.told()), 1)

    def test_stop_stops_it(self):
        process = self.leaking("{horizon: 10min, action: stop}\n")
        self.assertEqual(process.wait(40), -signal.SIGTERM)
        (told,) = wait_until(self.told, "it is told")
        self.assertEqual((told["action"], told["result"]), ("stop", "done"), told)
        (end,) = wait_until(lambda: self.told("stopped"), "its end is told")
        self.assertEqual((end["rule"], end["action"], end["by"]), ("leak", "stop", "govd"), end)
        self.assertEqual(self.told("oom"), [])

    def test_who_takes_what_it_needs_at_once_is_left_alone(self):
        process = self.leaking("{horizon: 1h, action: stop}\n", rate=10000)
        process.wait(DEADLINE)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.assertEqual(self.told(), [])


if __name__ == "__main__":
    unittest.main()
