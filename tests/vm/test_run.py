#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/vm-run: what comes out of a guest that does as it is told, panics, hangs, or ends its payload; and one that was
saved and can't go on. Runs on the host."""

import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASE = "bookworm"
PATIENCE = 600  # seconds; a guest is up in 2 to 15 where nothing else runs
DIED, TIME_UP = 125, 124  # of vm-run


def setUpModule():
    for words in (["setup", "--check", "vm"], ["vm-image", RELEASE]):
        done = subprocess.run([os.path.join(ROOT, "scripts", words[0]), *words[1:]], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise unittest.SkipTest(f"no guest can be made: scripts/{' '.join(words)}: {done.stdout.strip() or 'failed'}")


class RunTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govd-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.given = os.path.join(self.dir, "given")
        os.mkdir(self.given)

    def run_guest(self, script, limit=PATIENCE, **environment):
        words = [os.path.join(ROOT, "scripts", "vm-run"), RELEASE, "--time-limit", str(limit), "--copy", self.given,
                 "--out", os.path.join(self.dir, "out"), "--", "sh", "-c", script]
        return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=limit + PATIENCE, check=False, env={**os.environ, **environment})

    def out(self, name):
        with open(os.path.join(self.dir, "out", name), encoding="ascii") as file:
            return file.read()

    def test_status_output_and_files_come_back(self):
        with open(os.path.join(self.given, "word"), "w", encoding="ascii") as file:
            file.write("given")
        done = self.run_guest("cat given/word; cp given/word out; systemctl is-system-running; date +%s; exit 7")
        self.assertEqual(done.returncode, 7, done.stderr)
        word, seconds = done.stdout.split()
        self.assertEqual(word, "givenrunning")
        self.assertLess(abs(int(seconds) - os.stat(self.given).st_mtime), PATIENCE, "it knows what time it is")
        self.assertEqual(self.out("word"), "given")

    def test_a_panic_shows_the_console(self):
        done = self.run_guest("echo begins; echo c >/proc/sysrq-trigger; sleep 100")
        self.assertEqual(done.returncode, DIED, done.stderr)
        self.assertIn("begins", done.stdout)
        self.assertIn("Kernel panic", done.stderr)

    def test_a_hang_ends_in_time(self):
        done = self.run_guest("while :; do :; done", limit=30)
        self.assertEqual(done.returncode, TIME_UP, done.stderr)
        self.assertIn("not done within 30 s", done.stderr)

    def test_files_come_back_when_the_payload_was_killed(self):
        done = self.run_guest('echo kept >out/word; kill -9 "$PPID"; sleep 100')
        self.assertEqual(done.returncode, DIED, done.stderr)
        self.assertEqual(self.out("word"), "kept\n")

    def test_what_was_saved_and_is_broken_starts_anew(self):
        directory = subprocess.run([os.path.join(ROOT, "scripts", "vm-image"), RELEASE, "--save", "2G"], check=True,
                                   stdout=subprocess.PIPE, text=True).stdout.strip()
        cache = os.path.join(self.dir, RELEASE)
        os.mkdir(cache)
        for name in os.listdir(directory):
            if name not in ("lock", "saved-2G"):
                os.symlink(os.path.join(directory, name), os.path.join(cache, name))
        os.mkdir(os.path.join(cache, "saved-2G"))
        os.symlink(os.path.join(directory, "root.img"), os.path.join(cache, "saved-2G", "root.img"))
        with open(os.path.join(cache, "saved-2G", "state"), "wb") as file:
            file.write(b"no state" * 1000)
        done = self.run_guest("echo runs", GOVD_VM_CACHE=self.dir)
        self.assertEqual((done.returncode, done.stdout), (0, "runs\n"), done.stderr)
        self.assertIn("the saved guest doesn't go on", done.stderr)


if __name__ == "__main__":
    unittest.main()
