# SPDX-License-Identifier: Apache-2.0

"""Routing: from network to network, on the switch where the packet starts.

A router is a MAC address on each of its networks, and a table of prefixes. Every switch from which
its networks can be reached has all of it, so packets between tenants' networks take the shortest
way; no switch is in the middle. One switch is the router's *home* (see ``routers.py`` of the
model): it answers for the router on physical networks, and what must leave by the gateway with an
address that many share goes there, still as it came, by the network it is in.

A router behaves as one of metal would: it answers ARP, ND and pings, takes one off the TTL, and
says so when the time is up, when there is no way, or when a packet is too big (``packets.py``). The
MAC address of a next hop is the model's if the model has it; else the controller asks for it by ARP
or ND, and lets the packets that wait go on.

Routers of several tenants may have the same prefixes: every flow names its router.
"""

from tenantry.apps.routing import resources, tables
from tenantry.apps.routing.commands import COMMANDS
from tenantry.apps.routing.flows import compile_common, compile_router
from tenantry.apps.routing.nexthops import (
    compile_announcements,
    compile_neighbours,
    networks_routed,
)
from tenantry.apps.routing.packets import ROUTERS, announce, handle
from tenantry.apps.routing.routes import ROUTES
from tenantry.controller.feature.app import App, Parts, Units, per_switch
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import networks_on, routers_on

ROUTING = App(
    id=11,
    name="routing",
    records=(Router,),
    units=(
        Units("all", per_switch, compile_common),
        Units("router", routers_on, compile_router),
        Units("neighbours", networks_on, compile_neighbours),
        Units("announcements", networks_routed, compile_announcements),
    ),
    build=lambda conf: Parts(
        extension=resources.extension(),
        packet_in=handle,
        neighbours=ROUTERS,
        announce=announce,
        routes=ROUTES,
    ),
    tables=tables.TABLES,
    adds_to=tables.ADDS_TO,
    fields=tables.FIELDS,
    commands=COMMANDS,
)
