#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole govd on this host: how processes become agents, and what can be done with them."""

import json
import os
import signal
import subprocess
import sys
import time
import unittest

from harness import BUILD, GovdTest, cgroups_of, children_of, is_alive, v2_root, wait_until

FORKS_AT_ONCE = """#!/bin/sh
sleep 300 &
sleep 300 &
wait
"""
PYTHON_WITH_TOOL = """import subprocess, sys, time
tool = subprocess.Popen(["sleep", "300"])
print(tool.pid, flush=True)
time.sleep(300)
"""
HOARDS = """import time
hoard = []
while True:
    hoard.append(bytearray(4 << 20))
    time.sleep(0.01)
"""


class PlacingTest(GovdTest):
    def test_executable_is_held_and_placed(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn(agent, "300")
        found = self.agent_of(process.pid)
        self.assertEqual(found["policy"], "bot")
        self.assertEqual(found["state"], "active")
        self.assertEqual(found["memory_max_bytes"], 64 << 20)
        self.assertEqual(found["cgroup"], cgroups_of(process.pid)[""])
        self.assertEqual(self.ctl_json("show", found["id"])["how"], "hold")
        self.assertGreaterEqual(self.ctl_json("status")["holds"]["asked"], 1)

    def test_script_of_an_interpreter_and_its_tool(self):
        script = self.script("worker.py", PYTHON_WITH_TOOL)
        self.policy("worker", 'match: {script: DIR/*.py}\nkey: {args: "--room=(\\\\S+)"}\n')
        self.start()
        process = self.spawn(sys.executable, script, "--room=blue", stdout=subprocess.PIPE)
        tool = int(process.stdout.readline())
        found = self.agent_of(process.pid)
        self.assertEqual((found["policy"], found["key"]), ("worker", "blue"))
        self.assert_placed(tool, found)
        self.assertEqual(self.ctl_json("show", "worker/blue")["id"], found["id"])
        self.assertEqual([t["pid"] for t in self.ctl_json("show", found["id"])["tools"]], [tool])
        process.stdout.close()

    def test_without_hold_children_forked_at_once_follow(self):
        script = self.script("forks.sh", FORKS_AT_ONCE)
        self.policy("shell", "match: {script: DIR/forks.sh}\nhold: never\n")
        self.start()
        for _ in range(20):
            process = self.spawn("/bin/sh", script)
            found = self.agent_of(process.pid)
            wait_until(lambda p=process: len(children_of(p.pid)) == 2, "two children")
            for child in children_of(process.pid):
                self.assert_placed(child, found)

    def test_double_fork_and_setsid_do_not_escape(self):
        agent = self.copy(sys.executable, "agent")
        self.policy("daemon", "match: {exe: DIR/bin/agent}\nhold: never\n")
        self.start()
        code = ("import os, sys, time\n"
                "if os.fork() == 0:\n"
                "    os.setsid()\n"
                "    if os.fork() == 0:\n"
                "        print(os.getpid(), flush=True); time.sleep(300)\n"
                "    os._exit(0)\n"
                "os.wait(); time.sleep(300)\n")
        process = self.spawn(agent, "-c", code, stdout=subprocess.PIPE,
                             env={**os.environ, "PYTHONHOME": sys.base_prefix})
        grandchild = int(process.stdout.readline())
        self.assert_placed(grandchild, self.agent_of(process.pid))
        process.stdout.close()

    def test_nested_agent_under_another_policy_is_its_own(self):
        outer, inner = self.copy("sh", "outer"), self.copy("sleep", "inner")
        self.policy("outer", "match: {exe: DIR/bin/outer}\n")
        self.policy("inner", "match: {exe: DIR/bin/inner, parent: outer}\n")
        self.start()
        process = self.spawn(outer, "-c", f"{inner} 300 & sleep 300 & wait")
        found = self.agent_of(process.pid)
        wait_until(lambda: len(children_of(process.pid)) == 2, "two children")
        nested = self.agent_of(wait_until(lambda: self.agents("inner"), "the inner agent")[0]["pid"])
        self.assertNotEqual(nested["cgroup"], found["cgroup"])
        self.assertEqual(self.ctl_json("show", nested["id"])["parent"], found["id"])
        for child in children_of(process.pid):
            self.assert_placed(child, nested if child == nested["pid"] else found)

    def test_nested_agent_caught_by_its_exec_takes_along_what_it_forks_at_once(self):
        """Its children are born in the group of the agent that started it."""
        outer, inner = self.copy("sh", "outer"), self.copy("sh", "inner")
        self.policy("outer", "match: {exe: DIR/bin/outer}\nhold: never\n")
        self.policy("inner", "match: {exe: DIR/bin/inner}\nhold: never\n")
        self.start()
        fifo = self.path("go")
        os.mkfifo(fifo)
        inside = "sleep 300 & (setsid sleep 300 &) & sleep 300 & wait"
        process = self.spawn(outer, "-c", f"read x <{fifo}; for i in 1 2 3 4 5; do {inner} -c '{inside}' & done; wait")
        found = self.agent_of(process.pid)
        self.assert_placed(process.pid, found)
        with open(fifo, "w", encoding="ascii") as file:
            file.write("go\n")
        wait_until(lambda: len(self.agents("inner")) == 5, "five inner agents")
        nested = [self.agent_of(agent["pid"]) for agent in self.agents("inner")]

        def members(agent):
            with open(v2_root() + agent["cgroup"] + "/cgroup.procs", encoding="ascii") as file:
                return [int(pid) for pid in file.read().split()]

        wait_until(lambda: [len(members(agent)) for agent in nested] == [4] * 5, "each has its three children")
        wait_until(lambda: members(found) == [process.pid], "the outer agent has none of them")

    def test_what_ran_before_is_found_with_its_descendants(self):
        script = self.script("forks.sh", FORKS_AT_ONCE)
        process = self.spawn("/bin/sh", script)
        wait_until(lambda: len(children_of(process.pid)) == 2, "two children")
        self.policy("early", "match: {script: DIR/forks.sh}\n")
        self.start()
        found = self.agent_of(process.pid)
        for child in children_of(process.pid):
            self.assert_placed(child, found)

    def test_adopt_takes_descendants_and_release_is_for_good(self):
        script = self.script("forks.sh", FORKS_AT_ONCE)
        self.policy("adopted", "match: {exe: DIR/bin/never}\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn("/bin/sh", script)
        wait_until(lambda: len(children_of(process.pid)) == 2, "two children")
        before = cgroups_of(process.pid)
        answer = self.ctl_json("adopt", str(process.pid), "--policy", "adopted")
        found = self.agent_of(process.pid)
        self.assertEqual(found["id"], answer["id"])
        for child in children_of(process.pid):
            self.assert_placed(child, found)
        self.ctl("release", found["id"])
        self.assertEqual(cgroups_of(process.pid), before)
        for child in children_of(process.pid):
            self.assertEqual(cgroups_of(child), before)
        wait_until(lambda: not os.path.exists(v2_root() + found["cgroup"]), "its group is removed")
        self.policy("later", "match: {script: DIR/forks.sh}\n")
        self.ctl("policy", "reload")
        self.assertEqual(self.agents(), [])
        self.assertIsNone(process.poll())
        for child in children_of(process.pid):
            os.kill(child, signal.SIGKILL)

    def test_adopt_leaves_what_another_agent_has_started(self):
        """An observed agent has no group: its children are told by their parent alone."""
        seen, house = self.copy("sh", "seen"), self.copy("sh", "house")
        self.policy("adopted", "match: {exe: DIR/bin/never}\n")
        self.policy("seen", "match: {exe: DIR/bin/seen}\nmode: observe\n")
        self.start()
        process = self.spawn(house, "-c", f"{seen} -c 'sleep 300 & sleep 300 & wait' & sleep 300 & wait")
        observed = wait_until(lambda: self.agents("seen"), "the observed agent")[0]["pid"]
        wait_until(lambda: len(children_of(observed)) == 2 and len(children_of(process.pid)) == 2, "two children each")
        left = [observed] + children_of(observed)
        before = [cgroups_of(pid) for pid in left]
        adopted = self.ctl_json("adopt", str(process.pid), "--policy", "adopted")["id"]
        found = self.ctl_json("show", adopted)
        for child in children_of(process.pid):
            if child != observed:
                self.assert_placed(child, found)
        self.assertEqual([cgroups_of(pid) for pid in left], before)
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    def test_observe_says_what_it_would_do_and_touches_nothing(self):
        agent = self.copy("sleep", "agent")
        self.policy("seen", "match: {exe: DIR/bin/agent}\nmode: observe\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn(agent, "300")
        before = cgroups_of(os.getpid())
        found = self.agent_of(process.pid)
        self.assertEqual(cgroups_of(process.pid), before)
        self.assertNotEqual(self.ctl("stop", found["id"], check=False).returncode, 0)
        self.assertIsNone(process.poll())
        actions = wait_until(lambda: [i["action"] for i in self.ctl_json("incidents", "--agent", found["id"])],
                             "an incident")
        self.assertEqual(actions, ["would-place"])
        process.kill()
        wait_until(lambda: not self.agents(), "the observed agent ends")

    def test_group_that_govd_is_in_stays_an_ordinary_one(self):
        """Where v2 has cpu or pids, switching them on in a group with processes makes it a threaded domain."""
        own = v2_root() + os.path.join(cgroups_of(os.getpid())[""], f"govtest-{os.getpid()}-own")
        os.mkdir(own)
        self.addCleanup(os.rmdir, own)
        self.addCleanup(self.finish)
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")

        def move():
            with open(own + "/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")

        self.start(preexec_fn=move)
        for file, wanted in (("cgroup.type", "domain"), ("cgroup.subtree_control", "")):
            with open(os.path.join(own, file), encoding="ascii") as opened:
                self.assertEqual(opened.read().strip(), wanted, file)
        self.assert_placed(self.spawn(self.copy("sleep", "agent"), "300").pid)

    def test_first_policy_by_name_wins_and_explain_tells_why(self):
        agent = self.copy("sleep", "agent")
        self.policy("10-first", "match: {exe: DIR/bin/agent}\n")
        self.policy("20-second", "match: {exe: DIR/bin/*}\n")
        self.policy("30-args", "match: {exe: DIR/bin/agent, args: nothing-like-it}\n")
        self.start()
        process = self.spawn(agent, "300")
        self.assertEqual(self.agent_of(process.pid)["policy"], "10-first")
        told = {p["policy"]: p for p in self.ctl_json("explain", str(process.pid))["policies"]}
        self.assertTrue(told["10-first"]["matched"])
        self.assertTrue(told["20-second"]["matched"])
        self.assertEqual((told["30-args"]["matched"], told["30-args"]["key"]), (False, "args"))


class LifeTest(GovdTest):
    def start_agent(self, text="match: {exe: DIR/bin/agent}\n", command="sleep", args=("300",)):
        agent = self.copy(command, "agent")
        self.policy("bot", text)
        self.start()
        process = self.spawn(agent, *args)
        return process, self.agent_of(process.pid)

    def test_memory_cap_is_in_force(self):
        script = self.script("hoards.py", HOARDS)
        self.policy("hoarder", "match: {script: DIR/hoards.py}\nmemory: {max: 48M, swap_max: 0}\n")
        self.start()
        process = self.spawn(sys.executable, script)
        self.assertEqual(process.wait(DEADLINE_OOM), -signal.SIGKILL)

    def test_tasks_cap_is_in_force(self):
        agent = self.copy("sh", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\ntasks: {max: 10}\n")
        self.start()
        process = self.spawn(agent, "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 300 & done; wait",
                             stderr=subprocess.DEVNULL)
        self.assertNotEqual(process.wait(20), 0)

    def test_freeze_and_thaw(self):
        process, found = self.start_agent(command="sh", args=("-c", "while :; do :; done"))

        def cpu():
            with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
                return int(file.read().split()[13])

        self.ctl("freeze", found["id"])
        self.assertEqual(self.agents()[0]["state"], "frozen")
        frozen = cpu()
        time.sleep(0.3)  # long enough for 30 ticks of the CPU
        self.assertEqual(cpu(), frozen)
        self.ctl("thaw", found["id"])
        self.assertEqual(self.agents()[0]["state"], "active")
        wait_until(lambda: cpu() > frozen, "it runs again")

    def test_stop_signals_then_kills_the_whole_group(self):
        text = "match: {exe: DIR/bin/agent}\nstop: {signal: TERM, grace: 3s}\n"
        process, found = self.start_agent(text, "sh", ("-c", "trap '' TERM; sleep 300 & sleep 300 & while :; do sleep 1; done"))
        wait_until(lambda: len(children_of(process.pid)) >= 3, "three children")
        family = [process.pid] + children_of(process.pid)
        begun = time.monotonic()
        self.ctl("stop", found["id"])
        state = self.agents()
        self.assertEqual(state[0]["state"], "stopping")
        self.assertEqual(state[0]["next"]["action"], "kill")
        self.assertEqual(process.wait(20), -signal.SIGKILL)
        self.assertGreater(time.monotonic() - begun, 2.9)
        wait_until(lambda: not self.agents(), "the agent is gone")
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "none is left")
        wait_until(lambda: not os.path.exists(v2_root() + found["cgroup"]), "its group is removed")

    def test_stop_lets_the_rest_finish_after_the_root(self):
        text = "match: {exe: DIR/bin/agent}\nstop: {grace: 10s}\n"
        done, ready = self.path("done"), self.path("ready")
        script = f"sh -c 'trap \"touch {done}; exit 0\" TERM; : >{ready}; while :; do sleep 0.1; done' & exec sleep 300"
        process, found = self.start_agent(text, "sh", ("-c", script))
        wait_until(lambda: os.path.exists(ready), "a child with its trap")
        self.ctl("stop", found["id"])
        wait_until(lambda: not self.agents(), "the agent is gone")
        self.assertTrue(os.path.exists(done))

    def test_kill_is_at_once(self):
        process, found = self.start_agent()
        self.ctl("kill", found["id"])
        self.assertEqual(process.wait(20), -signal.SIGKILL)
        wait_until(lambda: not self.agents(), "the agent is gone")
        kinds = wait_until(lambda: [i["kind"] for i in self.ctl_json("incidents", "--agent", found["id"])][1:] and
                           [i["kind"] for i in self.ctl_json("incidents", "--agent", found["id"])], "two incidents")
        self.assertEqual(sorted(kinds), ["placed", "stopped"])

    def test_killed_govd_leaves_agents_governed_and_a_new_one_finds_them(self):
        process, before = self.start_agent("match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\n")
        self.stop_govd(signal.SIGKILL)
        self.assertTrue(self.is_inside(process.pid, before))
        limits = [path for path in (f"/sys/fs/cgroup/memory{cgroups_of(process.pid).get('memory', '')}/memory.limit_in_bytes",
                                    f"{v2_root()}{before['cgroup']}/memory.max") if os.path.exists(path)]
        self.assertTrue(limits)
        with open(limits[0], encoding="ascii") as file:
            self.assertEqual(int(file.read()), 64 << 20)
        self.start()
        after = self.agent_of(process.pid)
        self.assertEqual([after[k] for k in ("id", "policy", "key", "cgroup", "memory_max_bytes")],
                         [before[k] for k in ("id", "policy", "key", "cgroup", "memory_max_bytes")])
        self.assertGreaterEqual(after["since_s"], before["since_s"])
        self.ctl("kill", after["id"])
        self.assertEqual(process.wait(20), -signal.SIGKILL)

    def test_group_that_emptied_while_govd_was_down_is_removed(self):
        process, before = self.start_agent()
        is_systemd = self.ctl_json("status")["backend"] == "systemd"
        self.stop_govd(signal.SIGKILL)
        process.kill()
        process.wait()
        # systemd removes an empty scope itself.
        self.assertTrue(is_systemd or os.path.exists(v2_root() + before["cgroup"]))
        self.start()
        wait_until(lambda: not os.path.exists(v2_root() + before["cgroup"]), "the empty group is removed")
        wait_until(lambda: not self.agents(), "nobody is left")

    def test_terminated_govd_leaves_agents_running(self):
        process, found = self.start_agent()
        self.assertEqual(self.stop_govd(signal.SIGTERM), 0)
        self.assertTrue(self.is_inside(process.pid, found))
        self.assertIsNone(process.poll())
        self.start()

    def test_two_govd_do_not_share_a_socket(self):
        self.start()
        second = subprocess.run([os.path.join(BUILD, "govd"), "--policy-dir", self.path("policies"), "--runtime-dir",
                                 self.path("run"), "--state-dir", self.path("state2"), "--slice", self.slice],
                                stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another govd", second.stderr)


class RunTest(GovdTest):
    def setUp(self):
        super().setUp()
        self.policy("job", "match: {exe: DIR/bin/never}\nmemory: {max: 64M}\n")

    def govctl(self, *words, **keywords):
        return self.spawn(os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), *words, **keywords)

    def test_run_places_itself_and_keeps_the_exit_code(self):
        self.start()
        done = self.ctl("run", "--policy", "job", "--", "sh", "-c", "cat /proc/self/cgroup; exit 7", check=False)
        self.assertEqual(done.returncode, 7)
        self.assertIn(f"/{self.slice}/{self.group_of('job')}", done.stdout)
        self.assertNotEqual(self.ctl("run", "--policy", "none", "--", "true", check=False).returncode, 0)

    def test_reuse_gives_fifty_callers_one_agent(self):
        self.start()
        callers = [self.govctl("--json=short", "run", "--policy", "job", "--key", "room", "--reuse", "--", "sleep", "300",
                               stdout=subprocess.PIPE) for _ in range(50)]
        wait_until(lambda: sum(c.poll() is not None for c in callers) == 49, "49 callers have their answer", 60)
        agents = self.agents("job")
        self.assertEqual(len(agents), 1)
        answers = [json.loads(c.stdout.read()) for c in callers if c.poll() is not None]
        self.assertEqual({a["id"] for a in answers}, {agents[0]["id"]})
        for caller in callers:
            caller.stdout.close()

    def test_others_may_run_only_what_lists_them(self):
        self.policy("open", "match: {exe: DIR/bin/never}\nallow: {users: [nobody]}\n")
        self.start()
        as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        done = self.ctl("run", "--policy", "open", "--", "cat", "/proc/self/cgroup", check=False, **as_nobody)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("/" + self.group_of("open"), done.stdout)
        self.assertNotEqual(self.ctl("run", "--policy", "job", "--", "true", check=False, **as_nobody).returncode, 0)
        for words in (["list"], ["policy", "reload"], ["adopt", str(os.getpid()), "--policy", "open"]):
            self.assertNotEqual(self.ctl(*words, check=False, **as_nobody).returncode, 0, words)
        self.policy("open", "match: {exe: DIR/bin/never}\n")
        self.ctl("policy", "reload")
        self.assertNotEqual(self.ctl("run", "--policy", "open", "--", "true", check=False, **as_nobody).returncode, 0)
        wait_until(lambda: any(i["kind"] == "refused" for i in self.ctl_json("incidents")), "the refusal is recorded")


DEADLINE_OOM = 60

if __name__ == "__main__":
    unittest.main()
