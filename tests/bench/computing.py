# SPDX-License-Identifier: Apache-2.0

"""While 50,000 flows are computed: how long do a switch and a reader of the API wait?

One change, a network of 7,150 ports on 5 hosts that is switched on, and so one pass.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import quantiles
from typing import Any

from tenantry.controller import runtime
from tests.bench import Figure
from tests.bench.beside import Beside
from tests.bench.fake import host_name
from tests.bench.served import Client, Served

HOSTS, PORTS = 5, 1430
ROUNDS = 3
ECHO_SECONDS = 0.005
WIRE = {"wire": {"tenantry-physical-network": "physnet"}}


def vlan(id: int) -> dict[str, Any]:
    """The attributes of a network that every host has a wire to."""
    return {
        "provider:network_type": "vlan",
        "provider:physical_network": "physnet",
        "provider:segmentation_id": id,
    }


def bench() -> Iterator[Figure]:
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory(dir="build"))
        fake = stack.enter_context(Beside("tests.bench.fake"))
        interfaces: dict[str, dict[str, str]] = {f"p{number}": {} for number in range(PORTS)}
        remotes = fake.call("start", hosts=[{**interfaces, **WIRE}] * HOSTS)
        options = {"ovsdb__connections": ",".join(remotes)}
        controller = stack.enter_context(Served(Path(directory), **options))
        host, port = controller.openflow
        fake.call("connect", host=host, port=port)
        controller.settled(switches=HOSTS)
        yield from _figures(fake, controller)


def _figures(fake: Beside, controller: Served) -> Iterator[Figure]:
    network = _off(controller.client)
    controller.settled(switches=HOSTS)
    before = fake.call("counts")["flows"]
    fake.call("start_echoes", number=0, interval=ECHO_SECONDS)
    echoes: list[float] = []
    gets: list[float] = []
    took: list[float] = []
    for _ in range(ROUNDS):
        fake.call("echoes", number=0)
        start = time.perf_counter()
        done = runtime.spawn(_switch, controller, network, True)
        while not done.dead:
            asked = time.perf_counter()
            controller.client.send("GET", f"/v2.0/networks/{network}")
            gets.append(time.perf_counter() - asked)
            runtime.sleep(0.002)
        took.append(done.wait() - start)
        echoes += fake.call("echoes", number=0)
        flows = fake.call("counts")["flows"] - before
        _switch(controller, network, False)
    assert flows >= 50_000, flows
    yield Figure("computing.flows", flows, "flows in one pass")
    yield Figure("computing.time", min(took), "s to confirmed")
    yield Figure("computing.echo.max", max(echoes) * 1000, "ms", 250)
    yield Figure("computing.get.p99", quantiles(gets, n=100)[98] * 1000, "ms", 250)


def _off(client: Client) -> str:
    """A network that is switched off, with a port for every interface."""
    network = client.network(["10.0.0.0/16"], admin_state_up=False, **vlan(1))
    client.ports(
        [
            {
                "network_id": network,
                "binding:host_id": host_name(host),
                "binding:profile": {"interface_name": f"p{number}"},
            }
            for host in range(HOSTS)
            for number in range(PORTS)
        ]
    )
    return network


def _switch(controller: Served, network: str, on: bool) -> float:
    """Switch the network on or off by a client of its own; when that was confirmed."""
    client = Client(controller.api)
    client.api("PUT", f"/v2.0/networks/{network}", {"network": {"admin_state_up": on}})
    client.close()
    return controller.settled(switches=HOSTS)
