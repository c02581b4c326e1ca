# SPDX-License-Identifier: Apache-2.0

"""Random routers, in a real Open vSwitch, forward exactly what a plain reference says."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tenantry.controller.model import Change
from tenantry.controller.network.records import Neighbour
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch
from tests.property.routing_reference import Leg, Outcome, Packet, Router, World, forward
from tests.story import trace

UPSTREAM_MAC = 0x020000000001
FAR = ("198.51.100.7", "2001:db8:ffff::7")
TOPOLOGIES = 250 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 25
PACKETS = 30

few = st.integers(0, 3)


@st.composite
def topologies(draw: st.DrawFn) -> dict[str, Any]:
    """Networks with machines on two switches, and routers between some of them, all as numbers."""
    networks = draw(st.integers(2, 4))
    return {
        "machines": [
            draw(st.lists(st.booleans(), min_size=1, max_size=2)) for _ in range(networks)
        ],
        "routers": [
            {
                "networks": sorted(draw(st.sets(st.integers(0, networks - 1), min_size=1))),
                "gateway": draw(st.booleans()),
                "snat": draw(st.booleans()),
                "routes": draw(st.lists(st.tuples(few, few, st.integers(8, 24)), max_size=3)),
                "floating": draw(st.sets(few, max_size=2)),
            }
            for _ in range(draw(st.integers(1, 3)))
        ],
        "packets": draw(
            st.lists(
                st.tuples(
                    *(few, st.integers(0, 40), st.sampled_from([64, 64, 3, 2, 1])),
                    st.sampled_from(["", "", "first", "later"]),
                ),
                min_size=PACKETS,
                max_size=PACKETS,
            )
        ),
    }


class Built:
    """A topology in the lab, and what the reference knows of it."""

    numbers = itertools.count(1)

    def __init__(self, net: Lab, drawn: dict[str, Any]) -> None:
        self.net = net
        self.world = World()
        self.interfaces: dict[str, tuple[str, str]] = {}  # machine to bridge and interface
        self.ports: list[Any] = []
        number = next(self.numbers)
        wire = {"provider:network_type": "vlan", "provider:physical_network": "uplink"}
        prefixes = ("203.0.113.0/24", "2001:db8::/64")
        self.outside = net.external(*prefixes, **wire, **{"provider:segmentation_id": number})
        self.networks = [
            net.network(f"10.{n}.0.0/24", f"fd0{n}::/64") for n in range(len(drawn["machines"]))
        ]
        for network, machines in zip(self.networks, drawn["machines"], strict=True):
            for here in machines:
                self._machine(network, "br-int" if here else "br-two")
        for router in drawn["routers"]:
            self._router(router, prefixes)
        upstream = {"203.0.113.1", "2001:db8::1"}
        self.world.upstream[self.outside["id"]] = upstream
        for version, address in ((4, 0xCB007101), (6, (0x20010DB8 << 96) + 1)):
            id = (self.outside["id"], version, address)
            net.controller.inbox.submit([Change(Neighbour, id, Neighbour(id, *id, UPSTREAM_MAC))])
        for made, router in zip(self.routers, drawn["routers"], strict=True):
            self._routes(made, router["routes"])
            self._floating(made, router["floating"])
        net.settle()

    routers: list[tuple[Any, Router]]

    def _machine(self, network: Any, bridge: str) -> None:
        port = self.net.port(network)
        self.ports.append(port)
        self.interfaces[port["id"]] = (bridge, self.net.attach(port, bridge))
        for ip in port["fixed_ips"]:
            self.world.machines[network["id"], ip["ip_address"]] = port["id"]

    def _router(self, drawn: dict[str, Any], outside: tuple[str, ...]) -> None:
        if not hasattr(self, "routers"):
            self.routers = []
        gateway = {"enable_snat": drawn["snat"]}
        made = self.net.router(
            **({"outside": self.outside, "gateway": gateway} if drawn["gateway"] else {})
        )
        router = Router(made["id"], drawn["snat"])
        for n in drawn["networks"]:
            network = self.networks[n]
            prefixes = {s["id"]: s["cidr"] for s in self.net.subnets(network)}
            taken = any(leg.network == network["id"] for _, r in self.routers for leg in r.legs)
            if taken:  # another router has the gateways' addresses
                port = self.net.port(network)
                self.net.interface(made, port_id=port["id"])
                pairs = [(i["ip_address"], prefixes[i["subnet_id"]]) for i in port["fixed_ips"]]
                router.legs.append(Leg(network["id"], pairs))
                continue
            for id, prefix in prefixes.items():
                self.net.interface(made, subnet_id=id)
                first = prefix.rpartition("/")[0].removesuffix("0") + "1"
                router.legs.append(Leg(network["id"], [(first, prefix)]))
        if drawn["gateway"]:
            fixed = [i["ip_address"] for i in made["external_gateway_info"]["external_fixed_ips"]]
            pairs = [(a, next(p for p in outside if (":" in p) == (":" in a))) for a in fixed]
            router.legs.append(Leg(self.outside["id"], pairs, gateway=True))
            router.defaults = ["203.0.113.1", "2001:db8::1"]
        self.routers.append((made, router))
        self.world.routers.append(router)

    def _routes(self, made: tuple[Any, Router], drawn: list[tuple[int, int, int]]) -> None:
        """To prefixes far away, over machines or other routers on the link."""
        resource, router = made
        links = {leg.network for leg in router.legs if not leg.gateway}
        own = {address for leg in router.legs for address, _ in leg.addresses}
        over = [address for network, address in self.world.machines if network in links]
        over += [
            address
            for other in self.world.routers
            for leg in other.legs
            for address, _ in leg.addresses
            if leg.network in links and address not in own
        ]
        routes: dict[str, str] = {}
        for hop, far, length in drawn:
            nexthop = over[hop % len(over)] if over else None
            if nexthop:
                prefix = f"172.16.{far}.0/{length}" if "." in nexthop else f"2001:db8:{far}::/48"
                routes.setdefault(_canonical(prefix), nexthop)
        asked = [{"destination": prefix, "nexthop": hop} for prefix, hop in routes.items()]
        self.net.update("router", resource["id"], routes=asked)
        router.routes = list(routes.items())

    def _floating(self, made: tuple[Any, Router], drawn: set[int]) -> None:
        _, router = made
        if not any(leg.gateway for leg in router.legs):
            return
        firsts = {leg.network for leg in router.legs if leg.addresses[0][0].endswith(".0.1")}
        behind = [port for port in self.ports if port["network_id"] in firsts]
        for n in sorted(drawn):
            if n < len(behind):
                floating = self.net.floating_ip(self.outside, behind[n])
                if floating["router_id"] != router.name:  # pragma: no cover - by the gateway's
                    raise AssertionError("a floating IP of another router")
                router.floating[floating["floating_ip_address"]] = floating["fixed_ip_address"]

    # --- packets -----------------------------------------------------------------------------

    def addresses(self) -> list[str]:
        """Whereto packets are sent: everywhere there is somebody, and where there is nobody."""
        found = [address for _, address in self.world.machines]
        found += [
            a for router in self.world.routers for leg in router.legs for a, _ in leg.addresses
        ]
        found += [public for router in self.world.routers for public in router.floating]
        found += ["10.0.0.99", "10.1.0.99", "fd01::99", *FAR, "203.0.113.1", "203.0.113.99"]
        found += [f"172.16.{far}.9" for far in range(4)] + ["2001:db8:1::9", "192.168.9.9"]
        return sorted(set(found))

    def check(self, sender: int, target: int, ttl: int, cut: str) -> None:
        """One packet, or a fragment, by the reference and by the switches."""
        port = self.ports[sender % len(self.ports)]
        addresses = self.addresses()
        dst = addresses[target % len(addresses)]
        six = ":" in dst
        src = next(i["ip_address"] for i in port["fixed_ips"] if (":" in i["ip_address"]) == six)
        here = (port["network_id"], dst) in self.world.machines
        found = self._first(port["network_id"], six)
        if here or found is None or self._on_link(port, dst):
            return  # it is not routed
        router, leg, mac = found
        expected = forward(self.world, router, leg, Packet(src, dst, ttl), cut)
        got = self.sent(port, mac, Packet(src, dst, ttl), cut)
        if expected.where in ("router", "nowhere"):
            expected = Outcome(expected.where)
        assert got == expected, (src, dst, ttl, cut)

    def _on_link(self, port: Any, dst: str) -> bool:
        first = port["fixed_ips"][1 if ":" in dst else 0]["ip_address"]
        return (
            dst.rpartition("." if "." in dst else ":")[0]
            == first.rpartition("." if "." in first else ":")[0]
        )

    def _first(self, network: str, six: bool) -> tuple[Router, Leg, str] | None:
        """The router that a machine sends to: the one that has the gateway's address."""
        for made, router in self.routers:
            for leg in router.legs:
                for address, _ in leg.addresses:
                    own = (":" in address) == six and leg.network == network
                    if own and address.endswith("::1" if six else ".0.1"):
                        query = f"device_id={made['id']}&network_id={network}"
                        ports = self.net.api("GET", f"/v2.0/ports?{query}")["ports"]
                        for port in ports:
                            if any(i["ip_address"] == address for i in port["fixed_ips"]):
                                return router, leg, port["mac_address"]
        return None

    def sent(self, port: Any, mac: str, packet: Packet, cut: str) -> Outcome:
        """Where switches take a packet, over the wire between them if need be."""
        bridge, interface = self.interfaces[port["id"]]
        macs, tag = (port["mac_address"], mac), ""
        for _ in range(8):
            told = trace(self.net, interface, _flow(packet, macs, tag, cut), bridge=bridge)
            packet, macs = _changed(packet, told.sets, told.nat), _macs(macs, told.sets)
            if told.punted:
                assert not told.left
                return Outcome("router")
            if not told.left:
                return Outcome("nowhere")
            (way,) = told.left
            for name, (_, tap) in self.interfaces.items():
                if way == tap:
                    return Outcome(name, packet)
            wire, _, tag = way.partition(".")
            if wire == "uplink0":
                return Outcome("outside", packet)
            bridge, interface = {
                "trunk0": ("br-two", "trunk1"),
                "trunk1": ("br-int", "trunk0"),
            }[wire]
        raise AssertionError("it goes from switch to switch")


def _canonical(prefix: str) -> str:
    from ipaddress import ip_network

    return str(ip_network(prefix, strict=False))


def _flow(packet: Packet, macs: tuple[str, str], tag: str, cut: str) -> str:
    kind, src, dst = (
        ("udp6", "ipv6_src", "ipv6_dst") if ":" in packet.dst else (*("udp", "nw_src", "nw_dst"),)
    )
    vlan = f",dl_vlan={tag}" if tag else ""
    ports = ",udp_src=1024,udp_dst=9"
    if cut == "later":
        kind, ports = ("ipv6,nw_proto=44" if ":" in packet.dst else "ip,nw_proto=17"), ""
    if cut:
        kind += f",ip_frag={cut}"
    return (
        f"{kind}{vlan},dl_src={macs[0]},dl_dst={macs[1]},{src}={packet.src},{dst}={packet.dst}"
        f",nw_ttl={packet.ttl}{ports}"
    )


def _changed(packet: Packet, sets: dict[str, str], nat: tuple[str, ...]) -> Packet:
    src, dst, ttl = packet
    for translated in nat:
        end, _, address = translated.partition("=")
        if end == "src":
            src = address.partition(":")[0]
        elif end == "dst":
            dst = address.partition(":")[0]
    family, hops = ("ipv6", "hlimit") if ":" in dst else ("ipv4", "ttl")
    # A floating IP of a second router may come after a shared address of the first.
    src = sets.get(f"{family}.src", src)
    return Packet(src, sets.get(f"{family}.dst", dst), int(sets.get(f"{family}.{hops}", ttl)))


def _macs(macs: tuple[str, str], sets: dict[str, str]) -> tuple[str, str]:
    return sets.get("eth.src", macs[0]), sets.get("eth.dst", macs[1])


@pytest.fixture(scope="module")
def net() -> Iterator[Lab]:
    with (
        OpenVSwitch(dummy=True) as ovs,
        tempfile.TemporaryDirectory() as directory,
        lab(ovs, Path(directory), networks__vlan_ranges="wire:1:4000") as running,
    ):
        running.add_bridge("br-two")
        running.wire("br-int", "trunk0", "wire")
        running.wire("br-two", "trunk1", "wire")
        running.wire("br-int", "uplink0", "uplink")
        yield running
        running.verify()


@settings(
    max_examples=TOPOLOGIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.generate],
)
@given(drawn=topologies())
def test_routers_forward_what_the_reference_says(net: Lab, drawn: dict[str, Any]) -> None:
    built = Built(net, drawn)
    for packet in drawn["packets"]:
        built.check(*packet)
