# SPDX-License-Identifier: Apache-2.0

"""Values that records are made of. Addresses are integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Address(NamedTuple):
    """An address of either family."""

    version: int
    address: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """A range of addresses."""

    version: int
    first: int
    length: int


@dataclass(frozen=True, slots=True)
class Route:
    """A route that hosts on a subnet are told of, or that a router has."""

    destination: int
    prefix_length: int
    nexthop: int
    version: int = 4


@dataclass(frozen=True, slots=True)
class FixedIp:
    """An address of a port."""

    subnet_id: str
    version: int
    address: int


@dataclass(frozen=True, slots=True)
class AddressPair:
    """Addresses that a port may use beside its own: a MAC address with a range of IP addresses."""

    mac: int
    version: int
    first: int
    prefix_length: int


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """An option of a port's own (extra_dhcp_opts), by name or number as it was asked for; for
    clients that have all of the tags, or, behind a "!", have not."""

    name: str
    value: str
    version: int
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubPort:
    """A port that is plugged in as a VLAN of another one, its trunk's."""

    port_id: str
    segmentation_id: int  # the VLAN id of its frames on the parent's interface


class Bandwidth(NamedTuple):
    """What a host sends to a physical network at most, by an interface that has queues."""

    physical_network: str
    interface: str
    kbps: int
