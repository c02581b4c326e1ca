# SPDX-License-Identifier: Apache-2.0

"""Hypothesis strategies for histories: any sequence of record changes that API and switches could
send, over a handful of ids, so that they meet often."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from tenantry.apps.firewall.records import FirewallGroup, FirewallPolicy, FirewallRule
from tenantry.apps.local_ip.records import LocalIp, LocalIpAssociation
from tenantry.apps.metering.records import MeteringLabel, MeteringLabelRule
from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.apps.nat.records import ConntrackHelper, NdpProxy, PortForwarding
from tenantry.apps.network_log.records import NetworkLog
from tenantry.apps.qos.records import (
    BandwidthLimit,
    DscpMarking,
    MinimumBandwidth,
    PacketRateLimit,
)
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroup, SecurityGroupRule
from tenantry.apps.tap import records as tap
from tenantry.apps.tap.rows import mirror_name
from tenantry.apps.tap.terms import alternatives
from tenantry.controller.model import (
    Address,
    Agent,
    Binding,
    Change,
    Interface,
    Model,
    Network,
    Option,
    Port,
    Prefix,
    Read,
    Record,
    Route,
    Standby,
    Subnet,
    SubnetPool,
    SubPort,
    Switch,
    Trunk,
    Tunnel,
)
from tenantry.controller.model.binding import dpid_text, rebind
from tenantry.controller.model.values import FixedIp
from tenantry.controller.network.records import FloatingIp, HeldDown, Neighbour, Router, Segment
from tests.property.balancing import KINDS as BALANCING
from tests.property.balancing import balancing

SWITCHES = (1, 2, 3, 4)  # 3 has no OVSDB; the others can be joined by tunnels
NETWORKS = ("blue", "green", "red")
PORTS = ("p1", "p2", "p3", "p4", "p5")
LEGS = ("leg1", "leg2", "leg3", "leg4")  # ports of routers
ROUTERS = ("r1", "r2")
FLOATING = ("f1", "f2")
HOLDERS = ("h1", "h2")  # the ports that have the addresses of floating IPs
WIRES = ("wire", "cable")
GROUPS = ("g1", "g2", "g3")  # security groups
POLICIES = ("slow", "marked")  # of quality of service
policy_ids = st.sampled_from(["", *POLICIES])


def _host(switch: int) -> str:
    return "" if switch == 3 else f"host{switch}"


def _key(id: str) -> int:
    return (*NETWORKS, *PORTS, *LEGS, *HOLDERS).index(id) + 1


switches = st.sampled_from(SWITCHES).map(lambda n: Switch(n, f"s{n}", _host(n), n != 3))


def _tunnel(switch: int) -> Address:
    """Where tunnels to a switch's host lead; to one of them by IPv6."""
    return Address(6, 0xFD << 120 | switch) if switch == 4 else Address(4, 0xC0000200 + switch)


@st.composite
def hosts(draw: st.DrawFn) -> Record:
    """Hosts that come and go, the tunnels between them, and what those say."""
    here, there = draw(st.permutations([1, 2, 4]))[:2]
    kind = draw(st.sampled_from(["vxlan", "geneve"]))
    number = draw(st.sampled_from([20, 30])) + here
    name = f"tn-{kind}"
    whole = (*((here, name), here, name, number + (kind == "vxlan") * 4, _host(here)), "", "")
    watching = (*((here, f"bfd-{there}"), here, f"bfd-{there}"), number + 4 * there, _host(here))
    kinds: list[Record] = [
        Agent(
            *(f"agent{here}", _host(here), draw(st.booleans()) or draw(st.booleans()), "zone"),
            draw(st.sampled_from([None, _tunnel(here), _tunnel(here)])),
            draw(st.integers(0, 1)),
        ),
        Interface(*whole, tunnel=kind),
        Interface(*watching, "", "", tunnel="vxlan", peer=_tunnel(there)),
        Tunnel((here, f"bfd-{there}")),
        HeldDown(here),
        Option("connections_per_port", draw(st.sampled_from([0, 16_384]))),
        Option("broadcasts_per_second", draw(st.sampled_from([0, 1_000]))),
        Option("multicast_snooping", draw(st.integers(0, 1))),
        Asked(here),
        _membership(draw),
        Segment("s1", "blue", "vlan", "wire", 101),
        Segment("s2", "blue", kind, None, 501),
        Trunk(
            *("trunk", draw(st.sampled_from(["p1", "p2"])), draw(st.booleans())),
            *(subs := draw(st.sampled_from(_SUBS))),
        ),
    ]
    assert subs
    return draw(st.sampled_from(kinds))


_SUBS = [
    (tuple(SubPort(id, 10 + n) for n, id in enumerate(ids)), frozenset(ids))
    for ids in ((), ("p3",), ("p3", "p4"))
]


def _membership(draw: st.DrawFn) -> Membership:
    port, network = draw(st.sampled_from(PORTS)), draw(st.sampled_from(NETWORKS))
    group = draw(st.sampled_from([*EVERY_GROUP.values(), Address(4, 0xEF010101)]))
    return Membership((port, group), network, port, group)


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Of any type; a VLAN id or flat network belongs to one network of a physical network."""
    id = draw(st.sampled_from(NETWORKS))
    kind = draw(st.sampled_from(["vlan", "flat", "local", "vxlan", "geneve"]))
    wire, vlan = None, None
    if kind in ("vxlan", "geneve"):
        vlan = 500 + _key(id)
    elif kind == "vlan":
        wire, vlan = draw(st.sampled_from(WIRES)), 100 + _key(id)
    elif kind == "flat" and id != "red":  # as many flat networks as wires
        wire = WIRES[_key(id) - 1]
    else:
        kind = "local"
    up = draw(st.booleans()) or draw(st.booleans())
    mtu = draw(st.sampled_from([1500, 9000]))
    external = draw(st.booleans())
    name = ("project", id, up, mtu, kind, wire, vlan)
    more = {"external": external, "qos_policy_id": draw(policy_ids)}
    return Network(id, _key(id), *name, pvlan=draw(st.booleans()), **more)


def _first(network: str, version: int) -> int:
    """Where a network's addresses of a family begin."""
    return _key(network) << 16 | 10 << 24 if version == 4 else 0xFD << 120 | _key(network) << 64


@st.composite
def subnets(draw: st.DrawFn) -> Subnet:
    network, version = draw(st.sampled_from(NETWORKS)), draw(st.sampled_from([4, 6]))
    first, dhcp = _first(network, version), draw(st.booleans())
    gateway = draw(st.sampled_from([None, first + _key("leg1"), first + _key("p1")]))
    return Subnet(
        *(
            f"{network}{version}",
            network,
            version,
            first,
            24 if version == 4 else 64,
            gateway,
            dhcp,
        ),
        ra_mode=draw(st.sampled_from(["", "slaac"])) if version == 6 else "",
        service_address=first + 0xFE if dhcp else None,
        subnetpool_id=draw(st.sampled_from(["", "pool"])),
        segment_id=draw(st.sampled_from(["", "s1", "s2"])),
    )


@st.composite
def legs(draw: st.DrawFn) -> Port:
    """A router's port: an interface, or its gateway."""
    id, network = draw(st.sampled_from(LEGS)), draw(st.sampled_from(NETWORKS))
    key = _key(id)
    versions = draw(st.sampled_from([(4,), (6,), (4, 6)]))
    ips = tuple(FixedIp(f"{network}{v}", v, _first(network, v) + key) for v in versions)
    owner = draw(st.sampled_from(["router_interface", "router_gateway"]))
    return Port(
        *(id, key, network, "project", "", 0xFA163E000000 + key, ips, True, False, "", ""),
        addresses=frozenset(ips),
        device_id=draw(st.sampled_from(ROUTERS)),
        device_owner=f"network:{owner}",
    )


@st.composite
def routers(draw: st.DrawFn) -> Router:
    id = draw(st.sampled_from(ROUTERS))
    network, hop = draw(st.sampled_from(NETWORKS)), draw(st.sampled_from([*PORTS, *LEGS]))
    routes = [Route(172 << 24, 8, _first(network, 4) + _key(hop), 4)]
    routes.append(Route(172 << 24, 8, _first(network, 4) + 99, 4))
    routes.append(Route(0, 0, _first(network, 6) + _key(hop), 6))
    nexthop = _first(network, 6) + _key(hop)
    length = draw(st.integers(0, 128))
    first = draw(st.sampled_from([0xFE80 << 112 | 1, 0xFF02 << 112 | 1, 0xFFFF << 32 | 7]))
    routes.append(Route(first >> 128 - length << 128 - length, length, nexthop, 6))
    return Router(
        *(id, ROUTERS.index(id) + 1, "project", id, draw(st.booleans()) or draw(st.booleans())),
        gateway_port_id="",
        enable_snat=draw(st.booleans()),
        routes=tuple(draw(st.permutations(routes))[: draw(st.integers(0, 4))]),
        distributed=draw(st.booleans()),
        ha=draw(st.booleans()),
        ndp_proxies_only=draw(st.booleans()),
        qos_policy_id=draw(policy_ids),
    )


@st.composite
def translations(draw: st.DrawFn) -> Record:
    """What there is of NAT, and what else routers look at."""
    number = draw(st.integers(0, 1))
    id, router = FLOATING[number], draw(st.sampled_from(["", *ROUTERS]))
    network, holder = draw(st.sampled_from(NETWORKS)), HOLDERS[number]
    address, fixed = 0xCB007100 + number, _first(draw(st.sampled_from(NETWORKS)), 4) + number + 4
    ports = (
        (80 + number, 80 + number),
        draw(st.sampled_from([(80, 80), (80 + number, 80 + number)])),
    )
    some_port = draw(st.sampled_from(["", *PORTS]))
    key = _key(holder)
    held = (FixedIp(f"{network}4", 4, address),)
    kinds: list[Record] = [
        FloatingIp(
            *(id, "project", network, address, holder, router, some_port, fixed),
            qos_policy_id=draw(policy_ids),
        ),
        Port(
            *(holder, key, network, "", "", 0xFA163E000000 + key, held, True, False, "", ""),
            device_id=id,
            device_owner="network:floatingip",
        ),
        PortForwarding(f"pf{number}", id, router, "tcp", *ports, fixed + 50),
        ConntrackHelper("ftp", router, "tcp", 21, "ftp"),
        NdpProxy(f"proxy{number}", router, _first(network, 6) + 200 + number),
        SubnetPool("pool", draw(st.sampled_from(["", "scope"]))),
        Neighbour((network, 4, 1), network, 4, _first(network, 4) + 99, 0x020000000001 + number),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def ports(draw: st.DrawFn) -> Port:
    """Each port has a MAC address and, for the switch without OVSDB, an interface of its own."""
    id = draw(st.sampled_from(PORTS))
    key = _key(id)
    by_name = draw(st.booleans())
    mac = 0xFA163E000000 + draw(st.sampled_from([key, key + 0x100]))
    community = draw(st.sampled_from(["", "", id, "web", "data"]))
    return Port(
        id=id,
        key=key,
        network_id=(network := draw(st.sampled_from(NETWORKS))),
        project_id="project",
        name=draw(st.sampled_from(["", "web"])),
        mac=mac,
        fixed_ips=tuple(FixedIp(f"{network}{v}", v, _first(network, v) + key) for v in (4, 6)),
        addresses=frozenset(FixedIp(f"{network}{v}", v, _first(network, v) + key) for v in (4, 6)),
        admin_state_up=draw(st.booleans()) or draw(st.booleans()),
        port_security=draw(st.booleans()),
        host=draw(st.sampled_from(["", "host1", "host2", dpid_text(3)])),
        interface_name=f"tap{key}" if by_name else "",
        security_groups=draw(st.none() | st.frozensets(st.sampled_from(GROUPS), max_size=2)),
        standby_hosts=draw(st.frozensets(st.sampled_from(["host1", "host2"]), max_size=1)),
        community=frozenset({community} - {""}),
        community_macs=frozenset({mac, draw(st.sampled_from([mac, 7]))} if community else ()),
        qos_policy_id=draw(policy_ids),
    )


@st.composite
def local_ips(draw: st.DrawFn) -> Record:
    """A local IP, and ports behind it; some on another network, or without the address."""
    port, other = draw(st.permutations(PORTS))[:2]
    networks = st.sampled_from(NETWORKS)
    address = _first(draw(networks), 4) + _key(port)
    mode = draw(st.sampled_from(["translate", "passthrough"]))
    kinds: list[Record] = [
        LocalIp("near", 9, draw(networks), other, _first(draw(networks), 4) + _key(other), mode),
        LocalIpAssociation(f"near-{port}", "near", port, address),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def taps(draw: st.DrawFn) -> Record:
    """Ports that get copies, and ports whose packets are copied, some of them the same; mirrors,
    and the interface that leads to one."""
    here = draw(st.sampled_from([1, 2, 4]))
    one, two = draw(st.sampled_from(["tap1", "tap2"])), draw(st.sampled_from(PORTS))
    tunnels = (
        tap.MirrorTunnel(5, frozenset({tap.IN})),
        tap.MirrorTunnel(6, frozenset({tap.IN, tap.OUT})),
    )
    remote = draw(st.sampled_from([Address(4, 0xC0000263), Address(6, 0xFD << 120 | 99)]))
    mirror = tap.TapMirror(
        *("mirror", two, draw(st.sampled_from(["gre", "erspanv1"])), remote),
        tunnels[: draw(st.integers(1, 2))],
    )
    name = mirror_name(mirror, tunnels[0])
    kinds: list[Record] = [
        tap.TapService(one, "project", two, 0xFFFFFF if one == "tap1" else 0xFFFFFE),
        tap.TapFlow(
            *(f"{one} {two}", draw(st.sampled_from(["project", "other"]))),
            draw(st.sampled_from([tap.IN, tap.OUT, tap.BOTH])),
            *(one, two, draw(st.sampled_from([(), ((10, 10),), ((9, 20), (1, 2))]))),
        ),
        mirror,
        Interface((here, name), here, name, 40, _host(here), "", ""),
        tap.Capture(
            *(
                "capture",
                3,
                two,
                draw(st.sampled_from([frozenset({tap.IN}), frozenset({tap.OUT})])),
            ),
            *(alternatives(draw(st.sampled_from(["", "tcp port 80", "host fd00::1"]))), 500),
        ),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def metering(draw: st.DrawFn) -> Record:
    """A label and its rules, of the project that has the routers, or shared."""
    version = draw(st.sampled_from([4, 6]))
    prefix = Prefix(version, _first(draw(st.sampled_from(NETWORKS)), version), 24)
    ends = draw(st.sampled_from([(prefix, None, None), (None, prefix, None), (None, None, prefix)]))
    kinds: list[Record] = [
        MeteringLabel(
            "paid", 1, draw(st.sampled_from(["project", "another"])), draw(st.booleans())
        ),
        MeteringLabelRule(
            *(draw(st.sampled_from(["one", "two"])), "paid"),
            *(draw(st.sampled_from(["egress", "ingress"])), draw(st.booleans()), *ends),
        ),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def groups(draw: st.DrawFn) -> Record:
    """Security groups, their rules, and an address group. No two rules of a group are the same."""
    id = draw(st.sampled_from(GROUPS))
    key = GROUPS.index(id) + 1
    version, ingress = draw(st.sampled_from([4, 6])), draw(st.booleans())
    protocol, first, last = draw(
        st.sampled_from(
            [(None, None, None), (6, 80, 83), (17, 53, 53), (1, 8, None), (112, None, None)]
        )
    )
    remote = draw(st.sampled_from(["", *GROUPS, "office"]))
    length = 0 if remote else draw(st.sampled_from([0, 16, 32]))
    prefix = _first("blue", version) if length else None
    name = f"{id} {version} {ingress} {protocol} {remote} {length}"
    prefixes = (Prefix(4, _first("red", 4), 24), Prefix(6, _first("red", 6), 64))
    kinds: list[Record] = [
        SecurityGroup(id, key, "project", id, draw(st.booleans())),
        SecurityGroupRule(
            *(name, "project", id, ingress, version),
            *(protocol, first, last, remote, prefix, length),
        ),
        SecurityGroupRule(
            *(name, "project", id, ingress, version),
            *(protocol, first, last, remote, prefix, length),
        ),
        AddressGroup("office", 1, prefixes[: draw(st.integers(0, 2))]),
        FirewallRule(
            *("web", draw(st.booleans()), draw(st.sampled_from(["allow", "reject"])), version),
            *("tcp", prefixes[0] if version == 4 else None, None, None, (80, 83)),
        ),
        NetworkLog(
            *("log", "project", draw(st.booleans()), draw(st.sampled_from(["ALL", "DROP"]))),
            *(draw(st.sampled_from(["", *GROUPS])), draw(st.sampled_from(["", *PORTS]))),
        ),
        FirewallPolicy("policy", 1, draw(st.sampled_from([(), ("web",)]))),
        FirewallGroup(
            *("wall", draw(st.booleans())),
            draw(st.frozensets(st.sampled_from([*PORTS, *LEGS]), max_size=4)),
            *(draw(st.sampled_from(["", "policy"])), draw(st.sampled_from(["", "policy"]))),
        ),
    ]
    return draw(st.sampled_from(kinds))


@st.composite
def interfaces(draw: st.DrawFn) -> Interface:
    """Plugged, spare, or leading to a wire. A switch gives no number twice."""
    switch = draw(st.sampled_from(SWITCHES))
    number = draw(st.integers(1, 7))
    wire = number > 5
    iface_id = "" if wire or switch == 3 else draw(st.sampled_from(["", *PORTS]))
    return Interface(
        id=(switch, f"eth{number}" if wire else f"tap{number + 3}"),
        switch=switch,
        name=f"eth{number}" if wire else f"tap{number + 3}",
        ofport=number + draw(st.sampled_from([0, 10])),
        host=_host(switch),
        iface_id=iface_id,
        physical_network=draw(st.sampled_from(WIRES)) if wire else "",
    )


def _now(record: Record) -> Change:
    return Change(type(record), record.id, record)


def _gone(record: Record) -> Change:
    return Change(type(record), record.id, None)


@st.composite
def policies(draw: st.DrawFn) -> Record:
    """Rules of the policies of quality of service."""
    policy, way = draw(st.sampled_from(POLICIES)), draw(st.sampled_from(["egress", "ingress"]))
    rate, burst = draw(st.sampled_from([0, 1000, 2000])), draw(st.sampled_from([0, 500]))
    kinds: list[Record] = [
        BandwidthLimit(f"bits {policy} {way}", policy, way, rate, burst),
        PacketRateLimit(f"packets {policy} {way}", policy, way, rate, burst),
        DscpMarking(f"mark {policy}", policy, draw(st.sampled_from([0, 46]))),
        MinimumBandwidth(f"least {policy} {way}", policy, way, rate),
    ]
    return draw(st.sampled_from(kinds))


records: st.SearchStrategy[Record] = st.one_of(
    *(switches, networks(), ports(), interfaces()),
    *(subnets(), legs(), routers(), translations(), groups(), groups(), hosts(), hosts()),
    *(local_ips(), taps(), metering(), policies()),
    *[balancing(NETWORKS, PORTS, lambda network, port, v: _first(network, v) + _key(port))] * 3,
)
changes = st.one_of(records.map(_now), records.map(_now), records.map(_gone))
batches = st.lists(st.lists(changes, min_size=1, max_size=8), min_size=1, max_size=12)
"""Changes in the groups in which the engine meets them."""


KINDS: tuple[type[Record], ...] = (
    *(Switch, Network, Port, Interface, Subnet, SubnetPool, Router, FloatingIp),
    *(PortForwarding, ConntrackHelper, NdpProxy, Neighbour),
    *(SecurityGroup, SecurityGroupRule, AddressGroup),
    *(FirewallGroup, FirewallPolicy, FirewallRule, NetworkLog),
    *(Agent, Tunnel, HeldDown, Option, Segment, Trunk, LocalIp, LocalIpAssociation),
    *(BandwidthLimit, PacketRateLimit, DscpMarking, MinimumBandwidth),
    *(tap.TapService, tap.TapFlow, tap.TapMirror, tap.Capture, Membership, Asked),
    *(MeteringLabel, MeteringLabelRule),
    *BALANCING,
)
"""All kinds of records but bindings, which follow from them."""


def everything(model: Model) -> list[Change]:
    """The changes that make an empty model what this one is, bindings left out."""
    return [_now(record) for kind in KINDS for record in model.all(kind).values()]


def apply(model: Model, batch: Iterable[Change]) -> set[Read]:
    """Apply a batch as the running controller does, bindings and all."""
    batch = list(batch)
    touched = model.apply(batch)
    bound = rebind(model, batch)
    assert all(change.type in (Binding, Standby) for change in bound)
    return touched | model.apply(bound)
