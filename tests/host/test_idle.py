#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Who does nothing is ended, who does something isn't, and what counts as something; and who hangs."""

import contextlib
import os
import pty
import signal
import socket
import time
import unittest

from harness import GovdTest, is_alive, program, wait_until

IDLE_S = 5
CENSUS_S = 1  # a tenth of that, and 1 s at the least
LATE_S = 3  # what a busy machine may add
AGENTS = 100
IDLE_AGENTS = 10


class Server:
    """Accepts, and reads all that comes."""

    def __init__(self, test):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = str(self.socket.getsockname()[1])
        test.addCleanup(self.socket.close)
        pid = os.fork()
        if pid == 0:
            self.serve()
        test.addCleanup(self.end, pid)

    def serve(self):
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            peer, _ = self.socket.accept()
            if os.fork() == 0:
                while peer.recv(65536):
                    pass
                os._exit(0)
            peer.close()

    @staticmethod
    def end(pid):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


class IdleTest(GovdTest):
    def begin(self, rules=f"idle: {IDLE_S}s", more=""):
        self.agent = self.copy(program("lives"), "agent")
        self.policy("bot", f"match: {{exe: DIR/bin/agent}}\nlifecycle: {{{rules}}}\nstop: {{grace: 2s}}\n{more}")
        self.start()

    def lives(self, *words, **keywords):
        process = self.spawn(self.agent, *words, **keywords)
        self.assert_placed(process.pid)
        return process

    def incidents(self, kind="idle"):
        return self.ctl_json("incidents", "--kind", kind)

    def activity(self, process):
        return self.ctl_json("show", self.agent_of(process.pid)["id"])["activity"]

    def assert_ended(self, process):
        self.assertEqual(process.wait(20), -signal.SIGTERM)

    def assert_lives(self, *processes, seconds=IDLE_S + 2 * CENSUS_S + LATE_S):
        """For so long that they would have been ended."""
        time.sleep(seconds)
        self.assertEqual([process.poll() for process in processes], [None] * len(processes), self.incidents())

    def test_of_a_hundred_exactly_the_idle_are_ended(self):
        self.begin()
        idle = [self.lives("rest", "60000") for _ in range(IDLE_AGENTS)]
        active = [self.spawn(self.agent, "io", "200", "8000") for _ in range(AGENTS - IDLE_AGENTS)]
        for process in idle:
            self.assert_ended(process)
        wait_until(lambda: len(self.incidents("stopped")) == IDLE_AGENTS, "their ends are told")
        self.assert_lives(*active)
        told = self.incidents()
        self.assertEqual(sorted(i["evidence"]["pid"] for i in told), sorted(process.pid for process in idle))
        for incident in told:
            self.assertEqual((incident["rule"], incident["action"], incident["result"], incident["by"]),
                             ("lifecycle.idle", "stop", "done", "govd"), incident)
            self.assertGreaterEqual(incident["evidence"]["idle_s"], IDLE_S, incident)
            self.assertLess(incident["evidence"]["idle_s"], IDLE_S + CENSUS_S + LATE_S, incident)
            # From its start on: its first look, too, is a census.
            self.assertLess(incident["evidence"]["lived_s"], IDLE_S + 2 * CENSUS_S + LATE_S, incident)

    def test_each_signal_keeps_alive_and_is_shown(self):
        self.begin()
        server = Server(self)
        master, terminal = pty.openpty()
        self.addCleanup(os.close, master)
        lives = {
            "cpu": self.lives("cpu", "200", "30"),
            "io": self.lives("io", "200", "4000"),
            "net": self.lives("net", "200", server.port, "4000"),
            "connects": self.lives("connect", "500", server.port),
            "spawns": self.lives("spawn", "500"),
            "input": self.lives("type", "1", stdin=terminal, preexec_fn=lambda: self.take_terminal(terminal)),
        }
        typed = self.spawn("sh", "-c", "while echo x; do sleep 1; done", stdout=master)
        os.close(terminal)
        resting = self.lives("rest", "60000")
        self.assert_lives(*lives.values())
        shown = {name: self.activity(process) for name, process in lives.items()}
        self.assertEqual({name: activity["signal"] for name, activity in shown.items()}, {name: name for name in lives},
                         shown)
        # A terminal's time goes in steps of 8 s.
        self.assertTrue(all(shown[name]["ago_s"] < (9 if name == "input" else 3) for name in shown), shown)
        self.assertGreater(shown["cpu"]["cpu_pct"], 3)
        self.assertGreater(shown["io"]["io_bytes_per_s"], 4000)
        self.assertGreater(shown["net"]["net_bytes_per_s"], 4000)
        self.assertLess(shown["net"]["io_bytes_per_s"], 1000)
        self.assert_ended(resting)
        typed.kill()

    @staticmethod
    def take_terminal(terminal):
        import fcntl
        import termios
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    def test_thresholds_decide_about_who_trickles(self):
        self.begin()
        server = Server(self)
        # A byte at a time over a pipe, and a ping that keeps a connection alive: below what counts by default.
        trickling = [self.lives("trickle", "700"), self.lives("net", "700", server.port, "40")]
        for process in trickling:
            self.assert_ended(process)
        self.policy("bot", "match: {exe: DIR/bin/agent}\nlifecycle: "
                           f"{{idle: {IDLE_S}s, idle_io: 0, idle_net: 10/s}}\nstop: {{grace: 2s}}\n")
        self.ctl("policy", "reload")
        self.assert_lives(self.lives("trickle", "700"), self.lives("net", "700", server.port, "40"))

    def test_touch_freeze_and_takeover_give_it_its_time_again(self):
        self.begin()
        touched, frozen, taken_over = (self.lives("rest", "60000") for _ in range(3))
        self.ctl("freeze", self.agent_of(frozen.pid)["id"])
        for _ in range(4):
            time.sleep(2)
            self.ctl("touch", self.agent_of(touched.pid)["id"])
            if taken_over.poll() is None and not _:
                self.stop_govd(signal.SIGKILL)
                self.start()
                begun = time.monotonic()
        self.assertIsNone(touched.poll())
        self.assertEqual(self.activity(touched)["signal"], "touch")
        taken_over.wait(20)
        self.assertGreater(time.monotonic() - begun, IDLE_S)
        self.assertIsNone(frozen.poll())
        found = self.agent_of(frozen.pid)
        thawed = time.monotonic()
        self.ctl("thaw", found["id"])
        self.assert_ended(frozen)
        self.assertGreater(time.monotonic() - thawed, IDLE_S)
        self.assert_ended(touched)

    def test_observed_agents_are_only_told_of(self):
        self.begin(more="mode: observe\n")
        agent = self.spawn(self.agent, "rest", "60000")
        busy = self.spawn(self.agent, "cpu", "500", "30")
        (told,) = wait_until(self.incidents, "it is told")
        self.assertEqual((told["action"], told["evidence"]["pid"]), ("would-stop", agent.pid), told)
        self.assertEqual([agent.poll(), busy.poll()], [None, None])

    # ---- hung

    def serving(self, action, rules="idle: infinity"):
        self.begin(rules, f"hung: {{after: 3s, action: {action}}}\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = self.spawn(self.agent, "serve", "60000", str(port), stdout=-1)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process, port

    def knock(self, port):
        peer = socket.create_connection(("127.0.0.1", port), 5)
        self.addCleanup(peer.close)
        return peer

    def test_who_is_called_is_in_use_also_when_each_call_is_short(self):
        process, port = self.serving("alert", f"idle: {IDLE_S}s")
        for _ in range(2 * (IDLE_S + 2 * CENSUS_S + LATE_S)):
            self.knock(port).close()
            time.sleep(0.5)
        shown = self.activity(process)
        self.assertIsNone(process.poll(), self.incidents())
        self.assertEqual(shown["signal"], "connects")
        self.assertGreater(shown["connects"], 0)
        self.assert_ended(process)

    def test_hung_worker_is_told_with_its_socket(self):
        process, port = self.serving("alert")
        # While it accepts, nothing is wrong.
        for _ in range(6):
            self.knock(port)
            time.sleep(1)
        self.assertEqual(self.incidents("hung"), [])
        process.send_signal(signal.SIGUSR1)
        self.knock(port)  # accepted still, as accept(2) is begun anew, or not, when the signal came before it
        time.sleep(0.2)
        for _ in range(2):
            self.knock(port)
        (told,) = wait_until(lambda: self.incidents("hung"), "it is told")
        self.assertEqual((told["rule"], told["action"], told["result"], told["by"]), ("hung", "alert", "done", "govd"),
                         told)
        self.assertEqual({name: told["evidence"][name] for name in ("pid", "socket", "waiting")},
                         {"pid": process.pid, "socket": f"127.0.0.1:{port}", "waiting": "connections"})
        self.assertIn(told["evidence"]["unread"], (2, 3))
        self.assertGreaterEqual(told["evidence"]["waiting_s"], 3)
        time.sleep(3)
        self.assertEqual(len(self.incidents("hung")), 1)
        self.assertIsNone(process.poll())

    def test_hung_worker_is_stopped(self):
        process, port = self.serving("stop")
        os.kill(process.pid, signal.SIGSTOP)
        self.knock(port)
        with contextlib.suppress(ChildProcessError):
            wait_until(lambda: not is_alive(process.pid), "its end")
        (told,) = wait_until(lambda: self.incidents("hung"), "it is told")
        self.assertEqual((told["action"], told["evidence"]["stopped"]), ("stop", "by a signal"), told)


if __name__ == "__main__":
    unittest.main()
