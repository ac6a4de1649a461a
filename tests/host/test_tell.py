#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a whole govd tells: status, events, policies, history."""

import json
import os
import signal
import subprocess
import unittest

from harness import BUILD, GovdTest, wait_until


class TellTest(GovdTest):
    def test_status_counts(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        before = self.ctl_json("status")
        self.assertEqual((before["mode"], before["policies"]), ("enforce", 1))
        self.assertIn(f"{before['backend']} backend: ", self.log_text())
        self.assertEqual(before["agents"], {"total": 0, "held": 0, "frozen": 0})
        process = self.spawn(agent, "300")
        found = self.agent_of(process.pid)
        self.ctl("freeze", found["id"])
        after = self.ctl_json("status")
        self.assertEqual(after["agents"], {"total": 1, "held": 0, "frozen": 1})
        self.assertGreater(after["events"]["received"], before["events"]["received"])
        self.assertEqual(after["events"]["lost"], 0)
        self.assertEqual(after["actions"]["placed"], 1)
        self.assertGreater(after["log"]["emitted"], 0)

    def test_events_are_followed_as_json_lines(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        follower = self.spawn(os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), "--json=short",
                              "events", "-f", stdout=subprocess.PIPE, text=True)
        wait_until(lambda: self.ctl_json("status")["clients"]["connected"] >= 2, "the follower is connected")
        process = self.spawn(agent, "300")
        events = []
        while not events or events[-1]["event"] != "placed":
            events.append(json.loads(follower.stdout.readline()))
        self.assertEqual((events[-1]["policy"], events[-1]["pid"], events[-1]["result"]), ("bot", process.pid, "done"))
        follower.stdout.close()
        recent = self.ctl("--json=short", "events").stdout.splitlines()
        self.assertIn("placed", [json.loads(line)["event"] for line in recent])

    def test_policies_are_listed_shown_and_tested(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn(agent, "300")
        self.agent_of(process.pid)
        listed = self.ctl_json("policy", "list")
        self.assertEqual([(p["name"], p["mode"], p["agents"], p["state"]) for p in listed], [("bot", "enforce", 1, "loaded")])
        shown = self.ctl("policy", "show", "bot").stdout
        self.assertIn("max: 64M", shown)
        with open(self.path("copy.yaml"), "w", encoding="utf-8") as file:
            file.write(shown)
        self.assertEqual(self.ctl("policy", "check", self.path("copy.yaml")).stdout, "")
        mine = self.ctl_json("policy", "test", str(os.getpid()))
        self.assertEqual((mine["policy"], mine["policies"][0]["key"]), (None, "exe"))
        its = self.ctl_json("policy", "test", str(process.pid))
        self.assertEqual((its["policy"], its["policies"][0]["matched"]), ("bot", True))
        self.assertRegex(self.ctl("policy", "test", str(process.pid)).stdout, r"(?m)^  bot +matched$")
        self.assertRegex(self.ctl("policy", "test", str(os.getpid())).stdout, r"(?m)^  bot +no: exe: .*python")
        self.assertEqual(self.ctl("policy", "test", "none", check=False).returncode, 2)
        gone = self.spawn("true")
        gone.wait()
        self.assertEqual(self.ctl("policy", "test", str(gone.pid), check=False).returncode, 1)

    def test_bad_file_keeps_what_was_in_force(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.policy("other", "match: {exe: DIR/bin/other}\n")
        self.start()
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 400MB}\n")
        self.policy("new", "match: {exe: DIR/bin/new}\n")
        check = self.ctl("policy", "check", self.path("policies", "bot.yaml"), check=False)
        self.assertEqual(check.returncode, 1)
        self.assertRegex(check.stdout, r"bot\.yaml: memory\.max: .*400M")
        reload = self.ctl("policy", "reload", check=False)
        self.assertIn("memory.max", reload.stdout + reload.stderr)
        self.assertEqual(sorted(p["name"] for p in self.ctl_json("policy", "list") if p["state"] == "loaded"),
                         ["bot", "new", "other"])
        process = self.spawn(agent, "300")
        self.assertEqual(self.agent_of(process.pid)["policy"], "bot")

    def test_hangup_reloads(self):
        self.start()
        self.policy("late", "match: {exe: DIR/bin/late}\n")
        self.govd.send_signal(signal.SIGHUP)
        wait_until(lambda: [p["name"] for p in self.ctl_json("policy", "list")] == ["late"], "the new policy is in force")

    def test_reload_changes_limits_of_living_agents(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn(agent, "300")
        self.assertEqual(self.agent_of(process.pid)["memory_max_bytes"], 64 << 20)
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 128M}\n")
        self.ctl("policy", "reload")
        self.assertEqual(self.agent_of(process.pid)["memory_max_bytes"], 128 << 20)
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.ctl("policy", "reload")
        self.assertIsNone(self.agent_of(process.pid)["memory_max_bytes"])

    def test_history_is_read_without_govd(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        process = self.spawn(agent, "300")
        found = self.agent_of(process.pid)
        self.ctl("stop", found["id"])
        wait_until(lambda: not self.agents(), "the agent is gone")
        self.stop_govd()
        # The recorder may outlive it by a moment.
        told = wait_until(lambda: len(rows := self.ctl_json("incidents", "--agent", found["id"])) == 2 and rows, "both")
        self.assertEqual([(i["kind"], i["action"], i["result"]) for i in told],
                         [("placed", "place", "done"), ("stopped", "stop", "done")])
        self.assertEqual(told[0]["evidence"]["pid"], process.pid)
        self.assertEqual(told[1]["evidence"]["exit_signal"], signal.SIGTERM)
        self.assertEqual((told[0]["by"], told[1]["by"]), ("govd", "root"))

    def test_usage_errors(self):
        govd = os.path.join(BUILD, "govd")
        for words in (["--nonsense"], ["--backend", "magic"], ["--slice", "../x.slice"], ["--slice", "x"], ["extra"],
                      ["--log-level", "loud"], ["--ring-size", "5000"]):
            done = subprocess.run([govd, *words], stderr=subprocess.PIPE, text=True, timeout=10, check=False)
            self.assertEqual(done.returncode, 2, words)
            self.assertTrue(done.stderr.strip(), words)


if __name__ == "__main__":
    unittest.main()
