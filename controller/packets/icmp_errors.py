# SPDX-License-Identifier: Apache-2.0

"""What a router says when it cannot forward a packet: ICMP (RFC 792, RFC 1812) and ICMPv6 (RFC
4443) errors, and TCP resets for connections to itself."""

from __future__ import annotations

import struct
from enum import Enum

from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import ICMP, ICMPV6, TCP, UDP, Ip

TTL = 65
"""64 on the way: routing takes one off, and that is what sends them."""

MOST = {4: 576 - 20 - 8, 6: 1280 - 40 - 8}
"""Octets of the packet in question that an error quotes: RFC 1812, 4.3.2.3; RFC 4443, 2.4."""

_ERRORS_4, _FIRST_INFORMATIONAL = (3, 4, 5, 11, 12), 128


class Error(Enum):
    """Type and code, of ICMP and of ICMPv6."""

    TIME_EXCEEDED = ((11, 0), (3, 0))
    NO_ROUTE = ((3, 0), (1, 0))
    HOST_UNREACHABLE = ((3, 1), (1, 3))
    PROTOCOL_UNREACHABLE = ((3, 2), (1, 4))
    PORT_UNREACHABLE = ((3, 3), (1, 4))
    TOO_BIG = ((3, 4), (2, 0))


def build(error: Error, original: Ip, source: int, mtu: int = 0) -> bytes | None:
    """The frame of an error about ``original``, from one of the router's addresses, without MAC
    addresses; None where RFC 1812, 4.3.2.7, and RFC 4443, 2.4 (e), want none."""
    if not _may_answer(original):
        return None
    four, six = error.value
    quoted = (original.header + original.payload)[: MOST[original.version]]
    if original.version == 4:
        message = struct.pack("!BBHHH", *four, 0, 0, mtu) + quoted
        return frames.icmp(source, original.src, TTL, message)
    message = struct.pack("!BBHI", *six, 0, mtu) + quoted
    return frames.icmpv6(0, 0, source, original.src, message, TTL)


def _may_answer(original: Ip) -> bool:
    if original.version == 4:
        one_host = 0 < original.src >> 24 < 224 and original.src >> 24 != 127
        to_one = original.dst >> 24 < 224
        kind = original.payload[:1]
        is_error = original.protocol == ICMP and (not kind or kind[0] in _ERRORS_4)
    else:
        one_host = original.src not in (0, 1) and original.src >> 120 != 0xFF
        to_one = original.dst >> 120 != 0xFF
        inner = frames.unwrapped(original)
        kind = inner.payload[:1]
        is_error = inner.protocol == ICMPV6 and (not kind or kind[0] < _FIRST_INFORMATIONAL)
    return original.first and one_host and to_one and not is_error


def refuse(original: Ip) -> bytes | None:
    """The answer to what is for the router itself, which offers nothing."""
    inner = frames.unwrapped(original)
    if inner.protocol == TCP:
        return _reset(inner)
    error = Error.PORT_UNREACHABLE if inner.protocol == UDP else Error.PROTOCOL_UNREACHABLE
    return build(error, original, original.dst)


_TCP = struct.Struct("!HHIIBBHHH")
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


def _reset(original: Ip) -> bytes | None:
    """RFC 9293, 3.10.7.1."""
    if len(original.payload) < _TCP.size or not original.first:
        return None
    src_port, dst_port, seq, ack, offset, flags, *_ = _TCP.unpack_from(original.payload)
    if flags & _RST:
        return None
    if flags & _ACK:
        numbers, answer = (ack, 0), _RST
    else:
        length = len(original.payload) - (offset >> 4) * 4
        length += bool(flags & _SYN) + bool(flags & _FIN)
        numbers, answer = (0, (seq + max(length, 0)) & 0xFFFFFFFF), _RST | _ACK
    fields = (dst_port, src_port, *numbers, 5 << 4, answer, 0)
    version, src, dst = original.version, original.dst, original.src
    pseudo = frames.pseudo_header(version, src, dst, TCP, _TCP.size)
    sum = frames.checksum(pseudo + _TCP.pack(*fields, 0, 0))
    return frames.ip(frames.Ends(0, 0, version, src, dst), TCP, TTL, _TCP.pack(*fields, sum, 0))


def fragments(original: Ip, mtu: int) -> list[bytes]:
    """The frames of an IPv4 packet that may be cut (RFC 791, 3.2), without MAC addresses; its TTL
    and all else stays."""
    header, most = original.header[:20], (mtu - 20) & ~7
    parts = -(-len(original.payload) // most)
    # In equal parts, if none of them is the packet's last, so that none is small.
    size = min(most, -(-len(original.payload) // parts) + 7 & ~7) if original.more else most
    start = struct.unpack_from("!H", header, 6)[0]
    made = []
    for at in range(0, len(original.payload), size):
        part = original.payload[at : at + size]
        more = at + size < len(original.payload) or start & 0x2000
        flags = (0x2000 if more else 0) | (start & 0x1FFF) + at // 8
        head = b"\x45" + header[1:2] + struct.pack("!H", 20 + len(part)) + header[4:6]
        head += struct.pack("!H", flags) + header[8:10] + b"\0\0" + header[12:20]
        sum = frames.checksum(head).to_bytes(2, "big")
        made.append(bytes(12) + b"\x08\x00" + head[:10] + sum + head[12:] + part)
    return made
