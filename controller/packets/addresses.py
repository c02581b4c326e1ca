# SPDX-License-Identifier: Apache-2.0

"""Addresses as the switch knows them.

Both families are one in the switch: an IPv4 address is its IPv4-mapped IPv6 address (RFC 4291,
section 2.5.5.2), so one flow does for ARP and for neighbour discovery.
"""

from __future__ import annotations

BITS = {4: 32, 6: 128}
"""Of an address, by its IP version."""

_MAPPED = 0xFFFF << 32


def prefix_mask(version: int, length: int) -> int:
    """What leaves the first ``length`` bits of an address."""
    return (1 << BITS[version]) - (1 << BITS[version] - length)


def prefix_value(version: int, first: int, length: int) -> int | tuple[int, int]:
    """A prefix as the value of a field: one address, or (value, mask). Bits behind the prefix do
    not count."""
    mask = prefix_mask(version, length)
    return first if length == BITS[version] else (first & mask, mask)


def is_within(address: int, version: int, first: int, length: int) -> bool:
    """Whether an address is in a prefix of its own version. Likewise."""
    shift = BITS[version] - length
    return address >> shift == first >> shift


def mapped(version: int, address: int) -> int:
    """128 bits that stand for an address of either family."""
    return _MAPPED | address if version == 4 else address


def unmapped(address: int) -> tuple[int, int]:
    """Version and address of what :func:`mapped` made."""
    return (4, address ^ _MAPPED) if address >> 32 == _MAPPED >> 32 else (6, address)


def mapped_prefix(version: int, first: int, prefix_length: int) -> tuple[int, int]:
    """A range of addresses as (value, mask) of 128 bits."""
    length = prefix_length + 96 if version == 4 else prefix_length
    mask = prefix_mask(6, length)
    return mapped(version, first) & mask, mask


def link_local(mac: int) -> int:
    """The link-local address that a host makes of its MAC address (RFC 4291, appendix A)."""
    interface_id = (mac >> 24) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF
    return 0xFE80 << 112 | interface_id ^ 1 << 57


LINK_LOCAL = (0xFE80 << 112, 0xFFC0 << 112)
"""The addresses of a link, IPv6 (RFC 4291, 2.5.6), as (value, mask)."""


def is_link_local(address: int) -> bool:
    """Whether an IPv6 address is of the link alone (RFC 4291, 2.5.6)."""
    return address >> 118 == 0xFE80 >> 6
