# SPDX-License-Identifier: Apache-2.0

"""What is asked of neighbours, and told them: ARP (RFC 826) and neighbour discovery (RFC 4861)."""

from __future__ import annotations

import struct

from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import link_local
from tenantry.controller.packets.frames import ARP, Arp
from tenantry.controller.packets.malformed import Malformed

REQUEST, REPLY = 1, 2  # RFC 826
MESSAGES = range(133, 138)
"""Types of ICMPv6 messages: RFC 4861, 4.1 to 4.5."""

ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT, SOLICITATION, ADVERTISEMENT, REDIRECT = MESSAGES
SOURCE_LINK_LAYER, TARGET_LINK_LAYER = 1, 2  # RFC 4861, 4.6.1
ROUTER, OVERRIDE = 1 << 31, 1 << 29  # RFC 4861, 4.4
BROADCAST = (1 << 48) - 1
ALL_NODES, ALL_NODES_MAC = 0xFF02 << 112 | 1, 0x333300000001


def question(version: int, mac: int, source: int, target: int) -> bytes:
    """Who has ``target``? To all, in the name of ``source`` at ``mac``."""
    if version == 4:
        return frames.arp(BROADCAST, Arp(REQUEST, mac, source, 0, target))
    low = target & 0xFFFFFF
    group = 0xFF02 << 112 | 1 << 32 | 0xFF000000 | low  # RFC 4291, 2.7.1
    message = struct.pack("!BBHI", SOLICITATION, 0, 0, 0) + target.to_bytes(16, "big")
    message += bytes((SOURCE_LINK_LAYER, 1)) + mac.to_bytes(6, "big")
    return frames.icmpv6(mac, 0x3333FF000000 | low, source, group, message)


def announcement(version: int, mac: int, address: int, *, router: bool) -> bytes:
    """``address`` is at ``mac``, a router's or a host's: to all, unasked (RFC 5227, 3; RFC 4861,
    7.2.6)."""
    if version == 4:
        return frames.arp(BROADCAST, Arp(REQUEST, mac, address, 0, address))
    message = struct.pack("!BBHI", ADVERTISEMENT, 0, 0, ROUTER * router | OVERRIDE)
    message += address.to_bytes(16, "big")
    message += bytes((TARGET_LINK_LAYER, 1)) + mac.to_bytes(6, "big")
    return frames.icmpv6(mac, ALL_NODES_MAC, link_local(mac), ALL_NODES, message)


def speaker(data: bytes) -> tuple[int, int, int]:
    """Who says in an ARP packet, an advertisement or a solicitation that it has which address: IP
    version, address, MAC address. Errors: Malformed."""
    if data[12:14] == ARP.to_bytes(2, "big"):
        arp = frames.parse_arp(data)
        return 4, arp.sender, arp.sender_mac
    frame = frames.parse(data)
    kind, option = frame.data[:1], frame.data[24:32]
    if len(frame.data) < 24 or frame.ttl != 255:
        raise Malformed
    if kind == bytes([ADVERTISEMENT]):
        address, expected = int.from_bytes(frame.data[8:24], "big"), TARGET_LINK_LAYER
    elif kind == bytes([SOLICITATION]) and frame.src:
        address, expected = frame.src, SOURCE_LINK_LAYER
    else:
        raise Malformed
    has_option = len(option) == 8 and option[:2] == bytes((expected, 1))
    return 6, address, int.from_bytes(option[2:], "big") if has_option else frame.eth_src
