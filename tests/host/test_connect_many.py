#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""More connections and destinations of one agent than the kernel's tables keep one by one."""

import unittest

from connect_case import ConnectTest, Server
from harness import wait_until

CONNECTIONS = 1500  # more than the seats of connect.bpf.c
DESTINATIONS = 300  # more than GOV_CONNECT_DESTINATIONS_MAX
DESTINATIONS_MAX = 256

HOLDER = """# Opens many connections at once, and ends them when it is told to.
import resource, signal, socket, sys

resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
held = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
print("open", flush=True)
signal.sigwait({signal.SIGUSR1})
for one in held:
    one.close()
print("closed", flush=True)
signal.pause()
"""
VISITOR = """# Connects once to each of many addresses of the loopback network.
import signal, socket, sys

for n in range(int(sys.argv[2])):
    socket.create_connection((f"127.1.{n // 200}.{n % 200 + 1}", int(sys.argv[1]))).close()
print("done", flush=True)
signal.pause()
"""


class ManyTest(ConnectTest):
    def start_script(self, name, text, *words):
        self.policy(name, f"match: {{script: DIR/{name}.py}}\nconnect: {{rate: infinity}}\n")
        path = self.script(f"{name}.py", text)
        self.start()
        client = self.script_client(path, *words)
        wait_until(lambda: self.output_of(client) or client.poll() is not None, f"{name} has connected", 60)
        self.assertIsNone(client.poll())
        self.assert_placed(client.pid)
        return client, next(agent for agent in self.agents() if agent["pid"] == client.pid)

    def test_connections_that_live_at_once(self):
        server = Server(self, after="keep")
        client, agent = self.start_script("holder", HOLDER, "127.0.0.1", str(server.ports[0]), str(CONNECTIONS))
        where = f"127.0.0.1:{server.ports[0]}"
        told = self.destinations(agent["id"])[where]
        self.assertEqual((told["attempts"], told["established"], told["open"]), (CONNECTIONS,) * 3)
        client.send_signal(10)
        wait_until(lambda: "closed" in self.output_of(client), "they are closed")
        wait_until(lambda: self.destinations(agent["id"])[where]["open"] == 0, "each end was counted")
        self.assertEqual(self.destinations(agent["id"])[where]["dropped"], 0)

    def test_destinations(self):
        server = Server(self, addresses=["0.0.0.0"])
        _, agent = self.start_script("visitor", VISITOR, str(server.ports[0]), str(DESTINATIONS))
        told = self.destinations(agent["id"])
        self.assertEqual(told["others"]["attempts"], DESTINATIONS - DESTINATIONS_MAX)
        self.assertEqual(len(told) - 1, DESTINATIONS_MAX)


if __name__ == "__main__":
    unittest.main()
