#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The agents of the demo, and what its table says of each.

To add one: a subclass of Row with its script, its policy and its lines, and its name in ROWS.
"""

import shutil
import signal
import sys
import time

from demo_server import Server
from proc_files import cpu_s_of

MIB = 1 << 20
CAP = 64 * MIB  # of the hoarder's policy
NODE = shutil.which("node")


def mib(bytes_):
    return f"{bytes_ / MIB:.0f} MB"


class Row:
    """A kind of agent, and what the table says of it."""

    name = ""  # of the policy too
    title = ""
    command = ()
    script = ""  # gets a file to write facts to as its argument
    policy = ""  # DIR is the demo's directory, SCRIPT the script's name
    is_agent = True  # what is started is the agent itself

    def values(self):
        """What stands in the script for what is known only now."""
        return {}

    def begin(self, run):
        """Before it starts."""

    def observed(self, run):
        """What was to be seen has been seen."""

    def is_told(self, incidents):
        """Whether what its lines need is in the history."""
        return any(incident["kind"] == "stopped" for incident in incidents)

    @property
    def script_name(self):
        return self.name + {sys.executable: ".py", NODE: ".js"}.get(self.command[0], ".sh")

    def is_ready(self, run):
        """All its processes have started, and what is to be seen has happened."""
        raise NotImplementedError

    def lines(self, run):
        """[(label, text or (text, look)), ...]; the same labels, in the same order, on both sides."""
        raise NotImplementedError

    # Lines that most rows have.

    def where_lines(self, run):
        group = run.groups[run.root.pid]
        tools = [run.groups[pid] for pid in run.tools() if pid in run.groups]
        if not run.side.is_governed:
            return [("group", "its starter's: " + last_of(group)),
                    (f"its {len(tools)} tools", (f"{tools.count(group)} there, as is all else", "bad")),
                    ("put there", "-")]
        is_inside = tools.count(group) == len(tools)
        how = {"hold": "held", "exec": "at exec"}.get(run.how, run.how)
        return [("group", "its own: " + last_of(group)),
                (f"its {len(tools)} tools", (f"all {len(tools)} in it" if is_inside else f"{tools.count(group)} of {len(tools)} in it",
                                            "good" if is_inside else "bad")),
                ("put there", how + (f", {run.moved} moved after it" if run.moved else ", tools born in it"))]

    def left_line(self, run):
        if run.left:
            return ("after stopping it", (f"{len(run.left)} of {len(run.alive_before) - 1} tools live on", "bad"))
        return ("after stopping it", ("nothing left", "good"))


def last_of(path):
    return path.rpartition("/")[2] or "/"


class Worker(Row):
    name = "worker"
    title = "Python worker, starts its tools in its first lines"
    command = (sys.executable,)
    script = """
        import subprocess, sys, time
        tools = [subprocess.Popen(["sleep", "120"], start_new_session=bool(i % 2)) for i in range(3)]
        with open(sys.argv[1], "a") as facts:
            facts.writelines(f"tool-{tool.pid} {tool.pid}\\n" for tool in tools)
        time.sleep(120)
        """
    policy = """
        match: {script: DIR/worker.py}
        memory: {max: 256M}
        tasks: {max: 64}
        stop: {signal: TERM, grace: 2s}
        """

    def is_ready(self, run):
        return len(run.tools()) == 3

    def lines(self, run):
        return self.where_lines(run) + [self.left_line(run)]


class Shell(Row):
    name = "shell"
    title = "shell script, its tools fork twice and leave its session"
    command = ("/bin/sh",)
    script = """
        sleep 120 & echo "tool-child $!" >>"$1"
        (sleep 120 & echo "tool-orphan $!" >>"$1")
        setsid sh -c 'echo "tool-daemon $$" >>"$0"; exec sleep 120' "$1" &
        (setsid sh -c 'sh -c "echo tool-both \\$\\$ >>$0; exec sleep 120" & exit' "$1" &)
        wait
        """
    # Not held, as agents whose start can't be foreseen: caught as it executes, its tools moved after it.
    policy = """
        match: {script: DIR/shell.sh}
        hold: never
        tasks: {max: 64}
        stop: {signal: TERM, grace: 2s}
        """

    def is_ready(self, run):
        return len(run.tools()) == 4

    def lines(self, run):
        return self.where_lines(run) + [self.left_line(run)]


class Hoarder(Row):
    name = "hoarder"
    title = "Python agent, one of its two tools hoards memory"
    command = (sys.executable,)
    script = """
        import subprocess, sys, time
        HOARDS = '''
        import sys
        hoard, bound = [], int(sys.argv[2])
        with open(sys.argv[1], "a") as facts:
            while len(hoard) << 22 < bound:
                hoard.append(bytearray(b"x") * (1 << 22))
                facts.write(f"reached {len(hoard) << 22}\\\\n")
                facts.flush()
        '''
        facts = open(sys.argv[1], "a")
        def tell(line):
            facts.write(line + "\\n")
            facts.flush()
        tool = subprocess.Popen(["sleep", "120"])
        tell(f"tool-other {tool.pid}")
        hoarder = subprocess.Popen([sys.executable, "-c", HOARDS, sys.argv[1], "BOUND"])
        tell(f"ended {hoarder.wait()}")
        time.sleep(120)
        """
    policy = """
        match: {script: DIR/hoarder.py}
        memory: {max: CAP, swap_max: 0}
        stop: {signal: TERM, grace: 2s}
        """

    def is_ready(self, run):
        return "ended" in run.facts()

    def lines(self, run):
        facts = run.facts()
        reached, status = int(facts.get("reached", ["0"])[0]), int(facts["ended"][0])
        cap = run.side.is_governed and run.agent["memory_max_bytes"]
        survivors = run.root.pid in run.alive_before and len(run.alive_before) == 2
        if status == -signal.SIGKILL:
            ended = ("killed by the kernel", "good" if cap else "bad")
        elif status == 0:
            ended = ("by itself, satisfied", "warn" if run.side.is_governed else "bad")
        else:
            ended = (f"status {status}", "warn")
        return [("memory cap", self.cap_cell(run, cap)), ("the hoarder reached", (mib(reached), ended[1])),
                ("and ended", ended),
                ("agent and other tool", ("live on", "good") if survivors else ("died with it", "bad")),
                self.left_line(run)]

    @staticmethod
    def cap_cell(run, cap):
        if not run.side.is_governed:
            return "none"
        if not cap or "memory" in run.side.missing():
            return ("not possible here", "warn")
        return mib(cap) + " for the whole agent"


class Reconnecter(Row):
    """Its server drops each connection at once. It is looked at for some seconds, after the policy's burst."""

    name = "reconnect"
    title = "Python asyncio client, dropped and back at once"
    command = (sys.executable,)
    script = """
        import asyncio, sys
        errors = 0
        def tell():
            with open(sys.argv[1], "a") as facts:
                facts.write(f"errors {errors}\\n")
        async def main():
            global errors
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
                except OSError:
                    errors += 1
                    tell()
                    continue
                await reader.read()
                writer.close()
        tell()
        asyncio.run(main())
        """
    policy = """
        match: {script: DIR/SCRIPT}
        connect: {rate: 5/s, burst: 5}
        stop: {signal: TERM, grace: 2s}
        """
    SETTLE_S, LOOK_S = {True: 1.5, False: 0.5}, {True: 3.0, False: 1.5}  # governed, or not

    def __init__(self):
        self.server = Server()
        self.begun_s, self.look = None, None

    def values(self):
        return {"PORT": str(self.server.port)}

    def begin(self, run):
        self.server.serve()
        self.begun_s, self.look = None, None

    def observed(self, run):
        """The next row has the machine for itself: who connects now waits for a server."""
        self.server.stop()

    def is_ready(self, run):
        now = (time.monotonic(), self.server.seen(), cpu_s_of(run.root.pid))
        if not self.begun_s and now[1]:
            self.begun_s = now[0]
        if not self.begun_s or now[0] - self.begun_s < self.SETTLE_S[run.side.is_governed]:
            return False
        self.look = self.look or now
        past_s, connects, cpu_s = (after - before for before, after in zip(self.look, now))
        if past_s < self.LOOK_S[run.side.is_governed]:
            return False
        run.rate, run.cpu_pct = connects / past_s, cpu_s * 100 / past_s
        return True

    def lines(self, run):
        errors = int(run.facts()["errors"][0])
        is_paced = run.rate < 6
        rate = f"{run.rate:.1f}" if is_paced else f"{run.rate:,.0f}"
        cpu = "under 1" if run.cpu_pct < 1 else f"{run.cpu_pct:.0f}"
        look = "good" if is_paced else "bad"
        lines = [("the server saw", (f"{rate} connects a second", look)),
                 ("the client's CPU", (f"{cpu} % of a core", look)),
                 ("connects that failed", (str(errors), "bad" if errors else "good" if is_paced else None)),
                 ("incident", self.incident_cell(run))]
        return lines if NODE else lines + [("the same in node", "there is no node here")]

    @staticmethod
    def incident_cell(run):
        if not run.side.is_governed:
            return "-"
        storm = next((incident for incident in run.incidents if incident["kind"] == "storm"), None)
        if not storm:
            return ("none", "bad")
        return ("a storm, delayed" if storm["action"] == "delay" else f"a storm, {storm['action']}", "good")


class NodeReconnecter(Reconnecter):
    name = "reconnect-node"
    title = "node client, dropped and back at once"
    command = (NODE,)
    script = """
        const net = require("net"), fs = require("fs");
        let errors = 0;
        function tell() { fs.appendFileSync(process.argv[2], `errors ${errors}\\n`); }
        function again() {
            let isConnected = false;
            const socket = net.connect(PORT, "127.0.0.1", () => { isConnected = true; });
            socket.on("error", () => { if (!isConnected) { errors++; tell(); } });
            socket.on("close", again);
            socket.resume();
        }
        tell();
        again();
        """


ROWS = [Worker, Shell, Hoarder, Reconnecter] + ([NodeReconnecter] if NODE else [])
