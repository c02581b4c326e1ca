"""Flows to OpenFlow 1.4 bytes, and the few messages that a reconciler needs, both ways.

Packed from integers (``shapes.py``): some twenty times os-ken's object path, whose serialiser it is
held against byte for byte in ``tests/property/test_codec.py``. Messages that are rare go through
os-ken's classes in ``channel.py``. Sections refer to the OpenFlow 1.4.0 specification.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple, TypeAlias

from controller.flow import Action, Flow, Item, Limit
from controller.pipeline import Table
from controller.switch import shapes

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
METER_MOD = 29
BUNDLE_CONTROL = 33
BUNDLE_ADD = 34

# Bundle control types (7.3.9.1). A request's reply is the request plus one.
BUNDLE_OPEN, BUNDLE_COMMIT, BUNDLE_DISCARD = 0, 4, 6
_ATOMIC_ORDERED = 0x3

_FLOW_STATS = 1  # OFPMP_FLOW
_REPLY_MORE = 1
_NO_BUFFER = _ANY = 0xFFFFFFFF
_ADD, _DELETE = 0, 3

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
    return message(SET_CONFIG, xid, struct.pack("!HH", _NX_MATCH, _ANY & 0xFFFF))


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
    cookie = _APP_IDS[app_id] + blake2b(rest, digest_size=7).digest()
    return int.from_bytes(cookie, "big"), cookie + rest


_FLOW_MOD_MATCH = _FLOW_MOD.size


def flow_identity(body: bytes) -> bytes:
    """What makes a flow-mod replace another: table, priority and match, from an encoded body."""
    match_length = int.from_bytes(body[_FLOW_MOD_MATCH + 2 : _FLOW_MOD_MATCH + 4], "big")
    return body[16:17] + body[22:24] + body[_FLOW_MOD_MATCH : _FLOW_MOD_MATCH + match_length]


def priority(body: bytes) -> bytes:
    """The priority in an encoded body, as two bytes, which compare as it does."""
    return body[22:24]


def table_id(body: bytes) -> int:
    """The table in an encoded body."""
    return body[16]


def delete_flow(cookie: int, table: int) -> bytes:
    """The flow-mod body that deletes the flows of a table that have exactly this cookie.

    OVS finds exact cookies by index; a masked cookie would scan every flow.
    """
    every = (1 << 64) - 1
    return _FLOW_MOD.pack(
        cookie, every, table, _DELETE, 0, 0, 0, _NO_BUFFER, _ANY, _ANY, 0, 0
    ) + shapes.encode_match({})


# --- meters and groups -----------------------------------------------------------------------

_METER, _GROUP = 1 << 96, 1 << 97
_METER_MOD = struct.Struct("!HHI")
_METER_BAND = struct.Struct("!HHII4x")
_PACKETS_PER_SECOND_WITH_BURST = 0x2 | 0x4  # OFPMF_PKTPS, OFPMF_BURST
_DROP_BAND = 1
_METER_DELETE = _GROUP_DELETE = 2
FIRST_VIRTUAL_METER = 0xFFFF0000  # OFPM_MAX is below: those above belong to OVS
_GROUP_MOD = struct.Struct("!HBxI")
_BUCKET = struct.Struct("!HHII4x")
_FAST_FAILOVER = 3


def encode(item: Item, app_id: int) -> Encoded:
    """A flow under its cookie; a meter or a group under a key of more bits than a cookie has, of
    which the higher say which one it is and the lower what it is like: so they are wanted,
    compared and counted as flows are."""
    if isinstance(item, Flow):
        return encode_flow(item, app_id)
    if isinstance(item, Limit):
        return meter_key(item), b""
    buckets = b"".join([_bucket(bucket.watch, bucket.actions) for bucket in item.buckets])
    return _group_key(item.group, _FAST_FAILOVER, buckets), buckets


def is_flow(key: int) -> bool:
    """Whether this is the cookie of a flow; else it is the key of a meter or a group."""
    return key < _METER


def slot(key: int) -> int:
    """Which meter or group it is: one at a time has the slot."""
    return key >> 64


def meter_key(limit: Limit) -> int:
    return _METER | limit.meter << 64 | limit.packets_per_second << 32 | limit.burst


def _group_key(group: int, kind: int, buckets: bytes) -> int:
    digest = blake2b(bytes([kind]) + buckets, digest_size=8).digest()
    return _GROUP | group << 64 | int.from_bytes(digest, "big")


def _bucket(watch: int, actions: tuple[Action, ...]) -> bytes:
    """A bucket of a fast failover group (7.3.4.2); its weight has no meaning."""
    applied = shapes.encode_actions(actions)
    return _BUCKET.pack(_BUCKET.size + len(applied), 0, watch, _ANY) + applied


def set_slot(xid: int, key: int, body: bytes, *, exists: bool) -> bytes:
    """The message that makes a meter (7.3.4.3) or a group (7.3.4.2), or changes one that exists."""
    if key >= _GROUP:
        head = _GROUP_MOD.pack(exists, _FAST_FAILOVER, slot(key) & 0xFFFFFFFF)
        return message(GROUP_MOD, xid, head + body)
    head = _METER_MOD.pack(exists, _PACKETS_PER_SECOND_WITH_BURST, slot(key) & 0xFFFFFFFF)
    rate, burst = key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF
    return message(METER_MOD, xid, head + _METER_BAND.pack(_DROP_BAND, 16, rate, burst))


def delete_slot(xid: int, key: int) -> bytes:
    """The message that removes a meter or a group, and with it the flows that use it."""
    if key >= _GROUP:
        head = _GROUP_MOD.pack(_GROUP_DELETE, _FAST_FAILOVER, slot(key) & 0xFFFFFFFF)
        return message(GROUP_MOD, xid, head)
    return message(METER_MOD, xid, _METER_MOD.pack(_METER_DELETE, 0, slot(key) & 0xFFFFFFFF))


_GROUP_DESC, _METER_CONFIG = 7, 10  # OFPMP_GROUP_DESC, OFPMP_METER_CONFIG


def meter_config_request(xid: int) -> bytes:
    """Ask for all meters (7.3.5.13)."""
    body = struct.pack("!HH4xI4x", _METER_CONFIG, 0, _ANY)
    return message(MULTIPART_REQUEST, xid, body)


def read_meter_config(data: bytes) -> tuple[list[int], bool]:
    """The keys of the meters in one reply, and whether more replies follow. A meter of a kind that
    is not ours has the key of no wanted one."""
    _, flags = _MULTIPART_HEAD.unpack_from(data, 8)
    keys = []
    offset = 16
    while offset + 8 <= len(data):
        length, kind, id = _METER_MOD.unpack_from(data, offset)
        rate = burst = 0
        ours = kind & 0xF == _PACKETS_PER_SECOND_WITH_BURST
        if ours and length == _METER_MOD.size + _METER_BAND.size:
            _, _, rate, burst = _METER_BAND.unpack_from(data, offset + 8)
        if id < FIRST_VIRTUAL_METER:
            keys.append(meter_key(Limit(id, rate, burst)))
        offset += max(length, 8)
    return keys, bool(flags & _REPLY_MORE)


def group_desc_request(xid: int) -> bytes:
    """Ask for all groups (7.3.5.10)."""
    return message(MULTIPART_REQUEST, xid, _MULTIPART_HEAD.pack(_GROUP_DESC, 0))


def read_group_desc(data: bytes) -> tuple[list[int], bool]:
    """The keys of the groups in one reply, and whether more replies follow. Open vSwitch says the
    buckets of ours back as they were written, byte by byte."""
    _, flags = _MULTIPART_HEAD.unpack_from(data, 8)
    keys = []
    offset = 16
    while offset + 8 <= len(data):
        length, kind, id = _GROUP_MOD.unpack_from(data, offset)
        keys.append(_group_key(id, kind, data[offset + 8 : offset + length]))
        offset += max(length, 8)
    return keys, bool(flags & _REPLY_MORE)


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
_MULTIPART_HEAD = struct.Struct("!HH4x")
_STATS_ENTRY = struct.Struct("!HBxIIHHHHH2xQQQ")


_TABLE_STATS = 3  # OFPMP_TABLE
_TABLE_STATS_ENTRY = struct.Struct("!B3xIQQ")


def table_stats_request(xid: int) -> bytes:
    """Ask how many flows each table holds (7.3.5.4)."""
    return message(MULTIPART_REQUEST, xid, _MULTIPART_HEAD.pack(_TABLE_STATS, 0))


def read_table_stats(data: bytes) -> tuple[dict[int, int], bool]:
    """The number of flows by table id, and whether more replies follow."""
    _, flags = _MULTIPART_HEAD.unpack_from(data, 8)
    counts = {table: count for table, count, *_ in _TABLE_STATS_ENTRY.iter_unpack(data[16:])}
    return counts, bool(flags & _REPLY_MORE)


def flow_stats_request(xid: int, table: int, cookie: int, cookie_mask: int) -> bytes:
    """Ask for the flows of a table whose cookies have these bits under the mask (7.3.5.2)."""
    body = _FLOW_STATS_REQUEST.pack(_FLOW_STATS, 0, table, _ANY, _ANY, cookie, cookie_mask)
    return message(MULTIPART_REQUEST, xid, body + shapes.encode_match({}))


class FlowStats(NamedTuple):
    """What a switch says of one flow it holds. The match is not read: it does not round-trip."""

    table_id: int
    priority: int
    cookie: int
    packets: int
    bytes: int


def read_flow_stats(data: bytes) -> tuple[list[FlowStats], bool]:
    """The flows in one flow-stats reply (with its header), and whether more replies follow."""
    _, flags = _MULTIPART_HEAD.unpack_from(data, 8)
    return list(_entries(data)), bool(flags & _REPLY_MORE)


def _entries(data: bytes) -> Iterator[FlowStats]:
    offset, end = 16, len(data)
    while offset < end:
        entry = _STATS_ENTRY.unpack_from(data, offset)
        length, table_id, _, _, priority, _, _, _, _, cookie, packets, octets = entry
        yield FlowStats(table_id, priority, cookie, packets, octets)
        if length < _STATS_ENTRY.size:
            raise ValueError(f"flow stats entry of {length} bytes")
        offset += length


_FLOW_MONITOR = 16  # OFPMP_FLOW_MONITOR
_MONITOR = struct.Struct("!IIIHBB")
_ADDED, _REMOVED, _MODIFIED = 1, 2, 3
_MONITOR_FLAGS = 1 << _ADDED | 1 << _REMOVED | 1 << _MODIFIED


def flow_monitor_request(xid: int) -> bytes:
    """Ask to be told when somebody else changes flows (7.3.5.18), of every table but those that
    the switch fills by itself. Changes of our own come abbreviated."""
    watched = [table.id for table in Table if not table.learned]
    monitors = b"".join(
        _MONITOR.pack(number, _ANY, _ANY, _MONITOR_FLAGS, table, 0) + shapes.encode_match({})
        for number, table in enumerate(watched, start=1)
    )
    return message(MULTIPART_REQUEST, xid, _MULTIPART_HEAD.pack(_FLOW_MONITOR, 0) + monitors)


def is_flow_monitor_reply(data: bytes) -> bool:
    """Whether a multipart reply tells of flows that changed."""
    kind, _ = _MULTIPART_HEAD.unpack_from(data, 8)
    return bool(kind == _FLOW_MONITOR)


_LENGTH_EVENT = struct.Struct("!HH")
_FLOW_UPDATE = struct.Struct("!HH12xQ")


class ForeignChange(NamedTuple):
    """Somebody else added, removed or modified a flow. A modified one keeps its cookie."""

    modified: bool
    cookie: int


def read_flow_updates(data: bytes) -> list[ForeignChange]:
    """What a flow monitor tells of changes that were not ours (7.3.5.18.2)."""
    found = []
    offset, end = 16, len(data)
    while offset + 4 <= end:
        length, event = _LENGTH_EVENT.unpack_from(data, offset)
        if event in (_ADDED, _REMOVED, _MODIFIED):
            _, _, cookie = _FLOW_UPDATE.unpack_from(data, offset)
            found.append(ForeignChange(event == _MODIFIED, cookie))
        offset += max(length, 8)
    return found


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


LEARNED_TABLES = frozenset(table.id for table in Table if table.learned)
