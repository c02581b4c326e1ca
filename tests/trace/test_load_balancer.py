# SPDX-License-Identifier: Apache-2.0

"""Load balancers where their clients are: what the switch does with a packet, told by
``ofproto/trace``. (It translates nothing: what becomes of translated packets real ones show.)"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.load_balancer.records import HTTP, SOURCE_IP, TCP, UDP, LoadBalancer
from tenantry.controller.model import parse
from tests.balancers import Balancers, vip
from tests.lab import Lab, lab
from tests.netns.test_l2 import addresses
from tests.openvswitch import OpenVSwitch
from tests.story import Told, trace
from tests.trace.test_local_ip import answer, asks

PORT, SERVICE = 80, 8080
BEGINS = ("trk,new", "trk,est", "trk,new")
"""The client's switch looks it up, makes it known, and (as nothing is translated here) finds that
it is no member's answer to itself."""


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def packet(
    client: Any,
    balancer: LoadBalancer,
    mac: str,
    version: int = 4,
    *,
    port: int = PORT,
    **more: Any,
) -> str:
    """What a client sends to a load balancer, by way of a MAC address."""
    protocol = more.pop("kind", "tcp")
    kind = protocol + ("6" if version == 6 else "")
    own = addresses(client)[version == 6]
    ends = {4: f"nw_src={own},nw_dst={vip(balancer)}", 6: ""}
    if version == 6:
        ends[6] = f"ipv6_src={own},ipv6_dst={vip(balancer, 6)}"
    words = "".join(f",{name}={value}" for name, value in more.items())
    macs = f"dl_src={client['mac_address']},dl_dst={mac}"
    return f"{kind},{macs},{ends[version]},nw_ttl=64,{protocol}_dst={port}{words}"


def vip_mac(net: Lab, balancer: LoadBalancer) -> str:
    mac: str = net.api("GET", f"/v2.0/ports/{balancer.vip_port_id}")["port"]["mac_address"]
    return mac


def chosen(told: Told) -> str:
    """The member to which a connection was translated; or ""."""
    (found,) = [one.removeprefix("dst=") for one in told.nat if one] or [""]
    return found


def test_equal_addresses_of_two_tenants_and_where_flows_are(net: Lab) -> None:
    """Each has zones of its own; and no switch has flows of a load balancer that no port there can
    reach."""
    for bridge in ("br-two", "br-three"):
        net.add_bridge(bridge)
    made = Balancers(net)
    stories = {}
    for project, bridge in (("red", "br-int"), ("blue", "br-two")):
        network = net.network("10.0.0.0/24", "fd00::/64", project=project)
        beside = net.network("10.1.0.0/24", project=project)
        net.router(network, beside, project=project)
        client, routed, member = net.port(network), net.port(beside), net.port(network)
        taps = [net.attach(port, bridge) for port in (client, routed)]
        balancer = made.balancer(network)
        pool = made.pool(balancer, TCP)
        made.listener(pool, PORT)
        made.members(pool, addresses(member), SERVICE)
        net.settle()
        four, six = addresses(member)
        mac = vip_mac(net, balancer)
        legs = net.api("GET", f"/v2.0/ports?network_id={beside['id']}")["ports"]
        leg = next(p for p in legs if p["device_owner"] == "network:router_interface")
        for tap, sender, to, version, wanted in (
            (taps[0], client, mac, 4, f"{four}:{SERVICE}"),
            (taps[0], client, mac, 6, f"[{six}]:{SERVICE}"),
            (taps[1], routed, leg["mac_address"], 4, f"{four}:{SERVICE}"),
        ):
            flow = packet(sender, balancer, to, version, tcp_src=40_000)
            told = trace(net, tap, flow, bridge=bridge, ct_next=BEGINS)
            assert chosen(told) == wanted
        # What is for somebody else's MAC address goes there as it is.
        flow = packet(client, balancer, member["mac_address"], tcp_src=40_000)
        assert trace(net, taps[0], flow, bridge=bridge).nat == ()
        for address in (vip(balancer),):
            assert answer(net, bridge, taps[0], asks(client, address)) == mac
        stories[project] = (balancer, bridge)
    red, blue = (balancer for balancer, _ in stories.values())
    assert vip(red) == vip(blue) and vip(red, 6) == vip(blue, 6)
    for project, (balancer, bridge) in stories.items():
        zone = f"zone={3 * balancer.key}"
        for other in ("br-int", "br-two", "br-three"):
            found = [flow for flow in net.flows(other) if re.search(rf"{zone}\b", flow)]
            assert bool(found) == (other == bridge), (project, other)
    assert not [flow for flow in net.flows("br-three") if "table=LB_SPLIT" in flow.split(" ")[0]]


def test_a_member_more_is_four_flows(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(12)]
    for port in ports:
        net.attach(port)
    made = Balancers(net)
    balancer = made.balancer(network)
    pool = made.pool(balancer, TCP)
    made.listener(pool, PORT)
    for _ in range(2):
        others = made.members(pool, [addresses(port)[0] for port in ports[:10]], SERVICE)
        net.settle()

        def plain() -> dict[str, str]:
            of_it = [flow for flow in net.flows("br-int") if flow.startswith("cookie=0x1d")]
            found = (flow.partition(" actions=") for flow in of_it)
            return {re.sub(r"cookie=\w+, ", "", match): actions for match, _, actions in found}

        before = plain()
        made.member(pool, 10, addresses(ports[10])[0], SERVICE)
        net.settle()
        after = plain()
        changed = {
            match for match in before.keys() | after.keys() if before.get(match) != after.get(match)
        }
        assert len(changed) <= 4, changed
        for other in others:
            made.remove(other)


def test_who_is_out_of_rotation_and_who_is_refused(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    client, *members = [net.port(network) for _ in range(4)]
    tap = net.attach(client)
    made = Balancers(net)
    balancer = made.balancer(network)
    mac = vip_mac(net, balancer)
    own = addresses(client)[0]
    for kind, protocol in (("tcp", TCP), ("udp", UDP)):
        pool = made.pool(balancer, protocol, SOURCE_IP)
        listener = made.listener(pool, PORT)
        some = made.members(pool, [addresses(port)[0] for port in members], SERVICE)
        flow = packet(client, balancer, mac, kind=kind)

        def who(flow: str = flow) -> str:
            net.settle()
            told = trace(net, tap, flow, ct_next=BEGINS)
            assert told.punted == (not chosen(told))
            return chosen(told).partition(":")[0]

        every = [addresses(port)[0] for port in members]
        left = list(every)
        gone = (
            lambda member: made.change(member, weight=0),
            lambda member: made.judge(member, alive=False),
            lambda member: made.change(member, admin_state_up=False),
        )
        for take in gone:
            first = who()
            assert first in left
            left.remove(first)
            take(some[every.index(first)])
        assert who() == ""  # all are out: it is refused
        for member in some:
            made.change(member)
            made.judge(member, alive=True)
        assert who() in every
        last = made.change(some[2], backup=True)
        assert who() in every[:2]
        for member in some[:2]:
            made.judge(member, alive=False)
        assert who() == every[2]
        made.change(last, backup=False)
        # Not for everybody: only those are led to a member, and the others are not told.
        listener = made.change(listener, allowed_cidrs=parse.prefixes([f"{own}/32"]))
        assert who() in every
        made.change(pool, admin_state_up=False)
        assert who() == ""
        made.change(pool)
        listener = made.change(listener, allowed_cidrs=parse.prefixes(["192.0.2.0/24"]))
        net.settle()
        told = trace(net, tap, flow, ct_next=BEGINS)
        assert (chosen(told), told.punted, told.left) == ("", False, frozenset())
        # Switched off there is no listener: nobody is there.
        made.change(listener, admin_state_up=False, allowed_cidrs=())
        net.settle()
        told = trace(net, tap, flow, ct_next=BEGINS[:1] * 2)
        assert (chosen(told), told.punted, told.left) == ("", False, frozenset())


def test_by_source_a_hash_says_which(net: Lab) -> None:
    network = net.network("10.0.0.0/16", "fd00::/64")
    pair = [{"ip_address": "10.0.128.0/17"}]
    client = net.port(network, allowed_address_pairs=pair)
    tap = net.attach(client)
    members = [net.port(network) for _ in range(4)]
    made = Balancers(net)
    balancer = made.balancer(network)
    pool = made.pool(balancer, TCP, SOURCE_IP)
    made.listener(pool, PORT)
    some = made.members(pool, [addresses(port)[0] for port in members], SERVICE)
    mac = vip_mac(net, balancer)

    def who() -> dict[str, str]:
        net.settle()
        found = {}
        for number in range(120):
            own = f"10.0.200.{number + 1}"
            flow = packet(client, balancer, mac, tcp_src=40_000 + number)
            flow = flow.replace(f"nw_src={addresses(client)[0]}", f"nw_src={own}")
            found[own] = chosen(trace(net, tap, flow, ct_next=BEGINS))
        return found

    before = who()
    assert len({*before.values()}) == 4
    made.judge(some[2], alive=False)
    without = who()
    gone = f"{addresses(members[2])[0]}:{SERVICE}"
    assert all(without[own] == who for own, who in before.items() if who != gone)
    others = {without[own] for own, who in before.items() if who == gone}
    assert len(others) == 3 and gone not in others
    made.judge(some[2], alive=True)
    assert who() == before


def test_several_load_balancers_with_the_same_member(net: Lab) -> None:
    """Their zones are asked one by one, and what none of them knows leaves as it is."""
    network = net.network("10.0.0.0/24", "fd00::/64")
    client, member = net.port(network), net.port(network)
    tap, own = net.attach(client), net.attach(member)
    made = Balancers(net)
    for protocol, kind in ((TCP, "tcp"), (UDP, "udp")):
        for number in range(1, 4):
            balancer = made.balancer(network)
            pool = made.pool(balancer, protocol)
            made.listener(pool, PORT)
            made.members(pool, addresses(member), SERVICE)
            net.settle()
            for version in (4, 6):
                ends = [addresses(port)[version == 6] for port in (member, client)]
                name = "ipv6" if version == 6 else "nw"
                words = f"dl_src={member['mac_address']},dl_dst={client['mac_address']},nw_ttl=64"
                words += f",{name}_src={ends[0]},{name}_dst={ends[1]},{kind}_src={SERVICE}"
                flow = f"{kind}{'6' if version == 6 else ''},{words},{kind}_dst=40000"
                told = trace(net, own, flow, ct_next=("trk,new",) * number)
                assert (told.left, told.passes) == ({tap}, number + 1)
                # What is of another port asks nobody, if it is TCP.
                other = trace(net, own, flow.replace(f"src={SERVICE}", "src=22"))
                assert protocol == UDP or (other.left, other.passes) == ({tap}, 1)


def test_what_a_proxy_does_goes_to_its_interface(net: Lab) -> None:
    network = net.network("10.0.0.0/24")
    client, member = net.port(network), net.port(network)
    tap = net.attach(client)
    made = Balancers(net)
    balancer = made.balancer(network)
    four = made.pool(balancer, TCP)
    made.listener(four, PORT)
    made.members(four, addresses(member), SERVICE)
    seven = made.pool(balancer, HTTP)
    made.listener(seven, 8000)
    made.members(seven, addresses(member), SERVICE)
    port = net.api("GET", f"/v2.0/ports/{balancer.vip_port_id}")["port"]
    proxy = net.attach(port)
    net.settle()
    mac = vip_mac(net, balancer)
    told = trace(net, tap, packet(client, balancer, mac), ct_next=BEGINS)
    assert chosen(told) == f"{addresses(member)[0]}:{SERVICE}"
    for flow in (
        packet(client, balancer, mac, port=8000),
        packet(client, balancer, mac, kind="icmp", icmp_type=8).replace(f",icmp_dst={PORT}", ""),
    ):
        assert trace(net, tap, flow, ct_next=("trk,new",) * 2).left == {proxy}
    net.detach(proxy)
    flow = packet(client, balancer, mac, kind="icmp", icmp_type=8).replace(f",icmp_dst={PORT}", "")
    told = trace(net, tap, flow, ct_next=("trk,new",))
    assert told.left == {tap}
