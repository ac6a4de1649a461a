#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""scripts/run-tests: parts of suites, and suites beside the others."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITE = """import unittest
class ATest(unittest.TestCase):
    def test_good(self): pass
    def test_bad(self): self.fail()
    def test_other(self): pass
"""
SKIPPED = """import unittest
def setUpModule(): raise unittest.SkipTest("no QEMU")
""" + SUITE.partition("\n")[2]
# Counts on for as long as others take.
COUNTS = """#!/bin/sh
trap 'echo "skipped:"; echo "  a::b: because"; echo "$1 passed, 0 failed, 1 skipped"; exit' TERM
chrt -p $$ >DIR/policy
echo $$ >DIR/pid
while :; do echo >>DIR/lines; sleep 0.02; done
"""
# It measures, and needs quiet: how far does the other one count meanwhile?
SCALE = """import os, time, unittest
def lines(): return os.path.getsize("DIR/lines")
class ATest(unittest.TestCase):
    def test_quiet(self):
        before = lines()
        time.sleep(1)
        self.assertEqual(lines(), before)
"""
GOES_ON = """import os, signal, time, unittest
class ATest(unittest.TestCase):
    def test_it_goes_on(self):
        end = time.monotonic() + 20
        before = os.path.getsize("DIR/lines")
        while os.path.getsize("DIR/lines") == before and time.monotonic() < end: time.sleep(0.02)
        self.assertGreater(os.path.getsize("DIR/lines"), before)
        with open("DIR/pid") as file: os.kill(int(file.read()), signal.SIGTERM)
"""
BEGINS = """import os, time, unittest
class ATest(unittest.TestCase):
    def test_it_runs(self):
        end = time.monotonic() + 20
        while not os.path.exists("DIR/lines") and time.monotonic() < end: time.sleep(0.02)
"""
# Each ends only when the other has begun.
MEETS = """import os, time, unittest
class ATest(unittest.TestCase):
    def test_other_runs(self):
        open("DIR/ONE", "w").close()
        end = time.monotonic() + 20
        while not os.path.exists("DIR/TWO") and time.monotonic() < end: time.sleep(0.02)
        self.assertTrue(os.path.exists("DIR/TWO"))
"""


class RunTestsTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govd-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def suite(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text.replace("DIR", self.dir))
        os.chmod(path, 0o755)
        return path

    def run_tests(self, *words, code=0):
        done = subprocess.run([os.path.join(ROOT, "scripts", "run-tests"), *words], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True, timeout=120, check=False,
                              env={**os.environ, "GOVD_BUILD": self.dir})
        self.assertEqual(done.returncode, code, done.stdout)
        return done.stdout

    def test_some_of_a_suite(self):
        path = self.suite("test_some.py", SUITE)
        self.assertTrue(self.run_tests("unit:", path, code=1).endswith("2 passed, 1 failed, 0 skipped\n"))
        self.assertTrue(self.run_tests("unit:", f"{path}@test_good,ATest.test_other").endswith("2 passed, 0 failed, 0 skipped\n"))
        told = self.run_tests("unit:", f"{path}@test_good,test_misspelled", code=1)
        self.assertIn("has no test test_misspelled", told)
        self.assertTrue(told.endswith("1 passed, 1 failed, 0 skipped\n"), told)

    def test_some_of_a_suite_that_is_skipped_as_a_whole(self):
        told = self.run_tests("unit:", self.suite("test_none.py", SKIPPED) + "@test_good,test_other")
        self.assertIn("setUpModule (test_none): no QEMU", told)
        self.assertTrue(told.endswith("0 passed, 0 failed, 1 skipped\n"), told)

    def test_two_at_once(self):
        one = self.suite("test_one.py", MEETS.replace("ONE", "one").replace("TWO", "two"))
        two = self.suite("test_two.py", MEETS.replace("ONE", "two").replace("TWO", "one"))
        told = self.run_tests("-j2", "unit:", one, two)
        self.assertTrue(told.endswith("2 passed, 0 failed, 0 skipped\n"), told)

    def test_quiet_is_alone(self):
        """Of three lanes the other two wait until it is done."""
        counts = self.suite("counts", COUNTS.replace("while :;", "for i in $(seq 100);").replace("exit' TERM", "exit' TERM EXIT"))
        told = self.run_tests("-j3", "unit:", f"{counts}@7", self.suite("test_begins.py", BEGINS),
                              self.suite("test_scale.py", SCALE), f"{counts}@7")
        self.assertRegex(told, r"(?s)unit/counts .*unit/test_scale .*unit/counts ")
        self.assertTrue(told.endswith("16 passed, 0 failed, 2 skipped\n"), told)

    def test_beside_the_others(self):
        """In the time that they leave, and not at all while one of them measures."""
        told = self.run_tests("unit:", self.suite("test_begins.py", BEGINS), self.suite("test_scale.py", SCALE),
                              self.suite("test_goes_on.py", GOES_ON), "--beside", "vm:", self.suite("counts", COUNTS) + "@7")
        self.assertRegex(told, r"(?s)unit/test_goes_on .* vm/counts +7 passed, 1 skipped .*skipped:\n  vm/counts a::b: because\n")
        self.assertTrue(told.endswith("10 passed, 0 failed, 1 skipped\n"), told)
        with open(os.path.join(self.dir, "policy"), encoding="ascii") as file:
            self.assertIn("SCHED_IDLE", file.read())

    def test_beside_and_failed(self):
        dies = self.suite("dies", "#!/bin/sh\nsetsid sleep 1000 &\nuntil grep -q sleep /proc/$!/comm; do :; done\necho the guest died\nexit 125\n")
        none = self.suite("none", "#!/bin/sh\necho no guest has run: no network\nexit 77\n")
        told = self.run_tests("--beside", "vm:", dies, none, "unit:", self.suite("test_some.py", SUITE) + "@test_good", code=1)
        self.assertIn("vm/dies: exit status 125", told)
        self.assertIn("| the guest died", told)
        self.assertTrue(re.search(r"vm/dies: left processes behind: sleep\[\d+\]", told), told)
        self.assertIn("\n  vm/none: no guest has run: no network\n", told)
        self.assertTrue(told.endswith("1 passed, 2 failed, 1 skipped\n"), told)


if __name__ == "__main__":
    unittest.main()
