# SPDX-License-Identifier: Apache-2.0

"""Flows to OpenFlow 1.4 bytes, and the few messages that a reconciler needs, both ways.

Packed from integers (``shapes.py``): some twenty times os-ken's object path, whose serialiser it is
held against byte for byte in ``tests/property/test_codec.py``. Messages that are rare go through
os-ken's classes in ``channel.py``. Sections refer to the OpenFlow 1.4.0 specification.

A flow's cookie is a hash of all the rest of it, and flows are written as Open vSwitch tells them
(``shapes.py``). So a dump proves itself: the hash of what a switch tells must be what the cookie
says. A flow that somebody modified in place has the cookie of another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from tenantry.controller.openflow import shapes
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.nicira import LEARNED_PRIORITY
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import Path, Table

VERSION = 0x05  # OpenFlow 1.4

# Message types (7.1.1).
HELLO = 0
ERROR = 1
ECHO_REQUEST, ECHO_REPLY = 2, 3
FEATURES_REPLY = 6
SET_CONFIG = 9
PACKET_IN = 10
PACKET_OUT = 13
FLOW_MOD = 14
GROUP_MOD = 15
MULTIPART_REQUEST = 18
MULTIPART_REPLY = 19
BARRIER_REQUEST = 20
BARRIER_REPLY = 21
SET_ASYNC = 28
METER_MOD = 29
REQUESTFORWARD = 32
BUNDLE_CONTROL = 33
BUNDLE_ADD = 34

# Bundle control types (7.3.9.1). A request's reply is the request plus one.
BUNDLE_OPEN, BUNDLE_COMMIT, BUNDLE_DISCARD = 0, 4, 6
_ATOMIC_ORDERED = 0x3

_FLOW_STATS = 1  # OFPMP_FLOW
REPLY_MORE = 1
_NO_BUFFER = ANY = 0xFFFFFFFF  # all ports, groups and meters (OFPPANY, OFPGANY, OFPM_ALL)
_ADD, _DELETE, _DELETE_STRICT = 0, 3, 4
ONE_FLOW = (1 << 64) - 1
"""The mask of a cookie that is meant exactly: Open vSwitch has an index of them, and looks at no
other flow."""

_HEADER = struct.Struct("!BBHI")


def message(kind: int, xid: int, body: bytes = b"") -> bytes:
    """Any OpenFlow 1.4 message: header and body (7.1.1)."""
    return _HEADER.pack(VERSION, kind, 8 + len(body), xid) + body


class Header(NamedTuple):
    version: int
    kind: int
    length: int
    xid: int


_NX_MATCH = 3  # OFPC_FRAG_NX_MATCH, of Open vSwitch


def see_fragments(xid: int) -> bytes:
    """Flows see the ports of a packet's first fragment (OFPT_SET_CONFIG, 7.3.2; ovs-ofctl(8),
    "set-frags"): without this no fragment has any."""
    return message(SET_CONFIG, xid, struct.pack("!HH", _NX_MATCH, ANY & 0xFFFF))


def read_header(data: bytes | bytearray | memoryview, offset: int = 0) -> Header:
    return Header._make(_HEADER.unpack_from(data, offset))


# --- flow-mods -------------------------------------------------------------------------------

_FLOW_MOD = struct.Struct("!QQBBHHHIIIHH")

Encoded: TypeAlias = tuple[int, bytes]
"""A flow ready to be sent: its cookie, and the body of its flow-mod (without the header)."""

_APP_IDS = tuple(bytes([number]) for number in range(256))


def encode_flow(flow: Flow, app_id: int) -> Encoded:
    """The flow-mod that adds ``flow`` (7.3.4.1), under a cookie made of all the rest of it."""
    rest = shapes.encode_flow(flow)
    cookie = _APP_IDS[app_id] + _digest(rest)
    return int.from_bytes(cookie, "big"), cookie + rest


def _digest(rest: bytes) -> bytes:
    """What a cookie has behind the app's id, for a flow-mod from behind its cookie on."""
    return blake2b(rest, digest_size=7).digest()


MATCH_AT = _FLOW_MOD.size
"""Where the match begins in an encoded body."""


def flow_identity(body: bytes) -> bytes:
    """What makes a flow-mod replace another: table, priority and match, from an encoded body."""
    return body[16:17] + body[22:24] + _match(body)


def _match(body: bytes) -> bytes:
    """The match of an encoded body, as it is padded."""
    length = int.from_bytes(body[MATCH_AT + 2 : MATCH_AT + 4], "big")
    return body[MATCH_AT : MATCH_AT + (length + 7 & ~7)]


def cookie(body: bytes) -> int:
    """The cookie in an encoded body."""
    return int.from_bytes(body[:8], "big")


def priority(body: bytes) -> bytes:
    """The priority in an encoded body, as two bytes, which compare as it does."""
    return body[22:24]


def adds(body: bytes) -> bool:
    """Whether an encoded body adds a flow; else it deletes some."""
    return body[17] == _ADD


def table_id(body: bytes) -> int:
    """The table in an encoded body."""
    return body[16]


def delete_flow(cookie: int, table: int) -> bytes:
    """The flow-mod body that deletes the flows of a table that have exactly this cookie.

    OVS finds exact cookies by index; a masked cookie would scan every flow.
    """
    return _FLOW_MOD.pack(
        cookie, ONE_FLOW, table, _DELETE, 0, 0, 0, _NO_BUFFER, ANY, ANY, 0, 0
    ) + shapes.encode_match({})


def delete_exactly(body: bytes) -> bytes:
    """The flow-mod body that deletes the one flow that this body would add, if it bears the same
    cookie."""
    cookie, _, table, _, _, _, priority, *_ = _FLOW_MOD.unpack_from(body)
    head = (cookie, ONE_FLOW, table, _DELETE_STRICT, 0, 0, priority, _NO_BUFFER, ANY, ANY, 0, 0)
    return _FLOW_MOD.pack(*head) + _match(body)


# --- bundles ---------------------------------------------------------------------------------

_BUNDLE_CONTROL = struct.Struct("!IHH")
_BUNDLE_ADD = struct.Struct("!BBHIIHH")


def bundle_control(xid: int, bundle: int, kind: int) -> bytes:
    """Open, commit or discard a bundle (7.3.9.2)."""
    return message(BUNDLE_CONTROL, xid, _BUNDLE_CONTROL.pack(bundle, kind, _ATOMIC_ORDERED))


def bundle_flow_mods(xid: int, bundle: int, bodies: Iterable[bytes]) -> bytes:
    """Flow-mods put into a bundle (7.3.9.6), the first with this xid, the others with those that
    follow. An inner xid must equal the outer one."""
    pack = _BUNDLE_ADD.pack
    return b"".join(
        [
            pack(VERSION, BUNDLE_ADD, 24 + len(body), number, bundle, 0, _ATOMIC_ORDERED)
            + _HEADER.pack(VERSION, FLOW_MOD, 8 + len(body), number)
            + body
            for number, body in enumerate(bodies, start=xid)
        ]
    )


# --- reading ---------------------------------------------------------------------------------

_FLOW_STATS_REQUEST = struct.Struct("!HH4xB3xII4xQQ")
MULTIPART_HEAD = struct.Struct("!HH4x")
_STATS_ENTRY = struct.Struct("!HBxIIHHHHH2xQQQ")
_FLOW_MOD_REST = struct.Struct("!QBBHHHIIIHH")


_NO_MATCH: Mapping[str, Value] = MappingProxyType({})
_TABLE_STATS = 3  # OFPMP_TABLE
_TABLE_STATS_ENTRY = struct.Struct("!B3xIQQ")


def table_stats_request(xid: int) -> bytes:
    """Ask how many flows each table holds (7.3.5.4)."""
    return message(MULTIPART_REQUEST, xid, MULTIPART_HEAD.pack(_TABLE_STATS, 0))


def read_table_stats(data: bytes) -> tuple[dict[int, int], bool]:
    """The number of flows by table id, and whether more replies follow."""
    _, flags = MULTIPART_HEAD.unpack_from(data, 8)
    counts = {table: count for table, count, *_ in _TABLE_STATS_ENTRY.iter_unpack(data[16:])}
    return counts, bool(flags & REPLY_MORE)


def flow_stats_request(
    xid: int, table: int, cookie: int, cookie_mask: int, match: Mapping[str, Value] = _NO_MATCH
) -> bytes:
    """Ask for the flows of a table whose cookies have these bits under the mask, and that match
    this and perhaps more (7.3.5.2)."""
    body = _FLOW_STATS_REQUEST.pack(_FLOW_STATS, 0, table, ANY, ANY, cookie, cookie_mask)
    return message(MULTIPART_REQUEST, xid, body + shapes.encode_match(match))


class FlowStats(NamedTuple):
    """What a switch says of one flow it holds."""

    table_id: int
    priority: int
    cookie: int
    body: bytes
    """Of a flow that is not what its cookie says: the flow-mod that would add it. Else empty."""
    packets: int
    bytes: int
    seconds: float = 0.0
    """Since it was added, or what it does was changed; what it has counted goes on over that."""


def read_flow_stats(data: bytes) -> tuple[list[FlowStats], bool]:
    """The flows in one flow-stats reply (with its header), and whether more replies follow."""
    _, flags = MULTIPART_HEAD.unpack_from(data, 8)
    return list(_entries(data)), bool(flags & REPLY_MORE)


def _entries(data: bytes) -> Iterator[FlowStats]:
    offset, end = 16, len(data)
    pack = _FLOW_MOD_REST.pack
    while offset < end:
        entry = _STATS_ENTRY.unpack_from(data, offset)
        length, table, sec, nsec, priority, idle, hard, flags, importance, *rest_of_entry = entry
        number, packets, octets = rest_of_entry
        if length < _STATS_ENTRY.size:
            raise ValueError(f"flow stats entry of {length} bytes")
        told = data[offset + _STATS_ENTRY.size : offset + length]
        others = (idle, hard, priority, _NO_BUFFER, ANY, ANY, flags, importance)
        rest = pack(0, table, _ADD, *others) + told
        cookie = number.to_bytes(8, "big")
        body = b"" if _digest(rest) == cookie[1:] else cookie + rest
        yield FlowStats(table, priority, number, body, packets, octets, sec + nsec / 1e9)
        offset += length


_LOAD = bytes.fromhex("ffff 0018 00002320 0007")  # NXAST_REG_LOAD, which is what learn writes
_APPLY_HEAD = 8


def is_learned(body: bytes) -> bool:
    """Whether a flow of a table that the switch fills by itself can be one that it has learned for
    us: by its cookie, by its timeouts, and by what it does, which is to write fields, among them
    the key of the port that is in its cookie."""
    if not body:  # one that we have written
        return False
    cookie, _, _, _, idle, hard, priority, *_ = _FLOW_MOD.unpack_from(body)
    actions = body[_FLOW_MOD.size + len(_match(body)) + _APPLY_HEAD :]
    loads = [actions[start : start + 24] for start in range(0, len(actions), 24)]
    key = body[4:8]
    return (
        Cookie.app_id(cookie) == Cookie.LEARNED_APP
        and (idle > 0, hard, priority) == (True, 0, LEARNED_PRIORITY)
        and bool(loads)
        and all(load.startswith(_LOAD) for load in loads)
        and (not any(key) or any(load.endswith(key) for load in loads))
    )


_FLOW_MONITOR = 16  # OFPMP_FLOW_MONITOR
_EVERY_TABLE = 0xFF  # OFPTT_ALL
_MONITOR = struct.Struct("!IIIHBB")
_ADDED, _REMOVED, _MODIFIED = 1, 2, 3
_MONITOR_FLAGS = 1 << _ADDED | 1 << _REMOVED | 1 << _MODIFIED


def flow_monitor_request(xid: int) -> bytes:
    """Ask to be told when somebody else changes flows (7.3.5.18). Changes of our own come
    abbreviated."""
    monitor = _MONITOR.pack(1, ANY, ANY, _MONITOR_FLAGS, _EVERY_TABLE, 0) + shapes.encode_match({})
    return message(MULTIPART_REQUEST, xid, MULTIPART_HEAD.pack(_FLOW_MONITOR, 0) + monitor)


def is_flow_monitor_reply(data: bytes) -> bool:
    """Whether a multipart reply tells of flows that changed."""
    kind, _ = MULTIPART_HEAD.unpack_from(data, 8)
    return bool(kind == _FLOW_MONITOR)


_LENGTH_EVENT = struct.Struct("!HH")
_FLOW_UPDATE = struct.Struct("!HHB11xQ")


def read_flow_updates(data: bytes) -> set[int]:
    """The tables in which a flow monitor tells of changes that were not ours (7.3.5.18.2), nor what
    a switch has learned."""
    found = set()
    offset, end = 16, len(data)
    while offset + 4 <= end:
        length, event = _LENGTH_EVENT.unpack_from(data, offset)
        if event in (_ADDED, _REMOVED, _MODIFIED):
            _, _, table, cookie = _FLOW_UPDATE.unpack_from(data, offset)
            if table not in LEARNED_TABLES or Cookie.app_id(cookie) != Cookie.LEARNED_APP:
                found.add(table)
        offset += max(length, 8)
    return found


_GROUPS_AND_METERS = 1 << 0 | 1 << 1  # OFPRFR_GROUP_MOD, OFPRFR_METER_MOD
_REQUESTFORWARD_MASTER = 11


def requestforward_request(xid: int) -> bytes:
    """Ask to be told of what others do to groups and meters (7.3.10): OFPT_REQUESTFORWARD. All else
    that a switch tells stays as it is."""
    mask = struct.pack("!HHI", _REQUESTFORWARD_MASTER, 8, _GROUPS_AND_METERS)
    return message(SET_ASYNC, xid, mask)


class SwitchError(NamedTuple):
    """An error message of the switch (7.5.4): which request of ours it refused, and why."""

    xid: int
    type: int
    code: int


def read_error(data: bytes) -> SwitchError:
    """The error's own xid is that of the message it is about."""
    _, _, _, xid, kind, code = struct.unpack_from("!BBHIHH", data)
    return SwitchError(xid, kind, code)


_ERROR_TYPES = {
    1: "bad request",
    2: "bad action",
    3: "bad instruction",
    4: "bad match",
    5: "flow-mod failed",
    6: "group-mod failed",
    12: "meter-mod failed",
    17: "bundle failed",
}


def error_text(error: SwitchError) -> str:
    """The switch's error for people: the type by name, the code as in OpenFlow 1.4, 7.5.4."""
    return f"{_ERROR_TYPES.get(error.type, 'error')} (type {error.type}, code {error.code})"


LEARNED_TABLES = frozenset(table.id for table in Table if table.path is Path.LEARNED)
