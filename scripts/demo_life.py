#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the demo about lives: agents that crash, are forgotten, are there twice, or hang.

What the demo starts here isn't an agent: it starts some, by the row's own script with another first argument.
"""

import sys
import time

from demo_rows import Row
from proc_files import is_alive, read


class Life(Row):
    is_agent = False
    kind = ""  # of the incident
    DEADLINE_S = 8  # for what govd should do; then the row says that it hasn't

    def __init__(self):
        self.begun_s = None

    def begin(self, run):
        self.begun_s = None

    def since(self, condition):
        """Seconds since the condition was true for the first time, or None."""
        if self.begun_s is None and condition:
            self.begun_s = time.monotonic()
        return None if self.begun_s is None else time.monotonic() - self.begun_s

    def is_decided(self, run, past_s, is_done, alone_s):
        """Without govd nothing will be done: alone_s are long enough to see it."""
        return is_done or past_s > self.DEADLINE_S or (not run.side.is_governed and past_s > alone_s)

    def is_told(self, incidents):
        return any(incident["kind"] == self.kind for incident in incidents)

    def agents(self, run):
        return [agent for agent in run.side.ctl_json("list") if agent["policy"] == self.name]

    def incident_line(self, run, words):
        if not run.side.is_governed:
            return ("incident", "-")
        return ("incident", (words, "good") if self.is_told(run.incidents) else ("none", "bad"))


class CrashLoop(Life):
    name = "crash"
    title = "crashes at once, in a shell's `while true`"
    kind = "restart-delay"
    command = ("/bin/sh",)
    script = """
        if [ "$1" = life ]; then
            echo "life $$" >>"$2"
            exit 1
        fi
        while [ -e "$0" ]; do
            /bin/sh "$0" life "$1"
        done
        """
    policy = """
        match: {script: DIR/SCRIPT, args: " life "}
        restart: {min_uptime: 5s, delay: 1s, factor: 2}
        """
    LOOK_S = {True: 3.0, False: 1.0}  # governed, or not

    def is_ready(self, run):
        past_s = self.since(self.lives(run))
        if past_s is None or past_s < self.LOOK_S[run.side.is_governed]:
            return False
        fields = read(f"/proc/{run.root.pid}/stat").rpartition(")")[2].split()
        # proc_pid_stat(5): its own and that of children that it has waited for, in ticks of 10 ms
        run.cpu_pct = sum(int(field) for field in fields[11:15]) / past_s
        run.past_s, run.count = past_s, self.lives(run)
        run.states = [agent["state"] for agent in self.agents(run)] if run.side.is_governed else []
        # A life that is thawed ends at once, and the next one is soon frozen.
        return not run.side.is_governed or "frozen" in run.states or past_s > self.LOOK_S[True] + 0.4

    @staticmethod
    def lives(run):
        return read(run.facts_path).count("life")

    def lines(self, run):
        is_slowed = run.count < 10
        often = f"{run.count} times in {run.past_s:.0f} s" if is_slowed else f"{run.count / run.past_s:,.0f} times a second"
        cpu = "under 1" if run.cpu_pct < 1 else f"{run.cpu_pct:.0f}"
        waits = "frozen" in run.states
        return [("it is started", (often, "good" if is_slowed else "bad")),
                ("that takes", (f"{cpu} % of a core", "good" if is_slowed else "bad")),
                ("its supervisor sees", ("a process that runs", "good") if waits else ("it die, at once", "bad")),
                self.incident_line(run, "frozen, ever longer")]


class Forgotten(Life):
    name = "forgotten"
    title = "an agent and its tool, whose host is killed"
    kind = "orphan"
    command = (sys.executable,)
    script = """
        import subprocess, sys, time
        def tell(path, name, process):
            with open(path, "a") as facts:
                facts.write(f"tool-{name} {process.pid}\\n")
        if sys.argv[1] == "agent":
            tell(sys.argv[2], "tool", subprocess.Popen(["sleep", "120"], start_new_session=True))
        else:
            tell(sys.argv[1], "agent", subprocess.Popen([sys.executable, sys.argv[0], "agent", sys.argv[1]],
                                                        start_new_session=True))
        time.sleep(120)
        """
    policy = """
        match: {script: DIR/SCRIPT, args: " agent "}
        lifecycle: {orphan: 1s}
        stop: {grace: 2s}
        """

    def is_ready(self, run):
        if self.begun_s is None and len(run.tools()) == 2 and (not run.side.is_governed or self.is_governed(run)):
            run.root.kill()
            run.root.wait()
            self.since(True)
        if self.begun_s is None:
            return False
        past_s = time.monotonic() - self.begun_s
        run.survivors, run.past_s = [pid for pid in run.tools() if is_alive(pid)], past_s
        return self.is_decided(run, past_s, not run.survivors, 1.5)

    def is_governed(self, run):
        return [agent for agent in self.agents(run) if agent["state"] == "active"]

    def lines(self, run):
        live = len(run.survivors)
        words = {2: "both live on, for ever", 1: "one lives on"}.get(live, f"both ended after {run.past_s:.1f} s")
        return [("when it is dead", (words, "bad" if live else "good")),
                self.incident_line(run, "an orphan, stopped")]


class Twice(Life):
    name = "twice"
    title = "a second agent for the same room, the first is still there"
    kind = "duplicate"
    command = (sys.executable,)
    script = """
        import subprocess, sys, time
        if sys.argv[1] != "agent":
            for name in ("first", "second"):
                agent = subprocess.Popen([sys.executable, sys.argv[0], "agent", "--room=blue"])
                with open(sys.argv[1], "a") as facts:
                    facts.write(f"tool-{name} {agent.pid}\\n")
                time.sleep(0.3)
        time.sleep(120)
        """
    policy = """
        match: {script: DIR/SCRIPT, args: " agent "}
        key: {args: "--room=(\\\\S+)"}
        lifecycle: {per_key: 1}
        restart: {min_uptime: 1s}
        """

    def is_ready(self, run):
        past_s = self.since(len(run.tools()) == 2)
        if past_s is None:
            return False
        facts = run.facts()
        run.lives = {name: is_alive(int(facts["tool-" + name][0])) for name in ("first", "second")}
        return self.is_decided(run, past_s, not run.lives["first"], 0.5)

    def lines(self, run):
        words = {(True, True): ("2, both at work", "bad"), (False, True): ("1, the newer one", "good")}
        return [("agents of room blue", words.get(tuple(run.lives.values()), ("none", "bad"))),
                self.incident_line(run, "a duplicate, stopped")]


class Hung(Life):
    name = "hung"
    title = "a worker that has stopped to accept, and its clients"
    kind = "hung"
    command = (sys.executable,)
    script = """
        import socket, subprocess, sys, time
        if sys.argv[1] == "agent":
            server = socket.create_server(("127.0.0.1", 0))
            print(server.getsockname()[1], flush=True)
            server.accept()[0].close()
        else:
            agent = subprocess.Popen([sys.executable, sys.argv[0], "agent"], stdout=subprocess.PIPE, text=True)
            address = ("127.0.0.1", int(agent.stdout.readline()))
            socket.create_connection(address).recv(1)
            clients = [socket.create_connection(address) for _ in range(2)]
            with open(sys.argv[1], "a") as facts:
                facts.write(f"tool-worker {agent.pid}\\n")
        time.sleep(120)
        """
    policy = """
        match: {script: DIR/SCRIPT, args: " agent"}
        hung: {after: 2s, action: stop}
        stop: {grace: 2s}
        """

    def is_ready(self, run):
        past_s = self.since(run.tools())
        if past_s is None:
            return False
        run.past_s, run.hangs = past_s, is_alive(run.tools()[0])
        return self.is_decided(run, past_s, not run.hangs, 1.5)

    def lines(self, run):
        words = ("wait, for ever", "bad") if run.hangs else (f"are let go after {run.past_s:.1f} s", "good")
        return [("its 2 clients", words), self.incident_line(run, "hung at its socket, stopped")]


LIFE_ROWS = [CrashLoop, Forgotten, Twice, Hung]
