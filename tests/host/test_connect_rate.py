#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Loops of connect and close against a server that closes at once: paced to the limit, without an error, at no cost."""

import os
import shutil
import time
import unittest

from connect_case import ASYNCIO_STORM, NODE_STORM, ConnectTest, Netns, Server
from harness import wait_until

RATES = {"5/s": 5.0, "1/s": 1.0, "5/min": 5 / 60}
BURST = 5
SECONDS = 60
CPU_MAX_PCT = 1
# An emulated machine is too slow for the interpreters.
CLIENTS = ["block", "poll"] + ([] if os.environ.get("GOVD_TEST_EMULATED") else ["asyncio"]) + (
    ["node"] if shutil.which("node") else [])


class RateTest(ConnectTest):
    def write_policies(self):
        for n, rate in enumerate(RATES):
            limit = f"connect: {{rate: {rate}, burst: {BURST}}}\n"
            self.policy(f"c{n}", f"match: {{exe: DIR/bin/c{n}}}\n{limit}")
            self.policy(f"s{n}", f"match: {{script: DIR/s{n}-*}}\n{limit}")
            self.script(f"s{n}-asyncio.py", ASYNCIO_STORM)
            self.script(f"s{n}-node.js", NODE_STORM)

    def storm(self, kind, n, address, port, prefix=()):
        if kind in ("block", "poll"):
            return self.client(f"c{n}", "--how", kind, address, port, prefix=prefix)
        path = self.path(f"s{n}-{kind}." + {"asyncio": "py", "node": "js"}[kind])
        return self.script_client(path, address, str(port), prefix=prefix)

    def ungoverned_pct(self, kind):
        """CPU of a core that the same loop takes without govd, for a second."""
        server = Server(self)
        client = self.storm(kind, 0, "127.0.0.1", server.ports[0])
        wait_until(lambda: len(server.accepts()) > 0, f"{kind} connects")
        before, begin = self.schedstat_ns(client.pid), time.monotonic()
        time.sleep(1)  # nothing to wait for: that is what is measured
        pct = (self.schedstat_ns(client.pid) - before) / (time.monotonic() - begin) / 1e7
        client.kill()
        client.wait()
        server.stop()
        return pct, len(server.accepts())

    @staticmethod
    def schedstat_ns(pid):
        total = 0
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total

    def check_ungoverned(self):
        for kind in CLIENTS:
            pct, connects = self.ungoverned_pct(kind)
            print(f"\nungoverned {kind}: {connects} connects in a second, {pct:.0f} % CPU", end="", flush=True)
            self.assertGreater(pct, 5, kind)

    def start_storms(self):
        """[(what, rate, server, port, client)] of all clients, rates, families, networks."""
        netns = Netns(self)
        n = len(RATES) * len(CLIENTS)
        places = []
        for prefix, addresses, name in (((), ("127.0.0.1", "::1"), "loopback"),
                                        (netns.prefix(1), ("192.0.2.2", "2001:db8::2"), "veth")):
            for address in addresses:
                places.append((f"{name} {address}", address, Server(self, ports=n, addresses=[address], prefix=prefix),
                               netns.prefix(0) if prefix else ()))
        storms = []
        for place, address, server, prefix in places:
            ports = iter(server.ports)
            for number, (rate, per_s) in enumerate(RATES.items()):
                for kind in CLIENTS:
                    port = next(ports)
                    client = self.storm(kind, number, address, port, prefix)
                    storms.append((f"{kind} {place} {rate}", per_s, server, port, client))
        return storms

    @unittest.skipUnless("node" in CLIENTS, "there is no node on this host")
    def test_node_is_one_of_them(self):
        """So that its absence shows."""

    def test_all_at_once(self):
        self.write_policies()
        self.check_ungoverned()
        self.start()
        storms = self.start_storms()
        for what, _, server, port, client in storms:
            wait_until(lambda s=server, p=port: len(s.accepts(p)) >= BURST, f"the burst of {what}")
            self.assert_placed(client.pid)
        agents = {agent["pid"]: agent for agent in self.agents()}
        before, begin = {what: self.cpu_ns(agents[client.pid]) for what, *_, client in storms}, time.monotonic()
        last = max(server.accepts(port)[BURST - 1] for _, _, server, port, _ in storms)
        while time.monotonic() < last + SECONDS + 0.5:
            time.sleep(0.2)
        spent = time.monotonic() - begin
        worst = {}
        for what, per_s, server, port, client in storms:
            with self.subTest(what):
                cpu_pct = (self.cpu_ns(agents[client.pid]) - before[what]) / spent / 1e7
                rate = self.assert_rate(server.accepts(port), per_s, BURST, SECONDS, what)
                self.assertLess(cpu_pct, CPU_MAX_PCT, what)
                kind = what.split()[0]
                here = abs(rate / per_s - 1) * 100, cpu_pct
                worst[kind] = [max(pair) for pair in zip(worst.get(kind, (0, 0)), here)]
                self.assertIsNone(client.poll(), what)
                if kind in ("block", "poll"):
                    self.assertEqual(self.report_of(client)["errors"], {}, what)
                else:
                    self.assertEqual(self.output_of(client), "", what)
        print("\nfurthest from the rate, and most CPU: " + ", ".join(
            f"{kind} {off:.2f} % {cpu:.2f} %" for kind, (off, cpu) in worst.items()), flush=True)


if __name__ == "__main__":
    unittest.main()
