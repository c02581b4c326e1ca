# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/routers``: where routers are at home, as whom they are seen outside, and which of
their neighbours have answered."""

from __future__ import annotations

from typing import Any

from tenantry.controller.feature.routes import Route, Running
from tenantry.controller.model import Switch, View
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.network.records import Neighbour, Router
from tenantry.controller.network.routers import (
    gateway,
    primary_gateway,
    router_interfaces,
    routers_on,
    shared_snat_address,
)
from tenantry.controller.openflow.oxm import value_text


def routers(running: Running) -> list[dict[str, Any]]:
    """Every router: the switch that is its home (None: nothing leads outside), the switches that it
    is on, its gateway's network, the address that its networks share, and the neighbours on its
    networks that the model does not know, with their MAC addresses."""
    view = running.view
    names = {switch.id: switch.name for switch in view.find(Switch)}
    on = {dpid: routers_on(view, dpid) for dpid in names}
    return [
        _router(view, router, names, on)
        for router in sorted(view.find(Router), key=lambda r: (r.name, r.id))
        if running.sees("router", router.id)
    ]


def _router(
    view: View, router: Router, names: dict[int, str], on: dict[int, frozenset[str]]
) -> dict[str, Any]:
    at, outside, shared = (
        primary_gateway(view, router.id),
        gateway(view, router.id),
        shared_snat_address(view, router),
    )
    return {
        "id": router.id,
        "name": router.name,
        "project_id": router.project_id,
        "home": names.get(at) if at is not None else None,
        "switches": sorted(names[dpid] for dpid, routers in on.items() if router.id in routers),
        "outside": outside.network.name or outside.network.id if outside else None,
        "shared_address": address_text(4, shared) if shared is not None else None,
        "neighbours": [
            {
                "network": network.name or network.id,
                "address": address_text(neighbour.version, neighbour.address),
                "mac": value_text("eth_src", neighbour.mac),
            }
            for network in {
                leg.network.id: leg.network for leg in router_interfaces(view, router.id)
            }.values()
            for neighbour in view.find(Neighbour, network_id=network.id)
        ],
    }


ROUTES = (Route("routers", routers),)
