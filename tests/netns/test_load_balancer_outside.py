# SPDX-License-Identifier: Apache-2.0

"""Load balancers for those who ask from outside, with real packets: by a floating IP, or routed to
the address itself."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from socket import (
    AF_INET,
    AF_INET6,
    SOCK_DGRAM,
    SOCK_STREAM,
)
from typing import Any

import pytest

from tenantry.apps.load_balancer.records import ROUND_ROBIN, SOURCE_IP, TCP, UDP
from tenantry.controller.model import Prefix, parse
from tests import large
from tests.balancers import Balancers, vip
from tests.echo import PORT, asked, serving
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_firewall import Wall
from tests.netns.test_l2 import addresses
from tests.openvswitch import OpenVSwitch
from tests.outside import SERVER, SERVER6, Outside, machine
from tests.pairs import LISTENING, SERVICE, connect, listen


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path) as running:
        yield running
        running.verify()


class Stage:
    """A network with two members, who say as whom they see a client, on a router; a client behind
    the same router; and another tenant's, behind another."""

    def __init__(self, net: Lab, stack: ExitStack) -> None:
        self.net, self.outside = net, Outside(net)
        self.network, other = (
            net.network("10.0.0.0/24", "fd00:a::/64"),
            net.network("10.0.1.0/24", "fd00:b::/64"),
        )
        self.router = net.router(self.network, other, outside=self.outside.network)
        self.outside.routes_to(self.router, "fd00:a::/64", "fd00:b::/64")
        self.ports = [net.port(self.network) for _ in range(2)]
        self.members = [machine(net, port) for port in self.ports]
        for guest in self.members:
            stack.enter_context(serving(guest))
        self.beside = machine(net, net.port(other))
        theirs = net.network("10.0.0.0/24", project="blue")
        net.router(theirs, outside=self.outside.network, project="blue")
        self.blue = machine(net, net.port(theirs))
        self.made = Balancers(net)
        self.balancer = self.made.balancer(self.network)
        port = net.api("GET", f"/v2.0/ports/{self.balancer.vip_port_id}")["port"]
        self.floating = net.floating_ip(self.outside.network, port)["floating_ip_address"]

    def pool(self, algorithm: str = ROUND_ROBIN, *, to: int = PORT, **more: Any) -> list[Any]:
        """The same members for TCP and for UDP."""
        found = []
        for protocol in (TCP, UDP):
            pool = self.made.pool(self.balancer, protocol, algorithm)
            its = [ip for port in self.ports for ip in addresses(port)]
            found += self.made.members(pool, sorted(its, key=lambda ip: ":" in ip), to)
            self.made.listener(pool, SERVICE, **more)
        self.net.take_effect()
        return found


MANY = """
import socket, sys
for _ in range(int(sys.argv[2])):
    with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as asking:
        asking.settimeout(10)
        asking.connect((sys.argv[1], int(sys.argv[3])))
        asking.recv(100)
        print(asking.getsockname()[1])
"""


def many(guest: Guest, address: str, count: int = 40) -> int:
    """How many connections of so many got an answer."""
    return len(guest.run(sys.executable, "-c", MANY, address, count, SERVICE).split())


@pytest.mark.parametrize("own", [False, True], ids=["", "floating"])
def test_by_floating_ip_and_by_its_own_address(net: Lab, own: bool) -> None:
    """Members see who asks, also if they have floating IPs of their own, by which they are reached
    as ever."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        floating = [net.floating_ip(on.outside.network, p) for p in on.ports] if own else []
        on.pool()
        six = vip(on.balancer, 6)
        server = on.outside.server
        assert asked(server, on.floating, six, port=SERVICE) == [SERVER] * 2 + [SERVER6] * 2
        for address in (on.floating, six):
            assert many(server, address) == 40
            assert server.pings(address, count=3)
        for address in (on.floating, six):  # in fragments
            server.run("ping", "-n", "-q", "-c", 1, "-W", 20, "-s", 3000, address)
        # Who is refused is told so: nobody listens there.
        refused(server, on.floating)
        refused(server, six)
        for one, guest in zip(floating, on.members, strict=False):
            assert asked(server, one["floating_ip_address"]) == [SERVER] * 2
            assert asked(guest, SERVER, port=SERVICE) == ["-", "-"]
        # From behind the same router, and from another tenant's.
        inside = asked(on.beside, on.floating, port=SERVICE)
        assert "-" not in inside, net.ovs.ofctl("dump-flows", "br-int")
        assert "-" not in asked(on.blue, on.floating, port=SERVICE)
        assert "-" not in asked(on.members[0], on.floating, port=SERVICE)
        assert asked(on.beside, vip(on.balancer), port=SERVICE) == addresses_of(on.beside)


def refused(guest: Guest, address: str, port: int = SERVICE + 1) -> None:
    """At once, by TCP and by UDP."""
    family = AF_INET6 if ":" in address else AF_INET
    for kind in (SOCK_STREAM, SOCK_DGRAM):
        with closing(guest.socket(kind, family)) as asking:
            asking.settimeout(20)
            with pytest.raises(ConnectionRefusedError):
                asking.connect((address, port))
                asking.send(b"?")
                asking.recv(1)


def addresses_of(guest: Guest) -> list[str]:
    found = guest.run("ip", "-4", "-o", "addr", "show", "dev", "eth0").split()
    return [found[3].partition("/")[0]] * 2


def test_who_may_and_who_is_there(net: Lab) -> None:
    """Clients of other prefixes are not heard; with nobody in rotation, all are refused."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        allowed = (Prefix(4, parse.ip("198.51.100.0"), 24), Prefix(6, parse.ip("2001:db8:7::"), 64))
        members = on.pool(allowed_cidrs=allowed)
        server, six = on.outside.server, vip(on.balancer, 6)
        seen = [SERVER] * 2 + [SERVER6] * 2
        assert asked(server, on.floating, six, port=SERVICE) == seen
        assert asked(on.outside.router, on.floating, six, port=SERVICE) == ["-"] * 4
        for member in members:
            on.made.judge(member, alive=False)
        net.take_effect()
        for address in (on.floating, six):
            refused(server, address, SERVICE)
        for member in members[:2]:
            on.made.judge(member, alive=True)
        net.take_effect()
        assert asked(server, on.floating, port=SERVICE) == [SERVER, "-"]


def test_connections_go_on_while_members_come_and_go(net: Lab) -> None:
    """Who is to get no more keeps what it has, and who is removed alone ends."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        listening = [listen(stack, guest) for guest in on.members]
        members = on.pool(to=LISTENING)[:4]
        server = on.outside.server
        both = (on.floating, vip(on.balancer, 6))
        held = [connect(stack, server, to, listening) for to in both for _ in range(20)]
        assert all(pair.talks() for pair in held)
        assert {pair.seen for pair in held} == {f"::ffff:{SERVER}", SERVER6}
        net.ovs.appctl("dpctl/flush-conntrack")
        assert all(pair.talks() for pair in held)  # with the same members, for the ports say which
        for one in (members[0], members[2]):
            on.made.change(one, weight=0)  # drains
        net.take_effect()
        assert all(pair.talks() for pair in held)
        assert connect(stack, server, on.floating, listening).member == 1
        for one in (members[0], members[2]):
            on.made.remove(one)
        net.take_effect()
        going_on = [pair for pair in held if pair.member == 1]
        assert 0 < len(going_on) < len(held)
        assert all(pair.talks() for pair in going_on)


def test_large_datagrams(net: Lab) -> None:
    """In fragments, both ways, also if they begin a connection."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        for guest in on.members:
            stack.enter_context(large.serving(guest))
        pool = on.made.pool(on.balancer, UDP)
        its = sorted((ip for port in on.ports for ip in addresses(port)), key=lambda ip: ":" in ip)
        on.made.members(pool, its, large.PORT)
        on.made.listener(pool, large.PORT)
        net.take_effect()
        for to, seen in ((on.floating, SERVER), (vip(on.balancer, 6), SERVER6)):
            assert large.asked(on.outside.server, to, 100, 4000, 9000) == [seen] * 3


def test_firewalls_see_client_and_member(net: Lab) -> None:
    """The routers' rules name the members and their ports, not those of the load balancer; answers
    are known for what they are."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        on.pool()
        query = f"/v2.0/ports?device_id={on.router['id']}&network_id={on.network['id']}"
        wall = Wall(net, *(port["id"] for port in net.api("GET", query)["ports"]))
        server, both = on.outside.server, (on.floating, vip(on.balancer, 6))
        assert asked(server, *both, port=SERVICE) == ["-"] * 4
        for version in (4, 6):
            said = {"protocol": "tcp", "destination_port": str(PORT), "ip_version": version}
            wall.rule(wall.ingress, "allow", **said)
        assert asked(server, *both, port=SERVICE) == [SERVER, "-", SERVER6, "-"]


def test_a_client_outside_keeps_its_member(net: Lab) -> None:
    """By its address, whatever its ports are; another's may be another."""
    with ExitStack() as stack:
        on = Stage(net, stack)
        listening = [listen(stack, guest) for guest in on.members]
        on.pool(SOURCE_IP, to=LISTENING)
        for to in (on.floating, vip(on.balancer, 6)):
            held = [connect(stack, on.outside.server, to, listening) for _ in range(12)]
            assert len({pair.member for pair in held}) == 1
            assert all(pair.talks() for pair in held)
