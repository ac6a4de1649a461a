#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's processes and groups: an agent on one side or the other, without govd or with it."""

import ctypes
import json
import os
import re
import signal
import subprocess
import textwrap
import time

from demo_rows import CAP, MIB
from pins import remove_pins_of
from proc_files import cgroups_of, children_of, is_alive, mounts_of, read

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.environ.get("GOVD_BUILD") or os.path.join(ROOT, "build")
GOVD = os.environ.get("GOVD") or os.path.join(BUILD, "govd")
GOVCTL = os.environ.get("GOVCTL") or os.path.join(BUILD, "govctl")

DEADLINE = 20  # seconds until what never comes is an error
WIDTH = 80
HOARD = 400 * MIB  # where the hoarder stops by itself
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)

LIBC = ctypes.CDLL(None, use_errno=True)


class DemoError(Exception):
    """Ends the demo; its text says what to do."""


# ---- processes and groups -----------------------------------------------------------------------------------------------


def wait_until(condition, what, deadline=DEADLINE):
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise DemoError(f"waited {deadline} s: {what}")
        time.sleep(0.02)


def v2_group_of(pid):
    """The v2 path; "" when the process has gone or there is no v2 tree."""
    return cgroups_of(pid).get("", "")


def descendants(pid, spared=()):
    found, todo = [], [pid]
    while todo:
        for child in children_of(todo.pop()):
            if child not in spared:
                found.append(child)
                todo.append(child)
    return found


def prepare_agent():
    """In the child: the usual standing with the OOM killer, whatever the demo has, so that it can end an agent."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("0")
    except OSError:
        pass  # a container without CAP_SYS_RESOURCE: lower than 0 it isn't there


def prepare_govd():
    """In the child: no govd is left behind if the demo is killed."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def number_in(path):
    text = read(path).strip()
    return int(text) if text.isdigit() else None


def hoard_bytes():
    """How much the hoarder may take: never so much that the host, or the container that the demo is in, suffers."""
    available = re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.M)
    bounds = [HOARD, int(available.group(1)) * 1024 // 4] if available else [HOARD]
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        mount, file = ("", "memory.max") if not controllers else ("/memory", "memory.limit_in_bytes")
        while True:
            limit = number_in(f"/sys/fs/cgroup{mount}{path.rstrip('/')}/{file}")
            if limit:
                bounds.append(limit // 4)
            if path in ("/", ""):
                break
            path = os.path.dirname(path)
    return min(bounds)


# ---- one side: without govd, and with it --------------------------------------------------------------------------------


class Host:
    """Processes as they are: nobody looks after them."""

    is_governed = False
    title = "without govd"

    def __init__(self, directory):
        self.dir = directory

    def before(self):
        """Whatever start() is to be compared with."""

    def started(self, run):
        """All its processes are there."""

    def tell(self, *words):
        """Keeps what govctl says now, to be printed later."""

    def tell_unit(self, run):
        """The same of what systemd says of an agent, where it is one of systemd's units."""

    def stop(self, run):
        """As a supervisor does that knows only the process that it started."""
        run.root.terminate()
        run.root.wait(DEADLINE)

    def stopped(self, run):
        """It has been stopped, and what is left has been counted."""


class Govd:
    """The same under a govd of the demo's own."""

    is_governed = True
    title = "with govd"

    def __init__(self, directory):
        self.dir = directory
        self.slice = f"govdemo{os.getpid()}.slice"
        self.process = None
        self.log = os.path.join(directory, "govd.log")
        self.moved = 0
        self.told = []  # [(command, what it printed)]

    def start(self, rows):
        policies = os.path.join(self.dir, "policies")
        os.mkdir(policies)
        for row in rows:
            with open(os.path.join(policies, row.name + ".yaml"), "w", encoding="utf-8") as file:
                file.write(textwrap.dedent(row.policy).replace("DIR", self.dir).replace("CAP", str(CAP))
                           .replace("SCRIPT", row.script_name))
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [GOVD, "--policy-dir", policies, "--runtime-dir", os.path.join(self.dir, "run"), "--state-dir",
                 os.path.join(self.dir, "state"), "--slice", self.slice], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=prepare_govd)
        wait_until(lambda: "ready\n" in read(self.log) or self.process.poll() is not None, "govd is ready")
        if self.process.poll() is not None:
            raise DemoError("govd ended at once:\n" + read(self.log).rstrip())

    def ctl(self, *words, check=True):
        done = subprocess.run([GOVCTL, "--socket", os.path.join(self.dir, "run", "govd.sock"), *words],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              errors="replace", timeout=DEADLINE, check=False, env={**os.environ, "COLUMNS": str(WIDTH - 2)})
        if check and done.returncode != 0:
            raise DemoError(f"govctl {' '.join(words)}: {done.stdout}{done.stderr}".rstrip())
        return done.stdout

    def ctl_json(self, *words):
        return json.loads(self.ctl("--json=short", *words))

    def tell(self, *words):
        self.told.append((("govctl", *words), self.ctl(*words)))

    def tell_unit(self, run):
        if self.ctl_json("status")["backend"] != "systemd":
            return
        command = ("systemctl", "status", "--no-pager", "--lines=0", os.path.basename(run.agent["cgroup"]))
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace",
                              timeout=DEADLINE, check=False, env={**os.environ, "COLUMNS": str(WIDTH - 2)})
        self.told.append((command, done.stdout))

    def missing(self):
        """What govd said that it can't limit on this host: `no memory limits: why; ...`."""
        return re.findall(r"no (\w+) limits: ", read(self.log))

    def before(self):
        self.moved = self.ctl_json("status")["actions"]["moved"]

    def started(self, run):
        if not run.row.is_agent:
            return
        run.agent = wait_until(lambda: next((a for a in self.ctl_json("list") if a["pid"] == run.root.pid), None),
                               f"govd governs {run.row.name}, pid {run.root.pid}")
        wait_until(lambda: all(v2_group_of(pid) == run.agent["cgroup"] for pid in run.pids() if is_alive(pid)),
                   f"all processes of {run.row.name} are in {run.agent['cgroup']}")
        run.moved = self.ctl_json("status")["actions"]["moved"] - self.moved
        run.how = self.ctl_json("show", run.agent["id"])["how"]

    def stop(self, run):
        if not run.row.is_agent:
            run.root.terminate()
            for agent in self.ctl_json("list", "--policy", run.row.name):
                self.ctl("kill", "--wait", agent["id"], check=False)
        else:
            self.ctl("stop", "--wait", run.agent["id"])
        run.root.wait(DEADLINE)

    def stopped(self, run):
        """Incidents are written off the hot path: the last one may take a moment."""
        def is_told():
            whose = ("--agent", run.agent["id"]) if run.row.is_agent else ("--policy", run.row.name)
            run.incidents = self.ctl_json("incidents", *whose)
            return run.row.is_told(run.incidents)

        wait_until(is_told, f"the incident of {run.row.name}")

    def end(self):
        """Kills the agents that are left, then ends govd, then removes what a dead govd has left."""
        if self.process and self.process.poll() is None:
            try:
                for agent in self.ctl_json("list"):
                    self.ctl("kill", "--wait", agent["id"], check=False)
            except (DemoError, ValueError, subprocess.TimeoutExpired):
                pass
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def remove_rest(self):
        """What a govd that had to be killed leaves."""
        remove_pins_of(os.path.join(self.dir, "run"), self.slice)
        self.remove_groups()

    def remove_groups(self):
        """Nobody is in them any more. Once more, because a group of the dead can stay busy for some milliseconds."""
        if os.path.isdir("/run/systemd/system"):
            subprocess.run(["systemctl", "stop", self.slice], stderr=subprocess.DEVNULL, timeout=DEADLINE, check=False)

        def is_removed():
            left = [os.path.join(place, self.slice) for mount in mounts_of("cgroup", "cgroup2")
                    for place, names, _ in os.walk(mount) if self.slice in names]
            for slice_path in left:
                for path, _, _ in os.walk(slice_path, topdown=False):
                    try:
                        os.rmdir(path)
                    except OSError:
                        pass
            return not left

        wait_until(is_removed, f"the groups of {self.slice} are removed")


class Run:
    """One agent on one side."""

    def __init__(self, row, side, directory):
        self.row, self.side = row, side
        self.facts_path = os.path.join(directory, f"{row.name}-{side.title.partition(' ')[0]}")
        self.agent, self.moved, self.how, self.incidents = None, 0, "", []
        self.groups, self.alive_before, self.left = {}, [], []
        side.before()
        row.begin(self)
        self.root = subprocess.Popen([*row.command, os.path.join(directory, row.script_name), self.facts_path],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     start_new_session=True, preexec_fn=prepare_agent)

    def facts(self):
        """What the agent wrote, one fact a line: `NAME WORDS`."""
        lines = [line.split() for line in read(self.facts_path).splitlines()]
        return {words[0]: words[1:] for words in lines if words}

    def pids(self):
        """Of the root and of all tools that wrote theirs: `tool-... PID`."""
        return [self.root.pid] + [int(words[0]) for name, words in self.facts().items() if name.startswith("tool")]

    def tools(self):
        return self.pids()[1:]

    def observe(self):
        def is_ready():
            if self.row.is_agent and self.root.poll() is not None:
                raise DemoError(f"{self.row.name} ended by itself, status {self.root.returncode}")
            return self.row.is_ready(self)

        wait_until(is_ready, f"{self.row.name} has started all that it starts")
        self.row.observed(self)
        self.side.started(self)
        self.alive_before = [pid for pid in self.pids() if is_alive(pid)]
        self.groups = {pid: v2_group_of(pid) for pid in self.alive_before}

    def stop(self):
        self.side.stop(self)
        self.left = [pid for pid in self.tools() if is_alive(pid)]
        self.side.stopped(self)
