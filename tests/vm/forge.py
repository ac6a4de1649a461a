#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sends connections on the system bus what looks like systemd's and the bus's own signals: forge.py TIMES UNIT CONNECTION..."""

import itertools
import os
import socket
import struct
import sys

# D-Bus Specification, "Message Protocol": header fields, and types of messages
PATH, INTERFACE, MEMBER, DESTINATION, SIGNATURE = 1, 2, 3, 6, 8
CALL, SIGNAL = 1, 4
BUS = "org.freedesktop.DBus"
SYSTEMD = "org.freedesktop.systemd1"


def pad(data, size):
    return data + bytes(-len(data) % size)


def value(data, kind, item):
    if kind in "so":
        return pad(data, 4) + struct.pack("<I", len(item)) + item.encode() + b"\0"
    if kind == "g":
        return data + bytes([len(item)]) + item.encode() + b"\0"
    return pad(data, 4) + struct.pack("<I", item)


def message(kind, serial, destination, path, interface, member, signature="", *items):
    body = b""
    for one, item in zip(signature, items):
        body = value(body, one, item)
    fields = b""
    for code, one, item in ((PATH, "o", path), (INTERFACE, "s", interface), (MEMBER, "s", member),
                            (DESTINATION, "s", destination), (SIGNATURE, "g", signature)):
        fields = value(pad(fields, 8) + bytes([code, 1]) + one.encode() + b"\0", one, item)
    head = struct.pack("<cBBBIII", b"l", kind, 0, 1, len(body), serial, len(fields))
    return pad(head + fields, 8) + body


def receive_until(bus, word):
    data = b""
    while word not in data:
        more = bus.recv(65536)
        if not more:
            sys.exit("the bus has hung up")
        data = data[-len(word):] + more


def call(bus, serial, member):
    """Has its answer, and with it all that was sent before has been passed on."""
    bus.sendall(message(CALL, serial, BUS, "/org/freedesktop/DBus", BUS, member))
    receive_until(bus, b"\x05\x01u\0" + struct.pack("<I", serial))  # REPLY_SERIAL


def main():
    times, unit, connections = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    serials = itertools.count(1)
    bus = socket.socket(socket.AF_UNIX)
    bus.connect("/run/dbus/system_bus_socket")
    bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
    receive_until(bus, b"\r\n")
    bus.sendall(b"BEGIN\r\n")
    call(bus, next(serials), "Hello")
    signals = [("/org/freedesktop/DBus", BUS, "NameOwnerChanged", "sss", SYSTEMD, "", ":1.1"),
               ("/org/freedesktop/DBus", BUS, "NameOwnerChanged", "sss", SYSTEMD, ":1.1", "")]
    manager = ("/org/freedesktop/systemd1", SYSTEMD + ".Manager")
    signals += times * [(*manager, "Reloading", "b", False), (*manager, "UnitRemoved", "so", unit, "/"),
                        (*manager, "JobRemoved", "uoss", 1, "/", unit, "done")]
    for signal in signals:
        for connection in connections:
            bus.sendall(message(SIGNAL, next(serials), connection, *signal))
    call(bus, next(serials), "GetId")


if __name__ == "__main__":
    main()
