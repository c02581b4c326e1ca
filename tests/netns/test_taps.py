# SPDX-License-Identifier: Apache-2.0

"""Copies of real packets on one switch: whole, of the port that was asked for, and of no other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.heard import ends, hearing, tag
from tests.lab import Lab, lab
from tests.netns.test_counters import counters, grown, neighbours, quiet
from tests.netns.test_l2 import addresses
from tests.openvswitch import OpenVSwitch
from tests.vlan import vlan


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


def tap_service(net: Lab, port: Any) -> Any:
    body = {"tap_service": {"port_id": port["id"]}}
    return net.api("POST", "/v2.0/taas/tap_services", body)["tap_service"]


def tap_flow(net: Lab, service: Any, source: Any, direction: str = "BOTH", **more: Any) -> Any:
    body = {"tap_service_id": service["id"], "source_port": source["id"], "direction": direction}
    return net.api("POST", "/v2.0/taas/tap_flows", {"tap_flow": {**body, **more}})["tap_flow"]


def closed(net: Lab) -> list[str]:
    """A security group that lets nothing in, and nothing out."""
    group = net.create("security_group", name="closed")
    for rule in group["security_group_rules"]:
        net.api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")
    return [group["id"]]


def test_copies_arrive_whole_and_of_that_port_only(net: Lab) -> None:
    """At a port of another network, whose security group lets nothing in."""
    network, elsewhere = net.network("10.0.0.0/24", "fd00::/64"), net.network("10.9.0.0/24")
    a, b, c = (net.port(network) for _ in range(3))
    watcher = net.port(elsewhere, security_groups=closed(net))
    one, two, _, watching = (net.guest(port) for port in (a, b, c, watcher))
    service = tap_service(net, watcher)
    flow = tap_flow(net, service, a)
    net.take_effect()
    with hearing(watching) as copies, hearing(one) as heard:
        assert all(one.pings(address) for address in addresses(b))
        assert all(two.pings(address) for address in addresses(c))
        assert two.pings(addresses(a)[0])
        echoes = copies.pings(6)
        assert sorted(echoes) == sorted(heard.pings(6)), "each once, byte by byte"
    assert {frozenset(ends(frame)) for frame in echoes} == {
        frozenset((a["mac_address"], b["mac_address"]))
    }
    assert net.api("GET", f"/v2.0/taas/tap_flows/{flow['id']}")["tap_flow"]["status"] == "ACTIVE"
    net.api("DELETE", f"/v2.0/taas/tap_flows/{flow['id']}")
    tap_flow(net, service, c)
    net.take_effect()
    with hearing(watching) as copies:
        assert one.pings(addresses(b)[0])
        assert one.pings(addresses(c)[0])
        assert len(copies.pings(2)) == 2


@pytest.mark.parametrize("direction", ["IN", "OUT"])
def test_one_direction(net: Lab, direction: str) -> None:
    network = net.network("10.0.0.0/24", "fd00::/64")
    ports = [net.port(network) for _ in range(3)]
    one, two, watching = (net.guest(port) for port in ports)
    tap_flow(net, tap_service(net, ports[2]), ports[0], direction)
    net.take_effect()
    with hearing(watching) as copies:
        assert all(one.pings(address) for address in addresses(ports[1]))
        assert all(two.pings(address) for address in addresses(ports[0]))
        echoes = copies.pings(4)
    source = ports[1 if direction == "IN" else 0]
    assert [ends(frame)[0] for frame in echoes] == [source["mac_address"]] * 4


def test_what_port_security_drops_is_copied(net: Lab) -> None:
    """As the machine sent it; and nobody else hears of it."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(3)]
    one, two, three = (net.guest(port) for port in ports)
    tap_flow(net, tap_service(net, ports[1]), ports[0])
    net.take_effect()
    one.run("ip", "address", "add", "10.0.0.222/24", "dev", "eth0")
    to = addresses(ports[2])[0]
    one.run("ip", "neighbour", "add", to, "lladdr", ports[2]["mac_address"], "dev", "eth0")
    forged = bytes([10, 0, 0, 222])
    with hearing(two) as copies, hearing(three) as elsewhere:
        one.start("ping", "-c", "1", "-W", "1", "-I", "10.0.0.222", to)
        assert forged in copies.pings(1)[0]
        assert one.pings(to)
        assert not [frame for frame in elsewhere.pings(2) if forged in frame]


def test_a_tap_changes_no_count(net: Lab) -> None:
    """Of the port that is tapped; the copies are nobody's."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(3)]
    guests = [net.guest(port) for port in ports]
    for guest in guests:
        quiet(guest)
    neighbours(*zip(guests, ports, strict=True))
    tap_flow(net, tap_service(net, ports[2]), ports[0])
    net.take_effect()
    before = [counters(net, "ports", port["id"]) for port in ports]
    guests[0].run("ping", "-q", "-f", "-c", "100", "-s", "1000", addresses(ports[1])[0])
    after = [counters(net, "ports", port["id"]) for port in ports]
    for way, number in product(("sent", "received"), (0, 1)):
        assert grown(before[number], after[number], way) == (100, 100 * 1042), (number, way)
    assert grown(before[2], after[2], "received") == (0, 0)


def test_copies_are_not_copied(net: Lab) -> None:
    """Two ports that get each other's packets: a ping is heard as often as it must be."""
    network = net.network("10.0.0.0/24")
    a, b, c = (net.port(network) for _ in range(3))
    one, two, three = (net.guest(port) for port in (a, b, c))
    tap_flow(net, tap_service(net, a), b)
    tap_flow(net, tap_service(net, b), a)
    net.take_effect()
    with hearing(one) as heard, hearing(two) as others:
        assert three.pings(addresses(a)[0])
        # one hears its own two; two hears copies of both. None of these copies is one's again.
        assert len(others.pings(2)) == 2
        assert three.pings(addresses(b)[0])
        assert len(heard.pings(4)) == len(others.pings(4)) == 4
        # Between the two: a question, which two gets and gets a copy of, and so answers twice; of
        # these three each has its own packet, and a copy.
        assert one.pings(addresses(b)[0])
        assert len(heard.pings(10)) == len(others.pings(10)) == 10


def test_a_trunk_is_tapped_by_vlan(net: Lab) -> None:
    """Frames of its ports, with their tags; the parent's own only by a tap without a filter."""
    network, inner = net.network("10.0.0.0/24"), net.network("10.7.0.0/24")
    parent, beside, watcher = (net.port(network) for _ in range(3))
    child, far = (net.port(inner) for _ in range(2))
    sub = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    net.create("trunk", port_id=parent["id"], sub_ports=[sub])
    machine, _, watching, _ = (net.guest(port) for port in (parent, beside, watcher, far))
    service = tap_service(net, watcher)
    tap_flow(net, service, parent, vlan_filter="5-8,20")
    net.take_effect()
    with vlan(machine, 7) as name:
        machine.run("ip", "link", "set", name, "address", child["mac_address"], "up")
        machine.run("ip", "address", "add", f"{addresses(child)[0]}/24", "dev", name)
        with hearing(watching) as copies:
            assert machine.pings(addresses(beside)[0])
            assert machine.pings(addresses(far)[0])
            assert [tag(frame) for frame in copies.pings(2)] == [7, 7]
        tap_flow(net, service, parent)
        tap_flow(net, service, child, "OUT")
        net.take_effect()
        with hearing(watching) as copies:
            assert machine.pings(addresses(beside)[0])
            assert machine.pings(addresses(far)[0])
            tags = [tag(frame) for frame in copies.pings(5)]
        assert sorted(tags, key=str) == [7, 7, None, None, None]
