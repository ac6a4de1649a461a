#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govctl against a fake govd (fake_govd.c). GOVCTL names the program, else it is taken from GOVD_BUILD or build."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("GOVD_BUILD") or os.path.join(ROOT, "build")
GOVCTL = os.path.abspath(os.environ.get("GOVCTL") or os.path.join(BUILD, "govctl"))
FAKE_GOVD = os.path.join(os.path.dirname(GOVCTL), "tests", "fake_govd")
DEADLINE = 20  # seconds until a thing that never comes is a failure
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]")

AGENT = {
    "id": "1a2b3c4d", "policy": "bots", "key": "room-7", "pid": 4711, "state": "active", "since_s": 3723.5,
    "idle_s": 4.25, "memory_bytes": 159803392, "memory_max_bytes": 629145600, "cpu_s": 12.5, "tasks": 9,
    "cgroup": "/agents.slice/govd-bots-1a2b3c4d",
}
LIST_FIELDS = [
    "id", "policy", "key", "pid", "state", "since_s", "idle_s", "memory_bytes", "memory_max_bytes", "cpu_s", "tasks",
    "sockets", "connects", "delayed", "refused", "cgroup",
]
HOSTILE = "x\x1b[31m\ny\x9bz\x07\u202etxt\\"


def width_of(line):
    return len(line)


class GovctlTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="govctl-test-")
        self.addCleanup(shutil.rmtree, self.dir)
        self.socket = os.path.join(self.dir, "govd.sock")
        self.fake = None
        self.env = {**os.environ, "GOVD_SOCKET": self.socket, "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        for name in ("COLUMNS", "NO_COLOR", "JOURNAL_STREAM"):
            self.env.pop(name, None)

    def serve(self, **answers):
        """Starts a fake govd: method=answer, or method=[answers]."""
        path = os.path.join(self.dir, "answers.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(answers, file)
        self.fake = subprocess.Popen([FAKE_GOVD, self.socket, path], stdout=subprocess.PIPE, bufsize=0)
        self.calls = b""
        self.addCleanup(self.end_fake)
        self.assertEqual(self.fake.stdout.readline(), b"ready\n")

    def end_fake(self):
        self.fake.kill()
        self.fake.wait()
        self.fake.stdout.close()

    def next_call(self):
        while b"\n" not in self.calls:
            ready, _, _ = select.select([self.fake.stdout], [], [], DEADLINE)
            self.assertTrue(ready, "govctl called nothing")
            self.calls += os.read(self.fake.stdout.fileno(), 65536)
        line, _, self.calls = self.calls.partition(b"\n")
        return json.loads(line)

    def no_call(self):
        self.assertEqual(select.select([self.fake.stdout], [], [], 0)[0], [])
        self.assertEqual(self.calls, b"")

    def govctl(self, *args, code=0, env=None, **options):
        done = subprocess.run([GOVCTL, *args], capture_output=True, text=True, timeout=DEADLINE,
                              env={**self.env, **(env or {})}, check=False, **options)
        self.assertEqual(done.returncode, code, f"{args}: {done.stdout}{done.stderr}")
        return done

    def on_terminal(self, *args, env=None, columns=80):
        """The bytes that govctl writes to a terminal."""
        master, slave = pty.openpty()
        os.set_blocking(master, True)
        child = subprocess.Popen([GOVCTL, *args], stdin=slave, stdout=slave, stderr=slave,
                                 env={**self.env, "TERM": "xterm", "COLUMNS": str(columns), **(env or {})})
        os.close(slave)
        data = b""
        while True:
            ready, _, _ = select.select([master], [], [], DEADLINE)
            self.assertTrue(ready, "govctl hangs")
            try:
                part = os.read(master, 65536)
            except OSError:  # EIO: the last writer has closed it
                break
            if not part:
                break
            data += part
        os.close(master)
        self.assertEqual(child.wait(timeout=DEADLINE), 0, data)
        return data.decode("utf-8").replace("\r\n", "\n")


def dicts(*values):
    return {"types": "aa{sv}", "value": list(values)}


def a_dict(value):
    return {"types": "a{sv}", "value": value}


def a_string(value):
    return {"types": "s", "value": value}


def an_error(name, message=""):
    return {"error": f"org.govd1.Error.{name}", "message": message}


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
        for verb in ("status", "list", "show", "run", "adopt", "release", "touch", "freeze", "thaw", "stop", "kill",
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
            wanted["events"]["resyncs"] = None  # promised, and null when missing
            self.assertEqual(got, wanted)
        self.assertEqual(self.govctl("status", "--json").stdout.count("\n"), 1)
        self.assertGreater(self.govctl("status", "--json=pretty").stdout.count("\n"), 20)

    def test_every_promised_field_is_there(self):
        self.serve(ListAgents=dicts(AGENT, {"id": "ff"}), ShowAgent=a_dict(AGENT), Status=a_dict({}),
                   ListPolicies=dicts({"name": "p"}))
        agents = json.loads(self.govctl("list", "--json").stdout)
        self.assertEqual(list(agents[0]), LIST_FIELDS)
        self.assertEqual(list(agents[1]), LIST_FIELDS)
        self.assertEqual({k: v for k, v in agents[0].items() if v is not None}, AGENT)
        self.assertEqual(agents[1]["memory_bytes"], None)
        show = json.loads(self.govctl("show", "1a", "--json").stdout)
        self.assertEqual(list(show)[:20], LIST_FIELDS + ["limits", "tools", "next", "incidents"])
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


class Tables(GovctlTest):
    def agents(self):
        return [{**AGENT, "id": f"{i:08x}", "policy": "a-policy-with-a-long-name" if i % 2 else "bots",
                 "key": f"a-room-with-quite-a-long-name-{i}" if i % 3 else "räume"} for i in range(12)]

    def test_fits(self):
        self.serve(ListAgents=dicts(*self.agents()))
        shown = {}
        for columns in (10, 20, 40, 80, 120, 200):
            text = self.govctl("list", env={"COLUMNS": str(columns)}).stdout
            lines = text.splitlines()
            self.assertEqual(len(lines), 13, text)
            self.assertLessEqual(max(map(width_of, lines)), columns, text)
            self.assertFalse([line for line in lines if line != line.rstrip()])
            shown[columns] = lines
        for column in ("ID", "POLICY", "STATE"):
            self.assertIn(column, shown[40][0])
        for column in ("ID", "POLICY", "KEY", "STATE", "MEMORY", "AGE"):
            self.assertIn(column, shown[80][0])
        for column in ("PID", "IDLE", "MAX", "CPU", "TASKS", "CGROUP"):
            self.assertIn(column, shown[200][0])
        self.assertIn("/agents.slice/govd-bots-1a2b3c4d", shown[200][1])
        self.assertIn("…", shown[40][2])
        # Columns stand below each other.
        where = shown[200][0].index("STATE")
        self.assertTrue(all(line[where:].startswith("active") for line in shown[200][1:]))

    def test_no_limit_into_a_pipe(self):
        self.serve(ListAgents=dicts({**AGENT, "cgroup": "/agents.slice/" + "x" * 300}))
        self.assertIn("x" * 300, self.govctl("list").stdout)

    def test_units_are_for_people(self):
        self.serve(ListAgents=dicts({**AGENT, "memory_max_bytes": None}))
        row = self.govctl("list", env={"COLUMNS": "200"}).stdout.splitlines()[1]
        for words in ("1h 2min", "152.4M", "4.2s", " - "):
            self.assertIn(words, row)

    def test_empty(self):
        self.serve(ListAgents=dicts(), ListPolicies=dicts())
        self.assertEqual(self.govctl("list").stdout, "No agents.\n")
        self.assertIn("No policies", self.govctl("policy", "list").stdout)

    def test_control_characters_do_not_reach_the_terminal(self):
        agent = {**AGENT, "key": HOSTILE, "policy": HOSTILE, "cgroup": HOSTILE, "state": HOSTILE, "exe": HOSTILE,
                 "limits": {HOSTILE: HOSTILE}, "next": {"action": HOSTILE, "in_s": 1.0},
                 "tools": [{"id": HOSTILE, "pid": 1}], "incidents": [{"kind": HOSTILE, "evidence": {HOSTILE: HOSTILE}}]}
        reasons = {"exe": HOSTILE, "policies": [{"policy": HOSTILE, "matched": False, "key": HOSTILE, "reason": HOSTILE},
                                               {"policy": "b", "matched": True, "reason": HOSTILE}]}
        self.serve(ListAgents=dicts(agent), ShowAgent=a_dict(agent), Status=a_dict({"version": HOSTILE, "x": {"y": HOSTILE}}),
                   Explain=a_dict(reasons), TestPolicy=a_dict(reasons), Adopt=a_string(HOSTILE), Command=a_string(HOSTILE),
                   Subscribe=dicts({"event": HOSTILE, "key": HOSTILE, "policy": HOSTILE, HOSTILE: HOSTILE}),
                   ListPolicies=dicts({"name": HOSTILE, "error": HOSTILE, "file": HOSTILE}),
                   ShowPolicy=a_string(HOSTILE), Run={"types": "sb", "value": [HOSTILE, True]},
                   Reload=a_dict({"policies": 1, "errors": []}))
        for args in (["list"], ["show", "1a"], ["status"], ["explain", "7"], ["policy", "test", "7"], ["adopt", "7"],
                     ["thaw", "1"], ["events"], ["policy", "list"], ["policy", "show", "x"], ["policy", "reload"],
                     ["run", "--reuse", "true"], ["version"]):
            for json_mode in ([], ["--json=short"], ["--json=pretty"]):
                if args[0] == "run":
                    command = json_mode + args
                else:
                    command = args + json_mode
                with self.subTest(args=command):
                    text = self.on_terminal(*command, env={"NO_COLOR": "1"}, columns=400)
                    self.assertNotRegex(text, CONTROL)
                    self.assertTrue(text.endswith("\n"))

    def test_colours_only_on_a_terminal_that_wants_them(self):
        self.serve(ListAgents=dicts(AGENT))
        self.assertIn("\x1b[32mactive\x1b[0m", self.on_terminal("list"))
        for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
            self.assertNotIn("\x1b", self.on_terminal("list", env=env))
        self.assertNotIn("\x1b", self.govctl("list", env={"TERM": "xterm"}).stdout)
        plain = re.sub("\x1b\\[[0-9]*m", "", self.on_terminal("list", columns=60))
        self.assertLessEqual(max(map(len, plain.splitlines())), 60)

    def test_reasons(self):
        self.serve(Explain=a_dict({
            "pid": 7, "exe": "/usr/bin/python3", "policy": "bots", "state": "active", "next": {"action": "kill", "in_s": 4.0},
            "policies": [{"policy": "bots", "matched": True},
                         {"policy": "claude", "matched": False, "key": "exe", "reason": "exe is /usr/bin/python3"}]}))
        text = self.govctl("explain", "7").stdout
        self.assertRegex(text, r"(?m)^exe +/usr/bin/python3$")
        self.assertRegex(text, r"(?m)^next +action kill, in 4s$")
        self.assertRegex(text, r"(?m)^  bots +matched$")
        self.assertRegex(text, r"(?m)^  claude +no: exe: exe is /usr/bin/python3$")


class Run(GovctlTest):
    def placed(self, *more):
        self.serve(Run={"types": "sb", "value": ["1a2b3c4d", False]}, **dict(more))

    def test_becomes_the_command(self):
        self.placed()
        with subprocess.Popen([GOVCTL, "run", "-p", "bots", "--key=k 1", "--", "sh", "-c", "read x; echo $$ $x; exit 42", "zero"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.env) as child:
            out, _ = child.communicate("hello\n", timeout=DEADLINE)
        self.assertEqual((out, child.returncode), (f"{child.pid} hello\n", 42))
        call = self.next_call()
        shell = os.path.realpath(shutil.which("sh"))
        self.assertEqual(call["args"], ["bots", "k 1", False, shell, ["sh", "-c", "read x; echo $$ $x; exit 42", "zero"]])
        self.assertEqual(call["pid"], child.pid)

    def test_keeps_signals_descriptors_and_environment(self):
        self.placed()
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)

        def prepare():
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])

        def output(*command):
            return subprocess.run(command, capture_output=True, text=True, env=self.env, preexec_fn=prepare,
                                  pass_fds=[write], cwd=self.dir, restore_signals=False, check=True).stdout

        # Not all by one shell: shells change signals themselves.
        status = ["grep", "-E", "^(Sig(Blk|Ign|Cgt)|Threads|NoNewPrivs|Uid|Gid|Groups|Cap)", "/proc/self/status"]
        self.assertIn("SigBlk:\t0000000000004800", output(*status))
        script = "ls /proc/self/fd; env -u _ -u SHLVL | sort; pwd; umask; ulimit -a"
        for command in (status, ["sh", "-c", script]):
            self.assertEqual(output(GOVCTL, "run", "--", *command), output(*command))

    def test_dies_of_the_commands_signal(self):
        self.placed()
        done = subprocess.run([GOVCTL, "run", "sh", "-c", "kill -KILL $$"], env=self.env, check=False)
        self.assertEqual(done.returncode, -signal.SIGKILL)

    def test_options_of_the_command_are_its_own(self):
        self.placed()
        self.assertEqual(self.govctl("run", "echo", "--policy", "--help", "-n").stdout, "--policy --help -n\n")
        self.assertEqual(self.govctl("run", "--", "echo", "--").stdout, "--\n")

    def test_not_found_and_not_executable_are_not_placed(self):
        self.placed()
        plain = os.path.join(self.dir, "plain")
        with open(plain, "w", encoding="utf-8") as file:
            file.write("echo plain $1\n")
        for command, code in (("no-such-command", 127), ("./no-such", 127), ("", 127), (plain, 126), ("plain", 126), (self.dir, 126)):
            with self.subTest(command=command):
                done = self.govctl("run", "--", command, code=code, env={"PATH": f"/nonexistent:{self.dir}"})
                self.assertIn("govctl: ", done.stderr)
                self.assertEqual(done.stdout, "")
        self.no_call()
        # With the bit, and without a first line: as a shell would start it.
        os.chmod(plain, stat.S_IRWXU)
        self.assertEqual(self.govctl("run", "./plain", "x", cwd=self.dir).stdout, "plain x\n")
        self.assertEqual(self.next_call()["args"][3], os.path.realpath(plain))

    def test_path_is_searched_further_behind_what_cannot_be_executed(self):
        self.placed()
        with open(os.path.join(self.dir, "true"), "w", encoding="utf-8"):
            pass
        self.govctl("run", "true", env={"PATH": f"{self.dir}:/bin:/usr/bin"})
        self.assertEqual(self.next_call()["args"][3], os.path.realpath("/bin/true"))

    def test_links_are_followed_for_govd_and_kept_for_the_command(self):
        self.placed()
        link = os.path.join(self.dir, "link")
        os.symlink(shutil.which("sh"), link)
        self.assertEqual(self.govctl("run", "./link", "-c", "echo $0", cwd=self.dir).stdout, "./link\n")
        self.assertEqual(self.next_call()["args"][3], os.path.realpath(link))

    def test_any_bytes_and_many_of_them(self):
        self.placed()
        args = [GOVCTL.encode(), b"run", b"printf", b"%s", b"a\xffb" + b"x" * 100000]
        done = subprocess.run(args, capture_output=True, env=self.env, check=True)
        self.assertEqual(done.stdout, b"a\xffb" + b"x" * 100000)
        self.assertEqual(self.next_call()["args"][4], ["printf", "%s"])
        done = subprocess.run(args[:4] + [b"a\xffb"], capture_output=True, env=self.env, check=True)
        self.assertEqual(self.next_call()["args"][4], ["printf", "%s", "a\\xffb"])

    def test_refused_or_down_starts_nothing(self):
        self.serve(Run=an_error("Denied", "you may not run under bots"))
        done = self.govctl("run", "sh", "-c", "echo ran", code=1)
        self.assertEqual((done.stdout, done.stderr), ("", "govctl: you may not run under bots\n"))
        self.end_fake()
        done = self.govctl("run", "sh", "-c", "echo ran", code=1)
        self.assertEqual(done.stdout, "")
        self.assertIn("govd isn't running", done.stderr)

    def test_reuse(self):
        self.serve(Run=[{"types": "sb", "value": ["1a2b3c4d", True]}, {"types": "sb", "value": ["1a2b3c4d", True]},
                        {"types": "sb", "value": ["99999999", False]}])
        self.assertEqual(self.govctl("run", "--reuse", "echo", "ran").stdout, "1a2b3c4d\n")
        self.assertEqual(self.next_call()["args"][2], True)
        done = self.govctl("--json", "run", "--reuse", "echo", "ran")
        self.assertEqual(json.loads(done.stdout), {"id": "1a2b3c4d", "reused": True})
        self.assertEqual(self.govctl("run", "--reuse", "echo", "ran").stdout, "ran\n")

    def test_terminal_is_the_commands(self):
        self.placed()
        text = self.on_terminal("run", "--", "sh", "-c", "test -t 0 && test -t 1 && echo yes")
        self.assertEqual(text, "yes\n")


class Command(GovctlTest):
    def test_returns_at_once_without_wait(self):
        self.serve(Command=a_string("1a2b3c4d"))
        for verb in ("release", "touch", "freeze", "thaw", "stop", "kill"):
            self.assertEqual(self.govctl(verb, "1a").stdout, f"1a2b3c4d: {verb}\n")
            self.assertEqual(self.next_call()["args"], [verb, "1a"])
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


class Incidents(GovctlTest):
    BASE = 1795255200  # 2026-11-21 10:00 UTC

    def make(self, directory=None, rows=None, wal=True):
        directory = directory or os.path.join(self.dir, "lib")
        os.makedirs(directory, exist_ok=True)
        header = os.path.join(ROOT, "include", "gov", "incident.h")
        with open(header, encoding="utf-8") as file:
            schema = "".join(re.findall(r'"([^"]*)"', file.read().split("#define GOV_INCIDENT_SCHEMA", 1)[1]))
        db = sqlite3.connect(os.path.join(directory, "incidents.db"), isolation_level=None)
        self.addCleanup(db.close)
        if wal:
            db.execute("PRAGMA journal_mode=WAL")
        db.executescript(schema + "PRAGMA user_version=1;")
        if rows is None:
            rows = [(i * 60, kind, f"1a2b3c4{i}", policy, f"k{i}") for i, (kind, policy) in
                    enumerate([("placed", "bots"), ("stopped", "bots"), ("placed", "claude"), ("lost", "")])]
        for offset, kind, agent, policy, key in rows:
            db.execute("INSERT INTO incidents (time, kind, agent, policy, key, rule, evidence, action, result, by) "
                       "VALUES (?,?,?,?,?,?,?,?,?,?)",
                       ((self.BASE + offset) * 1000 + 7, kind, agent, policy, key, "match",
                        '{"pid": 12, "exe": "/bin/x", "size_bytes": 1048576}', "place", "done", "govd"))
        return db

    def query(self, *args, **options):
        return json.loads(self.govctl("incidents", "--json", "--state-dir", os.path.join(self.dir, "lib"), *args, **options).stdout)

    def agents(self, *args, **options):
        return [incident["agent"][-1] for incident in self.query(*args, **options)]

    def test_fields(self):
        self.make()
        self.assertEqual(self.query()[0], {
            "time": "2026-11-21T10:00:00.007Z", "kind": "placed", "agent": "1a2b3c40", "policy": "bots", "key": "k0",
            "rule": "match", "evidence": {"pid": 12, "exe": "/bin/x", "size_bytes": 1048576}, "action": "place",
            "result": "done", "by": "govd"})
        pretty = self.govctl("incidents", "--json=pretty", "--state-dir", os.path.join(self.dir, "lib")).stdout
        self.assertEqual(json.loads(pretty), self.query())

    def test_filters(self):
        self.make()
        self.assertEqual(self.agents(), ["0", "1", "2", "3"])
        self.assertEqual(self.agents("--kind", "placed"), ["0", "2"])
        self.assertEqual(self.agents("--policy", "bots"), ["0", "1"])
        self.assertEqual(self.agents("--agent", "1a2b3c41"), ["1"])
        self.assertEqual(self.agents("--agent", "1a2b"), ["0", "1", "2", "3"])
        self.assertEqual(self.agents("--agent", "claude/k2"), ["2"])
        self.assertEqual(self.agents("-n", "2"), ["2", "3"])
        self.assertEqual(self.agents("-n2", "--policy=bots", "--kind=placed"), ["0"])
        self.assertEqual(self.agents("--kind", "x' OR 1=1 --"), [])

    def test_since(self):
        now = int(time.time())
        self.make(rows=[(now - self.BASE - age, "placed", str(i), "p", "") for i, age in enumerate((86400 * 3, 7200, 60))])
        date = time.strftime("%Y-%m-%d", time.gmtime(now - 86400 * 2))
        for since, wanted in (("1h", ["2"]), ("3h", ["1", "2"]), ("1h 59min", ["2"]), ("7d", ["0", "1", "2"]),
                              (f"@{now - 61}", ["2"]), ("@0", ["0", "1", "2"]), (date, ["1", "2"]), (f"{date} 10:00", ["1", "2"]),
                              (f"{date}T10:00:59Z", ["1", "2"]), ("2999-01-01", []), ("9999d", ["0", "1", "2"])):
            with self.subTest(since=since):
                self.assertEqual(self.agents("--since", since), wanted)
        for since in ("", "h", "-1h", "2026-13-01", "2026-04-31", "2026-11-21 25:00", "2026-11-21x", "@", "@x", "1y",
                      "99999999999999999999d"):
            with self.subTest(since=since):
                self.assertIn("--since is", self.govctl("incidents", "--since", since, code=2).stderr)

    def test_since_is_local_time(self):
        self.make(rows=[(0, "placed", "0", "p", "")])
        self.assertEqual(self.agents("--since", "2026-11-21 12:00:00", env={"TZ": "Etc/GMT-2"}), ["0"])
        self.assertEqual(self.agents("--since", "2026-11-21 12:00:01", env={"TZ": "Etc/GMT-2"}), [])
        text = self.govctl("incidents", "--state-dir", os.path.join(self.dir, "lib"), env={"TZ": "Etc/GMT-2"}).stdout
        self.assertIn("2026-11-21 12:00:00", text)

    def test_while_it_is_written(self):
        db = self.make()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO incidents SELECT 99, time, kind, '5', policy, key, rule, evidence, action, result, by FROM "
                   "incidents WHERE id = 1")
        self.assertEqual(self.agents(), ["0", "1", "2", "3"])
        db.execute("COMMIT")
        self.assertEqual(sorted(self.agents()), ["0", "1", "2", "3", "5"])

    def test_as_a_reader_without_write_access(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another user")
        state = os.path.join(self.dir, "lib")
        db = self.make()
        copy = shutil.copy(GOVCTL, os.path.join(self.dir, "govctl"))
        os.chmod(self.dir, 0o755)

        def read(code):
            done = subprocess.run([copy, "incidents", "--json", "--state-dir", state], capture_output=True, text=True,
                                  env=self.env, check=False, user=65534, group=65534, extra_groups=[])
            self.assertEqual(done.returncode, code, done.stderr)
            return len(json.loads(done.stdout or "[]")), done.stderr

        # While the recorder has it open, with rows that only the write-ahead log has.
        self.assertEqual(read(0), (4, ""))
        # After the recorder was killed: its -wal and -shm stay, and the reader can't make one.
        kept = os.path.join(self.dir, "kept")
        shutil.copytree(state, kept)
        db.close()
        self.assertEqual(read(0), (4, ""))
        shutil.rmtree(state)
        shutil.move(kept, state)
        self.assertEqual(read(0), (4, ""))
        os.unlink(os.path.join(state, "incidents.db-shm"))
        _, words = read(1)
        self.assertIn("only root can read", words)
        self.assertIn("you may not read", words)
        self.assertEqual(len(self.query()), 4)  # root
        os.chmod(os.path.join(state, "incidents.db"), 0o600)
        self.assertIn("you may not read", read(1)[1])

    def test_found_by_the_link_beside_the_socket(self):
        self.make(os.path.join(self.dir, "else where?#%"))
        os.symlink(os.path.join(self.dir, "else where?#%"), os.path.join(self.dir, "state"))
        self.assertEqual(len(json.loads(self.govctl("incidents", "--json").stdout)), 4)

    def test_missing_foreign_damaged_newer(self):
        state = os.path.join(self.dir, "lib")
        os.mkdir(state)
        path = os.path.join(state, "incidents.db")
        self.assertIn("has govd ever run", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        with open(path, "wb") as file:
            file.write(b"not a database" * 1000)
        self.assertIn("isn't a database of incidents", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        os.unlink(path)
        db = sqlite3.connect(path)
        db.execute("CREATE TABLE x (y)")
        db.close()
        self.assertIn("isn't a database of incidents", self.govctl("incidents", "--state-dir", state, code=1).stderr)
        os.unlink(path)
        self.make().execute("PRAGMA user_version=2")
        self.assertIn("newer govd", self.govctl("incidents", "--state-dir", state, code=1).stderr)

    def test_table(self):
        db = self.make(rows=[(i, "placed", "1a2b3c4d", "bots", "k") for i in range(300)])
        where = ["--state-dir", os.path.join(self.dir, "lib")]
        for columns in (40, 80, 200):
            lines = self.govctl("incidents", *where, env={"COLUMNS": str(columns)}).stdout.splitlines()
            self.assertEqual(len(lines), 201)
            self.assertLessEqual(max(map(width_of, lines)), columns)
        self.assertIn("pid=12 exe=/bin/x size_bytes=1.0M", lines[1])
        self.assertEqual(len(self.govctl("incidents", "-n", "0", *where).stdout.splitlines()), 301)
        db.execute("DELETE FROM incidents")
        self.assertEqual(self.govctl("incidents", *where).stdout, "No incidents.\n")

    def test_hostile_rows(self):
        db = self.make(rows=[])
        for evidence in (json.dumps({HOSTILE: HOSTILE}), "not json \x1b[1m", "[1]", ""):
            db.execute("INSERT INTO incidents (time, kind, agent, policy, key, rule, evidence, action, result, by) "
                       "VALUES (1, ?, ?, ?, CAST(? AS TEXT), ?, ?, ?, ?, ?)",
                       (HOSTILE, HOSTILE, HOSTILE, b"\xff\xfe\x1b", HOSTILE, evidence, HOSTILE, HOSTILE, HOSTILE))
        where = ["--state-dir", os.path.join(self.dir, "lib")]
        for mode in ("off", "short", "pretty"):
            text = self.on_terminal("incidents", f"--json={mode}", *where, env={"NO_COLOR": "1"}, columns=500)
            self.assertNotRegex(text, CONTROL)
        rows = self.query()
        self.assertEqual(rows[0]["evidence"], {HOSTILE: HOSTILE})
        self.assertEqual(rows[1]["evidence"], {"text": "not json \x1b[1m"})
        self.assertTrue(all(isinstance(row["evidence"], dict) for row in rows))

    def test_show_adds_the_recent_ones(self):
        self.make(os.path.join(self.dir, "state"), rows=[(i, "placed", "1a2b3c4d", "bots", "k") for i in range(15)])
        self.serve(ShowAgent=a_dict({**AGENT, "limits": {"memory_max_bytes": 1048576, "cpu_max_pct": 150}}))
        show = json.loads(self.govctl("show", "1a", "--json").stdout)
        self.assertEqual(len(show["incidents"]), 10)
        self.assertEqual(show["incidents"][-1]["time"], "2026-11-21T10:00:14.007Z")
        text = self.govctl("show", "1a").stdout
        self.assertRegex(text, r"(?m)^    memory max +1.0M$")
        self.assertIn("Recent incidents", text)


class Completion(GovctlTest):
    def complete(self, *words):
        script = ('source <("$0" completion bash)\nCOMP_WORDS=("$@")\nCOMP_CWORD=$(($# - 1))\n'
                  'compopt() { :; }\n_govctl\nprintf "%s\\n" "${COMPREPLY[@]}"\n')
        env = {**self.env, "PATH": os.path.dirname(GOVCTL) + ":" + os.environ["PATH"]}
        done = subprocess.run(["bash", "-c", script, GOVCTL, "govctl", *words], capture_output=True, text=True, env=env,
                              check=True, timeout=DEADLINE)
        self.assertEqual(done.stderr, "")
        return set(done.stdout.split())

    def test_words(self):
        self.serve(ListAgents=dicts(AGENT, {**AGENT, "id": "1affffff"}, {**AGENT, "id": "22222222"}),
                   ListPolicies=dicts({"name": "bots"}, {"name": "claude"}, {"name": "$(touch x)"}))
        self.assertTrue({"status", "list", "run", "policy", "doctor"} <= self.complete(""))
        self.assertNotIn("completion", self.complete(""))
        self.assertEqual(self.complete("st"), {"status", "stop"})
        self.assertEqual(self.complete("policy", ""), {"list", "show", "check", "test", "reload"})
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
