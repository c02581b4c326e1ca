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
from functools import partial
from pathlib import Path

from tests.bench import Figure, peers, progress, ratio, seconds, turns
from tests.bench.beside import Beside
from tests.bench.computing import WIRE, vlan
from tests.bench.fake import looked_after
from tests.bench.peers import paused
from tests.bench.ports import switch
from tests.bench.served import Served

HOSTS = PORTS = NETWORKS = 100  # ports: on each host
SPREAD = 10  # hosts that a network is on
MORE = 50
PEERS_FLOWS = 50_000


def hosts_of(network: int) -> list[int]:
    """The hosts that a network is on: a window of SPREAD, another for each."""
    return [(network + step) % HOSTS for step in range(SPREAD)]


def bench() -> Iterator[Figure]:
    with ExitStack() as stack:
        ovs = stack.enter_context(switch(0))  # for the peers alone
        plain = stack.enter_context(peers.plain(ovs))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="build")))
        fake = stack.enter_context(Beside("tests.bench.fake"))
        progress("scale: ports into the database")
        networks, hosts = _fill(directory)
        remotes = fake.call("start", hosts=hosts)
        listen = free_address()
        fake.call("connect", host=listen[0], port=listen[1])
        theirs = [plain.push(PEERS_FLOWS) for _ in range(3)]

        progress("scale: the start")
        start = time.perf_counter()
        controller = stack.enter_context(
            Served(
                directory,
                openflow__listen=f"{listen[0]}:{listen[1]}",
                **looked_after(remotes),
            )
        )
        took = controller.settled(switches=HOSTS) - start
        theirs += [plain.push(PEERS_FLOWS) for _ in range(3)]
        counts = controller.call("counts")
        assert counts["active"] == HOSTS * PORTS, counts
        assert counts["flows"] == fake.call("counts")["flows"], counts
        plains = [each * counts["flows"] / PEERS_FLOWS for each in theirs]
        ours = [took] * len(plains)
        yield Figure("scale.flows", counts["flows"], f"flows in {HOSTS} switches")
        yield ratio("scale.start", ours, plains, plain.AS_MANY, 2.5, reference="60 s")

        times = []
        for number in turns(MORE):
            took = paused(partial(_one_more, controller, fake, networks, number))
            times.append((took, paused(lambda: seconds(plain.change))))
        more, plains = (list(column) for column in zip(*times, strict=True))
        yield ratio("scale.more", more, plains, plain.NAME, 70, reference="150 ms")
        resident = controller.call("counts")["resident"] * 1024 / (HOSTS * PORTS)
        yield Figure(
            "scale.memory", resident, "KiB a port, the whole process", 150, reference="1.4 GiB"
        )


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


def free_address() -> tuple[str, int]:
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
