# SPDX-License-Identifier: Apache-2.0

"""Members of load balancers on every host are asked whether they are alive, from the one where the
controller is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.farm import Machine, machines
from tests.health import Balanced, says
from tests.hosts.test_services import CARRIED, joined


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
        wanted = []
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
            balancer = Balanced(net, near, known_to=[plugged[0][0]])
            for _, port in plugged:
                for ip in port["fixed_ips"]:
                    for question, said in (
                        ("HTTP", reason),
                        ("UDP-CONNECT", "refused"),
                        ("PING", ""),
                    ):
                        pool = balancer.pool(type=question)
                        member = balancer.member(pool, ip["ip_address"], 80)
                        wanted.append((balancer, member, said))
        for balancer, member, said in wanted:
            balancer.until(member, said)
        net.verify()
