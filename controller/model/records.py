# SPDX-License-Identifier: Apache-2.0

"""The records of the core that come from the store: what people, and hosts, have asked for.

A record is a frozen value with an id. It is declared once, here or in a feature's ``records.py``:
which kind of resource it is (KIND), which attributes its fields are (``record.py``), and the tuples
of fields by which it is found (INDEXES; reading by anything else is not possible, on purpose).
"""

from __future__ import annotations

import json
from typing import ClassVar

from neutron_lib.constants import (
    AGENT_TYPE_L3,
    DEVICE_OWNER_ROUTER_GW,
    ROUTER_INTERFACE_OWNERS,
)

from tenantry.controller.model import parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import Body, record, stored
from tenantry.controller.model.values import (
    Address,
    AddressPair,
    Bandwidth,
    DhcpOption,
    FixedIp,
    Route,
    SubPort,
)


@record
class Network:
    """A tenant's network: one broadcast domain, wherever its ports are."""

    KIND: ClassVar = "network"
    INDEXES: ClassVar[Indexes] = (
        ("key",),
        ("network_type",),
        ("external",),
    )

    id: str
    key: int  # small, unique, permanent: what NETWORK carries
    project_id: str
    name: str
    admin_state_up: bool
    mtu: int
    # "local", "flat", "vlan", "vxlan" or "geneve"
    network_type: str = stored("provider:network_type")
    physical_network: str | None = stored("provider:physical_network")
    segmentation_id: int | None = stored("provider:segmentation_id")
    dns_domain: str = ""  # with its final dot; "" means the controller's
    # router:external: routers have their gateways there
    external: bool = stored("router:external", default=False)
    pvlan: bool = False  # its ports hear only those that their pvlan_type lets them
    qos_policy_id: str = ""  # for its ports that have none of their own


@record
class SubnetPool:
    """Where subnets come from; those of one address scope are routed without translation."""

    KIND: ClassVar = "subnetpool"
    INDEXES: ClassVar[Indexes] = ()

    id: str
    address_scope_id: str = stored(empty="")  # or ""


def _published_for(body: Body) -> str:
    return str(body["project_id"]) if body.get("dns_publish_fixed_ip") else ""


@record
class Subnet:
    """A range of addresses of one family on a network."""

    KIND: ClassVar = "subnet"
    INDEXES: ClassVar[Indexes] = (("network_id",), ("published_for",))

    id: str
    network_id: str
    version: int = stored("cidr", parse.version_of)  # 4 or 6
    first: int = stored("cidr", parse.first_of)  # network address
    prefix_length: int = stored("cidr", parse.length_of)
    gateway: int | None = stored("gateway_ip", parse.ip, empty=None)
    enable_dhcp: bool = False
    dns_nameservers: tuple[int, ...] = stored(parse=parse.ips, default=())
    host_routes: tuple[Route, ...] = stored(parse=parse.routes, default=())
    # ipv6_ra_mode: "slaac", "dhcpv6-stateful", "dhcpv6-stateless" or ""
    ra_mode: str = stored("ipv6_ra_mode", default="")
    address_mode: str = stored("ipv6_address_mode", default="")  # ipv6_address_mode, likewise
    # where DHCP and DNS are answered on this subnet
    service_address: int | None = stored(parse=parse.ip, default=None)
    subnetpool_id: str = ""
    # dns_publish_fixed_ip: whose ports may ask for names of its addresses from elsewhere; or ""
    published_for: str = stored(of_body=_published_for, default="")
    segment_id: str = ""  # the segment of its network that it is on, if that is said


def _dhcp_options(entries: list[Body]) -> tuple[DhcpOption, ...]:
    found = []
    for entry in entries:
        *tags, name = entry["opt_name"].split(",")
        bare = tuple(tag.removeprefix("tag:") for tag in tags)
        found.append(DhcpOption(name, entry["opt_value"], int(entry["ip_version"]), bare))
    return tuple(found)


def _interface_name(body: Body) -> str:
    return str((body.get("binding:profile") or {}).get("interface_name") or "")


def _profile(profile: Body) -> str:
    return json.dumps(profile, sort_keys=True)


def _standby_hosts(body: Body) -> frozenset[str]:
    profile = body.get("binding:profile") or {}
    hosts = (*(body.get("standby_hosts") or ()), profile.get("migrating_to"))
    return frozenset(host for host in hosts if isinstance(host, str) and host)


def _groups(body: Body) -> frozenset[str] | None:
    """Only who has port security is judged; the controller's own ports are not."""
    groups = body.get("security_groups")
    return frozenset(groups) if groups is not None and body["port_security_enabled"] else None


def _tx_steering(hints: Body) -> str:
    """The one hint there is, of ``{"openvswitch": {"other_config": {"tx-steering": ...}}}``; any of
    these may be missing."""
    for key in ("openvswitch", "other_config"):
        hints = hints.get(key) or {}
    return str(hints.get("tx-steering") or "")


def _community(body: Body) -> frozenset[str]:
    kind = body.get("pvlan_type")
    if kind == "isolated":
        return frozenset((body["id"],))
    return frozenset((body["pvlan_community"],) if kind == "community" else ())


def _community_macs(body: Body) -> frozenset[int]:
    if not _community(body):
        return frozenset()
    pairs = body.get("allowed_address_pairs") or ()
    macs = (body["mac_address"], *(pair["mac_address"] for pair in pairs))
    return frozenset(map(parse.mac, macs))


def _addresses(fixed_ips: list[Body]) -> frozenset[FixedIp]:
    return frozenset(parse.fixed_ips(fixed_ips))


@record
class Port:
    """A place on a network where a machine plugs in."""

    KIND: ClassVar = "port"
    INDEXES: ClassVar[Indexes] = (
        ("key",),
        ("network_id",),
        ("network_id", "dns_name"),
        ("host", "interface_name"),
        ("router_id",),
        ("network_id", "router_id"),
        ("security_groups",),
        ("network_id", "community"),
        ("network_id", "community_macs"),
        ("addresses",),
    )

    id: str
    key: int  # small, unique, permanent: what IN_PORT and OUT_PORT carry
    network_id: str
    project_id: str
    name: str
    mac: int = stored("mac_address", parse.mac)
    fixed_ips: tuple[FixedIp, ...] = stored(parse=parse.fixed_ips)
    admin_state_up: bool
    port_security: bool = stored("port_security_enabled")
    # binding:host_id: where the user wants it; "" is anywhere
    host: str = stored("binding:host_id", empty="")
    # binding:profile interface_name: for switches without OVSDB; or ""
    interface_name: str = stored(of_body=_interface_name)
    allowed_pairs: tuple[AddressPair, ...] = stored(
        "allowed_address_pairs", parse.address_pairs, default=()
    )
    addresses: frozenset[FixedIp] = stored("fixed_ips", _addresses, default=frozenset())
    dhcp_options: tuple[DhcpOption, ...] = stored("extra_dhcp_opts", _dhcp_options, default=())
    dns_name: str = ""
    dns_domain: str = ""  # with its final dot; "" means the network's
    device_id: str = ""
    device_owner: str = ""
    profile: str = stored("binding:profile", _profile, default="")
    """As JSON, sorted: user data and keys for the metadata service."""
    # where it may move to, and be plugged in besides
    standby_hosts: frozenset[str] = stored(of_body=_standby_hosts, default=frozenset())
    tx_steering: str = stored("hints", _tx_steering, default="")  # "thread", "hash" or ""
    # None: nobody judges what it sends and gets
    security_groups: frozenset[str] | None = stored(of_body=_groups, default=None)
    # pvlan_community; its own id, for an isolated port is a community of one; none: promiscuous
    community: frozenset[str] = stored(of_body=_community, default=frozenset())
    # the MAC addresses that it may send from, if it is of a community
    community_macs: frozenset[int] = stored(of_body=_community_macs, default=frozenset())
    qos_policy_id: str = ""  # its own

    @property
    def learns(self) -> bool:
        """Whether addresses are behind it that the model does not know."""
        return not self.port_security or bool(self.allowed_pairs)

    @property
    def router_id(self) -> str:
        """The router whose interface or gateway it is; or ""."""
        return self.device_id if self.device_owner in ROUTER_PORTS else ""

    @property
    def is_gateway(self) -> bool:
        """Whether it is a router's port on an external network."""
        return bool(self.device_owner == DEVICE_OWNER_ROUTER_GW)


ROUTER_PORTS = (*ROUTER_INTERFACE_OWNERS, DEVICE_OWNER_ROUTER_GW)
"""Owners of the ports of routers."""


def _sub_ports(entries: list[Body]) -> tuple[SubPort, ...]:
    return tuple(SubPort(entry["port_id"], entry["segmentation_id"]) for entry in entries)


def _sub_port_ids(entries: list[Body]) -> frozenset[str]:
    return frozenset(entry["port_id"] for entry in entries)


@record
class Trunk:
    """A port whose interface carries other ports beside it, each as a VLAN."""

    KIND: ClassVar = "trunk"
    INDEXES: ClassVar[Indexes] = (("port_id",), ("sub_port_ids",))

    id: str
    port_id: str  # the parent
    admin_state_up: bool
    sub_ports: tuple[SubPort, ...] = stored(parse=_sub_ports)
    sub_port_ids: frozenset[str] = stored("sub_ports", _sub_port_ids)


def _tunnel_address(configurations: Body) -> Address | None:
    address = configurations.get("tunnel_address")
    return parse.address(address) if address else None


def _gateway_priority(configurations: Body) -> int:
    return int(configurations.get("gateway_priority", 0))


BANDWIDTHS, BANDWIDTH_INTERFACES = "resource_provider_bandwidths", "bandwidth_interfaces"
"""Among an agent's configurations, by physical network: ``{"egress": KBPS}``, what its host sends
there at most (Neutron's name), and the interface by which it does."""


def _bandwidths(configurations: Body) -> tuple[Bandwidth, ...]:
    carried, by = (configurations.get(name, {}) for name in (BANDWIDTHS, BANDWIDTH_INTERFACES))
    return tuple(
        Bandwidth(wire, by[wire], said["egress"])
        for wire, said in sorted(carried.items())
        if wire in by and said.get("egress")
    )


@record
class Agent:
    """A host that has joined, and is expected back until somebody removes it (what Neutron calls an
    agent). Its tunnels lead to ``tunnel``. Each has a second one (``l3``), which says nothing but
    whether routers may have gateways there."""

    KIND: ClassVar = "agent"
    INDEXES: ClassVar[Indexes] = (("host",), ("host", "l3"), ("l3",), ("tunnel",))

    id: str
    host: str
    admin_state_up: bool  # False, of either one: no router has its gateway there
    availability_zone: str
    # None: no tunnels lead there
    tunnel: Address | None = stored("configurations", _tunnel_address)
    # the higher ones are routers' gateways first
    gateway_priority: int = stored("configurations", _gateway_priority, default=0)
    l3: bool = stored("agent_type", AGENT_TYPE_L3.__eq__, default=False)
    bandwidths: tuple[Bandwidth, ...] = stored("configurations", _bandwidths, default=())


@record
class Worker:
    """A host that runs processes for features: ``tenantry worker``. Whether it is ``alive`` is
    noted in the store, so that a controller that starts knows who had which."""

    KIND: ClassVar = "worker"
    INDEXES: ClassVar[Indexes] = (("alive",),)

    id: str  # the host's name
    alive: bool


CORE = (Network, SubnetPool, Subnet, Port, Agent, Worker)
"""Those whose resources are of the API's core."""
