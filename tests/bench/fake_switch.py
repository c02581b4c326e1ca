# SPDX-License-Identifier: Apache-2.0

"""A switch that only listens: as much OpenFlow 1.4 as a controller needs to believe in it.

It holds flows by table, priority and match, answers dumps, barriers, roles and bundles, and counts
what it is sent. It forwards nothing. Sections refer to the OpenFlow 1.4.0 specification.
"""

from __future__ import annotations

import socket
import struct
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.openflow import codec
from tests.bench.openflow import Kind, Multipart, features, messages

RETRY_SECONDS = 0.2


_BAD_MULTIPART = struct.pack("!HH", 1, 2)  # 7.5.4.2
_FLOW_MOD = struct.Struct("!QQBBHHHIIIHH")  # 7.3.4.2, without its match
_FLOW_MOD_DELETE = 3
_FLOW_STATS = struct.Struct("!HBxIIHHHHH2xQQQ")  # 7.3.5.2, without its match
_FLOW_STATS_REQUEST = struct.Struct("!B3xII4xQQ")  # 7.3.5.2
_METER_MOD = struct.Struct("!HHI")  # 7.3.4.3; and the head of a meter's configuration: 7.3.5.13
_METER_DELETE = 2
_TABLE_STATS = struct.Struct("!B3xIQQ")  # 7.3.5.4
_PORT = struct.Struct("!IH2x6s2x16sII")  # 7.2.1, without properties
_PORT_ADDED = bytes(8)  # 7.4.3
_REPLY_OCTETS = 60_000  # of a message, whose length has 16 bits
_BUNDLE_ADD_HEAD = 16  # 7.3.9.6: up to the end of the header of the message inside


class Switch:
    """What one switch holds, and its connection."""

    def __init__(self, dpid: int, names: list[str]) -> None:
        self.dpid = dpid
        self.ports = dict(enumerate(names, 1))
        self.flow_mods = 0
        self.echoes: list[float] = []
        """How long the controller took to answer each echo request, in seconds."""
        self._cookies: dict[bytes, int] = {}  # by table, priority and match
        self._flows: dict[int, bytes] = {}  # the other way around
        self._bodies: dict[int, bytes] = {}  # their flow-mods, by cookie
        self._meters: dict[int, bytes] = {}  # its bands, by number
        self._bundles: dict[int, list[memoryview]] = {}
        self._socket: Any = None

    @property
    def flows(self) -> int:
        """With the meters, as the controller counts them."""
        return len(self._cookies) + len(self._meters)

    def run(self, host: str, port: int) -> None:
        """Connect, and again whenever that fails or ends, as OVS does."""
        while True:
            with suppress(OSError), socket.create_connection((host, port)) as self._socket:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._send(Kind.HELLO, 0)
                for message in messages(self._socket):
                    self._message(*message)
            self._bundles.clear()
            runtime.sleep(RETRY_SECONDS)

    def add_port(self, name: str) -> None:
        number = len(self.ports) + 1
        self.ports[number] = name
        if self._socket is not None:  # else all ports are told of on connecting
            self._send(Kind.PORT_STATUS, 0, _PORT_ADDED + self._port(number))

    def echo(self, interval: float) -> None:
        """Ask for an echo every ``interval`` seconds, until the connection ends."""
        with suppress(OSError):
            while True:
                self._send(Kind.ECHO_REQUEST, 0, struct.pack("!d", time.perf_counter()))
                runtime.sleep(interval)

    def _send(self, kind: int, xid: int, body: bytes = b"") -> None:
        self._socket.sendall(codec.message(kind, xid, body))

    def _message(self, kind: int, xid: int, body: memoryview) -> None:
        match kind:
            case codec.BUNDLE_ADD:
                (bundle,) = struct.unpack_from("!I", body)
                self._bundles[bundle].append(body[_BUNDLE_ADD_HEAD:])
            case codec.FLOW_MOD:
                self._flow_mod(body)
            case codec.METER_MOD:
                self._meter_mod(body)
            case codec.BUNDLE_CONTROL:
                bundle, request, flags = struct.unpack_from("!IHH", body)
                self._bundle(bundle, request)
                reply = struct.pack("!IHH", bundle, request + 1, flags)
                self._send(codec.BUNDLE_CONTROL, xid, reply)
            case codec.BARRIER_REQUEST:
                self._send(codec.BARRIER_REPLY, xid)
            case codec.MULTIPART_REQUEST:
                self._multipart(xid, struct.unpack_from("!H", body)[0], body[8:])
            case Kind.ECHO_REQUEST:
                self._send(Kind.ECHO_REPLY, xid, bytes(body))
            case Kind.ECHO_REPLY if body:
                self.echoes.append(time.perf_counter() - struct.unpack("!d", body)[0])
            case Kind.FEATURES_REQUEST:
                self._send(Kind.FEATURES_REPLY, xid, features(self.dpid))
            case Kind.ROLE_REQUEST:
                self._send(Kind.ROLE_REPLY, xid, bytes(body))

    def _bundle(self, bundle: int, request: int) -> None:
        if request == codec.BUNDLE_OPEN:
            self._bundles[bundle] = []
        elif request == codec.BUNDLE_DISCARD:
            del self._bundles[bundle]
        elif request == codec.BUNDLE_COMMIT:
            for flow_mod in self._bundles.pop(bundle):
                self._flow_mod(flow_mod)

    def _flow_mod(self, body: memoryview) -> None:
        self.flow_mods += 1
        cookie, _, table, command, _, _, priority, *_ = _FLOW_MOD.unpack_from(body)
        if command == _FLOW_MOD_DELETE:  # by cookie, as our reconciler does
            self._cookies.pop(self._flows.pop(cookie, b""), None)
            self._bodies.pop(cookie, None)
            return
        (length,) = struct.unpack_from("!H", body, _FLOW_MOD.size + 2)
        matches = body[_FLOW_MOD.size : _FLOW_MOD.size + length]
        flow = struct.pack("!BH", table, priority) + matches
        replaced = self._cookies.get(flow)
        if replaced is not None:
            del self._flows[replaced], self._bodies[replaced]
        self._cookies[flow], self._flows[cookie] = cookie, flow
        self._bodies[cookie] = bytes(body)

    def _meter_mod(self, body: memoryview) -> None:
        self.flow_mods += 1
        command, flags, number = _METER_MOD.unpack_from(body)
        if command == _METER_DELETE:
            self._meters.pop(number, None)
        else:
            bands = bytes(body[_METER_MOD.size :])
            self._meters[number] = _METER_MOD.pack(8 + len(bands), flags, number) + bands

    def _multipart(self, xid: int, kind: int, body: memoryview) -> None:
        if kind == Multipart.PORT_DESC:
            entries = [*map(self._port, self.ports)]
        elif kind == Multipart.FLOW:
            table, _, _, wanted, mask = _FLOW_STATS_REQUEST.unpack_from(body)
            entries = [
                self._flow_stats(body)
                for cookie, body in self._bodies.items()
                if body[16] == table and cookie & mask == wanted
            ]
        elif kind == Multipart.TABLE:
            counts = Counter(flow[0] for flow in self._flows.values())
            entries = [_TABLE_STATS.pack(table, count, 0, 0) for table, count in counts.items()]
        elif kind == Multipart.METER_CONFIG:
            entries = [*self._meters.values()]
        elif kind == Multipart.FLOW_MONITOR:
            entries = []  # and nothing ever after: nobody else changes flows here
        else:
            self._send(codec.ERROR, xid, _BAD_MULTIPART)
            return
        parts = [b""]
        for entry in entries:
            if len(parts[-1]) + len(entry) > _REPLY_OCTETS:
                parts.append(b"")
            parts[-1] += entry
        for number, part in enumerate(parts, start=1):
            head = struct.pack("!HH4x", kind, Multipart.MORE if number < len(parts) else 0)
            self._send(codec.MULTIPART_REPLY, xid, head + part)

    def _port(self, number: int) -> bytes:
        name = self.ports[number].encode()
        return _PORT.pack(number, _PORT.size, number.to_bytes(6, "big"), name, 0, 0)

    @staticmethod
    def _flow_stats(body: bytes) -> bytes:
        cookie, _, table, _, idle, hard, priority, *_, flags, more = _FLOW_MOD.unpack_from(body)
        told = body[_FLOW_MOD.size :]
        head = (_FLOW_STATS.size + len(told), table, 0, 0, priority, idle, hard, flags, more)
        return _FLOW_STATS.pack(*head, cookie, 0, 0) + told
