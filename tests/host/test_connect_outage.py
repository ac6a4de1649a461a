#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server goes and comes back while its agents wait: the breaker."""

import time
import unittest

from connect_case import ConnectTest, Server
from harness import wait_until

AGENTS = 20
OUTAGE_S = 20
INTERVAL_S = 8  # max_interval
STABLE_S = 2


class OutageTest(ConnectTest):
    def breaker_incidents(self, agent):
        return [(line["result"], line["evidence"]) for line in sorted(self.incidents("breaker", agent["id"]),
                                                                      key=lambda line: line["time"])]

    def outage(self):
        """Starts agents, ends their server, and brings it back; returns (agents, their destinations before, server, when it was back)."""
        server = Server(self, "keep")
        clients = [self.client("waiter", "--keep", "127.0.0.1", server.ports[0]) for _ in range(AGENTS)]
        wait_until(lambda: len(server.accepts()) == AGENTS, "all agents are connected")
        agents = [self.agent_of(client.pid) for client in clients]
        server.stop()
        end = time.monotonic() + OUTAGE_S
        while time.monotonic() < end:
            time.sleep(0.1)
        during = [self.destinations(agent["id"])[f"127.0.0.1:{server.ports[0]}"] for agent in agents]
        back = Server(self, "keep", port=server.ports[0])
        return agents, during, back, time.monotonic()

    def test_outage(self):
        self.policy("waiter", f"""match: {{exe: DIR/bin/waiter}}
connect: {{rate: 2/s, burst: 3}}
breaker: {{failures: 3, factor: 2, max_interval: {INTERVAL_S}s, stable_after: {STABLE_S}s}}
""")
        self.start()
        agents, during, server, back_s = self.outage()
        wait_until(lambda: len(server.accepts()) >= AGENTS, "all agents are back", INTERVAL_S + 2)
        times = [time_s - back_s for time_s in server.accepts()]
        print(f"\nback after {times[0]:.2f}..{times[-1]:.2f} s of at most {INTERVAL_S} s", end="", flush=True)
        self.assertEqual(len(times), AGENTS)
        self.assertLess(times[-1], INTERVAL_S + 0.3)
        # Each comes by its breaker's interval, and not in step with the others.
        busiest = max(sum(begin <= time_s < begin + 1 for time_s in times) for begin in times)
        print(f", at most {busiest} in a second", flush=True)
        self.assertLessEqual(busiest, AGENTS * 2 // 3)
        self.assertGreater(times[-1] - times[0], INTERVAL_S / 4)
        for line in during:
            self.assertIn(line["breaker"]["state"], ("open", "half-open"))
        self.check_incidents(agents, server.ports[0])

    def check_incidents(self, agents, port):
        def have_closed():
            return all(self.breaker_incidents(agent)[-1:] and self.breaker_incidents(agent)[-1][0] == "closed"
                       for agent in agents)

        wait_until(have_closed, "all breakers are closed", STABLE_S + 20)
        for agent in agents:
            lines = self.breaker_incidents(agent)
            self.assertEqual([result for result, _ in lines], ["open", "half-open", "closed"])
            for result, evidence in lines:
                self.assertEqual(evidence["destination"], f"127.0.0.1:{port}")
                self.assertGreaterEqual(evidence["attempts"], 3)
                self.assertIn("duration_s" if result == "closed" else "interval_s", evidence)
        # Few attempts were made of those 2/s that the rate alone allows.
        attempts = [lines[-1][1]["attempts"] for lines in map(self.breaker_incidents, agents)]
        print(f"attempts of each agent during {OUTAGE_S} s: {min(attempts)}..{max(attempts)}", flush=True)
        self.assertLess(max(attempts), OUTAGE_S)


if __name__ == "__main__":
    unittest.main()
