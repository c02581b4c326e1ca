# SPDX-License-Identifier: Apache-2.0

"""Load balancers in the switch, with real packets: who answers, as whom the client is seen, and
what becomes of connections when members come and go."""

from __future__ import annotations

import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.load_balancer.records import ROUND_ROBIN, SOURCE_IP, TCP, UDP, Pool
from tenantry.apps.load_balancer.split import cut
from tenantry.controller.model import parse
from tests import echo, large
from tests.balancers import Balancers, vip
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.netns.test_security_groups import group
from tests.openvswitch import OpenVSwitch
from tests.outside import machine
from tests.pairs import Pair

PORT, SERVICE = 80, 8080
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


class Service:
    """A network with a client and some members, whose groups let in what comes from the client's
    own address alone; each member listens, by TCP, at both of its addresses."""

    def __init__(self, net: Lab, stack: ExitStack, members: int = 3) -> None:
        self.net = net
        self.network = net.network("10.0.0.0/24", "fd00:a::/64")
        self.made = Balancers(net)
        self.balancer = self.made.balancer(self.network)
        self.client_port = net.port(self.network, security_groups=[group(net, "clients")])
        self.client = net.guest(self.client_port)
        group_id = self.client_port["security_groups"][0]
        tcp = {"protocol": "tcp", "remote_group_id": group_id, "port_range_min": SERVICE}
        open = group(net, "servers", {**tcp, "port_range_max": SERVICE})
        self.ports = [net.port(self.network, security_groups=[open]) for _ in range(members)]
        self.guests = [net.guest(port) for port in self.ports]
        self.listening = {
            version: [self._listen(stack, guest, version) for guest in self.guests]
            for version in FAMILIES
        }

    def _listen(self, stack: ExitStack, guest: Guest, version: int) -> socket.socket:
        made = stack.enter_context(closing(guest.socket(socket.SOCK_STREAM, FAMILIES[version])))
        if version == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(("::" if version == 6 else "0.0.0.0", SERVICE))
        made.listen(256)
        return made

    def pool(
        self, algorithm: str = ROUND_ROBIN, versions: tuple[int, ...] = (4, 6), **more: Any
    ) -> Pool:
        """All members, of one family after the other."""
        pool = self.made.pool(self.balancer, TCP, algorithm, **more)
        found = {version: [addresses(p)[version == 6] for p in self.ports] for version in versions}
        self.members = self.made.members(pool, [*chain(*found.values())], SERVICE)
        self.made.listener(pool, PORT)
        self.net.take_effect()
        return pool

    def connect(
        self, version: int = 4, *, by: Guest | None = None, port: int = 0, to: str = ""
    ) -> Pair:
        """A connection that the client, or another, begins (at this ``port``). Errors: OSError."""
        client = (by or self.client).socket(socket.SOCK_STREAM, FAMILIES[version])
        client.settimeout(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            if port:
                client.bind(("::" if version == 6 else "0.0.0.0", port))
            client.connect((to or vip(self.balancer, version), PORT))
        except OSError:
            client.close()
            raise
        ready, _, _ = select.select(self.listening[version], (), (), 20)
        server, _ = ready[0].accept()
        return Pair(client, server, self.listening[version].index(ready[0]))


def test_a_member_answers_and_sees_who_asks(net: Lab) -> None:
    with ExitStack() as stack:
        service = Service(net, stack)
        service.pool()
        for version, own in zip((4, 6), addresses(service.client_port), strict=True):
            counted: Counter[int] = Counter()
            for number in range(30):
                with closing(service.connect(version, port=40_000 + 16 * number)) as pair:
                    assert pair.talks()
                    assert pair.seen == own
                    assert pair.client.getpeername()[0] == vip(service.balancer, version)
                    counted[pair.member] += 1
            assert len(counted) == 3, counted
            assert service.client.pings(vip(service.balancer, version))
            # By its own address a member is reached as ever.
            direct = service.client.socket(socket.SOCK_STREAM, FAMILIES[version])
            with closing(direct):
                direct.settimeout(20)
                direct.connect((addresses(service.ports[0])[version == 6], SERVICE))
                server, _ = service.listening[version][0].accept()
                with closing(Pair(direct, server, 0)) as pair:
                    assert pair.talks()


def test_the_port_and_the_weights_say_which_member(net: Lab) -> None:
    with ExitStack() as stack:
        service = Service(net, stack)
        service.pool()
        weights = (1, 2, 3)
        for number, member in enumerate(service.members):
            service.made.change(member, weight=weights[number % 3])
        net.take_effect()
        rows = cut(weights)
        for version in FAMILIES:
            counted: Counter[int] = Counter()
            for source in range(33_024, 33_024 + 16 * 60, 16):
                with closing(service.connect(version, port=source)) as pair:
                    part = next(row.part for row in rows if source & row.mask == row.value)
                    assert pair.member == part
                    counted[part] += 1
            assert 2 < counted[2] / counted[0] < 4.5, counted


def test_a_member_that_asks_may_be_answered_by_itself(net: Lab) -> None:
    """It sees the load balancer as its client then, and whoever else was chosen sees it."""
    with ExitStack() as stack:
        service = Service(net, stack)
        service.pool()
        for member in service.ports:
            more = [service.client_port["security_groups"][0], *member["security_groups"]]
            net.update("port", member["id"], security_groups=more)
        net.take_effect()
        for version in FAMILIES:
            by_itself = 0
            for number in range(12):
                guest, own = service.guests[0], addresses(service.ports[0])[version == 6]
                port = 40_000 + 16 * number
                with closing(service.connect(version, by=guest, port=port)) as pair:
                    assert pair.talks()
                    itself = pair.member == 0
                    assert pair.seen == (vip(service.balancer, version) if itself else own)
                    by_itself += itself
            assert 0 < by_itself < 12


def refused(service: Service, version: int = 4) -> None:
    with pytest.raises(ConnectionRefusedError):
        service.connect(version)


def test_members_come_and_go_and_no_other_connection_breaks(net: Lab) -> None:
    with ExitStack() as stack:
        service = Service(net, stack)
        pool = service.pool(versions=(4,))
        made, members = service.made, service.members
        pairs = [service.connect(port=40_000 + 16 * number) for number in range(50)]
        for pair in pairs:
            stack.enter_context(closing(pair))
        assert {pair.member for pair in pairs} == {0, 1, 2}
        # Drained: who is there stays. Dead: likewise, for it may come back.
        drained = made.change(members[0], weight=0)
        made.judge(members[1], alive=False)
        net.take_effect()
        assert all(pair.talks() for pair in pairs)
        for number in range(6):
            with closing(service.connect(port=41_008 + 16 * number)) as pair:
                assert pair.member == 2 and pair.talks()
        # A backup stands in when there is nobody else.
        made.change(members[2], backup=True)
        net.take_effect()
        with closing(service.connect()) as pair:
            assert pair.member == 2
        # All are out: whoever comes is refused, and whoever is there stays.
        made.judge(members[2], alive=False)
        net.take_effect()
        refused(service)
        assert all(pair.talks() for pair in pairs)
        # Taken away, or put down: its own connections end, and no other.
        made.remove(drained)
        made.change(members[1], admin_state_up=False)
        net.take_effect()
        for pair in pairs:
            if pair.member == 2:
                assert pair.talks()
            else:  # It is told as soon as it says something, and may begin anew at once.
                pair.client.sendall(b"word")
                assert pair.client.recv(4) == b""
                port = pair.client.getsockname()[1]
                pair.close()
                with pytest.raises(ConnectionRefusedError):
                    service.connect(port=port)
        made.change(pool, admin_state_up=False)
        net.take_effect()
        refused(service)


def test_an_address_has_always_the_same_member(net: Lab) -> None:
    with ExitStack() as stack:
        service = Service(net, stack, members=4)
        service.pool(SOURCE_IP)
        made = service.made
        extra = [f"10.0.0.{200 + number}" for number in range(50)]
        pair = [{"ip_address": "10.0.0.192/26"}]
        net.update("port", service.client_port["id"], allowed_address_pairs=pair)
        for address in extra:
            service.client.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
        rule = {"protocol": "tcp", "remote_ip_prefix": "10.0.0.192/26", "direction": "ingress"}
        rule |= {"security_group_id": service.ports[0]["security_groups"][0], "ethertype": "IPv4"}
        net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
        net.take_effect()

        def chosen() -> dict[str, int]:
            found = {}
            for address in extra:
                of = set()
                for _ in range(2):
                    client = service.client.socket(socket.SOCK_STREAM)
                    client.settimeout(20)
                    client.bind((address, 0))
                    client.connect((vip(service.balancer), PORT))
                    ready, _, _ = select.select(service.listening[4], (), (), 20)
                    server, _ = ready[0].accept()
                    assert server.getpeername()[0] == address
                    of.add(service.listening[4].index(ready[0]))
                    client.close()
                    server.close()
                assert len(of) == 1
                found[address] = of.pop()
            return found

        before = chosen()
        assert {*before.values()} == {0, 1, 2, 3}
        made.judge(service.members[1], alive=False)
        net.take_effect()
        without = chosen()
        assert all(without[a] == before[a] for a in extra if before[a] != 1)
        others = {without[a] for a in extra if before[a] == 1}
        assert 1 not in others and len(others) > 1, others
        made.judge(service.members[1], alive=True)
        net.take_effect()
        assert chosen() == before


def test_whose_address_is_not_allowed_gets_nothing(net: Lab) -> None:
    with ExitStack() as stack:
        service = Service(net, stack)
        pool = service.made.pool(service.balancer, TCP)
        service.made.members(pool, [addresses(port)[0] for port in service.ports], SERVICE)
        own = addresses(service.client_port)[0]
        for cidrs, allowed in ((("192.0.2.0/24", "fd00::/16"), False), ((f"{own}/32",), True)):
            listener = service.made.listener(pool, PORT, allowed_cidrs=parse.prefixes(cidrs))
            net.take_effect()
            if allowed:
                with closing(service.connect()) as pair:
                    assert pair.talks()
            else:
                client = service.client.socket(socket.SOCK_STREAM)
                client.settimeout(0.5)
                with closing(client), pytest.raises(TimeoutError):
                    client.connect((vip(service.balancer), PORT))
            service.made.remove(listener)


def test_datagrams_of_any_size_and_who_refuses_them(net: Lab) -> None:
    network = net.network("10.0.0.0/24", "fd00:a::/64")
    open = group(net, "open", {})
    ports = [net.port(network, security_groups=[open]) for _ in range(3)]
    client, *servers = [net.guest(port) for port in ports]
    made = Balancers(net)
    balancer = made.balancer(network)
    pool = made.pool(balancer, UDP)
    members = [a for port in ports[1:] for a in addresses(port)]
    made.members(pool, members, large.PORT)
    made.listener(pool, large.PORT)
    net.take_effect()
    with large.serving(servers[0]), large.serving(servers[1]):
        for version, own in zip((4, 6), addresses(ports[0]), strict=True):
            # Also if a connection begins with fragments.
            assert large.asked(client, vip(balancer, version), 100, 4000, 9000) == [own] * 3
            assert large.pinged(client, vip(balancer, version)) == [True, True]
    for version, family in FAMILIES.items():
        with closing(client.socket(socket.SOCK_DGRAM, family)) as asking:
            asking.settimeout(20)
            asking.connect((vip(balancer, version), large.PORT))
            asking.send(b"question")  # The member itself says that nobody is there.
            with pytest.raises(ConnectionRefusedError):
                asking.recv(64)
    made.change(pool, admin_state_up=False)
    net.take_effect()
    for version, family in FAMILIES.items():
        with closing(client.socket(socket.SOCK_DGRAM, family)) as asking:
            asking.settimeout(20)
            asking.connect((vip(balancer, version), large.PORT))
            asking.send(b"question")
            with pytest.raises(ConnectionRefusedError):
                asking.recv(64)


def test_clients_and_members_in_networks_that_a_router_joins(net: Lab) -> None:
    """Each end is in the load balancer's network, in the other's, or in one of its own."""
    open = group(net, "open", {})
    cidrs = [(f"10.{number}.0.0/24", f"fd00:{number}::/64") for number in range(3)]
    networks = [net.network(*some) for some in cidrs]
    net.router(*networks)
    made = Balancers(net)
    balancer = made.balancer(networks[0])
    ports = [net.port(network, security_groups=[open]) for network in networks]
    members = [net.port(network, security_groups=[open]) for network in networks]
    clients, servers = ([machine(net, port) for port in some] for some in (ports, members))
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(echo.serving(server))
        for number, member in enumerate(members):
            pools = [made.pool(balancer, protocol) for protocol in (TCP, UDP)]
            for pool in pools:
                made.members(pool, addresses(member), echo.PORT)
                made.listener(pool, PORT + number)
        net.take_effect()
        for client, port in zip(clients, ports, strict=True):
            both = [vip(balancer, version) for version in (4, 6)]
            seen = [own for own in addresses(port) for _ in echo.KINDS]
            for number in range(3):
                assert echo.asked(client, *both, port=PORT + number) == seen
            assert all(client.pings(address) for address in both)
        # A member in another network that is chosen for itself.
        seen = [address for address in both for _ in echo.KINDS]
        assert echo.asked(servers[1], *both, port=PORT + 1) == seen


def test_who_has_a_member_keeps_it(net: Lab) -> None:
    """With session persistence, whatever member a client's port says: as long as it is in rotation,
    also if others come."""
    with ExitStack() as stack:
        service = Service(net, stack, members=4)
        pool = service.made.pool(service.balancer, TCP, persistence=SOURCE_IP)
        service.made.listener(pool, PORT)
        servers = [addresses(port)[0] for port in service.ports]
        members = service.made.members(pool, servers[:3], SERVICE)
        net.take_effect()
        ports = iter(range(33_024, 60_000, 16))

        def who(count: int = 6) -> set[int]:
            found = set()
            for _ in range(count):
                with closing(service.connect(port=next(ports))) as pair:
                    assert pair.talks()
                    found.add(pair.member)
            return found

        (first,) = who()
        service.made.member(pool, 3, servers[3], SERVICE)
        net.take_effect()
        assert who() == {first}
        net.verify()  # What the switch has learned is no fault.
        service.made.judge(members[first], alive=False)
        net.take_effect()
        (second,) = who()
        assert second != first
        service.made.judge(members[first], alive=True)
        net.take_effect()
        assert who() == {second}
        service.made.change(pool, persistence=None)
        net.take_effect()
        assert len(who(24)) > 2


def test_a_client_learns_how_large_a_packet_to_a_member_may_be(net: Lab) -> None:
    """A router says it of the member, whom the client does not know; it hears it of the VIP. (By
    IPv6 not with Open vSwitch's own datapath: it garbles what such an error quotes.)"""
    open = group(net, "open", {})
    here = net.network("10.0.0.0/24", "fd00:a::/64")
    there = net.network("10.2.0.0/24", "fd00:b::/64", mtu=1300)
    net.router(here, there)
    made = Balancers(net)
    balancer = made.balancer(here)
    ports = [net.port(network, security_groups=[open]) for network in (here, there)]
    client, server = (machine(net, port) for port in ports)
    pool = made.pool(balancer, TCP)
    made.members(pool, addresses(ports[1]), SERVICE)
    made.listener(pool, PORT)
    net.take_effect()
    with (
        closing(server.socket(socket.SOCK_STREAM)) as listening,
        closing(client.socket(socket.SOCK_STREAM)) as asking,
    ):
        listening.bind((addresses(ports[1])[0], SERVICE))
        listening.listen()
        for end in (listening, asking):
            end.settimeout(20)
        asking.connect((vip(balancer), PORT))
        answering, _ = listening.accept()
        with closing(answering):
            answering.settimeout(20)
            sent = b"x" * 5000
            asking.sendall(sent)
            heard = b""
            while len(heard) < len(sent):
                heard += answering.recv(8192)
