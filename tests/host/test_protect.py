#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What govd may never touch, although it is asked to, and although policies match it."""

import os
import signal
import sys
import time
import unittest

from harness import BUILD, GovdTest, cgroups_of, children_of, is_alive, wait_until

PF_KTHREAD = 0x00200000  # include/linux/sched.h
SLEEPS = "import time\ntime.sleep(300)\n"


def stat_of(pid):
    """The fields of /proc/PID/stat behind comm: state, ppid, ..."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def exe_of(pid):
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def ancestors_of(pid):
    found = []
    while pid > 1:
        pid = int(stat_of(pid)[1])
        found.append(pid)
    return found


def kernel_threads():
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(stat_of(name)[6]) & PF_KTHREAD:
                yield int(name)
        except (FileNotFoundError, ProcessLookupError):
            pass


class ProtectTest(GovdTest):
    def helpers(self):
        """{name: pid} of the processes that govd has started for itself."""
        return {os.path.basename(exe_of(pid)): pid for pid in children_of(self.govd.pid)}

    def incidents(self, kind):
        return self.ctl_json("incidents", "--kind", kind)

    def assert_refused(self, pid, *words):
        before = cgroups_of(pid)
        done = self.ctl("adopt", str(pid), *words, check=False)
        self.assertEqual(done.returncode, 1, (pid, done.stdout, done.stderr))
        self.assertIn("protected", done.stderr)
        self.assertEqual(cgroups_of(pid), before)
        told = wait_until(lambda: [i for i in self.incidents("protected") if i["evidence"].get("pid") == pid],
                          f"an incident about pid {pid}")[-1]
        self.assertEqual((told["action"], told["result"], told["by"]), ("adopt", "refused", "root"))

    def assert_left_alone(self, pid, before):
        self.assertEqual(cgroups_of(pid), before)
        self.assertTrue(is_alive(pid))
        self.assertEqual([a for a in self.agents() if a["pid"] == pid], [])


class NeverTest(ProtectTest):
    def test_adopting_what_may_not_be_touched_is_refused(self):
        self.policy("any", "match: {exe: DIR/bin/never}\n")
        self.start()
        helpers = self.helpers()
        self.assertEqual(sorted(helpers), ["govd-hold", "govd-recorder"])
        threads = list(kernel_threads())
        self.assertTrue(threads, "no kernel thread is visible here")
        for pid in [1, threads[0], threads[-1], self.govd.pid, *helpers.values(), *ancestors_of(self.govd.pid)]:
            if os.path.exists(f"/proc/{pid}"):  # kernel workers come and go
                self.assert_refused(pid, "--policy", "any")
        self.assertEqual(self.agents(), [])
        self.assertEqual(self.leftover_groups(), [])

    def leftover_groups(self):
        """Groups below the slice."""
        return [os.path.join(path, name) for path in self.leftovers() for name in os.listdir(path)
                if os.path.isdir(os.path.join(path, name))]

    def test_helpers_are_no_agents_although_a_policy_matches_them(self):
        """govd runs from a directory, all of whose executables are agents by policy."""
        programs = {name: self.copy(os.path.join(BUILD, name), name) for name in ("govd", "govd-hold", "govd-recorder")}
        agent = self.copy("sleep", "agent")
        self.policy("all", "match: {exe: DIR/bin/*}\n")
        self.start(program=programs["govd"])
        helpers = self.helpers()
        self.assertEqual(sorted(helpers), ["govd-hold", "govd-recorder"])
        self.assertEqual(exe_of(helpers["govd-hold"]), programs["govd-hold"])
        first = self.spawn(agent, "300")
        self.agent_of(first.pid)
        # Also those that are started again: one after the other, so that each meets the other's watch.
        for name in ("govd-recorder", "govd-hold", "govd-recorder"):
            before = self.helpers()[name]
            os.kill(before, signal.SIGKILL)
            wait_until(lambda n=name, b=before: self.helpers().get(n, b) != b, f"{name} is started again")
            begun = time.monotonic()
            self.ctl("status")
            self.assertLess(time.monotonic() - begun, 5)
        second = self.spawn(agent, "300")
        self.agent_of(second.pid)
        self.ctl("policy", "reload")  # and its scan of all that runs
        self.assertEqual({a["pid"] for a in self.agents()}, {first.pid, second.pid})
        for pid in [self.govd.pid, *self.helpers().values()]:
            self.assertFalse(self.is_inside(pid), (pid, exe_of(pid), cgroups_of(pid)))
            self.assert_refused(pid)
        self.assertEqual(self.ctl_json("status")["holds"]["expired"], 0)

    def test_kill_spares_govd_that_somebody_put_into_an_agents_group(self):
        """Root may write any pid to cgroup.procs. cgroup.kill would be the end of govd."""
        self.policy("bot", "match: {exe: DIR/bin/agent}\nstop: {grace: 0s}\n")
        self.start()
        process = self.spawn(self.copy("sleep", "agent"), "300")
        found = self.agent_of(process.pid)
        home = self.v2_path(cgroups_of(self.govd.pid)[""])
        with open(self.v2_path(found["cgroup"]) + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(self.govd.pid))
        self.assertTrue(self.is_inside(self.govd.pid, found))
        self.ctl("kill", found["id"])
        self.assertIsNone(self.govd.poll())
        self.ctl("status")
        with open(home + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(self.govd.pid))
        wait_until(lambda: not self.agents(), "it is killed when govd is out of the way", 30)
        self.assertEqual(process.wait(20), -signal.SIGKILL)


class ListedTest(ProtectTest):
    """`protect` of govd.yaml."""

    def setUp(self):
        super().setUp()
        self.agent = self.copy("sleep", "agent")
        self.guarded = self.copy("sleep", "guarded")
        self.guarded_script = self.script("guarded.py", SLEEPS)
        self.agent_script = self.script("agent.py", SLEEPS)
        self.config("protect: [DIR/bin/guarded, DIR/**/guarded*.py]\n")

    def config(self, text):
        with open(self.path("govd.yaml"), "w", encoding="utf-8") as file:
            file.write(text.replace("DIR", self.dir))

    def start_all(self):
        """One of each kind: (those that are protected, those that are not)."""
        guarded = [self.spawn(self.guarded, "300"), self.spawn(sys.executable, self.guarded_script)]
        free = [self.spawn(self.agent, "300"), self.spawn(sys.executable, self.agent_script)]
        wait_until(lambda: all(b"\0" in self.cmdline(p.pid) for p in guarded + free), "all have executed")
        return guarded, free

    @staticmethod
    def cmdline(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()

    def check(self, guarded, free):
        for process in free:
            self.assert_placed(process.pid, self.agent_of(process.pid))
        for process in guarded:
            self.assert_left_alone(process.pid, cgroups_of(os.getpid()))
            told = self.ctl_json("explain", str(process.pid))
            self.assertTrue(told["protected"], told)

    def test_held_or_caught(self):
        for hold in ("auto", "never"):
            with self.subTest(hold=hold):
                self.policy("exes", f"match: {{exe: DIR/bin/*}}\nhold: {hold}\n")
                self.policy("scripts", f"match: {{script: DIR/*.py}}\nhold: {hold}\n")
                self.start()
                guarded, free = self.start_all()
                self.check(guarded, free)
                self.ctl("policy", "reload")
                self.check(guarded, free)
                self.assertEqual(len(self.agents()), 2)
                for process in guarded + free:
                    process.kill()
                wait_until(lambda: not self.agents(), "the agents end")
                self.stop_govd()

    def test_scanned(self):
        guarded, free = self.start_all()
        self.policy("exes", "match: {exe: DIR/bin/*}\n")
        self.policy("scripts", "match: {script: DIR/*.py}\n")
        self.start()
        self.check(guarded, free)

    def test_asked_for(self):
        self.policy("exes", "match: {exe: DIR/bin/*}\n")
        self.start()
        guarded, _ = self.start_all()
        for process in guarded:
            self.assert_refused(process.pid)
            self.assert_refused(process.pid, "--policy", "exes")
        for command in ([self.guarded, "300"], [sys.executable, self.guarded_script]):
            done = self.ctl("run", "--policy", "exes", "--", *command, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("protected", done.stderr)
        wait_until(lambda: [i for i in self.incidents("protected") if i["action"] == "run"][1:], "two refused runs")

    def test_started_by_an_agent(self):
        """It doesn't end with the agent that has started it."""
        parent = self.copy("sh", "parent")
        self.policy("parent", "match: {exe: DIR/bin/parent}\n")
        self.start()
        process = self.spawn(parent, "-c", f"{self.guarded} 300 & sleep 300 & wait")
        found = self.agent_of(process.pid)
        wait_until(lambda: len(children_of(process.pid)) == 2, "two children")
        children = {exe_of(pid): pid for pid in wait_until(
            lambda: self.guarded in map(exe_of, children_of(process.pid)) and children_of(process.pid), "they have executed")}
        guarded = children.pop(self.guarded)
        self.addCleanup(os.kill, guarded, signal.SIGKILL)
        wait_until(lambda: cgroups_of(guarded) == cgroups_of(os.getpid()), "the protected one is let out")
        self.ctl("kill", found["id"])
        process.wait(20)
        wait_until(lambda: not any(is_alive(pid) for pid in children.values()), "the other one ends")
        self.assertTrue(is_alive(guarded))
        wait_until(lambda: [i for i in self.incidents("protected") if i["action"] == "evict"], "the incident")

    def test_listed_later_and_no_more(self):
        """A reload protects what isn't an agent yet, and lets go of what was protected."""
        self.config("")
        self.policy("exes", "match: {exe: DIR/bin/*}\n")
        self.start()
        self.config("protect: DIR/bin/guarded\n")
        self.ctl("policy", "reload")
        process = self.spawn(self.guarded, "300")
        wait_until(lambda: exe_of(process.pid) == self.guarded, "it has executed")
        self.ctl("policy", "reload")
        self.assert_left_alone(process.pid, cgroups_of(os.getpid()))
        self.config("")
        self.ctl("policy", "reload")
        self.assert_placed(process.pid, self.agent_of(process.pid))


class PolicyTest(ProtectTest):
    """`protect: true` of a policy: its agents are governed, and never ended."""

    def test_placed_limited_and_never_ended(self):
        self.policy("dear", "match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\nprotect: true\n")
        self.start()
        process = self.spawn(self.copy("sleep", "agent"), "300")
        found = self.agent_of(process.pid)
        self.assert_placed(process.pid, found)
        self.assertEqual(found["memory_max_bytes"], 64 << 20)
        for verb in ("stop", "kill"):
            done = self.ctl(verb, found["id"], check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("protect", done.stderr)
            wait_until(lambda v=verb: [i for i in self.incidents("protected")
                                       if (i["action"], i["agent"]) == (v, found["id"])], f"a refused {verb}")
        self.assertIsNone(process.poll())
        self.ctl("freeze", found["id"])
        self.ctl("thaw", found["id"])
        self.assertEqual(self.agents()[0]["state"], "active")
        self.ctl("release", found["id"])
        self.assertFalse(self.is_inside(process.pid))
        self.assertIsNone(process.poll())


if __name__ == "__main__":
    unittest.main()
