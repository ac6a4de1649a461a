#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo: what it shows, and that it leaves nothing behind."""

import os
import re
import shutil
import signal
import subprocess
import unittest

from harness import BUILD, ROOT, cgroups_of, children_of, wait_until

DEMO_DEADLINE = 180  # seconds: also in an emulated machine under load
NOTHING_LEFT = ["nothing left"] * 3


class DemoTest(unittest.TestCase):
    def start(self):
        # Whoever runs the tests in the background may have SIGINT ignored.
        env = {**os.environ, "GOVD_BUILD": BUILD, "GOVD": os.path.join(BUILD, "govd"),
               "GOVCTL": os.path.join(BUILD, "govctl"), "PYTHONIOENCODING": "utf-8"}
        demo = subprocess.Popen([os.path.join(ROOT, "scripts", "demo")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, env=env,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.addCleanup(demo.communicate)
        self.addCleanup(demo.terminate)
        title = demo.stdout.readline()
        own = re.match(r"In (/\S+/govdemo-\S+) and (govdemo\d+\.slice),", demo.stdout.readline())
        self.assertIsNotNone(own, title)
        return demo, own.group(1), own.group(2)

    def assert_nothing_is_left(self, directory, slice_name):
        self.assertFalse(os.path.exists(directory))
        found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", slice_name], stdout=subprocess.PIPE,
                               text=True, check=False)
        self.assertEqual(found.stdout, "")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                    self.assertNotIn(directory, file.read())
            except (FileNotFoundError, ProcessLookupError):
                pass

    def test_table_shows_the_difference(self):
        demo, directory, slice_name = self.start()
        text = demo.communicate(timeout=DEMO_DEADLINE)[0]
        self.assertEqual(demo.returncode, 0, text)
        self.assertEqual([line for line in text.splitlines() if len(line) > 80], [])
        self.assertNotIn("\033", text)
        left = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if "after stopping it" in line]
        self.assertEqual([cells[2] for cells in left], NOTHING_LEFT, text)
        for cells in left:
            self.assertRegex(cells[1], r"^(\d) of \1 tools live on$")
        self.assertRegex(text, r"its 3 tools\s+3 there, as is all else\s+all 3 in it")
        self.assertRegex(text, r"its 4 tools\s+4 there, as is all else\s+all 4 in it")
        clients = 2 if shutil.which("node") else 1
        for paced in (r"the server saw +[\d,]{2,} connects a second +[45]\.\d connects a second",
                      r"the client's CPU +\d+ % of a core +(?:under 1|\d) % of a core", r"connects that failed +\d+ +0",
                      r"incident +- +a storm, delayed"):
            self.assertEqual(len(re.findall(f"(?m)^  {paced}$", text)), clients, f"{paced}: {text}")
        for life in (r"it is started +[\d,]{2,} times a second +[2-5] times in 3 s",
                     r"its supervisor sees +it die, at once +a process that runs", r"incident +- +frozen, ever longer",
                     r"when it is dead +both live on, for ever +both ended after [1-7]\.\d s",
                     r"incident +- +an orphan, stopped", r"agents of room blue +2, both at work +1, the newer one",
                     r"incident +- +a duplicate, stopped",
                     r"its 2 clients +wait, for ever +are let go after [2-8]\.\d s",
                     r"incident +- +hung at its socket, stopped"):
            self.assertRegex(text, f"(?m)^  {life}$")
        self.assertRegex(text, r"(?m)^\$ govctl list$")
        if os.path.isdir("/run/systemd/system"):
            scope = re.search(r"(?m)^\$ systemctl status .* (govd-(\S+)-\w+\.scope)$", text)
            self.assertIsNotNone(scope, text)
            self.assertRegex(text, rf"(?m)^  \S {re.escape(scope[1])} - govd: {scope[2]}$")
            self.assertRegex(text, rf"(?m)^ +CGroup: .*{slice_name}/{re.escape(scope[1])}$")
        self.assert_nothing_is_left(directory, slice_name)

    def test_interrupted_it_takes_everything_away(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            demo, directory, slice_name = self.start()
            wait_until(lambda d=demo, s=slice_name: any(f"/{s}/" in cgroups_of(pid).get("", "") for pid in children_of(d.pid)),
                       "an agent of the demo is governed", DEMO_DEADLINE)
            demo.send_signal(number)
            text = demo.communicate(timeout=DEMO_DEADLINE)[0]
            self.assertEqual(demo.returncode, 128 + number, text)
            self.assertIn("interrupted, cleaning up", text)
            self.assert_nothing_is_left(directory, slice_name)


if __name__ == "__main__":
    unittest.main()
