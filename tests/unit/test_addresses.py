# SPDX-License-Identifier: Apache-2.0

"""Arithmetic of addresses as integers, held against netaddr's."""

from __future__ import annotations

import netaddr
from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.packets.addresses import (
    BITS,
    is_link_local,
    is_within,
    link_local,
    mapped,
    mapped_prefix,
    prefix_mask,
    prefix_value,
    unmapped,
)


@st.composite
def prefixes(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Version, an address of the prefix, its length, and an address, which is often in it."""
    version = draw(st.sampled_from([4, 6]))
    length = draw(st.integers(0, BITS[version]))
    first = draw(st.integers(0, (1 << BITS[version]) - 1))
    near = first ^ draw(st.integers(0, (1 << BITS[version] - length) - 1))
    far = draw(st.integers(0, (1 << BITS[version]) - 1))
    return version, first, length, draw(st.sampled_from([near, far]))


@given(prefixes())
def test_a_prefix(drawn: tuple[int, int, int, int]) -> None:
    version, first, length, address = drawn
    net = netaddr.IPNetwork((first, length), version)
    inside = netaddr.IPAddress(address, version) in net
    assert is_within(address, version, first, length) == inside
    assert prefix_mask(version, length) == int(net.netmask)
    value = prefix_value(version, first, length)
    assert value == (first if net.size == 1 else (net.first, int(net.netmask)))
    both, mask = mapped_prefix(version, first, length)
    assert (mapped(version, address) & mask == both) == inside
    assert unmapped(mapped(version, address)) == (
        (version, address) if version == 4 or address >> 32 != 0xFFFF else (4, address & 0xFFFFFFFF)
    )


@given(st.integers(0, (1 << 48) - 1))
def test_the_address_that_follows_from_a_mac_address(mac: int) -> None:
    assert link_local(mac) == int(netaddr.EUI(mac).ipv6_link_local())


@given(st.integers(0, (1 << 128) - 1), st.booleans())
def test_addresses_of_a_link(address: int, on_link: bool) -> None:
    if on_link:
        address = 0xFE80 << 112 | address >> 10
    assert is_link_local(address) == netaddr.IPAddress(address, 6).is_link_local()
