#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Every way to connect is paced, and nothing of the sockets changes but the time."""

import subprocess
import time
import unittest

from connect_case import ConnectTest, Netns, Server
from harness import wait_until

SECONDS = 8
RATE = 2


def sysctl(path):
    try:
        with open("/proc/sys/" + path, encoding="ascii") as file:
            return int(file.read().split()[0])
    except OSError:
        return None


class KindsTest(ConnectTest):
    def kinds(self):
        """{name: (words of the client, family)}; what this kernel hasn't is told as skipped."""
        kinds = {"v4": [], "v6": [], "mapped": [], "fastopen": ["--how", "fastopen"],
                 "marked": ["--mark", 77, "--bind-device", "veth0"]}
        if sysctl("kernel/io_uring_disabled") in (0, 1):
            kinds["uring"] = ["--how", "uring"]
        if sysctl("net/mptcp/enabled") is not None:
            kinds["mptcp"] = ["--mptcp"]
        for name in {"uring", "mptcp"} - set(kinds):
            with self.subTest(name):
                self.skipTest(f"this kernel has no {name}")
        return kinds

    def test_kinds(self):
        """Across a veth pair, as fast open and devices need one."""
        self.policy("kind", f"match: {{exe: DIR/bin/kind}}\nconnect: {{rate: {RATE}/s, burst: 2}}\n")
        self.start()
        netns, kinds = Netns(self), self.kinds()
        for side in 0, 1:
            netns.write(side, "/proc/sys/net/ipv4/tcp_fastopen", 3)
        server = Server(self, "keep", ports=len(kinds), addresses=("192.0.2.2", "2001:db8::2"), prefix=netns.prefix(1))
        address = {"v6": "2001:db8::2", "mapped": "::ffff:192.0.2.2"}
        clients = {name: (port, self.client("kind", *words, address.get(name, "192.0.2.2"), port,
                                            prefix=netns.prefix(0)))
                   for (name, words), port in zip(kinds.items(), server.ports)}
        last = max(wait_until(lambda p=port: server.accepts(p), name)[0] for name, (port, _) in clients.items())
        while time.monotonic() < last + SECONDS + 1:
            time.sleep(0.1)
        for name, (port, client) in clients.items():
            with self.subTest(name):
                rate = self.assert_rate(server.accepts(port), RATE, 2, SECONDS, name)
                print(f"\n{name}: {rate:.3f}/s of {RATE}/s", end="", flush=True)
                report = self.report_of(client)
                self.assertEqual(report["errors"], {})
                marked = name == "marked"
                self.assertEqual((report["mark"], report["device"]), (77, "veth0") if marked else (0, ""))

    def test_made_before(self):
        """Sockets that were made before their process was placed are not governed; those of later are."""
        self.policy("later", "match: {exe: DIR/bin/none}\nconnect: {rate: 1/s, burst: 1}\n")
        self.start()
        server = Server(self)
        client = self.client("later", "--prepare", 5, "--count", 3, "127.0.0.1", server.ports[0],
                             stdin=subprocess.PIPE)
        self.addCleanup(client.stdin.close)
        wait_until(lambda: "ready" in self.output_of(client), "its first sockets are made")
        self.ctl("adopt", str(client.pid), "--policy", "later")
        self.assert_placed(client.pid)
        client.stdin.write(b"\n")
        client.stdin.flush()
        self.assertEqual(self.report_of(client, is_over=True)["errors"], {})
        times = server.accepts()
        self.assertEqual(len(times), 8)
        self.assertLess(times[4] - times[0], 0.5)
        for n in 6, 7:
            self.assertAlmostEqual(times[n] - times[n - 1], 1, delta=0.4)


if __name__ == "__main__":
    unittest.main()
