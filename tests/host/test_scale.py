#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many agents at once: what govd and its helpers take of memory and of CPU, and how long `govctl list` takes."""

import os
import subprocess
import time
import unittest

from harness import BUILD, IS_SANITIZED, GovdTest, children_of, wait_until

AGENTS = 300
RSS_MAX_KIB = 8 * 1024 * (10 if IS_SANITIZED else 1)
IDLE_S = 30  # as often as govd samples all agents: each look counts once
YOUNG_S = 40
IDLE_MAX_PCT = 0.1
LIST_MAX_MS = 50 * (4 if IS_SANITIZED else 1)
LIST_TRIES = 20


def rss_kib(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def cpu_ns(pid):
    """On a CPU, by the scheduler's own count; of all threads, as each has its own."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


class ScaleTest(GovdTest):
    def processes(self):
        """{name: pid} of govd and its helpers."""
        found = {"govd": self.govd.pid}
        for pid in children_of(self.govd.pid):
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                found[file.read().strip()] = pid
        self.assertEqual(sorted(found), ["govd", "govd-hold", "govd-recorder"])
        return found

    def policy_of_agents(self, memory):
        self.policy("scale", f"match: {{exe: DIR/bin/{self.name}}}\nmemory: {{max: {memory}}}\ntasks: {{max: 20}}\n"
                             "leak: {horizon: 30min}\n")

    def start_agents(self):
        # Of a name that nobody else on this host starts, so that the kernel tells of nobody else.
        self.name = f"scale{os.getpid()}"
        agent = self.copy("/bin/sleep", self.name)
        self.policy_of_agents("100M")
        self.start()
        for _ in range(AGENTS):
            self.spawn(agent, "1000")
        wait_until(lambda: len(self.agents()) == AGENTS, f"{AGENTS} agents are listed")
        for process in self.started:
            self.assert_placed(process.pid)

    def check_memory(self, processes):
        rss = {name: rss_kib(pid) for name, pid in processes.items()}
        print(f"resident, KiB: {rss}", flush=True)
        self.assertLess(rss["govd"], RSS_MAX_KIB)

    def list_ms(self):
        """(wall time, CPU time of govctl and govd) of a whole `govctl list`: on a machine of one's own the second is no
        less than the first, as one waits for the other, and other load of the machine adds little to it."""
        govd, begin = cpu_ns(self.govd.pid), time.monotonic()
        process = subprocess.Popen([os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "list"],
                                   stdout=subprocess.PIPE, text=True)
        lines = process.stdout.read().splitlines()
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual((process.returncode, len(lines) >= AGENTS), (0, True))
        cpu = usage.ru_utime + usage.ru_stime + (cpu_ns(self.govd.pid) - govd) / 1e9
        return wall * 1000, cpu * 1000

    def test_three_hundred_agents(self):
        self.start_agents()
        with self.subTest("govctl list"):
            taken = [self.list_ms() for _ in range(LIST_TRIES)]
            wall, cpu = (sorted(column) for column in zip(*taken))
            print(f"\nlist, ms: wall best {wall[0]:.1f}, median {wall[LIST_TRIES // 2]:.1f}; "
                  f"CPU best {cpu[0]:.1f}, median {cpu[LIST_TRIES // 2]:.1f}", flush=True)
            self.assertLess(min(wall[0], cpu[0]), LIST_MAX_MS)
        processes = self.processes()
        with self.subTest("memory"):
            self.check_memory(processes)
        with self.subTest("memory after a change of all limits"):
            self.policy_of_agents("200M")
            self.ctl("policy", "reload")
            wait_until(lambda: all(agent["memory_max_bytes"] == 200 << 20 for agent in self.agents()), "new limits")
            self.check_memory(processes)
        with self.subTest("idle CPU"):
            time.sleep(YOUNG_S)  # the young are looked at more often
            before, begin = {name: cpu_ns(pid) for name, pid in processes.items()}, time.monotonic_ns()
            time.sleep(IDLE_S)  # nothing happens: that is what is measured
            spent = time.monotonic_ns() - begin
            used = {name: 100 * (cpu_ns(pid) - before[name]) / spent for name, pid in processes.items()}
            print("idle CPU, %: " + ", ".join(f"{name} {pct:.4f}" for name, pct in used.items()), flush=True)
            self.assertLess(sum(used.values()), IDLE_MAX_PCT)


if __name__ == "__main__":
    unittest.main()
