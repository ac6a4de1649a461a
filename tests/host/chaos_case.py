# SPDX-License-Identifier: GPL-2.0-or-later
"""govd killed at random while agents start, leak and stop: what must hold in the end. For test_chaos of host and guest."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from harness import DEADLINE, GovdTest, cgroups_of, children_of, is_alive, v2_root, wait_until

AGENTS = 20
MIB = 1 << 20
SETTLED = 60  # seconds until the last govd has found and placed all, also in an emulated machine
KEPT, LEFT = 200 * MIB, 40 * MIB  # memory.max
# What the kernel may count beyond memory.max: charges that can't fail, of some pages a CPU (mm/memcontrol.c).
BEYOND = MIB
POLICIES = {
    "kept": "match: {exe: DIR/bin/kept}\nmemory: {max: 200M}\ntasks: {max: 16}\nleak: {horizon: 30min}\n",
    # Not held, and with tools.
    "shell": "match: {script: DIR/shell.sh}\nhold: never\nmemory: {max: 200M}\ntasks: {max: 16}\nstop: {grace: 2s}\n",
    "leaker": "match: {script: DIR/leaker.sh}\nmemory: {max: 40M, swap_max: 0, on_oom: kill-agent}\ntasks: {max: 16}\n",
}
SHELL = '#!/bin/sh\n%(tool)s 300 &\n(%(tool)s 300 &)\nsetsid %(tool)s 300 &\nwhile :; do %(tool)s 1; done\n'
# Twice as much as it may have: it ends also where nobody limits it.
LEAKER = '#!/bin/sh\nsleep 0.2\nhead -c 80M /dev/zero | tail >/dev/null\n'


def state_of(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0]


class ChaosCase(GovdTest):
    kills = 12

    def setUp(self):
        super().setUp()
        seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1 << 32))
        print(f"CHAOS_SEED={seed}", file=sys.stderr, flush=True)
        self.random = random.Random(seed)
        self.slots = [None] * AGENTS  # the process that each agent is, or None
        self.frozen, self.helpers = set(), set()
        self.counts = dict.fromkeys(("started", "stopped", "ended", "frozen", "killed", "capped"), 0)
        self.broken = None  # what has ended the thread that starts and ends agents
        for name, text in POLICIES.items():
            self.policy(name, text)
        self.kept = self.copy("sleep", "kept")
        self.innocent = self.copy("sleep", "innocent")
        self.tool = self.copy("sleep", "tool")
        self.scripts = {"shell": self.script("shell.sh", SHELL % {"tool": self.tool}), "leaker": self.script("leaker.sh", LEAKER)}
        # The first ones live through all of it; so do those that concern nobody.
        self.lasting = 6
        self.innocents = [self.spawn(self.innocent, "1000") for _ in range(3)]

    def finish(self):
        """The tools, too, of agents whose govd was killed, or that began and ended without one."""
        try:
            super().finish()
        finally:
            for path in self.groups_there():
                with open(os.path.join(path, "cgroup.kill"), "w", encoding="ascii") as file:
                    file.write("1")
            wait_until(lambda: not any(map(self.has_processes, self.groups_there())), "all have been killed")
            super().leftovers()
            for pid in self.tools_left():
                os.kill(pid, signal.SIGKILL)

    def tools_left(self):
        """By their executable, which is this test's own."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{name}/exe").removesuffix(" (deleted)") == self.tool:
                    yield int(name)
            except OSError:
                pass

    @staticmethod
    def has_processes(path):
        try:
            with open(os.path.join(path, "cgroup.events"), encoding="ascii") as file:
                return "populated 1" in file.read()
        except FileNotFoundError:
            return False

    # ---- what goes on

    def begin_agent(self, slot):
        kind = "kept" if slot < self.lasting else self.random.choice(("shell", "leaker", "kept"))
        command = (self.kept, "1000") if kind == "kept" else (self.scripts[kind],)
        process = self.spawn(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.kind, process.is_ended_by_us = kind, False
        self.slots[slot] = process
        self.counts["started"] += 1

    def id_of(self, process):
        """"" when govd doesn't know it, or isn't there."""
        done = self.ctl("--json=short", "list", check=False)
        if done.returncode != 0:
            return ""
        return next((a["id"] for a in json.loads(done.stdout) if a["pid"] == process.pid), "")

    def disturb_agent(self, slot):
        process = self.slots[slot]
        what = self.random.choice(("stop", "end", "freeze", "wait"))
        agent = self.id_of(process) if what in ("stop", "freeze") else ""
        if agent and what == "stop":
            # A govd that is killed before it answers may have begun with it.
            process.is_ended_by_us = True
            self.counts["stopped"] += self.ctl("stop", agent, check=False).returncode == 0
        elif agent and what == "freeze" and process.kind == "kept":
            # Whether it was done isn't known when govd is killed in the middle.
            self.frozen.add(process.pid)
            self.counts["frozen"] += self.ctl("freeze", agent, check=False).returncode == 0
        elif what == "end":
            process.is_ended_by_us = True
            process.kill()
            self.counts["ended"] += 1

    def look_at_leaker(self, process):
        """Who is in a group of govd's is below the cap there, and has never been above it."""
        for path, limit, peak in self.memory_files(process.pid):
            try:
                with open(os.path.join(path, limit), encoding="ascii") as file:
                    self.assertEqual(file.read().strip(), str(LEFT), path)
                with open(os.path.join(path, peak), encoding="ascii") as file:
                    self.assertLessEqual(int(file.read()), LEFT + BEYOND, path)
            except OSError:  # it has ended
                continue
            self.counts["capped"] += 1

    def churn_once(self):
        slot = self.random.randrange(AGENTS)
        process = self.slots[slot]
        if process is None or process.poll() is not None:
            self.begin_agent(slot)
        elif slot >= self.lasting:
            self.disturb_agent(slot)
        for leaker in self.slots:
            if leaker and leaker.kind == "leaker" and leaker.poll() is None:
                self.look_at_leaker(leaker)

    def churn(self, is_over):
        try:
            while not is_over.is_set():
                self.churn_once()
                time.sleep(0.02)
        except BaseException as error:  # pylint: disable=broad-exception-caught; told in play()
            self.broken = error

    def kill_govd(self, delay):
        time.sleep(delay)
        for pid in children_of(self.govd.pid):
            with contextlib.suppress(FileNotFoundError):  # what loads its programs ends by itself
                self.helpers.add((pid, os.stat(f"/proc/{pid}").st_ctime_ns))
        self.assertIsNone(self.govd.poll(), self.log_text()[-4000:])
        self.stop_govd(signal.SIGKILL)
        self.counts["killed"] += 1

    def play(self):
        is_over = threading.Event()
        thread = threading.Thread(target=self.churn, args=(is_over,))
        dice = random.Random(self.random.random())
        thread.start()
        try:
            for _ in range(self.kills):
                is_ready = dice.random() < 0.6
                self.start(wait=is_ready)
                self.kill_govd(dice.uniform(0, 0.5 if is_ready else 0.3))
                time.sleep(dice.uniform(0, 0.1))
        finally:
            is_over.set()
            thread.join()
        print(f"{self.counts}", file=sys.stderr, flush=True)
        if self.broken:
            raise self.broken

    # ---- what must hold

    def check_leaker_is_capped(self):
        """Those before may all have lived while there was no govd."""
        leakers = []

        def is_seen():
            if not leakers or leakers[-1].poll() is not None:
                leakers.append(self.spawn(self.scripts["leaker"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            self.look_at_leaker(leakers[-1])
            return self.counts["capped"]

        wait_until(is_seen, "a leaker is seen in its group", SETTLED)

    def check_nobody_else_has_ended(self):
        """Neither a kept one nor a shell ends unless this test ends it, and a leaker only by its leak."""
        wrong = [f"{p.pid} {p.kind}: {p.returncode}" for p in self.started
                 if getattr(p, "kind", "leaker") != "leaker" and p.poll() is not None and not p.is_ended_by_us]
        self.assertEqual(wrong, [], self.log_text()[-4000:])

    def living(self):
        """Roots that govd must have: those of leakers come and go."""
        return [p for p in self.slots if p and p.poll() is None and p.kind != "leaker"]

    def is_settled(self):
        """Each that lives is listed once. Who has left tools behind when it was ended is an agent still."""
        listed = [a for a in self.agents() if a["policy"] != "leaker"]
        ended = {p.pid for p in self.started if p.poll() is not None}
        rest = [a["pid"] for a in listed if not (a["pid"] in ended and a["policy"] == "shell" and a["tasks"] > 0)]
        return sorted(rest) == sorted(p.pid for p in self.living()) and \
            all(a["state"] in ("active", "idle", "frozen") for a in listed)

    def why_not_settled(self):
        listed = {a["pid"]: a for a in self.agents()}
        lines = [f"{p.pid} {p.kind}: state {state_of(p.pid)} in {cgroups_of(p.pid)}, listed {listed.pop(p.pid, None)}"
                 for p in self.living() if listed.get(p.pid, {}).get("state") not in ("active", "idle", "frozen")]
        return "\n".join(lines + [f"listed only: {agent}" for agent in listed.values()])

    @staticmethod
    def is_at_home(pid, agent, states):
        """In the agent's group, or one of its own there when it is a tool. One that execs or ends isn't for a moment."""
        try:
            return state_of(pid) in states and (cgroups_of(pid)[""] + "/").startswith(agent["cgroup"] + "/")
        except (OSError, KeyError):
            return False

    def check_agent(self, agent, process):
        group = v2_root() + agent["cgroup"]
        self.assert_placed(process.pid, agent)
        self.assertEqual(agent["policy"], process.kind)
        self.assertEqual(agent["memory_max_bytes"], KEPT, agent)
        with open(os.path.join(group, "cgroup.freeze"), encoding="ascii") as file:
            is_frozen = file.read().strip() == "1"
        self.assertTrue(not is_frozen or process.pid in self.frozen, f"nobody has frozen {agent}")
        self.assertEqual(is_frozen, agent["state"] == "frozen", agent)
        for pid in [process.pid] + children_of(process.pid):
            wait_until(lambda p=pid: not is_alive(p) or self.is_at_home(p, agent, "SRD" if is_frozen else "SR"),
                       f"{pid} is at work in the group of {agent}")
        for path in self.pids_max_files(process.pid):
            with open(path, encoding="ascii") as file:
                self.assertEqual(file.read().strip(), "16", path)

    def memory_files(self, pid):
        """The memory controller's groups of a process that are govd's, and the names of limit and peak there."""
        try:
            groups = cgroups_of(pid)
        except OSError:
            return []
        found = []
        if self.slice in groups.get("memory", "").split("/"):
            found.append(("/sys/fs/cgroup/memory" + groups["memory"], "memory.limit_in_bytes", "memory.max_usage_in_bytes"))
        path = v2_root() + groups.get("", "")
        if self.slice in path.split("/") and os.path.exists(os.path.join(path, "memory.max")):
            found.append((path, "memory.max", "memory.peak"))
        return found

    @staticmethod
    def pids_max_files(pid):
        """Where there is a controller."""
        groups = cgroups_of(pid)
        found = [os.path.join(v2_root(), groups[""].lstrip("/"), "pids.max"),
                 os.path.join("/sys/fs/cgroup/pids", groups.get("pids", "/").lstrip("/"), "pids.max")]
        return [path for path in found if os.path.exists(path)]

    def groups_there(self):
        """Directories of the slice itself in the v2 tree: one for each agent."""
        top = [os.path.join(path, name) for path in self.slice_dirs() for name in os.listdir(path)]
        return sorted(path for path in top if os.path.isdir(path))

    def groups_beyond(self):
        """Those without an agent, or that an agent should have."""
        return set(self.groups_there()) ^ {v2_root() + agent["cgroup"] for agent in self.agents()}

    def why_beyond(self):
        def look(name):
            return subprocess.run(["grep", "-rs", "", f"--include={name}", path], stdout=subprocess.PIPE, text=True,
                                  check=False).stdout
        lines = []
        for path in sorted(self.groups_beyond()):
            lines += [path + ("" if os.path.isdir(path) else " isn't there"), look("cgroup.procs"), look("cgroup.events")]
        return "\n".join(lines + [self.log_text()[-3000:]])

    def slice_dirs(self):
        found = subprocess.run(["find", v2_root(), "-type", "d", "-name", self.slice], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL, check=False)
        return found.stdout.split()

    def helpers_left(self):
        left = []
        for pid, born in self.helpers:
            try:
                if is_alive(pid) and os.stat(f"/proc/{pid}").st_ctime_ns == born:
                    left.append(pid)
            except FileNotFoundError:
                pass
        return left

    def check_all(self):
        try:
            wait_until(self.is_settled, "all agents are listed once and placed", SETTLED)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.why_not_settled()}") from None
        self.check_nobody_else_has_ended()
        for process in self.innocents:
            self.assertIsNone(process.poll(), "an innocent one has ended")
            self.assertIn(state_of(process.pid), "SR")
            self.assertFalse(self.is_inside(process.pid))
        wait_until(lambda: not [a for a in self.agents() if a["policy"] == "leaker"], "the leakers have ended", SETTLED)
        agents = {agent["pid"]: agent for agent in self.agents()}
        for process in self.living():
            self.check_agent(agents[process.pid], process)
        try:
            wait_until(lambda: not self.groups_beyond(), "a group for each agent, and no other")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.why_beyond()}") from None
        wait_until(lambda: not self.helpers_left(), "helpers of the killed ones have ended")
        self.check_nobody_else_has_ended()
        fds = len(os.listdir(f"/proc/{self.govd.pid}/fd"))
        self.assertLess(fds, 60 + 5 * len(agents), "descriptors of govd")

    def check_nothing_is_left(self):
        for agent in self.agents():
            self.ctl("kill", agent["id"])
        wait_until(lambda: not self.agents(), "all end", SETTLED)
        wait_until(lambda: not self.groups_there(), "no group is left")
        backend = self.ctl_json("status")["backend"]
        self.assertEqual(self.stop_govd(), 0)
        wait_until(lambda: not self.pin_dirs(), f"no pin is left: {self.pin_dirs()}", DEADLINE)
        # The slice is a unit of systemd's there, and stays one.
        self.assertEqual(self.leftovers() if backend == "native" else self.groups_there(), [])

    def check_chaos(self):
        self.play()
        self.start()
        self.check_leaker_is_capped()
        self.check_all()
        self.check_nothing_is_left()
