#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd's native backend where systemd is PID 1 and owns a pure v2 tree. Runs in a guest: it starts units of systemd's."""

import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import BUILD, GovdTest, cgroups_of, is_alive, v2_root, wait_until  # noqa: E402

BURNS = "#!/bin/sh\nwhile :; do :; done\n"
LIMITED = ("match: {script: DIR/burns.sh}\nmemory: {max: 64M}\ntasks: {max: 32}\ncpu: {max: 10%}\n")


def read(*names):
    with open(os.path.join(*names), encoding="ascii") as file:
        return file.read().strip()


def systemctl(*words):
    return subprocess.run(["systemctl", *words], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


class SystemdTest(GovdTest):
    def setUp(self):
        super().setUp()
        self.assertTrue(os.path.isdir("/run/systemd/system"), "systemd isn't PID 1")
        self.unit = f"govtest-{os.getpid()}.service"

    def start_unit(self, *properties):
        """govd as a service; it is told by its unit's name, as it isn't our child."""
        command = [os.path.join(BUILD, "govd"), "--backend", "native", "--policy-dir", self.path("policies"), "--runtime-dir", self.path("run"),
                   "--state-dir", self.path("state"), "--slice", self.slice]
        options = [f"--property={p}" for p in ("Type=notify", f"StandardError=append:{self.path('log')}", *properties)]
        subprocess.run(["systemd-run", "--quiet", f"--unit={self.unit}", *options, *command], check=True)
        self.addCleanup(self.stop_unit)

    def stop_unit(self):
        if os.path.exists(self.path("run", "govd.sock")) and self.ctl("list", check=False).returncode == 0:
            for agent in self.agents():
                self.ctl("kill", agent["id"], check=False)
            wait_until(lambda: not self.agents(), "all agents end")
        subprocess.run(["systemctl", "stop", self.unit], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["systemctl", "reset-failed", self.unit], check=False, stderr=subprocess.DEVNULL)

    def start_burner(self):
        self.policy("burner", LIMITED)
        process = self.spawn("/bin/sh", self.script("burns.sh", BURNS))
        return process, self.agent_of(process.pid)

    def assert_limits(self, found, cpu):
        group = v2_root() + found["cgroup"]
        self.assertEqual(read(group, "memory.max"), str(64 << 20))
        self.assertEqual(read(group, "pids.max"), "32")
        self.assertEqual(read(group, "cgroup.type"), "domain")
        if cpu:
            self.assertEqual(read(group, "cpu.max"), "10000 100000")

    def assert_unit_untouched(self):
        """systemd's own groups are as systemd made them."""
        group = v2_root() + systemctl("show", "--value", "--property=ControlGroup", self.unit)
        self.assertEqual(read(group, "cgroup.subtree_control"), "")
        self.assertEqual(read(group, "cgroup.type"), "domain")
        self.assertEqual([entry for entry in os.listdir(group) if os.path.isdir(os.path.join(group, entry))], [])

    def throttled(self, found):
        words = read(v2_root() + found["cgroup"], "cpu.stat").split()
        return int(words[words.index("nr_throttled") + 1])

    def test_service_with_nothing_delegated_limits_memory_and_tasks(self):
        self.policy("burner", LIMITED)
        self.start_unit()
        _, found = self.start_burner()
        self.assert_limits(found, cpu=False)
        self.assert_unit_untouched()
        if not os.path.exists(v2_root() + found["cgroup"] + "/cpu.max"):
            self.assertIn("cpu", self.log_text())

    def test_service_with_delegation_limits_all(self):
        self.policy("burner", LIMITED)
        self.start_unit("Delegate=yes")
        _, found = self.start_burner()
        self.assert_limits(found, cpu=True)
        self.assert_unit_untouched()
        wait_until(lambda: self.throttled(found) > 0, "the burner is throttled")

    def test_restart_of_the_service_leaves_agents_and_limits(self):
        self.policy("burner", LIMITED)
        self.start_unit("Delegate=yes")
        process, before = self.start_burner()
        systemctl("restart", self.unit)
        self.assertIsNone(process.poll())
        self.assertEqual(self.agent_of(process.pid)["id"], before["id"])
        self.assert_limits(before, cpu=True)

    def test_restart_finds_agents_when_systemd_passes_on_more_than_before(self):
        """A login, for example, has systemd switch cpu on at the top and in user.slice, but not in system.slice."""
        self.policy("burner", LIMITED)
        self.start_unit()
        process, before = self.start_burner()
        login = f"govtest-login-{os.getpid()}.service"
        subprocess.run(["systemd-run", "--quiet", f"--unit={login}", "--slice=user.slice", "--property=CPUWeight=50",
                        "sleep", "300"], check=True)
        self.addCleanup(systemctl, "stop", login)
        self.assertIn("cpu", read(v2_root(), "cgroup.subtree_control"))
        self.assertNotIn("cpu", read(v2_root(), "system.slice", "cgroup.subtree_control"))
        systemctl("restart", self.unit)
        self.assertIsNone(process.poll())
        self.assertEqual(self.agent_of(process.pid)["id"], before["id"])

    def test_limits_stay_when_the_unit_has_gone_and_systemd_reloads(self):
        self.policy("burner", LIMITED)
        self.start_unit("Delegate=yes")
        process, found = self.start_burner()
        systemctl("stop", self.unit)
        systemctl("daemon-reload")
        # systemd computes the controllers of system.slice again when one of its units comes or goes.
        subprocess.run(["systemd-run", "--quiet", "--wait", "true"], check=True)
        self.assertEqual(cgroups_of(process.pid)[""], found["cgroup"])
        self.assert_limits(found, cpu=True)
        throttled = self.throttled(found)
        wait_until(lambda: self.throttled(found) > throttled, "the burner is throttled still")
        self.start("--backend", "native")
        self.assertEqual(self.agent_of(process.pid)["id"], found["id"])

    def test_killed_service_is_started_again_by_systemd(self):
        self.policy("burner", LIMITED)
        self.start_unit("Restart=always", "RestartSec=100ms")
        process, before = self.start_burner()
        pid = int(systemctl("show", "--value", "--property=MainPID", self.unit))
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: systemctl("show", "--value", "--property=MainPID", self.unit) not in ("0", str(pid)) and
                   self.ctl("list", check=False).returncode == 0, "govd runs again")
        self.assertIsNone(process.poll())
        self.assertEqual(self.agent_of(process.pid)["id"], before["id"])

    def test_agent_in_a_unit_of_its_own_ends_with_it(self):
        """What systemd started stays systemd's: it sees its end and can stop it."""
        self.policy("served", "match: {exe: DIR/bin/agent}\nplacement: scope\nmemory: {max: 64M}\n")
        self.start_unit()
        agent, unit = self.copy("sleep", "agent"), f"govtest-agent-{os.getpid()}.service"
        subprocess.run(["systemd-run", "--quiet", f"--unit={unit}", agent, "300"], check=True)
        pid = int(systemctl("show", "--value", "--property=MainPID", unit))
        self.assert_placed(pid, self.agent_of(pid))
        self.assertEqual(systemctl("show", "--value", "--property=ActiveState", unit), "active")
        systemctl("stop", unit)
        wait_until(lambda: not is_alive(pid), "the agent ends")
        wait_until(lambda: not self.agents(), "govd knows")

    def test_shell_of_a_user_slice(self):
        """As from a login: systemd passes nothing on in user.slice unless a unit there asks for it."""
        self.policy("burner", LIMITED)
        self.start_unit("Slice=user.slice")
        _, found = self.start_burner()
        self.assert_limits(found, cpu=False)


if __name__ == "__main__":
    unittest.main()
