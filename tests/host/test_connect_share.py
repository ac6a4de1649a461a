#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Whose budget a connect takes from, and what becomes of the slots of connects that are given up."""

import time
import unittest

from connect_case import ConnectTest, Server
from harness import wait_until

SECONDS = 12
AGENTS = 50
THREADS = 50


class ShareTest(ConnectTest):
    def wait_for_window(self, servers):
        """Until all have been connected to for SECONDS."""
        first = [wait_until(lambda s=server, p=port: s.accepts(p), f"connects to port {port}")[0]
                 for server in servers for port in server.ports]
        while time.monotonic() < max(first) + SECONDS + 1:
            time.sleep(0.1)

    def assert_shares(self, times, per_s, burst, what):
        rate = self.assert_rate(times, per_s, burst, SECONDS, what)
        print(f"\n{what}: {rate:.3f}/s of {per_s}/s", end="", flush=True)

    def test_budgets(self):
        limits = {"one": "rate: 5/s, burst: 5", "own": "rate: 1/s, burst: 1", "two": "rate: 2/s, burst: 2",
                  "port": "rate: 2/s, burst: 2, per: port", "all": "rate: 2/s, burst: 2, per: agent"}
        for name, limit in limits.items():
            self.policy(name, f"match: {{exe: DIR/bin/{name}}}\nconnect: {{{limit}}}\n")
        self.start()
        addresses = ("127.0.0.1", "127.0.0.2", "::1")
        one, own, two = Server(self), Server(self), Server(self, ports=2)
        port, whole = (Server(self, ports=2, addresses=addresses) for _ in range(2))
        everywhere = [[word for n in server.ports for address in addresses for word in (address, n)]
                      for server in (port, whole)]
        clients = [
            self.client("one", "--concurrency", THREADS, "127.0.0.1", one.ports[0]),
            self.client("two", "--concurrency", 4, "127.0.0.1", two.ports[0], "127.0.0.1", two.ports[1]),
            self.client("port", *everywhere[0]),
            self.client("all", "--concurrency", 2, *everywhere[1]),
        ]
        many = [self.client("own", "--seconds", SECONDS, "127.0.0.1", own.ports[0]) for _ in range(AGENTS)]
        self.wait_for_window([one, two, port, whole, own])
        self.assert_shares(one.accepts(), 5, 5, f"{THREADS} threads of one agent")
        for n in two.ports:
            self.assert_shares(two.accepts(n), 2, 2, "one of two destinations")
        for n in port.ports:
            self.assert_shares(port.accepts(n), 2, 2, "one port at three addresses")
        both = sorted(time_s for n in whole.ports for time_s in whole.accepts(n))
        self.assert_shares(both, 2, 2, "two ports at three addresses, per agent")
        connects = [self.report_of(client, is_over=True)["connects"] for client in many]
        print(f"\n{AGENTS} agents at 1/s for {SECONDS} s: {min(connects)}..{max(connects)} connects each", flush=True)
        self.assertTrue(all(n in (SECONDS, SECONDS + 1) for n in connects), connects)
        for client in clients:
            self.assertEqual(self.report_of(client)["errors"], {})

    def test_given_up(self):
        """Applications that wait for less than their slots do: only their own timeouts, and no slot is lost."""
        self.policy("short", "match: {exe: DIR/bin/short}\nconnect: {rate: 30/min, burst: 1}\n")
        self.start()
        servers = [Server(self) for _ in range(2)]
        clients = [self.client("short", "--how", how, "--timeout", 300, "127.0.0.1", server.ports[0])
                   for how, server in zip(("poll", "block"), servers)]
        self.wait_for_window(servers)
        agents = [self.agent_of(client.pid)["id"] for client in clients]
        failed = [self.destinations(agent)[f"127.0.0.1:{server.ports[0]}"]["failed"]
                  for agent, server in zip(agents, servers)]
        self.assertEqual(failed, [0, 0], "what was given up before its SYN left hasn't failed")
        begun = time.monotonic()
        abandoned = sum(self.ctl_json("show", agent)["abandoned"] for agent in agents)
        reports = [self.report_of(client) for client in clients]
        # The reports are of a little later; each gives up some three times in a second.
        self.assertAlmostEqual(abandoned, sum(report["timeouts"] for report in reports),
                               delta=4 + 7 * (time.monotonic() - begun))
        for report, server in zip(reports, servers):
            times = server.accepts()
            times = [time_s for time_s in times if time_s < times[0] + SECONDS + 1]
            print(f"\n{len(times)} connects, {report['timeouts']} timeouts in {SECONDS} s", flush=True)
            # One that is given up just when its slot comes takes it along.
            self.assertGreaterEqual(len(times), SECONDS // 2 - 1)
            self.assertLessEqual(len(times), SECONDS // 2 + 2)
            self.assertTrue(all(after - before > 1.5 for before, after in zip(times, times[1:])), times)
            self.assertGreater(report["timeouts"], SECONDS)
            self.assertEqual(report["errors"], {})
            self.assertLess(report["worst_ms"], 1500)

    def test_given_up_by_a_herd(self):
        """All that wait give up at the same instant, again and again."""
        self.policy("herd", "match: {exe: DIR/bin/herd}\nconnect: {rate: 2/s, burst: 1}\n")
        self.start()
        server = Server(self)
        client = self.client("herd", "--how", "poll", "--timeout", 2000, "--concurrency", THREADS, "127.0.0.1", server.ports[0])
        self.wait_for_window([server])
        report, times = self.report_of(client), server.accepts()
        rate = (len(times) - 1) / (times[-1] - times[0])
        print(f"\n{THREADS} threads: {rate:.2f}/s of 2/s, {report['timeouts']} timeouts", flush=True)
        self.assertGreater(report["timeouts"], 3 * THREADS)
        self.assertLess(rate, 2 * 1.03)
        # One that is given up just when its slot comes takes it along.
        self.assertGreater(rate, 2 * 0.8)

    def test_given_up_while_open(self):
        """Of a breaker that is open too: else who never waits for its interval would never learn that all is well."""
        self.policy("short", """match: {exe: DIR/bin/short}
connect: {rate: 10/s, burst: 5}
breaker: {failures: 2, max_interval: 2s, stable_after: 1s}
""")
        self.start()
        server = Server(self, "keep")
        server.stop()
        client = self.client("short", "--how", "poll", "--timeout", 300, "--keep", "127.0.0.1", server.ports[0])
        agent, where = self.agent_of(client.pid)["id"], f"127.0.0.1:{server.ports[0]}"
        wait_until(lambda: self.destinations(agent).get(where, {"failed": 0})["failed"] >= 5, "attempts that fail")
        server = Server(self, "keep", port=server.ports[0])
        wait_until(server.accepts, "it is back", 6)
        report = self.report_of(client)
        self.assertEqual(list(report["errors"]), ["ECONNREFUSED"])
        self.assertGreater(report["timeouts"], 5)


if __name__ == "__main__":
    unittest.main()
