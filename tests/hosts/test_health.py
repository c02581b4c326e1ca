# SPDX-License-Identifier: Apache-2.0

"""Members of load balancers on every host are asked whether they are alive, from the one where the
controller is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tenantry.controller.model import View
from tenantry.controller.network.routers import active, gateways
from tests.balancers import Balancers
from tests.farm import Beyond, Machine, machines
from tests.health import Monitored, says
from tests.hosts.test_gateways import address6
from tests.hosts.test_services import CARRIED, joined
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
