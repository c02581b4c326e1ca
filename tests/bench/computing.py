# SPDX-License-Identifier: Apache-2.0

"""While 50,000 flows are computed: how long do a switch and a reader of the API wait?

One change, a network of 7,150 ports on 5 hosts that is switched on, and so one pass. In turns with
that, a plain controller computes and sends as many flows.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from tenantry.controller import runtime
from tests.bench import Figure, p99, peers, ratio, seconds, turns
from tests.bench.beside import Beside
from tests.bench.fake import host_name, looked_after
from tests.bench.peers import Plain
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
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="build")))
        hosts, host = (stack.enter_context(Beside("tests.bench.fake")) for _ in range(2))
        interfaces: dict[str, dict[str, str]] = {f"p{number}": {} for number in range(PORTS)}
        remotes = hosts.call("start", hosts=[{**interfaces, **WIRE}] * HOSTS)
        controller = stack.enter_context(Served(directory, **looked_after(remotes)))
        plain = stack.enter_context(peers.plain())
        host.call("start", hosts=[{}])
        for fake, server in ((hosts, controller), (host, plain)):
            fake.call("connect", host=server.openflow[0], port=server.openflow[1])
        controller.settled(switches=HOSTS)
        yield from _figures(controller, hosts, plain, host)


class Waits(NamedTuple):
    """How long others waited for a server while it computed: seconds."""

    took: float
    echo: float  # a switch, at the longest
    gets: list[float]  # readers of the API


def _figures(controller: Served, hosts: Beside, plain: Plain, host: Beside) -> Iterator[Figure]:
    network = _off(controller.client)
    controller.settled(switches=HOSTS)
    before = hosts.call("counts")["flows"]
    for fake in (hosts, host):
        fake.call("start_echoes", number=0, interval=ECHO_SECONDS)
    path = f"/v2.0/networks/{network}"
    ours, plains = [], []
    for _ in turns(ROUNDS):
        on = partial(_switch, controller, network, True)
        ours.append(_waits(on, hosts, controller.client, path))
        flows = hosts.call("counts")["flows"] - before
        _switch(controller, network, False)
        plain.call("prepare", flows=flows)
        plains.append(_waits(partial(plain.call, "push"), host, plain.client, path))
    assert flows >= 50_000, flows
    yield Figure("computing.flows", flows, "flows in one pass")
    took = ([waits.took for waits in each] for each in (ours, plains))
    yield ratio("computing.time", *took, plain.AS_MANY)
    echoes = ([waits.echo for waits in each] for each in (ours, plains))
    yield ratio("computing.echo.max", *echoes, Plain.NAME, 5.5, reference="250 ms")
    gets = ([p99(waits.gets) for waits in each] for each in (ours, plains))
    yield ratio("computing.get.p99", *gets, Plain.NAME, 9.5, reference="250 ms")


def _waits(work: Callable[[], object], fake: Beside, client: Client, path: str) -> Waits:
    """Switches and readers ask all the time while a server does some work."""
    gets = []
    fake.call("echoes", number=0)
    start = time.perf_counter()
    done = runtime.spawn(work)
    while not done.dead:
        gets.append(seconds(lambda: client.send("GET", path)))
        runtime.sleep(0.002)
    done.wait()
    took = time.perf_counter() - start
    return Waits(took, max(fake.call("echoes", number=0)), gets)


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
    client = Client(controller.api, controller.pid)
    client.api("PUT", f"/v2.0/networks/{network}", {"network": {"admin_state_up": on}})
    client.close()
    return controller.settled(switches=HOSTS)
