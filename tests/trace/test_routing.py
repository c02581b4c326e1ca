# SPDX-License-Identifier: Apache-2.0

"""What becomes of single packets that are routed and translated, told by ``ofproto/trace``: two
switches, tenants' networks on one wire between them, and the outside on the first one's uplink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.model import Change, Switch, View
from tenantry.controller.network.records import Neighbour
from tenantry.controller.network.routers import gateways, routed_mac
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.story import Told, trace

UPSTREAM = "02:00:00:00:00:01"
ANYWHERE = "198.51.100.7"


def macs(net: Lab, router: Any) -> dict[tuple[str, int], str]:
    """The MAC addresses of a router, by network and IP version."""
    return {
        (port["network_id"], 6 if ":" in ip["ip_address"] else 4): port["mac_address"]
        for port in net.api("GET", f"/v2.0/ports?device_id={router['id']}")["ports"]
        for ip in port["fixed_ips"]
    }


class Site:
    """Two networks of one router on two switches, and the outside at the first."""

    def __init__(self, net: Lab, **router: Any) -> None:
        self.net = net
        net.add_bridge("br-two")
        net.wire("br-int", "trunk0", "wire")
        net.wire("br-two", "trunk1", "wire")
        net.wire("br-int", "uplink0", "uplink")
        scope = net.api(
            "POST", "/v2.0/address-scopes", {"address_scope": {"name": "s", "ip_version": 6}}
        )["address_scope"]["id"]
        pool = {"name": "p", "prefixes": ["2001:db8::/32", "fd00::/14"], "default_prefixlen": 64}
        pool6 = net.create("subnetpool", address_scope_id=scope, **pool)["id"]
        self.outside = net.external(
            *("203.0.113.0/24", "2001:db8::/64"),
            pool6=pool6,
            **{"provider:network_type": "flat", "provider:physical_network": "uplink"},
        )
        self.one = net.network("10.1.0.0/24", "fd01::/64", pool6=pool6)
        self.two = net.network("10.2.0.0/24", "fd02::/64", pool6=pool6)
        self.router = net.router(self.one, self.two, outside=self.outside, **router)
        self.ports = {name: net.port(getattr(self, name[:3])) for name in ("one1", "one2", "two1")}
        self.ports["two2"] = net.port(self.two)
        self.taps = {
            name: net.attach(port, "br-two" if name.endswith("2") else "br-int")
            for name, port in self.ports.items()
        }
        self.macs = macs(net, self.router)
        self.knows_upstream()

    def knows_upstream(self) -> None:
        """As if the router outside had answered."""
        for version, address in ((4, 0xCB007101), (6, (0x20010DB8 << 96) + 1)):
            id = (self.outside["id"], version, address)
            mac = int(UPSTREAM.replace(":", ""), 16)
            self.net.controller.inbox.submit([Change(Neighbour, id, Neighbour(id, *id, mac))])
        self.net.settle()

    def address(self, name: str, version: int = 4) -> str:
        fixed = self.ports[name]["fixed_ips"]
        address: str = next(
            ip["ip_address"] for ip in fixed if (":" in ip["ip_address"]) == (version == 6)
        )
        return address

    def tag(self, network: Any) -> int:
        shown = self.net.api("GET", f"/v2.0/networks/{network['id']}")["network"]
        tag: int = shown["provider:segmentation_id"]
        return tag

    def gateway(self, version: int = 4) -> str:
        fixed = self.router["external_gateway_info"]["external_fixed_ips"]
        address: str = next(
            ip["ip_address"] for ip in fixed if (":" in ip["ip_address"]) == (version == 6)
        )
        return address

    def send(self, name: str, to: str, ct_next: tuple[str, ...] = (), **more: Any) -> Told:
        """A packet of a port to an address behind its router."""
        port = self.ports[name]
        version = 6 if ":" in to else 4
        kind = more.pop("kind", "udp" if version == 4 else "udp6")
        source, destination = ("nw_src", "nw_dst") if version == 4 else ("ipv6_src", "ipv6_dst")
        fields = {
            "dl_src": port["mac_address"],
            "dl_dst": self.macs[port["network_id"], version],
            source: self.address(name, version),
            destination: to,
            "nw_ttl": 64,
            **more,
        }
        flow = ",".join([kind, *(f"{key}={value}" for key, value in fields.items())])
        bridge = "br-two" if name.endswith("2") else "br-int"
        return trace(self.net, self.taps[name], flow, bridge=bridge, ct_next=ct_next)

    def arrive(self, mac: str, to: str, ct_next: tuple[str, ...] = (), **more: Any) -> Told:
        """A packet from far outside, by the uplink."""
        kind = more.pop("kind", "udp")
        source, destination = ("nw_src", "nw_dst") if ":" not in to else ("ipv6_src", "ipv6_dst")
        fields = {
            "dl_src": UPSTREAM,
            "dl_dst": mac,
            destination: to,
            "nw_ttl": 60,
            source: ANYWHERE if ":" not in to else "2001:db8:7::7",
            **more,
        }
        flow = ",".join([kind, *(f"{key}={value}" for key, value in fields.items())])
        return trace(self.net, "uplink0", flow, ct_next=ct_next)


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


@pytest.fixture
def site(net: Lab) -> Site:
    return Site(net)


NEW, REPLY = "trk,new", "trk,est,rpl"


@pytest.mark.parametrize("version", [4, 6])
def test_routed_on_one_switch(site: Site, version: int) -> None:
    told = site.send("one1", site.address("two1", version))
    assert told.left == {site.taps["two1"]}
    assert told.passes == 1
    assert told.sets["eth.src"] == site.macs[site.two["id"], version]
    assert told.sets["eth.dst"] == site.ports["two1"]["mac_address"]
    assert told.sets["ipv4.ttl" if version == 4 else "ipv6.hlimit"] == "63"


@pytest.mark.parametrize("version", [4, 6])
def test_routed_to_another_switch_takes_the_shortest_way(site: Site, version: int) -> None:
    """From where it starts, on the network where it ends; the router's MAC address stays where the
    router answers, and the switch that receives puts it back."""
    for source, target, bridge, trunk in (
        ("one1", "two2", "br-two", "trunk1"),
        ("one2", "two1", "br-int", "trunk0"),
    ):
        told = site.send(source, site.address(target, version))
        out = "trunk0" if source == "one1" else "trunk1"
        assert told.left == {f"{out}.{site.tag(site.two)}"}
        assert told.passes == 1
        home = source == "one1"
        as_router = told.sets["eth.src"] == site.macs[site.two["id"], version]
        assert as_router == home
        arrived = trace(
            site.net,
            trunk,
            f"udp,dl_vlan={site.tag(site.two)},dl_src={told.sets['eth.src']}"
            f",dl_dst={site.ports[target]['mac_address']},nw_ttl=63",
            bridge=bridge,
        )
        assert arrived.left == {site.taps[target]}
        assert (
            arrived.sets.get("eth.src", site.macs[site.two["id"], version])
            == site.macs[site.two["id"], version]
        )


def test_a_network_goes_on_with_another_tag(site: Site) -> None:
    for tag in (site.tag(site.two), 150):
        site.net.update("network", site.two["id"], **{"provider:segmentation_id": tag})
        site.net.settle()
        assert site.send("one1", site.address("two2")).left == {f"trunk0.{tag}"}


def test_the_source_mac_says_which_switch_has_routed(site: Site) -> None:
    told = site.send("one2", site.address("two1"))
    (two,) = [s for s in site.net.controller.model.all(Switch).values() if s.name == "br-two"]
    expected = routed_mac(two.id)
    written = int(told.sets["eth.src"].replace(":", ""), 16)
    assert written >> 24 == expected >> 24


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", ["one1", "one2"])
def test_pings_to_the_router_are_answered_where_they_start(
    site: Site, name: str, version: int
) -> None:
    kind, type = ("icmp", "icmp_type=8") if version == 4 else ("icmp6", "icmpv6_type=128")
    for address in ("10.1.0.1", "10.2.0.1", site.gateway()) if version == 4 else ("fd01::1",):
        told = site.send(name, address, (NEW,), kind=f"{kind},{type}", nw_ttl=1)
        if address == site.gateway() and name == "one2":
            assert told.left == {f"trunk1.{site.tag(site.one)}"}  # perhaps it is an answer
            continue
        assert told.left == {site.taps[name]}, address
        ttl = told.sets["ipv4.ttl" if version == 4 else "ipv6.hlimit"]
        assert ttl == "64", "as if the router itself had sent it"


@pytest.mark.parametrize("version", [4, 6])
def test_time_is_up(site: Site, version: int) -> None:
    for name in ("one1", "one2"):
        told = site.send(name, site.address("two1", version), nw_ttl=1)
        assert told.punted
        assert not told.left


def test_shared_source_leaves_at_the_routers_home(site: Site) -> None:
    told = site.send("one1", ANYWHERE, (NEW,))
    assert told.passes == 2
    assert told.nat == (f"src={site.gateway()}:1024-65535",)
    assert told.left == {"uplink0"}
    elsewhere = site.send("one2", ANYWHERE)
    assert elsewhere.passes == 1
    assert elsewhere.left == {f"trunk1.{site.tag(site.one)}"}
    assert not {"ipv4.ttl", "eth.src", "eth.dst"} & elsewhere.sets.keys(), "as it came"
    arrived = trace(
        site.net,
        "trunk0",
        f"udp,dl_vlan={site.tag(site.one)},dl_src={site.ports['one2']['mac_address']}"
        f",dl_dst={site.macs[site.one['id'], 4]},nw_src={site.address('one2')},nw_dst={ANYWHERE}"
        ",nw_ttl=64",
        ct_next=(NEW,),
    )
    assert arrived.nat == told.nat


def test_only_the_home_routes_what_the_wire_brings(site: Site) -> None:
    flow = (
        f"udp,dl_vlan={site.tag(site.one)},dl_src={site.ports['one1']['mac_address']}"
        f",dl_dst={site.macs[site.one['id'], 4]},nw_src={site.address('one1')}"
        f",nw_dst={site.address('two2')},nw_ttl=64"
    )
    assert trace(site.net, "trunk1", flow, bridge="br-two").left == set()
    assert trace(site.net, "trunk0", flow).left


def test_answers_to_the_shared_address_are_looked_up_once(site: Site) -> None:
    told = site.arrive(site.macs[site.outside["id"], 4], site.gateway(), (REPLY,))
    assert told.passes == 2


def test_floating_ip_is_one_to_one_in_one_pass(site: Site) -> None:
    floating = site.net.floating_ip(site.outside, site.ports["one1"])
    site.net.settle()
    (holder,) = site.net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    told = site.send("one1", ANYWHERE)
    assert told.left == {"uplink0"}
    assert (told.passes, told.nat) == (1, ())
    assert told.sets["ipv4.src"] == floating["floating_ip_address"]
    assert told.sets["eth.src"] == holder["mac_address"]
    assert told.sets["eth.dst"] == UPSTREAM
    told = site.arrive(holder["mac_address"], floating["floating_ip_address"])
    assert told.left == {site.taps["one1"]}
    assert told.passes == 1
    assert told.sets["ipv4.dst"] == site.address("one1")


FRAGMENTS = ({"ip_frag": "first", "udp_dst": 5555}, {"ip_frag": "later"})


def test_floating_ips_fragments_are_translated_where_the_whole_is_looked_up(site: Site) -> None:
    floating = site.net.floating_ip(site.outside, site.ports["one1"])
    site.net.settle()
    (holder,) = site.net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    public, fixed = floating["floating_ip_address"], site.address("one1")
    for cut in FRAGMENTS:
        arrives = site.arrive(holder["mac_address"], public, ("trk,est",), **cut)
        assert (arrives.nat, arrives.left) == ((f"dst={fixed}",), {site.taps["one1"]})
        leaves = site.send("one1", ANYWHERE, ("trk,new",), **cut)
        assert (leaves.nat, leaves.left) == ((f"src={public}",), {"uplink0"})
        assert not {"ipv4.src", "ipv4.dst"} & (arrives.sets | leaves.sets).keys()


def test_fragments_for_a_forwarded_port_are_gathered_before_anybody_asks_for_it(site: Site) -> None:
    holder = forward(site, "one1", protocol="udp", external_port=5555, internal_port=53)
    address = holder["fixed_ips"][0]["ip_address"]
    for cut in FRAGMENTS:
        begins = site.arrive(holder["mac_address"], address, (NEW,), **cut)
        assert (begins.passes, begins.punted, begins.left) == (2, True, set())
        assert begins.nat == (), "the controller begins the connection"


@pytest.mark.parametrize(
    ("state", "left"),
    [("trk,new", True), ("trk,est", True), ("trk,est,rpl", False), ("trk,inv", False)],
)
def test_a_router_answers_later_fragments_of_what_asks(site: Site, state: str, left: bool) -> None:
    for version, kind, proto in ((4, "icmp", 1), (6, "ipv6,nw_proto=44", 58)):
        to = "10.2.0.1" if version == 4 else "fd02::1"
        own = site.address("one1", version)
        name = "ct_nw" if version == 4 else "ct_ipv6"
        begun = {f"{name}_src": own, f"{name}_dst": to, "ct_nw_proto": proto}
        if "inv" in state:
            begun = {}
        said = {"ct_state": "trk|new", "ip_frag": "later"} | begun
        told = site.send("one1", to, (state,), kind=kind, **said)
        assert told.left == ({site.taps["one1"]} if left else set()), version


def test_floating_ip_of_a_port_that_is_elsewhere_is_the_homes(site: Site) -> None:
    """The second switch does not reach the outside."""
    floating = site.net.floating_ip(site.outside, site.ports["two2"])
    site.net.settle()
    (holder,) = site.net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    told = site.arrive(holder["mac_address"], floating["floating_ip_address"])
    assert told.left == {f"trunk0.{site.tag(site.two)}"}
    assert site.send("two2", ANYWHERE).left == {f"trunk1.{site.tag(site.two)}"}


def test_floating_ip_leaves_by_its_own_switch_if_that_leads_outside(site: Site) -> None:
    site.net.wire("br-two", "uplink1", "uplink")
    floating = site.net.floating_ip(site.outside, site.ports["two2"])
    site.net.settle()
    told = site.send("two2", ANYWHERE)
    assert told.left == {"uplink1"}
    assert told.sets["ipv4.src"] == floating["floating_ip_address"]
    # So does what is not translated.
    told = site.send("two2", "2001:db8:7::7")
    assert told.left == {"uplink1"}
    question = f"arp,dl_src={UPSTREAM},dl_dst=ff:ff:ff:ff:ff:ff,arp_op=1,arp_spa=203.0.113.1"
    asked = f"{question},arp_tpa={floating['floating_ip_address']}"
    assert trace(site.net, "uplink1", asked, bridge="br-two").left == {"uplink1"}
    assert trace(site.net, "uplink0", asked).left == set()


def test_what_leaves_a_centralised_router_leaves_by_its_gateway(net: Lab) -> None:
    """Wherever it starts, translated or not; from network to network it takes the shortest way."""
    site = Site(net, distributed=False, gateway={"enable_snat": False})
    site.net.wire("br-two", "uplink1", "uplink")
    site.net.settle()
    (home,) = gateways(View(net.controller.model), site.router["id"])
    ways = {
        "br-int": ("one1", "uplink0", "two2", f"trunk1.{site.tag(site.two)}", "one2"),
        "br-two": ("two2", "uplink1", "one1", f"trunk0.{site.tag(site.one)}", "two1"),
    }
    at_home, uplink, apart, trunk, beside = ways[net.controller.model.get(Switch, home).name]
    for translated in (False, True):
        for to in (ANYWHERE, "2001:db8:7::7"):
            assert site.send(at_home, to).left == {uplink}, to
            assert site.send(apart, to).left == {trunk}, to
        if not translated:
            for name in (at_home, apart):
                site.net.floating_ip(site.outside, site.ports[name])
            site.net.settle()
    assert site.send(apart, site.address(beside)).left == {site.taps[beside]}


def test_between_floating_ips_and_to_ones_own(site: Site) -> None:
    one = site.net.floating_ip(site.outside, site.ports["one1"])["floating_ip_address"]
    two = site.net.floating_ip(site.outside, site.ports["two1"])["floating_ip_address"]
    site.net.settle()
    told = site.send("one1", two)
    assert told.left == {site.taps["two1"]}
    assert (told.sets["ipv4.src"], told.sets["ipv4.dst"]) == (one, site.address("two1"))
    told = site.send("one1", one)
    assert told.left == {site.taps["one1"]}
    assert (told.sets["ipv4.src"], told.sets["ipv4.dst"]) == (one, site.address("one1"))


def test_a_floating_ip_from_inside_without_one_is_translated_twice(site: Site) -> None:
    two = site.net.floating_ip(site.outside, site.ports["two1"])["floating_ip_address"]
    site.net.settle()
    told = site.send("one1", two, (NEW,))
    assert told.nat == (f"src={site.gateway()}:1024-65535",)
    assert told.sets["ipv4.dst"] == site.address("two1")
    assert site.send("one2", two).left == {f"trunk1.{site.tag(site.one)}"}  # to the home


def forward(site: Site, name: str, **ports: Any) -> Any:
    floating = site.net.floating_ip(site.outside)
    attributes = {
        "protocol": "tcp",
        "internal_ip_address": site.address(name),
        "internal_port_id": site.ports[name]["id"],
        **ports,
    }
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    site.net.api("POST", path, {"port_forwarding": attributes})
    site.net.settle()
    (holder,) = site.net.api("GET", f"/v2.0/ports?device_id={floating['id']}")["ports"]
    return holder


def test_port_forwarding(site: Site) -> None:
    holder = forward(site, "one1", external_port=2222, internal_port=22)
    address = holder["fixed_ips"][0]["ip_address"]
    told = site.arrive(holder["mac_address"], address, (NEW,), kind="tcp", tp_dst=2222)
    assert told.nat == (f"dst={site.address('one1')}:22",)
    other = site.arrive(holder["mac_address"], address, kind="tcp", tp_dst=2223)
    assert (other.nat, other.punted) == ((), True)
    # The answer is looked up where it was translated, and not given another address.
    answer = site.send("one1", ANYWHERE, (REPLY,), kind="tcp", tp_src=22)
    assert answer.left == {"uplink0"}
    assert answer.passes == 2
    assert not [nat for nat in answer.nat if nat]
    # A connection of its own from that port is.
    own = site.send("one1", ANYWHERE, (NEW, NEW), kind="tcp", tp_src=22)
    assert own.nat[-1:] == (f"src={site.gateway()}:1024-65535",)


def test_ranges_of_ports(site: Site) -> None:
    same = forward(site, "one1", external_port_range="8000:8999", internal_port_range="8000:8999")
    moved = forward(site, "two1", external_port_range="81:83", internal_port_range="91:93")
    for holder, port, expected in (
        (same, 8123, f"dst={site.address('one1')}"),
        (moved, 82, f"dst={site.address('two1')}:92"),
    ):
        address = holder["fixed_ips"][0]["ip_address"]
        told = site.arrive(holder["mac_address"], address, (NEW,), kind="tcp", tp_dst=port)
        assert told.nat == (expected,)
    for port in (7999, 9000):
        address = same["fixed_ips"][0]["ip_address"]
        assert site.arrive(same["mac_address"], address, kind="tcp", tp_dst=port).nat == ()


def test_without_snat_addresses_stay(net: Lab) -> None:
    site = Site(net, gateway={"enable_snat": False})
    told = site.send("one1", ANYWHERE)
    assert told.left == {"uplink0"}
    assert (told.passes, told.nat) == (1, ())
    assert "ipv4.src" not in told.sets
    arrived = site.arrive(site.macs[site.outside["id"], 4], site.address("two1"))
    assert arrived.left == {site.taps["two1"]}


@pytest.mark.parametrize("name", ["one1", "one2"])
def test_ipv6_leaves_as_it_is(site: Site, name: str) -> None:
    told = site.send(name, "2001:db8:7::7")
    assert told.passes == 1
    assert told.left == ({"uplink0"} if name == "one1" else {f"trunk1.{site.tag(site.one)}"})
    assert "ipv6.src" not in told.sets


def test_an_ndp_proxy_makes_the_home_answer_outside(site: Site) -> None:
    address = site.address("one1", 6)
    asked = (
        f"icmp6,dl_src={UPSTREAM},dl_dst=33:33:ff:00:00:02,icmpv6_type=135,icmpv6_code=0,nw_ttl=255"
        f",ipv6_src=2001:db8::1,nd_target={address},nd_sll={UPSTREAM}"
    )
    assert "uplink0" not in trace(site.net, "uplink0", asked).left
    site.net.update("router", site.router["id"], enable_ndp_proxy=True)
    proxy = {"router_id": site.router["id"], "port_id": site.ports["one1"]["id"]}
    site.net.api("POST", "/v2.0/ndp_proxies", {"ndp_proxy": proxy})
    site.net.settle()
    told = trace(site.net, "uplink0", asked)
    assert told.left == {"uplink0"}
    router = site.macs[site.outside["id"], 6]
    assert told.sets["eth.src"] == router
    # From now on nobody else is reached from there.
    assert site.arrive(router, address, kind="udp6").left == {site.taps["one1"]}
    assert site.arrive(router, site.address("two1", 6), kind="udp6").left == set()
    assert site.send("one1", site.address("two1", 6)).left == {site.taps["two1"]}


def test_one_address_scope_needs_no_translation(net: Lab) -> None:
    scope = net.create("address-scope".replace("-", "_"), ip_version=4, name="s") if False else None
    assert scope is None
    made = net.api(
        "POST", "/v2.0/address-scopes", {"address_scope": {"name": "s", "ip_version": 4}}
    )
    pool = {"name": "p", "prefixes": ["203.0.113.0/24", "10.1.0.0/16"], "default_prefixlen": 24}
    pool["address_scope_id"] = made["address_scope"]["id"]
    pool_id = net.create("subnetpool", **pool)["id"]
    net.wire("br-int", "uplink0", "uplink")
    wire = {"provider:network_type": "flat", "provider:physical_network": "uplink"}
    outside = net.create("network", **{"router:external": True}, **wire)
    inside, other = net.network(), net.network("10.9.0.0/24")
    for network, cidr in ((outside, "203.0.113.0/24"), (inside, "10.1.0.0/24")):
        net.create(
            "subnet", network_id=network["id"], subnetpool_id=pool_id, cidr=cidr, ip_version=4
        )
    router = net.router(inside, other, outside=outside)
    ports = [net.port(network) for network in (inside, other)]
    taps = [net.attach(port) for port in ports]
    id = (outside["id"], 4, 0xCB007101)
    net.controller.inbox.submit([Change(Neighbour, id, Neighbour(id, *id, 0x020000000001))])
    net.settle()
    its = macs(net, router)
    for port, tap, translated in ((ports[0], taps[0], False), (ports[1], taps[1], True)):
        told = trace(
            net,
            tap,
            f"udp,dl_src={port['mac_address']},dl_dst={its[port['network_id'], 4]},nw_ttl=64"
            f",nw_src={port['fixed_ips'][0]['ip_address']},nw_dst={ANYWHERE}",
            ct_next=(NEW,),
        )
        assert bool(told.nat) == translated
        assert told.left == {"uplink0"}


def test_between_address_scopes_only_what_is_translated_passes(net: Lab) -> None:
    """A network in a scope and one in none; a floating IP of the first is reached all the same."""
    scope = {"address_scope": {"name": "s", "ip_version": 4}}
    made = net.api("POST", "/v2.0/address-scopes", scope)["address_scope"]["id"]
    pool = {"name": "p", "prefixes": ["10.1.0.0/16"], "default_prefixlen": 24}
    pool_id = net.create("subnetpool", **pool, address_scope_id=made)["id"]
    net.wire("br-int", "uplink0", "uplink")
    wire = {"provider:network_type": "flat", "provider:physical_network": "uplink"}
    outside = net.external("203.0.113.0/24", **wire)
    scoped, other, third = net.network(), net.network("10.9.0.0/24"), net.network("10.8.0.0/24")
    net.create("subnet", network_id=scoped["id"], subnetpool_id=pool_id, ip_version=4)
    router = net.router(scoped, other, third, outside=outside)
    ports = [net.port(network) for network in (scoped, other, third)]
    taps = [net.attach(port) for port in ports]
    floating = net.floating_ip(outside, ports[0])["floating_ip_address"]
    net.settle()
    its = macs(net, router)
    addresses = [port["fixed_ips"][0]["ip_address"] for port in ports]

    def sent(source: int, to: str) -> Told:
        port = ports[source]
        return trace(
            net,
            taps[source],
            f"udp,dl_src={port['mac_address']},dl_dst={its[port['network_id'], 4]},nw_ttl=64"
            f",nw_src={addresses[source]},nw_dst={to}",
        )

    assert sent(1, addresses[2]).left == {taps[2]}
    assert sent(1, addresses[0]).left == set()
    assert sent(0, addresses[1]).left == set()
    assert sent(1, floating).left == {taps[0]}
    from_outside = f"udp,dl_src={UPSTREAM},nw_src={ANYWHERE},nw_ttl=60"
    direct = f"{from_outside},dl_dst={its[outside['id'], 4]},nw_dst={addresses[0]}"
    assert trace(net, "uplink0", direct).left == set()
    unscoped = f"{from_outside},dl_dst={its[outside['id'], 4]},nw_dst={addresses[1]}"
    assert trace(net, "uplink0", unscoped).left == {taps[1]}


def test_several_next_hops_share_the_traffic(site: Site) -> None:
    hops = ("two1", "two2")
    routes = [{"destination": "172.16.0.0/12", "nexthop": site.address(hop)} for hop in hops]
    site.net.update("router", site.router["id"], routes=routes)
    site.net.settle()

    def ways() -> set[frozenset[str]]:
        sent = (site.send("one1", f"172.16.0.{n}", udp_src=n) for n in range(1, 25))
        return {told.left for told in sent}

    out = {frozenset({site.taps["two1"]}), frozenset({f"trunk0.{site.tag(site.two)}"})}
    assert ways() == out
    for n in range(1, 25):  # but a packet's fragments take one way
        sent = (site.send("one1", f"172.16.0.{n}", udp_src=n, **cut) for cut in FRAGMENTS)
        assert len({told.left for told in sent}) == 1
    site.net.detach(site.taps["two2"])
    assert ways() == {frozenset({site.taps["two1"]})}, "a dead next hop is left out"


def test_the_longest_prefix_wins_and_what_is_connected_before_it(site: Site) -> None:
    routes = [
        {"destination": "172.16.0.0/12", "nexthop": site.address("two1")},
        {"destination": "172.16.9.0/24", "nexthop": site.address("two2")},
        {"destination": "10.2.0.0/24", "nexthop": site.address("two2")},
    ]
    site.net.update("router", site.router["id"], routes=routes)
    site.net.settle()
    assert site.send("one1", "172.16.1.1").left == {site.taps["two1"]}
    assert site.send("one1", "172.16.9.1").left == {f"trunk0.{site.tag(site.two)}"}
    assert site.send("one1", site.address("two1")).left == {site.taps["two1"]}


LINK_LOCAL = ("fe80::1/128", "fe80::/127", "fe80::/101", "fe80::/64", "fe80::/10", "febf::/16")
OF_ONE_LINK = (*LINK_LOCAL, "ff02::1/128", "ff00::/8", "224.0.0.1/32", "224.0.0.0/4")


def test_no_route_leads_to_what_is_for_one_link(site: Site) -> None:
    """In no spelling: RFC 4291, 2.5.6 and 2.7; RFC 1812, 5.3.7. A route of the same length to what
    may be routed is taken."""
    routed = ("fd99::1/128", "::ffff:224.0.0.1/128", "::ffff:169.254.1.1/128", "192.0.2.1/32")
    site.net.update(
        *("router", site.router["id"]),
        routes=[
            {"destination": prefix, "nexthop": site.address("two1", 6 if ":" in prefix else 4)}
            for prefix in (*OF_ONE_LINK, *routed)
        ],
    )
    site.net.settle()
    for to in ("fe80::1", "fe80::", "fe80::7:1", "febf::1", "ff02::1", "ff05::2", "224.0.0.1"):
        told = site.send("one1", to)
        assert (told.left, told.punted) == (set(), False), to
    for prefix in routed:
        told = site.send("one1", prefix.partition("/")[0])
        assert told.left == {site.taps["two1"]}, prefix


def test_a_link_local_address_of_a_router_is_its_own_on_one_link(site: Site) -> None:
    """Also if it has it as a fixed IP, of a subnet that somebody made of the prefix."""
    three = site.net.network("fe80::/64")
    site.net.interface(site.router, subnet_id=site.net.subnets(three)[0]["id"])
    port = site.net.port(three)
    tap = site.net.attach(port)
    site.net.settle()
    (mac,) = (mac for (id, _), mac in macs(site.net, site.router).items() if id == three["id"])
    gateway = site.net.subnets(three)[0]["gateway_ip"]
    ping = f"icmp6,icmpv6_type=128,dl_src={port['mac_address']},dl_dst={mac},nw_ttl=64"
    own = port["fixed_ips"][0]["ip_address"]
    assert trace(site.net, tap, f"{ping},ipv6_src={own},ipv6_dst={gateway}").left == {tap}
    for to in (gateway, own):
        told = site.send("one1", to, kind="icmp6", icmpv6_type=128)
        assert (told.left, told.punted) == (set(), False), to


def test_a_router_that_is_off_forwards_nothing_and_answers_nothing(site: Site) -> None:
    site.net.update("router", site.router["id"], admin_state_up=False)
    site.net.settle()
    told = site.send("one1", site.address("two1"))
    assert (told.left, told.punted) == (set(), False)


def test_from_outside_to_outside_nothing_goes_in_circles(site: Site) -> None:
    told = site.arrive(site.macs[site.outside["id"], 4], "192.0.2.1")
    assert (told.left, told.punted) == (set(), False)


def test_two_tenants_routers_with_the_same_prefixes(site: Site) -> None:
    """Through the outside, from one tenant's shared address to the other's floating IP, and that
    within one switch."""
    net = site.net
    other = net.network("10.1.0.0/24", project="other")
    net.router(other, outside=site.outside, project="other")
    port = net.port(other)
    tap = net.attach(port)
    floating = net.create(
        *("floatingip", "other"), floating_network_id=site.outside["id"], port_id=port["id"]
    )
    mine = net.floating_ip(site.outside, site.ports["one1"])["floating_ip_address"]
    net.settle()
    told = site.send("one1", floating["floating_ip_address"])
    assert told.left == {tap}
    assert told.sets["ipv4.src"] == mine
    assert told.sets["ipv4.dst"] == port["fixed_ips"][0]["ip_address"]
    assert told.sets["ipv4.ttl"] == "62", "two routers"
