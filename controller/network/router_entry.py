# SPDX-License-Identifier: Apache-2.0

"""What features that route have in common: how packets enter a router, and what a router says."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.controller.feature.effects import PacketIn, PacketOut, resubmitted
from tenantry.controller.model import Network, View
from tenantry.controller.network.failover import (
    FROM_GUESTS,
    FROM_WIRE,
    LEAVING,
    is_ha_gateway,
    is_primary,
    lead_to,
)
from tenantry.controller.network.priorities import RoutePriority, RouterAdmitPriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import RouterInterface
from tenantry.controller.openflow.flow import (
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Match,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.oxm import FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    GATEWAY_HERE,
    IN_PORT,
    INSIDE,
    ITSELF,
    LARGER,
    NAT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    OUTSIDE,
    PHYSICAL,
    PUNT_REASON,
    ROUTER,
    SOURCE,
    TENANT,
    TO_GATEWAY,
    TUNNEL,
    UNKNOWN,
    Table,
)

CLEAR_CONNTRACK: Actions = (CtClear(), SetField(ORIGIN_PORT, 0))
"""What it was is not what it is now, an answer or translated: who judges it begins anew."""


def enter_router(router: Router, leg: RouterInterface, *, here: bool = False) -> Actions:
    """What is known of a packet that a router has got by one of its ports. ``here``: this gateway
    is to take it."""
    return (*_entered(router, leg, GATEWAY_HERE if here else 0), Goto(Table.ROUTER_IN))


def _entered(router: Router, leg: RouterInterface, flags: int) -> Actions:
    return (
        *(SetField(ROUTER, router.key), SetField(ENTERED, leg.port.key)),
        *(SetField(SOURCE, OUTSIDE if leg.gateway else INSIDE), SetField(NAT, 0)),
        *(SetField(field, 0) for field in (OUT_PORT, EXIT, PUNT_REASON)),
        SetField(FLAGS, flags),
    )


def entry_flows(
    view: View, switch: int, router: Router, leg: RouterInterface, mac: int
) -> Iterator[Flow]:
    """Take what is for one of a router's MAC addresses, at a switch that is its home, or stands in
    for that: what comes from a physical network, only if this is the one to do so."""
    to_router_mac: Match = {NETWORK: leg.network.key, "eth_dst": mac}
    if not is_ha_gateway(view, switch, router.id):
        yield Flow(
            Table.ROUTER_ADMIT,
            RouterAdmitPriority.TO_ROUTER,
            to_router_mac,
            enter_router(router, leg),
        )
        return
    from_guests: Match = {**to_router_mac, IN_PORT: TENANT}
    if leg.gateway and not is_primary(view, switch, router.id):
        beside = (*_entered(router, leg, GATEWAY_HERE), *lead_to(view, switch, router, FROM_GUESTS))
        yield Flow(Table.ROUTER_ADMIT, RouterAdmitPriority.TO_ROUTER, from_guests, beside)
    else:
        yield Flow(
            Table.ROUTER_ADMIT,
            RouterAdmitPriority.TO_ROUTER,
            from_guests,
            enter_router(router, leg),
        )
    from_tunnels: Match = {**to_router_mac, IN_PORT: TUNNEL}
    here = enter_router(router, leg, here=True)
    yield Flow(Table.ROUTER_ADMIT, RouterAdmitPriority.FROM_OUTSIDE_SWITCH, from_tunnels, here)
    if_active = (*_entered(router, leg, GATEWAY_HERE), *lead_to(view, switch, router, FROM_WIRE))
    from_wire: Match = {**to_router_mac, IN_PORT: PHYSICAL}
    yield Flow(Table.ROUTER_ADMIT, RouterAdmitPriority.FROM_OUTSIDE_SWITCH, from_wire, if_active)


LEAVE_BY_GATEWAY: Actions = (SetField(OUT_PORT, TO_GATEWAY), Goto(Table.FLOOD.next))
"""As it came, and by the network that it is in."""


def leave_by_gateway(view: View, switch: int, router: Router) -> Actions:
    """One that stands in for the home sends there what it can, and takes the rest itself."""
    stands = is_ha_gateway(view, switch, router.id)
    return lead_to(view, switch, router, LEAVING) if stands else LEAVE_BY_GATEWAY


def for_itself(router: Router, match: Match) -> Iterator[Flow]:
    """What is for one of a router's own addresses (``match``, in ROUTE). Of fragments it answers
    only whole packets', and those that ask: the state of the connection tells, which all have."""
    yield Flow(Table.ROUTE, RoutePriority.OWN_ADDRESS, match, (Goto(Table.ROUTER_REPLY),))
    gathered = (Ct(Zone.routed(router.key), Table.ROUTER_REPLY),)
    yield Flow(Table.ROUTE, RoutePriority.OWN_FRAGMENT, {**match, "ip_frag": FRAGMENT}, gathered)


def flood_packet(network: Network, port_key: int, data: bytes) -> PacketOut:
    """What a router says by a port to all on its network whom the model does not know."""
    fields = ((NETWORK, network.key), (IN_PORT, port_key), (OUT_PORT, UNKNOWN))
    return resubmitted(data, fields, Table.FLOOD)


def returned_packet(packet: PacketIn, data: bytes) -> PacketOut:
    """An error about a packet from outside whose destination connection tracking has translated, as
    if the machine inside had sent it: so on its way out all that it quotes is translated back."""
    known = ((ROUTER, packet.register(ROUTER)), (ENTERED, packet.register(EXIT)))
    fresh = tuple((field, 0) for field in (NAT, OUT_PORT, EXIT))
    flags = (FLAGS, packet.register(FLAGS) & ~LARGER)
    return resubmitted(data, (*known, *fresh, flags, (SOURCE, INSIDE)), Table.ROUTE)


def router_reply(packet: PacketIn, data: bytes) -> PacketOut:
    """What a router says itself about a packet that it has got, on its way from there."""
    known = tuple((field, packet.register(field)) for field in (ROUTER, ENTERED))
    fresh = tuple((field, 0) for field in (NAT, FLAGS, OUT_PORT, EXIT))
    return resubmitted(data, (*known, *fresh, (SOURCE, ITSELF)), Table.ROUTE)
