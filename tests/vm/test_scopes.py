#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd's systemd backend: agents as scopes of systemd's. Runs in a guest: it reexecutes PID 1 and restarts dbus."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import BUILD, GovdTest, cgroups_of, children_of, is_alive, v2_root, wait_until  # noqa: E402

SCOPES = int(os.environ.get("SCOPES", "200"))  # started in SCOPES_WITHIN seconds
SCOPES_WITHIN = 10
LAST_AT = 0.95  # of that time: the last one, too, is to have begun by then
CALLS_MAX = 16  # SetUnitProperties that govd waits for at once: src/act/systemd_limit.c
FORGED = 1000  # signals of each kind
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
SLOW = 60  # seconds; PID 1 of a guest without KVM reexecutes in some
KEYED = 'key: {args: " (\\\\d+)$"}\n'  # how long it sleeps
FIRST_LINE = "#!/bin/sh\ncat /proc/self/cgroup >>DIR/first\nexec sleep 300\n"
FORKS = "#!/bin/sh\nsleep 300 &\nsleep 300 &\nwait\n"


def systemctl(*words, check=True):
    return subprocess.run(["systemctl", *words], check=check, stdout=subprocess.PIPE, text=True).stdout.strip()


def properties(unit, *names):
    lines = systemctl("show", unit, *(f"--property={name}" for name in names)).splitlines()
    return dict(line.split("=", 1) for line in lines)


def read(*names):
    with open(os.path.join(*names), encoding="ascii") as file:
        return file.read().strip()


class ScopeTest(GovdTest):
    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.isdir("/run/systemd/system"), "systemd isn't PID 1")

    def start(self, *options, **keywords):
        super().start("--backend", "systemd", *options, **keywords)

    def placed(self, pid):
        return wait_until(lambda: next((a for a in self.agents() if a["pid"] == pid and
                                        a["state"] not in ("starting", "held")), None), f"pid {pid} is placed", SLOW)

    def unit_of(self, agent):
        return os.path.basename(agent["cgroup"])

    def sleeper(self, name="bot", text=""):
        agent = self.copy("sleep", name)
        self.policy(name, f"match: {{exe: DIR/bin/{name}}}\n{text}")
        return agent

    def assert_scope(self, pid, agent):
        self.assertEqual(self.unit_of(agent), f"govd-{agent['policy']}-{agent['id']}.scope")
        self.assertEqual(cgroups_of(pid)[""], agent["cgroup"])
        shown = properties(self.unit_of(agent), "ActiveState", "Slice", "ControlGroup", "Delegate")
        self.assertEqual(shown, {"ActiveState": "active", "Slice": self.slice, "ControlGroup": agent["cgroup"],
                                 "Delegate": "yes"})

    # ---- one scope

    def test_agent_is_a_scope_with_its_limits_and_name(self):
        agent = self.sleeper(text=KEYED + "memory: {high: 48M, max: 64M, swap_max: 0, on_oom: kill-agent}\n"
                                  "tasks: {max: 32}\ncpu: {weight: 50, max: 25%}\n")
        self.start()
        self.assertEqual(self.ctl_json("status")["backend"], "systemd")
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        self.assert_scope(process.pid, found)
        unit, group = self.unit_of(found), v2_root() + found["cgroup"]
        expected = {"Description": "govd: bot/300", "MemoryHigh": str(48 << 20), "MemoryMax": str(64 << 20),
                    "MemorySwapMax": "0", "TasksMax": "32", "CPUWeight": "50", "CPUQuotaPerSecUSec": "250ms",
                    "CollectMode": "inactive-or-failed"}
        self.assertEqual(properties(unit, *expected), expected)
        files = {"memory.high": str(48 << 20), "memory.max": str(64 << 20), "pids.max": "32", "cpu.weight": "50",
                 "memory.oom.group": "1", "cpu.max": "25000 100000"}
        self.assertEqual({name: read(group, name) for name in files}, files)
        self.assertIn(unit, systemctl("status", "--no-pager", self.slice))
        process.kill()
        process.wait()
        wait_until(lambda: not self.agents(), "govd sees its end")
        wait_until(lambda: properties(unit, "LoadState")["LoadState"] == "not-found", "the scope has gone", SLOW)

    def test_hostile_key_names_no_other_property(self):
        """The description becomes a line of a unit file."""
        agent = self.sleeper(text='key: {args: "(?s)key=(.*)"}\nmemory: {max: 64M}\n')
        self.start()
        process = self.spawn("/bin/bash", "-c", 'exec -a "$1" "$0" 300', agent, "key=a\n[Scope]\nMemoryMax=1G\n%i\\")
        found = self.placed(process.pid)
        shown = properties(self.unit_of(found), "MemoryMax", "Description")
        self.assertEqual(shown["MemoryMax"], str(64 << 20))
        self.assertNotIn("\n", shown["Description"])
        systemctl("daemon-reload")
        self.assertEqual(properties(self.unit_of(found), "MemoryMax"), {"MemoryMax": str(64 << 20)})

    def test_held_agent_is_in_its_scope_at_its_first_line(self):
        script = self.script("first.sh", FIRST_LINE.replace("DIR", self.dir))
        self.policy("first", "match: {script: DIR/first.sh}\n")
        self.start()
        processes = [self.spawn("/bin/sh", script) for _ in range(5)]
        found = [self.placed(process.pid) for process in processes]
        lines = wait_until(lambda: os.path.exists(self.path("first")) and len(read(self.path("first")).split()) == 5 and
                           read(self.path("first")).split(), "all have run")
        self.assertEqual(sorted(line.removeprefix("0::") for line in lines), sorted(a["cgroup"] for a in found))

    def test_children_forked_at_once_are_in_the_scope(self):
        script = self.script("forks.sh", FORKS)
        self.policy("forks", "match: {script: DIR/forks.sh}\nhold: never\n")
        self.start()
        process = self.spawn("/bin/sh", script)
        found = self.placed(process.pid)
        wait_until(lambda: len(read(v2_root() + found["cgroup"], "cgroup.procs").split()) == 3, "all three are in it")

    def test_changed_limits_are_systemds(self):
        agent = self.sleeper(text="memory: {max: 64M, on_oom: kill-agent}\n")
        self.start()
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        self.policy("bot", "match: {exe: DIR/bin/bot}\nmemory: {max: 96M, on_oom: kill-agent}\n")
        self.ctl("policy", "reload")
        wait_until(lambda: properties(self.unit_of(found), "MemoryMax")["MemoryMax"] == str(96 << 20),
                   "systemd knows")
        self.assert_oom_group(found)
        systemctl("daemon-reload")
        self.assertEqual(read(v2_root() + found["cgroup"], "memory.max"), str(96 << 20))
        self.assert_oom_group(found)
        self.stop_govd(signal.SIGKILL)
        self.start()
        self.assert_oom_group(found)

    def assert_oom_group(self, agent):
        """systemd writes it with all other limits, once it has done what it was asked for before."""
        properties(self.unit_of(agent), "MemoryMax")
        wait_until(lambda: read(v2_root() + agent["cgroup"], "memory.oom.group") == "1", "all of it would be killed")

    # ---- what is done to them

    def test_freeze_thaw_stop_and_kill(self):
        agent = self.sleeper()
        self.start()
        for verb in ("stop", "kill"):
            process = self.spawn(agent, "300")
            found = self.placed(process.pid)
            self.ctl("freeze", found["id"])
            self.assertEqual(read(v2_root() + found["cgroup"], "cgroup.freeze"), "1")
            systemctl("daemon-reload")
            self.assertEqual(read(v2_root() + found["cgroup"], "cgroup.freeze"), "1")
            self.ctl("thaw", found["id"])
            self.assertEqual(read(v2_root() + found["cgroup"], "cgroup.freeze"), "0")
            self.ctl(verb, found["id"])
            process.wait(20)
            wait_until(lambda: not self.agents(), "govd knows")

    def test_tools_groups_are_left_alone_by_systemd(self):
        """They are nested in the scope, which is delegated."""
        script = self.script("tools.sh", "#!/bin/sh\nsleep 300 &\nsleep 300 &\nwait\n")
        self.policy("tools", "match: {script: DIR/tools.sh}\nmemory: {max: 128M}\ntools: {memory_max: 32M}\n")
        self.start()
        process = self.spawn("/bin/sh", script)
        found = self.placed(process.pid)

        def places():
            found_now = {tool["pid"]: cgroups_of(tool["pid"])[""] for tool in self.ctl_json("show", found["id"])["tools"]}
            return found_now if sum("/tool-" in group for group in found_now.values()) == 2 else None

        groups = wait_until(places, "both are in groups of their own")
        for word, mib in ("daemon-reload", 96), ("daemon-reexec", 112):
            systemctl(word)
            self.policy("tools", f"match: {{script: DIR/tools.sh}}\nmemory: {{max: {mib}M}}\ntools: {{memory_max: 32M}}\n")
            self.ctl("policy", "reload")
            wait_until(lambda: read(v2_root() + found["cgroup"], "memory.max") == str(mib << 20), "the new limit", SLOW)
            for pid, group in groups.items():
                self.assertEqual(cgroups_of(pid)[""], group)
                self.assertRegex(group, rf"^{found['cgroup']}/tool-{pid}-\d+$")
                self.assertEqual(read(v2_root() + group, "memory.max"), str(32 << 20))
        unit = self.unit_of(found)
        self.assertIn(f"{list(groups)[0]} sleep 300", systemctl("status", "--no-pager", unit))
        self.ctl("kill", found["id"])
        process.wait(20)
        wait_until(lambda: properties(unit, "LoadState")["LoadState"] == "not-found", "the scope has gone", SLOW)
        self.assertFalse(os.path.exists(v2_root() + found["cgroup"]))

    def serve(self, agent, *options):
        """The agent as a service: its pid and its unit."""
        unit = f"govtest-agent-{os.getpid()}.service"
        subprocess.run(["systemd-run", "--quiet", f"--unit={unit}", *options, agent, "300"], check=True)
        self.addCleanup(systemctl, "stop", unit, check=False)
        return int(properties(unit, "MainPID")["MainPID"]), unit

    def release_one_of_a_unit(self, *options):
        """Returns its pid, the unit, and where the agent was."""
        agent = self.sleeper(text="placement: scope\nmemory: {max: 64M}\n")
        self.start()
        pid, unit = self.serve(agent, *options)
        found = self.placed(pid)
        self.assertEqual(properties(unit, "ActiveState")["ActiveState"], "active")
        self.ctl("release", found["id"])
        self.assertEqual(self.agents(), [])
        wait_until(lambda: not os.path.exists(v2_root() + found["cgroup"]), "the scope has gone", SLOW)
        self.assertTrue(is_alive(pid))
        return pid, unit

    def test_released_agent_is_back_in_its_delegated_unit(self):
        pid, unit = self.release_one_of_a_unit("--property=Delegate=yes")
        self.assertEqual(cgroups_of(pid)[""], properties(unit, "ControlGroup")["ControlGroup"])

    def test_released_agent_of_another_unit_still_ends_with_it(self):
        """systemd takes nobody back into a unit that isn't delegated, but knows its main process."""
        pid, unit = self.release_one_of_a_unit()
        self.assertRegex(cgroups_of(pid)[""], r"^/system.slice/govd-released-\d+-\d+\.scope$")
        systemctl("stop", unit)
        wait_until(lambda: not is_alive(pid), "it ends")

    def test_released_agent_whose_unit_has_gone_has_no_limits(self):
        agent, unit = self.sleeper(text="memory: {max: 64M}\n"), f"govtest-origin-{os.getpid()}.scope"
        self.start()
        process = self.spawn("systemd-run", "--quiet", "--scope", f"--unit={unit}", agent, "300")
        found = self.placed(process.pid)
        wait_until(lambda: properties(unit, "ActiveState")["ActiveState"] == "inactive", "its first scope has gone",
                   SLOW)
        self.ctl("release", found["id"])
        group = cgroups_of(process.pid)[""]
        self.assertRegex(group, r"^/system.slice/govd-released-\d+-\d+\.scope$")
        self.assertEqual(read(v2_root() + group, "memory.max"), "max")
        self.assertIsNone(process.poll())

    def place_one_who_cannot_leave(self):
        """systemd refuses each scope that it would go to. Returns the agent and its group."""
        agent = self.sleeper(text="placement: scope\n")
        self.start()
        refusal = "/run/systemd/system/govd-released-.scope.d"
        os.mkdir(refusal)
        self.addCleanup(shutil.rmtree, refusal)
        with open(refusal + "/refusal.conf", "w", encoding="ascii") as file:
            file.write("[Unit]\nAssertPathExists=/nowhere\n")
        systemctl("daemon-reload")
        pid, _ = self.serve(agent)
        found = self.placed(pid)
        return found, v2_root() + found["cgroup"]

    def begin_release(self, found):
        return self.spawn(os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "release", found["id"])

    def test_freeze_of_a_release_is_ended_by_the_next_govd(self):
        """govd freezes who doesn't leave at once."""
        found, group = self.place_one_who_cannot_leave()
        for number, left in ((signal.SIGTERM, "0"), (signal.SIGKILL, "1")):
            self.begin_release(found)
            wait_until(lambda: read(group, "cgroup.freeze") == "1", "it is frozen", SLOW)
            self.stop_govd(number)
            self.assertEqual(read(group, "cgroup.freeze"), left, number)
            self.start()
            wait_until(lambda: [a["state"] for a in self.agents()] == ["active"], "it goes on", SLOW)
            self.assertEqual(read(group, "cgroup.freeze"), "0")

    def test_release_that_fails_leaves_it_frozen(self):
        found, group = self.place_one_who_cannot_leave()
        self.ctl("freeze", found["id"])
        release = self.begin_release(found)
        wait_until(lambda: read(group, "cgroup.freeze") == "0", "it is thawed, to leave", SLOW)
        self.assertNotEqual(release.wait(2 * SLOW), 0)
        wait_until(lambda: read(group, "cgroup.events").endswith("frozen 1"), "it is frozen again", SLOW)
        self.assertEqual([a["state"] for a in self.agents()], ["frozen"])
        self.ctl("thaw", found["id"])
        self.assertEqual([a["state"] for a in self.agents()], ["active"])

    def test_agent_that_nobody_may_watch_is_governed(self):
        """fs.inotify.max_user_watches is root's, for all of its daemons: systemd's watch fails as well as govd's."""
        agent, limit = self.sleeper(text="memory: {max: 64M}\n"), "/proc/sys/fs/inotify/max_user_watches"
        self.start()

        def allow(watches):
            with open(limit, "w", encoding="ascii") as file:
                file.write(watches)

        self.addCleanup(allow, read(limit))
        allow("1")
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        self.assert_scope(process.pid, found)
        self.assertEqual(found["state"], "active")
        self.ctl("freeze", found["id"])
        self.assertTrue(read(v2_root() + found["cgroup"], "cgroup.events").endswith("frozen 1"))
        self.ctl("thaw", found["id"])
        process.kill()
        process.wait()
        wait_until(lambda: not self.agents(), "govd sees its end")
        self.wait_gone(self.unit_of(found))

    # ---- what people do to them by systemctl

    def test_stopped_scope_is_told(self):
        agent = self.sleeper()
        self.start()
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        systemctl("stop", self.unit_of(found))
        self.assertEqual(process.wait(20), -signal.SIGTERM)
        wait_until(lambda: not self.agents(), "govd knows", SLOW)
        told = wait_until(lambda: [i for i in self.ctl_json("incidents", "--agent", found["id"])
                                   if i["kind"] == "stopped"], "the incident")
        self.assertEqual(told[0]["evidence"]["exit_signal"], signal.SIGTERM)

    def test_agents_are_placed_after_their_slice_was_stopped(self):
        agent = self.sleeper()
        self.start()
        first = self.spawn(agent, "300")
        self.placed(first.pid)
        systemctl("stop", self.slice)
        self.assertEqual(first.wait(20), -signal.SIGTERM)
        wait_until(lambda: not self.agents(), "govd knows", SLOW)
        for _ in range(3):
            process = self.spawn(agent, "300")
            found = self.placed(process.pid)
            self.assert_scope(process.pid, found)
        self.assertEqual(len(self.agents()), 3)
        self.assertIn("has been stopped, and started again", self.log_text())
        self.ctl("kill", found["id"])
        self.assertEqual(process.wait(20), -signal.SIGKILL)

    def assert_idle(self):
        """No loop goes round for nothing."""
        def cpu_ticks():
            return sum(int(word) for word in read("/proc", str(self.govd.pid), "stat").rpartition(")")[2].split()[11:13])

        before = cpu_ticks()
        time.sleep(2)  # what the test is about: govd has nothing to do for 2 s
        self.assertLess(cpu_ticks() - before, 20)  # of 200

    # ---- where they go

    def placement_of(self, pid):
        return self.ctl_json("explain", str(pid))["placement"]

    def test_service_is_left_where_it_is_unless_the_policy_says_otherwise(self):
        agent = self.sleeper(text="memory: {max: 64M}\n")
        self.start()
        pid, unit = self.serve(agent)
        group = properties(unit, "ControlGroup")["ControlGroup"]
        found = self.placed(pid)
        self.assertTrue(found["observed"])
        self.assertEqual((cgroups_of(pid)[""], self.placement_of(pid)), (group, "none"))
        self.assertIn("placement: scope", self.ctl_json("explain", str(pid))["placement_reason"])
        self.policy("bot", "match: {exe: DIR/bin/bot}\nplacement: scope\n")
        self.ctl("policy", "reload")
        self.assert_placed(pid)
        self.assertEqual(self.placement_of(pid), "scope")
        systemctl("stop", unit)
        wait_until(lambda: not is_alive(pid) and not self.agents(), "it ends with its service", SLOW)

    def test_nested_only_where_systemd_has_delegated(self):
        agent = self.sleeper(text="placement: nested\nmemory: {max: 64M}\n")
        self.start()
        pid, unit = self.serve(agent, "--property=Delegate=yes")
        found = self.placed(pid)
        self.assertFalse(found["observed"])
        group = properties(unit, "ControlGroup")["ControlGroup"]
        self.assertEqual(cgroups_of(pid)[""], f"{group}/govd-bot-{found['id']}")
        systemctl("daemon-reload")
        self.assertEqual(cgroups_of(pid)[""], found["cgroup"])
        systemctl("stop", unit)
        wait_until(lambda: not self.agents(), "it ends with its service", SLOW)
        wait_until(lambda: not os.path.exists(v2_root() + group), "nothing is left of it", SLOW)
        pid, unit = self.serve(agent)
        self.assertTrue(self.placed(pid)["observed"])
        self.assertEqual(cgroups_of(pid)[""], properties(unit, "ControlGroup")["ControlGroup"])
        wait_until(lambda: [i["result"] for i in self.ctl_json("incidents") if i["kind"] == "placed"].count("failed") == 1,
                   "the incident")

    # ---- many, and what goes on around them

    def start_many(self, agent, count, within):
        """Starts count agents with keys of their own, evenly; returns them, the time for that, and when each was placed, in ms."""
        processes, took, begun = [], {}, {}
        is_over = threading.Event()

        def look():
            while not is_over.is_set() or len(took) < len(begun):
                for pid, at in list(begun.items()):
                    if pid not in took and self.is_inside(pid):
                        took[pid] = (time.monotonic() - at) * 1000
                if is_over.is_set() and time.monotonic() > is_over.deadline:
                    return
                time.sleep(0.005)

        thread = threading.Thread(target=look)
        thread.start()
        first = time.monotonic()
        for i in range(count):
            time.sleep(max(0, first + i * within * LAST_AT / count - time.monotonic()))
            at = time.monotonic()
            # spawn() returns at the exec, which waits for the hold.
            processes.append(self.spawn(agent, str(300 + i)))
            begun[processes[-1].pid] = at
        lasted = time.monotonic() - first
        is_over.deadline = time.monotonic() + SLOW
        is_over.set()
        thread.join()
        return processes, lasted, sorted(took.values())

    def assert_all_placed(self, processes):
        wait_until(lambda: len([a for a in self.agents() if a["state"] == "active"]) == len(processes),
                   "all are placed", SLOW)
        agents, described = {a["pid"]: a for a in self.agents()}, {}
        for i, process in enumerate(processes):
            self.assertIsNone(process.poll())
            agent = agents[process.pid]
            self.assertEqual(cgroups_of(process.pid)[""], agent["cgroup"])
            self.assertEqual((agent["policy"], agent["key"]), ("bot", str(300 + i)))
            self.assertEqual(self.unit_of(agent), f"govd-bot-{agent['id']}.scope")
            self.assertEqual(read(v2_root() + agent["cgroup"], "memory.max"), str(64 << 20))
            described[self.unit_of(agent)] = f"loaded active running govd: bot/{300 + i}"
        units = systemctl("list-units", "--plain", "--no-legend", "--full", "--type=scope", "govd-bot-*").splitlines()
        self.assertEqual({unit: " ".join(rest) for unit, *rest in map(str.split, units)}, described)

    def test_many_scopes_are_all_placed_and_named(self):
        agent = self.sleeper(text=KEYED + "memory: {max: 64M}\n")
        self.start()
        processes, lasted, took = self.start_many(agent, SCOPES, SCOPES_WITHIN)
        print(f"{len(took)} scopes in {lasted:.2f} s, {self.words_of(took)}", file=sys.stderr)
        self.assert_all_placed(processes)
        self.assertEqual(len(took), SCOPES)
        self.assertLess(lasted, SCOPES_WITHIN)

    def words_of(self, took):
        return (f"start to placed: median {took[len(took) // 2]:.0f} ms, 95% {took[len(took) * 95 // 100]:.0f} ms, "
                f"most {took[-1]:.0f} ms; holds {self.ctl_json('status')['holds']}")

    def disturb(self, *command, count=20, within=5):
        agent = self.sleeper(text=KEYED + "memory: {max: 64M}\n")
        self.start()
        ended = []
        timer = threading.Timer(within / 2, lambda: ended.append(subprocess.run(command, check=False, timeout=SLOW)))
        timer.start()
        self.addCleanup(timer.join)
        processes, lasted, took = self.start_many(agent, count, within)
        timer.join()
        self.assertEqual([done.returncode for done in ended], [0])
        self.assert_all_placed(processes)
        print(f"{len(took)} scopes in {lasted:.2f} s around {' '.join(command)}, {self.words_of(took)}", file=sys.stderr)
        # And govd still hears of systemd.
        late = self.spawn(agent, "300")
        self.assert_scope(late.pid, self.placed(late.pid))
        self.assert_idle()

    def test_reexec_of_systemd_loses_none(self):
        """In the middle of as many as test_many_scopes_are_all_placed_and_named starts."""
        def image():  # another one with each exec
            with open("/proc/1/auxv", "rb") as file:
                return file.read()

        before = image()
        self.disturb("systemctl", "daemon-reexec", count=SCOPES, within=SCOPES_WITHIN)
        self.assertNotEqual(image(), before)

    def test_reload_of_systemd_loses_none(self):
        self.disturb("systemctl", "daemon-reload")

    def test_restart_of_dbus_loses_none(self):
        self.disturb("systemctl", "restart", "dbus.service")

    def test_without_dbus(self):
        systemctl("stop", "dbus.socket", "dbus.service")
        self.addCleanup(systemctl, "start", "dbus.socket", "dbus.service")
        agent = self.sleeper(text="memory: {max: 64M, on_oom: kill-agent}\n")
        self.start()
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        self.assert_scope(process.pid, found)
        systemctl("daemon-reload")
        self.assert_oom_group(found)
        self.assert_idle()

    def test_killed_govd_finds_all_again(self):
        agent = self.sleeper(text=KEYED + "memory: {max: 64M}\n")
        self.start()
        processes, _, _ = self.start_many(agent, 20, 2)
        self.assert_all_placed(processes)
        before = {a["pid"]: (a["id"], a["cgroup"]) for a in self.agents()}
        self.stop_govd(signal.SIGKILL)
        self.start()
        self.assertEqual({a["pid"]: (a["id"], a["cgroup"]) for a in self.agents()}, before)

    def test_govd_killed_while_it_places(self):
        """Whatever systemd had been asked for: each is one agent, in one scope, in the end."""
        agent = self.sleeper(text="memory: {max: 64M}\n")
        processes = []
        for _ in range(4):
            self.start()
            processes += [self.spawn(agent, "300") for _ in range(3)]
            self.stop_govd(signal.SIGKILL)
        self.start()
        wait_until(lambda: len([a for a in self.agents() if a["state"] == "active"]) == len(processes),
                   "all are placed", SLOW)
        agents = {a["pid"]: a for a in self.agents()}
        for process in processes:
            self.assert_scope(process.pid, agents[process.pid])

    def test_one_that_ends_while_there_is_no_govd_is_told_once(self):
        agent = self.sleeper()
        self.start()
        process = self.spawn(agent, "300")
        found = self.placed(process.pid)
        self.stop_govd(signal.SIGKILL)
        process.kill()
        process.wait()
        wait_until(lambda: not os.path.exists(v2_root() + found["cgroup"]), "systemd has removed the scope", SLOW)
        for _ in range(2):
            self.start()
            self.wait_gone(self.unit_of(found))
            wait_until(lambda: not self.agents(), "nobody is left")
            told = wait_until(lambda: [i for i in self.ctl_json("incidents", "--agent", found["id"]) if i["kind"] == "stopped"],
                              "its end is told")
            self.assertEqual(len(told), 1)
            self.stop_govd()

    # ---- what is said on the bus

    def listen(self, *options):
        """Returns what returns all that has been said on the bus from now on until it is called."""
        with open(self.path("heard"), "wb") as file:
            self.spawn("stdbuf", "-oL", "busctl", "--system", "--json=short", *options, "monitor", stdout=file)
        marks = itertools.count(1)

        def messages():
            with open(self.path("heard"), encoding="ascii") as file:
                return [json.loads(line) for line in file if line.endswith("\n")]

        def heard():
            """systemd doesn't know such a method; that it is called is enough."""
            first = None

            def is_marked():
                nonlocal first
                mark = next(marks)
                first = first or mark
                subprocess.run(["busctl", "--system", "call", "org.freedesktop.systemd1", "/", "org.freedesktop.DBus.Peer",
                                f"Mark{mark}"], check=False, stderr=subprocess.DEVNULL, timeout=SLOW)
                return any(int(m["member"][4:]) >= first for m in messages() if m.get("member", "").startswith("Mark"))

            wait_until(is_marked, "the monitor hears it", SLOW)
            return messages()

        heard()
        return heard

    def names(self):
        """govd's connections."""
        lines = subprocess.run(["busctl", "--system", "--unique", "--no-legend", "list"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.splitlines()
        names = [line.split()[0] for line in lines if line.split()[1] == str(self.govd.pid)]
        self.assertTrue(names)
        return names

    def test_systemd_is_asked_once_however_long_it_takes(self):
        agent = self.sleeper(text=KEYED + "memory: {max: 64M}\n")
        self.start()
        processes, _, _ = self.start_many(agent, 2 * CALLS_MAX, 4)
        self.assert_all_placed(processes)
        found, names, heard = self.agents(), self.names(), self.listen()
        self.policy("bot", f"match: {{exe: DIR/bin/bot}}\n{KEYED}memory: {{max: 96M}}\n")
        bus = int(properties("dbus.service", "MainPID")["MainPID"])
        os.kill(bus, signal.SIGSTOP)
        try:
            self.ctl("policy", "reload")
            time.sleep(2.5)  # what the test is about: a second copy would be sent after 1 s
        finally:
            os.kill(bus, signal.SIGCONT)
        wait_until(lambda: all(read(v2_root() + a["cgroup"], "memory.max") == str(96 << 20) for a in found), "all have it", SLOW)
        asked, unanswered, most = [], set(), 0
        for message in heard():
            if message["sender"] in names and message.get("member") == "SetUnitProperties":
                asked.append(message["payload"]["data"][0])
                unanswered.add(message["cookie"])
            elif message.get("destination") in names:
                unanswered.discard(message.get("reply_cookie"))
            most = max(most, len(unanswered))
        self.assertEqual(sorted(asked), sorted(self.unit_of(a) for a in found))
        self.assertLessEqual(most, CALLS_MAX)

    def test_what_others_say_in_systemds_name_is_nothing(self):
        """After each reload of systemd's govd asks it for an answer, before it writes memory.oom.group again."""
        agent = self.sleeper(text="memory: {max: 64M, on_oom: kill-agent}\n")
        self.start()
        found = self.placed(self.spawn(agent, "300").pid)
        names = self.names()
        heard = self.listen("--match=interface='org.freedesktop.DBus.Peer'")

        def asked():
            return sum(m["sender"] in names and m["member"] == "Ping" for m in heard())

        with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "forge.py"), encoding="ascii") as file:
            forger = self.spawn(*NOBODY, "python3", "-", str(FORGED), self.unit_of(found), *names, stdin=file)
        while forger.poll() is None:
            self.ctl("status")
        self.assertEqual(forger.returncode, 0)
        # systemd's own come after the forged ones, from it and, after it has got another connection, from it still.
        for count, word in enumerate(("daemon-reload", "daemon-reexec"), 1):
            systemctl(word)
            wait_until(lambda count=count: asked() >= count, "govd has heard it", SLOW)
            self.assertEqual(asked(), count)
            self.assert_oom_group(found)

    # ---- scopes that come late

    def scope_unseen(self, *command, ends=False, **keywords):
        """A process, and the scope that systemd has made for it while govd was stopped, which it still is."""
        bus = int(properties("dbus.service", "MainPID")["MainPID"])
        os.kill(bus, signal.SIGSTOP)
        try:
            process = self.spawn(*command, **keywords)
            (unit,) = wait_until(lambda: os.listdir(self.path("run", "placing")), "systemd is asked")
            if ends:
                process.kill()
            os.kill(self.govd.pid, signal.SIGSTOP)
        finally:
            os.kill(bus, signal.SIGCONT)
        wait_until(lambda: properties(unit, "ActiveState")["ActiveState"] == "active", "systemd has made it", SLOW)
        return process, unit

    def kill_stopped_govd(self):
        self.govd.kill()
        self.govd.wait(20)
        self.govd = None

    def wait_gone(self, unit):
        wait_until(lambda: properties(unit, "LoadState")["LoadState"] == "not-found", f"{unit} has gone", SLOW)
        wait_until(lambda: not os.listdir(self.path("run", "placing")) + os.listdir(self.path("run", "scopes")), "so has its file")

    def test_scope_that_a_killed_govd_has_asked_for_is_its_agents(self):
        script = self.script("family.sh", "#!/bin/sh\nread -r line\nsleep 300 &\nwait\n")
        self.policy("bot", "match: {script: DIR/family.sh}\nmemory: {max: 64M}\n")
        self.start()
        root, unit = self.scope_unseen("/bin/sh", script, stdin=subprocess.PIPE)
        self.addCleanup(root.stdin.close)
        self.kill_stopped_govd()
        self.assertEqual(os.path.basename(cgroups_of(root.pid)[""]), unit)
        root.stdin.write(b"\n")
        root.stdin.flush()
        (tool,) = wait_until(lambda: children_of(root.pid), "the tool")
        root.kill()
        root.wait()
        self.start()
        (found,) = self.agents()
        self.assertEqual((self.unit_of(found), found["pid"], found["tasks"]), (unit, root.pid, 1), found)
        self.ctl("kill", found["id"])
        wait_until(lambda: not is_alive(tool), "the tool has ended")
        self.wait_gone(unit)

    def test_scope_of_one_that_has_ended_is_not_left(self):
        """What hasn't been waited for is a process to systemd, and yet nobody comes into the scope, or out of it."""
        agent = self.sleeper()
        self.start()
        for number in (signal.SIGCONT, signal.SIGKILL):
            with self.subTest(number):
                _, unit = self.scope_unseen(agent, "300", ends=True)
                group = v2_root() + properties(unit, "ControlGroup")["ControlGroup"]
                self.assertEqual(read(group, "cgroup.procs"), "")
                if number == signal.SIGKILL:
                    self.kill_stopped_govd()
                    self.start()
                else:
                    self.govd.send_signal(number)
                self.wait_gone(unit)
                wait_until(lambda: not self.agents(), "nobody is left")

    def test_one_that_comes_while_the_slice_is_stopped_is_placed_after_it(self):
        stays = self.script("stays.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n")
        self.policy("stays", "match: {script: DIR/stays.sh}\n")
        agent = self.sleeper()
        self.start()
        first = self.spawn("/bin/sh", stays)
        self.placed(first.pid)
        systemctl("stop", "--no-block", self.slice)
        wait_until(lambda: "stop" in systemctl("list-jobs", "--plain", "--no-legend", self.slice), "it is to be stopped", SLOW)
        second = self.spawn(agent, "300")
        # It runs by now, as systemd doesn't start anything in there.
        self.assertFalse(self.is_inside(second.pid))
        first.kill()
        self.assert_scope(second.pid, self.placed(second.pid))


if __name__ == "__main__":
    unittest.main()
