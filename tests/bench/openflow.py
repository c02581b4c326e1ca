# SPDX-License-Identifier: Apache-2.0

"""The framing of OpenFlow 1.4 for the ends of this bench: fake switches and plain controllers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import NamedTuple

from tenantry.controller.openflow import codec


class Kind:
    """Message types (7.1.1) that the controller's own codec has no use for."""

    HELLO, ECHO_REQUEST, ECHO_REPLY = 0, 2, 3
    FEATURES_REQUEST, FEATURES_REPLY, PORT_STATUS = 5, 6, 12
    ROLE_REQUEST, ROLE_REPLY = 24, 25


class Multipart:
    """Multipart types (7.3.5), and the flag that says that more follows."""

    FLOW, TABLE, METER_CONFIG, PORT_DESC, FLOW_MONITOR = 1, 3, 10, 13, 16
    MORE = 1


class Message(NamedTuple):
    kind: int
    xid: int
    body: memoryview


def messages(connection: socket.socket) -> Iterator[Message]:
    """What the other end sends, until it hangs up."""
    buffer = b""
    while received := connection.recv(1 << 18):
        buffer += received
        data, offset = memoryview(buffer), 0
        while len(data) - offset >= 8:
            header = codec.read_header(data[offset:])
            if len(data) - offset < header.length:
                break
            body = data[offset + 8 : offset + header.length]
            yield Message(header.kind, header.xid, body)
            offset += header.length
        buffer = buffer[offset:]


def features(dpid: int) -> bytes:
    """The body of a features reply (7.3.1): 254 tables, no buffers."""
    return dpid.to_bytes(8, "big") + bytes(4) + bytes([254]) + bytes(11)
