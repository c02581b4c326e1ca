# SPDX-License-Identifier: Apache-2.0

"""Counters against what the machines' own kernels count, with real packets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tenantry.controller.cli.main import main
from tests.lab import Lab, Refused, eventually, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, Outside, machine

WIRE = {"networks__vlan_ranges": "wire:100:199"}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


def counters(net: Lab, kind: str, id: str) -> Any:
    """What is counted by now, when Open vSwitch has added up what its datapath has."""
    net.ovs.appctl("revalidator/purge")
    return net.api("GET", f"/tenantry/v1/{kind}/{id}/counters")


def counted(tally: Any) -> tuple[int, int]:
    return tally["packets"], tally["octets"]


def grown(before: Any, after: Any, way: str) -> tuple[int, int]:
    (packets, octets), (now, more) = counted(before[way]), counted(after[way])
    return now - packets, more - octets


def kernels(guest: Guest) -> dict[str, tuple[int, int]]:
    """What a machine's own kernel says that it has sent and received."""
    (link,) = json.loads(guest.run("ip", "-s", "-j", "link", "show", "eth0"))
    ways = {"sent": link["stats64"]["tx"], "received": link["stats64"]["rx"]}
    return {way: (stats["packets"], stats["bytes"]) for way, stats in ways.items()}


def quiet(guest: Guest) -> None:
    """It speaks when it is told to, and else never."""
    guest.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")


def neighbours(*machines: tuple[Guest, Any]) -> None:
    """Nobody has to ask for MAC addresses."""
    for guest, _ in machines:
        for _, port in machines:
            address = port["fixed_ips"][0]["ip_address"]
            guest.run(
                "ip", "neigh", "replace", address, "lladdr", port["mac_address"], "dev", "eth0"
            )


def test_a_hundred_pings_are_a_hundred_packets_each_way(net: Lab) -> None:
    """To the packet and the octet, as the machines' own kernels count them."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network) for _ in range(3)]
    guests = [net.guest(port) for port in ports]
    for guest in guests:
        quiet(guest)
    neighbours(*zip(guests, ports, strict=True))
    before = [counters(net, "ports", port["id"]) for port in ports]
    whole = counters(net, "networks", network["id"])
    kernel = [kernels(guest) for guest in guests]
    assert guests[0].run(
        *("ping", "-q", "-f", "-c", "100", "-s", "1000", ports[1]["fixed_ips"][0]["ip_address"])
    )
    after = [counters(net, "ports", port["id"]) for port in ports]
    for way in ("sent", "received"):
        for number in (0, 1):
            assert grown(before[number], after[number], way) == (100, 100 * 1042), (number, way)
            now = kernels(guests[number])[way]
            then = kernel[number][way]
            assert (now[0] - then[0], now[1] - then[1]) == (100, 100 * 1042)
        assert grown(before[2], after[2], way) == (0, 0), "a bystander"
        both = counters(net, "networks", network["id"])
        assert grown(whole, both, way) == (200, 200 * 1042)
    assert after[0]["complete"] and after[0]["silent"] == []
    assert after[0]["since"] is not None


def test_counts_go_on(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """Over a restart of the controller, and over what changes about a port."""
    with lab(ovs, tmp_path) as net:
        network = net.network("10.0.0.0/24")
        ports = [net.port(network) for _ in range(2)]
        guests = [net.guest(port) for port in ports]
        for guest in guests:
            quiet(guest)
        neighbours(*zip(guests, ports, strict=True))
        words = ("ping", "-q", "-f", "-c", "50", ports[1]["fixed_ips"][0]["ip_address"])
        assert guests[0].run(*words)
        before = counters(net, "ports", ports[0]["id"])
        net.update("port", ports[0]["id"], port_security_enabled=False, security_groups=[])
        net.settle()
        assert guests[0].run(*words)
        after = counters(net, "ports", ports[0]["id"])
        for way in ("sent", "received"):
            assert grown(before, after, way)[0] == 50
        guests_of_the_first, net._guests = net._guests, []  # they live on
    assert guests[0].run(*words)  # while there is no controller
    with lab(ovs, tmp_path) as again:
        again._guests = guests_of_the_first
        again.settle()
        last = counters(again, "ports", ports[0]["id"])
        for way in ("sent", "received"):
            assert grown(after, last, way)[0] == 50
        again.verify()


def test_what_a_port_may_not_ask_of_the_controller_is_named(net: Lab) -> None:
    port = net.port(net.network("10.0.0.0/24"))
    guest = net.guest(port)
    quiet(guest)
    guest.run(
        "python3",
        "-c",
        "import socket\n"
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "s.setsockopt(socket.SOL_SOCKET, 25, b'eth0'); s.bind(('', 68))\n"
        "[s.sendto(bytes(300), ('255.255.255.255', 67)) for _ in range(1000)]",
    )

    def dropped() -> dict[str, int]:
        drops = counters(net, "ports", port["id"])["drops"]
        return {drop["cause"]: drop["packets"] for drop in drops}

    assert eventually(lambda: dropped().get("too_much_to_answer", 0) > 50), dropped()
    assert dropped()["too_much_to_answer"] < counters(net, "ports", port["id"])["sent"]["packets"]


def test_a_router_and_a_floating_ip(ovs: OpenVSwitch, tmp_path: Path) -> None:
    with lab(ovs, tmp_path, **WIRE) as net:
        outside = Outside(net)
        network, other = net.network("10.1.0.0/24"), net.network("10.2.0.0/24")
        router = net.router(network, other, outside=outside.network)
        ports = [net.port(network), net.port(other)]
        guests = [machine(net, port, "br-int") for port in ports]
        floating = net.floating_ip(outside.network, ports[0])
        net.settle()
        far = ports[1]["fixed_ips"][0]["ip_address"]
        for guest, address in ((guests[0], far), (guests[0], SERVER), (guests[1], SERVER)):
            assert guest.pings(address)
        before = counters(net, "routers", router["id"])
        floated = counters(net, "floatingips", floating["id"])
        assert guests[0].run("ping", "-q", "-f", "-c", "30", far)
        assert guests[0].run("ping", "-q", "-f", "-c", "20", SERVER)
        after = counters(net, "routers", router["id"])
        assert grown(before, after, "routed") == (100, 100 * 98)
        legs = [
            {leg["network_id"]: leg["sent"]["packets"] for leg in answer["interfaces"]}
            for answer in (before, after)
        ]
        assert {id: legs[1][id] - legs[0][id] for id in legs[0]} == {
            network["id"]: 50,
            other["id"]: 30,
            outside.network["id"]: 20,
        }
        now = counters(net, "floatingips", floating["id"])
        assert grown(floated, now, "sent") == grown(floated, now, "received") == (20, 20 * 98)
        words = ("counters", "floatingip", floating["floating_ip_address"], "--once", "--json")
        told = CliRunner().invoke(main, ["--url", net.controller.api_url, *words])
        assert json.loads(told.output)["id"] == floating["id"], "by its address, too"
        (leg,) = (
            p
            for p in net.api("GET", "/v2.0/ports")["ports"]
            if p["network_id"] == other["id"] and p["device_id"] == router["id"]
        )
        with pytest.raises(Refused, match="see /tenantry/v1/routers/"):
            counters(net, "ports", leg["id"])
        net.verify()


def test_a_rule_of_a_group(ovs: OpenVSwitch, tmp_path: Path) -> None:
    """Both ways of what it let begin."""
    with lab(ovs, tmp_path, groups=True) as net:
        network = net.network("10.0.0.0/24")
        group = net.create("security_group", name="g")
        rule = {
            "security_group_id": group["id"],
            "direction": "ingress",
            "ethertype": "IPv4",
            "protocol": "icmp",
        }
        body = {"security_group_rule": rule}
        made = net.api("POST", "/v2.0/security-group-rules", body)["security_group_rule"]
        ports = [net.port(network, security_groups=[group["id"]]) for _ in range(2)]
        guests = [net.guest(port) for port in ports]
        net.settle()
        assert guests[0].run("ping", "-q", "-f", "-c", "25", ports[1]["fixed_ips"][0]["ip_address"])
        decided = counters(net, "security-group-rules", made["id"])["decided"]
        assert counted(decided) == (50, 50 * 98)
        net.verify()


@pytest.mark.parametrize(("stateful", "passes"), [(True, 2), (False, 1)])
def test_hot_tells_the_passes(
    ovs: OpenVSwitch, tmp_path: Path, stateful: bool, passes: int
) -> None:
    """As many as there are in the datapath, for stateful groups and for others."""
    with lab(ovs, tmp_path, groups=True) as net:
        network = net.network("10.0.0.0/24")
        group = net.create("security_group", name="g", stateful=stateful)
        for direction in ("ingress", "egress"):
            rule = {"security_group_id": group["id"], "direction": direction, "ethertype": "IPv4"}
            with suppress(Refused):  # a group has rules for what leaves
                body = {"security_group_rule": rule}
                net.api("POST", "/v2.0/security-group-rules", body)
        ports = [net.port(network, security_groups=[group["id"]]) for _ in range(2)]
        guests = [net.guest(port) for port in ports]
        for guest in guests:
            quiet(guest)
        neighbours(*zip(guests, ports, strict=True))
        net.settle()
        words = ("ping", "-q", "-i", "0.01", "-w", "20", ports[1]["fixed_ips"][0]["ip_address"])
        pinging = guests[0].start(*words)
        answer = net.api("GET", "/tenantry/v1/hot?seconds=3")
        (switch,) = answer["switches"]
        assert switch["passes"] == pytest.approx(passes, abs=0.2), answer
        assert {port["id"] for port in answer["ports"]} == {port["id"] for port in ports}
        assert {port["passes"] for port in answer["ports"]} == {passes}
        assert {one["table"] for one in switch["tracked"]} == (
            {"FROM_PORT_TRACK"} if stateful else set()
        )
        for port in answer["ports"]:
            assert port["sent"]["packets_per_second"] > 10
            assert ("stateless" in (port["shorter"] or "")) == stateful
        classified = [flow for flow in answer["flows"] if flow["table"] == "CLASSIFY"]
        assert {flow["object"] for flow in classified} >= {f"port {port['id']}" for port in ports}
        pinging.kill()
        pinging.communicate()
        with pytest.raises(Refused, match="seconds must be a number from 1 to 30, not soon"):
            net.api("GET", "/tenantry/v1/hot?seconds=soon")
        net.verify()
