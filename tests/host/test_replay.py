#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real runs of govd are recorded and replayed: the same is decided again. With GOVD_GOLDEN=DIR the traces of the stories are
kept there, which is how tests/golden was made."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import unittest

from connect_case import Server
from harness import BUILD, GovdTest, is_alive, program, wait_until

GOLDEN = os.environ.get("GOVD_GOLDEN")
# Lives for its first argument, and leaves by the second.
LIFE = """#!/bin/sh
sleep "$1"
exit "$2"
"""
# Starts again what ends, at once and for ever; ends with the test.
SUPERVISOR = """while [ -x "$1" ]; do "$@"; done
"""
# A bot: one `claude` a session; none of them is ever ended.
BOT = """import subprocess, sys
for session in range(int(sys.argv[2])):
    print(subprocess.Popen([sys.argv[1], "300"], stdin=subprocess.DEVNULL).pid, flush=True)
sys.stdin.readline()
"""
# Reconnects at once when it is refused, and gives up after a while.
LIVEKIT = """import socket, sys, time
end = time.monotonic() + 4
while time.monotonic() < end:
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).close()
    except OSError:
        pass
sys.exit(1)
"""


class ReplayTest(GovdTest):
    def record(self, *options):
        self.start("--record", self.path("trace"), *options, cwd=self.dir)

    def simulate(self, *options, status=0):
        done = subprocess.run([os.path.join(BUILD, "govctl"), "simulate", *options, self.path("trace")],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, status, done.stdout[-4000:] + done.stderr)
        return done.stdout

    def trace(self):
        with open(self.path("trace"), encoding="utf-8") as file:
            return file.read()

    def check(self, story=None):
        """Ends govd; its decisions are those of the replay, and the recorder's history is what was decided."""
        history = self.ctl_json("incidents")
        self.stop_govd()
        self.assertEqual(self.simulate("--expect"), "")
        decided = [row for row in json.loads(self.simulate("--json=short")) if "kind" in row]
        self.assertGreater(len(history), 2)
        # The end of govd itself may be told after the look at the history.
        self.assertEqual([(row["kind"], row["agent"], row["action"]) for row in decided][:len(history)],
                         [(row["kind"], row["agent"] or "", row["action"]) for row in history])
        if story and GOLDEN:
            self.keep(story)
        self.start()  # ends what is left of the agents
        return decided

    def keep(self, story):
        """Without what is of this host alone, and what is nobody's."""
        text = self.trace().replace(self.dir, "/opt/story").replace(sys.executable, "/usr/bin/python3")
        text = re.sub(r"=/[^;\s]*(?=;|\s)", lambda m: "=/" if "memory" in text[:m.start()][-8:] else m.group(), text)
        text = text.replace(self.slice, "agents.slice")
        # Nor the looks that this test's own questions have led to.
        left_out = r"[\d.]+ ((exec|seen|hold) (?!.*exe=)|sample (?!.*has_read=))"
        lines = [line for line in text.split("\n") if not re.match(left_out, line)]
        with open(os.path.join(GOLDEN, story + ".trace"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))

    def supervise(self, *command):
        process = self.spawn("/bin/sh", "-c", SUPERVISOR, "supervisor", *command, cwd=self.dir)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def states(self):
        return [agent["state"] for agent in self.ctl_json("list")]

    # ---- determinism

    def test_storm_of_starts_and_a_crash_loop(self):
        life = self.script("life.sh", LIFE)
        self.copy("sleep", "brief")
        self.policy("loop", "match: {script: DIR/life.sh}\nrestart: {min_uptime: 5s, delay: 500ms, limit: 4}\n")
        self.policy("storm", "match: {exe: DIR/bin/brief}\nlifecycle: {max_agents: 40}\nstop: {grace: 1s}\n")
        self.record()
        loop = self.supervise(life, "0", "3")
        # As many as the machine starts in the time, most of which end before they are looked at.
        for _ in range(10):
            for child in [self.spawn(self.path("bin", "brief"), seconds) for seconds in ["0"] * 10 + ["0.3"] * 10]:
                child.wait()
        wait_until(lambda: self.states() == ["frozen"], "the loop is frozen for good", 30)
        wait_until(lambda: any(i["kind"] == "restart-limit" for i in self.ctl_json("incidents")), "the limit")
        loop.kill()
        decided = self.check()
        self.assertGreater(sum(row["kind"] == "placed" for row in decided), 50)

    def test_reload_commands_and_a_second_govd(self):
        agent = self.copy("sleep", "agent")
        self.policy("bots", "match: {exe: DIR/bin/agent, args: '300'}\nmemory: {max: 64M}\n")
        self.record()
        processes = [self.spawn(agent, "300", cwd=self.dir) for _ in range(4)]
        for process in processes:
            self.assert_placed(process.pid)
        self.policy("bots", "match: {exe: DIR/bin/agent}\nmemory: {max: 80M}\nlifecycle: {max_runtime: 1h}\n")
        self.ctl("policy", "reload")
        self.ctl("freeze", str(self.agent_of(processes[0].pid)["id"]))
        self.ctl("release", self.agent_of(processes[1].pid)["id"])
        self.ctl("stop", "--wait", self.agent_of(processes[2].pid)["id"])
        adopted = self.spawn("sleep", "300")
        self.ctl("adopt", "--policy", "bots", str(adopted.pid))
        self.check()
        self.stop_govd()
        # The next one finds what it has left.
        self.record()
        wait_until(lambda: len(self.agents("bots")) == 3, "the agents are found again")
        self.ctl("thaw", self.agent_of(processes[0].pid)["id"])
        self.ctl("kill", "--wait", self.agent_of(processes[3].pid)["id"])
        self.stop_govd()
        self.assertEqual(self.simulate("--expect"), "")
        self.assertEqual((self.trace().count(" found "), self.trace().count(" freed ")), (3, 1))
        self.start()

    # ---- what is in a trace, and what isn't

    def test_secrets_stay_out_and_other_policies_are_tried(self):
        self.copy("sleep", "agent")
        life = self.script("life.sh", LIFE)
        self.policy("life", "match: {script: DIR/life.sh, args: ' 0 3'}\nkey: {args: '--room=(\\S+)'}\nmode: observe\n")
        self.record()
        for _ in range(4):
            subprocess.run([life, "0", "3", "--token=hunter2", "--room=blue"], check=False,
                           env={**os.environ, "API_KEY": "hunter2"})
        wait_until(lambda: sum(i["kind"] == "stopped" for i in self.ctl_json("incidents")) == 4, "their ends")
        self.check()
        self.assertNotIn("hunter2", self.trace())
        self.assertIn("--room=blue", self.trace())
        self.assertEqual(os.stat(self.path("trace")).st_mode & 0o777, 0o600)
        os.mkdir(self.path("others"))
        with open(self.path("others", "strict.yaml"), "w", encoding="utf-8") as file:
            file.write(f"match: {{script: {life}}}\nrestart: {{min_uptime: 10s, limit: 3}}\n")
        rows = json.loads(self.simulate("--json=short", "--policy-dir", self.path("others")))
        self.assertEqual({row["policy"] for row in rows}, {"strict"})
        limits = [row for row in rows if row["kind"] == "restart-limit"]
        self.assertEqual([(row["action"], row["rule"]) for row in limits], [("would-freeze", "restart.limit")])
        # Other decisions than those in the trace are told.
        text = self.trace()
        with open(self.path("trace"), "w", encoding="utf-8") as file:
            file.write(text.replace("mode: observe", "mode: enforce"))
        self.assertRegex(self.simulate("--expect", status=1), r"(?s)@ .*\n-> .*would-place.*\n\+> place ")
        with open(self.path("trace"), "w", encoding="utf-8") as file:
            file.write(text + "1 exec what=this\n")
        self.simulate(status=1)

    def test_a_full_disk_ends_the_trace_and_nothing_else(self):
        os.mkdir(self.path("small"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "govtest", self.path("small")], check=True)
        self.addCleanup(subprocess.run, ["umount", self.path("small")], check=True)
        agent = self.copy("sleep", "agent")
        self.policy("bots", "match: {exe: DIR/bin/agent}\n")
        self.start("--record", self.path("small", "trace"))
        for _ in range(60):
            self.spawn(agent, "0").wait()
        wait_until(lambda: "small/trace ends here: No space left on device" in self.log_text(), "it is told")
        process = self.spawn(agent, "300")
        self.assert_placed(process.pid)
        with open(self.path("small", "trace"), encoding="utf-8") as small, \
                open(self.path("trace"), "w", encoding="utf-8") as whole:
            text = small.read()
            whole.write(text)
        self.assertEqual(text[-1:], "\n")
        self.assertEqual(self.simulate("--expect"), "")

    # ---- the four stories

    def test_story_reconnect_and_restart_without_end(self):
        server = Server(self)
        port = server.ports[0]
        server.stop()
        agent = self.script("livekit-agent.py", LIVEKIT)
        self.policy("livekit", "match: {script: DIR/livekit-agent.py}\n"
                    "connect: {rate: 60/min, burst: 5, max_delay: 30s, on_excess: delay}\n"
                    "breaker: {failures: 5, max_interval: 2s}\n"
                    "restart: {min_uptime: 10s, delay: 1s, factor: 2, max_delay: 4s, limit: 4, window: 10min}\n")
        self.record()
        supervisor = self.supervise(sys.executable, agent, str(port))
        wait_until(lambda: any(i["kind"] == "restart-limit" for i in self.ctl_json("incidents")), "the limit", 120)
        wait_until(lambda: self.states() == ["frozen"], "it is frozen")
        supervisor.kill()
        kinds = {row["kind"] for row in self.check("reconnect")}
        self.assertLessEqual({"placed", "breaker", "restart-delay", "restart-limit"}, kinds)

    def hung_worker(self):
        """Listens, and accepts nobody any more."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        worker = self.spawn(self.copy(program("lives"), "uvicorn-worker"), "serve", "60000", str(port),
                            stdout=subprocess.PIPE, cwd=self.dir)
        self.addCleanup(worker.stdout.close)
        self.assertEqual(worker.stdout.readline(), b"ready\n")
        self.assert_placed(worker.pid)
        worker.send_signal(signal.SIGUSR1)
        for _ in range(3):
            peer = socket.create_connection(("127.0.0.1", port), 5)
            self.addCleanup(peer.close)
        return worker

    def test_story_workers_hang_or_hoard_memory(self):
        hoard = self.copy(program("hoard"), "gunicorn-worker")
        self.policy("gunicorn", "match: {exe: DIR/bin/gunicorn-worker}\nmemory: {max: 64M, swap_max: 0, on_oom: kernel}\n"
                    "leak: {horizon: 30min}\nrestart: {min_uptime: 30s, delay: 1s, limit: 3}\n")
        self.policy("uvicorn", "match: {exe: DIR/bin/uvicorn-worker}\nhung: {after: 3s, action: stop}\nstop: {grace: 1s}\n")
        self.record()
        hung = self.hung_worker()
        for number in range(3):
            worker = self.spawn(hoard, "8", "16", "200", stdin=subprocess.PIPE, cwd=self.dir)
            self.addCleanup(worker.stdin.close)
            self.assert_placed(worker.pid)
            worker.stdin.write(b"x")
            worker.stdin.flush()
            wait_until(lambda w=worker: w.poll() is not None, "it hits its limit", 60)
            wait_until(lambda n=number: sum(i["kind"] == "oom" for i in self.ctl_json("incidents")) == n + 1, "it is told")
            wait_until(lambda: not self.agents("gunicorn"), "it is gone")
        wait_until(lambda: hung.poll() is not None, "the hung one has ended")
        wait_until(lambda: not self.agents(), "it is gone, too")
        kinds = {row["kind"] for row in self.check("workers")}
        self.assertLessEqual({"placed", "oom", "restart-delay", "hung"}, kinds)

    def bot(self, claude, sessions):
        process = self.spawn(sys.executable, self.path("bot.py"), claude, str(sessions), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, cwd=self.dir)
        self.addCleanup(process.stdin.close)
        self.addCleanup(process.stdout.close)
        return process, [int(process.stdout.readline()) for _ in range(sessions)]

    def test_story_a_bot_leaks_one_claude_a_session(self):
        claude = self.copy("sleep", "claude")
        self.script("bot.py", BOT)
        self.policy("claude", "match: {exe: DIR/bin/claude}\nbulk: true\nstop: {grace: 1s}\n"
                    "lifecycle: {max_agents: 4, on_duplicate: stop-new, idle: 4s, orphan: 1s}\n")
        self.record()
        _, pids = self.bot(claude, 6)
        wait_until(lambda: len(self.agents("claude")) == 4, "there are as many as may be")
        # The sessions are over, and nobody has ended their processes.
        wait_until(lambda: not self.agents("claude"), "all are gone")
        self.assertFalse(any(map(is_alive, pids)))
        killed, pids = self.bot(claude, 2)
        wait_until(lambda: len(self.agents("claude")) == 2, "they are governed")
        killed.kill()
        killed.wait()
        wait_until(lambda: not any(map(is_alive, pids)) and not self.agents("claude"), "all are gone")
        kinds = {row["kind"] for row in self.check("leaked-claude")}
        self.assertLessEqual({"placed", "duplicate", "idle", "orphan"}, kinds)

    def test_story_the_same_room_gets_two_agents(self):
        agent = self.copy("sleep", "agent")
        self.policy("room", "match: {exe: DIR/bin/agent}\nkey: {args: '--room=(\\S+)'}\nstop: {grace: 1s}\n"
                    "restart: {min_uptime: 1s}\nlifecycle: {per_key: 1, on_duplicate: stop-old, idle: 5s}\n")
        self.record()
        script = "exec -a --room=%s " + agent + " 300"
        old, other = [self.spawn("bash", "-c", script % room, cwd=self.dir) for room in ("blue", "red")]
        for process in (old, other):
            self.assert_placed(process.pid)
        # The page is loaded again.
        new = self.spawn("bash", "-c", script % "blue", cwd=self.dir)
        wait_until(lambda: old.poll() is not None, "the old one has ended")
        self.assertIsNone(new.poll())
        self.assertIsNone(other.poll())
        # Both are left behind.
        wait_until(lambda: new.poll() is not None and other.poll() is not None, "they have done nothing for long enough")
        wait_until(lambda: not self.agents("room"), "all are gone")
        kinds = {row["kind"] for row in self.check("duplicate-room")}
        self.assertLessEqual({"placed", "duplicate", "idle"}, kinds)


if __name__ == "__main__":
    unittest.main()
