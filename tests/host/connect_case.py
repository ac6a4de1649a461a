# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests of connect pacing share: servers, clients, network namespaces, rates."""

import json
import os
import shutil
import signal
import subprocess
import sys

from harness import GovdTest, is_alive, program, wait_until

NODE_STORM = """// Connects again as soon as the last connection has ended.
const net = require("net");
function again() {
    const socket = net.connect(Number(process.argv[3]), process.argv[2]);
    let connected = false;
    socket.on("connect", () => { connected = true; socket.destroy(); });
    socket.on("error", (error) => connected || console.log("error", error.code));
    socket.on("close", again);
}
again();
"""
ASYNCIO_STORM = """# Connects again as soon as the last connection has ended.
import asyncio, contextlib, sys

async def main(host, port):
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            print("error", error.errno, flush=True)
            continue
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


class Server:
    """accepts.c: `ports`, and when it accepted."""

    def __init__(self, test, after="close", ports=1, addresses=("127.0.0.1",), port=0, prefix=()):
        self.path = test.path(f"server-{len(test.started)}")
        with open(self.path, "w", encoding="utf-8") as file:
            self.process = test.spawn(*prefix, program("accepts"), after, str(port), str(ports), *addresses,
                                      stdout=file)
        wait_until(lambda: "ready\n" in self.read() or self.process.poll() is not None, "the server listens")
        self.ports = [int(line) for line in self.read().split("ready\n")[0].split()]
        test.assertEqual(len(self.ports), ports, "the server doesn't listen")

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    def accepts(self, port=None):
        """Times (CLOCK_MONOTONIC, seconds) at this port, or at the only one."""
        port = port or self.ports[0]
        # Its last line may not be whole yet.
        lines = self.read().split("ready\n", 1)[1].rpartition("\n")[0].splitlines()
        return [int(time_ns) / 1e9 for at, time_ns in map(str.split, lines) if int(at) == port]

    def stop(self):
        self.process.terminate()
        self.process.wait()


class ConnectTest(GovdTest):
    def client(self, name, *words, prefix=(), **keywords):
        """connects.c, by the name of a copy of it."""
        path = self.path("bin", name)
        return self.run_client(*prefix, path if os.path.exists(path) else self.copy(program("connects"), name), *words,
                               **keywords)

    def script_client(self, path, *words, prefix=()):
        interpreter = "node" if path.endswith(".js") else sys.executable
        return self.run_client(*prefix, interpreter, path, *words)

    def run_client(self, *command, **keywords):
        output = self.path(f"client-{len(self.started)}")
        with open(output, "w", encoding="utf-8") as file:
            process = self.spawn(*[str(word) for word in command], stdout=file, **keywords)
        process.output = output
        return process

    def output_of(self, client):
        with open(client.output, encoding="utf-8") as file:
            return file.read()

    def report_of(self, client, is_over=False):
        """What connects.c reports: when it has ended, or when it is to."""
        if not is_over and client.poll() is None:
            client.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_alive(client.pid), f"the client ends ({client.args})", 60)
        client.wait()
        return json.loads(self.output_of(client).splitlines()[-1])

    def destinations(self, agent_id):
        """{destination: what `show` tells of it}."""
        return {line["destination"]: line for line in self.ctl_json("show", agent_id)["destinations"]}

    def incidents(self, kind, agent_id=None):
        words = ["incidents", "--kind", kind] + (["--agent", agent_id] if agent_id else [])
        return self.ctl_json(*words)

    def bpftool(self, *words):
        # Debian has it in sbin, which isn't in everybody's PATH.
        path = shutil.which("bpftool", path=os.environ["PATH"] + ":/usr/sbin")
        if not path:
            self.skipTest("there is no bpftool")
        return subprocess.run([path, *words], stdout=subprocess.PIPE, check=True, text=True, timeout=30).stdout

    def cpu_ns(self, agent):
        with open(self.v2_path(agent["cgroup"]) + "/cpu.stat", encoding="ascii") as file:
            return int(file.readline().split()[1]) * 1000

    # ---- rates

    def assert_rate(self, times, per_s, burst, seconds, what):
        """Connects leave by the schedule for all of `seconds` after the burst; returns the rate."""
        start, end = times[burst - 1], times[0] + seconds + 0.3 / per_s
        times = [time_s for time_s in times[burst:] if time_s <= end]
        self.assertTrue(times, f"{what}: nothing after the burst")
        rate = len(times) / (times[-1] - start)
        # They go on until the end.
        self.assertGreater(times[-1], end - 2 / per_s - 0.3, f"{what}: {len(times)} in all, then none")
        self.assertLess(abs(rate / per_s - 1), 0.03, f"{what}: {rate:.4f}/s for {per_s:.4f}/s")
        return rate


class Netns:
    """Two network namespaces of the test's own, with a veth pair between them."""

    NETWORKS = (("192.0.2.1/24", "2001:db8::1/64"), ("192.0.2.2/24", "2001:db8::2/64"))

    def __init__(self, test):
        self.names = [f"govtest{os.getpid()}{side}" for side in "ab"]
        for name in self.names:
            self.ip("netns", "add", name)
            test.addCleanup(self.remove, name)
        self.ip("-n", self.names[0], "link", "add", "veth0", "type", "veth", "peer", "name", "veth0", "netns",
                self.names[1])
        for name, addresses in zip(self.names, self.NETWORKS):
            for address in addresses:
                self.ip("-n", name, "address", "add", address, "dev", "veth0", *["nodad"] * (":" in address))
            for link in "lo", "veth0":
                self.ip("-n", name, "link", "set", link, "up")
        self.warm_up(test)

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True, timeout=30)

    def remove(self, name):
        self.ip("netns", "delete", name)

    def warm_up(self, test):
        """Until each side knows the other's link address: the first connect waits for that."""
        addresses = [address.split("/")[0] for address in self.NETWORKS[1]]
        server = Server(test, addresses=addresses, prefix=self.prefix(1))
        for address in addresses:
            test.run_client(*self.prefix(0), program("connects"), "--count", 1, address, server.ports[0])
        wait_until(lambda: len(server.accepts()) == len(addresses), "the two namespaces reach each other")
        server.stop()

    def prefix(self, side):
        return ("ip", "netns", "exec", self.names[side])

    def write(self, side, path, text):
        subprocess.run([*self.prefix(side), "sh", "-c", f"echo {text} > {path}"], check=True, timeout=30)
