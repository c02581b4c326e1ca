# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/metering-labels/ID/counters``: what a label has counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tenantry.apps.metering.flows import counting, routers_of
from tenantry.apps.metering.tables import MeteringRulesPriority
from tenantry.controller.feature.counts import check_seen, completeness, since
from tenantry.controller.feature.routes import Counted, Route, Running, UnitName

_DIRECTIONS = ("ingress", "egress")


def counters(running: Running, id: str) -> dict[str, Any]:
    """Packets and octets by direction, and by the routers that who asks sees; from when on all of
    that was counted; and which switches say nothing now. Errors: LookupError."""
    check_seen(running, "metering_label", id)
    routers = [each for each in routers_of(running.view, id) if running.sees("router", each)]
    units = {
        counting(id, router, direction): (router, direction)
        for router in sorted(routers)
        for direction in _DIRECTIONS
    }
    counts = running.counts(UnitName("metering", "label", unit) for unit in units)
    flows: dict[tuple[str, str], list[Counted]] = {each: [] for each in units.values()}
    for flow in counts.flows:
        if flow.priority == MeteringRulesPriority.COUNTED:
            flows[units[flow.id]].append(flow)
    together = {d: [flow for r in routers for flow in flows[r, d]] for d in _DIRECTIONS}
    return {
        "id": id,
        **_directions(together),
        "routers": [
            {"id": router, **_directions({d: flows[router, d] for d in _DIRECTIONS})}
            for router in sorted(routers)
        ],
        **completeness(counts),
    }


def _directions(flows: Mapping[str, list[Counted]]) -> dict[str, Any]:
    every = [flow for some in flows.values() for flow in some]
    return {
        **{
            direction: {
                "packets": sum(flow.packets for flow in some),
                "octets": sum(flow.octets for flow in some),
            }
            for direction, some in flows.items()
        },
        "since": since(every),
    }


ROUTES = (Route("metering-labels/{id}/counters", counters, waits=True),)
