#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The agents of the demo, and what its table says of each.

To add one: a subclass of Row with its script, its policy and its lines, and its name in ROWS.
"""

import signal
import sys

MIB = 1 << 20
CAP = 64 * MIB  # of the hoarder's policy


def mib(bytes_):
    return f"{bytes_ / MIB:.0f} MB"


class Row:
    """A kind of agent, and what the table says of it."""

    name = ""  # of the policy too
    title = ""
    command = ()
    script = ""  # gets a file to write facts to as its argument
    policy = ""  # DIR is the demo's directory

    @property
    def script_name(self):
        return self.name + (".py" if self.command[0] == sys.executable else ".sh")

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


ROWS = [Worker, Shell, Hoarder]
