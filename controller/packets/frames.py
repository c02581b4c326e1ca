# SPDX-License-Identifier: Apache-2.0

"""Ethernet frames to values and back, as far as apps that answer packets need it.

Guests' bytes are hostile: what parses them yields a value or raises Malformed, nothing else.
Checksums of what comes in are not looked at: a guest may leave them to hardware that is not there.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from tenantry.controller.packets.malformed import Malformed

ARP, RARP, IPV4, IPV6 = 0x0806, 0x8035, 0x0800, 0x86DD  # EtherTypes
ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132  # IP protocols
FRAGMENT = 44
"""What Open vSwitch takes for the protocol of an IPv6 packet's later fragments: all that they say
is that they are some (RFC 8200, 4.5)."""

_ETHERNET = struct.Struct("!6s6sH")
_IPV4 = struct.Struct("!BBHHHBBHII")
_IPV6 = struct.Struct("!IHBB16s16s")
_UDP = struct.Struct("!HHHH")
_MORE_OR_OFFSET = 0x3FFF  # of IPv4's flags and fragment offset: RFC 791, 3.1


class Frame(NamedTuple):
    """A UDP datagram or an ICMPv6 message with what it came in. Addresses are integers.

    ``data`` is what UDP carries, or the whole ICMPv6 message; ports are 0 with ICMPv6.
    """

    eth_src: int
    eth_dst: int
    version: int
    src: int
    dst: int
    ttl: int
    protocol: int
    src_port: int
    dst_port: int
    data: bytes

    def answer(self, data: bytes, *, eth_src: int, src: int, dst: int | None = None) -> bytes:
        """The frame of a UDP answer to whoever sent this one; ``dst`` if not to its source."""
        to = self.src if dst is None else dst
        ports = (self.dst_port, self.src_port)
        return udp(Ends(eth_src, self.eth_src, self.version, src, to), *ports, data)


def parse(data: bytes) -> Frame:
    """A frame without VLAN tag, of one whole UDP datagram or ICMPv6 message. Errors: Malformed."""
    try:
        eth_dst, eth_src, eth_type = _ETHERNET.unpack_from(data)
        macs = int.from_bytes(eth_src, "big"), int.from_bytes(eth_dst, "big")
        if eth_type == IPV4:
            return _parse_ipv4(*macs, data[_ETHERNET.size :])
        if eth_type == IPV6:
            return _parse_ipv6(*macs, data[_ETHERNET.size :])
    except struct.error:
        pass
    raise Malformed


def _parse_ipv4(eth_src: int, eth_dst: int, data: bytes) -> Frame:
    first, _, length, _, fragment, ttl, protocol, _, src, dst = _IPV4.unpack_from(data)
    header = (first & 15) * 4
    whole = first >> 4 == 4 and _IPV4.size <= header <= length <= len(data)
    if not whole or fragment & _MORE_OR_OFFSET:
        raise Malformed
    return _parse_transport(
        Frame(eth_src, eth_dst, 4, src, dst, ttl, protocol, 0, 0, data[header:length])
    )


def _parse_ipv6(eth_src: int, eth_dst: int, data: bytes) -> Frame:
    first, length, protocol, ttl, src, dst = _IPV6.unpack_from(data)
    rest = data[_IPV6.size : _IPV6.size + length]
    if first >> 28 != 6 or len(rest) < length:
        raise Malformed
    addresses = int.from_bytes(src, "big"), int.from_bytes(dst, "big")
    return _parse_transport(Frame(eth_src, eth_dst, 6, *addresses, ttl, protocol, 0, 0, rest))


def _parse_transport(frame: Frame) -> Frame:
    if frame.protocol == ICMPV6 and frame.version == 6:
        return frame
    if frame.protocol != UDP:
        raise Malformed
    src_port, dst_port, length, _ = _UDP.unpack_from(frame.data)
    if not _UDP.size <= length <= len(frame.data):
        raise Malformed
    return frame._replace(src_port=src_port, dst_port=dst_port, data=frame.data[_UDP.size : length])


class Ends(NamedTuple):
    """From whom to whom a frame with an IP packet goes: MAC addresses, IP version, IP addresses."""

    eth_src: int
    eth_dst: int
    version: int
    src: int
    dst: int


def udp(ends: Ends, src_port: int, dst_port: int, data: bytes) -> bytes:
    """A frame with a UDP datagram (RFC 768)."""
    length = _UDP.size + len(data)
    head = _UDP.pack(src_port, dst_port, length, 0)
    # A checksum of 0 would mean that there is none.
    sum = checksum(pseudo_header(*ends[2:], UDP, length) + head + data) or 0xFFFF
    datagram = _UDP.pack(src_port, dst_port, length, sum) + data
    return ip(ends, UDP, 64, datagram)


def icmpv6(
    eth_src: int, eth_dst: int, src: int, dst: int, message: bytes, hop_limit: int = 255
) -> bytes:
    """A frame with an ICMPv6 message, whose checksum is filled in (RFC 4443, 2.3). Its hop limit is
    255, as neighbour discovery asks for (RFC 4861, 6.1.2), or another."""
    sum = checksum(pseudo_header(6, src, dst, ICMPV6, len(message)) + message)
    whole = message[:2] + sum.to_bytes(2, "big") + message[4:]
    return ip(Ends(eth_src, eth_dst, 6, src, dst), ICMPV6, hop_limit, whole)


def icmp(src: int, dst: int, ttl: int, message: bytes) -> bytes:
    """A frame from nowhere to nowhere with an ICMP message, whose checksum is filled in."""
    whole = message[:2] + checksum(message[:2] + b"\0\0" + message[4:]).to_bytes(2, "big")
    return ip(Ends(0, 0, 4, src, dst), ICMP, ttl, whole + message[4:])


def pseudo_header(version: int, src: int, dst: int, protocol: int, length: int) -> bytes:
    """RFC 768; RFC 8200, 8.1."""
    size = 4 if version == 4 else 16
    addresses = src.to_bytes(size, "big") + dst.to_bytes(size, "big")
    return addresses + struct.pack("!HHHH", 0, length, 0, protocol)


class Ip(NamedTuple):
    """Any IP packet: its addresses, and the bytes of its header and of what that carries. IPv6's
    extension headers are of the latter."""

    version: int
    src: int
    dst: int
    protocol: int
    first: bool  # not a fragment, or the first one
    may_fragment: bool
    header: bytes
    payload: bytes
    whole: bool = True  # not a fragment
    more: bool = False  # a fragment, and not the last one


def parse_ip(data: bytes) -> Ip:
    """A frame without VLAN tag, of an IP packet. Errors: Malformed."""
    try:
        _, _, eth_type = _ETHERNET.unpack_from(data)
        rest = data[_ETHERNET.size :]
        if eth_type == IPV4:
            start, _, length, _, fragment, _, protocol, _, src, dst = _IPV4.unpack_from(rest)
            header = (start & 15) * 4
            if start >> 4 == 4 and _IPV4.size <= header <= length <= len(rest):
                first, may = not fragment & _OFFSET, not fragment & _DONT_FRAGMENT
                whole = rest[:header], rest[header:length]
                cut, more = fragment & _MORE_OR_OFFSET, bool(fragment & _MORE)
                return Ip(4, src, dst, protocol, first, may, *whole, not cut, more)
        elif eth_type == IPV6:
            start, length, protocol, _, source, destination = _IPV6.unpack_from(rest)
            if start >> 28 == 6 and len(rest) >= _IPV6.size + length:
                addresses = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
                whole = rest[: _IPV6.size], rest[_IPV6.size : _IPV6.size + length]
                return Ip(6, *addresses, protocol, True, False, *whole)
    except struct.error:
        pass
    raise Malformed


def ports(packet: Ip) -> tuple[int, int]:
    """Source and destination of a UDP datagram or TCP segment, or of its first fragment. Errors:
    Malformed."""
    try:
        source, destination = struct.unpack_from("!HH", packet.payload)
    except struct.error:
        raise Malformed from None
    return source, destination


QUOTE = 8
"""Octets of an ICMP error before the packet that it quotes: RFC 792; RFC 4443, 3."""

_OPTIONS = (0, 43, 60)  # IPv6: hop-by-hop, routing, destination options


def unwrapped(packet: Ip) -> Ip:
    """A packet whose ``protocol`` and ``payload`` are what follows IPv6's extension headers (RFC
    8200, 4). Errors: Malformed, if that is cut off."""
    protocol, at, whole = packet.protocol, 0, packet.whole
    if packet.version == 4:
        return packet
    try:
        while protocol in (*_OPTIONS, FRAGMENT):
            whole = whole and protocol != FRAGMENT
            length = 8 if protocol == FRAGMENT else (packet.payload[at + 1] + 1) * 8
            protocol, at = packet.payload[at], at + length
    except IndexError:
        raise Malformed from None
    return packet._replace(protocol=protocol, payload=packet.payload[at:], whole=whole)


def quoted(error: Ip) -> Ip:
    """The packet that an ICMP error quotes; it may be cut off anywhere behind its header. Errors:
    Malformed."""
    data = error.payload[QUOTE:]
    try:
        if error.version == 4:
            start, _, _, _, fragment, _, protocol, _, src, dst = _IPV4.unpack_from(data)
            length = (start & 15) * 4
            if start >> 4 == 4 and _IPV4.size <= length <= len(data):
                first, whole = not fragment & _OFFSET, not fragment & _MORE_OR_OFFSET
                return Ip(4, src, dst, protocol, first, True, data[:length], data[length:], whole)
        else:
            start, _, protocol, _, source, destination = _IPV6.unpack_from(data)
            if start >> 28 == 6:
                addresses = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
                parts = data[: _IPV6.size], data[_IPV6.size :]
                return Ip(6, *addresses, protocol, True, False, *parts)
    except struct.error:
        pass
    raise Malformed


def with_icmp(data: bytes, packet: Ip, message: bytes) -> bytes:
    """The frame of an IPv4 packet with another ICMP message of the same length."""
    sum = checksum(message[:2] + b"\0\0" + message[4:]).to_bytes(2, "big")
    return data[: _ETHERNET.size] + packet.header + message[:2] + sum + message[4:]


def with_addresses(packet: Ip, src: int | None = None, dst: int | None = None) -> Ip:
    """An IPv4 packet with other addresses, its header's checksum right again."""
    source = packet.src if src is None else src
    destination = packet.dst if dst is None else dst
    addresses = source.to_bytes(4, "big") + destination.to_bytes(4, "big")
    header = packet.header[:10] + b"\0\0" + addresses + packet.header[20:]
    header = header[:10] + checksum(header).to_bytes(2, "big") + header[12:]
    return packet._replace(src=source, dst=destination, header=header)


_OFFSET, _MORE, _DONT_FRAGMENT = 0x1FFF, 0x2000, 0x4000  # RFC 791, 3.1


_ARP = struct.Struct("!HHBBH6sI6sI")


class Arp(NamedTuple):
    """An ARP packet for Ethernet and IPv4 (RFC 826)."""

    operation: int
    sender_mac: int
    sender: int
    target_mac: int
    target: int


def parse_arp(data: bytes) -> Arp:
    """Errors: Malformed."""
    try:
        _, _, eth_type = _ETHERNET.unpack_from(data)
        kind, protocol, size, length, op, sha, spa, tha, tpa = _ARP.unpack_from(data, 14)
    except struct.error:
        raise Malformed from None
    if (eth_type, kind, protocol, size, length) != (ARP, 1, IPV4, 6, 4):
        raise Malformed
    return Arp(op, int.from_bytes(sha, "big"), spa, int.from_bytes(tha, "big"), tpa)


def arp(eth_dst: int, arp: Arp) -> bytes:
    """The frame of an ARP packet, from its sender."""
    macs = (mac.to_bytes(6, "big") for mac in (arp.sender_mac, arp.target_mac))
    source, target = macs
    head = _ETHERNET.pack(eth_dst.to_bytes(6, "big"), source, ARP)
    addresses = (source, arp.sender, target, arp.target)
    return head + _ARP.pack(1, IPV4, 6, 4, arp.operation, *addresses)


def checksum(data: bytes) -> int:
    """The ones' complement of the ones' complement sum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(ends: Ends, protocol: int, ttl: int, data: bytes) -> bytes:
    """A frame with an IP packet without options."""
    eth_src, eth_dst, version, src, dst = ends
    macs = eth_dst.to_bytes(6, "big"), eth_src.to_bytes(6, "big")
    if version == 4:
        fields = (0x45, 0, _IPV4.size + len(data), 0, 0, ttl, protocol)
        sum = checksum(_IPV4.pack(*fields, 0, src, dst))
        return _ETHERNET.pack(*macs, IPV4) + _IPV4.pack(*fields, sum, src, dst) + data
    addresses = src.to_bytes(16, "big"), dst.to_bytes(16, "big")
    head = _IPV6.pack(6 << 28, len(data), protocol, ttl, *addresses)
    return _ETHERNET.pack(*macs, IPV6) + head + data
