# SPDX-License-Identifier: Apache-2.0

"""Local IPs with real packets: on each host a cache of its own behind one address, for two tenants
with the same addresses; and what somebody would try who is behind one."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from socket import AF_PACKET, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM
from socket import socket as Socket
from typing import Any

import pytest

from tenantry.controller.packets import frames
from tests.farm import Farm, Machine, answered, farm, machines
from tests.namespace import Guest

PORT = 7000


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2) as ready:
        yield ready


def four(port: Any) -> str:
    return next(ip["ip_address"] for ip in port["fixed_ips"] if "." in ip["ip_address"])


def group(net: Farm, project: str, *, open: bool) -> str:
    """A security group that lets nothing in, or all of IPv4; all may go out."""
    body: Any = {"security_group": {"name": "open" if open else "closed"}}
    id: str = net.api("POST", "/v2.0/security-groups", body, project)["security_group"]["id"]
    if open:
        rule = {"security_group_id": id, "direction": "ingress", "ethertype": "IPv4"}
        body = {"security_group_rule": rule}
        net.api("POST", "/v2.0/security-group-rules", body, project)
    return id


class Tenant:
    """A user and a cache on each machine, and a local IP that is no machine's else."""

    def __init__(self, net: Farm, project: str = "demo") -> None:
        self.net, self.project = net, project
        self.network = net.network("10.0.0.0/24", "fd00:a::/64", project=project)
        closed, opened = (group(net, project, open=open) for open in (False, True))
        self.local = net.create("local_ip", project, network_id=self.network["id"])
        self.address = self.local["local_ip_address"]
        self.user_ports = [net.port(self.network, security_groups=[closed]) for _ in range(2)]
        self.cache_ports = [net.port(self.network, security_groups=[opened]) for _ in range(2)]
        self.users, self.caches = (
            [net.plug(*there) for there in zip(net.machines, ports, strict=False)]
            for ports in (self.user_ports, self.cache_ports)
        )
        for port in self.cache_ports:
            self.put_behind(port)
        self.listeners = [listener(*at) for at in zip(self.caches, self.cache_ports, strict=True)]

    def put_behind(self, port: Any) -> None:
        body = {"port_association": {"fixed_port_id": port["id"]}}
        path = f"/v2.0/local_ips/{self.local['id']}/port_associations"
        self.net.api("POST", path, body, self.project)
        self.net.settle()

    def take_away(self, port: Any) -> None:
        path = f"/v2.0/local_ips/{self.local['id']}/port_associations/{port['id']}"
        self.net.api("DELETE", path, project=self.project)
        self.net.settle()


def listener(guest: Guest, port: Any) -> Socket:
    listening = guest.socket(SOCK_STREAM)
    listening.settimeout(30)
    listening.bind((four(port), PORT))
    listening.listen()
    return listening


def connected(user: Guest, address: str, listening: Socket) -> tuple[Socket, Socket]:
    """Both ends of a TCP connection, as the user and whoever listens have it."""
    client = user.socket(SOCK_STREAM)
    client.settimeout(30)
    client.connect((address, PORT))
    server, _ = listening.accept()
    server.settimeout(30)
    return client, server


def talk(client: Socket, server: Socket) -> None:
    for one, other in ((client, server), (server, client)):
        one.sendall(b"x" * 5000)
        heard = b""
        while len(heard) < 5000:
            heard += other.recv(8192)


def test_the_cache_of_the_own_host_answers(started: list[Machine], tmp_path: Path) -> None:
    with farm(tmp_path, started, groups=True) as net:
        red, blue = Tenant(net), Tenant(net, "blue")
        assert red.address == blue.address
        held = []
        for tenant in (red, blue):
            for number, user in enumerate(tenant.users):
                assert answered([(user, tenant.address)], patient=True) == [True]
                pair = connected(user, tenant.address, tenant.listeners[number])
                talk(*pair)
                held.append(pair)
                assert pair[1].getpeername()[0] == four(tenant.user_ports[number])
                # By its own address it is reached as before, here and from the other host.
                for listening, port in zip(tenant.listeners, tenant.cache_ports, strict=True):
                    talk(*connected(user, four(port), listening))
                datagram(user, tenant.address, tenant.caches[number], tenant.cache_ports[number])
            # A large packet comes in fragments; those are translated as well.
            tenant.users[0].run("ping", "-n", "-c", 1, "-W", 20, "-s", 4000, tenant.address)
        nobody_else_is_it(net, red)
        net.stop_controller()
        net.start_controller()
        for reconciler in net.controller.progress.reconcilers.values():
            assert (reconciler.sent.added, reconciler.sent.deleted) == (0, 0)
        for client, server in held:
            talk(client, server)
            client.close()
            server.close()
        net.verify()


def datagram(user: Guest, address: str, cache: Guest, port: Any) -> None:
    """By UDP: the answer comes from the address that was asked."""
    with cache.socket(SOCK_DGRAM) as server, user.socket(SOCK_DGRAM) as client:
        server.settimeout(30)
        client.settimeout(30)
        server.bind((four(port), PORT))
        client.connect((address, PORT))
        client.send(b"question")
        _, sender = server.recvfrom(64)
        server.sendto(b"answer", sender)
        assert client.recv(64) == b"answer"


def nobody_else_is_it(net: Farm, tenant: Tenant) -> None:
    """Neither who is behind a local IP nor anybody else may send as it, not even to somebody whose
    groups let everything in. What each sends last is from its own address, and arrives."""
    opened = tenant.cache_ports[0]["security_groups"]
    port = net.port(tenant.network, security_groups=opened)
    victim = net.plug(net.machines[0], port)
    senders = (
        *zip(tenant.caches, tenant.cache_ports, strict=True),
        *zip(tenant.users, tenant.user_ports, strict=True),
    )
    for guest, own in senders:
        with victim.socket(SOCK_DGRAM) as ear, guest.socket(SOCK_RAW, AF_PACKET) as mouth:
            ear.settimeout(30)
            ear.bind((four(port), PORT))
            mouth.bind(("eth0", 0))
            for source in (tenant.address, four(own)):
                addresses = (ip_address(source), ip_address(four(port)))
                macs = (int(end["mac_address"].replace(":", ""), 16) for end in (own, port))
                ends = frames.Ends(*macs, 4, *map(int, addresses))
                mouth.send(frames.udp(ends, PORT, PORT, source.encode()))
            words, (sender, _) = ear.recvfrom(64)
            assert (words.decode(), sender) == (four(own), four(own))


def test_who_is_told_where_it_is(started: list[Machine], tmp_path: Path) -> None:
    """A user that has been told a cache's MAC address is told another one as soon as it changes: it
    does not wait until it asks."""
    with farm(tmp_path, started) as net:
        network = net.network("10.0.0.0/24")
        true, user, cache = (net.port(network) for _ in range(3))
        local = net.create("local_ip", local_port_id=true["id"])
        one, two = started
        for machine, port in ((two, true), (one, cache)):
            net.plug(machine, port)
        guest = net.plug(one, user)
        path = f"/v2.0/local_ips/{local['id']}/port_associations"
        body = {"port_association": {"fixed_port_id": cache["id"]}}
        address = four(true)
        for here, change in (
            (true, None),
            (cache, ("POST", path, body)),
            (true, ("DELETE", f"{path}/{cache['id']}")),
        ):
            if change:
                net.api(*change)
                net.settle()

            def knows(mac: str = here["mac_address"]) -> bool:
                found = guest.run("ip", "neigh", "show", address, "dev", "eth0")
                return mac in found

            if change is None:
                assert answered([(guest, address)], patient=True) == [True]
            guest.until(knows)
            assert answered([(guest, address)], patient=True) == [True]
        net.verify()
