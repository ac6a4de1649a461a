#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd on the system bus, as its package installs it. Runs in a guest: it restarts dbus, and writes rules of polkit's."""

import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import is_alive, wait_until  # noqa: E402
from packaged import install, purge, run  # noqa: E402

SLOW = 60  # seconds; of units and of dbus in a guest without KVM
PLACE = "/opt/govtest-bus"
POLICY = f"match: {{exe: {PLACE}/agent}}\nmemory: {{max: 64M}}\nallow: {{users: [nobody]}}\n"
OTHER = f"match: {{exe: {PLACE}/other}}\n"
RULE = """polkit.addRule(function(action, subject) {
    if (action.id == "org.govd1.act" && action.lookup("method") == "Command" && subject.user == "nobody")
        return polkit.Result.YES;
});
"""
RULES = "/etc/polkit-1/rules.d/10-govtest.rules"
NOBODY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
MEMBER = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=govd")
NAME = "org.govd1"


def call(*words, user=(), code=0):
    """A method of govd's: its answer or, with another code, what busctl says about the error."""
    return run(*user, "busctl", "--system", "--timeout=30", "call", NAME, "/org/govd1", "org.govd1.Manager", *words, code=code)


def is_on_bus():
    return run("busctl", "--system", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
               "NameHasOwner", "s", NAME, code=None) == "b true"


def incidents(*words):
    return json.loads(run("govctl", "--json=short", "incidents", *words))


def refusals():
    return sum(incident["kind"] == "refused" for incident in incidents())


def pid_of_govd():
    return run("systemctl", "show", "--value", "--property=MainPID", "govd")


class BusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(purge, code=None)
        install()
        os.makedirs(PLACE, exist_ok=True)
        cls.addClassCleanup(shutil.rmtree, PLACE, ignore_errors=True)
        for name, text in (("agent", POLICY), ("other", OTHER)):
            shutil.copy("/bin/sleep", os.path.join(PLACE, name))
            with open(f"/etc/govd/policies/{name}.yaml", "w", encoding="ascii") as file:
                file.write(text)

    def setUp(self):
        run("systemctl", "enable", "--now", "govd")
        wait_until(is_on_bus, "govd has its name", SLOW)

    def agent(self, name="agent"):
        """Its process, which its own policy's `allow` covers or not, and its id."""
        process = subprocess.Popen([os.path.join(PLACE, name), "300"], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def found():
            agents = call("ListAgents", "s", name).split('"id" s "')[1:]
            return next((agent for agent in agents if f'"pid" x {process.pid} ' in agent and '"state" s "active"' in agent), None)

        return process, wait_until(found, f"{name} is placed", SLOW).split('"')[0]

    def test_root_may_do_all(self):
        process, agent = self.agent()
        self.assertIn('"system_bus" b true', call("Status"))
        self.assertEqual(call("Command", "ss", "freeze", agent), f's "{agent}"')
        self.assertEqual(call("Command", "ss", "thaw", agent), f's "{agent}"')
        call("Command", "ss", "kill", agent)
        process.wait(SLOW)

    def test_a_member_of_the_group_looks(self):
        process, agent = self.agent("other")
        self.assertIn(agent, call("ListAgents", "s", "", user=MEMBER))
        self.assertIn("aa{sv}", call("Subscribe", "b", "false", user=MEMBER))
        self.assertIn("for root only", call("Command", "ss", "kill", agent, user=MEMBER, code=1))
        self.assertIn("for root only", call("Reload", user=MEMBER, code=1))
        self.assertIsNone(process.poll())

    def test_who_is_allowed_prolongs_and_runs_under_that_policy(self):
        _, agent = self.agent()
        _, other = self.agent("other")
        self.assertEqual(call("Touch", "s", agent, user=NOBODY), f's "{agent}"')
        self.assertEqual(call("Lease", "st", agent, "60000", user=NOBODY), f's "{agent}"')
        # It's busctl that becomes one, and ends.
        answer = call("Run", "ssbsas", "agent", "mine", "false", f"{PLACE}/agent", "1", "agent", user=NOBODY)
        self.assertRegex(answer, r'^sb "[0-9a-z]+" false$')
        for words in (("Touch", "s", other), ("Command", "ss", "kill", agent), ("Status",), ("Reload",)):
            self.assertIn("only", call(*words, user=NOBODY, code=1), words)

    def test_nobody_else_gets_anything(self):
        user = ("setpriv", "--reuid=daemon", "--regid=nogroup", "--clear-groups")
        _, agent = self.agent()
        before = refusals()
        for words in (("Status",), ("ListAgents", "s", ""), ("Touch", "s", agent), ("Adopt", "us", "1", ""), ("Reload",)):
            self.assertIn("only", call(*words, user=user, code=1), words)
        # Strangers fill no history.
        self.assertEqual(refusals(), before)

    def test_nobody_takes_the_name(self):
        run("systemctl", "stop", "govd")
        self.assertNotEqual(run(*NOBODY, "busctl", "--system", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                "org.freedesktop.DBus", "RequestName", "su", NAME, "0", code=1), "u 1")

    def test_a_call_starts_it_where_it_is_enabled(self):
        run("systemctl", "stop", "govd")
        self.assertFalse(is_on_bus())
        self.assertIn('"version"', call("Status"))
        self.assertEqual(run("systemctl", "is-active", "govd"), "active")
        run("systemctl", "disable", "--now", "govd")
        call("Status", code=1)
        self.assertEqual(run("systemctl", "is-active", "govd", code=3), "inactive")

    def test_a_restart_of_dbus_is_not_felt(self):
        process, agent = self.agent()
        pid = pid_of_govd()
        for _ in range(2):
            run("systemctl", "restart", "dbus.service")
            # By its own socket it answers all the time.
            self.assertIn(agent, run("govctl", "--json=short", "list"))
            wait_until(is_on_bus, "it is back on the bus", SLOW)
            self.assertIn(agent, call("ListAgents", "s", ""))
        run("systemctl", "stop", "dbus.socket", "dbus.service")
        self.addCleanup(run, "systemctl", "start", "dbus.socket", "dbus.service")
        self.assertIn(agent, run("govctl", "--json=short", "list"))
        run("systemctl", "start", "dbus.socket", "dbus.service")
        wait_until(is_on_bus, "it is back on the bus", SLOW)
        self.assertEqual(pid_of_govd(), pid)
        self.assertTrue(is_alive(process.pid))

    def test_a_rule_of_polkit_grants(self):
        process, agent = self.agent("other")
        self.assertIn("for root only", call("Command", "ss", "freeze", agent, user=NOBODY, code=1))
        with open(RULES, "w", encoding="ascii") as file:
            file.write(RULE)
        self.addCleanup(os.unlink, RULES)
        run("systemctl", "restart", "polkit")
        self.assertEqual(call("Command", "ss", "freeze", agent, user=NOBODY), f's "{agent}"')
        self.assertEqual(call("Command", "ss", "thaw", agent, user=NOBODY), f's "{agent}"')
        self.assertIn("for root only", call("Reload", user=NOBODY, code=1))
        call("Command", "ss", "kill", agent, user=NOBODY)
        process.wait(SLOW)
        wait_until(lambda: "nobody" in [incident["by"] for incident in incidents("--agent", agent)], "told is who has asked", SLOW)

    def test_the_package_brings_what_the_bus_wants(self):
        for path in ("dbus-1/system.d/org.govd1.conf", "dbus-1/system-services/org.govd1.service",
                     "polkit-1/actions/org.govd1.policy"):
            self.assertTrue(os.path.isfile(f"/usr/share/{path}"), path)
        self.assertIn("govd is on it as org.govd1", run("govctl", "doctor", code=None))


if __name__ == "__main__":
    unittest.main()
