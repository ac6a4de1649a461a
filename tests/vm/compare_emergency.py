#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a guest of 1 GiB in which one of six agents takes 100 MiB a second: with nothing but the kernel, with
earlyoom and systemd-oomd as Debian has them, and with govd, without and with swap. Interleaved; prints a table of
medians. Memory is short from the first look that finds less than 10 % available to the last one.

usage: compare_emergency.py [none] [swap]; RUNS says how often each is played."""

import json
import os
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import BUILD, program, wait_until  # noqa: E402

RUNS = int(os.environ.get("RUNS", "5"))
AGENTS, INNOCENT_MIB = 6, 60
START_MIB, RATE_MIB = 40, 100
SWAP = "/compare.swap"
SWAP_MIB = 512
SLICE = "compare.slice"
LIMIT_S = 90  # of a run: systemd-oomd waits for 30 s of pressure
DIR = "/run/compare"
AGENT = f"{DIR}/bin/hoard"
QUIET_MIB = 200  # available again: twice what is short


def run(*command, **keywords):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **keywords).stdout


def field(path, name):
    with open(path, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def set_score(text):
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(text)


class Contender:
    needs_swap = False
    unit = None

    def start(self):
        if self.unit:
            run("systemctl", "start", self.unit)
            # Its first look at the host.
            time.sleep(2)

    def stop(self):
        if self.unit:
            run("systemctl", "stop", self.unit)

    def ready(self, pids):
        """All agents are where they belong."""


class Kernel(Contender):
    name = "kernel alone"


class Earlyoom(Contender):
    name = "earlyoom"
    unit = "earlyoom.service"


class Oomd(Contender):
    name = "systemd-oomd"
    unit = "systemd-oomd.service"
    needs_swap = True

    def start(self):
        # systemd-oomd.service(8): it needs swap to work well, memory accounting, and a slice that it is to watch.
        run("systemctl", "set-property", "--runtime", SLICE, "ManagedOOMMemoryPressure=kill", "ManagedOOMSwap=kill")
        super().start()


class Govd(Contender):
    name = "govd"

    def start(self):
        for name in ("policies", "run", "state"):
            os.makedirs(f"{DIR}/{name}", exist_ok=True)
        with open(f"{DIR}/policies/bot.yaml", "w", encoding="ascii") as file:
            file.write(f"match: {{exe: {AGENT}}}\n")
        self.log = open(f"{DIR}/log", "w", encoding="ascii")
        self.govd = subprocess.Popen([f"{BUILD}/govd", "--policy-dir", f"{DIR}/policies", "--runtime-dir", f"{DIR}/run",
                                      "--state-dir", f"{DIR}/state", "--slice", "comparegovd.slice"], stdin=subprocess.DEVNULL,
                                     stdout=self.log, stderr=self.log)
        wait_until(lambda: "ready\n" in open(f"{DIR}/log", encoding="ascii").read(), "govd is ready", 60)

    def ready(self, pids):
        def placed():
            listed = json.loads(run(f"{BUILD}/govctl", "--socket", f"{DIR}/run/govd.sock", "--json=short", "list"))
            return {a["pid"] for a in listed if a["state"] in ("active", "idle") and not a.get("observed")} >= set(pids)
        wait_until(placed, "all agents are placed", 60)

    def stop(self):
        self.govd.terminate()
        self.govd.wait()
        self.log.close()


def start_agent(index, growth):
    """In a scope of its own, in a slice that systemd-oomd may watch."""
    process = subprocess.Popen(["systemd-run", "--quiet", "--scope", f"--slice={SLICE}", f"--unit=compare-{index}-{time.monotonic_ns()}",
                                AGENT, *growth], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=lambda: set_score("0"))
    process.stdout.readline()
    return process


def play(contender, has_swap):
    """One run: what the ticker saw, and who was ended."""
    contender.start()
    size = str(INNOCENT_MIB)
    agents = [start_agent(i, (size, "0", size)) for i in range(AGENTS - 1)]
    agents.append(start_agent(AGENTS - 1, (str(START_MIB), str(RATE_MIB), "4000")))
    grower = agents[-1]
    contender.ready([process.pid for process in agents])
    before = field("/proc/vmstat", "oom_kill ")
    ticker = subprocess.Popen([program("ticker")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ticker.stdout.readline()
    time.sleep(1)
    grower.stdin.write(b"x")
    grower.stdin.flush()
    end = time.monotonic() + LIMIT_S
    while grower.poll() is None and time.monotonic() < end:
        time.sleep(0.1)
    while field("/proc/meminfo", "MemAvailable:") < QUIET_MIB << 10 and time.monotonic() < end:
        time.sleep(0.1)
    innocent = sum(process.poll() is not None for process in agents[:-1])
    seen = json.loads(ticker.communicate(b"x")[0])
    seen.update(grower=grower.poll() is not None, innocent=innocent, kernel=field("/proc/vmstat", "oom_kill ") - before)
    for process in agents:
        process.stdin.close()
        process.kill()
        process.wait()
    contender.stop()
    if has_swap:  # what was swapped out is no part of the next run
        run("swapoff", SWAP)
        run("swapon", SWAP)
    return seen


def show(results):
    print(f"\nOne of {AGENTS} agents takes {RATE_MIB} MiB a second; medians of {RUNS} runs, worst in brackets.")
    print(f"{'swap':>8} {'':<14}{'memory short, ms':>20}{'longest stall, ms':>20}{'who grows ended':>17}"
          f"{'others ended':>14}{'OOM kills':>11}{'short, govd = 1':>17}{'stall, govd = 1':>17}")
    for (swap, name), runs in results.items():
        def median(key, name=name, swap=swap):
            return statistics.median(r[key] for r in results[swap, name])

        def column(key, runs=runs, median=median):
            return f"{median(key):.0f} ({max(r[key] for r in runs):.0f})"

        def ratio(key, median=median):
            return f"{median(key) / median(key, 'govd'):.2f}"
        print(f"{f'{SWAP_MIB} MiB' if swap == 'swap' else swap:>8} {name:<14}{column('short_ms'):>20}{column('longest_ms'):>20}"
              f"{sum(r['grower'] for r in runs):>11} of {len(runs):<3}{sum(r['innocent'] for r in runs):>13}"
              f"{sum(r['kernel'] for r in runs):>11}{ratio('short_ms'):>17}{ratio('longest_ms'):>17}")


def main():
    set_score("-1000")
    os.makedirs(f"{DIR}/bin", exist_ok=True)
    run("cp", program("hoard"), AGENT)
    run("dd", "if=/dev/zero", f"of={SWAP}", "bs=1M", f"count={SWAP_MIB}", stderr=subprocess.DEVNULL)
    os.chmod(SWAP, 0o600)
    run("mkswap", SWAP)
    for swap in sys.argv[1:] or ("none", "swap"):
        results = {}
        if swap == "swap":
            run("swapon", SWAP)
        contenders = [c for c in (Kernel(), Earlyoom(), Oomd(), Govd()) if swap == "swap" or not c.needs_swap]
        for _ in range(RUNS):
            for contender in contenders:
                seen = play(contender, swap == "swap")
                print(swap, contender.name, seen, file=sys.stderr, flush=True)
                results.setdefault((swap, contender.name), []).append(seen)
        show(results)


if __name__ == "__main__":
    main()
