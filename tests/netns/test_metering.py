# SPDX-License-Identifier: Apache-2.0

"""What metering labels count of real packets: each, once, by the addresses inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import join_by_trunk
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine

PING, PING6 = 98, 118
"""Octets of an echo request or reply of 56 octets: Ethernet, IP and ICMP."""
VLAN = 4


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, networks__vlan_ranges="wire:100:199") as running:
        yield running
        running.verify()


def label(net: Lab, *rules: tuple[str, dict[str, Any]], project: str = "red", **said: Any) -> str:
    path = "/v2.0/metering/metering-label"
    made = net.api("POST", f"{path}s", {"metering_label": {"name": "paid", **said}}, project)
    id: str = made["metering_label"]["id"]
    for direction, ends in rules:
        rule(net, id, direction, **ends)
    return id


def rule(net: Lab, label: str, direction: str, **ends: Any) -> str:
    said = {"metering_label_id": label, "direction": direction, **ends}
    made = net.api("POST", "/v2.0/metering/metering-label-rules", {"metering_label_rule": said})
    id: str = made["metering_label_rule"]["id"]
    return id


def counted(net: Lab, label: str) -> Any:
    net.ovs.appctl("revalidator/purge")  # what the datapath has counted is added up
    told = net.api("GET", f"/tenantry/v1/metering-labels/{label}/counters")
    assert told["complete"]
    return told


def packets(net: Lab, label: str) -> tuple[int, int]:
    told = counted(net, label)
    return told["egress"]["packets"], told["ingress"]["packets"]


def pings(guest: Guest, address: str, count: int) -> None:
    text = guest.run("ping", "-n", "-c", count, "-i", "0.1", "-W", "30", address)
    assert f" {count} received" in text, text


FOUR = {"remote_ip_prefix": "10.1.0.0/24"}
SIX = {"remote_ip_prefix": "2001:4:1::/64"}


def test_each_packet_once_by_the_addresses_inside(net: Lab) -> None:
    join_by_trunk(net)
    outside = Outside(net)
    one = net.network("10.1.0.0/24", "2001:4:1::/64", project="red")
    two = net.network("10.2.0.0/24", project="red")
    router = net.router(one, two, outside=outside.network, project="red")
    outside.routes_to(router, "2001:4::/32")
    ports = [net.port(one), net.port(one), net.port(two)]
    places = ("br-int", "br-two", "br-int")
    a, b, c = (machine(net, port, bridge) for port, bridge in zip(ports, places, strict=True))
    public = net.floating_ip(outside.network, ports[1])["floating_ip_address"]
    theirs, other = (port["fixed_ips"][0]["ip_address"] for port in ports[1:])
    both = [(way, ends) for way in ("egress", "ingress") for ends in (FOUR, SIX)]
    every = label(net, *both)
    shared = label(net, *both, project="blue", shared=True)
    strangers = label(net, *both, project="blue")
    # But for one machine; and by both ends, of which one is the server.
    but = {"source_ip_prefix": theirs, "excluded": True}
    server = {"source_ip_prefix": f"{SERVER}/32", "destination_ip_prefix": "10.0.0.0/8"}
    some = label(net, ("egress", FOUR), ("egress", but), ("ingress", server))
    net.settle()
    assert packets(net, every) == (0, 0)

    pings(a, SERVER, 5)  # by the shared address
    pings(b, SERVER, 4)  # by a floating IP, from another switch
    pings(a, SERVER6, 3)
    pings(outside.server, public, 2)
    # What does not pass the gateway: to another network, to the router, and from the router.
    pings(a, other, 7)
    pings(a, "10.1.0.1", 7)
    gateways = router["external_gateway_info"]["external_fixed_ips"]
    pings(outside.server, next(g["ip_address"] for g in gateways if "." in g["ip_address"]), 7)

    told = counted(net, every)
    tags = 6 * VLAN  # a packet is as long as it came to the switch that routes it
    assert told["egress"] == {"packets": 14, "octets": 11 * PING + 3 * PING6 + tags}
    assert told["ingress"] == {"packets": 14, "octets": 11 * PING + 3 * PING6}
    (by_router,) = told["routers"]
    assert by_router.pop("id") == router["id"]
    assert by_router == {name: told[name] for name in ("egress", "ingress", "since")}
    assert counted(net, shared)["egress"] == told["egress"]
    assert packets(net, strangers) == (0, 0)
    assert packets(net, some) == (5, 11)

    # A rule that comes and another that goes leave the others' counts alone.
    late = rule(net, every, "egress", remote_ip_prefix="10.2.0.0/24")
    net.settle()
    pings(c, SERVER, 6)
    assert packets(net, every) == (14 + 6, 14)
    net.api("DELETE", f"/v2.0/metering/metering-label-rules/{late}")
    net.settle()
    assert packets(net, every) == (14, 14)
    # So does the last machine of a switch.
    net.delete("port", ports[1]["id"])
    net.settle()
    assert packets(net, every) == (14, 14)
