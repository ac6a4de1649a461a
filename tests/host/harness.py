# SPDX-License-Identifier: GPL-2.0-or-later
"""A govd of a test's own: private runtime, state and slice directories, policies that match only below its own directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "scripts"))
from pins import pin_dirs_of, remove_pins_of  # noqa: E402
from proc_files import cgroups_of, children_of, comm_of, is_alive, mounts_of  # noqa: E402,F401
BUILD = os.path.abspath(os.environ.get("GOVD_BUILD") or os.path.join(ROOT, "build"))
BACKEND = os.environ.get("GOVD_TEST_BACKEND", "auto")  # what each govd of a test is told
DEADLINE = 20  # seconds until a thing that never comes is a failure
with open(os.path.join(BUILD, "govd"), "rb") as _file:
    IS_SANITIZED = b"__asan_init" in _file.read()  # SAN=1: slower, and it keeps what is freed for a while
CAP_IPC_LOCK, CAP_SYS_RESOURCE = 14, 24  # linux/capability.h
SANITIZER_FOUND = "AddressSanitizer|LeakSanitizer|runtime error: "


def program(name):
    return os.path.join(BUILD, "tests", name)


def wait_until(condition, what, deadline=DEADLINE):
    """Polls condition until it is true, and returns its value."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        time.sleep(0.02)


def v2_root():
    return mounts_of("cgroup2")[0]


def has_capability(number):
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line.split()[1] for line in file if line.startswith("CapEff:")), 16) >> number & 1


def stop_slice(name):
    """Has systemd end a slice and, as long as nothing else is in them, those that it is in: a-b.slice is in a.slice."""
    words = name.removesuffix(".slice").split("-")
    units = ["-".join(words[:n]) + ".slice" for n in range(1, len(words) + 1)]
    for n in range(len(units), 0, -1):
        path = os.path.join(v2_root(), *units[:n])
        if n < len(units) and os.path.isdir(path) and any(entry.is_dir() for entry in os.scandir(path)):
            return
        subprocess.run(["systemctl", "stop", units[n - 1]], check=False, stderr=subprocess.DEVNULL, timeout=60)


class GovdTest(unittest.TestCase):
    """Each test has a directory, a govd when it calls start(), and processes of its own that end with it."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govd-test-")
        os.chmod(self.dir, 0o755)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.slice = f"govtest-{os.getpid()}-{self._testMethodName[-24:].replace('_', '')}.slice"
        self.govd = None
        self.started = []
        for name in ("policies", "bin"):
            os.mkdir(self.path(name))
        self.addCleanup(self.finish)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    # ---- govd

    def start(self, *options, wait=True, program=os.path.join(BUILD, "govd"), **keywords):
        self.log = open(self.path("log"), "a", encoding="utf-8")
        self.addCleanup(self.log.close)
        offset = os.path.getsize(self.path("log"))
        self.govd = subprocess.Popen(
            [program, "--policy-dir", self.path("policies"), "--runtime-dir", self.path("run"),
             "--state-dir", self.path("state"), "--slice", self.slice, "--backend", BACKEND, *options],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **keywords)
        if wait:
            wait_until(lambda: "ready\n" in self.log_text(offset) or self.govd.poll() is not None, "govd is ready")
            self.assertIsNone(self.govd.poll(), self.log_text())

    def log_text(self, offset=0):
        with open(self.path("log"), encoding="utf-8") as file:
            file.seek(offset)
            return file.read()

    def stop_govd(self, number=signal.SIGTERM):
        self.govd.send_signal(signal.SIGCONT)
        self.govd.send_signal(number)
        self.govd.wait(DEADLINE)
        status, self.govd = self.govd.returncode, None
        return status

    def finish(self):
        """Ends agents and govd; nothing may be left below the slice."""
        if self.govd and self.govd.poll() is None:
            for agent in self.ctl_json("list"):
                if not agent.get("observed"):
                    self.ctl("kill", agent["id"], check=False)
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(DEADLINE)
        if self.govd and self.govd.poll() is None:
            wait_until(lambda: not [a for a in self.ctl_json("list") if not a.get("observed")], "all agents end")
            self.stop_govd()
        elif self.govd:
            self.govd.wait()
        if os.path.exists(self.path("log")):
            self.assertNotRegex(self.log_text(), SANITIZER_FOUND)
        remove_pins_of(self.path("run"), self.slice)
        if os.path.isdir("/run/systemd/system"):
            stop_slice(self.slice)  # what systemd has made ends by its word
        for path in self.leftovers():
            subprocess.run(["find", path, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";"], check=False,
                           stderr=subprocess.DEVNULL)

    def pin_dirs(self):
        return pin_dirs_of(self.path("run"), self.slice)

    def leftovers(self):
        """Directories of this test's slice, in any hierarchy."""
        found = subprocess.run(["find", "/sys/fs/cgroup", "-type", "d", "-name", self.slice], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True, check=False)
        return found.stdout.split()

    @staticmethod
    def v2_path(cgroup):
        """The directory of a group as /proc/PID/cgroup has it."""
        return v2_root() + cgroup

    # ---- govctl

    def ctl(self, *words, check=True, **keywords):
        govctl = os.path.join(BUILD, "govctl")
        if "user" in keywords:
            # Debian's homes are closed to others, and the build may lie in one.
            govctl, keywords = self.govctl_for_others(), {"cwd": "/", **keywords}
        done = subprocess.run([govctl, "--socket", self.path("run", "govd.sock"), *words], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False, **keywords)
        if check:
            self.assertEqual(done.returncode, 0, f"govctl {' '.join(words)}: {done.stdout}{done.stderr}")
        return done

    def govctl_for_others(self):
        path = self.path("govctl")
        return path if os.path.exists(path) else shutil.copy(os.path.join(BUILD, "govctl"), path)

    def ctl_json(self, *words, **keywords):
        if "incidents" in words:
            # govd is ready before its recorder has made the history.
            wait_until(lambda: self.ctl(*words, check=False, **keywords).returncode == 0, "there is a history")
        return json.loads(self.ctl("--json=short", *words, **keywords).stdout)

    def agents(self, policy=None):
        return [agent for agent in self.ctl_json("list") if policy in (None, agent["policy"])]

    def agent_of(self, pid):
        """As soon as it is placed, or observed."""
        return wait_until(lambda: next((a for a in self.agents() if a["pid"] == pid and
                                        a["state"] not in ("starting", "held")), None), f"an agent of pid {pid}")

    def group_of(self, policy):
        """How the name of the group of an agent of this policy begins; the agent's id follows."""
        return f"govd-{policy}-" if self.ctl_json("status")["backend"] == "systemd" else f"{policy}-"

    # ---- policies, programs, processes

    def policy(self, name, text):
        with open(self.path("policies", name + ".yaml"), "w", encoding="utf-8") as file:
            file.write(text.replace("DIR", self.dir))

    def copy(self, source, name):
        """A copy of an executable, so that policies can name it: returns its path."""
        path = self.path("bin", name)
        shutil.copy(shutil.which(source) or source, path)
        return path

    def script(self, name, text, mode=0o755):
        path = self.path(name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def spawn(self, *command, **keywords):
        process = subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, **keywords})
        self.started.append(process)
        return process

    def is_inside(self, pid, agent=None):
        path = cgroups_of(pid).get("", "")
        if agent and not agent["cgroup"]:
            # It was told while it was being placed.
            agent.update(self.ctl_json("show", agent["id"]))
        return f"/{self.slice}/" in path and (agent is None or path == agent["cgroup"])

    def assert_placed(self, pid, agent=None):
        wait_until(lambda: self.is_inside(pid, agent), f"pid {pid} is in its group (is in {cgroups_of(pid)})")
