# SPDX-License-Identifier: Apache-2.0

"""What is larger than the MTU, with real packets: it arrives wherever a whole packet would, and
nothing arrives that is not a whole packet's."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import netaddr
import pytest

from tenantry.controller.packets import frames
from tests import large
from tests.lab import Lab, eventually, lab
from tests.large import PORT, asked, pinged, serving
from tests.namespace import Guest
from tests.netns.test_firewall import Wall
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine

UDP = {"protocol": "udp", "port_range_min": PORT, "port_range_max": PORT}
ECHO = ("IPv4", 8), ("IPv6", 128)


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


def arrives(guest: Guest, address: str, seen: str) -> None:
    """Datagrams do, of every size, at the first try but for a neighbour that is to be found."""
    assert asked(guest, address, 100) == [seen]
    assert asked(guest, address, tries=1) == [seen, seen]


@pytest.mark.parametrize("stateful", [True, False], ids=["stateful", "stateless"])
@pytest.mark.parametrize("routed", [False, True], ids=["bridged", "routed"])
def test_a_port_that_a_rule_allows(net: Lab, routed: bool, stateful: bool) -> None:
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    two = net.network("10.2.0.0/24", "fd00:b::/64") if routed else one
    if routed:
        net.router(one, two)
    # What does not track needs a rule for the answers.
    back = () if stateful else ({"protocol": "udp", "remote_ip_prefix": None},)
    clients = group(net, "clients", *back, stateful=stateful)
    servers = group(net, "servers", UDP, stateful=stateful)
    ports = [net.port(one, security_groups=[clients]), net.port(two, security_groups=[servers])]
    client, server = (machine(net, port) for port in ports)
    net.take_effect()
    with serving(server), serving(server, PORT + 1):
        for own, address in zip(addresses(ports[0]), addresses(ports[1]), strict=True):
            arrives(client, address, own)
            assert asked(client, address, port=PORT + 1, tries=1) == ["-", "-"]
            assert pinged(client, address) == [False, False]


@pytest.mark.parametrize("routed", [False, True], ids=["bridged", "routed"])
def test_pings_that_a_rule_allows_by_their_type(net: Lab, routed: bool) -> None:
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    two = net.network("10.2.0.0/24", "fd00:b::/64") if routed else one
    if routed:
        net.router(one, two)
    servers = group(net, "servers")
    for ethertype, kind in ECHO:
        said = {"ethertype": ethertype, "direction": "ingress", "port_range_min": kind}
        body = {"security_group_id": servers, "protocol": "icmp", **said}
        net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": body})
    ports = [net.port(one), net.port(two, security_groups=[servers])]
    client, _ = (machine(net, port) for port in ports)
    net.take_effect()
    for address in addresses(ports[1]):
        assert pinged(client, address, 56, *large.SIZES) == [True, True, True]


def test_a_routers_own_addresses(net: Lab) -> None:
    outside = Outside(net)
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    two = net.network("10.2.0.0/24", "fd00:b::/64")
    router = net.router(one, two, outside=outside.network)
    open_port = {"port_security_enabled": False, "security_groups": []}
    guests = [machine(net, net.port(one)), machine(net, net.port(one, **open_port))]
    net.take_effect()
    fixed = [ip["ip_address"] for ip in router["external_gateway_info"]["external_fixed_ips"]]
    for guest in guests:
        for address in ("10.0.0.1", "10.2.0.1", "fd00:a::1", "fd00:b::1", *fixed):
            assert pinged(guest, address, 56, *large.SIZES) == [True, True, True], address
    for address in fixed:
        assert pinged(outside.router, address, 56, *large.SIZES) == [True, True, True], address


def test_addresses_that_are_translated(net: Lab) -> None:
    """One that many share, a floating IP, and ports that are forwarded; IPv6 is as it is."""
    outside = Outside(net)
    network = net.network("10.1.0.0/24", "2001:db8:1::/64")
    router = net.router(network, outside=outside.network)
    outside.routes_to(router, "2001:db8:1::/64")
    open_group = group(net, "open", {})
    ports = [net.port(network, security_groups=[open_group]) for _ in range(3)]
    shared, floats, forwards = (machine(net, port) for port in ports)
    floating = net.floating_ip(outside.network, ports[1])["floating_ip_address"]
    forwarded = net.floating_ip(outside.network)
    for external, internal in ((PORT, PORT), (PORT + 1, PORT + 5)):
        forward(net, forwarded, ports[2], external, internal)
    net.take_effect()
    its = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(ip["ip_address"] for ip in its if "." in ip["ip_address"])
    _, fixed6 = addresses(ports[1])
    with serving(outside.server), serving(floats), serving(forwards), serving(forwards, PORT + 5):
        arrives(shared, SERVER, gateway)
        arrives(floats, SERVER, floating)
        arrives(floats, SERVER6, fixed6)
        arrives(outside.server, fixed6, SERVER6)
        arrives(outside.server, floating, SERVER)
        # Through both: from the same network, and from itself.
        arrives(shared, floating, gateway)
        arrives(floats, floating, floating)
        public = forwarded["floating_ip_address"]
        for port in (PORT, PORT + 1):
            # Each size begins a connection, and in fragments.
            assert asked(outside.server, public, port=port) == [SERVER, SERVER]
            assert asked(shared, public, port=port) == [gateway, gateway]
        assert asked(outside.server, public, port=PORT + 3, tries=1) == ["-", "-"]
    for guest, address in (
        *((shared, SERVER), (floats, SERVER), (floats, SERVER6), (outside.server, floating)),
        *((outside.server, public), (shared, floating), (floats, floating)),
    ):
        assert pinged(guest, address) == [True, True], address


def forward(
    net: Lab, floating: Any, port: Any, external: int, internal: int, protocol: str = "udp"
) -> None:
    body = {
        "protocol": protocol,
        "external_port": external,
        "internal_port": internal,
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
    }
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    net.api("POST", path, {"port_forwarding": body})


def test_the_next_network_takes_smaller_packets(net: Lab) -> None:
    """Who sends fragments that are too large for it hears of that; what it sends then arrives."""
    outside = Outside(net)
    one = net.network("10.0.0.0/24", "2001:db8:1::/64")
    two = net.network("10.2.0.0/24", "2001:db8:2::/64", mtu=1400)
    router = net.router(one, two, outside=outside.network)
    outside.routes_to(router, "2001:db8:2::/64")
    open_group = group(net, "open", UDP)
    ports = [net.port(one), net.port(two, security_groups=[open_group])]
    client, server = (machine(net, port) for port in ports)
    server.run("ip", "link", "set", "eth0", "mtu", 1400)
    floating = net.floating_ip(outside.network, ports[1])["floating_ip_address"]
    net.take_effect()
    four, six = addresses(ports[1])
    with serving(server):
        for guest, address in (
            *((client, four), (client, six)),
            *((outside.server, floating), (outside.server, six)),
        ):
            assert "-" not in asked(guest, address), address


def test_a_floating_ip_that_moves_takes_its_fragments_along(net: Lab) -> None:
    outside = Outside(net)
    network = net.network("10.1.0.0/24")
    net.router(network, outside=outside.network)
    open_group = group(net, "open", {})
    ports = [net.port(network, security_groups=[open_group]) for _ in range(2)]
    one, two = (machine(net, port) for port in ports)
    floating = net.floating_ip(outside.network, ports[0])
    net.take_effect()
    public = floating["floating_ip_address"]
    with serving(one):
        arrives(outside.server, public, SERVER)
    net.update("floatingip", floating["id"], port_id=ports[1]["id"])
    net.take_effect()
    with serving(one):
        assert asked(outside.server, public, 100, *large.SIZES, tries=1) == ["-", "-", "-"]
    with serving(two):
        arrives(outside.server, public, SERVER)
        arrives(one, public, gateway_of(net))


def gateway_of(net: Lab) -> str:
    (router,) = net.api("GET", "/v2.0/routers")["routers"]
    its = router["external_gateway_info"]["external_fixed_ips"]
    return next(str(ip["ip_address"]) for ip in its if "." in ip["ip_address"])


def test_a_firewall_that_allows_one_port(net: Lab) -> None:
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    two = net.network("10.2.0.0/24", "fd00:b::/64")
    router = net.router(one, two)
    path = f"/v2.0/ports?device_id={router['id']}&network_id={two['id']}"
    interfaces = [port["id"] for port in net.api("GET", path)["ports"]]
    open_group = group(net, "open", {})
    ports = [net.port(network, security_groups=[open_group]) for network in (one, two)]
    client, server = (machine(net, port) for port in ports)
    wall = Wall(net, *interfaces)
    for version in (4, 6):
        said = {"protocol": "udp", "ip_version": version}
        wall.rule(wall.ingress, "allow", **said, destination_port=f"{PORT}:{PORT + 1}")
        wall.rule(wall.ingress, "deny", **said, destination_port=str(PORT + 1))
    net.take_effect()
    with serving(server), serving(server, PORT + 1):
        for own, address in zip(addresses(ports[0]), addresses(ports[1]), strict=True):
            arrives(client, address, own)
            assert asked(client, address, port=PORT + 1, tries=1) == ["-", "-"]


def test_a_datagram_is_a_line_of_the_log(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00:a::/64")
    ports = [net.port(network), net.port(network, security_groups=[group(net, "g", UDP)])]
    client, server = (machine(net, port) for port in ports)
    body = {"log": {"resource_type": "security_group", "target_id": ports[1]["id"]}}
    net.api("POST", "/v2.0/log/logs", body)
    net.take_effect()
    with serving(server):
        for number, address in enumerate(addresses(ports[1]), 1):
            assert "-" not in asked(client, address, 4000)
            assert "-" not in asked(client, address, 100)  # the next line, after all fragments
            assert eventually(lambda: len(net.logged()) >= 2 * number)  # noqa: B023
            lines = net.logged()
            assert len(lines) == 2 * number
            for line in (lines[-1], lines[-2]):
                assert (line["event"], line["protocol"]) == ("ACCEPT", "udp")
                assert line["destination_port"] == PORT
                assert line["rule_id"]


# --- what is not a whole packet's ----------------------------------------------------------------


def cut(packet: bytes, *parts: tuple[int, int], number: int) -> list[bytes]:
    """Fragments of an IPv4 packet's frame: octets of what it carries, from and to."""
    ethernet, header, payload = packet[:14], packet[14:34], packet[34:]
    made = []
    for first, end in parts:
        part = payload[first:end]
        flags = (0x2000 if end < len(payload) else 0) | first // 8
        head = header[:2] + struct.pack("!HHH", 20 + len(part), number, flags)
        head += header[8:10] + b"\0\0" + header[12:]
        sum = frames.checksum(head).to_bytes(2, "big")
        made.append(ethernet + head[:10] + sum + head[12:] + part)
    return made


def test_nothing_arrives_but_whole_packets(net: Lab) -> None:
    """Fragments without the first, or the last; that overlap (RFC 1858, RFC 5722); whose first is
    too small to say for which port it is. What is whole arrives, in whatever order it comes."""
    network = net.network("10.0.0.0/24")
    ports = [net.port(network, security_groups=[group(net, "g", UDP)]) for _ in range(2)]
    client, server = (machine(net, port) for port in ports)
    net.take_effect()
    macs = [int(port["mac_address"].replace(":", ""), 16) for port in ports]
    source, target = (int(netaddr.IPAddress(p["fixed_ips"][0]["ip_address"])) for p in ports)
    data = bytes(range(256)) * 16
    packet = frames.udp(
        frames.Ends(macs[0], macs[1], 4, source, target), 4242, PORT, data[: 4096 - 8]
    )
    first, middle, last = (0, 1400), (1400, 2800), (2800, 4096)
    with (
        closing(client.socket(socket.SOCK_RAW, socket.AF_PACKET)) as wire,
        closing(server.socket(socket.SOCK_DGRAM)) as ear,
        closing(server.socket(socket.SOCK_RAW, socket.AF_PACKET, socket.htons(0x0800))) as tap,
    ):
        wire.bind(("eth0", 0))
        tap.bind(("eth0", 0x0800))
        ear.bind(("0.0.0.0", PORT))
        ear.settimeout(10)
        overlapping = ((0, 1400), (1392, 2800), (2800, 4096))
        tiny = ((0, 8), (8, 1408), (1408, 2808), (2808, 4096))
        for number, parts in enumerate(
            (*((middle, last), (first, middle), (first, last), overlapping, tiny),)
        ):
            for frame in cut(packet, *parts, number=number):
                wire.send(frame)
        for number, parts in ((100, (first, middle, last)), (101, (last, first, middle))):
            for frame in cut(packet, *parts, number=number):
                wire.send(frame)
            assert ear.recv(1 << 16) == data[: 4096 - 8]
        seen = set()
        with suppress(BlockingIOError):
            while True:
                frame, *_ = tap.recvmsg(2000, 0, socket.MSG_DONTWAIT)
                if frame[6:12] == packet[6:12]:
                    seen.add(int.from_bytes(frame[18:20], "big"))
        assert seen == {100, 101}
