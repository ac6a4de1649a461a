#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""More than may wait: refused, or let go late. And UDP, which can't wait."""

import unittest

from connect_case import ConnectTest, Server
from harness import wait_until

UDP_PORT = 40053  # nobody needs to listen


class ExcessTest(ConnectTest):
    def crowd(self, on_excess):
        """Ten connects at once where one may leave a second and none may wait longer than two."""
        self.policy("crowd", f"""match: {{exe: DIR/bin/crowd}}
connect: {{rate: 1/s, burst: 1, max_delay: 2s, on_excess: {on_excess}}}
""")
        self.start()
        server = Server(self)
        client = self.client("crowd", "--concurrency", 10, "--count", 1, "127.0.0.1", server.ports[0])
        report = self.report_of(client, is_over=True)
        times = server.accepts()
        return report, [time_s - times[0] for time_s in times]

    def test_refuse(self):
        report, times = self.crowd("refuse")
        self.assertEqual(report["errors"], {"ECONNREFUSED": 7})
        self.assertEqual(report["connects"], 3)
        for time_s, expected in zip(times, (0, 1, 2)):
            self.assertAlmostEqual(time_s, expected, delta=0.4)

    def test_delay(self):
        report, times = self.crowd("delay")
        self.assertEqual((report["errors"], report["connects"]), ({}, 10))
        self.assertAlmostEqual(times[1], 1, delta=0.4)
        for time_s in times[2:]:
            self.assertAlmostEqual(time_s, 2, delta=0.4)

    def udp(self, how, port, address="127.0.0.1"):
        return self.report_of(self.client("flows", "--how", how, "--count", 10, address, port), is_over=True)

    def udp_policy(self, udp):
        self.policy("flows", f"match: {{exe: DIR/bin/flows}}\nconnect: {{rate: 1/min, burst: 3, max_delay: 1min, "
                             f"udp: {udp}}}\n")
        self.start()

    def test_udp_refuse(self):
        self.udp_policy("refuse")
        for how in "udp-connect", "udp-send":
            for address in "127.0.0.1", "::1", "::ffff:127.0.0.1":
                with self.subTest(how=how, address=address):
                    report = self.udp(how, UDP_PORT, address)
                    self.assertEqual((report["connects"], report["errors"]), (3, {"EAGAIN": 7}))
        with self.subTest("names must be found"):
            self.assertEqual(self.udp("udp-send", 53)["connects"], 10)
            self.assertEqual(self.udp("udp-connect", 53)["connects"], 10)

    def test_udp_count(self):
        """Only counted: those beyond the rate as delayed, which they weren't."""
        self.udp_policy("count")
        client = self.client("flows", "--how", "udp-send", "--pause", 50, "127.0.0.1", UDP_PORT)
        agent = self.agent_of(client.pid)["id"]
        where = f"127.0.0.1:{UDP_PORT}"

        def counted():
            line = self.destinations(agent).get(where)
            return line if line and line["attempts"] >= 10 else None

        line = wait_until(counted, "flows are counted")
        self.assertEqual((line["protocol"], line["refused"]), ("udp", 0))
        report = self.report_of(client)
        self.assertEqual(report["errors"], {})
        self.assertGreaterEqual(report["connects"], 10)


if __name__ == "__main__":
    unittest.main()
