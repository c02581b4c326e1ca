# SPDX-License-Identifier: Apache-2.0

"""Flows of metering; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.metering.records import MeteringLabel, MeteringLabelRule
from tenantry.apps.metering.tables import COUNTED_LABEL, LEAVING, MeteringRulesPriority
from tenantry.apps.routing.tables import TO_NEXT_HOP, NextHopFoundPriority
from tenantry.controller.model import Network, Prefix, View, derived
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import gateway, networks_of, routers_in, switches_at
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.flow import Actions, Flow, Goto, Match, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FOUND,
    ITSELF,
    NEXT_HOP_MAC,
    OUTSIDE,
    ROUTER,
    SOURCE,
    Table,
)
from tenantry.controller.packets.addresses import prefix_value
from tenantry.controller.packets.frames import IPV4, IPV6

_DIRECTIONS = {"egress": LEAVING, "ingress": 0}


@derived
def labels_at(view: View, router_id: str) -> frozenset[str]:
    """The labels that count at a router: those of its project, and those that all share."""
    router = view.get(Router, router_id)
    if router is None:
        return frozenset()
    own = view.ids(MeteringLabel, project_id=router.project_id)
    return own | view.ids(MeteringLabel, shared=True)


def routers_of(view: View, label_id: str) -> frozenset[str]:
    """The routers at which a label counts."""
    label = view.get(MeteringLabel, label_id)
    if label is None:
        return frozenset()
    every = view.find(Router)
    return frozenset(r.id for r in every if label.shared or r.project_id == label.project_id)


@derived
def metered_routers_on(view: View, switch: int) -> frozenset[str]:
    """The routers with labels whose packets may be routed to the outside, or from there, on a
    switch. They are there whether or not they have ports on it, so that what was counted does not
    go with the last machine."""
    at = {id for id in view.ids(Network, external=True) if switch in switches_at(view, id)}
    routers = {(id, router_id) for id in at for router_id in routers_in(view, id)}
    return frozenset(
        router_id
        for id, router_id in routers
        if (id, True) in networks_of(view, router_id) and labels_at(view, router_id)
    )


def labels_on(view: View, switch: int) -> frozenset[str]:
    """Those labels, each at each of those routers, for each direction (see :func:`counting`)."""
    return frozenset(
        counting(label_id, router_id, direction)
        for router_id in metered_routers_on(view, switch)
        for label_id in labels_at(view, router_id)
        for direction in directions(view, label_id)
    )


def counting(label_id: str, router_id: str, direction: str) -> str:
    """The id of the unit that counts for a label what a router's gateway sends or gets."""
    return f"{label_id} {router_id} {direction}"


@derived
def directions(view: View, label_id: str) -> frozenset[str]:
    """The directions for which a label has rules."""
    rules = view.find(MeteringLabelRule, metering_label_id=label_id)
    return frozenset(rule.direction for rule in rules)


def compile_router(view: View, switch: int, router_id: str) -> Iterator[Flow]:
    """What passes a router's gateway is shown to the labels. What the router itself says was not
    sent through it."""
    router, leg = view.get(Router, router_id), gateway(view, router_id)
    if router is None or leg is None:
        return
    at: Match = {ROUTER: router.key}
    shown: Actions = (*TO_NEXT_HOP, Resubmit(Table.METERING), Goto(Table.NEXT_HOP_FOUND.next))
    for eth_type in (IPV4, IPV6):
        found: Match = {**at, NEXT_HOP_MAC: FOUND, "eth_type": eth_type}
        yield Flow(Table.NEXT_HOP_FOUND, NextHopFoundPriority.METERED, found, shown)
    passing: dict[str, Match] = {
        "egress": {**at, EXIT: leg.port.key, SOURCE: (0, ITSELF)},  # INSIDE or FLOATING
        "ingress": {**at, ENTERED: leg.port.key, SOURCE: OUTSIDE},
    }
    labels = [view.get(MeteringLabel, id) for id in labels_at(view, router_id)]
    for direction, match in passing.items():
        keys = [one.key for one in labels if one and direction in directions(view, one.id)]
        asked: Actions = tuple(
            action
            for key in sorted(keys)
            for action in (
                SetField(COUNTED_LABEL, _DIRECTIONS[direction] | key),
                Resubmit(Table.METERING_RULES),
            )
        )
        if asked:
            yield Flow(Table.METERING, OneRung.ORDINARY, match, asked)


def compile_label(view: View, switch: int, id: str) -> Iterator[Flow]:
    """The rules of a label for a direction, at a router. Each counts for itself: another that comes
    or goes leaves it as it is. Of several that match a packet, one counts it."""
    label_id, router_id, direction = id.split(" ")
    label, router = view.get(MeteringLabel, label_id), view.get(Router, router_id)
    if label is None or router is None:
        return
    for rule in view.find(MeteringLabelRule, metering_label_id=label_id):
        if rule.direction != direction:
            continue
        source, destination = rule.ends
        match: Match = {
            COUNTED_LABEL: _DIRECTIONS[direction] | label.key,
            ROUTER: router.key,
            **_end(source, "src"),
            **_end(destination, "dst"),
        }
        rung = MeteringRulesPriority.EXCLUDED if rule.excluded else MeteringRulesPriority.COUNTED
        yield Flow(Table.METERING_RULES, rung, match, ())


def _end(prefix: Prefix | None, end: str) -> Match:
    if prefix is None:
        return {}
    match: Match = {"eth_type": IPV4 if prefix.version == 4 else IPV6}
    if prefix.length:
        field = f"ipv{prefix.version}_{end}"
        match[field] = prefix_value(prefix.version, prefix.first, prefix.length)
    return match
