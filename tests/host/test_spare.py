#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whom govd must not end, although they look much like whom it ends, or come at the wrong moment."""

import ctypes
import errno
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

from harness import GovdTest, cgroups_of, children_of, is_alive, wait_until

LIBC = ctypes.CDLL(None, use_errno=True)
# linux/prctl.h, linux/seccomp.h, linux/filter.h; pidfd_open has this number on all processors.
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NR_PIDFD_OPEN = 22, 2, 434
FILTER = (struct.pack("=HBBI", 0x20, 0, 0, 0)                  # load the number of the call
          + struct.pack("=HBBI", 0x15, 0, 1, NR_PIDFD_OPEN)    # is it that one?
          + struct.pack("=HBBI", 0x06, 0, 0, 0x00050000 | errno.EMFILE)
          + struct.pack("=HBBI", 0x06, 0, 0, 0x7fff0000))
# Starts its arguments, tells their pid, and waits for the end of its input.
STARTER = """import subprocess, sys
print(subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL).pid, flush=True)
sys.stdin.readline()
"""
# Starts its arguments again whenever they end.
SUPERVISOR = """import os, subprocess, sys
while os.path.exists(sys.argv[1]):
    subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL)
"""
# Stops its argument as a debugger does (ptrace(2): PTRACE_SEIZE, PTRACE_INTERRUPT), and waits for the end of its input.
DEBUGGER = """import ctypes, os, sys
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long] * 4
pid = int(sys.argv[1])
if ptrace(0x4206, pid, 0, 0) or ptrace(0x4207, pid, 0, 0):
    sys.exit(os.strerror(ctypes.get_errno()))
os.waitpid(pid, 0x40000000)
print("attached", flush=True)
sys.stdin.readline()
"""
# Has a tool that heeds no signal but SIGKILL.
STUBBORN = """#!/bin/sh
trap '' TERM
sleep 300 &
trap - TERM
wait
"""


def without_pidfds():
    """In the child: it is short of descriptors whenever it wants one of a process."""
    buffer = ctypes.create_string_buffer(FILTER)
    program = ctypes.create_string_buffer(struct.pack("@HP", len(FILTER) // 8, ctypes.addressof(buffer)))
    if LIBC.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")


class SpareTest(GovdTest):
    def begin(self, rules="", key=""):
        self.agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n" + key + "stop: {grace: 1s}\n" + rules)
        self.start()

    def incidents(self, kind):
        return self.ctl_json("incidents", "--kind", kind)

    def piped(self, *command):
        """A program of this file, which ends with its input, and what it says first."""
        process = self.spawn(sys.executable, "-c", *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process, process.stdout.readline().decode().strip()

    # ---- strangers

    def strangers(self):
        """Those that look like the agent, each in another way."""
        elsewhere = self.path("elsewhere")
        os.mkdir(elsewhere)
        other = shutil.copy(self.agent, os.path.join(elsewhere, "agent"))
        linked = os.path.join(elsewhere, "linked")
        os.symlink(shutil.which("sleep"), linked)
        named = "open('/proc/self/comm', 'w').write('agent'); import time; time.sleep(300)"
        return {
            "a copy elsewhere": self.spawn(other, "300"),
            "the same arguments": self.spawn("sleep", "300", executable=linked),
            "its path as argv[0]": subprocess.Popen([self.agent, "300"], executable=shutil.which("sleep")),
            "its name": self.spawn(sys.executable, "-c", named),
            "names it": self.spawn(sys.executable, "-c", "import time; time.sleep(300)", self.agent, "300"),
            "looks like a compositor": subprocess.Popen(["wlheadless --socket=agent", "300"],
                                                        executable=shutil.which("sleep")),
        }

    def test_strangers_that_look_like_the_agent(self):
        self.begin("lifecycle: {max_runtime: 2s, orphan: 1s, per_key: 1}\n")
        strangers = self.strangers()
        self.started += strangers.values()
        before = {name: cgroups_of(process.pid) for name, process in strangers.items()}
        for way in ("drain", "stop", "kill", "law"):
            agent = self.spawn(self.agent, "300")
            found = self.agent_of(agent.pid)
            if way == "drain":
                self.ctl("drain")
            elif way != "law":
                self.ctl(way, found["id"])
            self.assertLess(agent.wait(20), 0)
        self.ctl("policy", "reload")
        wait_until(lambda: not self.agents(), "nobody is left")
        for name, process in strangers.items():
            self.assertIsNone(process.poll(), name)
            self.assertEqual(cgroups_of(process.pid), before[name], name)
            self.assertIsNone(self.ctl_json("policy", "test", str(process.pid))["policy"], name)

    # ---- replacements

    def test_replacement_that_is_started_while_the_old_one_is_stopped(self):
        """The supervisor sees the root's end at once; what that leaves is killed five seconds later."""
        script = self.script("stubborn.sh", STUBBORN)
        self.policy("bot", "match: {script: DIR/stubborn.sh}\nstop: {grace: 5s}\n")
        self.start()
        supervisor = self.spawn(sys.executable, "-c", SUPERVISOR, script)
        self.addCleanup(supervisor.kill)
        old = wait_until(lambda: [a for a in self.agents() if a["state"] == "active"], "the first")[0]
        tool = wait_until(lambda: children_of(old["pid"]), "its tool")[0]
        self.ctl("stop", old["id"])
        new = wait_until(lambda: [a for a in self.agents() if a["state"] == "active"], "the replacement")[0]
        self.assertTrue(is_alive(tool), "in its grace")
        self.assertNotEqual(new["id"], old["id"])
        wait_until(lambda: not is_alive(tool), "the end of what was left of the old one")
        wait_until(lambda: [a["id"] for a in self.agents()] == [new["id"]], "the new one is left")
        self.assertTrue(is_alive(new["pid"]))
        self.assertTrue(children_of(new["pid"]))

    def test_new_one_of_a_key_that_ends_while_govd_stands_still(self):
        """When govd goes on it is time to end the old one, and the end of the new one waits to be told."""
        self.begin("lifecycle: {per_key: 1}\nrestart: {min_uptime: 4s}\n", "key: {env: ROOM}\n")
        environment = {**os.environ, "ROOM": "blue"}
        old = self.spawn(self.agent, "300", env=environment)
        self.assert_placed(old.pid, self.agent_of(old.pid))
        new = self.spawn(self.agent, "300", env=environment)
        self.assert_placed(new.pid, self.agent_of(new.pid))
        self.govd.send_signal(signal.SIGSTOP)
        new.kill()
        new.wait()
        time.sleep(4.5)
        self.govd.send_signal(signal.SIGCONT)
        wait_until(lambda: [a["pid"] for a in self.agents()] == [old.pid], "the old one is left")
        self.assertEqual(self.incidents("duplicate"), [])
        self.assertIsNone(old.poll())

    # ---- who was let go

    def test_released_for_good(self):
        self.begin("lifecycle: {max_runtime: 3s, orphan: 1s}\n")
        starter, pid = self.piped(STARTER, self.agent, "300")
        released = int(pid)
        self.addCleanup(os.kill, released, signal.SIGKILL)
        self.ctl("release", self.agent_of(released)["id"])
        before = cgroups_of(released)
        starter.kill()
        starter.wait()
        self.ctl("policy", "reload")
        wait_until(lambda: f"released {released} " in self.kept(), "it is on disk")
        self.stop_govd(signal.SIGKILL)
        self.start()
        # Another one, which is ended when its time has come: so would be the released one.
        other = self.spawn(self.agent, "300")
        self.assertEqual(other.wait(20), -signal.SIGTERM)
        self.ctl("drain")
        self.assertTrue(is_alive(released))
        self.assertEqual(cgroups_of(released), before)
        wait_until(lambda: not self.agents(), "nobody is left")
        # Only who asks for it by its pid has it again.
        self.ctl("adopt", str(released))
        self.assert_placed(released)
        self.ctl("release", self.agent_of(released)["id"])

    def kept(self):
        try:
            with open(self.path("state", "restarts"), encoding="ascii") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    # ---- who is being looked at

    def test_agent_under_a_debugger(self):
        self.begin("lifecycle: {max_runtime: 2s}\n")
        agents = [self.spawn(self.agent, "300") for _ in range(2)]
        debugger, _ = self.piped(DEBUGGER, str(agents[0].pid))
        self.assertEqual(agents[1].wait(20), -signal.SIGTERM)
        told = wait_until(lambda: [i for i in self.incidents("expired") if i["result"] == "refused"], "the incident")
        self.assertEqual(told[0]["evidence"]["traced_by_pid"], debugger.pid)
        found = self.agent_of(agents[0].pid)
        self.assertIn("being debugged", self.ctl_json("explain", found["id"])["why"])
        self.assertEqual(found["state"], "active")
        # By hand it can be ended.
        self.ctl("kill", found["id"])
        wait_until(lambda: not is_alive(agents[0].pid), "its end")
        # Only now its parent may know.
        debugger.kill()
        self.assertEqual(agents[0].wait(20), -signal.SIGKILL)

    def test_agent_under_a_debugger_is_not_idle(self):
        self.begin("lifecycle: {idle: 3s}\n")
        agents = [self.spawn(self.agent, "300") for _ in range(2)]
        debugger, _ = self.piped(DEBUGGER, str(agents[0].pid))
        found = self.agent_of(agents[0].pid)
        self.assertEqual(agents[1].wait(30), -signal.SIGTERM)
        self.assertTrue(is_alive(agents[0].pid))
        told = wait_until(lambda: self.incidents("idle"), "the incident")
        self.assertEqual([i["agent"] != found["id"] for i in told], [True])
        debugger.kill()
        debugger.wait()
        # It runs on, and does nothing.
        self.assertEqual(agents[0].wait(30), -signal.SIGTERM)

    def test_agent_that_somebody_has_frozen(self):
        self.begin("lifecycle: {max_runtime: 4s, idle: 3s}\n")
        agents = [self.spawn(self.agent, "300") for _ in range(2)]
        found = self.agent_of(agents[0].pid)
        self.ctl("freeze", found["id"])
        self.assertEqual(agents[1].wait(20), -signal.SIGTERM)
        self.assertIsNone(agents[0].poll())
        self.ctl("thaw", found["id"])
        self.assertEqual(agents[0].wait(20), -signal.SIGTERM)

    def test_start_is_shown_in_time_since_boot(self):
        self.begin()
        agent = self.spawn(self.agent, "300")
        shown = self.ctl_json("show", self.agent_of(agent.pid)["id"])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - shown["started_boot_s"]
        self.assertLess(abs(age - shown["since_s"]), 5)

    # ---- want of what govd needs

    def test_nobody_is_an_orphan_for_want_of_descriptors(self):
        self.begin("lifecycle: {orphan: 1s}\n")
        _, pid = self.piped(STARTER, self.agent, "300")
        lost_starter, lost = self.piped(STARTER, self.agent, "300")
        for agent in (int(pid), int(lost)):
            self.agent_of(agent)
        self.stop_govd(signal.SIGKILL)
        lost_starter.kill()
        lost_starter.wait()
        self.start(preexec_fn=without_pidfds)
        # Who has another parent now is one, without any descriptor.
        wait_until(lambda: not is_alive(int(lost)), "the orphan's end")
        self.assertTrue(is_alive(int(pid)))
        told = wait_until(lambda: self.incidents("orphan"), "the incident")
        self.assertEqual([i["rule"] for i in told], ["lifecycle.orphan"])


if __name__ == "__main__":
    unittest.main()
