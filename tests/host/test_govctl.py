#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govctl against a fake govd (fake_govd.c): its command line, errors and JSON."""

import json
import os
import shutil
import socket
import subprocess
import time
import unittest

from govctl_case import AGENT, DEADLINE, GOVCTL, LIST_FIELDS, GovctlTest, a_dict, a_string, an_error, dicts


class Arguments(GovctlTest):
    def refuse(self, args, words):
        done = self.govctl(*args, code=2)
        self.assertEqual(done.stdout, "")
        self.assertTrue(done.stderr.startswith("govctl: "), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn(words, done.stderr)

    def test_wrong_usage_is_exit_2_and_a_sentence(self):
        for args, words in (
            ([], "--help"), (["lst"], "unknown verb lst"), (["--frob"], "unknown option --frob"),
            (["list", "--frob=1"], "unknown option --frob=1"), (["list", "-Z"], "unknown option -Z"),
            (["list", "x"], "too many arguments"), (["show"], "too few arguments: govctl show ID"),
            (["stop", "a", "b"], "too many"), (["list", "--policy"], "--policy needs a value"),
            (["status", "--policy", "x"], "status doesn't take --policy"), (["policy"], "list, show, check, test, reload"),
            (["policy", "frob"], "needs one of"), (["--json=xml", "list"], "must be short, pretty or off"),
            (["run"], "too few"), (["run", "--"], "too few"), (["list", "--help=1"], "takes no value"),
            (["adopt", "abc"], "isn't a process id"), (["adopt", "0"], "isn't a process id"),
            (["policy", "test", "99999999999"], "isn't a process id"), (["incidents", "--since", "soon"], "--since is soon"),
            (["incidents", "-n", "x"], "-n is x"), (["freeze", "--wait", "a"], "freeze doesn't take --wait"),
        ):
            with self.subTest(args=args):
                self.refuse(args, words)

    def test_help_needs_no_daemon(self):
        text = self.govctl("--help").stdout
        for verb in ("status", "list", "show", "run", "adopt", "release", "touch", "lease", "freeze", "thaw", "stop", "kill",
                     "policy list", "policy show", "policy check", "policy test", "policy reload", "explain", "events",
                     "incidents", "doctor", "version"):
            self.assertRegex(text, rf"(?m)^  {verb}\b")
            self.assertTrue(self.govctl(*verb.split(), "--help").stdout.startswith(f"govctl {verb}"))
        self.assertNotIn("completion", text)
        self.assertRegex(self.govctl("--version").stdout, r"^govctl \d+\.\d+\.\d+\n$")

    def test_options_before_and_behind_the_verb(self):
        self.serve(ListAgents=dicts())
        for args in (["--policy", "p", "--json", "list"], ["list", "--json=short", "-pp"], ["-p", "p", "list", "--json"],
                     ["list", "--policy=p", "--json", "--"]):
            self.assertEqual(self.govctl(*args).stdout, "[]\n")
            self.assertEqual(self.next_call()["args"], ["p"])

    def test_socket_option_goes_before_the_variable(self):
        self.serve(ListAgents=dicts())
        self.govctl("list", "--socket", self.socket, env={"GOVD_SOCKET": "/nonexistent/govd.sock"})

    def test_output_to_a_full_disk_fails(self):
        self.serve(ListAgents=dicts(AGENT))
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([GOVCTL, "list"], stdout=full, stderr=subprocess.PIPE, env=self.env, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"can't write", done.stderr)


class Daemon(GovctlTest):
    def test_down(self):
        for is_left_over in (False, True):
            if is_left_over:
                with socket.socket(socket.AF_UNIX) as left_over:
                    left_over.bind(self.socket)
            done = self.govctl("list", code=1)
            self.assertEqual(done.stderr, f"govctl: govd isn't running on {self.socket}: start it with "
                             f"`govd --runtime-dir {self.dir}`, or name its socket with --socket\n")

    def test_path_of_any_characters(self):
        self.socket = os.path.join(self.dir, "a,b=c;d e%41ü.sock")
        self.env["GOVD_SOCKET"] = self.socket
        self.serve(ListAgents=dicts())
        self.assertEqual(self.govctl("list").stdout, "No agents.\n")
        self.assertIn("too long", self.govctl("list", "--socket", "/" + "x" * 200, code=1).stderr)

    def test_no_permission(self):
        self.serve(ListAgents=dicts())
        os.chmod(self.socket, 0)
        os.chmod(self.dir, 0o755)
        # A user without rights, who can reach govctl through this directory.
        copy = shutil.copy(GOVCTL, os.path.join(self.dir, "govctl"))
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        done = subprocess.run([copy, "list"], capture_output=True, text=True, env=self.env, check=False, user=65534,
                              group=65534, extra_groups=[])
        self.assertEqual(done.returncode, 1)
        self.assertIn("you may not talk to govd", done.stderr)

    def test_closed_connection(self):
        self.serve(Status={"close": True})
        self.assertIn("closed the connection", self.govctl("status", code=1).stderr)

    def test_hung_daemon_is_not_waited_for(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(self.socket)
            silent.listen(4)
            start = time.monotonic()
            self.assertIn("doesn't answer", self.govctl("status", code=1).stderr)
            self.assertLess(time.monotonic() - start, 10)

    def test_errors_are_sentences(self):
        for name, message, words in (
            ("NoSuchAgent", "there is no agent x9: see `govctl list`", "there is no agent x9: see `govctl list`"),
            ("Ambiguous", "", "several agents have this name"), ("NoSuchPolicy", "", "there is no such policy"),
            ("NoSuchProcess", "", "there is no such process"), ("NoMatch", "", "no policy is for this process"),
            ("Protected", "", "is protected"), ("Denied", "", "you may not do this"), ("Busy", "", "try again"),
            ("Invalid", "bad\x1b[1m", r"bad\x1b[1m"), ("Failed", "", "see its log"),
        ):
            with self.subTest(name=name):
                self.serve(Command=an_error(name, message))
                done = self.govctl("freeze", "x9", code=1)
                self.assertTrue(done.stderr.startswith("govctl: "))
                self.assertIn(words, done.stderr)
                self.end_fake()
                os.unlink(self.socket)
        self.serve()
        self.assertIn("older than govctl", self.govctl("list", code=1).stderr)

    def test_policy_check_and_doctor_become_govd(self):
        copy = shutil.copy(GOVCTL, os.path.join(self.dir, "govctl"))
        govd = os.path.join(self.dir, "govd")
        with open(govd, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\necho \"$@\"\nexit 7\n")
        os.chmod(govd, 0o755)
        for args, wanted in ((["policy", "check", "a.yaml", "b c"], "--check a.yaml b c\n"), (["doctor"], "--doctor\n"),
                             (["doctor", "--json=pretty"], "--doctor --json=pretty\n"),
                             (["--json", "doctor"], "--doctor --json=short\n")):
            done = subprocess.run([copy, *args], capture_output=True, text=True, env=self.env, check=False)
            self.assertEqual((done.stdout, done.returncode), (wanted, 7), done.stderr)
        os.mkdir(os.path.join(self.dir, "sbin"))
        os.mkdir(os.path.join(self.dir, "bin"))
        shutil.move(copy, os.path.join(self.dir, "bin", "govctl"))
        shutil.move(govd, os.path.join(self.dir, "sbin", "govd"))
        done = subprocess.run([os.path.join(self.dir, "bin", "govctl"), "doctor"], capture_output=True, text=True,
                              env=self.env, check=False)
        self.assertEqual((done.stdout, done.returncode), ("--doctor\n", 7))


class Json(GovctlTest):
    def test_nested_dictionaries(self):
        status = {
            "version": "0.1.0", "backend": "native", "mode": "enforce", "kernel": "6.18", "policies": 4,
            "agents": {"total": 12, "held": 0, "frozen": 1}, "events": {"received": 9007199254740993, "lost": 0},
            "incidents": 33, "log": {"emitted": 100, "dropped": 0},
            "deep": {"a": {"b": {"c": [{"d": ["x", "ü"]}, {"e": True}]}}, "real": 0.25, "none": []},
        }
        self.serve(Status=a_dict(status))
        for mode in ("--json", "--json=short", "--json=pretty"):
            got = json.loads(self.govctl("status", mode).stdout)
            wanted = json.loads(json.dumps(status))
            # Promised, and null when missing.
            wanted["events"]["resyncs"] = wanted["pacing"] = None
            wanted["connects"] = {"total": None, "delayed": None, "refused": None}
            wanted["emergency"] = {"state": None, "available_bytes": None, "full_pct": None, "kills": None}
            self.assertEqual(got, wanted)
        self.assertEqual(self.govctl("status", "--json").stdout.count("\n"), 1)
        self.assertGreater(self.govctl("status", "--json=pretty").stdout.count("\n"), 20)

    def test_numbers_as_they_were(self):
        self.serve(Status=a_dict({"since_s": 1.003, "big": 9223372036854775807, "negative": -1, "text": "\x7f\x1b\u00fc"}))
        text = self.govctl("status", "--json").stdout
        for part in ('"since_s":1.003', '"big":9223372036854775807', '"negative":-1', r'"text":"\u007F\u001B\u00FC"'):
            self.assertIn(part, text)
        self.assertEqual(json.loads(text)["text"], "\x7f\x1b\u00fc")

    def test_every_promised_field_is_there(self):
        self.serve(ListAgents=dicts(AGENT, {"id": "ff"}), ShowAgent=a_dict(AGENT), Status=a_dict({}),
                   ListPolicies=dicts({"name": "p"}))
        agents = json.loads(self.govctl("list", "--json").stdout)
        self.assertEqual(list(agents[0]), LIST_FIELDS)
        self.assertEqual(list(agents[1]), LIST_FIELDS)
        self.assertEqual({k: v for k, v in agents[0].items() if v is not None}, AGENT)
        self.assertEqual(agents[1]["memory_bytes"], None)
        show = json.loads(self.govctl("show", "1a", "--json").stdout)
        self.assertEqual(list(show)[:21],
                         LIST_FIELDS + ["limits", "tools", "destinations", "next", "incidents"])
        self.assertEqual(show["next"], {"action": None, "in_s": None})
        status = json.loads(self.govctl("status", "--json").stdout)
        self.assertEqual(status["agents"], {"total": None, "held": None, "frozen": None})
        self.assertEqual(status["log"], {"emitted": None, "dropped": None})
        policies = json.loads(self.govctl("policy", "list", "--json").stdout)
        self.assertEqual(policies, [{"name": "p", "file": None, "mode": None, "agents": None, "state": None, "error": None}])

    def test_other_verbs(self):
        explain = {"pid": 7, "policy": "b", "policies": [{"policy": "a", "matched": False, "key": "exe"}]}
        self.serve(Adopt=a_string("1a2b3c4d"), Command=a_string("1a2b3c4d"), Explain=a_dict(explain),
                   TestPolicy=a_dict(explain), ShowPolicy=a_string("match: {}\n"),
                   Reload=a_dict({"policies": 3, "errors": ["a.yaml: memory.max: no"]}), Status=a_dict({"version": "9.8.7"}))
        self.assertEqual(json.loads(self.govctl("adopt", "77", "-p", "bots", "--json").stdout), {"id": "1a2b3c4d"})
        self.assertEqual(self.next_call()["args"], [77, "bots"])
        self.assertEqual(json.loads(self.govctl("freeze", "bots/room-7", "--json").stdout)["id"], "1a2b3c4d")
        self.assertEqual(self.next_call()["args"], ["freeze", "bots/room-7"])
        self.assertEqual(json.loads(self.govctl("explain", "7", "--json").stdout), explain)
        self.assertEqual(json.loads(self.govctl("policy", "test", "7", "--json").stdout), explain)
        self.assertEqual(self.govctl("policy", "show", "b").stdout, "match: {}\n")
        self.assertEqual(json.loads(self.govctl("policy", "reload", "--json", code=1).stdout)["policies"], 3)
        self.assertEqual(json.loads(self.govctl("version", "--json").stdout)["daemon"], "9.8.7")
        self.end_fake()
        self.assertEqual(json.loads(self.govctl("version", "--json").stdout)["daemon"], None)

    def test_events_are_lines(self):
        one = {"time": "2026-11-21T10:00:00.123Z", "event": "placed", "agent": "1a2b3c4d", "policy": "bots", "key": "k",
               "pid": 12, "action": "place", "result": "done"}
        self.serve(Subscribe={**dicts(one, {"event": "exec"}), "events": [{"event": "later", "pid": 5}]})
        done = self.govctl("events", "--json")
        self.assertEqual([json.loads(line) for line in done.stdout.splitlines()], [one, {"event": "exec"}])
        self.assertEqual(self.next_call()["args"], [False])
        text = self.govctl("events").stdout
        self.assertRegex(text, r"(?m)^2026-11-21 10:00:00  placed +1a2b3c4d  bots/k  pid=12 action=place result=done$")

    def test_events_follow_until_govd_ends(self):
        self.serve(Subscribe={**dicts({"event": "old"}), "events": [{"event": "new", "pid": 5}, {"event": "newer"}]})
        with subprocess.Popen([GOVCTL, "events", "-f", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, env=self.env) as follower:
            try:
                lines = [json.loads(follower.stdout.readline())["event"] for _ in range(3)]
                self.assertEqual(lines, ["old", "new", "newer"])
                self.assertIsNone(follower.poll())
                self.fake.kill()
                self.assertEqual(follower.wait(timeout=DEADLINE), 1)
                self.assertIn("govd has ended", follower.stderr.read())
            finally:
                follower.kill()


class Command(GovctlTest):
    def test_returns_at_once_without_wait(self):
        self.serve(Command=a_string("1a2b3c4d"))
        for verb in ("release", "freeze", "thaw", "stop", "kill"):
            self.assertEqual(self.govctl(verb, "1a").stdout, f"1a2b3c4d: {verb}\n")
            self.assertEqual(self.next_call()["args"], [verb, "1a"])
        self.no_call()

    def test_leases(self):
        self.serve(Touch=a_string("1a2b3c4d"), Lease=a_string("1a2b3c4d"))
        self.assertEqual(self.govctl("touch", "1a").stdout, "1a2b3c4d: touch\n")
        self.assertEqual(self.next_call()["args"], ["1a"])
        for time, ms in (("10min", 600000), ("0s", 0)):
            self.assertEqual(self.govctl("lease", "1a", time).stdout, "1a2b3c4d: lease\n")
            self.assertEqual(self.next_call()["args"], ["1a", ms])
        self.assertIn("write a number and a unit", self.govctl("lease", "1a", "10", code=2).stderr)
        self.no_call()

    def test_wait_until_gone(self):
        stopping = a_dict({**AGENT, "state": "stopping", "tasks": 3})
        for end in (an_error("NoSuchAgent"), a_dict({**AGENT, "state": "gone"})):
            self.serve(Command=a_string("1a2b3c4d"), ShowAgent=[stopping, stopping, end])
            self.assertEqual(self.govctl("stop", "-w", "bots").stdout, "1a2b3c4d: gone\n")
            self.assertEqual(self.next_call()["args"], ["stop", "bots"])
            # By the id: the name may mean another agent by now.
            self.assertEqual([self.next_call()["args"] for _ in range(3)], [["1a2b3c4d"]] * 3)
            self.no_call()
            self.end_fake()
            os.unlink(self.socket)

    def test_wait_shows_progress_on_a_terminal(self):
        stopping = a_dict({**AGENT, "state": "stopping", "tasks": 3})
        self.serve(Command=a_string("1a2b3c4d"), ShowAgent=[stopping, an_error("NoSuchAgent")])
        self.assertIn("3 tasks left", self.on_terminal("kill", "--wait", "1a"))

    def test_wait_fails_when_govd_ends(self):
        self.serve(Command=a_string("1a2b3c4d"), ShowAgent=[a_dict({**AGENT, "state": "stopping"}), {"close": True}])
        done = self.govctl("stop", "--wait", "1a", code=1)
        self.assertEqual(done.stdout, "")

    def test_adopt(self):
        self.serve(Adopt=a_string("1a2b3c4d"))
        self.assertEqual(self.govctl("adopt", "123").stdout, "1a2b3c4d\n")
        self.assertEqual(self.next_call()["args"], [123, ""])

    def test_reload_tells_each_error(self):
        self.serve(Reload=[a_dict({"policies": 3, "errors": ["a.yaml: memory.max: is x", "b.yaml: foo: unknown"]}),
                           a_dict({"policies": 4, "errors": []})])
        done = self.govctl("policy", "reload", code=1)
        self.assertEqual(done.stdout, "3 policies in force\n")
        self.assertEqual(done.stderr, "govctl: a.yaml: memory.max: is x\ngovctl: b.yaml: foo: unknown\n")
        self.assertEqual(self.govctl("policy", "reload").stdout, "4 policies in force\n")


class Completion(GovctlTest):
    def complete(self, *words):
        script = ('source <("$0" completion bash)\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n'
                  'compopt() { :; }\n_govctl\nprintf "%s\\n" "${COMPREPLY[@]}"\n')
        env = {**self.env, "PATH": os.path.dirname(GOVCTL) + ":" + os.environ["PATH"]}
        done = subprocess.run(["bash", "-c", script, GOVCTL, "govctl", *words], capture_output=True, text=True, env=env,
                              check=True, timeout=DEADLINE)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_is_a_script(self):
        script = self.govctl("completion", "bash").stdout
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)

    def test_words(self):
        self.serve(ListAgents=dicts(AGENT, {**AGENT, "id": "1affffff"}, {**AGENT, "id": "22222222"}),
                   ListPolicies=dicts({"name": "bots"}, {"name": "claude"}, {"name": "$(touch x)"}))
        self.assertTrue({"status", "list", "run", "policy", "doctor"} <= self.complete(""))
        self.assertNotIn("completion", self.complete(""))
        self.assertEqual(self.complete("st"), {"status", "stop"})
        self.assertEqual(self.complete("policy", ""), {"list", "show", "check", "test", "resume", "reload"})
        self.assertEqual(self.complete("stop", "--w"), {"--wait"})
        self.assertEqual(self.complete("--js"), {"--json"})
        self.assertEqual(self.complete("show", "1a"), {"1a2b3c4d", "1affffff"})
        self.assertEqual(self.complete("list", "--policy", ""), {"bots", "claude"})
        self.assertEqual(self.complete("list", "--policy", "=", "cl"), {"claude"})
        self.assertEqual(self.complete("policy", "show", "b"), {"bots"})
        self.assertEqual(self.complete("list", "--json", "="), {"short", "pretty", "off"})
        self.assertEqual(self.complete("--socket", self.socket, "thaw", "2"), {"22222222"})


if __name__ == "__main__":
    unittest.main()
