#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What /proc tells of processes, their groups and the mounted hierarchies: for the demo and for tests."""

import os


def read(path):
    """"" for what isn't there, or not any more."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def is_alive(pid):
    """Neither gone nor a zombie that nobody has waited for."""
    # The name may hold anything; what follows its last `)` is the kernel's.
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return bool(fields) and fields[0] not in "ZX"


def comm_of(pid):
    return read(f"/proc/{pid}/comm").rstrip("\n")


def cpu_s_of(pid):
    """CPU time, user and system, of all its threads; 0 when it has gone."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def cgroups_of(pid):
    """{controllers: path}; "" is the v2 tree. {} when the process has gone."""
    lines = [line.split(":", 2) for line in read(f"/proc/{pid}/cgroup").splitlines()]
    return {controllers: path for _, controllers, path in lines}


def children_of(pid):
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [int(word) for task in tasks for word in read(f"/proc/{pid}/task/{task}/children").split()]


def mounts_of(*types):
    """Mount points of all file systems of these types."""
    mounts = [line.split() for line in read("/proc/mounts").splitlines()]
    return [words[1] for words in mounts if words[2] in types]
