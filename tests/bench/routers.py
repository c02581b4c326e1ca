# SPDX-License-Identifier: Apache-2.0

"""A thousand routers: a start with them, and one route more; and floating IPs that move."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from tenantry.controller import runtime
from tests.bench import Figure
from tests.bench.ports import PAUSE_SECONDS, port, switch
from tests.bench.served import Client, Served

ROUTERS = 1000
ROUTES = 50
PORTS, MOVES = 1000, 100


def bench() -> Iterator[Figure]:
    with (
        switch(2 * ROUTERS) as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
    ):
        with Served(Path(directory)) as controller:
            routers = _fill(controller.client)
        start = time.perf_counter()
        with Served(Path(directory), ovsdb__connections=ovs.remote) as controller:
            took = controller.settled(switches=1) - start
            counts = controller.call("counts")
            assert counts["active"] == 2 * ROUTERS, counts
            yield Figure(f"routers.{ROUTERS}", took, "s from a start of the controller")
            yield Figure(
                "routers.flows", counts["flows"] / ROUTERS, "flows a router, ports and all"
            )
            before = controller.call("runs")["routing router"]
            times = []
            for number in range(ROUTES):
                times.append(_add_route(controller, routers[number * 7 % ROUTERS]))
                runtime.sleep(PAUSE_SECONDS)
            compiled = controller.call("runs")["routing router"] - before
            yield Figure("routers.route", median(times) * 1000, "ms for one route more", 50)
            yield Figure("routers.compiled", compiled / ROUTES, "routers compiled for it", 1)


def _fill(client: Client) -> list[str]:
    """Routers with two networks each, of which each has a port; the routers."""

    def bulk(kind: str, items: list[dict[str, Any]]) -> list[str]:
        ids: list[str] = []
        for at in range(0, len(items), 500):
            body = {f"{kind}s": items[at : at + 500]}
            ids += [made["id"] for made in client.api("POST", f"/v2.0/{kind}s", body)[f"{kind}s"]]
        return ids

    networks = bulk("network", [{} for _ in range(2 * ROUTERS)])
    subnets = bulk(
        "subnet",
        [
            {"network_id": id, "cidr": f"10.{n % 2}.0.0/24", "ip_version": 4, "enable_dhcp": False}
            for n, id in enumerate(networks)
        ],
    )
    routers = bulk("router", [{} for _ in range(ROUTERS)])
    for number, subnet in enumerate(subnets):
        path = f"/v2.0/routers/{routers[number // 2]}/add_router_interface"
        client.api("PUT", path, {"subnet_id": subnet})
    client.ports([port(id, number) for number, id in enumerate(networks)])
    return routers


def _add_route(controller: Served, router: str) -> float:
    """Seconds from the request to the switch's confirmation."""
    start = time.perf_counter()
    routes = {"router": {"routes": [{"destination": "172.16.0.0/12", "nexthop": "10.0.0.2"}]}}
    controller.client.api("PUT", f"/v2.0/routers/{router}/add_extraroutes", routes)
    return controller.settled(switches=1) - start


def bench_floating() -> Iterator[Figure]:
    with (
        switch(PORTS + 1) as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        Served(Path(directory), ovsdb__connections=ovs.remote) as controller,
    ):
        client = controller.client
        outside = client.network(["203.0.113.0/24"], **{"router:external": True})
        client.ports([port(outside, PORTS)])  # so that it is on the switch
        network = client.network(["10.0.0.0/16", "fd00::/64"])
        info = {"external_gateway_info": {"network_id": outside}}
        router = client.api("POST", "/v2.0/routers", {"router": info})["router"]["id"]
        for subnet in client.api("GET", f"/v2.0/subnets?network_id={network}")["subnets"]:
            path = f"/v2.0/routers/{router}/add_router_interface"
            client.api("PUT", path, {"subnet_id": subnet["id"]})
        ids = client.ports([port(network, number) for number in range(PORTS)])
        body = {"floatingip": {"floating_network_id": outside, "port_id": ids[0]}}
        floating = client.api("POST", "/v2.0/floatingips", body)["floatingip"]["id"]
        controller.settled(switches=1)
        times = []
        for _, target in pairwise(ids[: MOVES + 1]):
            start = time.perf_counter()
            body = {"floatingip": {"port_id": target}}
            client.api("PUT", f"/v2.0/floatingips/{floating}", body)
            times.append(controller.settled(switches=1) - start)
            runtime.sleep(PAUSE_SECONDS)
        yield Figure("floating.moved", median(times) * 1000, f"ms, among {PORTS} ports", 50)
