# SPDX-License-Identifier: Apache-2.0

"""Packets to the controller and back: how many a second from one switch, and how long one takes.

The switch is a process of its own (``python -m tests.bench.packet_in PORT``), with plain sockets.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from statistics import median

from tenantry.controller import runtime
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Model, View
from tenantry.controller.openflow import codec
from tenantry.controller.openflow.flow import Output
from tenantry.controller.service.neighbours import Neighbours
from tenantry.controller.service.packet_in import QUEUE_LENGTH, PacketIns
from tenantry.controller.switch import channel
from tenantry.controller.switch.channel import Connection
from tests.bench import Figure

APP = 252
PORTS = 64
COUNT = 20_000
ALONE = 1_000


class Answering:
    """The channel's observer: an app that sends every packet back to its port."""

    def __init__(self) -> None:
        handlers = {APP: self._back}
        model = Model()
        self.packets = PacketIns(
            model,
            handlers,
            lambda changes: None,
            lambda *asked: None,
            Neighbours(model, (), lambda changes: None, lambda *sent: None),
            lambda fields: None,
            lambda arrived: None,
        )

    def _back(self, view: View, packet: PacketIn) -> Iterator[PacketOut]:
        source, destination = packet.data[6:12], packet.data[:6]
        yield PacketOut(source + destination + packet.data[12:], (Output(packet.ofport),))

    def packet_in(self, connection: Connection, data: bytes) -> None:
        self.packets.receive(connection, data)

    def connected(self, connection: Connection) -> None: ...

    def disconnected(self, connection: Connection) -> None: ...

    def ports(self, dpid: int, ports: Mapping[int, str]) -> None: ...

    def port(self, dpid: int, number: int, name: str | None) -> None: ...


def bench() -> Iterator[Figure]:
    observer = Answering()
    listening = channel.start(observer)
    port = listening.listen("127.0.0.1", 0)
    greenlet = runtime.spawn(observer.packets.run)
    try:
        command = [sys.executable, "-m", "tests.bench.packet_in", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    finally:
        greenlet.kill()
        channel.stop(listening)
    measured = json.loads(done.stdout)
    yield Figure("packet-in.rate", measured["rate"], "packets/s", 10_000, at_least=True)
    yield Figure("packet-in.alone", measured["alone"] * 1e6, "us, median", 300)


# --- the switch ------------------------------------------------------------------------------


class _Switch:
    """One connection; knows how to shake hands, to send packet-ins and to count packet-outs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._socket.sendall(codec.message(0, 0))  # hello
        while True:
            kind, xid = self._next()
            if kind == 5:  # features request
                features = struct.pack("!QIBB2xII", 1, 0, 254, 0, 0, 0)
                self._socket.sendall(codec.message(6, xid, features))
            elif kind == codec.MULTIPART_REQUEST:  # port descriptions: none; then we are in
                reply = struct.pack("!HH4x", 13, 0)
                self._socket.sendall(codec.message(codec.MULTIPART_REPLY, xid, reply))
                return

    def _next(self) -> tuple[int, int]:
        while True:
            if len(self._buffer) >= 8:
                header = codec.read_header(self._buffer)
                if len(self._buffer) >= header.length:
                    self._buffer = self._buffer[header.length :]
                    return header.kind, header.xid
            received = self._socket.recv(1 << 16)
            if not received:
                raise SystemExit("the controller hung up")
            self._buffer += received

    def send(self, numbers: range) -> None:
        self._socket.sendall(b"".join(_packet_in(number % PORTS + 1) for number in numbers))

    def await_answers(self, count: int) -> None:
        while count:
            kind, xid = self._next()
            if kind == codec.PACKET_OUT:
                count -= 1
            elif kind == 2:  # echo request
                self._socket.sendall(codec.message(3, xid))


def _packet_in(ofport: int) -> bytes:
    """A packet-in with a 64-byte frame (OpenFlow 1.4, 7.4.1)."""
    match = b"\x00\x01\x00\x0c" + b"\x80\x00\x00\x04" + ofport.to_bytes(4, "big") + bytes(4)
    head = b"\xff\xff\xff\xff\x00\x40\x01\x00" + (APP << 56).to_bytes(8, "big")
    return codec.message(codec.PACKET_IN, 0, head + match + b"\0\0" + bytes(64))


def _switch(port: int) -> dict[str, float]:
    switch = _Switch(port)
    window = PORTS * QUEUE_LENGTH // 4
    time.sleep(0.2)  # until the controller has taken us in; not part of what is measured
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        for first in range(0, COUNT, window):
            numbers = range(first, min(first + window, COUNT))
            switch.send(numbers)
            switch.await_answers(len(numbers))
        rates.append(COUNT / (time.perf_counter() - start))
    times = []
    for number in range(ALONE):
        start = time.perf_counter()
        switch.send(range(number, number + 1))
        switch.await_answers(1)
        times.append(time.perf_counter() - start)
    return {"rate": median(rates), "alone": median(times)}


if __name__ == "__main__":
    print(json.dumps(_switch(int(sys.argv[1]))))
