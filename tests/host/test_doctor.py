#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd --doctor on this host."""

import json
import os
import socket
import subprocess
import time
import unittest

from harness import BUILD, CAP_SYS_RESOURCE, GovdTest, has_capability, wait_until


class DoctorTest(GovdTest):
    def rows(self, *before):
        done = subprocess.run([*before, os.path.join(BUILD, "govd"), "--doctor", "--json"], stdout=subprocess.PIPE, text=True,
                              timeout=120, check=False)
        rows = {row["check"]: row for row in json.loads(done.stdout)}
        self.assertEqual(done.returncode, int(any(row["status"] == "fail" for row in rows.values())), rows)
        return rows

    def test_daemons_that_do_the_same_are_told_by_name(self):
        self.assertNotIn("earlyoom", self.rows())
        process = self.spawn(self.copy("sleep", "earlyoom"), "300")
        wait_until(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("/earlyoom"), "it runs")
        row = self.rows()["earlyoom"]
        self.assertEqual(row["status"], "warn")
        self.assertIn("systemctl disable --now earlyoom", row["detail"])
        self.assertIsNone(process.poll())

    def test_what_the_service_may_do_is_enough(self):
        may = ",".join(f"+{name}" for name in ("sys_admin", "net_admin", "sys_ptrace", "dac_override", "kill"))
        rows = self.rows("setpriv", f"--bounding-set=-all,{may}", "--inh-caps=-all")
        self.assertEqual([row for row in rows.values() if row["status"] == "fail"], [])
        self.assertEqual(rows["privileges"]["status"], "ok")

    def test_how_others_reach_it_is_told(self):
        row = self.rows()["system bus"]
        if os.path.exists("/run/dbus/system_bus_socket"):
            self.assertRegex(row["detail"], "org.govd1|it does$", row)
        else:
            self.assertEqual((row["status"], "by its socket alone" in row["detail"]), ("ok", True), row)

    def test_a_bus_that_hangs_is_told(self):
        with socket.socket(socket.AF_UNIX) as hangs:
            hangs.bind(self.path("bus"))
            hangs.listen(1)
            began = time.monotonic()
            row = self.rows("env", f"DBUS_SYSTEM_BUS_ADDRESS=unix:path={self.path('bus')}")["system bus"]
        self.assertEqual((row["status"], "doesn't answer" in row["detail"]), ("warn", True), row)
        self.assertLess(time.monotonic() - began, 60)

    def test_windows_of_pressure_are_told(self):
        if not os.path.exists("/proc/pressure/memory"):
            self.skipTest("this kernel measures no pressure")
        without = ("setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource")
        for before, has_it in (((), has_capability(CAP_SYS_RESOURCE)), (without, False)):
            row = self.rows(*before)["psi"]
            self.assertEqual(row["status"], "ok", row)
            self.assertEqual("for want of CAP_SYS_RESOURCE" in row["detail"], not has_it, row)


if __name__ == "__main__":
    unittest.main()
