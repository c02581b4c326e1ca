# SPDX-License-Identifier: Apache-2.0

"""How packets enter a router."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.l2.tables import L2LookupPriority
from tenantry.apps.routing.tables import BACK_OUTSIDE, NOT_ROUTED_HERE, RouterOutPriority
from tenantry.controller.model import View
from tenantry.controller.network.failover import reply_flows
from tenantry.controller.network.priorities import RouterAdmitPriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.router_entry import enter_router, entry_flows
from tenantry.controller.network.routers import ROUTED_MAC, ROUTED_MAC_MASK, RouterInterface
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Flow, Match, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FROM_WIRE_OR_TUNNEL,
    IN_PORT,
    NETWORK,
    OUTSIDE,
    SOURCE,
    TENANT,
    Table,
)


def entering(
    view: View, switch: int, router: Router, leg: RouterInterface, is_gateway: bool
) -> Iterator[Flow]:
    """By one of its ports: with its MAC address, or one by which another switch stands for it."""
    to_router_mac: Match = {NETWORK: leg.network.key, "eth_dst": leg.port.mac}
    if router.admin_state_up and is_gateway:
        yield from entry_flows(view, switch, router, leg, leg.port.mac)
        yield from reply_flows(view, switch, router, [leg.port.mac])
    elif router.admin_state_up and not leg.gateway:
        match = {**to_router_mac, IN_PORT: TENANT}
        yield Flow(
            Table.ROUTER_ADMIT, RouterAdmitPriority.TO_ROUTER, match, enter_router(router, leg)
        )
    if not leg.gateway:
        # Every switch on the wire may hear it, but one of them routes it; and none if it is off.
        elsewhere = drop(NOT_ROUTED_HERE)
        yield Flow(Table.L2_LOOKUP, L2LookupPriority.KNOWN, to_router_mac, elsewhere)
    else:
        # What comes from outside for somebody who is not there must not run in circles.
        circle: Match = {ENTERED: leg.port.key, EXIT: leg.port.key, SOURCE: OUTSIDE}
        yield Flow(Table.ROUTER_OUT, RouterOutPriority.CIRCLE, circle, drop(BACK_OUTSIDE))
    routed_elsewhere_mac = (ROUTED_MAC | leg.port.key, ROUTED_MAC_MASK)
    yield Flow(
        Table.ROUTER_ADMIT,
        RouterAdmitPriority.ROUTED_ELSEWHERE,
        {NETWORK: leg.network.key, IN_PORT: FROM_WIRE_OR_TUNNEL, "eth_src": routed_elsewhere_mac},
        (SetField("eth_src", leg.port.mac), Resubmit(Table.ROUTER_ADMIT)),
    )
