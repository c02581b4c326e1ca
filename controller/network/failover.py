# SPDX-License-Identifier: Apache-2.0

"""One gateway for another, by the switches' own eyes: groups that ask the health of tunnels.

A router's gateways (``network/routers.py``) have an order. Whoever sends to them takes the first
that its tunnels say is there; and each of them takes what comes from a physical network only if
those before it are not there. No controller is needed for either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tenantry.controller.model import View
from tenantry.controller.network.priorities import ArpNdReplyPriority
from tenantry.controller.network.records import HeldDown, Router
from tenantry.controller.network.routers import gateways, watched_switches
from tenantry.controller.network.tunnels import TYPES, health_port, tunnel_port
from tenantry.controller.openflow.drops import Cause, Whose, drop_in_bucket
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Bucket,
    Failover,
    Flow,
    Group,
    Match,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.pipeline import (
    A_ROUTER,
    FLAGS,
    GATEWAY_HERE,
    IN_PORT,
    MAC,
    OUT_PORT,
    PHYSICAL,
    ROUTED,
    TO_GATEWAY,
    Table,
)

WITNESSES = 4
"""A gateway that none of so many others can reach is itself the one that is cut off."""

TOWARDS_GATEWAY, FROM_WIRE, ARP_REPLY, LEAVING, FROM_GUESTS = range(5)
"""What a router's groups are for."""


def group_id(router: Router, purpose: int, port_key: int = 0) -> int:
    """Of a router, or of one of its ports: OpenFlow has 32 bits for it."""
    return port_key << 3 | purpose if port_key else 1 << 31 | router.key << 3 | purpose


def is_ha_gateway(view: View, switch: int, router_id: str) -> bool:
    """Whether a switch is one of several gateways of a router."""
    several = gateways(view, router_id)
    return len(several) > 1 and switch in several


NOT_THE_GATEWAY = Cause(
    *(0x0B0B, "not_the_gateway", Whose.SENDER),
    "another of the router's gateways takes it, or this one rests",
)
_NOT_THE_ONE = drop_in_bucket(NOT_THE_GATEWAY)


def preferred_over(view: View, switch: int, router_id: str) -> tuple[int, ...]:
    """The gateways of a router that come before a switch: for one that rests, all the others; for
    one that is none, all there are."""
    several = gateways(view, router_id)
    if switch not in several or view.get(HeldDown, switch) is not None:
        return tuple(other for other in several if other != switch)
    return several[: several.index(switch)]


def is_primary(view: View, switch: int, router_id: str) -> bool:
    """Whether a switch is a router's gateway and need ask nobody."""
    return switch in gateways(view, router_id) and not preferred_over(view, switch, router_id)


def if_active_group(
    view: View, switch: int, router: Router, purpose: int, *actions: Action
) -> Failover:
    """The group that does ``actions`` at one of several gateways, if it is the one to do so: those
    before it are not there, and somebody is who can tell. With nobody else about, that is itself.
    """
    several, before = gateways(view, router.id), preferred_over(view, switch, router.id)
    theirs = [health_port(view, switch, other) for other in before]
    id = group_id(router, purpose)
    nobody = [Bucket(port, _NOT_THE_ONE) for port in _always(view, switch)]
    if view.get(HeldDown, switch) is not None or None in theirs:
        return Failover(id, tuple(nobody))
    others = watched_switches(view, switch)
    behind = [other for other in several if other in others and other not in before]
    rest = sorted(others - {*several})
    ports = [port for other in (*behind, *rest) if (port := health_port(view, switch, other))]
    buckets = [Bucket(port, _NOT_THE_ONE) for port in theirs if port is not None]
    buckets += [Bucket(port, actions) for port in ports[:WITNESSES]]
    if len(others) < 2 or not ports:
        buckets += [Bucket(port, actions) for port in _always(view, switch)]
    else:
        buckets += nobody
    return Failover(id, tuple(buckets))


def hand_over_group(
    view: View, switch: int, router: Router, purpose: int, out_port: int, *itself: Action
) -> Failover:
    """The group at one of several gateways for what its own ports send: by ``out_port``, if one of
    those before it is there to take it, or else it does ``itself``. One that rests does not: the
    outside would take it for the active one."""
    on = (SetField(OUT_PORT, out_port), Resubmit(Table.FLOOD.next))
    ports = [health_port(view, switch, other) for other in preferred_over(view, switch, router.id)]
    buckets = [Bucket(port, on) for port in ports if port is not None]
    rests = view.get(HeldDown, switch) is not None
    last = _NOT_THE_ONE if rests else itself
    buckets += [Bucket(port, last) for port in _always(view, switch)]
    return Failover(group_id(router, purpose), tuple(buckets))


_IF_ACTIVE: Mapping[int, Actions] = {
    FROM_WIRE: (Resubmit(Table.ROUTER_IN),),
    ARP_REPLY: (SetField(OUT_PORT, TO_GATEWAY), Resubmit(Table.ARP_ND_REPLY)),
}
"""What is done at the active gateway, by the group that finds out whether it is."""

_ELSE: Mapping[int, tuple[int, Actions]] = {
    LEAVING: (TO_GATEWAY, (SetField(FLAGS, GATEWAY_HERE), Resubmit(Table.ROUTE))),
    FROM_GUESTS: (PHYSICAL, (Resubmit(Table.ROUTER_IN),)),
}
"""What one that stands in does itself, and by which OUT_PORT it hands over if it need not."""


def groups(view: View, switch: int, router: Router) -> Iterator[Failover]:
    """All of a router's groups at one of several gateways; see :func:`lead_to`."""
    if not _always(view, switch):
        return
    for purpose, actions in _IF_ACTIVE.items():
        yield if_active_group(view, switch, router, purpose, *actions)
    if not is_primary(view, switch, router.id):
        for purpose, (out_port, itself) in _ELSE.items():
            yield hand_over_group(view, switch, router, purpose, out_port, *itself)


def lead_to(view: View, switch: int, router: Router, purpose: int) -> Actions:
    """The end of a flow that leads to one of these groups. A switch without tunnels sees nobody,
    and a group needs a port to watch: there the order of the gateways decides alone."""
    if _always(view, switch):
        return (Group(group_id(router, purpose)),)
    if purpose in _IF_ACTIVE:
        rests, actions = bool(preferred_over(view, switch, router.id)), _IF_ACTIVE[purpose]
    else:
        rests, actions = view.get(HeldDown, switch) is not None, _ELSE[purpose][1]
    return _NOT_THE_ONE if rests else actions


def reply_flows(view: View, switch: int, router: Router, macs: Iterable[int]) -> Iterator[Flow]:
    """Questions from a physical network for addresses that come with these MAC addresses, which any
    of several gateways could answer: whichever is the one to do so."""
    for mac in macs if is_ha_gateway(view, switch, router.id) else ():
        router_mac = (mac, A_ROUTER - 1)
        match: Match = {IN_PORT: PHYSICAL, MAC: router_mac, OUT_PORT: ROUTED}
        actions = lead_to(view, switch, router, ARP_REPLY)
        yield Flow(Table.ARP_ND_REPLY, ArpNdReplyPriority.OF_SEVERAL_GATEWAYS, match, actions)


def _always(view: View, switch: int) -> list[int]:
    """A port that is always up: into tunnels to wherever."""
    found = (tunnel_port(view, switch, tunnel_type) for tunnel_type in TYPES)
    return [port for port in found if port is not None][:1]
