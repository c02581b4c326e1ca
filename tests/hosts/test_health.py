# SPDX-License-Identifier: Apache-2.0

"""Members of load balancers on every host are asked whether they are alive, from the one where the
controller is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenantry.controller.model import View
from tenantry.controller.network.routers import active, gateways
from tests.balancers import Balancers, vip
from tests.farm import Beyond, Machine, machines
from tests.health import Monitored, says
from tests.hosts.test_gateways import address6
from tests.hosts.test_services import CARRIED, joined
from tests.namespace import Guest
from tests.netns.test_l2 import addresses
from tests.outside import SERVER, SERVER6


@pytest.fixture
def started(own_netns: None) -> Iterator[list[Machine]]:
    with machines(2, uplinks=2) as ready:
        yield ready


@pytest.mark.parametrize("kind", CARRIED)
def test_members_of_tenants_with_equal_addresses_on_every_host(
    started: list[Machine], tmp_path: Path, kind: str
) -> None:
    """On the VIP's network and on another one, in both families; one of two tenants serves."""
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        wanted, made = [], Balancers(net)
        for number, (project, reason) in enumerate((("red", ""), ("blue", "refused"))):
            carried = [dict(CARRIED[kind]) for _ in range(2)]
            if kind == "vlan":
                for n, each in enumerate(carried):
                    each["provider:segmentation_id"] += 2 * number + n
            near = net.network("10.0.0.0/24", "2001:4:1::/64", project=project, **carried[0])
            far = net.network("10.1.0.0/24", "2001:4:2::/64", project=project, **carried[1])
            net.router(near, far, project=project)
            plugged = []
            for machine, network in zip(started, (near, far), strict=True):
                port = net.port(network, mac_address=f"fa:16:3e:00:00:0{machine.number}")
                guest = net.plug(machine, port)
                plugged.append((guest, port))
                if not reason:
                    says(guest, 80, "200")
            balancer = Monitored(made, near)
            for _, port in plugged:
                for ip in port["fixed_ips"]:
                    for question, said in (
                        ("HTTP", reason),
                        ("UDP-CONNECT", "refused"),
                        ("PING", ""),
                    ):
                        pool = balancer.pool(question)
                        member = balancer.member(pool, ip["ip_address"], 80)
                        wanted.append((balancer, member, said))
        for balancer, member, said in wanted:
            balancer.until(member, said)
        net.verify()


def test_a_member_outside_is_asked_by_the_gateway_that_is_active(
    started: list[Machine], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        net = joined(stack, tmp_path, started, overlay__bfd_multiplier="15")
        beyond = Beyond(net)
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        router = net.router(network, outside=beyond.network)
        beyond.router.run("ip", "route", "add", "fd00:a::/64", "via", address6(router))
        net.plug(started[0], net.port(network))
        view = View(net.controller.model)
        net.until(lambda: len(gateways(view, router["id"])) == 2)
        net.until(lambda: net.controller.holddown.settled())
        balancer = Monitored(Balancers(net), network)
        server = says(beyond.server, 80, "200")
        pool = balancer.pool("HTTP")
        members = [balancer.member(pool, address, 80) for address in (SERVER, SERVER6)]
        for member in members:
            balancer.until(member)
        first = active(view, router["id"])
        lost = next(machine for machine in started if net._dpid(machine) == first)
        lost.crash()
        net.until(lambda: active(view, router["id"]) != first)
        server.kill()
        for member in members:
            balancer.until(member, "refused")
        says(beyond.server, 80, "200")
        for member in members:
            balancer.until(member)


def test_who_dies_is_out_of_rotation_on_every_host(own_netns: None, tmp_path: Path) -> None:
    """A member, and a client, on each of three hosts."""
    with machines(3) as started, ExitStack() as stack:
        net = joined(stack, tmp_path, started)
        network = net.network("10.0.0.0/24", "fd00:a::/64")
        ports = [net.port(network) for _ in range(6)]
        guests = [net.plug(started[n % 3], port) for n, port in enumerate(ports)]
        servers, clients = guests[:3], guests[3:]
        running = [says(guest, 80, str(201 + n)) for n, guest in enumerate(servers)]
        monitored = Monitored(Balancers(net), network)
        for version in (4, 6):
            pool = monitored.pool("HTTP", expected_codes="200-299", max_retries_down=2)
            members = [
                monitored.member(pool, addresses(port)[version == 6], 80, slot=n)
                for n, port in enumerate(ports[:3])
            ]
            for member in members:
                monitored.until(member)
            net.take_effect()
            at = (vip(monitored.balancer, version), monitored.ports[pool.id])
            assert all(_codes(client, *at) == {"201", "202", "203"} for client in clients)
            running[1].kill()
            monitored.until(members[1], "refused")
            net.take_effect()
            assert all(_codes(client, *at) == {"201", "203"} for client in clients)
            running[1] = says(servers[1], 80, "202")
            monitored.until(members[1])
            net.take_effect()
            assert all(_codes(client, *at) == {"201", "202", "203"} for client in clients)
        net.verify()


def _codes(client: Guest, address: str, port: int) -> set[str]:
    """Who answers connections from many ports, by the code that each has."""
    found, family = set(), socket.AF_INET6 if ":" in address else socket.AF_INET
    for number in range(40000, 41024, 24):
        with client.socket(socket.SOCK_STREAM, family) as stream:
            stream.settimeout(20)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("", number))
            stream.connect((address, port))
            stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while more := stream.recv(4096):
                answer += more
            found.add(answer.split()[1].decode())
    return found
