#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An agent that is short of memory is told of, and that it is over. On real memory.high: tests/vm/test_pressure.py."""

import os
import sys
import time
import unittest

from harness import GovdTest, wait_until

MIB = 1 << 20
SLOW = 60  # seconds
# Eight processes read a file that doesn't fit into the agent's memory, until the file `reads` has gone.
READS = """
import os, sys, time
for i in range(7):
    if os.fork() == 0:
        break
fd = os.open(sys.argv[1], os.O_RDONLY)
size, at = os.fstat(fd).st_size, i << 24
while os.path.exists(sys.argv[2]):
    os.pread(fd, 1 << 20, at)
    at = (at + (1 << 20)) % size
time.sleep(600)
"""


class PressureTest(GovdTest):
    def reader(self, memory):
        with open(self.path("data"), "wb") as file:
            for _ in range(120):
                file.write(os.urandom(MIB))
            file.flush()
            os.fsync(file.fileno())
            # Whose page cache it is says who has read it first.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with open(self.path("reads"), "w", encoding="ascii"):
            pass
        agent = self.copy(sys.executable, "agent")
        self.policy("bot", f"match: {{exe: DIR/bin/agent}}\nmemory: {{{memory}}}\n")
        self.start()
        process = self.spawn(agent, "-c", READS, self.path("data"), self.path("reads"))
        return self.agent_of(process.pid)

    def rung(self, agent):
        return self.ctl_json("show", agent["id"])["pressure"]["rung"]

    def told(self, result):
        (told,) = wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "pressure")
                                      if i["result"] == result], f"pressure {result}", SLOW)
        return told

    def test_pressure_is_noted_and_its_end(self):
        agent = self.reader("max: 32M, on_pressure: note")
        self.assertEqual(self.ctl_json("show", agent["id"])["limits"]["memory_max_bytes"], 32 * MIB)
        begun = self.told("begun")
        self.assertEqual((begun["agent"], begun["policy"], begun["rule"], begun["action"], begun["by"]),
                         (agent["id"], "bot", "memory.on_pressure", "note", "govd"), begun)
        self.assertGreaterEqual(begun["evidence"]["some_pct"], 15, begun)
        self.assertGreaterEqual(begun["evidence"]["some_pct"], begun["evidence"]["full_pct"], begun)
        self.assertLessEqual(begun["evidence"]["memory_bytes"], 32 * MIB, begun)
        self.assertEqual(begun["evidence"]["memory_max_bytes"], 32 * MIB, begun)
        self.assertEqual(self.rung(agent), "note")
        self.assertIn("memory is short", self.ctl_json("explain", agent["id"])["why"])
        os.unlink(self.path("reads"))
        over = self.told("over")
        self.assertEqual((over["action"], over["evidence"]["peak"]), ("note", "note"), over)
        self.assertGreaterEqual(over["evidence"]["peak_some_pct"], begun["evidence"]["some_pct"], over)
        self.assertGreater(over["evidence"]["duration_s"], 5, over)
        self.assertEqual(self.rung(agent), "rest")
        self.assertEqual(len(self.ctl_json("incidents", "--kind", "pressure")), 2)

    def test_agents_share_a_trigger(self):
        """The end of one of their own would take the loop 10 ms each."""
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 100M}\n")
        self.start()
        processes = [self.spawn(agent, "1000") for _ in range(20)]
        wait_until(lambda: len([a for a in self.agents() if a["since_s"] > 4 and a["state"] != "held"]) == 20, "they live for a while")
        directory = f"/proc/{self.govd.pid}/fd"
        files = [os.readlink(os.path.join(directory, name)) for name in os.listdir(directory)]
        triggers = [name for name in files if name.endswith("/memory.pressure")]
        self.assertEqual(len(triggers), 1, triggers)
        began = time.monotonic()
        for process in processes:
            process.kill()
        wait_until(lambda: not self.agents(), "all have ended")
        print(f"{(time.monotonic() - began) * 1e3:.0f} ms for the ends of all", end=" ", flush=True)


if __name__ == "__main__":
    unittest.main()
