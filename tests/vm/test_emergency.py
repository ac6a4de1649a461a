#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The host's emergency, in a guest of 1 GiB: govd ends the right agent before the kernel ends anybody, and nothing stalls.
RUNS says how often the case of who grows is played."""

import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "host"))

from harness import GovdTest, is_alive, program, wait_until  # noqa: E402

RUNS = int(os.environ.get("RUNS", "20"))
STALL_MAX_MS = 2000
INNOCENT_MIB = 60
AGENTS = 6
GROWTH = ("40", "100", "3000")  # MiB, MiB a second, at most
KEYED = 'match: {exe: DIR/bin/NAME}\nkey: {args: "^\\\\S+ (\\\\d+)"}\n'
SLOW = 60


def oom_kills():
    with open("/proc/vmstat", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("oom_kill "))


def total_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(file.readline().split()[1]) << 10


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable:")) << 10


def be_first():
    """The kernel's choice."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("1000")


def be_ordinary():
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("0")


class EmergencyTest(GovdTest):
    def setUp(self):
        super().setUp()
        self.assertLess(total_memory(), 1 << 30, "this is for a guest of 1 GiB")
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("-1000")  # the kernel is to end an agent, or nobody

        self.ids = {}

    @staticmethod
    def all_but(mebibytes):
        return (available_memory() >> 20) - mebibytes

    def host(self, text):
        with open(self.path("govd.yaml"), "w", encoding="utf-8") as file:
            file.write(text)

    def bot(self, name="bot", text=""):
        self.copy(program("hoard"), name)
        self.policy(name, KEYED.replace("NAME", name) + text)
        return self.path("bin", name)

    def hoard(self, path, mebibytes=INNOCENT_MIB, growth=("0", "0"), **keywords):
        """An agent that has so much memory."""
        process = self.spawn(path, str(mebibytes), *(growth if growth[0] != "0" else ("0", str(mebibytes))),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=be_ordinary, **keywords)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        process.stdout.readline()
        self.ids[process.pid] = self.placed(process.pid)["id"]
        return process

    def orphan(self, path, mebibytes):
        """An agent whose parent has ended."""
        reads, writes = os.pipe()
        self.addCleanup(os.close, writes)
        shell = self.spawn("/bin/sh", "-c", '"$0" "$1" 0 "$1" <&3 >/dev/null & echo "$!"; sleep 1', path, str(mebibytes), stdout=subprocess.PIPE,
                           preexec_fn=lambda: (be_ordinary(), os.dup2(reads, 3)), pass_fds=(3,), text=True)
        os.close(reads)
        pid = int(shell.stdout.readline())
        agent = self.placed(pid)
        shell.stdout.close()
        shell.wait()
        return agent

    def placed(self, pid):
        return wait_until(lambda: next((a for a in self.agents() if a["pid"] == pid and
                                        a["state"] not in ("starting", "held")), None), f"pid {pid} is placed", SLOW)

    def grow(self, process):
        process.stdin.write(b"x")
        process.stdin.flush()

    def ticker(self):
        process = self.spawn(program("ticker"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    def figures(self, ticker):
        out, _ = ticker.communicate(b"x", timeout=SLOW)
        return json.loads(out)

    def incidents(self, *words):
        return self.ctl_json("incidents", *words)

    def told(self, action, count=1):
        def found():
            told = [i for i in self.incidents("--kind", "emergency") if i["action"] == action]
            return told if len(told) >= count else None
        return wait_until(found, f"{count} incidents emergency {action}", SLOW)

    def check(self, what, figures, before):
        print(f"{what}: longest stall {figures['longest_ms']} ms, memory short for {figures['short_ms']} ms, "
              f"lowest {figures['lowest_kib'] >> 10} MiB", file=sys.stderr)
        self.assertEqual(oom_kills(), before, "the kernel's OOM killer was first")
        self.assertLess(figures["longest_ms"], STALL_MAX_MS, figures)

    # ---- who is chosen

    def play(self, innocents, grower):
        """Until the grower has ended; all others live."""
        before, ticker = oom_kills(), self.ticker()
        self.grow(grower)
        status = grower.wait(SLOW)
        figures = self.figures(ticker)
        self.assertEqual(status, -signal.SIGKILL)
        for process in innocents:
            self.assertIsNone(process.poll(), f"{self.ids[process.pid]} was ended, too: {self.incidents('--kind', 'emergency')}")
        self.check("one grows", figures, before)

    def play_one_who_grows(self, path, innocents):
        grower = self.hoard(path, int(GROWTH[0]), GROWTH[1:])
        agent = self.placed(grower.pid)
        self.assertEqual(len(self.agents()), AGENTS)
        self.play(innocents, grower)
        wait_until(lambda: not [a for a in self.agents() if a["pid"] == grower.pid], "govd knows of its end")
        (told,) = wait_until(lambda: self.incidents("--kind", "emergency", "--agent", agent["id"]), "it is told")
        self.assertEqual((told["rule"], told["action"], told["result"], told["by"]),
                         ("emergency.memory_available", "kill", "done", "govd"), told)
        self.assertTrue(told["evidence"]["rank_1"].startswith(agent["id"]), told)
        self.assertEqual(self.incidents("--kind", "oom"), [])

    def test_who_grows_is_ended_before_the_kernel_ends_anybody(self):
        path = self.bot()
        self.host("emergency: {kills_per_min: 60}\n")  # the runs take seconds each, and the default is three a minute
        self.start()
        innocents = [self.hoard(path, INNOCENT_MIB + i) for i in range(AGENTS - 1)]
        for run in range(RUNS):
            print(f"run {run + 1} of {RUNS}, ", end="", file=sys.stderr)
            self.play_one_who_grows(path, innocents)
        self.assertEqual(len(self.told("kill", RUNS)), RUNS)

    def test_an_orphan_and_a_duplicate_come_first(self):
        path = self.bot(text="priority: 5\n")
        self.start()
        grower = self.hoard(path, 41, ("100", "3000"))
        twins = [self.hoard(path, 100) for _ in range(2)]
        orphan = self.orphan(path, 120)
        before, ticker = oom_kills(), self.ticker()
        self.grow(grower)
        self.assertEqual(grower.wait(SLOW), -signal.SIGKILL)
        self.check("an orphan, a duplicate, and one that grows", self.figures(ticker), before)
        killed = [i["agent"] for i in sorted(self.told("kill", 3), key=lambda i: i["time"])]
        self.assertEqual(killed, [orphan["id"], self.ids[twins[0].pid], self.ids[grower.pid]])
        self.assertFalse(is_alive(orphan["pid"]))
        self.assertEqual(twins[0].wait(SLOW), -signal.SIGKILL)
        self.assertIsNone(twins[1].poll())

    def test_nobody_who_is_protected_or_observed_is_ended(self):
        safe, watched, bot = self.bot("safe", "protect: true\n"), self.bot("watched", "mode: observe\n"), self.bot()
        self.start()
        spared = [self.hoard(safe, 150), self.hoard(safe, 150), self.hoard(watched, 150)]
        grower = self.hoard(bot, int(GROWTH[0]), GROWTH[1:])
        self.play(spared, grower)
        self.assertEqual(len(self.told("kill")), 1)

    def hoard_of_stranger(self, mebibytes):
        """It is no agent, and grows to so much."""
        stranger = self.spawn(program("hoard"), "1", "200", str(mebibytes), stdin=subprocess.PIPE, preexec_fn=be_first)
        self.addCleanup(stranger.stdin.close)
        return stranger

    def test_no_more_than_kills_per_min(self):
        """Who isn't an agent takes the memory: ending agents doesn't help for long."""
        path = self.bot()
        self.host("emergency: {kills_per_min: 2}\n")
        self.start()
        agents = [self.hoard(path, 50 + i) for i in range(AGENTS)]
        stranger = self.hoard_of_stranger(3000)
        self.grow(stranger)
        wait_until(lambda: [i for i in self.incidents("--kind", "alert") if i["rule"] == "emergency.kills_per_min"],
                   "that there are too many is told", SLOW)
        self.assertEqual(self.ctl_json("status")["emergency"]["kills"], 2)
        self.assertEqual(len([a for a in agents if a.poll() is None]), AGENTS - 2)
        stranger.kill()

    def alerts(self):
        return [i for i in self.incidents("--kind", "alert") if i["rule"] == "emergency.kills_per_min"]

    def test_no_more_than_kills_per_min_whoever_governs(self):
        """A govd that is killed has its successor know of them. Memory stays short of what is wanted, but the kernel has plenty."""
        path = self.bot()
        self.host("emergency: {memory_available: 30%, for: 500ms, kills_per_min: 2}\n")
        self.start()
        agents = [self.hoard(path, 50 + i) for i in range(AGENTS)]
        stranger = self.hoard_of_stranger(self.all_but(100))
        self.grow(stranger)
        wait_until(self.alerts, "that there are too many is told", SLOW)
        self.stop_govd(signal.SIGKILL)
        self.start()
        wait_until(lambda: len(self.alerts()) == 2, "the next one tells it, too", SLOW)
        self.assertEqual(len([a for a in agents if a.poll() is None]), AGENTS - 2)
        stranger.kill()

    def test_observe_says_who_would_be_ended(self):
        path = self.bot()
        self.host("emergency: {memory_available: 30%}\n")
        self.start("--observe")
        innocents = [self.hoard(path, INNOCENT_MIB + i) for i in range(AGENTS - 1)]
        grower = self.hoard(path, 40, ("100", str(self.all_but(200))))
        self.grow(grower)
        (told,) = self.told("would-kill")
        self.assertEqual((told["agent"], told["result"]), (self.ids[grower.pid], "observed"), told)
        self.assertGreater(told["evidence"]["agent_bytes"], 60 << 20, told)
        for process in [*innocents, grower]:
            self.assertIsNone(process.poll())

    def test_govd_stays_in_memory(self):
        self.start()
        with open(f"/proc/{self.govd.pid}/status", encoding="ascii") as file:
            locked = next(int(line.split()[1]) for line in file if line.startswith("VmLck:"))
        self.assertGreater(locked, 4096)


if __name__ == "__main__":
    unittest.main()
