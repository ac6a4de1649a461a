#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What the pacing of connects costs those who needn't wait, and the same reconnect storm under govd, under nftables and
under nothing, in one run. Prints two tables; exits 1 when a goal is missed. As root; QUICK=1 for a look."""

import atexit
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from bench import BUILD, NAME, QUICK, Bench, Table, interval, mount_of, verdict

ROUNDS = 40 if QUICK else 400
BULK_ROUNDS = 30 if QUICK else 200
STORM_S = 4 if QUICK else 20
STORM_RATE, STORM_BURST = 5, 5
PORT = 7000
ADDRESSES = ("198.51.100.1", "198.51.100.2")  # of the two namespaces, RFC 5737
SELF = "127.0.0.1"

# paced_cost.c's, in its order.
CONDITIONS = ("nothing", "nothing again", "a stranger", "governed, no limit", "governed, far below its limit")
CONNECT_GOALS = {"a stranger": 1.005, "governed, far below its limit": 1.05}
BULK_GOALS = {"governed, no limit": 1.01, "governed, far below its limit": 1.01}
MEASURED = (  # what, workload of paced_cost.c, address, rounds, goals
    ("connect and close, on loopback", "connect", SELF, ROUNDS, CONNECT_GOALS),
    ("connect and close, across veth", "connect", ADDRESSES[1], ROUNDS, CONNECT_GOALS),
    ("connect, accept, close twice, in one process", "bare", SELF, ROUNDS, CONNECT_GOALS),
    ("256 KB, on loopback", "bulk", SELF, BULK_ROUNDS, BULK_GOALS),
    ("256 KB, across veth", "bulk", ADDRESSES[1], BULK_ROUNDS, BULK_GOALS),
)

NFT_RULE = f"tcp dport {PORT} tcp flags & (syn | ack) == syn limit rate over {STORM_RATE}/second burst {STORM_BURST} packets"
NFT_WAYS = {"nftables, drop": "drop", "nftables, reject": "reject", "nftables, tcp reset": "reject with tcp reset"}


def run(*words, text=None):
    subprocess.run(words, input=text, stdin=None if text else subprocess.DEVNULL, text=True, check=True, timeout=60)


class Namespaces:
    """Two of the bench's own with a veth pair between them."""

    def __init__(self):
        self.names = [f"{NAME}-{side}" for side in "ab"]
        self.paths = ["/run/netns/" + name for name in self.names]
        for name in self.names:
            run("ip", "netns", "add", name)
        run("ip", "-n", self.names[0], "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns", self.names[1])
        for name, address in zip(self.names, ADDRESSES):
            run("ip", "-n", name, "address", "add", address + "/24", "dev", "veth0")
            for link in ("lo", "veth0"):
                run("ip", "-n", name, "link", "set", link, "up")
            # Or the ports are used up after seconds.
            run(*self.prefix(name), "sysctl", "-qw", "net.ipv4.tcp_max_tw_buckets=0")

    @staticmethod
    def prefix(name):
        return ("nsenter", "--net=/run/netns/" + name)

    def remove(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "delete", name], check=False, timeout=60)


def slice_of():
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        own = next(line.split(":", 2)[2].strip() for line in file if line.startswith("0::"))
    mount = mount_of("")
    return mount, os.path.join(mount, own.lstrip("/"), NAME + "-cost.slice")


def costs(namespaces, table):
    mount, path = slice_of()
    for what, workload, address, rounds, goals in MEASURED:
        peer = namespaces.paths[0 if address == SELF else 1]
        done = subprocess.run([os.path.join(BUILD, "tests", "paced_cost"), os.path.join(BUILD, "bpf", "gov.o"), mount, path,
                               namespaces.paths[0], peer, address, workload, str(rounds)], stdout=subprocess.PIPE, text=True,
                              check=True, timeout=1800)
        rows = [[float(word) for word in line.split()] for line in done.stdout.splitlines()]
        base = [row[0] for row in rows]
        for index, condition in enumerate(CONDITIONS[1:], 1):
            values = [row[index] for row in rows]
            ratios = [value / other for value, other in zip(values, base)]
            low, high = interval(ratios)
            goal = goals.get(condition)
            table.add(f"{what}: {condition}", shown(statistics.median(values)), shown(statistics.median(base)),
                      f"{statistics.median(ratios):.4f} ({low:.4f} .. {high:.4f})", f"<= {goal}" if goal else "",
                      verdict(low, high, goal) if goal else None)


def shown(ns):
    return f"{ns / 1000:.2f} us" if ns < 1e6 else f"{ns / 1e6:.2f} ms"


# ---- the storm ----------------------------------------------------------------------------------------------------------


class Storm:
    """One client that connects again as soon as the server has closed."""

    def __init__(self, bench, namespaces):
        self.bench, self.name = bench, namespaces.names[0]
        self.prefix = namespaces.prefix(self.name)
        self.client = bench.path("bin", "reconnects")
        run("cp", os.path.join(BUILD, "tests", "connects"), self.client)

    def nft(self, text):
        run(*self.prefix, "nft", "-f", "-", text=text)

    def play(self):
        """What the server saw and what the client did."""
        accepts = self.bench.path("accepts")
        with open(accepts, "w", encoding="utf-8") as file:
            server = subprocess.Popen([*self.prefix, os.path.join(BUILD, "tests", "accepts"), "close", str(PORT), "1", SELF],
                                      stdin=subprocess.DEVNULL, stdout=file)
        self.bench.running.append(server)
        self.bench.wait(lambda: "ready\n" in read(accepts), "the server listens")
        client = subprocess.run([*self.prefix, self.client, "--keep", "--seconds", str(STORM_S), SELF, str(PORT)],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True, timeout=STORM_S + 60)
        self.bench.end(server)
        return self.result(read(accepts), json.loads(client.stdout.splitlines()[-1]))

    @staticmethod
    def result(accepts, told):
        lines = accepts.split("ready\n", 1)[1].rpartition("\n")[0].splitlines()
        times = [int(line.split()[1]) / 1e9 for line in lines]
        rate = (len(times) - STORM_BURST) / (times[-1] - times[STORM_BURST - 1])
        return {"rate": rate, "errors": sum(told["errors"].values()), "cpu": told["cpu_ns"] / STORM_S / 1e7,
                "worst": told["worst_ms"]}

    def under_nftables(self, way):
        self.nft(f"add table inet bench; add chain inet bench out {{ type filter hook output priority 0; }};"
                 f"add rule inet bench out {NFT_RULE} {way}")
        result = self.play()
        self.nft("delete table inet bench")
        return result

    def under_govd(self):
        rate = f"{{rate: {STORM_RATE}/s, burst: {STORM_BURST}}}"
        process = self.bench.govd({"reconnects": f"match: {{exe: {self.client}}}\nconnect: {rate}\n"})
        result = self.play()
        self.bench.end(process)
        return result


def storms(bench, namespaces):
    """Prints them side by side; returns how many goals govd has missed."""
    storm = Storm(bench, namespaces)
    results = {"nothing": storm.play(), "govd": storm.under_govd()}
    results.update({name: storm.under_nftables(way) for name, way in NFT_WAYS.items()})
    print(f"\na client that connects again as soon as the server has closed, {STORM_S} s, limit {STORM_RATE}/s, burst {STORM_BURST}")
    print(f"{'under':22}{'connects/s':>12}{'client errors':>15}{'client CPU':>12}{'longest connect':>18}")
    for name, result in results.items():
        print(f"{name:22}{result['rate']:12.2f}{result['errors']:15}{result['cpu']:10.2f} %{result['worst']:15.1f} ms")
    govd = results["govd"]
    goals = {"rate within 3 %": abs(govd["rate"] / STORM_RATE - 1) <= 0.03, "no errors": govd["errors"] == 0,
             "CPU under 1 %": govd["cpu"] < 1}
    print("govd: " + ", ".join(f"{goal}: {'met' if met else 'missed'}" for goal, met in goals.items()) + "\n")
    return list(goals.values()).count(False)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def main():
    if os.geteuid() != 0:
        sys.exit("bench: run it as root")
    for program, package in (("nft", "nftables"), ("ip", "iproute2")):
        if not shutil.which(program):
            sys.exit(f"bench: there is no {program}: apt-get install {package}")
    bench, table = Bench(), Table(("", "with", "without", "ratio, 95 %", "goal", ""))
    namespaces = Namespaces()
    atexit.register(namespaces.remove)
    begin = time.monotonic()
    missed = storms(bench, namespaces)
    costs(namespaces, table)
    table.show()
    missed += table.missed
    print(f"{missed} goals missed; {time.monotonic() - begin:.0f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
