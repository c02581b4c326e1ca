"""What features that route have in common: how packets enter a router, and what a router says."""

from __future__ import annotations

from controller.flow import Action, CtClear, Goto, SetField
from controller.model import Network, Router
from controller.model.routers import Leg
from controller.packet import PacketIn, PacketOut, resubmitted
from controller.pipeline import (
    ENTERED,
    EXIT,
    IN_PORT,
    INSIDE,
    ITSELF,
    LARGER,
    NAT,
    NETWORK,
    ORIGIN,
    OUT_PORT,
    OUTSIDE,
    PUNTED,
    ROUTER,
    SOURCE,
    UNKNOWN,
    Band,
    Table,
)

OWN_ADDRESS = Band.GUARD + 90
"""Priority in ROUTE of the router's own addresses, above all prefixes."""


ANEW: tuple[Action, ...] = (CtClear(), SetField(ORIGIN, 0))
"""What it was is not what it is now, an answer or translated: who judges it begins anew."""


def admitted(router: Router, leg: Leg) -> tuple[Action, ...]:
    """What is known of a packet that a router has got by one of its ports."""
    return (
        *(SetField(ROUTER, router.key), SetField(ENTERED, leg.port.key)),
        *(SetField(SOURCE, OUTSIDE if leg.gateway else INSIDE), SetField(NAT, 0)),
        *(SetField(field, 0) for field in (OUT_PORT, LARGER, EXIT, PUNTED)),
        Goto(Table.ROUTER_IN),
    )


def said(network: Network, port_key: int, data: bytes) -> PacketOut:
    """What a router says by a port to all on its network whom the model does not know."""
    fields = ((NETWORK, network.key), (IN_PORT, port_key), (OUT_PORT, UNKNOWN))
    return resubmitted(data, fields, Table.FLOOD)


def answered(packet: PacketIn, data: bytes) -> PacketOut:
    """What a router says itself about a packet that it has got, on its way from there."""
    known = tuple((field, packet.register(field)) for field in (ROUTER, ENTERED))
    fresh = tuple((field, 0) for field in (NAT, LARGER, OUT_PORT, EXIT))
    return resubmitted(data, (*known, *fresh, (SOURCE, ITSELF)), Table.ROUTE)
