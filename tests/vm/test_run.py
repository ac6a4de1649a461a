#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/vm-run: what comes out of a guest that does as it is told, panics, hangs, or ends its payload; and one that was
saved and can't go on. And what tests/vm/RELEASE says when there is none. Runs on the host."""

import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RELEASE = "bookworm"
PATIENCE = 600  # seconds; a guest is up in 2 to 15 where nothing else runs
DIED, TIME_UP = 125, 124  # of vm-run
SKIPPED = 77  # of vm-image and tests/vm/RELEASE


def run_script(*words):
    return subprocess.run([os.path.join(ROOT, "scripts", words[0]), *words[1:]], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, check=False)


def setUpModule():
    done = run_script("setup", "--check", "vm")
    if done.returncode:
        raise unittest.SkipTest(f"no guest can be made: {done.stdout.strip()}")


class ImageTest(unittest.TestCase):
    """With an archive, and programs to make an image from it, of the test's own."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govd-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        for name in ("bin", "dists", "cache"):
            os.mkdir(os.path.join(self.dir, name))
        self.program("apt-get", f"echo file:{self.dir} Debian")
        self.program("mmdebstrap", "echo no such package >&2; exit 25")

    def program(self, name, text):
        path = os.path.join(self.dir, "bin", name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{text}\n")
        os.chmod(path, 0o755)

    def check(self):
        environment = {**os.environ, "PATH": f"{self.dir}/bin:{os.environ['PATH']}", "GOVD_VM_CACHE": f"{self.dir}/cache"}
        return subprocess.run([os.path.join(ROOT, "tests", "vm", RELEASE)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=PATIENCE, env=environment)

    def test_an_image_that_cant_be_made_is_a_failure(self):
        os.mkdir(os.path.join(self.dir, "dists", RELEASE))
        with open(os.path.join(self.dir, "dists", RELEASE, "InRelease"), "w", encoding="ascii") as file:
            file.write("Suite: stable\n")
        done = self.check()
        self.assertEqual((done.returncode, done.stdout), (1, f"the image of {RELEASE} can't be made: see above\n"), done.stderr)
        self.assertIn("no such package", done.stderr)

    def test_no_archive_is_a_skip(self):
        done = self.check()
        self.assertEqual(done.returncode, SKIPPED, done.stdout + done.stderr)
        self.assertIn("Debian's archive, which can't be reached", done.stdout)
        self.assertNotIn("no such package", done.stderr)


class RunTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        status = run_script("vm-image", RELEASE).returncode
        if status == SKIPPED:
            raise unittest.SkipTest("an image is made from Debian's archive, which can't be reached")
        if status:
            raise AssertionError(f"scripts/vm-image {RELEASE} has failed: see above")

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
        directory = run_script("vm-image", RELEASE, "--save", "2G").stdout.strip()
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
