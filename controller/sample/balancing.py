# SPDX-License-Identifier: Apache-2.0

"""The load balancer of the sample topology, whose members are asked whether they are alive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tenantry.apps.load_balancer.records import (
    HTTPS,
    ROUND_ROBIN,
    SOURCE_IP,
    TCP,
    UDP,
    UNLIMITED,
    HealthMonitor,
    Listener,
    LoadBalancer,
    Member,
    Pool,
)
from tenantry.controller.model import FixedIp, Prefix, Record


def load_balancer() -> Iterator[Record]:
    """A load balancer, and two members of each of its pools."""
    vips = (FixedIp("teal-v4", 4, 0x0A000065),)
    yield LoadBalancer("web", 4, "project", "web", "vip-port", "teal", vips, True)
    no_limit = (UNLIMITED, 50_000, 5_000, 50_000, 0)
    for key, (name, protocol, port, algorithm) in enumerate(
        (("http", TCP, 80, ROUND_ROBIN), ("dns", UDP, 53, SOURCE_IP)), 1
    ):
        yield Listener(name, key, "project", "web", protocol, port, True, *no_limit, name)
        pool = Pool(name, key, "project", "web", protocol, algorithm, True)
        if protocol == UDP:
            pool = replace(pool, persistence=SOURCE_IP, persistence_timeout=60)
        yield replace(pool, persistence_granularity="255.255.255.240")
        for slot, weight in enumerate((1, 2) if key == 1 else (1, 0)):
            to = (4, 0x0A000033 + slot, port + 8000, weight, False, True)
            id = f"{name}-{slot + 1}"
            yield Member(id, 2 * key + slot, slot, "project", id, name, *to)
    for name, kind in (("http", "HTTP"), ("dns", "UDP-CONNECT")):
        yield HealthMonitor(f"{name}-monitor", "project", name, kind, 5, 3, 2, 3, True)
    office = (Prefix(4, 0x0A000000, 26),)
    secure = Listener("https", 3, "project", "web", HTTPS, 443, True, *no_limit)
    yield replace(secure, allowed_cidrs=office)
