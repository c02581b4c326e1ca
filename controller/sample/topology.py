# SPDX-License-Identifier: Apache-2.0

"""The sample topology from which ``docs/pipeline.md`` is made: a small model with one of each thing
that there is. The tests hold its flows against the pipeline's contract, and against a review."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tenantry.apps.firewall.records import FirewallGroup, FirewallPolicy, FirewallRule
from tenantry.apps.local_ip.records import LocalIp, LocalIpAssociation
from tenantry.apps.metering.records import MeteringLabel, MeteringLabelRule
from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.apps.nat.records import ConntrackHelper, NdpProxy, PortForwarding
from tenantry.apps.qos.records import (
    EGRESS,
    INGRESS,
    BandwidthLimit,
    DscpMarking,
    PacketRateLimit,
)
from tenantry.apps.security_groups.records import AddressGroup, SecurityGroup, SecurityGroupRule
from tenantry.apps.tap.records import (
    BOTH,
    IN,
    OUT,
    Capture,
    MirrorTunnel,
    TapFlow,
    TapMirror,
    TapService,
)
from tenantry.apps.tap.rows import mirror_name
from tenantry.apps.tap.terms import alternatives
from tenantry.controller.model import (
    Address,
    AddressPair,
    Agent,
    Change,
    FixedIp,
    Interface,
    Model,
    Network,
    Option,
    Port,
    Prefix,
    Record,
    Route,
    Subnet,
    SubPort,
    Switch,
    Trunk,
    Tunnel,
)
from tenantry.controller.model.binding import rebind
from tenantry.controller.network.records import FloatingIp, Neighbour, Router
from tenantry.controller.packets.frames import ICMP, TCP, UDP
from tenantry.controller.sample.balancing import load_balancer

SAMPLE = """\
s1, s2      switches, joined by the physical network "wire" on OpenFlow port 1 of each;
            s1 is on the controller's host, and port 2 is its service port
blue   (1)  VLAN network, tag 101 on the wire, with DHCP and router advertisements
  blue-1   (11)  on s1; it may also use 10.0.0.192/26 with MAC address 00:00:5e:00:01:01
  blue-2   (12)  on s2
  blue-any (13)  on s1, without port security: it may have any MAC address
  blue-off (14)  on s1, switched off (admin_state_up false)
green  (2)  flat network on the wire
  green-1  (21)  on s1
red    (3)  local network, of s1 alone; packets there must be smaller
  red-1    (31)  on s1
  red-2    (32)  on s1
outside (4)  external flat network on the physical network "uplink", port 9 of s1
router  (1)  from blue (port 41) and red (port 42) to outside (port 43), which it reaches as
             203.0.113.2; a route with two next hops; FTP has a helper; its home is s1
  203.0.113.10  floating IP of blue-1
  203.0.113.11  port 2222 of it is forwarded to port 22 of blue-2
  fd00::b       blue-1's IPv6 address, for which the router answers outside
security groups, of
  blue-1, blue-2, red-1   default (1): everything goes out, its members reach each other
  green-1                 default, and web (2): TCP 80 to 83 from office, pings from 192.0.2.0/24
  red-2                   plain (3), which tracks nothing: UDP 53 to office
address group office (1)  198.51.100.0/24 and 2001:db8:1::/48
teal   (5)  VXLAN network, VNI 5001, between s1 and s2 (port 10 of each leads into its tunnels)
  teal-1   (51)  on s1; trunk of teal-sub
  teal-2   (52)  on s2
  brown-1  (61)  on s1, as VLAN 7 of teal-1, in brown (6), a Geneve network, VNI 6001
  10.0.0.100  local IP (3), on s1 that of teal-1
  10.0.0.101  load balancer (4) for teal-1 and, with twice the weight, teal-2: TCP 80; UDP 53, where
              teal-2 is out of rotation; TCP 443 is for 10.0.0.0/26 alone, and has no members
beyond (7)  external flat network on the physical network "beyond", port 12 of s1 and s2
edge   (2)  router from teal (port 71) to beyond (port 72); s1 and s2 can both be its gateway, and
            watch each other by port 11; label paid (1) counts there what 10.0.0.0/24 sends and gets
            but for what it sends to 10.0.0.0/8, and IPv6 that comes in
private (8) VLAN network with pvlan, tag 102 on the wire
  private-1 (81)  on s1, isolated
  private-2 (82)  on s1, promiscuous
  private-3 (83)  on s2, of the community "web"; private-4 (84), too, on s1
firewall group on the router's port in red, and on red-1: what enters there is judged by the policy
            careful (1), which rejects TCP from 192.0.2.0/24 and allows other TCP; nothing leaves
qos policies
  slow    1 Mbit/s each way: of router
  all     2 Mbit/s out and 4 Mbit/s in, 1,000 packets/s each way, DSCP 26: of red-2, 203.0.113.10
"""
"""The sample in words; in brackets the keys that NETWORK, IN_PORT and OUT_PORT carry."""

S1, S2 = 1, 2


def sample() -> Model:
    """A small model with one of each kind of network and port there is."""
    model = Model()
    records: list[Record] = [
        Option("connections_per_port", 32_768),
        Option("broadcasts_per_second", 1_000),
        Option("multicast_snooping", 1),
        Switch(S1, "s1", "host1", integration=True),
        Switch(S2, "s2", "host2", integration=True),
        *(_interface(switch, "eth1", 1, physical_network="wire") for switch in (S1, S2)),
        Interface((S1, "tenantry0"), S1, "tenantry0", 2, "host1", "", "", service=True),
        _network("blue", 1, "vlan", "wire", 101),
        _network("green", 2, "flat", "wire", None),
        _network("red", 3, "local", None, None),
        *_subnets("blue"),
        *_plugged("blue-1", 11, "blue", (S1, 3), "default", allowed_pairs=(_PAIR,)),
        *_plugged("blue-2", 12, "blue", (S2, 3), "default"),
        *_plugged("blue-any", 13, "blue", (S1, 4), port_security=False),
        *_plugged("blue-off", 14, "blue", (S1, 5), admin_state_up=False),
        *_plugged("green-1", 21, "green", (S1, 6), "default", "web"),
        *_plugged("red-1", 31, "red", (S1, 7), "default"),
        *_plugged("red-2", 32, "red", (S1, 8), "plain", qos_policy_id="all"),
        *_routing(),
        *_groups(),
        *_firewall(),
        *_overlay(),
        _router_port("vip-port", 54, "teal", (0x0A000065, None), "Octavia", "web"),
        *load_balancer(),
        *_metering(),
        *_private(),
        *_multicast(),
        *_policies(),
    ]
    changes = [Change(type(record), record.id, record) for record in records]
    model.apply(changes)
    model.apply(rebind(model, changes))
    return model


def _policies() -> Iterator[Record]:
    """Quality of service: limits alone, and all that there is."""
    for way, kbps in ((EGRESS, 2000), (INGRESS, 4000)):
        yield BandwidthLimit(f"slow-{way}", "slow", way, 1000, 0)
        yield BandwidthLimit(f"all-{way}", "all", way, kbps, 500)
        yield PacketRateLimit(f"packets-{way}", "all", way, 1000, 0)
    yield DscpMarking("mark", "all", 26)


def _network(
    id: str, key: int, network_type: str, physical_network: str | None, vlan: int | None
) -> Network:
    mtu = 1400 if id == "red" else 1500
    return Network(id, key, "project", id, True, mtu, network_type, physical_network, vlan)


def _subnets(network: str) -> tuple[Record, Record]:
    """A subnet of each family, on which everything is served."""
    four = Subnet(
        f"{network}-v4", network, 4, 0x0A000000, 24, 0x0A000001, True, service_address=0x0A0000FE
    )
    prefix = 0xFD << 120
    six = Subnet(
        *(f"{network}-v6", network, 6, prefix, 64, prefix + 1, True),
        ra_mode="dhcpv6-stateful",
        address_mode="dhcpv6-stateful",
        service_address=prefix + 0xFE,
    )
    return four, six


_OUTSIDE = 0xCB007100  # 203.0.113.0
_OUTSIDE6 = 0x20010DB8 << 96


def _routing() -> Iterator[Record]:
    """A router with everything that there is of routers."""
    yield _interface(S1, "eth9", 9, physical_network="uplink")
    yield Network(
        *("outside", 4, "project", "outside", True, 1500, "flat", "uplink", None), external=True
    )
    yield Subnet("outside-v4", "outside", 4, _OUTSIDE, 24, _OUTSIDE + 1)
    yield Subnet("outside-v6", "outside", 6, _OUTSIDE6, 64, _OUTSIDE6 + 1)
    yield Subnet("red-v4", "red", 4, 0x0A010000, 24, 0x0A010001)
    owner = "network:router_interface"
    six = (0xFD << 120) + 1
    yield _router_port("leg-blue", 41, "blue", (0x0A000001, six), owner, "router")
    yield _router_port("leg-red", 42, "red", (0x0A010001, None), owner, "router")
    shared = _OUTSIDE + 2, _OUTSIDE6 + 2
    yield _router_port("leg-outside", 43, "outside", shared, _GATEWAY, "router")
    yield Router(
        *("router", 1, "project", "router", True, "leg-outside", True),
        routes=(Route(0xAC100000, 12, 0x0A00000B), Route(0xAC100000, 12, 0x0A00000C)),
        ndp_proxies_only=True,
        qos_policy_id="slow",
    )
    yield ConntrackHelper("helper", "router", "tcp", 21, "ftp")
    floating = "network:floatingip"
    yield _router_port("float-1", 44, "outside", (_OUTSIDE + 10, None), floating, "one")
    yield _router_port("float-2", 45, "outside", (_OUTSIDE + 11, None), floating, "two")
    yield FloatingIp(
        *("one", "project", "outside", _OUTSIDE + 10, "float-1", "router", "blue-1", 0x0A00000B),
        qos_policy_id="all",
    )
    yield FloatingIp(*("two", "project", "outside", _OUTSIDE + 11, "float-2", "router", "", 0))
    ports = (2222, 2222), (22, 22)
    yield PortForwarding("ssh", "two", "router", "tcp", *ports, 0x0A00000C)
    yield NdpProxy("proxy", "router", (0xFD << 120) + 11)
    neighbour = ("outside", 4, _OUTSIDE + 1)
    yield Neighbour(neighbour, *neighbour, 0x020000000001)


def _groups() -> Iterator[Record]:
    """Security groups and rules of every kind."""
    for key, name in enumerate(("default", "web", "plain"), 1):
        yield SecurityGroup(name, key, "project", name, stateful=name != "plain")
    office = (Prefix(4, 0xC6336400, 24), Prefix(6, 0x20010DB80001 << 80, 48))
    yield AddressGroup("office", 1, office)
    for version in (4, 6):
        anything = ("project", "default", False, version, None, None, None, "", None, 0)
        yield SecurityGroupRule(f"out{version}", *anything)
        members = ("project", "default", True, version, None, None, None, "default", None, 0)
        yield SecurityGroupRule(f"members{version}", *members)
    web = ("project", "web", True, 4)
    yield SecurityGroupRule("web", *web, TCP, 80, 83, "office", None, 0)
    yield SecurityGroupRule("ping", *web, ICMP, 8, None, "", 0xC0000200, 24)
    plain = ("project", "plain", False, 4, UDP, 53, 53, "office", None, 0)
    yield SecurityGroupRule("dns", *plain)


def _firewall() -> Iterator[Record]:
    """A firewall group with one policy."""
    office = Prefix(4, 0xC0000200, 24)
    yield FirewallRule("strangers", True, "reject", 4, "tcp", office, None, None, None)
    yield FirewallRule("web", True, "allow", 4, "tcp", None, None, None, (80, 81))
    yield FirewallPolicy("careful", 1, ("strangers", "web"))
    yield FirewallGroup("wall", True, frozenset({"leg-red", "red-1"}), "careful", "")


def _multicast() -> Iterator[Record]:
    """Who wants to hear which group; of who is on s2 nobody knows yet."""
    yield Asked(S1)
    group = {4: Address(4, 0xEF010101), 6: Address(6, 0xFF05 << 112 | 0x101)}
    for network, port, groups in (
        ("teal", "teal-1", group.values()),
        ("teal", "teal-2", group.values()),
        ("blue", "blue-any", EVERY_GROUP.values()),
        ("blue", "blue-1", group.values()),
    ):
        for one in groups:
            yield Membership((port, one), network, port, one)


def _overlay() -> Iterator[Record]:
    """Networks that tunnels carry, and a router with two gateways."""
    for switch, other in ((S1, S2), (S2, S1)):
        here, there = (Address(4, 0xC0000200 + number) for number in (switch, other))
        yield Agent(f"agent{switch}", f"host{switch}", True, "nova", here)
        for ofport, kind, peer in ((10, "vxlan", None), (13, "geneve", None), (11, "vxlan", there)):
            name = "bfd-peer" if peer else f"tn-{kind}"
            of = ((switch, name), switch, name, ofport, f"host{switch}", "", "")
            yield Interface(*of, tunnel=kind, peer=peer)
        yield Tunnel((switch, "bfd-peer"))
        yield _interface(switch, "eth12", 12, physical_network="beyond")
    yield _network("teal", 5, "vxlan", None, 5001)
    yield _network("brown", 6, "geneve", None, 6001)
    yield from _plugged("teal-1", 51, "teal", (S1, 14), "default")
    yield from _plugged("teal-2", 52, "teal", (S2, 14), "default")
    yield from _plugged("brown-1", 61, "brown", (S1, 15), "default")[:1]
    yield _router_port("near-port", 53, "teal", (0x0A000064, None), "network:local_ip", "near")
    yield LocalIp("near", 3, "teal", "near-port", 0x0A000064, "translate")
    yield LocalIpAssociation("near-1", "near", "teal-1", 0x0A000033)
    yield Trunk("trunk", "teal-1", True, (SubPort("brown-1", 7),), frozenset({"brown-1"}))
    yield from _taps()
    beyond = ("beyond", 7, "project", "beyond", True, 1500, "flat", "beyond", None)
    yield Network(*beyond, external=True)
    yield Subnet("teal-v4", "teal", 4, 0x0A000000, 24, 0x0A000001)
    yield Subnet("beyond-v4", "beyond", 4, _BEYOND, 24, _BEYOND + 1)
    owner = "network:router_interface"
    yield _router_port("leg-teal", 71, "teal", (0x0A000001, None), owner, "edge")
    yield _router_port("leg-beyond", 72, "beyond", (_BEYOND + 2, None), _GATEWAY, "edge")
    yield Router("edge", 2, "project", "edge", True, "leg-beyond", True)
    floating = "network:floatingip"
    yield _router_port("float-3", 73, "beyond", (_BEYOND + 10, None), floating, "three")
    yield FloatingIp(
        *("three", "project", "beyond", _BEYOND + 10, "float-3", "edge", "gone", 0x0A000063)
    )


def _taps() -> Iterator[Record]:
    """A port that gets copies, of a port beside it, of one beyond the switch, and of frames of a
    trunk; and a mirror."""
    yield TapService("tap", "project", "teal-1", 0xFFFFFF)
    yield TapFlow("of-red", "project", BOTH, "tap", "red-1")
    yield TapFlow("of-teal", "project", OUT, "tap", "teal-2")
    yield TapService("trunk-tap", "project", "teal-2", 0xFFFFFE)
    yield TapFlow("of-trunk", "project", IN, "trunk-tap", "teal-1", ((1, 10),))
    mirror = TapMirror(
        *("mirror", "red-1", "gre", Address(4, 0xC0000263)),
        (MirrorTunnel(11, frozenset({OUT})),),
    )
    yield mirror
    web = alternatives("tcp port 80 net 192.0.2.0/24")
    yield Capture("of-red-2", 3, "red-2", frozenset({IN, OUT}), web, 500)
    name = mirror_name(mirror, mirror.tunnels[0])
    yield _interface(S1, name, 19)


def _metering() -> Iterator[Record]:
    """A label that counts at that router."""
    teal, ours, any6 = Prefix(4, 0x0A000000, 24), Prefix(4, 0x0A000000, 8), Prefix(6, 0, 0)
    yield MeteringLabel("paid", 1, "project", False)
    yield MeteringLabelRule("sent", "paid", "egress", False, teal, None, None)
    yield MeteringLabelRule("ours", "paid", "egress", True, None, None, ours)
    yield MeteringLabelRule("got", "paid", "ingress", False, teal, None, None)
    yield MeteringLabelRule("six", "paid", "ingress", False, None, any6, None)


def _private() -> Iterator[Record]:
    """A network with pvlan."""
    yield replace(_network("private", 8, "vlan", "wire", 102), pvlan=True)
    places = ((S1, 16, "private-1"), (S1, 17, ""), (S2, 16, "web"), (S1, 18, "web"))
    for key, (switch, ofport, community) in enumerate(places, 81):
        yield from _plugged(
            *(f"private-{key - 80}", key, "private", (switch, ofport), "default"),
            community=frozenset({community} - {""}),
            community_macs=frozenset({0xFA163E000000 + key} if community else ()),
        )


_BEYOND = 0xC6336400  # 198.51.100.0
_GATEWAY = "network:router_gateway"


def _router_port(
    id: str, key: int, network: str, at: tuple[int, int | None], owner: str, device: str
) -> Port:
    four, six = at
    addresses = [FixedIp(f"{network}-v4", 4, four)]
    if six is not None:
        addresses.append(FixedIp(f"{network}-v6", 6, six))
    mac = 0xFA163E000000 + key
    return Port(
        *(id, key, network, "project", id, mac, tuple(addresses), True, False, "", ""),
        addresses=frozenset(addresses),
        device_id=device,
        device_owner=owner,
    )


_PAIR = AddressPair(mac=0x00005E000101, version=4, first=0x0A0000C0, prefix_length=26)


def _interface(
    switch: int, name: str, ofport: int, *, iface_id: str = "", physical_network: str = ""
) -> Interface:
    host = f"host{switch}"
    return Interface((switch, name), switch, name, ofport, host, iface_id, physical_network)


def _plugged(
    id: str,
    key: int,
    network: str,
    at: tuple[int, int],
    *groups: str,
    **differently: Any,
) -> tuple[Record, Record]:
    """A port with an address of each family, and the interface that it is plugged into ``at`` a
    switch, by its number there."""
    switch, ofport = at
    addresses = (
        FixedIp(f"{network}-v4", 4, 0x0A000000 + key),
        FixedIp(f"{network}-v6", 6, (0xFD << 120) + key),
    )
    mac = 0xFA163E000000 + key
    port = Port(
        *(id, key, network, "project", id, mac, addresses, True, True, "", ""),
        addresses=frozenset(addresses),
        security_groups=frozenset(groups) if groups else None,
    )
    return replace(port, **differently), _interface(switch, f"tap-{id}"[:15], ofport, iface_id=id)
