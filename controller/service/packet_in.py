# SPDX-License-Identifier: Apache-2.0

"""Packets that switches send to us: to the app whose flow sent them, fairly, and never too many.

A packet-in bears the cookie of the flow that punted it, and the cookie names the app. Handlers are
pure functions like everything in an app: bytes and a view in, effects out, each for whoever handles
its type. A guest's bytes are hostile: each port has a short queue of its own, so one that floods
loses its own packets only, and a handler that raises costs its packet and a count, nothing else.
"""

from __future__ import annotations

import logging
import struct
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from tenantry.controller import runtime
from tenantry.controller.feature.effects import EffectHandler, Handler, Origin, PacketIn, PacketOut
from tenantry.controller.model import Binding, Model, View
from tenantry.controller.openflow import codec, fields, shapes
from tenantry.controller.openflow.flow import CONTROLLER
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.switch.connection import Connection, Disconnected

LOG = logging.getLogger(__name__)

QUEUE_LENGTH = 32
"""Packets of one port that may wait."""

SLICE = 64
"""Packets handled before others are let work."""


class PacketIns:
    """The queues, and the one greenlet that empties them in turns."""

    def __init__(
        self,
        model: Model,
        handlers: Mapping[int, Handler],
        effects: Mapping[type, EffectHandler],
    ) -> None:
        """``handlers`` by app id; ``effects``: who handles what these yield, by its type."""
        self.handled = self.dropped = self.malformed = self.failed = 0
        self._model = model
        self._handlers = handlers
        self._effects = effects
        self._queues: dict[tuple[int, int], deque[tuple[Connection, PacketIn]]] = {}
        self._wake = runtime.Signal()

    def receive(self, connection: Connection, data: bytes) -> None:
        """Take in a packet-in message. Never blocks, never raises."""
        try:
            packet = read_packet_in(connection.dpid, data)
        except (struct.error, ValueError):
            self.failed += 1
            return
        # What is copied, as if the controller had sent it, has queues by flow: no answer waits.
        port = packet.cookie if packet.ofport == CONTROLLER else packet.ofport
        queue = self._queues.setdefault((packet.switch, port), deque())
        if len(queue) >= QUEUE_LENGTH:
            self.dropped += 1
            return
        queue.append((connection, packet))
        self._wake.set()

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            self._wake.wait()
            while self._queues:
                for port in list(self._queues):
                    queue = self._queues[port]
                    connection, packet = queue.popleft()
                    if not queue:
                        del self._queues[port]
                    self._handle(connection, packet)
                    self.handled += 1
                    if self.handled % SLICE == 0:
                        runtime.yield_now()

    def _handle(self, connection: Connection, packet: PacketIn) -> None:
        handler = self._handlers.get(Cookie.app_id(packet.cookie))
        if handler is None:
            return
        origin = Origin(packet, partial(send, self._model, connection))
        try:
            for effect in handler(View(self._model), packet):
                self._effects[type(effect)](effect, origin)
        except Malformed:
            self.malformed += 1
        except Exception:
            self.failed += 1
            LOG.exception("a packet of port %d was not understood", packet.port)


def send(model: Model, connection: Connection, packet: PacketOut) -> None:
    """Send a packet, if the switch is still there."""
    sender = model.get(Binding, packet.sender)
    here = sender is not None and sender.switch == connection.dpid
    in_port = sender.ofport if sender and here else CONTROLLER
    with suppress(Disconnected):
        connection.send(packet_out(connection.xid(), packet, in_port))


_PACKET_IN = struct.Struct("!8xIHBBQHH")
_PACKET_OUT = struct.Struct("!IIH6x")
_NO_BUFFER = 0xFFFFFFFF
_IN_PORT, _METADATA = (fields.oxm_header(field) >> 8 for field in ("in_port", NETWORK))
_REGISTERS = {fields.oxm_header(f"reg{number}") >> 8: number for number in range(16)}
_PORT = int(IN_PORT.removeprefix("reg"))


def read_packet_in(dpid: int, data: bytes) -> PacketIn:
    """A packet-in message (OpenFlow 1.4, 7.4.1). Errors: struct.error, ValueError."""
    _, _, _, _, cookie, _, match_length = _PACKET_IN.unpack_from(data)
    ofport = network = 0
    registers = [0] * 16
    offset = _PACKET_IN.size
    end = offset - 4 + match_length
    if len(data) < end:
        raise ValueError("the packet-in is shorter than its match")
    while offset + 4 <= end:
        kind, length = int.from_bytes(data[offset : offset + 3], "big"), data[offset + 3]
        value = data[offset + 4 : offset + 4 + length]
        if kind == _IN_PORT:
            ofport = int.from_bytes(value, "big")
        elif kind == _METADATA:
            network = int.from_bytes(value, "big")
        elif kind in _REGISTERS:
            registers[_REGISTERS[kind]] = int.from_bytes(value, "big")
        offset += 4 + length
    start = (_PACKET_IN.size - 4 + match_length + 7 & ~7) + 2
    port = registers[_PORT]
    return PacketIn(dpid, cookie, ofport, network, port, data[start:], tuple(registers))


def packet_out(xid: int, packet: PacketOut, in_port: int = CONTROLLER) -> bytes:
    """A packet-out message (OpenFlow 1.4, 7.3.6). No copy leaves by ``in_port``."""
    actions = shapes.encode_actions(packet.actions)
    head = _PACKET_OUT.pack(_NO_BUFFER, in_port, len(actions))
    return codec.message(codec.PACKET_OUT, xid, head + actions + packet.data)
