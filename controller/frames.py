"""Ethernet frames to values and back, as far as apps that answer packets need it.

Guests' bytes are hostile: :func:`parse` yields a :class:`Frame` or raises Malformed, nothing else.
Checksums of what comes in are not looked at: a guest may leave them to hardware that is not there.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from controller.packet import Malformed

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD  # EtherTypes
TCP, UDP, ICMPV6 = 6, 17, 58  # IP protocols

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
        return udp(eth_src, self.eth_src, self.version, src, to, *ports, data)


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


def udp(
    eth_src: int,
    eth_dst: int,
    version: int,
    src: int,
    dst: int,
    src_port: int,
    dst_port: int,
    data: bytes,
) -> bytes:
    """A frame with a UDP datagram (RFC 768)."""
    length = _UDP.size + len(data)
    head = _UDP.pack(src_port, dst_port, length, 0)
    # A checksum of 0 would mean that there is none.
    sum = _checksum(_pseudo_header(version, src, dst, UDP, length) + head + data) or 0xFFFF
    datagram = _UDP.pack(src_port, dst_port, length, sum) + data
    return _framed(eth_src, eth_dst, version, src, dst, UDP, 64, datagram)


def icmpv6(eth_src: int, eth_dst: int, src: int, dst: int, message: bytes) -> bytes:
    """A frame with an ICMPv6 message, whose checksum is filled in (RFC 4443, 2.3). Its hop limit is
    255, as neighbour discovery asks for (RFC 4861, 6.1.2)."""
    sum = _checksum(_pseudo_header(6, src, dst, ICMPV6, len(message)) + message)
    whole = message[:2] + sum.to_bytes(2, "big") + message[4:]
    return _framed(eth_src, eth_dst, 6, src, dst, ICMPV6, 255, whole)


def _pseudo_header(version: int, src: int, dst: int, protocol: int, length: int) -> bytes:
    """RFC 768; RFC 8200, 8.1."""
    size = 4 if version == 4 else 16
    addresses = src.to_bytes(size, "big") + dst.to_bytes(size, "big")
    return addresses + struct.pack("!HHHH", 0, length, 0, protocol)


def _checksum(data: bytes) -> int:
    """The ones' complement of the ones' complement sum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _framed(
    eth_src: int,
    eth_dst: int,
    version: int,
    src: int,
    dst: int,
    protocol: int,
    ttl: int,
    data: bytes,
) -> bytes:
    macs = eth_dst.to_bytes(6, "big"), eth_src.to_bytes(6, "big")
    if version == 4:
        fields = (0x45, 0, _IPV4.size + len(data), 0, 0, ttl, protocol)
        sum = _checksum(_IPV4.pack(*fields, 0, src, dst))
        return _ETHERNET.pack(*macs, IPV4) + _IPV4.pack(*fields, sum, src, dst) + data
    addresses = src.to_bytes(16, "big"), dst.to_bytes(16, "big")
    head = _IPV6.pack(6 << 28, len(data), protocol, ttl, *addresses)
    return _ETHERNET.pack(*macs, IPV6) + head + data
