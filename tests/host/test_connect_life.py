#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pacing outlives govd, and goes with what it is for: the daemon's end, its successor, release, clean stop, removal."""

import contextlib
import os
import subprocess
import time
import unittest

from connect_case import ConnectTest, Server
from harness import wait_until

RATE = 5
ALONE_S = 10
CRASHES = 150
ANSWER_S = 5


class LifeTest(ConnectTest):
    def storm(self, limit=f"rate: {RATE}/s, burst: 2"):
        self.policy("storm", f"match: {{exe: DIR/bin/storm}}\nconnect: {{{limit}}}\n")
        self.start()
        server = Server(self)
        client = self.client("storm", "127.0.0.1", server.ports[0])
        wait_until(lambda: len(server.accepts()) > RATE, "paced connects")
        return server, client, self.agent_of(client.pid)

    def pins(self):
        return [name for path in self.pin_dirs() for _, _, names in os.walk(path) for name in names]

    def sleep_until(self, end):
        while time.monotonic() < end:
            time.sleep(0.05)

    def test_killed(self):
        """Nothing changes for the agent while there is no govd, nor when the next one takes over."""
        server, client, agent = self.storm()
        before = self.agent_of(client.pid)
        self.govd.kill()
        self.govd.wait()
        killed = time.monotonic()
        self.sleep_until(killed + ALONE_S)
        self.start()
        ready = time.monotonic()
        self.sleep_until(ready + 3)
        times = server.accepts()
        alone = [time_s for time_s in times if killed < time_s < killed + ALONE_S]
        rate = (len(alone) - 1) / (alone[-1] - alone[0])
        gaps = [late - early for early, late in zip(times[2:], times[3:])]
        print(f"\nwithout govd {rate:.3f}/s of {RATE}/s; gaps {min(gaps):.3f}..{max(gaps):.3f} s", flush=True)
        self.assertLess(abs(rate / RATE - 1), 0.03)
        self.assertGreater(times[-1], ready + 2)
        # Neither a gap nor a burst when one govd follows the other.
        self.assertLess(max(gaps), 3.0 / RATE)
        self.assertGreater(min(late - early for early, late in zip(times[2:], times[4:])), 0.5 / RATE)
        after = self.agent_of(client.pid)
        self.assertEqual(after["id"], agent["id"])
        self.assertGreaterEqual(after["connects"], before["connects"] + ALONE_S * RATE)
        self.assertEqual(self.report_of(client)["errors"], {})

    def test_killed_for_good(self):
        """What waits leaves at its time, and one line of the README takes all away."""
        server, client, _ = self.storm()
        # Whoever was started with mounts of its own, as containers are, keeps a bpffs that is unmounted.
        other = self.spawn("unshare", "--mount", "sh", "-c", "echo; exec sleep 1000", stdout=subprocess.PIPE)
        with other.stdout:
            other.stdout.readline()
        self.govd.kill()
        self.govd.wait()
        self.govd = None
        self.assertTrue(self.pins())
        self.remove_by_readme()
        self.assertEqual(self.pin_dirs(), [])
        seen = len(server.accepts())
        wait_until(lambda: len(server.accepts()) > seen + 1000, "connects without a limit")
        self.assertEqual(self.report_of(client)["errors"], {})

    def remove_by_readme(self):
        with open(os.path.join(os.path.dirname(__file__), "..", "..", "README.md"), encoding="utf-8") as file:
            lines = [line.strip() for line in file if "/sys/fs/bpf/govd" in line and line.startswith("    ")]
        self.assertEqual(len(lines), 1, "one line that removes all")
        line = lines[0].replace("/sys/fs/bpf/govd", "/sys/fs/bpf/govd/" + self.slice.removesuffix(".slice"))
        line = line.replace("/run/govd/", self.path("run", ""))
        subprocess.run(["sh", "-c", line], check=True, timeout=30)

    def test_release(self):
        server, client, agent = self.storm()
        self.ctl("release", agent["id"])
        seen = len(server.accepts())
        wait_until(lambda: len(server.accepts()) > seen + 1000, "connects without a limit")
        self.assertEqual(self.report_of(client)["errors"], {})

    def test_changed_policy(self):
        """A new limit counts from now on, and not for what waits already."""
        server, client, _ = self.storm("rate: 1/s, burst: 20")
        self.policy("storm", "match: {exe: DIR/bin/storm}\nconnect: {rate: 20/s, burst: 1}\n")
        self.ctl("policy", "reload")
        wait_until(lambda: len(server.accepts()) > 80, "connects at the new rate", 15)
        times = server.accepts()[-40:]
        self.assertAlmostEqual((times[-1] - times[0]) / 39, 1 / 20, delta=0.01)
        self.assertEqual(self.report_of(client)["errors"], {})

    def is_attached(self):
        return "connect_sockops" in self.pins()

    def test_rest(self):
        """Without an agent to govern nothing is attached, which would cost all others."""
        self.policy("storm", f"match: {{exe: DIR/bin/storm}}\nconnect: {{rate: {RATE}/s, burst: 2}}\n")
        self.start()
        wait_until(lambda: not self.is_attached(), "nothing is attached", 30)
        self.assertEqual(self.ctl_json("status")["pacing"], "on")
        server = Server(self)
        for _ in range(2):
            seen = len(server.accepts())
            client = self.client("storm", "127.0.0.1", server.ports[0])
            wait_until(lambda n=seen: len(server.accepts()) > n + 7 * RATE, "paced connects", 20)
            self.assertTrue(self.is_attached())
            self.assert_rate(server.accepts()[seen:], RATE, 2, 6, "after a rest")
            self.assertEqual(self.report_of(client)["errors"], {})
            wait_until(lambda: not self.agents(), "the agent is gone")
            wait_until(lambda: not self.is_attached(), "nothing is attached", 30)

    def links(self):
        """Ids of govd's links: what is attached anew has another one."""
        found = set()
        for name in os.listdir(f"/proc/{self.govd.pid}/fdinfo"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{self.govd.pid}/fdinfo/{name}",
                                                              encoding="ascii", errors="replace") as file:
                found.update(line.split()[1] for line in file if line.startswith("link_id:"))
        return found

    def test_crash_loop(self):
        """One observed agent after the other: govd answers all the time, as it attaches what watches them once."""
        agent = self.copy("sh", "crash")
        self.policy("seen", "match: {exe: DIR/bin/crash}\nmode: observe\n")
        self.start()
        wait_until(lambda: not self.is_attached(), "nothing paces", 30)
        before = self.links()
        loop = self.spawn("sh", "-c", f"for i in $(seq {CRASHES}); do {agent} -c 'sleep 0.02; exit 1'; done")
        watching = wait_until(lambda: self.links() - before, "the observed are watched")
        worst = answers = 0
        while loop.poll() is None or self.agents():
            asked = time.monotonic()
            self.ctl("status")
            worst = max(worst, time.monotonic() - asked)
            answers += 1
        after = self.links() - before
        seen = {line["agent"] for line in self.ctl_json("incidents", "--policy", "seen")}
        print(f"\n{len(seen)} of {CRASHES} seen, {answers} answers, the slowest after {worst:.3f} s", flush=True)
        self.assertLess(worst, ANSWER_S)
        self.assertGreater(len(seen), 100)
        self.assertEqual(after, watching)
        wait_until(lambda: self.links() == before, "nobody is watched", 30)

    def test_clean_stop(self):
        """With agents they stay paced; without, nothing is left of govd in the kernel."""
        server, client, _ = self.storm()
        self.stop_govd()
        self.assertTrue(self.pins())
        stopped = time.monotonic()
        self.sleep_until(stopped + 2)
        self.assertLess(len([time_s for time_s in server.accepts() if stopped < time_s < stopped + 2]), 2 * RATE + 2)
        self.start()
        client.kill()
        client.wait()
        wait_until(lambda: not self.agents(), "the agent is gone")
        programs = set()
        with self.subTest("programs of the slice"):
            programs = self.programs()
            self.assertTrue(programs)
        self.stop_govd()
        self.assertEqual(self.pin_dirs(), [])
        # The kernel frees them a little later.
        wait_until(lambda: not programs or not programs & self.all_programs(), "govd's programs are gone")

    def programs(self):
        """Ids of the programs attached to the slice."""
        path = next(path for path in self.leftovers() if path.startswith(self.v2_path("/")))
        lines = [line.split() for line in self.bpftool("cgroup", "show", path).splitlines()]
        return {words[0] for words in lines if words and words[0].isdigit()}

    def all_programs(self):
        return {line.split(":")[0] for line in self.bpftool("prog", "show").splitlines() if not line.startswith("\t")}


if __name__ == "__main__":
    unittest.main()
