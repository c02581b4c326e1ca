# SPDX-License-Identifier: Apache-2.0

"""Address scopes: where addresses mean the same."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.routing.tables import OTHER_SCOPE
from tenantry.controller.model import View
from tenantry.controller.network.priorities import RoutePriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import RouterInterface, router_interfaces, scope
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Flow, Match
from tenantry.controller.openflow.pipeline import NAT, OUTSIDE, SOURCE, Table
from tenantry.controller.packets.addresses import prefix_value


def apart(
    view: View, router: Router, leg: RouterInterface, prefix: tuple[int, int, int], match: Match
) -> Iterator[Flow]:
    """What is not translated goes from one into the same only."""
    version, first, length = prefix
    scopes = {scope(view, s) for s in leg.subnets if (s.first, s.prefix_length) == (first, length)}
    for other in router_interfaces(view, router.id):
        for subnet in other.subnets:
            if subnet.version != version or scope(view, subnet) in scopes:
                continue
            from_other_scope: Match = {SOURCE: OUTSIDE, NAT: 0}
            if not other.gateway:
                prefix_of_source = prefix_value(version, subnet.first, subnet.prefix_length)
                from_other_scope = {f"ipv{version}_src": prefix_of_source, NAT: 0}
            apart = {**match, **from_other_scope}
            yield Flow(Table.ROUTE, RoutePriority.EXCEPTION[length], apart, drop(OTHER_SCOPE))
