#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package, from its installation to its purge, with the unit as it is shipped. Runs in a guest: it installs govd."""

import glob
import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import cgroups_of, is_alive, v2_root, wait_until  # noqa: E402
from packaged import install, purge, run  # noqa: E402

EXPOSURE_MAX = 3.0
SLOW = 60  # seconds; packages and restarts of units
WATCHDOG = 30 + SLOW  # WatchdogSec= of the unit
KILLS = 6  # more than a unit may die by default
# What a filesystem sandbox could hide, each closed in another way.
PLACES = [f"{top}/govtest-{os.getpid()}" for top in ("/opt", "/home", "/tmp", "/mnt")]
POLICY = f"""match: {{exe: [{", ".join(f'{place}/agent' for place in PLACES)}]}}
mode: enforce
placement: scope
memory: {{max: 64M}}
connect: {{rate: 5/min, burst: 5}}
"""
# As the preset for claude expects it, and one that tells in which group its first command runs.
OBSERVED = ("-c", "sleep 1000; :", "x", "--input-format", "stream-json")
GOVERNED = ("-c", 'read -r group </proc/self/cgroup; echo "$group" >"$0"; exec sleep 1000')
CONNECTS = ("-c", "for i in 1 2 3 4 5 6; do exec 3<>/dev/tcp/127.0.0.1/$0; done; exec sleep 1000")


def ctl(*words):
    return json.loads(run("govctl", "--json=short", *words))


def show(unit, name):
    return run("systemctl", "show", "--value", f"--property={name}", unit)


def log_of(unit):
    return run("journalctl", "--quiet", "--boot", f"--unit={unit}", "--output=cat")


def agent_of(pid):
    return wait_until(lambda: next((a for a in ctl("list") if a["pid"] == pid and a["state"] not in ("starting", "held")),
                                   None), f"an agent of pid {pid}", SLOW)


def wait_long(condition, what, deadline):
    """As wait_until, asking less often: a guest that sleeps skips the time."""
    end = time.monotonic() + deadline
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        time.sleep(2)


def pins():
    """The inode of each: those of a pin that another has replaced differ."""
    return {entry.name: entry.inode() for entry in os.scandir(glob.glob("/sys/fs/bpf/govd/agents/v*")[0])}


class PackageTest(unittest.TestCase):
    def setUp(self):
        self.assertTrue(os.path.isdir("/run/systemd/system"), "systemd isn't PID 1")
        for place in PLACES:
            os.mkdir(place)
            os.chmod(place, 0o777)
            self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        self.units = []
        self.addCleanup(self.finish)

    def finish(self):
        for unit in self.units:
            run("systemctl", "stop", unit, code=None)
        if shutil.which("govd"):
            purge(code=None)

    def start_agent(self, place, name, *words, properties=()):
        """As a service of its own."""
        program = os.path.join(place, name)
        if not os.path.exists(program):
            shutil.copy("/bin/bash", program)
        unit = f"govtest-{len(self.units)}-{os.getpid()}.service"
        run("systemd-run", "--quiet", f"--unit={unit}", *(f"--property={p}" for p in properties), program, *words)
        self.units.append(unit)
        return int(show(unit, "MainPID")), unit

    def install(self):
        install()
        self.files = [path for path in run("dpkg", "-L", "govd").splitlines() if not os.path.isdir(path)]
        self.assertEqual(run("systemctl", "is-enabled", "govd", code=1), "disabled")
        self.assertEqual(run("systemctl", "is-active", "govd", code=3), "inactive")
        run("systemctl", "enable", "--now", "govd")

    def observe(self):
        """The presets of the package see, explain, and touch nothing."""
        pid, unit = self.start_agent(PLACES[0], "claude", *OBSERVED)
        found = agent_of(pid)
        self.assertEqual((found["policy"], found["observed"]), ("claude-agent-sdk", True))
        self.assertEqual(cgroups_of(pid)[""], show(unit, "ControlGroup"))
        explained = ctl("explain", str(pid))
        self.assertEqual((explained["policy"], explained["agent"]), ("claude-agent-sdk", found["id"]))
        wait_until(lambda: "would-place" in [i["action"] for i in ctl("incidents", "--agent", found["id"])],
                   "what it would do is recorded", SLOW)

    def write_policy(self):
        with open("/etc/govd/policies/packaged.yaml", "w", encoding="utf-8") as file:
            file.write(POLICY)
        run("systemctl", "reload", "govd")

    def govern(self, place, **keywords):
        """No instruction of it runs outside of its group, wherever its file lies."""
        first = os.path.join(place, f"first-{len(self.units)}")
        pid, _ = self.start_agent(place, "agent", *GOVERNED, first, **keywords)
        found = agent_of(pid)
        wait_until(lambda: os.path.exists(first) and os.path.getsize(first), f"{place}: it runs", SLOW)
        with open(first, encoding="ascii") as file:
            self.assertEqual(file.read(), f"0::{found['cgroup']}\n", f"{place}: it began elsewhere")
        self.assert_governed(pid, found)
        return pid, found

    def assert_governed(self, pid, found):
        self.assertTrue(is_alive(pid))
        self.assertTrue(found["cgroup"].startswith("/agents.slice/"), found)
        self.assertEqual(cgroups_of(pid)[""], found["cgroup"])
        with open(v2_root() + found["cgroup"] + "/memory.max", encoding="ascii") as file:
            self.assertEqual(int(file.read()), 64 << 20)

    def govern_everywhere(self):
        run("mount", "-t", "tmpfs", "govtest", PLACES[-1])
        self.addCleanup(run, "umount", PLACES[-1], code=None)
        self.write_policy()
        agents = [self.govern(place) for place in PLACES]
        pid, found = self.govern(PLACES[0], properties=("User=nobody",))
        self.assertEqual(os.stat(f"/proc/{pid}").st_uid, pwd.getpwnam("nobody").pw_uid)
        run("govctl", "stop", found["id"])
        wait_until(lambda: not is_alive(pid), "an agent of another user ends", SLOW)
        return agents

    def pace(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            pid, _ = self.start_agent(PLACES[0], "agent", *CONNECTS, str(server.getsockname()[1]))
            wait_until(lambda: agent_of(pid).get("delayed"), "the sixth connect is delayed", SLOW)
            run("govctl", "kill", agent_of(pid)["id"])

    def assert_unit(self):
        """All that the unit forbids is nothing that govd wants."""
        self.assertEqual(run("systemctl", "is-active", "govd"), "active")
        log = log_of("govd")
        self.assertIn("ready", log)
        self.assertNotRegex(log, "can't|isn't told|not permitted|neither paced")
        status = ctl("status")
        self.assertEqual((status["backend"], status["actions"]["failed"]), ("systemd", 0))
        self.assertEqual(os.stat("/var/lib/govd/incidents.db").st_gid, grp.getgrnam("govd").gr_gid)
        score = run("systemd-analyze", "security", "--no-pager", "govd.service")
        score = float(re.search(r"Overall exposure level for govd.service: ([0-9.]+)", score).group(1))
        self.assertLess(score, EXPOSURE_MAX)

    def reload(self):
        """A bad file is told by systemctl, and takes nothing down."""
        with open("/etc/govd/policies/bad.yaml", "w", encoding="utf-8") as file:
            file.write("match: {exe: /x}\nmemory: {max: lots}\n")
        run("systemctl", "reload", "govd", code=1)
        self.assertIn("packaged", [p["name"] for p in ctl("policy", "list") if p["state"] == "loaded"])
        os.unlink("/etc/govd/policies/bad.yaml")
        run("systemctl", "reload", "govd")
        before = log_of("govd").count("policies in force")
        run("systemctl", "kill", "--signal=HUP", "--kill-whom=main", "govd")
        wait_long(lambda: log_of("govd").count("policies in force") > before, "SIGHUP reads the policies", SLOW)
        self.assertEqual(run("systemctl", "is-active", "govd"), "active")

    def assert_all_are_there(self, agents):
        for pid, found in agents:
            self.assertEqual(agent_of(pid)["id"], found["id"])
            self.assert_governed(pid, found)

    def restarted(self, number, deadline):
        wait_long(lambda: (show("govd", "NRestarts"), show("govd", "ActiveState")) == (str(number), "active"),
                  "it runs again", deadline)

    def break_it(self, agents):
        """What it was killed for, systemd starts it again, and agents and what paces them are as they were."""
        # By default it is 5 starts in 10 s, which a slow guest doesn't get to.
        os.makedirs("/run/systemd/system.conf.d", exist_ok=True)
        with open("/run/systemd/system.conf.d/govtest.conf", "w", encoding="ascii") as file:
            file.write("[Manager]\nDefaultStartLimitIntervalSec=1h\n")
        self.addCleanup(os.unlink, file.name)
        run("systemctl", "daemon-reload")
        before = pins()
        self.assertIn("gov_connect_agents", before)
        for number in range(1, KILLS + 1):
            run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "govd")
            self.restarted(number, SLOW)
        self.assert_all_are_there(agents)
        self.assertEqual({n: i for n, i in pins().items() if n.startswith("gov_")},
                         {n: i for n, i in before.items() if n.startswith("gov_")})
        pinged = show("govd", "WatchdogTimestampMonotonic")
        wait_long(lambda: show("govd", "WatchdogTimestampMonotonic") != pinged, "the watchdog is pinged", WATCHDOG)
        os.kill(int(show("govd", "MainPID")), signal.SIGSTOP)
        self.restarted(KILLS + 1, WATCHDOG)
        self.assert_all_are_there(agents)

    def stop_and_start(self, agents):
        run("systemctl", "stop", "govd")
        self.assertEqual(run("pgrep", "^govd", code=1), "")
        for pid, found in agents:
            self.assert_governed(pid, found)
        run("systemctl", "start", "govd")
        self.assert_all_are_there(agents)

    def purge(self, agents):
        purge()
        for pid, _ in agents:
            self.assertTrue(is_alive(pid))
            self.assertNotIn("agents.slice", cgroups_of(pid)[""])
        self.assertEqual([path for path in self.files if os.path.lexists(path)], [])
        for path in ("/etc/govd", "/run/govd", "/var/lib/govd", "/var/log/govd", "/sys/fs/bpf/govd",
                     v2_root() + "/agents.slice", "/etc/systemd/system/multi-user.target.wants/govd.service",
                     "/etc/systemd/system/dbus-org.govd1.service"):
            self.assertFalse(os.path.lexists(path), path)
        self.assertNotIn("govd", [group.gr_name for group in grp.getgrall()])
        self.assertNotIn("govd", [user.pw_name for user in pwd.getpwall()])
        self.assertEqual(show("govd.service", "LoadState"), "not-found")
        self.assertEqual(run("pgrep", "^govd", code=1), "")

    def test_from_installation_to_purge(self):
        self.install()
        self.observe()
        agents = self.govern_everywhere()
        self.pace()
        self.assert_unit()
        self.reload()
        self.break_it(agents)
        self.stop_and_start(agents)
        run("systemctl", "stop", "govd")
        self.purge(agents)

    def test_purge_while_it_governs(self):
        self.install()
        self.write_policy()
        agent = self.govern(PLACES[0])
        self.purge([agent])


if __name__ == "__main__":
    unittest.main()
