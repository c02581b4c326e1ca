# SPDX-License-Identifier: Apache-2.0

"""Ports on one real switch: many at once, and one more among few and among many."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tenantry.controller import runtime
from tests import namespace
from tests.bench import Figure, rows
from tests.bench.served import Served
from tests.openvswitch import OpenVSwitch

NETWORKS = 10
ROUNDS = 3
FEW, MANY = 100, 5000
MORE = 200  # how often one port more is created, among few and among many
PAUSE_SECONDS = 0.025
"""After a change of flows, OVS 3.1 spends some microseconds on every interface it has, and answers
nobody meanwhile. That is no part of the next change."""


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
    start = time.perf_counter()
    controller.client.ports(wanted)
    seconds = controller.settled(switches=1) - start
    assert controller.call("counts")["active"] == count
    return seconds


def one_more(controller: Served, network: str, interface: int) -> float:
    """Seconds from the request to the switch's confirmation; the port is deleted again."""
    start = time.perf_counter()
    body = {"port": port(network, interface)}
    id = controller.client.api("POST", "/v2.0/ports", body)["port"]["id"]
    seconds: float = controller.call("active", port=id) - start
    controller.client.api("DELETE", f"/v2.0/ports/{id}")
    controller.settled(switches=1)
    return seconds


def bench() -> Iterator[Figure]:
    with ExitStack() as stack:
        many = stack.enter_context(switch(MANY + 1))
        for count, bar in ((1000, 1.5), (MANY, 6.0)):
            times = []
            for _ in range(ROUNDS):
                with served(many) as controller:
                    times.append(create(controller, count))
                    flows = controller.call("counts")["flows"]
            yield Figure(f"ports.{count}", median(times), "s", bar)
            yield Figure(f"ports.{count}.flows", flows / count, "flows a port", 15)


def bench_more() -> Iterator[Figure]:
    with ExitStack() as stack:
        times: dict[int, list[float]] = {FEW: [], MANY: []}
        # Both switches have the same interfaces: the cost of those is OVS's own.
        controllers = {
            count: stack.enter_context(served(stack.enter_context(switch(MANY + 1))))
            for count in times
        }
        network = {}
        for count, controller in controllers.items():
            create(controller, count)
            network[count] = controller.client.api("GET", "/v2.0/networks")["networks"][0]["id"]
        for _ in range(MORE):
            for count, controller in controllers.items():
                times[count].append(one_more(controller, network[count], interface=count))
                runtime.sleep(PAUSE_SECONDS)
    few, many = (median(times[count]) * 1000 for count in (FEW, MANY))
    yield Figure(f"more.{FEW}", few, "ms")
    yield Figure(f"more.{MANY}", many, "ms", 20)
    yield Figure(f"more.{MANY}.p99", quantiles(times[MANY], n=100)[98] * 1000, "ms", 80)
    yield Figure("more.ratio", many / few, f"x among {FEW}", 1.3)
