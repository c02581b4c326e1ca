# SPDX-License-Identifier: Apache-2.0

"""Addresses at which the switch and the controller answer."""

from __future__ import annotations

from tenantry.controller.packets.addresses import link_local

SERVICE_MAC = 0x0AA9FEA9FE01
"""The MAC address at which a switch answers by itself, or the controller through it: DHCP, DNS,
metadata. Locally administered, the same on every network, and never seen beyond a switch."""

METADATA_ADDRESSES = ((4, 0xA9FEA9FE), (6, 0xFE80 << 112 | 0xA9FEA9FE))
"""169.254.169.254 and fe80::a9fe:a9fe, as (version, address)."""

SERVICE_LINK_LOCAL = link_local(SERVICE_MAC)

SERVICE_PORT_MAC = 0x0AA9FEA9FE02

SERVICE_PORT_ADDRESSES = {4: 240 << 24 | 0xFFFFFE, 6: 0xFD00A9FEA9FE << 80 | 0xFFFFFE}
"""Where the controller listens, in ranges that no guest and no network uses: 240.0.0.0/4 (RFC 1112)
and fd00:a9fe:a9fe::/64 (RFC 4193). Nothing but the service port leads there."""

SERVICE_PORT_PREFIXES = {4: 4, 6: 64}

SERVICE_PORT_MTU = 1280
"""The least that IPv6 takes (RFC 8200, section 5). From it follows the segment size that TCP agrees
on (RFC 9293, 3.7.1), so that guests of other hosts need no smaller packets for the tunnel."""

METADATA_PORT, DNS_PORT = 8775, 8053
"""TCP ports there: of what guests ask at 80 and at 53. The first is that of Nova's metadata API."""

KEY_BITS, GUEST_BITS = 24, 4
"""Of a source address there, from the lowest bit on: the key of the asking port, and the last bits
of the guest's own address, so that its addresses do not get into each other's way."""


def port_key(address: int) -> int:
    """The key of the port that asks from an address in those ranges."""
    return address & (1 << KEY_BITS) - 1


PROBE_BIT = 1 << KEY_BITS - 1
"""Of an address in those ranges that stands for somebody whom the controller asks whether it is
alive (PROBED); the others stand for ports, whose keys are smaller."""

PROBE_PORTS = range(256, 512)
"""From which those who are asked see it ask. Nothing else takes them to begin a connection: they
are below what clients use (RFC 6335, 6), and below those with which old ones showed that they were
root (512 to 1023)."""

OWN_PROBE_PORTS = range(0xEF00, 0xF000)
"""From which it does ask; switches write one octet for the other. Answers are what somebody else
has made: at these ports of our host nobody listens, whatever he listens at."""


def probed(version: int, key: int) -> int:
    """The address that stands for somebody with a key (of 22 bits) of their own."""
    return SERVICE_PORT_ADDRESSES[version] & ~((1 << KEY_BITS + GUEST_BITS) - 1) | PROBE_BIT | key


PROBED = {
    version: (probed(version, 0), (1 << bits) - 1 ^ (1 << KEY_BITS - 2) - 1)
    for version, bits in ((4, 32), (6, 128))
}
"""All of those addresses, as (value, mask)."""
