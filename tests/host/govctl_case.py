# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of govctl share: GOVCTL names the program, else it is taken from GOVD_BUILD or build."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GOVD_BUILD") or os.path.join(ROOT, "build")
GOVCTL = os.path.abspath(os.environ.get("GOVCTL") or os.path.join(BUILD, "govctl"))
FAKE_GOVD = os.path.join(os.path.dirname(GOVCTL), "tests", "fake_govd")
DEADLINE = 20  # seconds until a thing that never comes is a failure
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")

AGENT = {
    "id": "1a2b3c4d", "policy": "bots", "key": "room-7", "pid": 4711, "state": "active", "since_s": 3723.5,
    "idle_s": 4.25, "memory_bytes": 159803392, "memory_max_bytes": 629145600, "cpu_s": 12.5, "tasks": 9,
    "cgroup": "/agents.slice/govd-bots-1a2b3c4d",
}
LIST_FIELDS = [
    "id", "policy", "key", "pid", "state", "since_s", "idle_s", "memory_bytes", "memory_max_bytes", "cpu_s", "tasks",
    "sockets", "connects", "delayed", "refused", "cgroup",
]
HOSTILE = "x\x1b[31m\ny\x9bz\x07\x7f\u202etxt\\"


def dicts(*values):
    return {"types": "aa{sv}", "value": list(values)}


def a_dict(value):
    return {"types": "a{sv}", "value": value}


def a_string(value):
    return {"types": "s", "value": value}


def an_error(name, message=""):
    return {"error": f"org.govd1.Error.{name}", "message": message}


class GovctlTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govctl-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.socket = os.path.join(self.dir, "govd.sock")
        self.fake = None
        self.env = {**os.environ, "GOVD_SOCKET": self.socket, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        for name in ("COLUMNS", "NO_COLOR", "JOURNAL_STREAM"):
            self.env.pop(name, None)

    def serve(self, **answers):
        """Starts a fake govd: method=answer, or method=[answers]."""
        path = os.path.join(self.dir, "answers.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(answers, file)
        self.fake = subprocess.Popen([FAKE_GOVD, self.socket, path], stdout=subprocess.PIPE, bufsize=0)
        self.calls = b""
        self.addCleanup(self.end_fake)
        self.assertEqual(self.fake.stdout.readline(), b"ready\n")

    def end_fake(self):
        self.fake.kill()
        self.fake.wait()
        self.fake.stdout.close()

    def next_call(self):
        while b"\n" not in self.calls:
            ready, _, _ = select.select([self.fake.stdout], [], [], DEADLINE)
            self.assertTrue(ready, "govctl called nothing")
            self.calls += os.read(self.fake.stdout.fileno(), 65536)
        line, _, self.calls = self.calls.partition(b"\n")
        return json.loads(line)

    def no_call(self):
        self.assertEqual(select.select([self.fake.stdout], [], [], 0)[0], [])
        self.assertEqual(self.calls, b"")

    def govctl(self, *args, code=0, env=None, **options):
        done = subprocess.run([GOVCTL, *args], capture_output=True, text=True, timeout=DEADLINE,
                              env={**self.env, **(env or {})}, check=False, **options)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def on_terminal(self, *args, env=None, columns=80):
        """The bytes that govctl writes to a terminal."""
        master, slave = pty.openpty()
        os.set_blocking(master, True)
        child = subprocess.Popen([GOVCTL, *args], stdin=slave, stdout=slave, stderr=slave,
                                 env={**self.env, "TERM": "xterm", "COLUMNS": str(columns), **(env or {})})
        os.close(slave)
        data = b""
        while True:
            ready, _, _ = select.select([master], [], [], DEADLINE)
            self.assertTrue(ready, "govctl hangs")
            try:
                part = os.read(master, 65536)
            except OSError:  # EIO: the last writer has closed it
                break
            if not part:
                break
            data += part
        os.close(master)
        self.assertEqual(child.wait(timeout=DEADLINE), 0, data)
        return data.decode("utf-8").replace("\r\n", "\n")
