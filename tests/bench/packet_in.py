# SPDX-License-Identifier: Apache-2.0

"""Packets to the controller and back: how many a second from one switch, and how long one takes.

The switch is a process of its own (``python -m tests.bench.packet_in PORT PORT``), with plain
sockets; it asks the controller and a plain controller in turns.
"""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

from tenantry.controller import runtime
from tenantry.controller.feature.effects import PacketIn, PacketOut
from tenantry.controller.model import Model, View
from tenantry.controller.openflow import codec
from tenantry.controller.openflow.flow import Output
from tenantry.controller.service.packet_in import QUEUE_LENGTH, PacketIns
from tenantry.controller.sockets.listener import listen
from tenantry.controller.switch import channel
from tests.bench import ROUNDS, Figure, peers, ratio, seconds, turns
from tests.bench.openflow import Kind, Multipart, features, messages

APP = 252
PORTS = 64
COUNT = 10_000
ALONE = 1_000


class Answering:
    """An app that sends every packet back to its port."""

    def __init__(self) -> None:
        handlers = {APP: self._back}
        model = Model()
        effects = {PacketOut: lambda packet, origin: origin.send(packet)}
        self.packets = PacketIns(model, handlers, effects)

    def _back(self, view: View, packet: PacketIn) -> Iterator[PacketOut]:
        source, destination = packet.data[6:12], packet.data[:6]
        yield PacketOut(source + destination + packet.data[12:], (Output(packet.ofport),))


def bench() -> Iterator[Figure]:
    packets, listening = Answering().packets, listen("127.0.0.1", 0)
    switches = channel.start()
    switches.serve(listening, channel.Observer(packet_in=packets.receive))
    port = listening.getsockname()[1]
    greenlet = runtime.spawn(packets.run)
    try:
        with peers.plain() as plain:
            words = [sys.executable, "-m", "tests.bench.packet_in", str(port)]
            words.append(str(plain.openflow[1]))
            done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    finally:
        greenlet.kill()
        channel.stop(switches)
    rates, alone = json.loads(done.stdout)
    peer = plain.NAME
    yield ratio("packet-in.rate", *rates, peer, 0.1, rate=True, reference="15,000 packets/s")
    yield ratio("packet-in.alone", *alone, peer, 4, reference="180 us")


# --- the switch ------------------------------------------------------------------------------


class _Switch:
    """One connection; knows how to shake hands, to send packet-ins and to count packet-outs."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._messages = messages(self._socket)
        self._send(Kind.HELLO, 0)
        for kind, xid, _ in self._messages:
            if kind == Kind.FEATURES_REQUEST:
                self._send(Kind.FEATURES_REPLY, xid, features(1))
            elif kind == codec.MULTIPART_REQUEST:  # port descriptions: none; then we are in
                reply = struct.pack("!HH4x", Multipart.PORT_DESC, 0)
                self._send(codec.MULTIPART_REPLY, xid, reply)
                return

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(codec.message(kind, xid, body))

    def ask(self, numbers: range) -> None:
        """Send packet-ins, and wait for as many answers."""
        self._socket.sendall(b"".join(_packet_in(number % PORTS + 1) for number in numbers))
        left = len(numbers)
        while left:
            kind, xid, _ = next(self._messages)
            if kind == codec.PACKET_OUT:
                left -= 1
            elif kind == Kind.ECHO_REQUEST:
                self._send(Kind.ECHO_REPLY, xid)


def _packet_in(ofport: int) -> bytes:
    """A packet-in with a 64-byte frame (OpenFlow 1.4, 7.4.1)."""
    match = b"\x00\x01\x00\x0c" + b"\x80\x00\x00\x04" + ofport.to_bytes(4, "big") + bytes(4)
    head = b"\xff\xff\xff\xff\x00\x40\x01\x00" + (APP << 56).to_bytes(8, "big")
    return codec.message(codec.PACKET_IN, 0, head + match + b"\0\0" + bytes(64))


def _rate(switch: _Switch) -> float:
    """Packets a second, as many on their way as the controller's queues hold without dropping."""
    window = PORTS * QUEUE_LENGTH // 4
    starts = range(0, COUNT, window)
    took = seconds(lambda: [switch.ask(range(at, min(at + window, COUNT))) for at in starts])
    return COUNT / took


def _ask(ports: list[str]) -> None:
    """The peers in turns; prints rates and times, each for one port and the other."""
    switches = [_Switch(int(port)) for port in ports]
    time.sleep(0.2)  # until the controller has taken us in; not part of what is measured
    rates = [[_rate(switch) for switch in switches] for _ in turns(2 * ROUNDS)]
    alone = [[seconds(partial(switch.ask, range(1))) for switch in switches] for _ in range(ALONE)]
    json.dump([[*zip(*measured, strict=True)] for measured in (rates, alone)], sys.stdout)


if __name__ == "__main__":
    _ask(sys.argv[1:])
