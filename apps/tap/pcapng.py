# SPDX-License-Identifier: Apache-2.0

"""Packets as a file that tcpdump, tshark and Wireshark read (pcapng: draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct

ETHERNET = 1  # LINKTYPE_ETHERNET
_END = (0, b"")
_COMMENT, _NAME, _FLAGS = 1, 2, 2
_RECEIVED, _DROPPED = 4, 5
INBOUND, OUTBOUND = 1, 2
"""Directions of a packet, as its interface sees them (section 4.3.1)."""


def _options(*options: tuple[int, bytes]) -> bytes:
    found = b""
    for code, value in (*options, _END):
        found += struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)
    return found


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def head(name: str, snaplen: int) -> bytes:
    """What a file begins with: the section, and its one interface. ``snaplen`` 0: whole packets."""
    section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
    interface = struct.pack("<HHI", ETHERNET, 0, snaplen) + _options((_NAME, name.encode()))
    return _block(0x0A0D0D0A, section) + _block(1, interface)


def _time(seconds: float) -> bytes:
    microseconds = int(seconds * 1e6)
    return struct.pack("<II", microseconds >> 32, microseconds & 0xFFFFFFFF)


def packet(at: float, data: bytes, direction: int, snaplen: int) -> bytes:
    """A packet; ``at`` is in seconds since 1970."""
    kept = data[:snaplen] if snaplen else data
    body = struct.pack("<I", 0) + _time(at) + struct.pack("<II", len(kept), len(data))
    body += kept + bytes(-len(kept) % 4) + _options((_FLAGS, struct.pack("<I", direction)))
    return _block(6, body)


def statistics(at: float, received: int, dropped: int, why: str) -> bytes:
    """What a file ends with: how many packets there were, how many of these were lost, and why it
    ends."""
    counts = ((_RECEIVED, received), (_DROPPED, dropped))
    options = ((code, struct.pack("<Q", count)) for code, count in counts)
    body = struct.pack("<I", 0) + _time(at) + _options((_COMMENT, why.encode()), *options)
    return _block(5, body)
