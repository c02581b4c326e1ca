# SPDX-License-Identifier: Apache-2.0

"""Nicira's actions that have no fixed length, or are too rare for a packer of ``shapes.py``: see
ovs-actions(7), and Open vSwitch's ``lib/ofp-actions.c`` for the bytes."""

from __future__ import annotations

import struct

from tenantry.controller.openflow.fields import nicira_header, oxm_header
from tenantry.controller.openflow.flow import CheckLarger, Ct, Learn, Multipath, Nat
from tenantry.controller.openflow.oxm import OXM, Leading

NICIRA = 0x00002320
"""The vendor's number, in the head of each action."""

LEARNED_PRIORITY = 100
_LEARN = struct.Struct("!HHIHHHHQHBxHHIH2x")
_LEARN_DELETE_LEARNED = 2


def learn(action: Learn) -> bytes:
    """NXAST_LEARN2 and its flow_mod_spec list."""
    specs = b"".join(
        _learn_spec(field, source, kind)
        for kind, pairs in ((_MATCH, action.match), (_LOAD, action.load))
        for field, source in pairs
    )
    length = (_LEARN.size + len(specs) + 7) & ~7
    head = _LEARN.pack(
        *(0xFFFF, length, NICIRA, 45, action.idle_timeout, 0, LEARNED_PRIORITY, action.cookie),
        *(_LEARN_DELETE_LEARNED, action.table.id, 0, 0, action.limit, 0),
    )
    return (head + specs).ljust(length, b"\0")


_MATCH, _LOAD, _IMMEDIATE = 0 << 11, 1 << 11, 1 << 13


def _learn_spec(field: str, source: str | int, kind: int) -> bytes:
    """A field's value from a constant or from another field: all of its bits."""
    size = OXM[field].bytes
    bits = size * 8
    destination = nicira_header(field).to_bytes(4, "big") + b"\0\0"
    if isinstance(source, int):
        value = source.to_bytes(size + size % 2, "big")  # it fills whole 16 bits
        return (_IMMEDIATE | kind | bits).to_bytes(2, "big") + value + destination
    if isinstance(source, Leading):
        start = (bits - source.bits).to_bytes(2, "big")
        of_it = nicira_header(field).to_bytes(4, "big") + start
        return (kind | source.bits).to_bytes(2, "big") + of_it + of_it
    whole = nicira_header(source).to_bytes(4, "big") + b"\0\0"
    return (kind | bits).to_bytes(2, "big") + whole + destination


_CT = struct.Struct("!HHIHHIHB3xH")
_CT_COMMIT, _CT_NO_TABLE = 1, 0xFF


def ct(action: Ct, mark: bytes) -> bytes:
    """NXAST_CT with NXAST_NAT in it, and ``mark``, the action that sets ct_mark (or nothing)."""
    inner = (b"" if action.nat is None else _nat(action.nat)) + mark
    flags = _CT_COMMIT if action.commit else 0
    # A zone is a constant, or the bits of a field: their first one, and how many less one.
    zone = (0, action.zone) if isinstance(action.zone, int) else (oxm_header(action.zone), 16 - 1)
    table = _CT_NO_TABLE if action.table is None else action.table.id
    head = (0xFFFF, _CT.size + len(inner), NICIRA, 35, flags, *zone)
    return _CT.pack(*head, table, action.alg) + inner


_NAT = struct.Struct("!HHIH2xHH")
_NAT_KINDS = {"": 0, "src": 1, "dst": 2}
_NAT_IPV4, _NAT_IPV6, _NAT_FIRST_PORT, _NAT_LAST_PORT = 1, 4, 16, 32


def _nat(nat: Nat) -> bytes:
    present, ranges = 0, b""
    if nat.kind:
        four = nat.version == 4
        present = _NAT_IPV4 if four else _NAT_IPV6
        ranges = nat.address.to_bytes(4 if four else 16, "big")
        if nat.first_port:
            present |= _NAT_FIRST_PORT
            ranges += nat.first_port.to_bytes(2, "big")
            if nat.last_port > nat.first_port:
                present |= _NAT_LAST_PORT
                ranges += nat.last_port.to_bytes(2, "big")
    length = (_NAT.size + len(ranges) + 7) & ~7
    head = _NAT.pack(0xFFFF, length, NICIRA, 36, _NAT_KINDS[nat.kind], present)
    return (head + ranges).ljust(length, b"\0")


_MULTIPATH = struct.Struct("!HHIHHH2xHHI2xHI")
_SYMMETRIC_L3L4_UDP, _SYMMETRIC_L3, _HRW = 3, 6, 2


def multipath(action: Multipath) -> bytes:
    """NXAST_MULTIPATH: the whole register."""
    fields = _SYMMETRIC_L3L4_UDP if action.ports else _SYMMETRIC_L3
    head = (0xFFFF, _MULTIPATH.size, NICIRA, 10, fields, action.basis, _HRW, action.paths - 1, 0)
    return _MULTIPATH.pack(*head, 32 - 1, oxm_header(action.register))


_CHECK_LARGER = struct.Struct("!HHIHHHI6x")


def check_larger(action: CheckLarger) -> bytes:
    """NXAST_CHECK_PKT_LARGER: bit 0 of the register."""
    head = (0xFFFF, _CHECK_LARGER.size, NICIRA, 49, action.octets, 0)
    return _CHECK_LARGER.pack(*head, oxm_header(action.register))
