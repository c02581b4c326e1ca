# SPDX-License-Identifier: Apache-2.0

"""What is answered about counters under ``/tenantry/v1``."""

from __future__ import annotations

from collections.abc import Callable

from tenantry.apps.counters import hot, objects, ports
from tenantry.controller.feature.routes import Route

OBJECTS: dict[str, Callable[..., object]] = {
    "ports": objects.port,
    "networks": objects.network,
    "routers": objects.router,
    "floatingips": objects.floating_ip,
    "security-group-rules": objects.security_group_rule,
    "firewall-rules": objects.firewall_rule,
}

ROUTES = (
    Route("counters", ports.ports, ("switch",), waits=True),
    Route("counters/networks", ports.networks, waits=True),
    Route("hot", hot.hot, ("switch", "seconds"), waits=True),
    *(Route(f"{path}/{{id}}/counters", answer, waits=True) for path, answer in OBJECTS.items()),
)
