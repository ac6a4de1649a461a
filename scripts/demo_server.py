#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The demo's server on loopback: accepts, counts and drops each connection at once."""

import mmap
import os
import signal
import socket

BACKLOG = 128


class Server:
    """Listens from the beginning, so that its port is known; serves in a process of its own, which must not take time from
    the demo."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port = self.listener.getsockname()[1]
        self.count = mmap.mmap(-1, mmap.PAGESIZE)  # shared
        self.pid = None

    def serve(self):
        self.count[:8] = bytes(8)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                self.accept_all()
            finally:
                os._exit(1)

    def accept_all(self):
        seen = 0
        while True:
            self.listener.accept()[0].close()
            seen += 1
            self.count[:8] = seen.to_bytes(8, "little")

    def seen(self):
        """Connections since it serves."""
        return int.from_bytes(self.count[:8], "little")

    def stop(self):
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self.pid = None
