#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad policy files, full and broken disks, and who may not use the socket: govd goes on governing."""

import os
import socket
import stat
import subprocess
import threading
import time
import unittest

from harness import GovdTest, wait_until

GOOD = "match: {exe: DIR/bin/agent}\n"
# Nested quantifiers: 2^n steps on a text of n letters without an end that fits.
BOMB = "(a+)+(a+)+(a+)+$"
ALIASES = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi")
) + "match: {exe: *i}\n"
NOBODY = {"user": "nobody", "group": "nogroup", "extra_groups": []}


class PolicyFileTest(GovdTest):
    def start_good(self):
        self.agent = self.copy("sleep", "agent")
        self.policy("good", GOOD)
        self.start()

    def assert_governs(self):
        process = self.spawn(self.agent, "300")
        self.assertEqual(self.agent_of(process.pid)["policy"], "good")

    def assert_bad(self, name, words):
        """The file is told, the good one stays in force, and nothing takes long."""
        begun = time.monotonic()
        done = self.ctl("policy", "reload", check=False)
        self.assertLess(time.monotonic() - begun, 3)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(words, done.stdout + done.stderr)
        self.assertTrue((done.stdout + done.stderr).replace("\n", "").isprintable())
        listed = {p["name"]: p for p in self.ctl_json("policy", "list")}
        self.assertEqual(listed["good"]["state"], "loaded")
        bad = [p for n, p in listed.items() if n.startswith(name)]
        self.assertEqual([p["state"] for p in bad], ["error"], listed)
        self.assertIn(words, bad[0]["error"])
        self.assertEqual(self.ctl("policy", "check", self.path("policies", name + ".yaml"), check=False).returncode, 1)
        self.assert_governs()

    def test_bad_files_are_told_and_the_good_ones_stay(self):
        self.start_good()
        bad = {
            "garbage": ("\x01\x02{{{[", "garbage.yaml"),
            "aliases": (ALIASES, "alias"),
            "deep": ("match: " + "[" * 100000, "deep.yaml"),
            "list": ("match: {exe: [" + "/x, " * 100000 + "/y]}\n", "list.yaml"),
            "unknown": ("match: {exe: /x}\nconect: {rate: 5/min}\n", "connect"),
            "escape": ('match: {exe: "/x\\e[31m"}\n"\\e]0;x\\a": 1\n', "escape.yaml"),
        }
        for name, (text, words) in bad.items():
            with self.subTest(name=name):
                self.policy(name, text)
                self.assert_bad(name, words)
                os.unlink(self.path("policies", name + ".yaml"))
        self.ctl("policy", "reload")

    def test_file_of_100_mb(self):
        self.start_good()
        with open(self.path("policies", "huge.yaml"), "w", encoding="ascii") as file:
            file.write("match: {exe: /x}\n")
            for _ in range(100):
                file.write("# " + "x" * (1 << 20) + "\n")
        self.assert_bad("huge", "1024 KiB")
        with open(f"/proc/{self.govd.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        self.assertLess(peak, 64 << 10, "KiB at the most")

    def test_what_is_no_file(self):
        self.start_good()
        for name, make in (("directory", os.mkdir), ("fifo", os.mkfifo),
                           ("device", lambda p: os.mknod(p, 0o600 | stat.S_IFCHR, os.makedev(1, 5))),
                           ("dangling", lambda p: os.symlink("/nonexistent", p)),
                           ("loop", lambda p: os.symlink(p, p))):
            with self.subTest(name=name):
                path = self.path("policies", name + ".yaml")
                make(path)
                self.assert_bad(name, name + ".yaml")
                subprocess.run(["rm", "-rf", path], check=True)

    def test_names_that_are_no_names(self):
        self.start_good()
        directory = os.fsencode(self.path("policies"))
        for name in (b"a\x1b[31m", b"a\nb", b"a\xff", b"..a", b"x" * 200):
            with open(directory + b"/" + name + b".yaml", "w", encoding="ascii") as file:
                file.write("match: {exe: /x}\n")
        done = self.ctl("policy", "reload", check=False)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertTrue((done.stdout + done.stderr).replace("\n", "").isprintable(), done.stdout + done.stderr)
        states = sorted(p["state"] for p in self.ctl_json("policy", "list"))
        self.assertEqual(states, ["error"] * 4 + ["loaded"])
        self.assert_governs()

    def test_regex_bomb_that_an_agent_feeds(self):
        self.agent = self.copy("sleep", "agent")
        fed = self.copy("python3", "fed")
        self.policy("10-bomb", f'match: {{exe: DIR/bin/fed, args: "{BOMB}"}}\n')
        self.policy("20-bomb", f'match: {{exe: DIR/bin/fed}}\nkey: {{args: "x{BOMB}"}}\n')
        self.policy("good", GOOD)
        self.start()
        food = "x" + "a" * 8000 + "!"
        begun = time.monotonic()
        processes = [self.spawn(fed, "-c", "import time\ntime.sleep(300)", food) for _ in range(10)]
        for process in processes:
            found = self.agent_of(process.pid)
            self.assertEqual((found["policy"], found["key"]), ("20-bomb", ""))
        self.assert_governs()
        self.assertLess(time.monotonic() - begun, 60)
        told = {p["policy"]: p for p in self.ctl_json("explain", str(processes[0].pid))["policies"]}
        self.assertEqual((told["10-bomb"]["matched"], told["10-bomb"]["key"]), (False, "args"))

    def test_bad_file_at_the_start(self):
        self.agent = self.copy("sleep", "agent")
        self.policy("bad", "match: [")
        self.policy("good", GOOD)
        self.start()
        self.assert_governs()
        self.assertEqual(self.ctl_json("status")["policy_errors"], 1)


class SocketTest(GovdTest):
    def test_garbage_on_the_socket(self):
        self.policy("good", GOOD)
        self.start()
        done, path = threading.Event(), self.path("run", "govd.sock")

        def shout(payload):
            while not done.is_set():
                try:
                    with socket.socket(socket.AF_UNIX) as client:
                        client.settimeout(0.2)
                        client.connect(path)
                        client.sendall(payload)
                        client.recv(4096)
                except OSError:
                    pass

        payloads = [os.urandom(65536), b"\0",
                    b"\0AUTH EXTERNAL 30\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n" + os.urandom(4096),
                    b"\0AUTH EXTERNAL 30\r\nBEGIN\r\nl\1\0\1\xff\xff\xff\x7f" + b"\0" * 64, b"GET / HTTP/1.1\r\n\r\n"]
        threads = [threading.Thread(target=shout, args=(payload,)) for payload in payloads]
        for thread in threads:
            thread.start()
        agent = self.copy("sleep", "agent")
        try:
            for _ in range(30):
                begun = time.monotonic()
                self.ctl("status")
                self.assertLess(time.monotonic() - begun, 10)
            process = self.spawn(agent, "300")
            self.agent_of(process.pid)
        finally:
            done.set()
            for thread in threads:
                thread.join()
        self.assertIsNone(self.govd.poll())
        wait_until(lambda: self.ctl_json("status")["clients"]["connected"] == 1, "only govctl is connected", 60)

    def test_ordinary_user_gets_nothing(self):
        self.policy("good", GOOD)
        self.start()
        process = self.spawn(self.copy("sleep", "agent"), "300")
        found = self.agent_of(process.pid)
        wait_until(lambda: self.ctl_json("incidents"), "an incident is written")
        for words in (["status"], ["list"], ["show", found["id"]], ["explain", str(process.pid)], ["policy", "list"],
                      ["policy", "show", "good"], ["policy", "reload"], ["policy", "test", str(process.pid)],
                      ["run", "--policy", "good", "--", "true"], ["adopt", str(process.pid)], ["events"],
                      ["incidents"], *([verb, found["id"]] for verb in
                                       ("release", "touch", "freeze", "thaw", "stop", "kill"))):
            done = self.ctl("--json=short", *words, check=False, **NOBODY)
            self.assertEqual(done.returncode, 1, (words, done.stdout, done.stderr))
            self.assertEqual(done.stdout, "", words)
            self.assertNotIn(found["id"], done.stderr.replace(" ".join(words), "").replace(found["id"], "", 1))
        self.assertEqual([a["id"] for a in self.agents()], [found["id"]])
        self.assertEqual(self.agents()[0]["state"], "active")
        for name in os.listdir(self.path("state")):
            self.assertFalse(os.stat(self.path("state", name)).st_mode & 0o007, name)
        self.assertFalse(os.stat(self.path("state")).st_mode & 0o007)
        seen = subprocess.run(["find", self.path("state"), "-type", "f", "-readable"], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False, cwd="/", **NOBODY)
        self.assertEqual(seen.stdout, b"")


class DiskTest(GovdTest):
    def setUp(self):
        self.mounts = []
        super().setUp()
        self.agent = self.copy("sleep", "agent")
        self.policy("good", GOOD)

    def finish(self):
        """Mounts go after govd."""
        super().finish()
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=True)

    def mount(self, name, options):
        os.makedirs(self.path(name), exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"mode=0755,{options}", "govtest", self.path(name)], check=True)
        self.mounts.append(self.path(name))

    def fill(self, name):
        with open(self.path(name, "filler"), "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def assert_governs(self):
        process = self.spawn(self.agent, "300")
        found = self.agent_of(process.pid)
        self.assert_placed(process.pid, found)
        self.ctl("kill", found["id"])
        wait_until(lambda: not self.agents(), "it ends")

    def recorder(self):
        return self.ctl_json("status")["recorder"]

    def assert_loss_is_told(self):
        """Lost, or kept waiting for the disk: the error is in the status."""
        self.assert_governs()
        wait_until(lambda: self.ctl_json("status").get("recorder_error") or self.recorder()["failed"] +
                   self.recorder()["dropped"], "the loss is told")
        begun = time.monotonic()
        self.assert_governs()
        self.assertLess(time.monotonic() - begun, 5)

    def test_runtime_directory_without_room(self):
        self.mount("run", "size=4k")
        self.fill("run")
        self.start(wait=False)
        wait_until(lambda: "ready\n" in self.log_text() or self.govd.poll() is not None, "it says something")
        if self.govd.poll() is not None:
            self.assertEqual(self.govd.returncode, 1)
            self.assertIn(self.path("run"), self.log_text())
            self.assertIn("No space", self.log_text())
        else:
            self.assert_governs()

    def test_runtime_directory_without_inodes(self):
        self.mount("run", "nr_inodes=1")
        self.start(wait=False)
        wait_until(lambda: self.govd.poll() is not None, "it gives up")
        self.assertEqual(self.govd.returncode, 1)
        self.assertIn("No space left", self.log_text())
        self.assertIn(self.path("run"), self.log_text())

    def test_state_directory_full_from_the_start_and_freed(self):
        self.mount("state", "size=64k")
        self.fill("state")
        self.start()
        self.assert_loss_is_told()
        os.unlink(self.path("state", "filler"))
        subprocess.run(["mount", "-o", "remount,size=8m", self.path("state")], check=True)
        before = self.recorder()["written"]
        wait_until(lambda: self.assert_governs() or self.recorder()["written"] > before,
                   "incidents are written again", 60)
        self.assertNotIn("recorder_error", self.ctl_json("status"))

    def test_state_directory_full_while_running(self):
        self.mount("state", "size=256k")
        self.start()
        self.assert_governs()
        self.fill("state")
        for _ in range(20):
            self.assert_governs()
        self.assert_loss_is_told()

    def test_state_directory_becomes_read_only(self):
        self.mount("state", "size=8m")
        self.start()
        self.assert_governs()
        os.sync()
        # With a file open for writing it can't be remounted, but a bind mount over it can.
        subprocess.run(["mount", "--bind", self.path("state"), self.path("state")], check=True)
        self.mounts.append(self.path("state"))
        subprocess.run(["mount", "-o", "remount,bind,ro", self.path("state")], check=True)
        self.assert_governs()
        self.assert_governs()
        self.stop_govd()
        self.start()
        self.assert_loss_is_told()

    def test_state_directory_removed_while_running(self):
        self.start()
        self.assert_governs()
        wait_until(lambda: self.recorder()["written"] >= 2, "two incidents are written")
        subprocess.run(["rm", "-rf", self.path("state")], check=True)
        for _ in range(3):
            self.assert_governs()

        def is_known():
            status = self.ctl_json("status")
            return (os.path.exists(self.path("state", "incidents.db")) or status.get("recorder_error") or
                    status["recorder"]["failed"] + status["recorder"]["dropped"])

        wait_until(is_known, "the history is begun again, or its loss is told")


if __name__ == "__main__":
    unittest.main()
