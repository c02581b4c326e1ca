# SPDX-License-Identifier: Apache-2.0

"""Over which routers a router's routes lead, which of those are there, and the flows to those that
have answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.punt.tables import TrapPriority
from tenantry.apps.routing.tables import NEXT_HOP, NextHopPriority
from tenantry.controller.feature.effects import Neighbour as Asked
from tenantry.controller.model import Binding, Network, Port, Route, View, derived
from tenantry.controller.network import configuration
from tenantry.controller.network.priorities import ArpNdReplyPriority, RouterAdmitPriority
from tenantry.controller.network.records import Neighbour, Router
from tenantry.controller.network.routers import (
    RouterInterface,
    active,
    gateways,
    networks_on,
    router_interfaces,
    routers_in,
    switches_at,
)
from tenantry.controller.openflow.flow import Flow, Goto, Match, Punt, SetField
from tenantry.controller.openflow.keys import OTHERS_METER
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import (
    IN_PORT,
    NETWORK,
    NEXT_HOP_MAC,
    OTHERS,
    OUT_PORT,
    OWN,
    OWNED,
    PHYSICAL,
    PUNT_REASON,
    TENANT,
    Table,
)
from tenantry.controller.packets.addresses import mapped
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV4, IPV6
from tenantry.controller.packets.neighbour_discovery import (
    ADVERTISEMENT,
    REPLY,
    REQUEST,
    SOLICITATION,
)

EXPIRED, NO_ROUTE, TOO_BIG, UNRESOLVED, FOR_ITSELF, HEARD = range(1, 7)
"""PUNT_REASON: why the controller gets a packet."""


class NextHop(NamedTuple):
    """A next hop of the route to a prefix (version, first address, length), and the leg to it."""

    prefix: tuple[int, int, int]
    leg: RouterInterface
    address: int


def next_hops(view: View, router: Router) -> Iterator[NextHop]:
    """The next hops of all routes: those that were asked for, then the gateway's. One that is on no
    link of the router leads nowhere. A route that was asked for replaces the gateway's."""
    every = router_interfaces(view, router.id)
    asked = set()
    for route in router.routes:
        for leg in every:
            if on_link(leg, route.version, route.nexthop):
                asked.add((route.version, route.destination, route.prefix_length))
                yield _hop(route, leg)
                break
    for leg in every:
        if leg.gateway:
            for route in default_routes(leg):
                if (route.version, 0, 0) not in asked:
                    yield _hop(route, leg)


def _hop(route: Route, leg: RouterInterface) -> NextHop:
    return NextHop((route.version, route.destination, route.prefix_length), leg, route.nexthop)


def on_link(leg: RouterInterface, version: int, address: int) -> bool:
    """Whether an address is on the link that a router's port is on: in one of its subnets, or the
    gateway of one, wherever that is (fe80::1, say)."""
    return any(
        subnet.version == version
        and (address == subnet.gateway or configuration.on_link(subnet, address))
        for subnet in leg.subnets
    )


def default_routes(leg: RouterInterface) -> Iterator[Route]:
    """The routes that a router has by its gateway: one of each family at most."""
    for version in (4, 6):
        for subnet in leg.subnets:
            on = any(ip.subnet_id == subnet.id for ip in leg.port.fixed_ips)
            if on and subnet.version == version and subnet.gateway is not None:
                yield Route(0, 0, subnet.gateway, version)
                break


def alive(view: View, several: list[NextHop]) -> list[NextHop]:
    """Those of several next hops that are there; if none is known to be, all of them, so that the
    first packet asks."""
    if len(several) == 1:
        return several
    found = [hop for hop in several if _is_there(view, hop)]
    return found or several


def _is_there(view: View, hop: NextHop) -> bool:
    version = hop.prefix[0]
    if (version, hop.address) in addresses_on(view, hop.leg.network.id):
        return True
    return view.get(Neighbour, (hop.leg.network.id, version, hop.address)) is not None


@derived
def addresses_on(view: View, network_id: str) -> frozenset[tuple[int, int]]:
    """The addresses of a network that the model knows to be there: of ports that are plugged in,
    and of routers."""
    plugged = view.ids(Binding, network_id=network_id)
    return frozenset(
        (ip.version, ip.address)
        for port in view.find(Port, network_id=network_id)
        if port.admin_state_up and (port.router_id or (port.id in plugged and port.port_security))
        for ip in port.fixed_ips
    )


def compile_neighbours(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """The neighbours on a network that the model does not know, and that have answered."""
    network = view.get(Network, network_id)
    if network is None:
        return
    for neighbour in view.find(Neighbour, network_id=network_id):
        address = mapped(neighbour.version, neighbour.address)
        eth_type = IPV4 if neighbour.version == 4 else IPV6
        yield Flow(
            Table.NEXT_HOP,
            NextHopPriority.NEIGHBOUR,
            {NETWORK: network.key, NEXT_HOP: address, "eth_type": eth_type},
            (
                *(SetField(OUT_PORT, 0), SetField(NEXT_HOP_MAC, neighbour.mac)),
                Goto(Table.NEXT_HOP_FOUND),
            ),
        )


def networks_routed(view: View, switch: int) -> frozenset[str]:
    """The networks on a switch that have a router."""
    return frozenset(id for id in networks_on(view, switch) if routers_in(view, id))


def compile_announcements(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Who says unasked where an address is now: an allowed pair that has moved (VRRP), a router
    outside. The controller gets a copy, and believes it of those whom it has asked before."""
    network = view.get(Network, network_id)
    if network is None:
        return
    on_network: Match = {NETWORK: network.key}
    copy = (SetField(PUNT_REASON, HEARD), Punt(OTHERS_METER))
    to_all = (SetField(OUT_PORT, 0), Goto(Table.ARP_ND.next))
    asks_for_itself: Match = {**on_network, OWNED: (OWN | OTHERS, OWN | OTHERS)}
    yield Flow(Table.ARP_ND_REPLY, ArpNdReplyPriority.PAIR_MOVED, asks_for_itself, (*copy, *to_all))
    senders: list[Value] = [TENANT]
    if any(switch in gateways(view, id) for id in routers_in(view, network_id)):
        senders.append(PHYSICAL)  # every switch on the wire hears it, but one is enough
    on = (Goto(Table.ROUTER_ADMIT.next),)
    for sender in senders:
        for words in _ANNOUNCED:
            match: Match = {**on_network, IN_PORT: sender, **words}
            yield Flow(
                Table.ROUTER_ADMIT, RouterAdmitPriority.NEIGHBOUR_ANNOUNCED, match, (*copy, *on)
            )
        # Who asks says as much of itself, gratuitously or not (RFC 826; RFC 4861, 7.2.3), but many
        # ask. Of those who are known it is news if they do so from elsewhere.
        for neighbour in view.find(Neighbour, network_id=network_id):
            words, source = _ASKED[neighbour.version]
            asks = {**on_network, IN_PORT: sender, **words, source: neighbour.address}
            passed_on = (*copy, SetField(PUNT_REASON, 0), Goto(Table.TRAP.next))
            yield Flow(Table.TRAP, TrapPriority.TRAPPED, asks, passed_on)
            same = {**asks, "eth_src": neighbour.mac}
            yield Flow(Table.TRAP, TrapPriority.FROM_WHERE_KNOWN, same, (Goto(Table.TRAP.next),))


_ASKED: dict[int, tuple[dict[str, Value], str]] = {
    4: ({"eth_type": ARP, "arp_op": REQUEST}, "arp_spa"),
    6: ({"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": SOLICITATION}, "ipv6_src"),
}
_ANNOUNCED: tuple[dict[str, Value], ...] = (
    {"eth_dst": (1 << 48) - 1, "eth_type": ARP, "arp_op": REPLY},
    {
        "eth_dst": 0x333300000001,
        "eth_type": IPV6,
        "ip_proto": ICMPV6,
        "icmpv6_type": ADVERTISEMENT,
    },
)
"""To all: ARP replies (RFC 826), neighbour advertisements (RFC 4861, 4.4)."""


def wanted(view: View) -> Iterator[Asked]:
    """The next hops of all routers that the model does not know (network, version, address): they
    are asked for now and then, so that packets need not wait, and dead ones are left out."""
    for router_id in sorted(view.ids(Router)):
        router = view.get(Router, router_id)
        if router is None or not router.admin_state_up:
            continue
        for hop in next_hops(view, router):
            version, network = hop.prefix[0], hop.leg.network
            if (version, hop.address) not in addresses_on(view, network.id):
                yield Asked(network.id, version, hop.address)


def asker(
    view: View, network_id: str, version: int, address: int
) -> tuple[int, RouterInterface] | None:
    """The switch and the router's leg in whose name a neighbour is asked for: of the routers that
    have the address on their link, the first whose gateway reaches the network."""
    for router_id in sorted(view.distinct(Port, "router_id", network_id=network_id) - {""}):
        switch = active(view, router_id)
        if switch is None or not _reaches(view, switch, network_id):
            continue
        for leg in router_interfaces(view, router_id):
            reaches_it = leg.network.id == network_id and on_link(leg, version, address)
            if reaches_it and leg.address(version) is not None:
                return switch, leg
    return None


def _reaches(view: View, switch: int, network_id: str) -> bool:
    network = view.get(Network, network_id)
    here = switch in view.distinct(Binding, "switch", network_id=network_id)
    return here or (network is not None and switch in switches_at(view, network_id))
