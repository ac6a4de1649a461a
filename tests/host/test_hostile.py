#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Agents that lie, shout, hide or multiply: governed all the same, and harmless to govd and to who looks at them."""

import json
import os
import subprocess
import sys
import time
import unittest

from harness import BUILD, GovdTest, cgroups_of, children_of, is_alive, program, wait_until

MIB = 1 << 20
# Newlines, a terminal's escape codes, quotes, a format, invalid UTF-8, C1 control characters.
EVIL = b"a\n\x1b[31m\x07\"'\\%n$(x)\xff\xfe\xc2\x9b\x7f"
SLEEPS = "import time\ntime.sleep(300)\n"


class HostileTest(GovdTest):
    def raw(self, *words):
        """What govctl prints, both streams, as bytes."""
        done = subprocess.run([os.path.join(BUILD, "govctl"), "--socket", self.path("run", "govd.sock"), *words],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, check=False)
        return done.returncode, done.stdout, done.stderr

    def assert_tame(self, *words):
        """Text for a terminal has no control characters, JSON is JSON and ASCII."""
        for options in ((), ("--json=short",), ("--json=pretty",)):
            code, out, err = self.raw(*options, *words)
            self.assertEqual(code, 0, (words, out, err))
            for text in (out, err):
                text.decode("utf-8")
                control = [c for c in text.decode("utf-8") if ord(c) < 0x20 and c != "\n" or 0x7f <= ord(c) < 0xa0]
                self.assertEqual(control, [], (words, text))
                # Each name is on the line of its row.
                self.assertNotIn(b"\n\x1b", text)
            for document in () if not options else out.splitlines() if words[0] == "events" else (out,):
                self.assertTrue(document.isascii())
                json.loads(document)

    def end_all(self):
        for agent in self.agents():
            # One whose command is done may have ended by itself since.
            if self.raw("kill", agent["id"])[0] != 0:
                self.assertNotIn(agent["id"], [living["id"] for living in self.agents()])
        wait_until(lambda: not self.agents(), "the agents end")


class LiarTest(HostileTest):
    def test_rewritten_name_and_arguments_change_nothing(self):
        agent = self.copy(program("hostile"), "agent")
        self.policy("liar", 'match: {exe: DIR/bin/agent, args: "--room"}\nkey: {args: "--room=(\\\\S+)"}\n')
        self.start()
        process = self.spawn(agent, "rewrite", "--room=blue", stdout=subprocess.PIPE)
        process.stdout.readline()
        with open(f"/proc/{process.pid}/cmdline", "rb") as file:
            self.assertNotIn(b"room", file.read())
        with open(f"/proc/{process.pid}/comm", "rb") as file:
            self.assertEqual(file.read(), b"init\n")
        found = self.agent_of(process.pid)
        self.ctl("policy", "reload")  # and its scan
        same = ("id", "policy", "key", "pid", "exe", "cgroup")
        self.assertEqual([[a[k] for k in same] for a in self.agents()], [[found[k] for k in same]])
        self.assertEqual((found["policy"], found["key"], found["exe"]), ("liar", "blue", agent))
        self.assert_placed(process.pid, found)
        self.ctl("stop", found["id"])
        self.assertEqual(process.wait(20), -15)
        process.stdout.close()

    def test_name_that_looks_like_a_stat_line(self):
        """comm is printed raw in /proc/PID/stat, parentheses and all."""
        name = "x) S 1 1 (1) "
        agent = self.copy("sleep", name)
        self.policy("liar", "match: {exe: DIR/bin/x*}\n")
        for hold in ("auto", "never"):
            with self.subTest(hold=hold):
                self.policy("liar", f"match: {{exe: DIR/bin/x*}}\nhold: {hold}\nstop: {{grace: 1s}}\n")
                self.start()
                process = self.spawn(agent, "300")
                found = self.agent_of(process.pid)
                self.assert_placed(process.pid, found)
                self.ctl("stop", found["id"])
                self.assertEqual(process.wait(20), -15)
                self.stop_govd()


class NameTest(HostileTest):
    def test_evil_names_and_keys_are_shown_escaped_and_make_no_directories(self):
        directory = os.fsencode(self.path("bin"))
        exe, script = directory + b"/" + EVIL, directory + b"/" + EVIL + b".py"
        os.link(self.copy("sleep", "plain"), exe)
        with open(script, "w", encoding="ascii") as file:
            file.write(SLEEPS)
        self.policy("exes", "match: {exe: DIR/bin/a*}\nkey: {env: ROOM}\n")
        self.policy("scripts", 'match: {script: DIR/bin/*.py}\nkey: {args: "--room=(.*)$"}\n')
        key = b"../../" + EVIL + b"/../x"
        self.start()
        first = self.spawn(exe, "300", env={**os.environb, b"ROOM": key})
        second = self.spawn(sys.executable, script, b"--room=" + key)
        for process in (first, second):
            found = self.agent_of(process.pid)
            self.assert_placed(process.pid, found)
            self.assertRegex(found["cgroup"], rf"/{self.slice}/{self.group_of(found['policy'])}[0-9a-f]{{8}}(\.scope)?$")
            self.assertTrue(found["key"].startswith("../../a"))
        ids = {a["policy"]: a["id"] for a in self.agents()}
        self.assertEqual(sorted(ids), ["exes", "scripts"])
        for words in (("list",), ("status",), ("events",), ("policy", "list"), ("explain", str(first.pid)),
                      ("explain", str(second.pid)), ("show", ids["exes"]), ("show", ids["scripts"]),
                      ("policy", "test", str(second.pid))):
            self.assert_tame(*words)
        self.end_all()
        wait_until(lambda: len([i for i in self.ctl_json("incidents") if i["kind"] == "stopped"]) == 2, "two incidents")
        self.assert_tame("incidents")
        with open(self.path("log"), "rb") as file:
            self.assertNotIn(b"\x1b", file.read())

    def test_keys_survive_a_restart_as_they_are(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nkey: {env: ROOM}\n")
        self.start()
        process = self.spawn(agent, "300", env={**os.environb, b"ROOM": EVIL})
        before = self.agent_of(process.pid)
        self.stop_govd(9)
        self.start()
        after = self.agent_of(process.pid)
        self.assertEqual((before["id"], before["key"]), (after["id"], after["key"]))

    def test_asked_for_with_evil_words(self):
        """Keys, ids and policies on govctl's own command line."""
        self.policy("job", "match: {exe: DIR/bin/never}\n")
        self.start()
        for word in (EVIL, b"", b"/", b"job/", b"..", b"x" * 100000, b"%s%n"):
            for words in ((b"show", word), (b"stop", word), (b"policy", b"show", word), (b"adopt", word),
                          (b"run", b"--policy", word, b"--", b"true")):
                code, out, err = self.raw(*words)
                self.assertIn(code, (1, 2), (words, out, err))
                self.assertNotIn(b"\x1b", out + err)
        code, out, err = self.raw(b"run", b"--policy", b"job", b"--key", EVIL, b"--", b"true")
        self.assertNotIn(b"\x1b", out + err)
        code, out, err = self.raw(b"run", b"--policy", b"job", b"--key", b"x" * 100000, b"--", b"true")
        self.assertIn(code, (0, 1, 2))
        self.assert_tame("incidents")
        self.ctl("status")


class SizeTest(HostileTest):
    """The kernel lets a single argument have 128 KiB, and all together a quarter of the stack's limit."""

    def check(self, arguments, environment):
        agent = self.copy("python3", "agent")
        environment = {"PYTHONHOME": sys.base_prefix, "ROOM": "blue", "PATH": os.environ["PATH"], **environment}
        for hold in ("auto", "never"):
            with self.subTest(hold=hold):
                self.policy("big", "match: {exe: DIR/bin/agent, env: {ROOM: blue}}\nkey: {env: ROOM}\n"
                            f"hold: {hold}\n")
                self.start()
                begun = time.monotonic()
                process = self.spawn(agent, "-c", SLEEPS, *arguments, env=environment)
                found = self.agent_of(process.pid)
                self.assertLess(time.monotonic() - begun, 5)
                self.assertEqual(found["key"], "blue")
                self.assert_placed(process.pid, found)
                done = self.ctl("run", "--policy", "big", "--", agent, "-c", "pass", *arguments, env=environment)
                self.assertEqual(done.stdout, "")
                self.ctl_json("explain", str(process.pid))
                self.assertEqual(self.ctl_json("status")["holds"]["expired"], 0)
                self.end_all()
                self.stop_govd()
        self.assertLess(self.ctl_incidents_size(), 64 << 10)

    def ctl_incidents_size(self):
        """Neither arguments nor environments are kept."""
        return len(self.raw("incidents", "--json=short")[1])

    def test_large_arguments(self):
        self.check(["y" * 131000] * 8, {})

    def test_many_arguments(self):
        self.check(["z" * 10] * 95000, {})

    def test_large_environment(self):
        self.check([], {f"BIG{i}": "e" * 131000 for i in range(8)})

    def test_many_variables(self):
        self.check([], {f"V{i:06}": "v" for i in range(80000)})


class FileTest(HostileTest):
    def test_executing_a_deleted_file(self):
        for hold in ("auto", "never"):
            with self.subTest(hold=hold):
                agent = self.copy("sleep", "agent")
                self.policy("ghost", f"match: {{exe: DIR/bin/agent}}\nhold: {hold}\n")
                self.start()
                code = (f"import os, sys\nfd = os.open('{agent}', os.O_RDONLY)\nos.unlink('{agent}')\n"
                        "os.execve(fd, ['agent', '300'], os.environ)\n")
                process = self.spawn(sys.executable, "-c", code)
                found = self.agent_of(process.pid)
                self.assertEqual(found["exe"], agent)
                self.assert_placed(process.pid, found)
                self.ctl_json("explain", str(process.pid))
                self.end_all()
                self.stop_govd()

    def test_executing_from_memory(self):
        """It has no path, so it is caught by its name alone, which the policy may give."""
        name = f"govtest-{os.getpid()}"
        self.policy("memory", f'match: {{exe: "/memfd:{name}"}}\n')
        self.policy("other", "match: {exe: DIR/bin/*}\n")
        self.start()
        code = (f"import os, shutil, sys\nfd = os.memfd_create('{name}', 0)\n"
                "with open(shutil.which('sleep'), 'rb') as file: os.write(fd, file.read())\n"
                "os.execve(fd, ['sleep', '300'], os.environ)\n")
        process = self.spawn(sys.executable, "-c", code)
        found = self.agent_of(process.pid)
        self.assertEqual(found["policy"], "memory")
        self.assert_placed(process.pid, found)

    def test_executable_replaced_while_it_runs(self):
        agent = self.copy("sleep", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        first = self.spawn(agent, "300")
        before = self.agent_of(first.pid)
        os.rename(self.copy("sleep", "new"), agent)
        self.ctl("policy", "reload")
        self.assertEqual(self.agent_of(first.pid)["id"], before["id"])
        self.assertTrue(self.ctl_json("explain", str(first.pid)))
        second = self.spawn(agent, "300")
        found = self.agent_of(second.pid)
        self.assert_placed(second.pid, found)
        self.assertEqual(self.ctl_json("show", found["id"])["how"], "hold", "the new inode is held, too")
        os.unlink(agent)
        self.stop_govd(9)
        self.start()
        self.assertEqual({a["pid"] for a in self.agents()}, {first.pid, second.pid})


class CrowdTest(HostileTest):
    def wait_until_gone(self, group):
        """systemd removes a scope a moment after its agent has left the list."""
        wait_until(lambda: not os.path.exists(group), f"{group} has gone")

    def test_tasks_cap_holds_a_fork_bomb_and_kill_ends_it(self):
        agent = self.copy("sh", "agent")
        # Twelve generations at most, each of two: it goes out by itself when nothing caps it.
        bomb = self.script("bomb.sh", 'n=$1\n[ "$n" -gt 0 ] || exec sleep 30\n'
                           f'"{agent}" "$0" $((n - 1)) &\n"{agent}" "$0" $((n - 1)) &\nsleep 30\n')
        self.policy("bomb", "match: {exe: DIR/bin/agent}\ntasks: {max: 60}\n")
        self.start()
        process = self.spawn(agent, bomb, "12", stderr=subprocess.DEVNULL)
        found = self.agent_of(process.pid)
        most = 0
        for _ in range(20):
            tasks = self.ctl_json("show", found["id"]).get("tasks") or 0
            most = max(most, tasks)
            time.sleep(0.05)
        self.assertLessEqual(most, 60)
        self.assertGreater(most, 30)
        self.assertEqual(len(self.agents()), 1)
        begun = time.monotonic()
        self.ctl("kill", found["id"])
        wait_until(lambda: not self.agents(), "the agent is gone")
        self.assertLess(time.monotonic() - begun, 5)
        self.wait_until_gone(self.v2_path(found["cgroup"]))

    def test_groups_that_an_agent_makes_below_its_own_go_with_it(self):
        agent = self.copy("sh", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\nmemory: {max: 64M}\n")
        self.start()
        process = self.spawn(agent, "-c", "sleep 300 & sleep 300 & sleep 300 & wait")
        found = self.agent_of(process.pid)
        wait_until(lambda: len(children_of(process.pid)) == 3, "three children")
        tops = [self.v2_path(found["cgroup"])]
        if "memory" in cgroups_of(process.pid):
            tops.append("/sys/fs/cgroup/memory" + cgroups_of(process.pid)["memory"])
        family = [process.pid] + children_of(process.pid)
        for top in tops:
            for name in ("a/b/c", "d", "empty/empty"):
                os.makedirs(os.path.join(top, name))
            for pid, name in zip(family[1:], ("a/b/c", "d")):
                with open(os.path.join(top, name, "cgroup.procs"), "w", encoding="ascii") as file:
                    file.write(str(pid))
        self.assertEqual([a["id"] for a in self.agents()], [found["id"]])
        self.ctl("stop", found["id"])
        wait_until(lambda: not self.agents(), "the agent is gone", 30)
        wait_until(lambda: not [pid for pid in family if is_alive(pid)], "all have ended")
        for top in tops:
            self.wait_until_gone(top)

    def test_leaving_the_group_leads_nowhere(self):
        """Root may write itself to any group: what it starts there is fetched, and a kill reaches all of it."""
        agent = self.copy("sh", "agent")
        self.policy("bot", "match: {exe: DIR/bin/agent}\n")
        self.start()
        outside, go, gone = self.v2_path(cgroups_of(os.getpid())[""]), self.path("go"), self.path("gone")
        process = self.spawn(agent, "-c", f"while ! [ -e {go} ]; do sleep 0.05; done; "
                             f"echo $$ > {outside}/cgroup.procs && : > {gone}; sleep 300 & wait")
        found = self.agent_of(process.pid)
        self.assert_placed(process.pid, found)
        with open(go, "w", encoding="ascii"):
            pass
        wait_until(lambda: os.path.exists(gone), "it has left")  # and may be back by now
        child = wait_until(lambda: [pid for pid in children_of(process.pid) if self.is_inside(pid, found)],
                           "its child is fetched")[0]
        bystander = self.spawn("sleep", "300")
        self.ctl("kill", found["id"])
        wait_until(lambda: not self.agents(), "the agent is gone")
        self.assertEqual(process.wait(20), -9)
        # Who dies leaves its group shortly before it is a zombie.
        wait_until(lambda: not is_alive(child), "the child has ended")
        self.assertIsNone(bystander.poll())
        self.wait_until_gone(self.v2_path(found["cgroup"]))


if __name__ == "__main__":
    unittest.main()
