#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""govctl run: becomes the command and leaves nothing of itself."""

import json
import os
import shutil
import signal
import stat
import subprocess
import unittest

from govctl_case import DEADLINE, GOVCTL, GovctlTest, an_error


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


if __name__ == "__main__":
    unittest.main()
