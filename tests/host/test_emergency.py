#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's emergency, as far as it can be had without one: everything but the kill. On a host whose threshold is all of
its memory it always is one, for a govd that only observes."""

import os
import unittest

from harness import BUILD, CAP_IPC_LOCK, CAP_SYS_RESOURCE, IS_SANITIZED, GovdTest, has_capability, wait_until

ALWAYS = "emergency: {memory_available: 100%, pressure_full: off}\n"


class EmergencyTest(GovdTest):
    def host(self, text):
        with open(self.path("govd.yaml"), "w", encoding="utf-8") as file:
            file.write(text)

    def emergency(self):
        return self.ctl_json("status")["emergency"]

    def incidents(self, kind="emergency"):
        return self.ctl_json("incidents", "--kind", kind)

    def hoard(self, name, mebibytes):
        """An agent that has this much and waits."""
        script = f"import sys; x = bytearray(b'x' * ({mebibytes} << 20)); print(flush=True); sys.stdin.read()"
        process = self.spawn(self.path("bin", name), "-c", script, stdin=-1, stdout=-1)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        return process

    def test_a_host_with_memory_is_calm(self):
        self.start()
        found = self.emergency()
        self.assertEqual((found["state"], found["kills"]), ("calm", 0), found)
        self.assertGreater(found["available_bytes"], 0)
        if os.path.exists("/proc/pressure/memory"):
            self.assertLessEqual(found["full_pct"], 100)

    def test_it_can_be_switched_off_and_on(self):
        self.host("emergency: {memory_available: off, pressure_full: off}\n")
        self.start()
        self.assertEqual(self.emergency()["state"], "off")
        self.host("")
        self.ctl("policy", "reload")
        wait_until(lambda: self.emergency()["state"] == "calm", "it is on again")

    def test_when_nobody_can_be_chosen_that_is_told(self):
        for name, text in (("small", ""), ("large", ""), ("safe", "protect: true\n")):
            self.copy(os.path.realpath("/usr/bin/python3"), name)
            self.policy(name, f"match: {{exe: DIR/bin/{name}}}\n{text}")
        self.start("--observe")
        agents = [self.hoard("small", 20), self.hoard("large", 60), self.hoard("safe", 80)]
        for agent in agents:
            self.agent_of(agent.pid)
        self.host(ALWAYS)
        self.ctl("policy", "reload")
        nobody = wait_until(self.incidents, "that nobody is large enough is told")
        self.assertEqual((nobody[0]["action"], nobody[0]["result"]), ("none", "failed"), nobody)
        self.assertEqual(nobody[0]["evidence"]["too_small"], 3, nobody)
        self.assertEqual(self.emergency()["state"], "short")
        for agent in agents:
            self.assertIsNone(agent.poll())

    def opened_for(self, path, flag):
        """Has govd a descriptor of path that was opened so?"""
        directory = f"/proc/{self.govd.pid}/fd"
        for number in os.listdir(directory):
            with open(f"/proc/{self.govd.pid}/fdinfo/{number}", encoding="ascii") as file:
                flags = int(next(line.split()[1] for line in file if line.startswith("flags:")), 8)
            if os.readlink(os.path.join(directory, number)) == path and flags & os.O_ACCMODE == flag:
                return True
        return False

    def test_the_kernel_tells_of_pressure_in_any_window(self):
        """With the capability, and without it, as the shipped unit runs it: the kernel refuses windows of odd seconds then."""
        pressure = "/proc/pressure/memory"
        if not os.path.exists(pressure):
            self.skipTest("this kernel measures no pressure")
        drops = f'#!/bin/sh\nexec setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource {BUILD}/govd "$@"\n'
        for program in (os.path.join(BUILD, "govd"), self.script("drops.sh", drops)):
            for lasting in ("5s", "4s", "1500ms", "1min"):
                with self.subTest(program=os.path.basename(program), lasting=lasting):
                    self.host(f"emergency: {{for: {lasting}}}\n")
                    self.start("--log-level", "debug", program=program)
                    self.assertTrue(self.opened_for(pressure, os.O_RDWR), self.log_text())
                    self.assertNotIn("doesn't tell of pressure", self.log_text())
                    self.stop_govd()
                    self.log.close()

    def test_govd_and_its_helpers_are_there_when_memory_is_short(self):
        self.start()
        if has_capability(CAP_SYS_RESOURCE):
            with open(f"/proc/{self.govd.pid}/oom_score_adj", encoding="ascii") as file:
                self.assertEqual(int(file.read()), -900)
        if IS_SANITIZED:  # the sanitizer makes mlockall() do nothing
            return
        with open(f"/proc/{self.govd.pid}/status", encoding="ascii") as file:
            fields = dict(line.split(":", 1) for line in file)
        self.assertTrue(has_capability(CAP_IPC_LOCK))
        self.assertGreater(int(fields["VmLck"].split()[0]), int(fields["VmRSS"].split()[0]) // 2, fields)


if __name__ == "__main__":
    unittest.main()
