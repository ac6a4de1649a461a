#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govd beside cgrulesengd and beside nothing, in one run: when agents are in their groups, which tools stay outside, and
what an exec costs that no policy concerns. Prints one table; exits 1 when a goal is missed. As root; QUICK=1 for a look."""

import atexit
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(ROOT, "scripts"))
from pins import remove_pins_of  # noqa: E402
BUILD = os.path.abspath(os.environ.get("GOVD_BUILD") or os.path.join(ROOT, "build"))
QUICK = os.environ.get("QUICK")
DENSE_STARTS = 100 if QUICK else 500
SPACED_STARTS = 20 if QUICK else 200
SPACING_MS = 50
LIFE_MS = 200  # of a spaced agent; at its end the tools are looked at
BLOCKS = 4 if QUICK else 60  # pairs with and without govd
BLOCK_EXECS = 300
EXEC_GOAL = 1.005
NAME = f"govbench-{os.getpid()}"
READY_S = 10
SETTLE_S = 0.2  # for what the kernel does later: programs and groups that come and go


def line_of_memory():
    """The line of /proc/PID/cgroup that tells where a process is: of v1's memory controller, where there is one."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(":", 2) for line in file]
    paths = {controllers: path for _, controllers, path in lines}
    found = next((name for name in paths if "memory" in name.split(",")), "")
    return (":" + found + ":" if found else "0::"), paths[found], found


def mount_of(controller):
    with open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            _, where, kind, options = line.split()[:4]
            if (kind == "cgroup" and controller in options.split(",")) or (kind == "cgroup2" and not controller):
                return where
    sys.exit(f"bench: no cgroup hierarchy with {controller or 'v2'} is mounted")


class Bench:
    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="govd-bench-")
        atexit.register(self.done)
        self.running = []
        os.mkdir(self.path("bin"))
        self.line, self.own, self.controller = line_of_memory()
        self.group = os.path.join(mount_of(self.controller), self.own.lstrip("/"), NAME)
        # A name that nobody else on this host starts: govd's kernel side goes by it.
        self.agent = self.path("bin", f"ag{os.getpid()}")
        subprocess.run(["cc", "-O2", "-static", "-nostdlib", "-ffreestanding", "-fno-stack-protector", "-o", self.agent,
                        os.path.join(ROOT, "tests/bench/newborn/newborn.c")], check=True)
        self.tool = shutil.copy(self.agent, self.path("tool"))
        shutil.copy("/bin/true", self.path("stranger"))

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def done(self):
        for process in self.running:
            process.kill()
            process.wait()
        paths = subprocess.run(["find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", f"*/{NAME}*"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout.split()
        for path in paths:
            try:
                os.rmdir(path)
            except OSError as error:
                print(f"bench: {path}: {error.strerror}", file=sys.stderr)
        self.remove_govd()
        shutil.rmtree(self.dir)

    # ---- who places

    def begin(self, *command):
        with open(self.path("log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.running.append(process)
        return process

    def end(self, process):
        if process:
            process.terminate()
            process.wait(READY_S)
            self.running.remove(process)

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait(self, condition, what):
        end = time.monotonic() + READY_S
        while not condition():
            if time.monotonic() > end:
                sys.exit(f"bench: {what}: not within {READY_S} s\n{self.log()}")
            time.sleep(0.02)

    def remove_govd(self):
        """What the one before has left: its files, and what paces connects."""
        remove_pins_of(self.path("govd", "run"), NAME + ".slice")
        if os.path.exists(self.path("govd")):
            shutil.rmtree(self.path("govd"))

    def govd(self, policies):
        self.remove_govd()
        os.makedirs(self.path("govd", "policies"))
        for name, text in policies.items():
            with open(self.path("govd", "policies", name + ".yaml"), "w", encoding="utf-8") as file:
                file.write(text)
        process = self.begin(os.path.join(BUILD, "govd"), "--policy-dir", self.path("govd", "policies"), "--runtime-dir",
                             self.path("govd", "run"), "--state-dir", self.path("govd", "state"), "--slice",
                             NAME + ".slice")
        self.wait(lambda: "ready\n" in self.log() or process.poll() is not None, "govd is ready")
        if process.poll() is not None:
            sys.exit(f"bench: govd ended:\n{self.log()}")
        return process

    def agents_policy(self, hold):
        return {"bench": f"match: {{exe: {self.agent}}}\nmemory: {{max: 1G}}\ntasks: {{max: 512}}\nhold: {hold}\n"}

    def start_nothing(self):
        return None

    def start_held(self):
        return self.govd(self.agents_policy("auto"))

    def start_caught(self):
        return self.govd(self.agents_policy("never"))

    def start_peer(self):
        """With an /etc and a /run of its own: nothing of the host's is touched, and another one isn't disturbed."""
        os.makedirs(self.group, exist_ok=True)
        etc = self.path("etc")
        os.makedirs(os.path.join(etc, "cgconfig.d"), exist_ok=True)
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache"):
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, etc)
        open(os.path.join(etc, "cgconfig.conf"), "w", encoding="utf-8").close()
        with open(os.path.join(etc, "cgrules.conf"), "w", encoding="utf-8") as file:
            file.write(f"*:{self.agent} {self.controller or 'memory'} {self.own.strip('/')}/{NAME}\n")
        os.makedirs(self.path("run"), exist_ok=True)
        process = self.begin("unshare", "--mount", "--propagation", "private", "sh", "-c",
                             'mount --bind "$1" /etc && mount --bind "$2" /run && exec "$3" -n -v', "sh", etc,
                             self.path("run"), shutil.which("cgrulesengd"))
        self.wait(lambda: os.path.exists(self.path("run", "cgred.socket")) or process.poll() is not None,
                  "cgrulesengd listens")
        if process.poll() is not None:
            sys.exit(f"bench: cgrulesengd ended:\n{self.log()}")
        return process

    # ---- what is measured

    def starts(self, n, spacing_ms, marker, *tool):
        """[(us to the first instruction, us to its group or None, tool is outside)]"""
        done = subprocess.run([os.path.join(BUILD, "tests", "starts"), str(n), str(spacing_ms), self.agent, self.line,
                               marker, str(LIFE_MS), *tool], stdout=subprocess.PIPE, text=True, check=True)
        rows = [line.split() for line in done.stdout.splitlines()]
        return [(float(first), float(placed) if float(placed) >= 0 else None, tool == "1") for first, placed, tool in rows]

    def exec_cost(self, *words):
        done = subprocess.run([os.path.join(BUILD, "tests", "exec_cost"), *words], stdout=subprocess.PIPE, text=True,
                              check=True)
        return [float(word) for word in done.stdout.split()]


def quantile(values, q):
    """Of placed ones and, as infinity, of those that never were."""
    values = sorted(float("inf") if value is None else value for value in values)
    return values[min(len(values) - 1, int(q * len(values)))]


def us(value):
    return "never" if value == float("inf") else f"{value:.0f} us" if value < 10000 else f"{value / 1000:.1f} ms"


def ratio_of(a, b):
    return "" if not b or b == float("inf") else "never" if a == float("inf") else f"{a / b:.2f}"


class Table:
    def __init__(self, head=("", "govd", "beside", "ratio", "goal", "")):
        self.head, self.rows, self.missed = head, [], 0

    def add(self, what, govd, peer="", ratio="", goal="", met=None):
        self.missed += met is False
        said = {None: "undecided" if goal else "", True: "met", False: "missed"}[met]
        self.rows.append((what, govd, peer, ratio, goal, said))

    def show(self):
        widths = [max(len(row[i]) for row in [self.head] + self.rows) for i in range(len(self.head))]
        for row in [self.head] + self.rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def outside_us(rows):
    """How long each ran outside of its group."""
    return [None if placed is None else max(0.0, placed - first) for first, placed, _ in rows]


def placing(bench, table, spaced):
    subjects = {"nothing": bench.start_nothing, "hold": bench.start_held, "no hold": bench.start_caught,
                "cgrulesengd": bench.start_peer}
    rows = {}
    for name, start in subjects.items():
        process = start()
        marker = "-" if name == "nothing" else NAME
        if spaced:
            rows[name] = bench.starts(SPACED_STARTS, SPACING_MS, marker, bench.tool)
        else:
            rows[name] = bench.starts(DENSE_STARTS, 0, marker)
        bench.end(process)
    where = f"starts {SPACING_MS} ms apart" if spaced else "dense starts"
    table.add(f"{where}: execve to the first instruction, with nothing",
              "", us(statistics.median(first for first, _, _ in rows["nothing"])))
    peer = [placed for _, placed, _ in rows["cgrulesengd"]]
    for name in ("hold", "no hold"):
        ours = [placed for _, placed, _ in rows[name]]
        for q, word in ((0.5, "p50"), (0.99, "p99")):
            table.add(f"{where}, {name}: execve to placed, {word}", us(quantile(ours, q)), us(quantile(peer, q)),
                      ratio_of(quantile(ours, q), quantile(peer, q)))
        out, peer_out = outside_us(rows[name]), outside_us(rows["cgrulesengd"])
        for q, word in ((0.5, "p50"), (0.99, "p99")):
            a, b = quantile(out, q), quantile(peer_out, q)
            # Without the hold it is a race that govd can lose; how it ends is told, and is no goal.
            is_goal = word == "p50" and name == "hold"
            table.add(f"{where}, {name}: runs outside of its group, {word}", us(a), us(b), ratio_of(a, b),
                      "<= half" if is_goal else "", a <= b / 2 if is_goal else None)
        missed = sum(placed is None for placed in ours)
        table.add(f"{where}, {name}: never placed, of {len(ours)}", str(missed), str(sum(p is None for p in peer)), "",
                  "0", missed == 0)
        if spaced:
            tools = sum(outside for _, _, outside in rows[name])
            table.add(f"{where}, {name}: tools outside after {LIFE_MS} ms, of {len(ours)}", str(tools),
                      str(sum(outside for _, _, outside in rows["cgrulesengd"])), "", "0", tools == 0)


def strangers(bench, table):
    """In turns A B B A, so that a drift of the machine falls on both."""
    policies = {"exe": f"match: {{exe: {bench.agent}}}\nmemory: {{max: 1G}}\n",
                "script": f"match: {{exe: /usr/bin/python3*, script: {bench.dir}/agents/**/*.py}}\nmemory: {{max: 1G}}\n"}
    os.makedirs(bench.path("agents", "one"), exist_ok=True)
    commands = {"a dynamic program (true)": [bench.path("stranger")],
                "the least program": [shutil.copy(bench.agent, bench.path("least")), "0::", "-", "0"]}
    costs = {name: ([], []) for name in commands}
    stats = {}
    for block in range(BLOCKS):
        for with_govd in (block % 2, not block % 2):
            since = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            process = bench.govd(policies) if with_govd else None
            time.sleep(SETTLE_S)
            # Both begin alike: with a CPU that is awake.
            bench.exec_cost(str(BLOCK_EXECS), *commands["a dynamic program (true)"])
            for name, command in commands.items():
                costs[name][bool(with_govd)].append(bench.exec_cost(str(BLOCK_EXECS), *command))
                if with_govd:
                    stats.setdefault(name, []).extend(bench.exec_cost("-s", str(since), "100", *command))
            bench.end(process)
    for name in commands:
        without, with_it = costs[name]
        for index, word in ((1, "CPU"), (0, "wall")):
            a, b = [pair[index] for pair in without], [pair[index] for pair in with_it]
            ratios = [y / x for x, y in zip(a, b)]
            low, high = interval(ratios)
            is_goal = word == "CPU"
            table.add(f"stranger's exec, {name}: {word}", f"{statistics.median(b) / 1000:.2f} us",
                      f"{statistics.median(a) / 1000:.2f} us", f"{statistics.median(ratios):.4f} ({low:.4f} .. {high:.4f})",
                      f"<= {EXEC_GOAL}" if is_goal else "", verdict(low, high, EXEC_GOAL) if is_goal else None)
        own = statistics.median(stats[name])
        share = own / statistics.median(pair[1] for pair in without)
        table.add(f"stranger's exec, {name}: govd's programs", f"{own:.0f} ns", "", f"{1 + share:.4f}",
                  f"<= {EXEC_GOAL}", 1 + share <= EXEC_GOAL)


def verdict(low, high, goal):
    """Of an interval: None when it has the goal inside, so that this machine's noise decides nothing."""
    return True if high <= goal else False if low > goal else None


def interval(ratios):
    """Of the median of the pairs' ratios, 95 %, by bootstrap."""
    pick = random.Random(1)
    medians = sorted(statistics.median(pick.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[1949]


def main():
    if os.geteuid() != 0:
        sys.exit("bench: run it as root")
    if not shutil.which("cgrulesengd"):
        sys.exit("bench: there is no cgrulesengd to compare with: apt-get install cgroup-tools")
    bench, table = Bench(), Table()
    begin = time.monotonic()
    placing(bench, table, False)
    placing(bench, table, True)
    strangers(bench, table)
    table.show()
    print(f"{table.missed} goals missed; {time.monotonic() - begin:.0f} s; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
