#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What is told of connects and sockets: incidents, `list`, `show`."""

import os
import unittest

from connect_case import ConnectTest, Server
from harness import program, wait_until


class AlertsTest(ConnectTest):
    def first_incident(self, kind, agent_id=None, result=None, deadline=20):
        """The first of this kind."""
        def find():
            lines = [line for line in self.incidents(kind, agent_id) if result in (None, line["result"])]
            return min(lines, key=lambda line: line["time"]) if lines else None

        return wait_until(find, f"an incident: {kind} {result or ''}", deadline)

    def test_storm(self):
        """Of agents with a limit, without one, and of one that is only observed."""
        limit = "connect: {rate: 2/s, burst: 2}\n"
        self.policy("limited", "match: {exe: DIR/bin/limited}\n" + limit)
        self.policy("free", "match: {exe: DIR/bin/free}\n")
        self.policy("seen", "match: {exe: DIR/bin/seen}\nmode: observe\n" + limit)
        self.start()
        names = ("limited", "free", "seen")
        server = Server(self, ports=len(names))
        clients = {name: self.client(name, "127.0.0.1", port) for name, port in zip(names, server.ports)}
        actions = {"limited": ("connect", "delay"), "free": ("storm", "none"), "seen": ("connect", "would-delay")}
        agents = {name: self.agent_of(client.pid) for name, client in clients.items()}
        for name, port in zip(names, server.ports):
            with self.subTest(name):
                line = self.first_incident("storm", agents[name]["id"])
                self.assertEqual((line["rule"], line["action"]), actions[name])
                self.assertEqual((line["by"], line["policy"], line["result"]), ("kernel", name, "begun"))
                evidence = line["evidence"]
                self.assertEqual(evidence["destination"], f"127.0.0.1:{port}")
                self.assertGreaterEqual(evidence["attempts"], 50 if name == "free" else 5)
                self.assertGreater(evidence["rate_per_s"], 1)
                self.assertEqual(evidence["delayed"] > 0, name != "free")
        with self.subTest("an observed agent is not touched"):
            self.assertFalse(self.is_inside(clients["seen"].pid))
            wait_until(lambda: len(server.accepts(server.ports[2])) > 1000, "it connects on and on")
        self.check_tables(agents, dict(zip(names, server.ports)))
        for client in clients.values():
            self.assertEqual(self.report_of(client)["errors"], {})

    def check_tables(self, agents, ports):
        lines = {line["policy"]: line for line in self.agents()}
        for name, agent in agents.items():
            with self.subTest(f"list and show of {name}"):
                self.assertGreater(lines[name]["connects"], 4)
                self.assertEqual(lines[name]["delayed"] > 0, name != "free")
                self.assertIn("refused", lines[name])
                shown = self.destinations(agent["id"])[f"127.0.0.1:{ports[name]}"]
                self.assertGreater(shown["attempts"], 4)
                self.assertTrue(shown["storm"])
                self.assertEqual(shown["delayed"] > 0, name != "free")
                if name != "free":
                    self.assertGreater(shown["established"], 2)

    def test_storm_ends(self):
        self.policy("brief", "match: {exe: DIR/bin/brief}\n")
        self.start()
        server = Server(self, "keep")
        client = self.client("brief", "--concurrency", 60, "--count", 2, "--keep", "127.0.0.1", server.ports[0])
        agent = self.agent_of(client.pid)
        self.assertEqual(self.first_incident("storm", agent["id"])["result"], "begun")
        line = self.first_incident("storm", agent["id"], "over", 30)
        self.assertGreaterEqual(line["evidence"]["attempts"], 60)
        self.assertGreater(line["evidence"]["duration_s"], 1)

    def test_sockets(self):
        """Too many at once, and a session for each poll that is never closed."""
        self.policy("many", "match: {exe: DIR/bin/many}\nsockets: {max: 30}\n")
        self.policy("polls", "match: {exe: DIR/bin/polls}\nsockets: {new_rate: 2/s}\n")
        self.start()
        server = Server(self, "keep", ports=2)
        where = [f"127.0.0.1:{port}" for port in server.ports]
        many = self.client("many", "--concurrency", 40, "--keep", "127.0.0.1", server.ports[0])
        polls = self.client("polls", "--pause", 200, "127.0.0.1", server.ports[1])
        many, polls = self.agent_of(many.pid), self.agent_of(polls.pid)
        line = self.first_incident("sockets", polls["id"])
        self.assertEqual((line["rule"], line["action"], line["evidence"]["destination"]),
                         ("sockets.new_rate", "alert", where[1]))
        self.assertGreater(line["evidence"]["rate_per_s"], 2)
        line = self.first_incident("sockets", many["id"], deadline=60)
        self.assertEqual((line["rule"], line["action"]), ("sockets.max", "alert"))
        self.assertEqual((line["evidence"]["open"], line["evidence"]["destination"]), (40, where[0]))
        listed = {agent["id"]: agent for agent in self.agents()}
        self.assertEqual(listed[many["id"]]["sockets"], 40)
        self.assertEqual(self.destinations(many["id"])[where[0]]["open"], 40)

    def test_strangers(self):
        """Told when govd.yaml wants it; never delayed."""
        config = self.path("govd.yaml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("watch_strangers: true\n")
        self.start("--config", config)
        server = Server(self)
        client = self.run_client(program("connects"), "127.0.0.1", server.ports[0])
        evidence = wait_until(lambda: next((line["evidence"] for line in self.incidents("storm")
                                            if line["evidence"].get("pid") == client.pid), None), "an incident")
        self.assertEqual(evidence["destination"], f"127.0.0.1:{server.ports[0]}")
        self.assertEqual(evidence["exe"], os.path.realpath(program("connects")))
        self.assertGreater(evidence["rate_per_s"], 50)
        wait_until(lambda: len(server.accepts()) > 1000, "it connects on and on")
        report = self.report_of(client)
        self.assertEqual(report["errors"], {})
        self.assertGreater(report["connects"], 1000)

    def test_strangers_are_let_alone(self):
        """By default nothing looks at them."""
        self.start()
        server = Server(self)
        client = self.run_client(program("connects"), "--count", 2000, "127.0.0.1", server.ports[0])
        self.report_of(client, is_over=True)
        self.assertEqual([line for line in self.incidents("storm") if line["evidence"].get("pid") == client.pid], [])


if __name__ == "__main__":
    unittest.main()
