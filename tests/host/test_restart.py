#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Crash loops under supervisors that never tire."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import unittest

from harness import GovdTest, children_of, is_alive, wait_until

# Each start is a byte in a file; lives as long as its first argument says.
CRASH = """#!/bin/sh
printf x >>"$2"
[ "$1" = 0 ] || sleep "$1"
exit 3
"""
# Ends with the test, whatever happens to it.
LOOP = """while [ -x "$1" ]; do "$@"; done
"""
SUPERVISOR = """import os, subprocess, sys
while os.path.exists(sys.argv[1]):
    subprocess.run(sys.argv[1:])
"""
RULE = "restart: {min_uptime: 5s, delay: 1s, factor: 2, max_delay: 8s, limit: %s, window: 10min, on_limit: %s}\n"


class RestartTest(GovdTest):
    def begin(self, limit="infinity", on_limit="freeze", mode="enforce"):
        self.crash = self.script("crash.sh", CRASH)
        self.policy("crash", "match: {script: DIR/crash.sh}\nmode: %s\n" % mode + RULE % (limit, on_limit))
        self.start()
        self.count_file = self.path("count")

    def starts(self):
        try:
            return os.path.getsize(self.count_file)
        except FileNotFoundError:
            return 0

    def supervise(self, *command):
        """A supervisor, which ends before its agents do."""
        process = self.spawn(*command)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def loop(self, program=None):
        return self.supervise("/bin/sh", "-c", LOOP, "loop", program or self.crash, "0", self.count_file)

    def cpu_s(self, pid):
        with open("/proc/%d/stat" % pid, encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        # utime, stime, and those of children that were waited for: proc_pid_stat(5)
        return sum(int(fields[i]) for i in (11, 12, 13, 14)) / os.sysconf("SC_CLK_TCK")

    def test_shell_loop_is_slowed_and_sees_no_death(self):
        self.begin()
        loop = self.loop()
        began = time.monotonic()
        # Two lives at once, then after about 1, 2, 4 and 8 s, less up to a quarter.
        wait_until(lambda: self.starts() >= 5, "the fifth start", 20)
        self.assertGreater(time.monotonic() - began, 0.74 * (1 + 2 + 4))
        self.assertLessEqual(self.starts(), 6)
        wait_until(lambda: [a["state"] for a in self.ctl_json("list")] == ["frozen"], "the next life is frozen")
        agent = self.ctl_json("list")[0]
        self.assertEqual(agent["next"]["action"], "thaw")
        self.assertLessEqual(agent["next"]["in_s"], 8)
        self.assertTrue(is_alive(agent["pid"]))
        shown = self.ctl_json("show", agent["id"])["restart"]
        self.assertEqual((shown["crashes"], shown["last_exit_code"]), (self.starts(), 3))
        self.assertLess(self.cpu_s(loop.pid), 0.05 * (time.monotonic() - began) + 0.1)
        wait_until(lambda: self.ctl_json("incidents", "--kind", "restart-delay"), "the incident")

    def test_python_supervisor_with_lives_of_1200_ms(self):
        self.begin(limit=3)
        supervisor = self.supervise(sys.executable, "-c", SUPERVISOR, self.crash, "1.2", self.count_file)
        wait_until(lambda: any(i["kind"] == "restart-limit" for i in self.ctl_json("incidents")), "the limit", 30)
        self.assertEqual(self.starts(), 3)
        wait_until(lambda: [a["state"] for a in self.ctl_json("list")] == ["frozen"], "it is frozen")
        self.assertIsNone(supervisor.poll())
        agent = self.ctl_json("list")[0]
        self.assertNotIn("next", agent)
        self.ctl("thaw", agent["id"])
        # All is well again, until it isn't.
        wait_until(lambda: self.starts() >= 5, "it runs again", 10)

    def test_refused_at_the_limit(self):
        self.begin(limit=2, on_limit="refuse")
        for _ in range(2):
            self.assertEqual(subprocess.run([self.crash, "0", self.count_file], check=False).returncode, 3)
            wait_until(lambda: not self.ctl_json("list"), "its end")
        refused = subprocess.run([self.crash, "0", self.count_file], check=False, stderr=subprocess.PIPE)
        self.assertNotEqual(refused.returncode, 3)
        self.assertIn(b"not permitted", refused.stderr)
        self.assertEqual(self.starts(), 2)

    def test_the_last_crash_counts_for_a_life_that_is_held_already(self):
        """govd finds both told when it goes on."""
        self.begin(limit=2)
        loop = self.supervise("/bin/sh", "-c", LOOP, "loop", self.crash, "15", self.count_file)
        self.crash_tool(loop)
        wait_until(lambda: self.starts() == 2 and len(self.ctl_json("list")) == 1, "the second life alone")
        self.govd.send_signal(signal.SIGSTOP)
        try:
            second = self.crash_tool(loop)
            third, = wait_until(lambda: [pid for pid in children_of(loop.pid) if pid != second and self.is_script(pid)],
                                "the third has begun")
        finally:
            self.govd.send_signal(signal.SIGCONT)
        wait_until(lambda: [a["pid"] for a in self.ctl_json("list") if a["state"] == "frozen"] == [third], "it is frozen")
        self.assertEqual(self.starts(), 2)

    @staticmethod
    def crash_tool(loop):
        """Ends what the life waits for, and so the life."""
        life, = wait_until(lambda: [pid for pid in children_of(loop.pid) if children_of(pid)], "it waits for its tool")
        os.kill(children_of(life)[0], signal.SIGTERM)
        return life

    def is_script(self, pid):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
            words = file.read().split("\0")
            return len(words) > 1 and words[1] == self.crash
        return False

    def test_counts_survive_kill_9_and_the_delayed_stays_so(self):
        self.begin(limit=2)
        self.loop()
        wait_until(lambda: [a["state"] for a in self.ctl_json("list")] == ["frozen"], "it is frozen")
        wait_until(lambda: self.crashes_on_disk() == 2, "the counts on disk")
        before = self.ctl_json("list")[0]
        self.stop_govd(signal.SIGKILL)
        self.start()
        after = self.ctl_json("list")[0]
        self.assertEqual((after["id"], after["pid"], after["state"]), (before["id"], before["pid"], "frozen"))
        self.assertEqual(self.starts(), 2)
        os.kill(after["pid"], signal.SIGKILL)
        # The next one of the loop is beyond the limit, too.
        wait_until(lambda: [a["pid"] for a in self.ctl_json("list") if a["state"] == "frozen"] not in ([], [after["pid"]]),
                   "the next is frozen")
        self.assertEqual(self.starts(), 2)

    def crashes_on_disk(self):
        try:
            with open(self.path("state", "restarts"), encoding="ascii") as file:
                return len(file.readlines()[1].split()) - 6
        except FileNotFoundError:
            return 0

    def test_delay_outlives_govd(self):
        self.begin()
        self.loop()
        # The fourth start is delayed by 2 s, the fifth by 4 s, the sixth by 8 s, less up to a quarter.
        wait_until(lambda: self.starts() >= 5, "the fifth start")
        wait_until(lambda: [a["state"] for a in self.ctl_json("list")] == ["frozen"], "the next life is frozen")
        # They are written once a second.
        wait_until(lambda: self.crashes_on_disk() == 5, "the counts on disk")
        asked = time.monotonic()
        agent = self.ctl_json("list")[0]
        ends = asked + agent["next"]["in_s"]
        self.stop_govd(signal.SIGKILL)
        self.start()
        after = self.ctl_json("list")[0]
        self.assertEqual((after["id"], after["state"], after["next"]["action"]), (agent["id"], "frozen", "thaw"))
        wait_until(lambda: self.starts() >= 6, "the end of the delay", 15)
        self.assertGreater(time.monotonic(), ends - 0.1)
        self.assertLess(time.monotonic(), ends + 2)
        # The life that one govd has begun and the other has seen end is a crash, too.
        wait_until(lambda: [a["state"] for a in self.ctl_json("list")] == ["frozen"], "the next")
        self.assertEqual(self.ctl_json("show", self.ctl_json("list")[0]["id"])["restart"]["crashes"], 6)

    def test_observed_and_unmatched_loops_are_untouched(self):
        self.begin(limit=2, mode="observe")
        other = self.script("other.sh", CRASH)
        self.loop()
        wait_until(lambda: self.starts() >= 100, "it restarts as ever", 30)
        wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "restart-limit")
                            if i["action"] == "would-freeze"], "it is told of", 30)
        self.count_file = self.path("other")
        self.loop(other)
        wait_until(lambda: self.starts() >= 20, "nobody's loop", 20)


if __name__ == "__main__":
    unittest.main()
