# SPDX-License-Identifier: Apache-2.0

"""Ports on one real switch: many at once, and one more among few and among many."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests import namespace
from tests.bench import Figure, p99, peers, ratio, rows, seconds, turns
from tests.bench.peers import paused
from tests.bench.served import Served
from tests.openvswitch import OpenVSwitch

NETWORKS = 10
ROUNDS = 3
FEW, MANY = 100, 5000
MORE = 200  # how often one port more is created, among few and among many


@contextmanager
def switch(interfaces: int) -> Iterator[OpenVSwitch]:
    """A real switch in a namespace of its own, with interfaces p0, p1 ... to plug ports into."""
    with namespace.entered(), OpenVSwitch() as ovs:
        ovs.add_bridge(rows.BRIDGE)
        rows.add_patch_ports(ovs, interfaces)
        yield ovs


@contextmanager
def served(ovs: OpenVSwitch) -> Iterator[Served]:
    """A new controller with an empty database, which the switch has confirmed. The bridge is
    nobody's again: it may have been that of a controller before."""
    ovs.vsctl("remove", "bridge", rows.BRIDGE, "external_ids", "tenantry-store")
    with (
        tempfile.TemporaryDirectory(dir="build") as directory,
        Served(Path(directory), ovsdb__connections=ovs.remote) as controller,
    ):
        controller.settled(switches=1)
        yield controller


def networks(controller: Served) -> list[str]:
    cidrs = [[f"10.{number}.0.0/16", f"fd00:{number}::/64"] for number in range(NETWORKS)]
    return [controller.client.network(pair) for pair in cidrs]


def port(network: str, interface: int) -> dict[str, Any]:
    """A port that is plugged in as soon as it exists."""
    return {
        "network_id": network,
        "binding:host_id": "test-host",
        "binding:profile": {"interface_name": f"p{interface}"},
    }


def create(controller: Served, count: int) -> float:
    """So many ports in 10 networks; the seconds until the switch had confirmed the last flow."""
    ids = networks(controller)
    wanted = [port(ids[number % NETWORKS], number) for number in range(count)]
    controller.settled(switches=1)
    took = controller.confirmed(lambda: controller.client.ports(wanted))
    assert controller.call("counts")["active"] == count
    return took


def one_more(controller: Served, network: str, interface: int) -> float:
    """Seconds from the request to the switch's confirmation; the port is deleted again."""
    start = time.perf_counter()
    body = {"port": port(network, interface)}
    id = controller.client.api("POST", "/v2.0/ports", body)["port"]["id"]
    took: float = controller.call("active", port=id) - start
    controller.client.api("DELETE", f"/v2.0/ports/{id}")
    controller.settled(switches=1)
    return took


def bench() -> Iterator[Figure]:
    with switch(MANY + 1) as ovs, peers.plain(ovs) as plain:
        for count, bar, reference in ((1000, 2, "1.5 s"), (MANY, 2, "6 s")):
            ours, theirs = [], []
            for _ in turns(ROUNDS):
                with served(ovs) as controller:
                    ours.append(create(controller, count))
                    flows = controller.call("counts")["flows"]
                theirs.append(plain.push(flows))
            yield ratio(f"ports.{count}", ours, theirs, plain.AS_MANY, bar, reference=reference)
            yield Figure(f"ports.{count}.flows", flows / count, "flows a port", 15)


def bench_more() -> Iterator[Figure]:
    with ExitStack() as stack:
        # Both switches have the same interfaces: the cost of those is OVS's own.
        controllers = []
        for _ in range(2):  # each in a namespace of its own
            ovs = stack.enter_context(switch(MANY + 1))
            controllers.append(stack.enter_context(served(ovs)))
        plain = stack.enter_context(peers.plain(ovs))
        more = []
        for count, controller in zip((FEW, MANY), controllers, strict=True):
            create(controller, count)
            network = controller.client.api("GET", "/v2.0/networks")["networks"][0]["id"]
            more.append(partial(one_more, controller, network, interface=count))
        times = [
            [paused(work) for work in (*more, lambda: seconds(plain.change))] for _ in turns(MORE)
        ]
    few, many, plains = (list(column) for column in zip(*times, strict=True))
    yield ratio(f"more.{MANY}", many, plains, plain.NAME, 9.5, reference="20 ms")
    tails = [p99(many)], [p99(plains)]
    yield ratio(f"more.{MANY}.p99", *tails, f"{plain.NAME}, 99 of 100", 10.9, reference="80 ms")
    yield ratio("more.ratio", many, few, f"among {FEW}", 1.3)
