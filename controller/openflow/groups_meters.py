# SPDX-License-Identifier: Apache-2.0

"""Meters and groups, of which a switch has one in each slot.

They are wanted, compared and counted as flows are, under a key of more bits than a cookie has: the
higher say which slot, the lower what is in it, all that a meter is or a hash of a group's buckets.
Of a meter that is the lowest bit of its unit, then rate and burst, 32 bits each.
A bucket is told back as it was written, byte by byte. Sections refer to the OpenFlow 1.4.0
specification.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from typing import NamedTuple

from tenantry.controller.openflow import shapes
from tenantry.controller.openflow.codec import (
    ANY,
    GROUP_MOD,
    METER_MOD,
    MULTIPART_HEAD,
    MULTIPART_REQUEST,
    REPLY_MORE,
    Encoded,
    encode_flow,
    message,
)
from tenantry.controller.openflow.flow import Action, Flow, Item, Limit, Of

_SLOT_BITS = 65  # below the slot
_METER, _GROUP = 1 << 32 + _SLOT_BITS, 1 << 33 + _SLOT_BITS
_METER_MOD = struct.Struct("!HHI")
_METER_BAND = struct.Struct("!HHII4x")
_BURST = 0x4  # OFPMF_BURST
_UNITS = {Of.KILOBITS: 0x1, Of.PACKETS: 0x2}  # OFPMF_KBPS, OFPMF_PKTPS
_UNIT_OF = {flag: unit for unit, flag in _UNITS.items()}
_DROP_BAND = 1
_METER_DELETE = _GROUP_DELETE = 2
_GROUP_MOD = struct.Struct("!HBxI")
_BUCKET = struct.Struct("!HHII4x")
_FAST_FAILOVER = 3


def encode(item: Item, app_id: int) -> Encoded:
    """A flow under its cookie; a meter or a group under its key."""
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
    return key >> _SLOT_BITS


_VIRTUAL = {0xFFFFFFFD: "slowpath", 0xFFFFFFFE: "controller"}  # 7.3.4.3: OFPM_CONTROLLER ...


def meter_id(key: int) -> int | None:
    """Which meter it is; None if it is a group, or a flow."""
    return slot(key) & 0xFFFFFFFF if _METER <= key < _GROUP else None


def slot_text(key: int) -> str:
    """The same for people: ``meter 12``, ``group 3``, ``meter controller``."""
    number = slot(key) & 0xFFFFFFFF
    return f"group {number}" if key >= _GROUP else f"meter {_VIRTUAL.get(number, number)}"


def meter_key(limit: Limit) -> int:
    unit = limit.of is Of.KILOBITS
    return _METER | limit.meter << _SLOT_BITS | unit << 64 | limit.rate << 32 | limit.burst


def limit_of(key: int) -> Limit:
    """The meter that has this key."""
    unit = Of.KILOBITS if key >> 64 & 1 else Of.PACKETS
    return Limit(slot(key) & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF, key & 0xFFFFFFFF, unit)


def _group_key(group: int, kind: int, buckets: bytes) -> int:
    digest = blake2b(bytes([kind]) + buckets, digest_size=8).digest()
    return _GROUP | group << _SLOT_BITS | int.from_bytes(digest, "big")


def _bucket(watch: int, actions: tuple[Action, ...]) -> bytes:
    """A bucket of a fast failover group (7.3.4.2); its weight has no meaning."""
    applied = shapes.encode_actions(actions)
    return _BUCKET.pack(_BUCKET.size + len(applied), 0, watch, ANY) + applied


def set_slot(xid: int, key: int, body: bytes, *, exists: bool) -> bytes:
    """The message that makes a meter (7.3.4.3) or a group (7.3.4.2), or changes one that exists."""
    if key >= _GROUP:
        head = _GROUP_MOD.pack(exists, _FAST_FAILOVER, slot(key) & 0xFFFFFFFF)
        return message(GROUP_MOD, xid, head + body)
    meter, rate, burst, unit = limit_of(key)
    head = _METER_MOD.pack(exists, _UNITS[unit] | _BURST, meter)
    return message(METER_MOD, xid, head + _METER_BAND.pack(_DROP_BAND, 16, rate, burst))


def delete_slot(xid: int, key: int) -> bytes:
    """The message that removes a meter or a group, and with it the flows that use it."""
    if key >= _GROUP:
        head = _GROUP_MOD.pack(_GROUP_DELETE, _FAST_FAILOVER, slot(key) & 0xFFFFFFFF)
        return message(GROUP_MOD, xid, head)
    return message(METER_MOD, xid, _METER_MOD.pack(_METER_DELETE, 0, slot(key) & 0xFFFFFFFF))


_GROUP_DESC, _METER_STATS, _METER_CONFIG = 7, 9, 10  # OFPMP_GROUP_DESC, OFPMP_METER ...


def meter_config_request(xid: int) -> bytes:
    """Ask for all meters (7.3.5.13)."""
    body = struct.pack("!HH4xI4x", _METER_CONFIG, 0, ANY)
    return message(MULTIPART_REQUEST, xid, body)


def read_meter_config(data: bytes) -> tuple[list[int], bool]:
    """The keys of the meters in one reply, and whether more replies follow. A meter of a kind that
    is not ours has the key of no wanted one; that of the controller (OFPM_CONTROLLER), too."""
    _, flags = MULTIPART_HEAD.unpack_from(data, 8)
    keys = []
    offset = 16
    while offset + 8 <= len(data):
        length, kind, id = _METER_MOD.unpack_from(data, offset)
        rate = burst = 0
        unit = _UNIT_OF.get(kind & 0xF ^ _BURST)
        if unit and length == _METER_MOD.size + _METER_BAND.size:
            band, _, rate, burst = _METER_BAND.unpack_from(data, offset + 8)
            rate = rate if band == _DROP_BAND else 0
        keys.append(meter_key(Limit(id, rate, burst, unit or Of.PACKETS)))
        offset += max(length, 8)
    return keys, bool(flags & REPLY_MORE)


_METER_STATS_ENTRY = struct.Struct("!IH6xIQQII")
_BAND_STATS = struct.Struct("!QQ")


class MeterStats(NamedTuple):
    """What went into a meter, and what of it was dropped."""

    packets: int
    octets: int
    dropped_packets: int
    dropped_octets: int
    seconds: float
    """Since it was made. What it has counted begins anew when its rate changes, though."""


def meter_stats_request(xid: int, meter: int) -> bytes:
    """Ask what one meter has counted (7.3.5.12)."""
    return message(MULTIPART_REQUEST, xid, struct.pack("!HH4xI4x", _METER_STATS, 0, meter))


def read_meter_stats(data: bytes) -> MeterStats | None:
    """The first meter in a reply; None if there is none."""
    if len(data) < 16 + _METER_STATS_ENTRY.size:
        return None
    _, length, _, packets, octets, sec, nsec = _METER_STATS_ENTRY.unpack_from(data, 16)
    bands = data[16 + _METER_STATS_ENTRY.size : 16 + length]
    over = [*_BAND_STATS.iter_unpack(bands)]
    dropped = sum(band[0] for band in over), sum(band[1] for band in over)
    return MeterStats(packets, octets, *dropped, sec + nsec / 1e9)


def group_desc_request(xid: int) -> bytes:
    """Ask for all groups (7.3.5.10)."""
    return message(MULTIPART_REQUEST, xid, MULTIPART_HEAD.pack(_GROUP_DESC, 0))


def read_group_desc(data: bytes) -> tuple[list[int], bool]:
    """The keys of the groups in one reply, and whether more replies follow."""
    _, flags = MULTIPART_HEAD.unpack_from(data, 8)
    keys = []
    offset = 16
    while offset + 8 <= len(data):
        length, kind, id = _GROUP_MOD.unpack_from(data, offset)
        keys.append(_group_key(id, kind, data[offset + 8 : offset + length]))
        offset += max(length, 8)
    return keys, bool(flags & REPLY_MORE)
