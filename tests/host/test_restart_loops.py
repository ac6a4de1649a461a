#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A minute of crash loops, all at once: lives of three lengths under three supervisors, with a policy and without.

PM2 comes from npm, into a cache: ~/.cache/govd-pm2, or GOVD_PM2_CACHE. Without it, and without a network, its loops are skipped.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import unittest

from harness import GovdTest, children_of, is_alive, wait_until
from proc_files import cpu_s_of

PM2_VERSION = "5"
MINUTE = 60
LIVES = {"0ms": 0, "50ms": 0.05, "1200ms": 1.2}
LIMIT = 6
RULE = "restart: {min_uptime: 5s, delay: 1s, factor: 2, max_delay: 8s, limit: %s, window: 10min, on_limit: freeze}\n"
# By these delays, each up to a quarter shorter: at 0, 0, 0.75, 2.25, 5.25, 11.25 s, then each 6 s.
STARTS_BY_DELAYS = 6 + (MINUTE - 11.25) // 6 + 1
# Each life is a line with its pid.
SHELL = """#!/bin/sh
echo $$ >>"%s"
[ %s = 0 ] || sleep %s
exit 3
"""
NODE = """require('fs').appendFileSync('%s', process.pid + '\\n');
setTimeout(() => process.exit(3), 1000 * %s);
"""
SHELL_LOOP = 'while [ -x "$1" ]; do "$1"; done'
PYTHON_LOOP = """import os, subprocess, sys
while os.path.exists(sys.argv[1]):
    subprocess.run(sys.argv[1:])
"""


def find_pm2():
    """(path, None), or (None, why not)."""
    if not shutil.which("node"):
        return None, "there is no node"
    cache = os.environ.get("GOVD_PM2_CACHE") or os.path.expanduser("~/.cache/govd-pm2")
    path = os.path.join(cache, "node_modules", "pm2", "bin", "pm2")
    if os.path.exists(path):
        return path, None
    if not shutil.which("npm"):
        return None, "there is no npm to get PM2 with"
    try:
        got = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--prefix", cache, "pm2@" + PM2_VERSION],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", timeout=180, check=False)
    except subprocess.TimeoutExpired:
        return None, "npm took more than 180 s to get PM2"
    return (path, None) if os.path.exists(path) else (None, "npm can't get PM2: " + got.stdout.strip()[-200:])


class Loop:
    """One supervisor with its app; without a policy when it is free."""

    def __init__(self, test, supervisor, life, limit=LIMIT, free=False):
        self.name = f"{supervisor}-{life}" + ("-free" if free else "" if limit == LIMIT else "-delays")
        self.test, self.supervisor, self.life = test, supervisor, LIVES[life]
        self.file = test.path(self.name + ".pids")
        self.limit, self.free, self.process = limit, free, None
        text = NODE % (self.file, self.life) if supervisor == "pm2" else SHELL % (self.file, self.life, self.life)
        self.script = test.script(self.name + (".js" if supervisor == "pm2" else ".sh"), text)
        if not free:
            test.policy(self.name, f"match: {{script: DIR/{os.path.basename(self.script)}}}\n" + RULE % limit)

    def start(self):
        if self.supervisor == "pm2":
            self.test.pm2("start", self.script, "--name", self.name)
            return
        command = {"sh": ["/bin/sh", "-c", SHELL_LOOP, "loop"], "python": [sys.executable, "-c", PYTHON_LOOP]}
        self.process = self.test.spawn(*command[self.supervisor], self.script)
        self.test.addCleanup(self.process.wait)
        self.test.addCleanup(self.process.kill)

    def pids(self):
        try:
            with open(self.file, encoding="ascii") as file:
                return [int(line) for line in file]
        except FileNotFoundError:
            return []


class LoopsTest(GovdTest):
    def pm2(self, *words):
        done = subprocess.run(["node", self.pm2_path, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60, check=False,
                              env={**os.environ, "PM2_HOME": self.path("pm2"), "NO_COLOR": "1"}, cwd=self.dir)
        self.assertEqual(done.returncode, 0, f"pm2 {words}: {done.stdout}")
        return done.stdout

    def pm2_apps(self):
        text = self.pm2("jlist")
        return {app["name"]: app for app in json.loads(text[text.index("["):])}

    def pm2_pid(self):
        with open(self.path("pm2", "pm2.pid"), encoding="ascii") as file:
            return int(file.read())

    def end_pm2(self):
        """With all its apps, before govd; whatever was left half-done."""
        if not os.path.exists(self.path("pm2", "pm2.pid")):
            return
        daemon = self.pm2_pid()
        self.pm2("kill")
        if is_alive(daemon):
            os.kill(daemon, signal.SIGKILL)

    def placed(self):
        """{policy: [pid of each life that was placed]}"""
        found = {}
        for incident in self.ctl_json("incidents", "--kind", "placed"):
            found.setdefault(incident["policy"], []).append(incident["evidence"]["pid"])
        return found

    def test_a_minute_of_loops(self):
        self.pm2_path, missing = find_pm2()
        supervisors = ["sh", "python"] + (["pm2"] if self.pm2_path else [])
        loops = [Loop(self, supervisor, life) for supervisor in supervisors for life in LIVES]
        loops.append(Loop(self, "python", "0ms", limit="infinity"))
        loops += [Loop(self, "sh", "50ms", free=True), Loop(self, "python", "1200ms", free=True)]
        if self.pm2_path:
            self.addCleanup(self.end_pm2)
            loops.append(Loop(self, "pm2", "1200ms", free=True))
        self.start()
        if self.pm2_path:
            self.pm2("ping")
        for loop in loops:
            loop.start()
        begun = time.monotonic()
        daemon_cpu_s = cpu_s_of(self.pm2_pid()) if self.pm2_path else 0
        time.sleep(MINUTE)
        apps = self.pm2_apps() if self.pm2_path else {}
        agents = {agent["policy"]: agent for agent in self.ctl_json("list")}
        elapsed_s = time.monotonic() - begun
        if self.pm2_path:
            # All its loops, the free one too, are one supervisor's.
            daemon_pct = 100 * (cpu_s_of(self.pm2_pid()) - daemon_cpu_s) / elapsed_s
            print(f"pm2's daemon: {daemon_pct:.1f} % of a core", file=sys.stderr)
            self.assertLess(daemon_pct, 5)
        placed = self.placed()
        for loop in loops:
            with self.subTest(loop=loop.name):
                self.check(loop, agents, placed, apps, elapsed_s)
        self.assertEqual(set(placed), {loop.name for loop in loops if not loop.free})
        if missing:
            self.skipTest("without PM2's loops: " + missing)

    def check(self, loop, agents, placed, apps, elapsed_s):
        pids = loop.pids()
        cpu_pct = 100 * cpu_s_of(loop.process.pid) / elapsed_s if loop.process else 0
        print(f"{loop.name}: {len(pids)} lives, supervisor {cpu_pct:.1f} % of a core", file=sys.stderr)
        if loop.free:
            # As often as its life and its start allow; PM2 takes its time to notice.
            self.assertGreater(len(pids), 0.4 * MINUTE / (loop.life + 0.1))
            return
        self.assertLess(cpu_pct, 5)
        if loop.limit != LIMIT:
            self.assertLessEqual(len(pids), STARTS_BY_DELAYS)
            self.assertGreaterEqual(len(pids), 8)
            self.assertEqual(placed[loop.name][:len(pids)], pids)
            return
        frozen = agents[loop.name]
        self.assertEqual((frozen["state"], len(pids)), ("frozen", LIMIT))
        # Each life was placed, once; and one more, of which not a line has run.
        self.assertEqual(placed[loop.name], pids + [frozen["pid"]])
        self.assertTrue(is_alive(frozen["pid"]))
        if loop.process:
            self.assertIsNone(loop.process.poll())
            self.assertEqual(children_of(loop.process.pid), [frozen["pid"]])
        else:
            app = apps[loop.name]
            self.assertEqual((app["pm2_env"]["status"], app["pid"]), ("online", frozen["pid"]))
            self.assertEqual(app["pm2_env"]["restart_time"], len(pids))


if __name__ == "__main__":
    unittest.main()
