# SPDX-License-Identifier: Apache-2.0

"""Texts of a resource's body, as the store has it, to the values of records. Errors: none; the API
has let nothing else into the store."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import netaddr

from tenantry.controller.model.record import Body
from tenantry.controller.model.values import Address, AddressPair, FixedIp, Prefix, Route


def mac(text: str) -> int:
    """A MAC address in any common notation, as 48 bits."""
    return int(text.replace(":", "").replace("-", "").replace(".", ""), 16)


def ip(text: str) -> int:
    return int(netaddr.IPAddress(text))


def ips(texts: Iterable[str]) -> tuple[int, ...]:
    return tuple(map(ip, texts))


def address(text: str) -> Address:
    parsed = netaddr.IPAddress(text)
    return Address(parsed.version, int(parsed))


@lru_cache(4096)
def prefix(text: str) -> Prefix:
    net = netaddr.IPNetwork(text)
    return Prefix(net.version, net.first, net.prefixlen)


def version_of(cidr: str) -> int:
    return prefix(cidr).version


def first_of(cidr: str) -> int:
    return prefix(cidr).first


def length_of(cidr: str) -> int:
    return prefix(cidr).length


def prefixes(texts: Iterable[str]) -> tuple[Prefix, ...]:
    return tuple(map(prefix, texts))


def ports(text: str) -> tuple[int, int]:
    """The first and the last of a range of ports, ``80`` or ``80:90``."""
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def routes(entries: Iterable[Body]) -> tuple[Route, ...]:
    found = []
    for entry in entries:
        to = prefix(entry["destination"])
        found.append(Route(to.first, to.length, ip(entry["nexthop"]), to.version))
    return tuple(found)


def fixed_ips(entries: Iterable[Body]) -> tuple[FixedIp, ...]:
    return tuple(FixedIp(entry["subnet_id"], *address(entry["ip_address"])) for entry in entries)


def address_pairs(entries: Iterable[Body]) -> tuple[AddressPair, ...]:
    found = []
    for entry in entries:
        net = prefix(entry["ip_address"])
        found.append(AddressPair(mac(entry["mac_address"]), net.version, net.first, net.length))
    return tuple(found)
