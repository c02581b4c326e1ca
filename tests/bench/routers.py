# SPDX-License-Identifier: Apache-2.0

"""A thousand routers: a start with them, and one route more; and floating IPs that move."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import Figure, peers, progress, ratio
from tests.bench.ports import port, switch
from tests.bench.served import Client, Served

ROUTERS = 1000
PORTS = 1000


def bench() -> Iterator[Figure]:
    with (
        switch(2 * ROUTERS) as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        peers.plain(ovs) as plain,
    ):
        with Served(Path(directory)) as controller:
            routers = _fill(controller.client)
        progress("routers: the start")
        start = time.perf_counter()
        with Served(Path(directory), ovsdb__connections=ovs.remote) as controller:
            took = controller.settled(switches=1) - start
            counts = controller.call("counts")
            assert counts["active"] == 2 * ROUTERS, counts
            yield Figure(f"routers.{ROUTERS}", took, "s from a start of the controller")
            each = counts["flows"] / ROUTERS
            yield Figure("routers.flows", each, "flows a router, ports and all")
            before = controller.call("runs")["routing router"]
            others = iter(routers[::7])
            add = partial(_add_route, controller.client, others)
            times = peers.beside_plain(plain, controller, add)
            compiled = controller.call("runs")["routing router"] - before
            yield ratio("routers.route", *times, plain.NAME, 10, reference="32 ms")
            yield Figure("routers.compiled", compiled / peers.CHANGES, "routers compiled for it", 1)


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


def _add_route(client: Client, routers: Iterator[str]) -> None:
    """A route for the next of these routers."""
    routes = {"router": {"routes": [{"destination": "172.16.0.0/12", "nexthop": "10.0.0.2"}]}}
    client.api("PUT", f"/v2.0/routers/{next(routers)}/add_extraroutes", routes)


def bench_floating() -> Iterator[Figure]:
    with (
        switch(PORTS + 1) as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        Served(Path(directory), ovsdb__connections=ovs.remote) as controller,
        peers.plain(ovs) as plain,
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
        others = iter(ids[1:])

        def move() -> None:
            body = {"floatingip": {"port_id": next(others)}}
            client.api("PUT", f"/v2.0/floatingips/{floating}", body)

        times = peers.beside_plain(plain, controller, move)
        yield ratio("floating.moved", *times, plain.NAME, 10, reference="32 ms")
