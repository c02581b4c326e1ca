# SPDX-License-Identifier: Apache-2.0

"""The records: every kind of thing the model holds, with the indexes by which it is found.

A record is a frozen value. What is in :data:`FROM_STORE` comes from the store (the API's resources,
with addresses parsed to integers); Host, Switch, Interface and Neighbour are observed and live in
memory only; a Binding is where a port and an interface met (``binding.py``), a Former what an
address was before (``before.py``).

A new kind of record is added here, with its indexes and, if it comes from the store, a line in
:data:`FROM_STORE`. Reading by anything but an index is not possible, on purpose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import netaddr
from neutron_lib.constants import DEVICE_OWNER_ROUTER_GW, ROUTER_INTERFACE_OWNERS

from tenantry.controller.model.model import Indexes, Record

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Network:
    """A tenant's network: one broadcast domain, wherever its ports are."""

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
    network_type: str  # "local", "flat", "vlan", "vxlan" or "geneve"
    physical_network: str | None
    segmentation_id: int | None
    dns_domain: str = ""  # with its final dot; "" means the controller's
    external: bool = False  # router:external: routers have their gateways there

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
            dns_domain=body.get("dns_domain") or "",
            external=bool(body.get("router:external")),
        )


@dataclass(frozen=True, slots=True)
class Segment:
    """One of several ways in which a network is carried between hosts: a wire, or tunnels."""

    INDEXES: ClassVar[Indexes] = (("network_id",), ("network_type",))

    id: str
    network_id: str
    network_type: str  # "local", "flat", "vlan", "vxlan" or "geneve"
    physical_network: str | None
    segmentation_id: int | None

    @classmethod
    def from_body(cls, body: Body) -> Segment:
        return cls(
            id=body["id"],
            network_id=body["network_id"],
            network_type=body["network_type"],
            physical_network=body["physical_network"],
            segmentation_id=body["segmentation_id"],
        )


@dataclass(frozen=True, slots=True)
class SubPort:
    """A port that is plugged in as a VLAN of another one, its trunk's."""

    port_id: str
    segmentation_id: int  # the VLAN id of its frames on the parent's interface


@dataclass(frozen=True, slots=True)
class Trunk:
    """A port whose interface carries other ports beside it, each as a VLAN."""

    INDEXES: ClassVar[Indexes] = (("port_id",), ("sub_port_ids",))

    id: str
    port_id: str  # the parent
    admin_state_up: bool
    sub_ports: tuple[SubPort, ...]
    sub_port_ids: frozenset[str]

    @classmethod
    def from_body(cls, body: Body) -> Trunk:
        subs = tuple(SubPort(s["port_id"], s["segmentation_id"]) for s in body["sub_ports"])
        return cls(
            id=body["id"],
            port_id=body["port_id"],
            admin_state_up=body["admin_state_up"],
            sub_ports=subs,
            sub_port_ids=frozenset(sub.port_id for sub in subs),
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A route that hosts on a subnet are told of, or that a router has."""

    destination: int
    prefix_length: int
    nexthop: int
    version: int = 4


@dataclass(frozen=True, slots=True)
class SubnetPool:
    """Where subnets come from; those of one address scope are routed without translation."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    address_scope_id: str  # or ""

    @classmethod
    def from_body(cls, body: Body) -> SubnetPool:
        return cls(id=body["id"], address_scope_id=body["address_scope_id"] or "")


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
    enable_dhcp: bool = False
    dns_nameservers: tuple[int, ...] = ()
    host_routes: tuple[Route, ...] = ()
    ra_mode: str = ""  # ipv6_ra_mode: "slaac", "dhcpv6-stateful", "dhcpv6-stateless" or ""
    address_mode: str = ""  # ipv6_address_mode, likewise
    service_address: int | None = None  # where DHCP and DNS are answered on this subnet
    subnetpool_id: str = ""

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
            gateway=_address(gateway),
            enable_dhcp=body["enable_dhcp"],
            dns_nameservers=tuple(int(netaddr.IPAddress(s)) for s in body["dns_nameservers"]),
            host_routes=tuple(_route(route) for route in body["host_routes"]),
            ra_mode=body["ipv6_ra_mode"] or "",
            address_mode=body["ipv6_address_mode"] or "",
            service_address=_address(body.get("service_address")),
            subnetpool_id=body.get("subnetpool_id") or "",
        )


class Address(NamedTuple):
    """An address of either family."""

    version: int
    address: int


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
    """An option of a port's own (extra_dhcp_opts), by name or number as it was asked for."""

    name: str
    value: str
    version: int


@dataclass(frozen=True, slots=True)
class Port:
    """A place on a network where a machine plugs in."""

    INDEXES: ClassVar[Indexes] = (
        ("key",),
        ("network_id",),
        ("network_id", "dns_name"),
        ("host", "interface_name"),
        ("router_id",),
        ("network_id", "router_id"),
        ("security_groups",),
    )

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
    allowed_pairs: tuple[AddressPair, ...] = ()
    dhcp_options: tuple[DhcpOption, ...] = ()
    dns_name: str = ""
    dns_domain: str = ""  # with its final dot; "" means the network's
    device_id: str = ""
    device_owner: str = ""
    profile: str = (
        ""  # binding:profile as JSON, sorted: user data and keys for the metadata service
    )
    standby_hosts: frozenset[str] = frozenset()  # where it may move to, and be plugged in besides
    security_groups: frozenset[str] | None = None  # None: nobody judges what it sends and gets

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
            allowed_pairs=tuple(map(_pair, body.get("allowed_address_pairs") or ())),
            dhcp_options=tuple(
                DhcpOption(option["opt_name"], option["opt_value"], int(option["ip_version"]))
                for option in body.get("extra_dhcp_opts") or ()
            ),
            dns_name=body.get("dns_name") or "",
            dns_domain=body.get("dns_domain") or "",
            device_id=body["device_id"],
            device_owner=body["device_owner"],
            profile=json.dumps(profile, sort_keys=True) if profile else "",
            standby_hosts=frozenset(
                host
                for host in (*(body.get("standby_hosts") or ()), profile.get("migrating_to"))
                if isinstance(host, str) and host
            ),
            security_groups=_groups(body),
        )

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


@dataclass(frozen=True, slots=True)
class Router:
    """A tenant's router. Its ports are Ports: see :attr:`Port.router_id`."""

    INDEXES: ClassVar[Indexes] = (("key",),)

    id: str
    key: int  # small, unique, permanent: what ROUTER carries, and its zones are made of
    project_id: str
    name: str
    admin_state_up: bool
    gateway_port_id: str = ""  # or "": it leads nowhere but to its own networks
    enable_snat: bool = False
    routes: tuple[Route, ...] = ()
    zones: frozenset[str] = frozenset()  # availability_zone_hints: its gateways are only there
    ndp_proxies_only: bool = False  # enable_ndp_proxy: of IPv6, outside reaches only what has one

    @classmethod
    def from_body(cls, body: Body) -> Router:
        gateway = body["external_gateway_info"] or {}
        return cls(
            id=body["id"],
            key=body["key"],
            project_id=body["project_id"],
            name=body["name"],
            admin_state_up=body["admin_state_up"],
            gateway_port_id=body["gw_port_id"] or "",
            enable_snat=bool(gateway.get("enable_snat", True)) if gateway else False,
            routes=tuple(_route(route) for route in body["routes"]),
            zones=frozenset(body.get("availability_zone_hints") or ()),
            ndp_proxies_only=bool(body.get("enable_ndp_proxy")),
        )


@dataclass(frozen=True, slots=True)
class FloatingIp:
    """An address of an external network that stands for one of a tenant's."""

    INDEXES: ClassVar[Indexes] = (
        ("router_id",),
        ("router_id", "fixed_address"),
        ("router_id", "address"),
        ("fixed_port_id",),
        ("network_id",),
    )

    id: str
    project_id: str
    network_id: str  # the external one
    address: int
    port_id: str  # the port there that has the address, and a MAC address of its own
    router_id: str  # or "": it leads nowhere
    fixed_port_id: str  # or "": it leads nowhere, or is forwarded port by port
    fixed_address: int

    @classmethod
    def from_body(cls, body: Body) -> FloatingIp:
        return cls(
            id=body["id"],
            project_id=body["project_id"],
            network_id=body["floating_network_id"],
            address=_address(body["floating_ip_address"]) or 0,
            port_id=body["floating_port_id"],
            router_id=body["router_id"] or "",
            fixed_port_id=body["port_id"] or "",
            fixed_address=_address(body["fixed_ip_address"]) or 0,
        )


@dataclass(frozen=True, slots=True)
class PortForwarding:
    """Ports of a floating IP that lead to ports of a tenant's address."""

    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    floatingip_id: str
    router_id: str
    protocol: str  # "tcp", "udp"
    external: tuple[int, int]  # first and last port
    internal: tuple[int, int]  # as many, or one
    address: int

    @classmethod
    def from_body(cls, body: Body) -> PortForwarding:
        return cls(
            id=body["id"],
            floatingip_id=body["floatingip_id"],
            router_id=body["router_id"] or "",
            protocol=body["protocol"],
            external=_ports(body["external_port_range"]),
            internal=_ports(body["internal_port_range"]),
            address=_address(body["internal_ip_address"]) or 0,
        )


@dataclass(frozen=True, slots=True)
class ConntrackHelper:
    """A protocol whose connections open others, on the way through a router."""

    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    router_id: str
    protocol: str
    port: int
    helper: str

    @classmethod
    def from_body(cls, body: Body) -> ConntrackHelper:
        names = ("id", "router_id", "protocol", "port", "helper")
        return cls(**{name: body[name] for name in names})


@dataclass(frozen=True, slots=True)
class NdpProxy:
    """A tenant's IPv6 address for which the router answers on the external network."""

    INDEXES: ClassVar[Indexes] = (("router_id",),)

    id: str
    router_id: str
    address: int

    @classmethod
    def from_body(cls, body: Body) -> NdpProxy:
        address = _address(body["ip_address"]) or 0
        return cls(id=body["id"], router_id=body["router_id"], address=address)


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """Ports that have the same rules."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent
    project_id: str
    name: str
    stateful: bool

    @classmethod
    def from_body(cls, body: Body) -> SecurityGroup:
        return cls(
            id=body["id"],
            key=body["key"],
            project_id=body["project_id"],
            name=body["name"],
            stateful=body["stateful"],
        )


@dataclass(frozen=True, slots=True)
class SecurityGroupRule:
    """What may pass a port of a group: a connection that is begun in this direction, as the port
    sees it, from or to the remote end."""

    INDEXES: ClassVar[Indexes] = (
        ("security_group_id",),
        ("security_group_id", "ingress", "remote_id"),
        ("remote_id", "ingress", "security_group_id"),
    )

    id: str
    project_id: str
    security_group_id: str
    ingress: bool
    version: int
    protocol: int | None  # its IP protocol number; None: all
    first: int | None  # of the destination's ports, or the ICMP type; None: all
    last: int | None  # of the destination's ports, or the ICMP code; None: all
    remote_id: str  # security group or address group; or ""
    remote_first: int | None  # a prefix of addresses; None: all
    remote_length: int

    @classmethod
    def from_body(cls, body: Body) -> SecurityGroupRule:
        prefix = netaddr.IPNetwork(body["normalized_cidr"]) if body["normalized_cidr"] else None
        return cls(
            id=body["id"],
            project_id=body["project_id"],
            security_group_id=body["security_group_id"],
            ingress=body["direction"] == "ingress",
            version=4 if body["ethertype"] == "IPv4" else 6,
            protocol=body["protocol_number"],
            first=body["port_range_min"],
            last=body["port_range_max"],
            remote_id=body["remote_group_id"] or body["remote_address_group_id"] or "",
            remote_first=prefix and prefix.first,
            remote_length=prefix.prefixlen if prefix else 0,
        )


@dataclass(frozen=True, slots=True)
class Prefix:
    """A range of addresses."""

    version: int
    first: int
    length: int


@dataclass(frozen=True, slots=True)
class AddressGroup:
    """Addresses that rules name together."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent
    prefixes: tuple[Prefix, ...]

    @classmethod
    def from_body(cls, body: Body) -> AddressGroup:
        prefixes = (_prefix(address) for address in body["addresses"])
        return cls(id=body["id"], key=body["key"], prefixes=tuple(p for p in prefixes if p))


@dataclass(frozen=True, slots=True)
class FirewallRule:
    """A rule of policies: what it matches of a connection's first packet, and what it decides."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    enabled: bool
    action: str  # "allow", "deny" or "reject"
    version: int
    protocol: str  # by name, or ""
    source: Prefix | None
    destination: Prefix | None
    source_ports: tuple[int, int] | None
    destination_ports: tuple[int, int] | None

    @classmethod
    def from_body(cls, body: Body) -> FirewallRule:
        return cls(
            id=body["id"],
            enabled=body["enabled"],
            action=body["action"],
            version=body["ip_version"],
            protocol=body["protocol"] or "",
            source=_prefix(body["source_ip_address"]),
            destination=_prefix(body["destination_ip_address"]),
            source_ports=_ports(body["source_port"]) if body["source_port"] else None,
            destination_ports=(
                _ports(body["destination_port"]) if body["destination_port"] else None
            ),
        )


@dataclass(frozen=True, slots=True)
class FirewallPolicy:
    """Rules in their order."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    key: int  # small, unique, permanent: what POLICY carries
    rules: tuple[str, ...]

    @classmethod
    def from_body(cls, body: Body) -> FirewallPolicy:
        return cls(id=body["id"], key=body["key"], rules=tuple(body["firewall_rules"]))


@dataclass(frozen=True, slots=True)
class FirewallGroup:
    """Ports, and the policies that judge what they get and what they send."""

    INDEXES: ClassVar[Indexes] = (("ports",),)

    id: str
    admin_state_up: bool
    ports: frozenset[str]
    ingress_id: str  # of a policy; or "": nothing passes
    egress_id: str

    @classmethod
    def from_body(cls, body: Body) -> FirewallGroup:
        return cls(
            id=body["id"],
            admin_state_up=body["admin_state_up"],
            ports=frozenset(body["ports"]),
            ingress_id=body["ingress_firewall_policy_id"] or "",
            egress_id=body["egress_firewall_policy_id"] or "",
        )


@dataclass(frozen=True, slots=True)
class NetworkLog:
    """What is to be logged of the packets of ports: those of a group, of a project, or one."""

    INDEXES: ClassVar[Indexes] = ()

    id: str
    project_id: str
    enabled: bool
    event: str  # "ACCEPT", "DROP" or "ALL"
    group_id: str  # a security group; or "": any of the project's
    port_id: str  # or "": any

    @classmethod
    def from_body(cls, body: Body) -> NetworkLog:
        return cls(
            id=body["id"],
            project_id=body["project_id"],
            enabled=body["enabled"],
            event=body["event"],
            group_id=body["resource_id"] or "",
            port_id=body["target_id"] or "",
        )


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An address that the model does not know, and that answered when it was asked."""

    INDEXES: ClassVar[Indexes] = (("network_id",),)

    id: tuple[str, int, int]  # network id, IP version, address
    network_id: str
    version: int
    address: int
    mac: int


@dataclass(frozen=True, slots=True)
class Agent:
    """A host that has joined, and is expected back until somebody removes it (what Neutron calls an
    agent). Its tunnels lead to ``tunnel``."""

    INDEXES: ClassVar[Indexes] = (("host",), ("tunnel",))

    id: str
    host: str
    admin_state_up: bool  # False: no router has its gateway there
    availability_zone: str
    tunnel: Address | None  # None: no tunnels lead there
    gateway_priority: int = 0  # the higher ones are routers' gateways first

    @classmethod
    def from_body(cls, body: Body) -> Agent:
        said = body["configurations"]
        address = netaddr.IPAddress(said["tunnel_address"]) if said.get("tunnel_address") else None
        return cls(
            id=body["id"],
            host=body["host"],
            admin_state_up=body["admin_state_up"],
            availability_zone=body["availability_zone"],
            tunnel=Address(address.version, int(address)) if address else None,
            gateway_priority=said.get("gateway_priority", 0),
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
    integration: bool = False  # the one of its host that we made, or have adopted


@dataclass(frozen=True, slots=True)
class Interface:
    """A port of a switch, by its OpenFlow number."""

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("iface_id",),
        ("name",),
        ("switch", "physical_network"),
        ("physical_network", "switch"),
        ("service", "switch"),
        ("switch", "tunnel", "peer"),
        ("tunnel", "peer", "switch"),
    )

    id: tuple[int, str]  # datapath id, name
    switch: int
    name: str
    ofport: int
    host: str
    iface_id: str  # external_ids:iface-id, as Nova, libvirt and OVN set it; or ""
    physical_network: str  # external_ids:tenantry-physical-network; or ""
    service: bool = False  # external_ids:tenantry-service: the controller answers TCP there
    tunnel: str = ""  # external_ids:tenantry-tunnel: "vxlan" or "geneve", if it is one of ours
    peer: Address | None = None  # external_ids:tenantry-peer: where it leads; None: anywhere


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A tunnel whose health is watched (BFD), from the moment when its word counts: it has been up,
    or had the time to."""

    INDEXES: ClassVar[Indexes] = ()

    id: tuple[int, str]  # of its interface: datapath id, name


@dataclass(frozen=True, slots=True)
class Health:
    """What one end of such a tunnel thinks of the other. No flows depend on it: switches see for
    themselves, at once and without us."""

    INDEXES: ClassVar[Indexes] = (("peer",),)

    id: tuple[int, str]  # of its interface
    switch: int
    peer: Address
    up: bool
    forwarding: bool  # it is up, and the other end takes packets


@dataclass(frozen=True, slots=True)
class HeldDown:
    """A switch that is not to be a gateway for now: it was gone, and is not yet back for good."""

    INDEXES: ClassVar[Indexes] = ()

    id: int  # datapath id


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the controller's that flows depend on: the same for as long as it runs."""

    INDEXES: ClassVar[Indexes] = ()

    id: str  # its name, as in the configuration
    value: int


@dataclass(frozen=True, slots=True)
class Binding:
    """A port that is plugged in: which switch, which OpenFlow port. ``id`` is the port's.

    ``part`` is one of PARTS into which the ports of a network are dealt, so that what is done for
    all of them together (a flood) need not be done again as a whole for each that comes or goes.
    ``share`` is likewise one of SHARES, of all ports whatever their network.
    """

    INDEXES: ClassVar[Indexes] = (
        ("switch",),
        ("network_id",),
        ("switch", "network_id"),
        ("switch", "share"),
        ("network_id", "switch"),
        ("switch", "interface"),
        ("switch", "part"),
        ("switch", "network_id", "part"),
        ("trunk",),
        ("switch", "security_groups"),
        ("network_id", "security_groups", "switch"),
    )

    id: str
    network_id: str
    part: str  # network id and number: "NETWORK/7"
    switch: int
    interface: str
    host: str
    ofport: int
    security_groups: frozenset[str] = frozenset()
    vlan: int = 0  # of a trunk's sub-port: the tag of its frames there
    trunk: str = ""  # the trunk's id, or ""
    share: str = ""  # its number: "7"


@dataclass(frozen=True, slots=True)
class Standby:
    """A second place where a port is plugged in, on a host that it may move to: all is ready there,
    but nothing is sent there yet."""

    INDEXES: ClassVar[Indexes] = (
        ("port_id",),
        ("switch", "port_id"),
        ("switch", "network_id"),
        ("switch", "interface"),
    )

    id: tuple[str, int]  # the port's, and the switch's
    port_id: str
    network_id: str
    switch: int
    interface: str
    host: str
    ofport: int


@dataclass(frozen=True, slots=True)
class Former:
    """Where an address was before: at which MAC address the hosts of its network may still look for
    it. In memory only."""

    INDEXES: ClassVar[Indexes] = (("network_id",),)

    id: tuple[str, int, int]  # the network's, IP version, address
    network_id: str
    mac: int


PARTS = 16
"""Parts of a network. A flow that copies to a whole part must fit 64 KiB: 32 bytes a port."""

SHARES = 64
"""A power of two. What is done for each share is done so often at most, however many ports a switch
has; and where they are some dozens, most are alone in theirs."""

FROM_STORE: dict[str, tuple[type[Record], Callable[[Body], Record]]] = {
    "network": (Network, Network.from_body),
    "segment": (Segment, Segment.from_body),
    "agent": (Agent, Agent.from_body),
    "trunk": (Trunk, Trunk.from_body),
    "subnet": (Subnet, Subnet.from_body),
    "port": (Port, Port.from_body),
    "subnetpool": (SubnetPool, SubnetPool.from_body),
    "router": (Router, Router.from_body),
    "floatingip": (FloatingIp, FloatingIp.from_body),
    "port_forwarding": (PortForwarding, PortForwarding.from_body),
    "conntrack_helper": (ConntrackHelper, ConntrackHelper.from_body),
    "ndp_proxy": (NdpProxy, NdpProxy.from_body),
    "security_group": (SecurityGroup, SecurityGroup.from_body),
    "security_group_rule": (SecurityGroupRule, SecurityGroupRule.from_body),
    "address_group": (AddressGroup, AddressGroup.from_body),
    "firewall_rule": (FirewallRule, FirewallRule.from_body),
    "firewall_policy": (FirewallPolicy, FirewallPolicy.from_body),
    "firewall_group": (FirewallGroup, FirewallGroup.from_body),
    "log": (NetworkLog, NetworkLog.from_body),
}
"""The store's kinds that have a record, and how a body becomes one."""


def _groups(body: Body) -> frozenset[str] | None:
    """Only who has port security is judged; the controller's own ports are not."""
    groups = body.get("security_groups")
    return frozenset(groups) if groups is not None and body["port_security_enabled"] else None


def parse_mac(text: str) -> int:
    """A MAC address in any common notation, as 48 bits."""
    return int(text.replace(":", "").replace("-", "").replace(".", ""), 16)


def _address(text: str | None) -> int | None:
    return int(netaddr.IPAddress(text)) if text else None


def _route(entry: Body) -> Route:
    destination = netaddr.IPNetwork(entry["destination"])
    nexthop = int(netaddr.IPAddress(entry["nexthop"]))
    return Route(destination.first, destination.prefixlen, nexthop, destination.version)


def _prefix(text: str | None) -> Prefix | None:
    if not text:
        return None
    net = netaddr.IPNetwork(text)
    return Prefix(net.version, net.first, net.prefixlen)


def _ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    return int(first), int(last or first)


def _pair(entry: Body) -> AddressPair:
    net = netaddr.IPNetwork(entry["ip_address"])
    return AddressPair(parse_mac(entry["mac_address"]), net.version, net.first, net.prefixlen)


def _fixed_ip(entry: Body) -> FixedIp:
    address = netaddr.IPAddress(entry["ip_address"])
    return FixedIp(entry["subnet_id"], address.version, int(address))
