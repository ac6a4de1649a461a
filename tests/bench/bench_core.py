#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What deciding and looking costs: decisions a second, the census of what agents do at 10, 100 and 1000 agents beside the same read
from /proc, and memory an agent. Prints two tables; exits 1 when a goal is missed. As root; QUICK=1 for a look."""

import json
import os
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from bench import BUILD, NAME, QUICK, Bench, Table

AGENTS = 1000
EVENTS = 200_000 if QUICK else 1_000_000
EVENT_GOAL_NS = 1000  # a million a second
MEMORY_GOAL = 2048
CENSUS_COUNTS = (10, 100) if QUICK else (10, 100, 1000)
CENSUS_GOAL_US = 20
CENSUS_S = 5 if QUICK else 10
SETTLE_S = 2  # after the births
PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_ns(pid):
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def rss_bytes(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * PAGE


def decisions(table):
    lines = subprocess.run([os.path.join(BUILD, "tests", "core_cost"), str(AGENTS), str(EVENTS)], stdout=subprocess.PIPE, text=True,
                           check=True, timeout=600).stdout.splitlines()
    figures = {name: float(value) for name, value in (line.split("\t") for line in lines)}
    memory, mix = figures.pop("memory of an agent"), figures.pop("mix")
    for name, ns in figures.items():
        table.add(name, f"{ns:.0f} ns")
    table.add(f"a mix of them, {AGENTS} agents", f"{1e9 / mix:,.0f} a second", goal=f">= {1e9 / EVENT_GOAL_NS:,.0f}",
              met=mix <= EVENT_GOAL_NS)
    table.add("memory of an agent, core", f"{memory:.0f} bytes", goal=f"< {MEMORY_GOAL}", met=memory < MEMORY_GOAL)


class Agents:
    """Processes that do next to nothing, each an agent."""

    def __init__(self, bench, count, rules):
        self.bench, self.lives = bench, []
        # The name that nobody else starts; each wakes up twice a second, which is use enough to live.
        path = bench.path(f"lives{os.getpid()}")
        shutil.copy(os.path.join(BUILD, "tests", "lives"), path)
        self.govd = bench.govd({"bench": f"match: {{exe: {path}}}\nhold: never\nbulk: true\n" + rules})
        self.before = rss_bytes(self.govd.pid)
        for _ in range(count):
            process = subprocess.Popen([path, "rest", "500"], stdin=subprocess.DEVNULL)
            bench.running.append(process)
            self.lives.append(process)
        bench.wait_long(lambda: self.total() == count, f"{count} agents")

    def total(self):
        status = subprocess.run([os.path.join(BUILD, "govctl"), "--socket", self.bench.path("govd", "run", "govd.sock"), "--json",
                                 "status"], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout
        agents = json.loads(status)["agents"]
        return agents["total"] - agents["held"]

    def end(self):
        self.bench.end(self.govd)
        for process in self.lives:
            process.kill()
            process.wait()
            self.bench.running.remove(process)


class CensusBench(Bench):
    def wait_long(self, condition, what):
        end = time.monotonic() + 120
        while not condition():
            if time.monotonic() > end:
                sys.exit(f"bench: {what}: not within 120 s\n{self.log()}")
            time.sleep(0.2)


def census_of_proc(pids):
    """us that a monitor takes to read CPU time, characters and group of each; who reads the sockets' queues isn't even among it."""
    rounds, begin = 3, time.process_time_ns()
    for _ in range(rounds):
        for pid in pids:
            for name in ("stat", "io", "cgroup"):
                with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
                    file.read()
    return (time.process_time_ns() - begin) / 1000 / rounds


def census(table):
    """One a second. What govd does at rest anyway, with agents that nobody looks at, doesn't count. Each census also walks over all
    tasks and TCP sockets of the host, which a few agents can't make up for: what one agent more costs is what has a goal."""
    bench, last = CensusBench(), None
    for count in CENSUS_COUNTS:
        used_us, peer_us = {}, 0
        for policy in ("", "lifecycle: {idle: 10s, idle_cpu: 0%}\n"):
            agents = Agents(bench, count, policy)
            time.sleep(SETTLE_S)
            begin, before = time.monotonic(), cpu_ns(agents.govd.pid)
            time.sleep(CENSUS_S)
            used_us[policy] = (cpu_ns(agents.govd.pid) - before) / 1000 / (time.monotonic() - begin)
            peer_us = census_of_proc([process.pid for process in agents.lives]) / count
            per_agent = (rss_bytes(agents.govd.pid) - agents.before) / count
            agents.end()
        rest, looking = used_us.values()
        whole_us = looking - rest
        table.add(f"census of {count} agents", f"{whole_us:.0f} us", f"{peer_us * count:.0f} us",
                  f"{whole_us / (peer_us * count):.2f}")
        if last:
            us = (whole_us - last[1]) / (count - last[0])
            table.add(f"each agent more than {last[0]}", f"{us:.1f} us", f"{peer_us:.1f} us", f"{us / peer_us:.2f}",
                      f"< {CENSUS_GOAL_US} us", us < CENSUS_GOAL_US)
        last = (count, whole_us)
        if count == max(CENSUS_COUNTS):
            table.add("memory of an agent, all of govd", f"{per_agent:.0f} bytes", goal=f"< {MEMORY_GOAL}", met=per_agent < MEMORY_GOAL)


def main():
    if os.geteuid() != 0:
        sys.exit("bench: run it as root")
    deciding = Table(("deciding", "govd", "", "", "goal", ""))
    decisions(deciding)
    deciding.show()
    print()
    looking = Table(("looking", "govd", "/proc", "ratio", "goal", ""))
    census(looking)
    looking.show()
    print(f"{deciding.missed + looking.missed} goals missed; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    return 1 if deciding.missed + looking.missed else 0


if __name__ == "__main__":
    sys.exit(main())
