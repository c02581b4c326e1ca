# SPDX-License-Identifier: Apache-2.0

"""100 hosts with 100 ports each: a start from nothing but the database, and one port more.

A hundred tenants' VLAN networks of 100 ports each; every network is on 10 hosts, and every host has
10 networks, as tenants do.
"""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from tests.bench import Figure
from tests.bench.beside import Beside
from tests.bench.computing import WIRE, vlan
from tests.bench.served import Served

HOSTS = PORTS = NETWORKS = 100  # ports: on each host
SPREAD = 10  # hosts that a network is on
MORE = 50


def hosts_of(network: int) -> list[int]:
    """The hosts that a network is on: a window of SPREAD, another for each."""
    return [(network + step) % HOSTS for step in range(SPREAD)]


def bench() -> Iterator[Figure]:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="build")))
        fake = stack.enter_context(Beside("tests.bench.fake"))
        networks, hosts = _fill(directory)
        remotes = fake.call("start", hosts=hosts)
        listen = _free_address()
        fake.call("connect", host=listen[0], port=listen[1])

        start = time.perf_counter()
        controller = stack.enter_context(
            Served(
                directory,
                openflow__listen=f"{listen[0]}:{listen[1]}",
                ovsdb__connections=",".join(remotes),
            )
        )
        took = controller.settled(switches=HOSTS) - start
        counts = controller.call("counts")
        assert counts["active"] == HOSTS * PORTS, counts
        assert counts["flows"] == fake.call("counts")["flows"], counts
        yield Figure("scale.start", took, "s", 60)
        yield Figure("scale.flows", counts["flows"], "flows in 100 switches")

        times = [_one_more(controller, fake, networks, number) for number in range(MORE)]
        yield Figure("scale.more", median(times) * 1000, "ms", 150)
        resident = controller.call("counts")["resident"]
        yield Figure("scale.resident", resident / 1024, "GiB", 1.5)


def _fill(directory: Path) -> tuple[list[str], list[dict[str, dict[str, str]]]]:
    """Networks and ports into the database; the networks, and each host's interfaces."""
    hosts: list[dict[str, dict[str, str]]] = [dict(WIRE) for _ in range(HOSTS)]
    networks = []
    with Served(directory) as controller:
        for number in range(NETWORKS):
            network = controller.client.network([f"10.{number}.0.0/24"], **vlan(number + 1))
            ports = controller.client.ports([{"network_id": network}] * 100)
            networks.append(network)
            for place, port in enumerate(ports):
                interfaces = hosts[hosts_of(number)[place % SPREAD]]
                interfaces[f"p{len(interfaces)}"] = {"iface-id": port}
    return networks, hosts


def _free_address() -> tuple[str, int]:
    """The fake switches must know the controller's address before it starts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        return host, port


def _one_more(controller: Served, fake: Beside, networks: list[str], number: int) -> float:
    """Seconds from the API call, through plugging in, until all switches have confirmed."""
    start = time.perf_counter()
    body = {"port": {"network_id": networks[number]}}
    port = controller.client.api("POST", "/v2.0/ports", body)["port"]["id"]
    host = hosts_of(number)[0]
    fake.call("plug", number=host, name=f"more{number}", ids={"iface-id": port})
    controller.call("active", port=port)
    return controller.settled(switches=HOSTS) - start
