# SPDX-License-Identifier: Apache-2.0

"""ICMP errors, with real packets: one about a packet that a port has sent reaches that port,
whatever its groups let in and whatever protocol it was; others do not."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import netaddr
import pytest

from tenantry.controller.packets import frames
from tenantry.controller.packets.icmp_errors import Error, build
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_firewall import Wall
from tests.netns.test_fragments import forward
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine

PROTOCOLS = {"udp": 17, "gre": 47, "esp": 50, "ipip": 4, "sctp": 132}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
ICMP = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
TOO_BIG, TIME_EXCEEDED = {4: (3, 4), 6: (2, 0)}, {4: (11, 0), 6: (3, 0)}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


def told(
    guest: Guest,
    protocol: int,
    to: str,
    octets: int,
    ttl: int = 64,
    kinds: Iterable[tuple[int, int]] = (),
) -> tuple[int, int] | None:
    """Type and code of the error that comes back about a packet that must not be cut; None if none
    does."""
    version = 6 if ":" in to else 4
    family = FAMILIES[version]
    with (
        closing(guest.socket(socket.SOCK_RAW, family, ICMP[version])) as ear,
        closing(guest.socket(socket.SOCK_RAW, family, protocol)) as mouth,
    ):
        ear.settimeout(1)
        if version == 4:
            mouth.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER: IP_PMTUDISC_PROBE
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        else:
            mouth.setsockopt(socket.IPPROTO_IPV6, 23, 3)  # IPV6_MTU_DISCOVER, likewise
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
        data = bytes(octets)
        if protocol == PROTOCOLS["udp"]:
            if version == 6:
                mouth.setsockopt(socket.IPPROTO_IPV6, 7, 6)  # IPV6_CHECKSUM: where it is
            data = struct.pack("!HHHH", 4000, 5555, octets, 0) + data[8:]
        for _ in range(3):  # a neighbour is to be found first
            mouth.sendto(data, (to, 0))
            try:
                while True:
                    answer = ear.recv(2000)
                    kind = tuple(answer[20:22] if version == 4 else answer[:2])
                    if kind in (kinds or (TOO_BIG[version], TIME_EXCEEDED[version])):
                        return kind  # type: ignore[return-value]
            except TimeoutError:
                continue
    return None


@pytest.mark.parametrize("walled", [False, True], ids=["closed group", "and a firewall"])
def test_a_router_says_what_becomes_of_any_protocol(net: Lab, walled: bool) -> None:
    """A port that lets nothing in hears that the next network takes smaller packets, and where a
    packet's time was up: one of its own, or one that the firewall of another router has let out."""
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    between = net.network("10.1.0.0/24", "fd00:b::/64")
    two = net.network("10.2.0.0/24", "fd00:c::/64", mtu=1400)
    first = net.router(one, between)
    routes = [("10.2.0.0/24", "10.1.0.9"), ("fd00:c::/64", "fd00:b::9")]
    second = net.router(two)
    back = [("10.0.0.0/24", "10.1.0.1"), ("fd00:a::/64", "fd00:b::1")]
    ips = [{"ip_address": nexthop} for _, nexthop in routes]
    face = net.port(between, fixed_ips=ips)
    net.interface(second, port_id=face["id"])
    for router, said in ((first, routes), (second, back)):
        told_routes = [{"destination": d, "nexthop": n} for d, n in said]
        net.update("router", router["id"], routes=told_routes)
    ports = [net.port(one, security_groups=[group(net, "closed")]), net.port(two)]
    guest, _ = (machine(net, port) for port in ports)
    if walled:
        path = f"/v2.0/ports?device_id={first['id']}&network_id={one['id']}"
        wall = Wall(net, *(port["id"] for port in net.api("GET", path)["ports"]))
        for version in (4, 6):
            wall.rule(wall.egress, "allow", ip_version=version)
    net.take_effect()
    for address in addresses(ports[1]):
        version = 6 if ":" in address else 4
        for name, protocol in PROTOCOLS.items():
            assert told(guest, protocol, address, 1440) == TOO_BIG[version], name
            for ttl in (1, 2):
                found = told(guest, protocol, address, 100, ttl)
                assert found == TIME_EXCEEDED[version], (name, ttl)


def test_the_way_outside_is_narrow(net: Lab) -> None:
    outside = Outside(net, mtu=1400)
    network = net.network("10.1.0.0/24", "2001:db8:1::/64")
    router = net.router(network, outside=outside.network)
    outside.routes_to(router, "2001:db8:1::/64")
    port = net.port(network, security_groups=[group(net, "closed")])
    guest = machine(net, port)
    net.floating_ip(outside.network, port)
    net.take_effect()
    for name in ("udp", "gre", "esp"):
        assert told(guest, PROTOCOLS[name], SERVER, 1440) == TOO_BIG[4], name
        assert told(guest, PROTOCOLS[name], SERVER6, 1440) == TOO_BIG[6], name


@pytest.mark.parametrize("routed", [False, True], ids=["bridged", "routed"])
def test_a_machine_says_that_it_knows_no_such_protocol(net: Lab, routed: bool) -> None:
    """What leaves a port about what came in there passes, and enters the port that it is for."""
    one = net.network("10.0.0.0/24", "fd00:a::/64")
    two = net.network("10.2.0.0/24", "fd00:b::/64") if routed else one
    if routed:
        net.router(one, two)
    takes = group(net, "takes", {"protocol": "47"})
    ports = [net.port(one, security_groups=[group(net, "closed")])]
    ports.append(net.port(two, security_groups=[takes]))
    guest, _ = (machine(net, port) for port in ports)
    net.take_effect()
    four, six = addresses(ports[1])
    assert told(guest, PROTOCOLS["gre"], four, 100, kinds=[(3, 2)]) == (3, 2)
    assert told(guest, PROTOCOLS["gre"], six, 100, kinds=[(4, 1)]) == (4, 1)


def test_errors_find_their_way_through_forwarded_ports(net: Lab) -> None:
    """A client outside hears that nobody listens, and that the way inside is narrow; a server
    inside, that the way outside is."""
    outside = Outside(net)
    network = net.network("10.1.0.0/24", mtu=1400)
    net.router(network, outside=outside.network)
    port = net.port(network, security_groups=[group(net, "open", {})])
    server = machine(net, port)
    floating = net.floating_ip(outside.network)
    forward(net, floating, port, 5555, 6666)
    net.take_effect()
    public = floating["floating_ip_address"]
    assert told(outside.server, 17, public, 100, kinds=[(3, 3)]) == (3, 3)
    assert told(outside.server, 17, public, 1440) == TOO_BIG[4]
    assert told(outside.server, 17, public, 100, ttl=2) == TIME_EXCEEDED[4]
    # What the server sends meets a router outside that takes less.
    outside.router.run("ip", "link", "set", "eth1", "mtu", 1300)
    with (
        closing(server.socket(socket.SOCK_DGRAM)) as ear,
        closing(outside.server.socket(socket.SOCK_DGRAM)) as client,
    ):
        ear.bind(("0.0.0.0", 6666))
        ear.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: IP_PMTUDISC_DO
        for one in (ear, client):
            one.settimeout(10)
        client.sendto(b"?", (public, 5555))
        ear.connect(ear.recvfrom(10)[1])
        ear.send(bytes(1350))
        with pytest.raises(OSError, match="Message too long"):
            ear.recv(10)


REACHES = {
    "no rule": [],
    "another protocol": [{"protocol": "udp"}],
    "somebody else": [{"protocol": "gre", "remote_ip_prefix": {4: "10.9.0.0/16", 6: "fd09::/16"}}],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("reaches", REACHES)
def test_a_port_is_told_of_what_it_may_send(net: Lab, version: int, reaches: str) -> None:
    """An error carries what its sender likes: who may not send by GRE is told of none."""
    network = net.network("10.0.0.0/24" if version == 4 else "fd00:a::/64")
    id = group(net, "narrow")
    rules = net.api("GET", f"/v2.0/security-group-rules?security_group_id={id}")
    for rule in rules["security_group_rules"]:
        net.api("DELETE", f"/v2.0/security-group-rules/{rule['id']}")

    def allow(**attributes: Any) -> None:
        if isinstance(prefix := attributes.get("remote_ip_prefix"), dict):
            attributes["remote_ip_prefix"] = prefix[version]
        rule = {"security_group_id": id, "direction": "egress", "ethertype": f"IPv{version}"}
        body = {"security_group_rule": rule | attributes}
        net.api("POST", "/v2.0/security-group-rules", body)

    for attributes in REACHES[reaches]:
        allow(**attributes)
    open_group = group(net, "open", {})
    ports = [net.port(network, security_groups=[one]) for one in (open_group, id)]
    liar, victim = (machine(net, port) for port in ports)
    net.take_effect()
    with (
        closing(liar.socket(socket.SOCK_RAW, socket.AF_PACKET)) as wire,
        closing(victim.socket(socket.SOCK_RAW, FAMILIES[version], ICMP[version])) as ear,
    ):
        wire.bind(("eth0", 0))
        ear.settimeout(10)
        wire.send(about(ports, version, PROTOCOLS["gre"], b"before!!"))
        ask_for(liar, ports[1]["fixed_ips"][0]["ip_address"])
        allow(protocol="gre")
        net.take_effect()
        wire.send(about(ports, version, PROTOCOLS["gre"], b"allowed!"))
        while (answer := ear.recv(2000))[-8:] != b"allowed!":
            assert b"before!!" not in answer


def ask_for(guest: Guest, address: str) -> None:
    """Where an address is. When that is answered, what the guest has sent before has been judged,
    however busy the switch is."""
    ask = f"ping -n -c 1 -W 0.1 {address} >/dev/null"
    known = f"ip neighbour show {address} | grep -q lladdr"
    guest.run("sh", "-c", f"ip neighbour flush {address}; until {ask}; {known}; do :; done")


def about(ports: list[Any], version: int, protocol: int, mark: bytes) -> bytes:
    """An error of the first port's about a packet of the second's."""
    theirs, its = (int(netaddr.IPAddress(p["fixed_ips"][0]["ip_address"])) for p in ports)
    macs = [int(port["mac_address"].replace(":", ""), 16) for port in ports]
    quoted = frames.parse_ip(frames.ip(frames.Ends(0, 0, version, its, theirs), protocol, 64, mark))
    data = build(Error.PORT_UNREACHABLE, quoted, theirs)
    assert data is not None
    return sealed(macs[1], macs[0], frames.parse_ip(data))


@pytest.mark.parametrize("version", [4, 6])
def test_nobody_is_told_of_what_others_sent(net: Lab, version: int) -> None:
    """Errors that a neighbour makes up: about a connection that there is not, or an address that is
    not the port's. One about a tunnel's packet from that port might be true."""
    network = net.network("10.0.0.0/24" if version == 4 else "fd00:a::/64")
    groups = group(net, "open", {}), group(net, "closed")
    ports = [net.port(network, security_groups=[id]) for id in groups]
    liar, victim = (machine(net, port) for port in ports)
    net.take_effect()
    theirs, its = (int(netaddr.IPAddress(p["fixed_ips"][0]["ip_address"])) for p in ports)
    macs = [int(port["mac_address"].replace(":", ""), 16) for port in ports]
    kind = Error.PORT_UNREACHABLE.value[version == 6]
    with (
        closing(liar.socket(socket.SOCK_RAW, socket.AF_PACKET)) as wire,
        closing(victim.socket(socket.SOCK_RAW, FAMILIES[version], ICMP[version])) as ear,
    ):
        wire.bind(("eth0", 0))
        ear.settimeout(10)
        for number, (protocol, source) in enumerate(
            ((17, its), (6, its), (ICMP[version], its), (47, theirs ^ 255), (47, its))
        ):
            quoted = frames.ip(
                frames.Ends(0, 0, version, source, theirs), protocol, 64, bytes([200 + number]) * 16
            )
            data = build(Error.PORT_UNREACHABLE, frames.parse_ip(quoted), theirs)
            assert data is not None
            # To the victim, whoever is said to have sent the packet.
            error = frames.parse_ip(data)._replace(dst=its)
            wire.send(sealed(macs[1], macs[0], error))
        while True:
            answer = ear.recv(2000)
            message = answer[20:] if version == 4 else answer
            if tuple(message[:2]) == kind:
                assert message[-1] == 200 + number, "the last one, and none before it"
                return


def sealed(eth_dst: int, eth_src: int, error: Any) -> bytes:
    """The frame of an ICMP error, with checksums that are right for its addresses."""
    message = error.payload[:2] + b"\0\0" + error.payload[4:]
    if error.version == 4:
        data = frames.icmp(error.src, error.dst, 64, message)
    else:
        data = frames.icmpv6(0, 0, error.src, error.dst, message, 64)
    return eth_dst.to_bytes(6, "big") + eth_src.to_bytes(6, "big") + data[12:]
