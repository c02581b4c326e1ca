# SPDX-License-Identifier: Apache-2.0

"""OpenFlow over a bridge's own socket, as bytes: what a switch makes of ours, and what it tells."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tenantry.controller.openflow import codec
from tests.openvswitch import OpenVSwitch

Some = TypeVar("Some")

HELLO, ECHO_REQUEST, ECHO_REPLY = 0, 2, 3
TIMEOUT_SECONDS = 20


class Wire:
    """A connection; use :func:`wire` to make one."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._buffer = b""
        self.send(codec.message(HELLO, 1))
        assert self.receive()[1] == HELLO

    def send(self, data: bytes) -> None:
        self._client.sendall(data)

    def receive(self) -> bytes:
        """The next message that is not about the connection itself."""
        while True:
            length = int.from_bytes(self._buffer[2:4], "big")
            if len(self._buffer) < max(8, length):
                received = self._client.recv(1 << 16)
                assert received, "the switch hung up"
                self._buffer += received
                continue
            data, self._buffer = self._buffer[:length], self._buffer[length:]
            header = codec.read_header(data)
            if header.kind != ECHO_REQUEST:
                return data
            self.send(codec.message(ECHO_REPLY, header.xid, data[8:]))

    def write(self, bodies: Iterable[bytes]) -> list[codec.SwitchError]:
        """Flow-mods; what the switch refuses, each by its place in the list."""
        for number, body in enumerate(bodies):
            self.send(codec.message(codec.FLOW_MOD, number, body))
        self.send(codec.message(codec.BARRIER_REQUEST, 0))
        errors = []
        while codec.read_header(data := self.receive()).kind != codec.BARRIER_REPLY:
            errors.append(codec.read_error(data))
        return errors

    def flows(self) -> list[codec.FlowStats]:
        """All that the switch holds."""
        everything = codec.flow_stats_request(1, table=0xFF, cookie=0, cookie_mask=0)
        return self.ask(everything, codec.read_flow_stats)

    def ask(self, request: bytes, read: Callable[[bytes], tuple[list[Some], bool]]) -> list[Some]:
        """What the replies to a multipart request say."""
        self.send(request)
        found, more = [], True
        while more:
            some, more = read(self.receive())
            found += some
        return found


@contextmanager
def wire(ovs: OpenVSwitch, bridge: str) -> Iterator[Wire]:
    """A connection to a bridge, with which it is nobody's but ours."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_SECONDS)
        client.connect(str(ovs.directory / f"{bridge}.mgmt"))
        yield Wire(client)
