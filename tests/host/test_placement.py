#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Where agents go: the policy key `placement`."""

import os
import signal
import unittest

from harness import GovdTest, cgroups_of, children_of, v2_root, wait_until


class PlacementTest(GovdTest):
    def start_one(self, placement, command="sleep", args=("300",)):
        agent = self.copy(command, "agent")
        self.policy("bot", f"match: {{exe: DIR/bin/agent}}\nplacement: {placement}\nmemory: {{max: 64M}}\n")
        self.start()
        return self.spawn(agent, *args)

    def explained(self, pid):
        told = self.ctl_json("explain", str(pid))
        return told["placement"], told["placement_reason"]

    def test_none_only_watches_and_records(self):
        process = self.start_one("none")
        found = self.agent_of(process.pid)
        self.assertTrue(found["observed"])
        self.assertEqual(cgroups_of(process.pid), cgroups_of(os.getpid()))
        self.assertEqual(self.explained(process.pid), ("none", "its policy says so"))
        told = wait_until(lambda: self.ctl_json("incidents", "--agent", found["id"]), "an incident")[0]
        self.assertEqual((told["kind"], told["rule"], told["action"]), ("placed", "placement", "would-place"))
        self.policy("bot", "match: {exe: DIR/bin/agent}\nplacement: scope\n")
        self.ctl("policy", "reload")
        self.assert_placed(process.pid)
        self.policy("bot", "match: {exe: DIR/bin/agent}\nplacement: none\n")
        self.ctl("policy", "reload")
        wait_until(lambda: cgroups_of(process.pid) == cgroups_of(os.getpid()), "it is back")
        self.assertIsNone(process.poll())

    def nested_group(self, agent):
        own = cgroups_of(os.getpid())[""]
        self.assertEqual(agent["cgroup"], f"{own.rstrip('/')}/govd-bot-{agent['id']}")
        return v2_root() + agent["cgroup"]

    def test_nested_group_is_inside_its_own(self):
        process = self.start_one("nested", "sh", ("-c", "sleep 300 & sleep 300 & wait"))
        found = self.agent_of(process.pid)
        group = self.nested_group(found)
        wait_until(lambda: len(children_of(process.pid)) == 2, "two children")
        for pid in (process.pid, *children_of(process.pid)):
            self.assertEqual(cgroups_of(pid)[""], found["cgroup"])
        self.assertEqual(self.ctl_json("show", found["id"])["placement"], "nested")
        self.ctl("freeze", found["id"])
        with open(group + "/cgroup.freeze", encoding="ascii") as file:
            self.assertEqual(file.read().strip(), "1")
        self.ctl("thaw", found["id"])
        self.ctl("kill", found["id"])
        self.assertEqual(process.wait(20), -signal.SIGKILL)
        wait_until(lambda: not os.path.exists(group) and not self.agents(), "the group is removed")

    def test_nested_children_forked_at_once_follow(self):
        script = self.script("forks.sh", "#!/bin/sh\nsleep 300 &\nsleep 300 &\nwait\n")
        self.policy("bot", "match: {script: DIR/forks.sh}\nhold: never\nplacement: nested\n")
        self.start()
        for _ in range(5):
            process = self.spawn("/bin/sh", script)
            found = self.agent_of(process.pid)
            wait_until(lambda p=process: len(children_of(p.pid)) == 2, "two children")
            for child in children_of(process.pid):
                wait_until(lambda c=child, f=found: cgroups_of(c)[""] == f["cgroup"], "the child is in it, too")

    def test_nested_agent_of_a_nested_agent_is_found_again(self):
        inner = self.copy("sleep", "inner")
        self.policy("inner", "match: {exe: DIR/bin/inner}\nplacement: nested\n")
        outer = self.start_one("nested", "sh", ("-c", f"{inner} 300 & wait"))
        (pid,) = wait_until(lambda: children_of(outer.pid), "its child")
        before = [self.agent_of(outer.pid), self.agent_of(pid)]
        self.assertEqual(before[1]["cgroup"], f"{before[0]['cgroup']}/govd-inner-{before[1]['id']}")
        self.ctl("freeze", before[1]["id"])
        self.stop_govd(signal.SIGKILL)
        self.start()
        after = [self.agent_of(outer.pid), self.agent_of(pid)]
        self.assertEqual([(a["id"], a["cgroup"]) for a in after], [(a["id"], a["cgroup"]) for a in before])
        self.assertEqual(after[1]["state"], "frozen")
        self.stop_govd(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        outer.kill()
        outer.wait()
        self.start()
        wait_until(lambda: not self.agents(), "both have gone")
        for agent in before:
            told = wait_until(lambda a=agent: [i for i in self.ctl_json("incidents", "--agent", a["id"])
                                               if i["kind"] == "stopped"], "its end is told")
            self.assertEqual(len(told), 1)
        self.assertFalse(os.path.exists(v2_root() + before[0]["cgroup"]))

    def test_nested_agent_is_found_again_and_released(self):
        process = self.start_one("nested")
        before = self.agent_of(process.pid)
        group = self.nested_group(before)
        self.stop_govd(signal.SIGKILL)
        self.start()
        after = self.agent_of(process.pid)
        self.assertEqual((after["id"], after["cgroup"]), (before["id"], before["cgroup"]))
        self.assertEqual(self.ctl_json("show", after["id"])["placement"], "nested")
        self.ctl("release", after["id"])
        self.assertEqual(cgroups_of(process.pid), cgroups_of(os.getpid()))
        wait_until(lambda: not os.path.exists(group), "the group is removed")
        self.assertIsNone(process.poll())


if __name__ == "__main__":
    unittest.main()
