# SPDX-License-Identifier: Apache-2.0

"""What hosts and routers say of groups, and what they are asked: IGMP (RFC 1112, 2236, 3376)
and MLD (RFC 2710, RFC 3810), from bytes and to bytes.

Which sources of a group a host wants to hear it decides by itself: it gets them all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tenantry.controller.model import Address
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import ICMPV6
from tenantry.controller.packets.malformed import Malformed
from tenantry.controller.packets.neighbour_discovery import ALL_NODES, ALL_NODES_MAC
from tenantry.controller.packets.own_addresses import SERVICE_MAC

IGMP = 2
QUERIER = 0xFE80 << 112 | (1 << 64) - 1
"""Whom an MLD query is from. Of several that query, the lowest address wins (RFC 3810, 7.6.2): this
one never does. In IGMP it is 0.0.0.0, which is no candidate (RFC 4541, 2.1.1)."""

V1_REPORT, V2_REPORT, V3_REPORT, LEAVE, QUERY = 0x12, 0x16, 0x22, 0x17, 0x11
MLD_QUERY, MLD_REPORT, MLD_DONE, MLD2_REPORT = 130, 131, 132, 143
IS_INCLUDE, IS_EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK = range(1, 7)
"""Types of group records: RFC 3376, 4.2.12; RFC 3810, 5.2.12."""

ROBUSTNESS = 2
"""RFC 3376, 8.1; RFC 3810, 9.1: how often something is said, as it may be lost."""

_ALL_SYSTEMS_MAC, _ALL_SYSTEMS = 0x01005E000001, 0xE0000001  # RFC 1112, 4 and 6.4


class Wish(NamedTuple):
    """What a port says of a group: it wants it, or no longer. EVERY_GROUP is wanted by routers."""

    group: Address
    wanted: bool


def of_link(group: Address) -> bool:
    """Whether a group is of one link alone, or none at all. Everybody hears these, asked for or not
    (RFC 4541, 2.1.2 and 3)."""
    if group.version == 4:
        return group.address >> 28 != 0xE or group.address >> 8 == 0xE00000
    return group.address >> 120 != 0xFF or group.address >> 112 & 0xF <= 2


def wishes(data: bytes) -> Iterator[Wish]:
    """What a frame says of groups. Errors: Malformed."""
    packet = frames.unwrapped(frames.parse_ip(data))
    message = packet.payload
    if not packet.whole or len(message) < 8:
        raise Malformed
    kind, version = message[0], packet.version
    if packet.protocol == (IGMP if version == 4 else ICMPV6):
        if kind == (QUERY if version == 4 else MLD_QUERY):
            # Who asks with an address of its own is a router: RFC 4541, 2.1.1.
            return iter([Wish(Address(version, 0), True)] if packet.src else [])
        if kind == (V3_REPORT if version == 4 else MLD2_REPORT):
            return _records(version, message)
        if kind in ((V1_REPORT, V2_REPORT, LEAVE) if version == 4 else (MLD_REPORT, MLD_DONE)):
            at, size = (4, 4) if version == 4 else (8, 16)
            if len(message) >= at + size:
                group = Address(version, int.from_bytes(message[at : at + size], "big"))
                return _one(group, kind not in (LEAVE, MLD_DONE))
    raise Malformed


def _records(version: int, message: bytes) -> Iterator[Wish]:
    """Group records, which have the same shape in both."""
    size = 4 if version == 4 else 16
    count, at = int.from_bytes(message[6:8], "big"), 8
    for _ in range(count):
        if len(message) < at + 4 + size:
            raise Malformed
        kind, auxiliary, sources = struct.unpack_from("!BBH", message, at)
        group = Address(version, int.from_bytes(message[at + 4 : at + 4 + size], "big"))
        at += 4 + size * (1 + sources) + 4 * auxiliary
        if kind in (IS_EXCLUDE, TO_EXCLUDE) or (
            sources and kind in (IS_INCLUDE, TO_INCLUDE, ALLOW)
        ):
            yield from _one(group, True)
        elif kind in (IS_INCLUDE, TO_INCLUDE):
            yield from _one(group, False)


def _one(group: Address, wanted: bool) -> Iterator[Wish]:
    if not of_link(group):
        yield Wish(group, wanted)


def queries(seconds: int, interval: int) -> Iterator[bytes]:
    """General queries, to be answered within so many seconds, as they come every so many: IGMPv3
    (RFC 3376, 4.1) and MLDv2 (RFC 3810, 5.1), each behind a Router Alert."""
    message = struct.pack("!BBHIBBH", QUERY, seconds * 10, 0, 0, ROBUSTNESS, interval, 0)
    message = _summed(message, frames.checksum(message))
    head = struct.pack(
        "!BBHHHBBHII", 0x46, 0xC0, 24 + len(message), 0, 0, 1, IGMP, 0, 0, _ALL_SYSTEMS
    )
    head += b"\x94\x04\0\0"  # RFC 2113
    head = head[:10] + frames.checksum(head).to_bytes(2, "big") + head[12:]
    macs = _ALL_SYSTEMS_MAC.to_bytes(6, "big") + SERVICE_MAC.to_bytes(6, "big")
    yield macs + b"\x08\x00" + head + message

    message = struct.pack(
        "!BBHHH16xBBH", MLD_QUERY, 0, 0, seconds * 1000, 0, ROBUSTNESS, interval, 0
    )
    pseudo = frames.pseudo_header(6, QUERIER, ALL_NODES, ICMPV6, len(message))
    message = _summed(message, frames.checksum(pseudo + message))
    alert = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))  # hop-by-hop: RFC 2711, and padding
    ends = frames.Ends(SERVICE_MAC, ALL_NODES_MAC, 6, QUERIER, ALL_NODES)
    yield frames.ip(ends, 0, 1, alert + message)


def _summed(message: bytes, checksum: int) -> bytes:
    return message[:2] + checksum.to_bytes(2, "big") + message[4:]
