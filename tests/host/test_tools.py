#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools: each in a group of its own in its agent's, with limits of its own, ended alone and whole."""

import contextlib
import os
import signal
import subprocess
import unittest

from harness import GovdTest, cgroups_of, children_of, comm_of, is_alive, mounts_of, v2_root, wait_until

MIB = 1 << 20
# A tool's runtime that a start of govd fits into.
RUNTIME = 20 if os.environ.get("GOVD_TEST_EMULATED") else 10
# An agent that does what it is told, line by line: starts commands, and says how they ended.
AGENT = """
import os, subprocess, sys
running = {}
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    if word == "start":
        running[rest] = subprocess.Popen(["/bin/sh", "-c", rest])
        print(running[rest].pid, flush=True)
    elif word == "wait":
        print(running.pop(rest).wait(), flush=True)
    elif word == "burst":
        print(*[subprocess.Popen(["/bin/sleep", "300"]).pid for _ in range(int(rest))], flush=True)
    elif word == "grow":
        kept = bytearray(int(rest) << 20)
        kept[::4096] = b"x" * len(kept[::4096])
        print("grown", flush=True)
"""
# tail keeps all that it reads until it comes across a newline.
LEAK = "tail /dev/zero"
# Grows to so many MiB, and stays.
HOLDS = "python3 -c 'import time; x = bytearray({} << 20); x[::4096] = b\"x\" * len(x[::4096]); time.sleep(300)'"


class Agent:
    def __init__(self, test, process):
        self.test, self.process, self.pid = test, process, process.pid
        self.id = test.agent_of(process.pid)["id"]

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()

    def ask(self, *words):
        self.tell(*words)
        return self.process.stdout.readline().strip()

    def tool(self, command):
        return int(self.ask("start", command))

    @property
    def shown(self):
        return self.test.ctl_json("show", self.id)

    @property
    def tools(self):
        return {tool["pid"]: tool for tool in self.shown["tools"]}


class ToolsTest(GovdTest):
    def agent(self, text, govd=()):
        script = self.script("agent.py", AGENT)
        self.policy("bot", "match: {script: DIR/agent.py}\n" + text)
        if not self.govd:
            self.start(*govd)
        process = self.spawn("/usr/bin/python3", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for stream in (process.stdin, process.stdout):
            self.addCleanup(stream.close)
        agent = Agent(self, process)
        wait_until(lambda: agent.shown["state"] not in ("starting", "held"), "it is placed")
        return agent

    def group_of(self, pid):
        """Its v2 group, below its agent's."""
        parts = cgroups_of(pid).get("", "").split(f"/{self.slice}/")
        return parts[1].split("/")[1:] if len(parts) == 2 else None

    def tool_group(self, pid):
        """Waits until the process is in the group of a tool, and returns that one's name."""
        return wait_until(lambda: next((n for n in self.group_of(pid) or () if n.startswith("tool-")), None),
                          f"{pid} is in a tool's group (is in {cgroups_of(pid)})")

    @staticmethod
    def cgroup_of(pid):
        return cgroups_of(pid)[""]

    def tool_dirs(self):
        found = subprocess.run(["find", *mounts_of("cgroup2"), *mounts_of("cgroup"), "-type", "d", "-path",
                                f"*/{self.slice}/*/tool-*"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               text=True, check=False).stdout.split()
        return found

    @staticmethod
    def living_in(*groups):
        """The processes in these groups, without those in groups below them."""
        pids = set()
        for group in groups:
            with contextlib.suppress(OSError), open(os.path.join(group, "cgroup.procs"), encoding="ascii") as file:
                pids.update(int(pid) for pid in file.read().split())
        return {pid for pid in pids if is_alive(pid)}

    def only(self, kind):
        return wait_until(lambda: self.ctl_json("incidents", "--kind", kind), f"an incident {kind}")

    # ---- where they are

    def test_each_is_in_a_group_of_its_own_that_ends_with_it(self):
        agent = self.agent("tools: {memory_max: 64M}\n")
        first = agent.tool("sleep 300; true")
        second = agent.tool("(setsid sleep 301 & setsid sleep 302 &) & exec sleep 303")
        groups = [self.tool_group(pid) for pid in (first, second)]
        self.assertEqual([name.split("-")[1] for name in groups], [str(first), str(second)])
        (child,) = wait_until(lambda: children_of(first), "its child")
        self.assertEqual(self.tool_group(child), groups[0])
        wait_until(lambda: (agent.tools[second]["tasks"], agent.tools[second]["name"]) == (3, "sleep"),
                   "its daemons are a part of it")
        shown = agent.tools[second]
        self.assertEqual((shown["name"], shown["memory_max_bytes"]), ("sleep", 64 * MIB), shown)
        self.assertLessEqual({"pid", "name", "exe", "since_s", "memory_bytes", "cpu_s", "tasks"}, set(shown), shown)
        self.assertNotIn("tool-", "/".join(self.group_of(agent.pid)))
        # The tool is there as long as one of its processes is.
        os.kill(second, signal.SIGKILL)
        self.assertEqual(agent.ask("wait", "(setsid sleep 301 & setsid sleep 302 &) & exec sleep 303"), "-9")
        wait_until(lambda: agent.tools[second]["tasks"] == 2, "the daemons live on")
        for pid in (first, child):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: list(agent.tools) == [second], "the first has ended")
        wait_until(lambda: not [d for d in self.tool_dirs() if d.endswith(groups[0])], "and its groups have gone")
        self.assertIn("sleep", self.ctl("show", agent.id).stdout)
        self.ctl("kill", agent.id)
        wait_until(lambda: not self.agents() and not self.tool_dirs(), "nothing is left")

    def test_a_burst_is_told_apart(self):
        agent = self.agent("memory: {max: 400M, on_oom: kill-tool}\n")
        pids = [int(pid) for pid in agent.ask("burst", 50).split()]
        groups = [self.tool_group(pid) for pid in pids]
        self.assertEqual(len(set(groups)), 50)
        self.assertEqual(sorted(agent.tools), sorted(pids))
        # Beyond 64 they stay with the root.
        more = [int(pid) for pid in agent.ask("burst", 20).split()]
        wait_until(lambda: len(agent.tools) == 64, "the table is full")
        wait_until(lambda: sum("tool-" in "/".join(self.group_of(pid)) for pid in more) == 14, "14 of 20 fit")
        for pid in pids + more:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not agent.tools and not self.tool_dirs(), "all have gone")

    def test_births_at_once_leave_nobody_with_the_root(self):
        """Grandchildren that are born before the tool has been moved, whose parents end at once."""
        agent = self.agent("tools: {memory_max: 64M}\nhold: never\n")
        for _ in range(20):
            agent.tool("(sleep 300 & (sleep 300 &) & exit 0) & (sleep 300 &) ; exit 0")
        home = os.path.join(v2_root() + agent.shown["cgroup"], *self.group_of(agent.pid))
        wait_until(lambda: self.living_in(home) == {agent.pid}, "the root is alone")
        # The shells may take a while to end.
        wait_until(lambda: [comm_of(pid) for pid in self.living_in(*self.tool_dirs())] == ["sleep"] * 60,
                   "in the tools are all that stay")

    # ---- memory

    def test_a_tool_that_comes_to_its_limit_ends_alone_and_whole(self):
        agent = self.agent("memory: {max: 300M, swap_max: 0}\ntools: {memory_max: 48M}\n")
        other = agent.tool("exec sleep 300")
        command = f"sleep 300 & {LEAK}; sleep 300"
        leaky = agent.tool(command)
        self.assertEqual(agent.ask("wait", command), "-9")
        (told,) = self.only("oom")
        evidence = told["evidence"]
        self.assertEqual((told["policy"], told["rule"], told["action"], told["by"]),
                         ("bot", "tools.memory_max", "kill-tool", "kernel"), told)
        self.assertEqual((evidence["pid"], evidence["tool_pid"], evidence["victim"], evidence["limit"],
                          evidence["limit_bytes"]), (agent.pid, leaky, "tail", "tool", 48 * MIB), told)
        self.assertGreater(evidence["tool_peak_bytes"], 40 * MIB)
        wait_until(lambda: list(agent.tools) == [other], "the other tool lives on")
        self.assertEqual(agent.shown["state"], "active")
        self.assertEqual(self.ctl_json("incidents", "--kind", "alert"), [])

    def test_kill_tool_ends_the_tool_and_the_agent_lives(self):
        agent = self.agent("memory: {max: 80M, swap_max: 0, on_oom: kill-tool}\n")
        command = f"sleep 300 & {LEAK}; sleep 300"
        tool = agent.tool(command)
        self.assertEqual(agent.ask("wait", command), "-9")
        (told,) = self.only("oom")
        self.assertEqual((told["rule"], told["action"], told["evidence"]["tool_pid"]), ("memory.max", "kill-tool", tool), told)
        wait_until(lambda: not agent.tools and not self.tool_dirs(), "all of it has gone")
        self.assertEqual(agent.shown["state"], "active")
        self.assertEqual(agent.ask("grow", 1), "grown")

    def test_the_agents_own_memory_ends_all_of_it(self):
        agent = self.agent("memory: {max: 80M, swap_max: 0, on_oom: kill-tool}\n")
        tool = agent.tool("exec sleep 300")
        self.tool_group(tool)
        agent.tell("grow", 200)
        self.assertEqual(agent.process.wait(20), -signal.SIGKILL)
        wait_until(lambda: not is_alive(tool), "its tool ends with it")
        (told,) = self.only("oom")
        self.assertEqual((told["rule"], told["action"], told["evidence"]["victim_is"]), ("memory.max", "kill-agent", "root"), told)
        wait_until(lambda: not self.agents() and not self.tool_dirs(), "nothing is left")

    # ---- time

    def test_max_runtime_stops_and_then_kills(self):
        agent = self.agent("tools: {max_runtime: 1s}\nstop: {grace: 1s}\n")
        self.assertEqual(agent.ask("start", "exec sleep 300") and agent.ask("wait", "exec sleep 300"), "-15")
        (told,) = self.only("expired")
        evidence = told["evidence"]
        self.assertEqual((told["rule"], told["action"], told["result"], told["by"]),
                         ("tools.max_runtime", "stop-tool", "done", "govd"), told)
        self.assertEqual((evidence["tool"], evidence["exit_signal"]), ("sleep", 15), told)
        self.assertIn(evidence["runtime_s"], range(1, 4), told)
        stubborn = 'trap "" TERM; while :; do sleep 1; done'
        pid = agent.tool(stubborn)
        self.assertEqual(agent.ask("wait", stubborn), "-9")
        told = wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "expired")
                                   if i["evidence"]["tool_pid"] == pid], "its end is told")[0]
        self.assertEqual((told["action"], told["evidence"]["exit_signal"]), ("kill-tool", 9), told)
        self.assertGreaterEqual(told["evidence"]["runtime_s"], 2, told)
        # In time nothing is told.
        self.assertEqual(agent.ask("start", "true") and agent.ask("wait", "true"), "0")
        wait_until(lambda: not agent.tools, "it has gone")
        self.assertEqual(len(self.ctl_json("incidents", "--kind", "expired")), 2)

    # ---- govd's own life

    def test_tools_outlive_govd_and_their_time_goes_on(self):
        agent = self.agent(f"tools: {{max_runtime: {RUNTIME}s}}\nstop: {{grace: 1s}}\n")
        tool = agent.tool("exec sleep 300")
        group = self.tool_group(tool)
        self.stop_govd(signal.SIGKILL)
        missed = agent.tool("sleep 301 & exec sleep 300")
        self.start()
        self.assertEqual(self.tool_group(missed).split("-")[1], str(missed))
        wait_until(lambda: sorted(agent.tools) == sorted((tool, missed)), "both are known")
        self.assertEqual(self.tool_group(tool), group)
        self.assertEqual(agent.ask("wait", "exec sleep 300"), "-15")
        told = wait_until(lambda: [i for i in self.ctl_json("incidents", "--kind", "expired")
                                   if i["evidence"]["tool_pid"] == tool], "it is told")[0]
        self.assertIn(told["evidence"]["runtime_s"], range(RUNTIME, RUNTIME + 3), told)

    def test_what_a_govd_that_was_killed_has_begun_is_swept_away(self):
        agent = self.agent("tools: {memory_max: 64M}\n")
        tool = agent.tool("exec sleep 300")
        self.tool_group(tool)
        self.stop_govd(signal.SIGKILL)
        # Made, and not yet filled: in each hierarchy that has one of the agent's tools.
        parents = {os.path.dirname(path) for path in self.tool_dirs()}
        for path in parents:
            os.mkdir(os.path.join(path, "tool-1-1"))
        last = agent.tool("exec sleep 301")
        with open(os.path.join(v2_root() + self.cgroup_of(agent.pid), "cgroup.procs"), encoding="ascii") as file:
            self.assertIn(str(last), file.read().split())
        self.start()
        self.tool_group(last)
        self.assertEqual(sorted(agent.tools), sorted((tool, last)))
        self.assertEqual([path for path in self.tool_dirs() if path.endswith("/tool-1-1")], [])
        self.ctl("kill", agent.id)
        wait_until(lambda: not self.agents() and not self.tool_dirs(), "nothing is left")

    def test_an_adopted_agents_children_are_tools(self):
        self.policy("bot", "match: {exe: DIR/none}\ntools: {memory_max: 64M}\n")
        self.start()
        process = self.spawn("/bin/sh", "-c", "sleep 300 & (sleep 300 & wait) & wait")
        wait_until(lambda: len(children_of(process.pid)) == 2, "it has children")
        found = self.ctl_json("adopt", str(process.pid), "--policy", "bot")
        for child in children_of(process.pid):
            self.assertEqual(self.tool_group(child).split("-")[1], str(child))
        tools = wait_until(lambda: [t for t in self.ctl_json("show", found["id"])["tools"] if t["tasks"] == 2], "one has a child")
        self.assertEqual(len(tools), 1)

    def test_a_new_policy_makes_tools_of_what_runs(self):
        agent = self.agent("memory: {max: 200M}\n")
        tool = agent.tool("sleep 300 & exec sleep 301")
        self.assertNotIn("tool-", "/".join(self.group_of(tool)))
        self.policy("bot", "match: {script: DIR/agent.py}\nmemory: {max: 200M}\ntools: {memory_max: 50M}\n")
        self.ctl("policy", "reload")
        self.tool_group(tool)
        wait_until(lambda: agent.tools[tool]["tasks"] == 2, "with its child")
        self.policy("bot", "match: {script: DIR/agent.py}\nmemory: {max: 200M}\ntools: {memory_max: 60M}\n")
        self.ctl("policy", "reload")
        self.assertEqual(agent.tools[tool]["memory_max_bytes"], 60 * MIB)
        # And without them new ones stay with the root.
        self.policy("bot", "match: {script: DIR/agent.py}\nmemory: {max: 200M}\n")
        self.ctl("policy", "reload")
        last = agent.tool("exec sleep 302")
        self.assertEqual([agent.ask("start", "true") and agent.ask("wait", "true") for _ in range(3)], ["0"] * 3)
        self.assertNotIn("tool-", "/".join(self.group_of(last)))

    # ---- what is done to agents is done to their tools

    def test_freeze_thaw_stop_and_release(self):
        agent = self.agent("tools: {memory_max: 64M}\n")
        tool = agent.tool("exec sleep 300")
        name = self.tool_group(tool)
        self.ctl("freeze", agent.id)
        with open(os.path.join(v2_root() + agent.shown["cgroup"], name, "cgroup.events"), encoding="ascii") as file:
            self.assertIn("frozen 1", file.read())
        self.ctl("thaw", agent.id)
        before = cgroups_of(os.getpid())
        self.ctl("release", agent.id)
        for pid in (agent.pid, tool):
            self.assertEqual(cgroups_of(pid), before)
        self.assertEqual(self.tool_dirs(), [])
        self.assertEqual(agent.ask("start", "true") and agent.ask("wait", "true"), "0")
        os.kill(tool, signal.SIGKILL)
        agent = self.agent("tools: {memory_max: 64M}\n")
        tool = agent.tool("exec sleep 300")
        self.tool_group(tool)
        self.ctl("stop", agent.id)
        wait_until(lambda: not is_alive(tool) and not self.agents(), "both end")
        self.assertEqual(self.tool_dirs(), [])

    def test_a_nested_agent_is_no_tool(self):
        bot = self.copy("sleep", "nested")
        self.policy("nested", "match: {exe: DIR/bin/nested}\n")
        agent = self.agent("tools: {memory_max: 64M}\n")
        pid = agent.tool(f"exec {bot} 300")
        nested = self.agent_of(pid)
        self.assertEqual(nested["policy"], "nested")
        wait_until(lambda: self.group_of(pid) == [], "it is in a group of its own")
        wait_until(lambda: not agent.tools and not self.tool_dirs(), "there is no tool")
        # Let go it is its starter's again.
        self.ctl("release", nested["id"])
        self.assertEqual(self.ctl_json("explain", str(pid))["agent"], agent.id)

    def test_a_nested_agent_comes_back_to_one_that_has_tools_meanwhile(self):
        bot = self.copy("sleep", "nested")
        self.policy("nested", "match: {exe: DIR/bin/nested}\n")
        agent = self.agent("memory: {max: 200M}\n")
        pid = agent.tool(f"exec {bot} 300")
        nested = self.agent_of(pid)
        self.policy("bot", "match: {script: DIR/agent.py}\nmemory: {max: 200M}\ntools: {memory_max: 50M}\n")
        self.ctl("policy", "reload")
        self.tool_group(agent.tool("exec sleep 300"))
        self.ctl("release", nested["id"])
        self.assertEqual(self.ctl_json("explain", str(pid))["agent"], agent.id)


if __name__ == "__main__":
    unittest.main()
