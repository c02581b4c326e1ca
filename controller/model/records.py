"""The records: every kind of thing the model holds, with the indexes by which it is found.

A record is a frozen value. Network, Subnet and Port come from the store (the API's resources, with
addresses parsed to integers); Host, Switch and Interface are observed on the switches and live in
memory only; a Binding is where a port and an interface met (``binding.py``).

A new kind of record is added here, with its indexes and, if it comes from the store, a line in
:data:`FROM_STORE`. Reading by anything but an index is not possible, on purpose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import netaddr

from controller.model.model import Indexes, Record

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Network:
    """A tenant's network: one broadcast domain, wherever its ports are."""

    INDEXES: ClassVar[Indexes] = (("network_type", "physical_network"),)

    id: str
    key: int  # small, unique, permanent: what NETWORK carries
    project_id: str
    name: str
    admin_state_up: bool
    mtu: int
    network_type: str  # "local", "flat" or "vlan"
    physical_network: str | None
    segmentation_id: int | None

    @classmethod
    def from_body(cls, body: Body) -> Network:
        return cls(
            id=body["id"],
            key=body["key"],
            project_id=body["project_id"],
            name=body["name"],
            admin_state_up=body["admin_state_up"],
            mtu=body["mtu"],
            network_type=body["provider:network_type"],
            physical_network=body["provider:physical_network"],
            segmentation_id=body["provider:segmentation_id"],
        )


@dataclass(frozen=True, slots=True)
class Subnet:
    """A range of addresses of one family on a network."""

    INDEXES: ClassVar[Indexes] = (("network_id",),)

    id: str
    network_id: str
    version: int  # 4 or 6
    first: int  # network address
    prefix_length: int
    gateway: int | None

    @classmethod
    def from_body(cls, body: Body) -> Subnet:
        cidr = netaddr.IPNetwork(body["cidr"])
        gateway = body["gateway_ip"]
        return cls(
            id=body["id"],
            network_id=body["network_id"],
            version=cidr.version,
            first=cidr.first,
            prefix_length=cidr.prefixlen,
            gateway=int(netaddr.IPAddress(gateway)) if gateway else None,
        )


@dataclass(frozen=True, slots=True)
class FixedIp:
    """An address of a port."""

    subnet_id: str
    version: int
    address: int


@dataclass(frozen=True, slots=True)
class Port:
    """A place on a network where a machine plugs in."""

    INDEXES: ClassVar[Indexes] = (("network_id",), ("host", "interface_name"))

    id: str
    key: int  # small, unique, permanent: what IN_PORT and OUT_PORT carry
    network_id: str
    project_id: str
    name: str
    mac: int
    fixed_ips: tuple[FixedIp, ...]
    admin_state_up: bool
    port_security: bool
    host: str  # binding:host_id: where the user wants it; "" is anywhere
    interface_name: str  # binding:profile interface_name: for switches without OVSDB; or ""

    @classmethod
    def from_body(cls, body: Body) -> Port:
        profile = body.get("binding:profile") or {}
        return cls(
            id=body["id"],
            key=body["key"],
            network_id=body["network_id"],
            project_id=body["project_id"],
            name=body["name"],
            mac=parse_mac(body["mac_address"]),
            fixed_ips=tuple(_fixed_ip(ip) for ip in body["fixed_ips"]),
            admin_state_up=body["admin_state_up"],
            port_security=body["port_security_enabled"],
            host=body.get("binding:host_id") or "",
            interface_name=str(profile.get("interface_name") or ""),
        )


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with Open vSwitch, as its OVSDB describes itself."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # its name: external_ids:hostname, or its system-id


@dataclass(frozen=True, slots=True)
class Switch:
    """A bridge that talks OpenFlow to us, or did and is expected back."""

    INDEXES: ClassVar[Indexes] = (("host",),)

    id: int  # datapath id
    name: str  # the bridge's name, or the datapath id where nobody told us
    host: str  # id of its Host; "" for a switch without OVSDB


@dataclass(frozen=True, slots=True)
class Interface:
    """A port of a switch, by its OpenFlow number."""

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("iface_id",),
        ("name",),
        ("switch", "physical_network"),
    )

    id: tuple[int, str]  # datapath id, name
    switch: int
    name: str
    ofport: int
    host: str
    iface_id: str  # external_ids:iface-id, as Nova, libvirt and OVN set it; or ""
    physical_network: str  # external_ids:tenantry-physical-network; or ""


@dataclass(frozen=True, slots=True)
class Binding:
    """A port that is plugged in: which switch, which OpenFlow port. ``id`` is the port's.

    ``part`` is one of PARTS into which the ports of a network are dealt, so that what is done for
    all of them together (a flood) need not be done again as a whole for each that comes or goes.
    """

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("network_id",),
        ("switch", "network_id"),
        ("network_id", "switch"),
        ("switch", "interface"),
        ("switch", "part"),
        ("switch", "network_id", "part"),
    )

    id: str
    network_id: str
    part: str  # network id and number: "NETWORK/7"
    switch: int
    interface: str
    host: str
    ofport: int


PARTS = 16
"""Parts of a network. A flow that copies to a whole part must fit 64 KiB: 32 bytes a port."""

FROM_STORE: dict[str, tuple[type[Record], Callable[[Body], Record]]] = {
    "network": (Network, Network.from_body),
    "subnet": (Subnet, Subnet.from_body),
    "port": (Port, Port.from_body),
}
"""The store's kinds that have a record, and how a body becomes one."""


def parse_mac(text: str) -> int:
    """A MAC address in any common notation, as 48 bits."""
    return int(text.replace(":", "").replace("-", "").replace(".", ""), 16)


def _fixed_ip(entry: Body) -> FixedIp:
    address = netaddr.IPAddress(entry["ip_address"])
    return FixedIp(entry["subnet_id"], address.version, int(address))
