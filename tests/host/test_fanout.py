#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents that begin more processes than tasks.spawn_rate has room for; and that others cost nothing."""

import subprocess
import time
import unittest

from harness import GovdTest, wait_until

# Begins so many processes, waits for a line, and begins so many again.
SPAWNS = """#!/bin/sh
while read -r n; do
	i=0
	while [ "$i" -lt "$n" ]; do
		/bin/true
		i=$((i + 1))
	done
	echo done
done
"""


class FanoutTest(GovdTest):
    def begin(self, name="spawns", tasks="tasks: {spawn_rate: 20/s}", more=""):
        script = self.script(f"{name}.sh", SPAWNS)
        self.policy(name, f"match: {{script: DIR/{name}.sh}}\n{tasks}\n{more}")
        return script

    def agent(self, script):
        process = self.spawn(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        return process, self.agent_of(process.pid)

    @staticmethod
    def spawn_in(process, n):
        process.stdin.write(f"{n}\n")
        process.stdin.flush()
        process.stdout.readline()

    def incidents(self, agent):
        return [i for i in self.ctl_json("incidents", "--kind", "fan-out") if i["agent"] == agent["id"]]

    def programs(self):
        """Those of this govd that are attached to forks."""
        out = subprocess.run(["grep", "-l", "-s", "link_type:\traw_tracepoint\\|link_type:\ttracing", "-r",
                              f"/proc/{self.govd.pid}/fdinfo"], stdout=subprocess.PIPE, text=True, check=False).stdout
        return len(out.splitlines())

    def check(self, more, state):
        script = self.begin(more=more)
        other = self.begin("other", "", more)
        self.start()
        # Observed agents have a program of their own.
        before = self.programs() + (state == "observed")
        self.agent(other)
        self.assertEqual(self.programs(), before, "nobody asks for it")
        process, agent = self.agent(script)
        self.assertEqual(self.programs(), before + 1)
        self.assertEqual(agent["observed"], state == "observed")
        # 20/s are 100 in 5 s.
        self.spawn_in(process, 80)
        time.sleep(1)
        self.assertEqual(self.incidents(agent), [])
        self.spawn_in(process, 200)
        told = wait_until(lambda: self.incidents(agent), "the incident")
        self.assertEqual([(i["rule"], i["action"], i["by"]) for i in told], [("tasks.spawn_rate", "alert", "govd")])
        evidence = told[0]["evidence"]
        self.assertEqual((evidence["spawns"], evidence["max_per_s"], evidence["by_pid"]), (101, 20, process.pid))
        self.assertLessEqual(evidence["window_s"], 5)
        self.assertIsNone(process.poll())
        process.kill()
        process.wait()
        wait_until(lambda: self.programs() == before, "the program is detached")

    def test_agent_that_spawns_without_end_is_told_of(self):
        self.check("", "governed")

    def test_observed_agent_is_told_of(self):
        self.check("mode: observe\n", "observed")

    def test_policy_that_is_reloaded(self):
        script = self.begin(tasks="")
        self.start()
        before = self.programs()
        process, agent = self.agent(script)
        self.spawn_in(process, 300)
        self.begin()
        self.ctl("policy", "reload")
        wait_until(lambda: self.programs() == before + 1, "the program is attached")
        self.spawn_in(process, 120)
        wait_until(lambda: self.incidents(agent), "the incident")
        self.begin(tasks="")
        self.ctl("policy", "reload")
        wait_until(lambda: self.programs() == before, "the program is detached")


if __name__ == "__main__":
    unittest.main()
