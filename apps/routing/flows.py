# SPDX-License-Identifier: Apache-2.0

"""Flows of routers; see the package for what they do, and ``controller/openflow/pipeline.py`` for
the way through a router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tenantry.apps.routing.address_scopes import apart
from tenantry.apps.routing.entry import entering
from tenantry.apps.routing.nexthops import (
    EXPIRED,
    FOR_ITSELF,
    HEARD,
    NO_ROUTE,
    TOO_BIG,
    UNRESOLVED,
    NextHop,
    alive,
    next_hops,
)
from tenantry.apps.routing.replies import echoes
from tenantry.apps.routing.tables import (
    NEXT_HOP,
    NO_NEIGHBOUR,
    NOT_IP,
    OF_ONE_LINK,
    PATH,
    TIME_IS_UP,
    TO_NEXT_HOP,
    TOO_LARGE,
    UNROUTED,
    NextHopFoundPriority,
    NextHopPriority,
    RoutePathPriority,
    RouterInPriority,
    RouterOutPriority,
    RouterReplyPriority,
)
from tenantry.apps.routing.unrouted import nevers
from tenantry.controller.model import View
from tenantry.controller.network.failover import (
    groups,
    is_ha_gateway,
    is_primary,
)
from tenantry.controller.network.priorities import RoutePriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.router_entry import (
    LEAVE_BY_GATEWAY,
    for_itself,
    leave_by_gateway,
)
from tenantry.controller.network.routers import (
    RouterInterface,
    own_gateway_address,
    routed_mac,
    router_interfaces,
    shared_snat_address,
    switches_at,
)
from tenantry.controller.openflow.drops import UNFORESEEN, drop
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    CONTROLLER,
    Actions,
    CheckLarger,
    Flow,
    Goto,
    Item,
    Match,
    Move,
    Multipath,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.oxm import FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    FLOATING,
    FOUND,
    GATEWAY_HERE,
    IN_PORT,
    INSIDE,
    ITSELF,
    LARGER,
    NAT,
    NETWORK,
    NEXT_HOP_MAC,
    OUT_PORT,
    PINNED,
    PUNT_REASON,
    ROUTED,
    ROUTER,
    SOURCE,
    TRANSLATE,
    TRANSLATED,
    Table,
    version_bits,
)
from tenantry.controller.packets.addresses import (
    BITS,
    LINK_LOCAL,
    is_link_local,
    link_local,
    mapped,
    prefix_value,
)
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV4, IPV6
from tenantry.controller.packets.neighbour_discovery import ADVERTISEMENT

ETHERNET = 14  # octets of header, which an MTU does not count

_FAMILIES = ((4, IPV4), (6, IPV6))


def _destination(version: int, address: int, prefix_length: int) -> Match:
    """A prefix as a match, its host bits cleared."""
    match: Match = {"eth_type": IPV4 if version == 4 else IPV6}
    if prefix_length:
        match[f"ipv{version}_dst"] = prefix_value(version, address, prefix_length)
    return match


def _punt(why: int) -> Actions:
    return (SetField(PUNT_REASON, why), Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is the same for all routers of a switch."""
    arp: Match = {"eth_type": ARP}
    advertisement: Match = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": ADVERTISEMENT}
    for heard in (arp, advertisement):
        yield Flow(Table.ROUTER_IN, RouterInPriority.NEIGHBOUR_REPLY, heard, _punt(HEARD))
    yield Flow(
        Table.ROUTER_IN, RouterInPriority.FAMILY, {"eth_type": IPV4}, (Goto(Table.ROUTER_IN.next),)
    )
    past_nat = (Goto(Table.ROUTER_NAT_IN_DONE.next),)
    yield Flow(Table.ROUTER_IN, RouterInPriority.FAMILY, {"eth_type": IPV6}, past_nat)

    yield Flow(Table.ROUTER_IN, RouterInPriority.MISS, {}, drop(NOT_IP))
    for never in nevers():
        yield Flow(Table.ROUTE, RoutePriority.NEVER_ROUTED, never, drop(OF_ONE_LINK))
    for _, eth_type in _FAMILIES:
        for ttl in (0, 1):
            match: Match = {"eth_type": eth_type, "ip_ttl": ttl}
            told = (*_punt(EXPIRED), *drop(TIME_IS_UP))
            yield Flow(Table.ROUTE, RoutePriority.TIME_IS_UP, match, told)
    yield Flow(Table.ROUTE, RoutePriority.MISS, {}, (*_punt(NO_ROUTE), *drop(UNROUTED)))
    yield Flow(Table.ROUTE_PATH, RoutePathPriority.MISS, {}, drop(UNFORESEEN))
    yield from echoes()
    yield Flow(Table.ROUTER_REPLY, RouterReplyPriority.MISS, {}, _punt(FOR_ITSELF))

    to_neighbours: Actions = (
        *(SetField(NEXT_HOP_MAC, version_bits(1)), SetField(OUT_PORT, 0)),
        *(Resubmit(Table.NEIGHBOURS), Goto(Table.NEXT_HOP_FOUND)),
    )
    yield Flow(Table.NEXT_HOP, NextHopPriority.MISS, {}, to_neighbours)
    larger: Match = {FLAGS: (LARGER, LARGER)}
    cut = (*_punt(TOO_BIG), *drop(TOO_LARGE))
    yield Flow(Table.NEXT_HOP, NextHopPriority.TOO_LARGE, larger, cut)
    on = Goto(Table.NEXT_HOP_FOUND.next)
    for _, eth_type in _FAMILIES:
        found: Match = {NEXT_HOP_MAC: FOUND, "eth_type": eth_type}
        yield Flow(Table.NEXT_HOP_FOUND, NextHopFoundPriority.FOUND, found, (*TO_NEXT_HOP, on))
    sought = (*_punt(UNRESOLVED), *drop(NO_NEIGHBOUR))
    yield Flow(Table.NEXT_HOP_FOUND, NextHopFoundPriority.MISS, {}, sought)

    again: Actions = (*_SENT, Resubmit(Table.ROUTER_ADMIT))
    # Not to a port of this switch: what leaves here says so, unless this is the router's home.
    elsewhere: Actions = (
        *(SetField("eth_src", routed_mac(switch)), Move(EXIT, "eth_src", 24)),
        *again,
    )
    for nowhere in (0, ROUTED):
        yield Flow(Table.ROUTER_OUT, RouterOutPriority.FROM_HERE, {OUT_PORT: nowhere}, elsewhere)
        yield Flow(
            Table.ROUTER_OUT,
            RouterOutPriority.AS_FLOATING,
            {OUT_PORT: nowhere, NAT: TRANSLATED},
            again,
        )
    yield Flow(Table.ROUTER_OUT, RouterOutPriority.MISS, {}, (*_SENT, Goto(Table.ROUTER_OUT.next)))


_SENT: Actions = (Move(EXIT, IN_PORT, 32), CLEAR_IN_PORT)
"""From now on it comes from the router's port, and may go wherever it came from."""


# --- one router ------------------------------------------------------------------------------


def compile_router(view: View, switch: int, router_id: str) -> Iterator[Item]:
    """Its MAC addresses, its own addresses, and its routes. One that is switched off has none, and
    packets for it are dropped."""
    router = view.get(Router, router_id)
    if router is None:
        return
    at_home, stands = is_primary(view, switch, router_id), is_ha_gateway(view, switch, router_id)
    for leg in router_interfaces(view, router_id):
        yield from entering(view, switch, router, leg, at_home or stands)
        if router.admin_state_up:
            shared = None if at_home else shared_snat_address(view, router)
            leave = leave_by_gateway(view, switch, router)
            yield from _own_addresses(router, leg, shared, leave if stands else None)
    if router.admin_state_up:
        yield from _routes(view, switch, router)
    if stands:
        yield from groups(view, switch, router)
    if at_home or stands:
        here: Match = {} if at_home else {FLAGS: (GATEWAY_HERE, GATEWAY_HERE)}
        for nowhere in (0, ROUTED):
            match: Match = {ROUTER: router.key, OUT_PORT: nowhere, **here}
            again = (*_SENT, Resubmit(Table.ROUTER_ADMIT))
            yield Flow(Table.ROUTER_OUT, RouterOutPriority.FROM_GATEWAY, match, again)


def _own_addresses(
    router: Router, leg: RouterInterface, shared: int | None, leave: Actions | None
) -> Iterator[Flow]:
    """``shared``: an address that stands for others, which the router's gateway must see first.
    ``leave``: how this one, which stands in for that, has it see them."""
    for ip in leg.port.fixed_ips:
        alone = _destination(ip.version, ip.address, BITS[ip.version])
        match: Match = {ROUTER: router.key, **alone}
        if ip.version == 6 and is_link_local(ip.address):
            match[ENTERED] = leg.port.key  # on another link it may be somebody else's
        is_shared = leg.gateway and ip.version == 4 and ip.address == shared
        if is_shared and leave is not None:
            elsewhere = {**match, FLAGS: (0, GATEWAY_HERE)}
            yield Flow(Table.ROUTE, RoutePriority.SHARED_ADDRESS, elsewhere, leave)
            is_shared = False
        if is_shared:
            yield Flow(Table.ROUTE, RoutePriority.OWN_ADDRESS, match, LEAVE_BY_GATEWAY)
        else:
            yield from for_itself(router, match)
    on_link: Match = {ROUTER: router.key, ENTERED: leg.port.key, "eth_type": IPV6}
    own = link_local(leg.port.mac)
    yield from for_itself(router, {**on_link, "ipv6_dst": own})
    # RFC 4291, 2.5.6: from link to link it is never routed, but the router answers on the link.
    neighbours = {**on_link, "ipv6_dst": LINK_LOCAL}
    yield Flow(Table.ROUTE, RoutePriority.LINK_LOCAL, neighbours, drop(OF_ONE_LINK))
    answers = {**neighbours, SOURCE: ITSELF}
    yield Flow(Table.ROUTE, RoutePriority.LINK_LOCAL_REPLY, answers, (*_out(leg), *_to_itself(6)))


def _out(leg: RouterInterface) -> Actions:
    return (
        *(SetField(NETWORK, leg.network.key), SetField(EXIT, leg.port.key)),
        SetField("eth_src", leg.port.mac),
    )


def _to_itself(version: int) -> Actions:
    """The destination is its own next hop."""
    if version == 4:
        is_primary = SetField(NEXT_HOP, mapped(4, 0))
        return (is_primary, Move("ipv4_dst", NEXT_HOP, 32), Goto(Table.ROUTE.next))
    return (Move("ipv6_dst", NEXT_HOP, 128), Goto(Table.ROUTE.next))


def _to(version: int, address: int) -> Actions:
    return (SetField(NEXT_HOP, mapped(version, address)), Goto(Table.ROUTE.next))


def _routes(view: View, switch: int, router: Router) -> Iterator[Flow]:
    """One flow a prefix, or two where what shares an address has to go to the router's gateway, or
    all that leaves a router that is not distributed."""
    at_home, stands = is_primary(view, switch, router.id), is_ha_gateway(view, switch, router.id)
    leave = leave_by_gateway(view, switch, router)
    largest = max((leg.network.mtu for leg in router_interfaces(view, router.id)), default=0)
    shared = shared_snat_address(view, router) is not None
    seen: set[tuple[int, int, int]] = set()
    for (version, first, length), ways in _table(view, router):
        if (version, first, length) in seen:
            continue
        seen.add((version, first, length))
        match: Match = {ROUTER: router.key, **_destination(version, first, length)}
        outside = any(leg.gateway for leg, _ in ways)
        may_leave = (router.distributed or stands) and _reaches(view, switch, ways)
        if outside and not (at_home or may_leave):
            yield Flow(Table.ROUTE, RoutePriority.PREFIX[length], match, LEAVE_BY_GATEWAY)
            continue
        sources: tuple[Match, ...] = ({},)
        if outside and not (at_home or router.distributed):
            other_gateways: Match = {**match, FLAGS: (0, GATEWAY_HERE)}
            yield Flow(Table.ROUTE, RoutePriority.EXCEPTION[length], other_gateways, leave)
            sources = ({FLAGS: (GATEWAY_HERE, GATEWAY_HERE)},)
        elif outside and version == 4 and shared and not at_home:
            from_inside: Match = {**match, SOURCE: INSIDE}
            if own_gateway_address(
                view, switch, router.id
            ):  # its own ports' packets it translates itself
                from_inside[FLAGS] = (PINNED, PINNED | GATEWAY_HERE)
            elif stands:
                from_inside[FLAGS] = (0, GATEWAY_HERE)
            yield Flow(Table.ROUTE, RoutePriority.EXCEPTION[length], from_inside, leave)
            sources = ({SOURCE: (FLOATING, FLOATING)}, {SOURCE: (ITSELF, ITSELF)})  # and OUTSIDE
        yield from _route(match, length, version, ways, largest, sources)
        for leg, nexthop in ways:
            if nexthop is None and not leg.gateway:
                yield from apart(view, router, leg, (version, first, length), match)


def _table(
    view: View, router: Router
) -> Iterator[tuple[tuple[int, int, int], list[tuple[RouterInterface, int | None]]]]:
    """Prefixes (version, first address, length), each with its ways: by which leg, and over which
    router (None: the destination is on the link). What is on a link comes before other routes to
    the same prefix."""
    every = router_interfaces(view, router.id)
    for leg in every:
        for subnet in leg.subnets:
            yield (subnet.version, subnet.first, subnet.prefix_length), [(leg, None)]
    static: dict[tuple[int, int, int], list[NextHop]] = {}
    for hop in next_hops(view, router):
        static.setdefault(hop.prefix, []).append(hop)
    for prefix in sorted(static):
        yield prefix, [(hop.leg, hop.address) for hop in alive(view, static[prefix])]


def _reaches(view: View, switch: int, ways: Iterable[tuple[RouterInterface, int | None]]) -> bool:
    return all(switch in switches_at(view, leg.network.id) for leg, _ in ways if leg.gateway)


def _route(
    match: Match,
    length: int,
    version: int,
    ways: list[tuple[RouterInterface, int | None]],
    largest: int,
    sources: tuple[Match, ...],
) -> Iterator[Flow]:
    if len(ways) == 1:
        yield Flow(
            Table.ROUTE,
            RoutePriority.PREFIX[length],
            match,
            _next_hop_actions(version, *ways[0], largest),
        )
        return
    on = Goto(Table.ROUTE_PATH)
    yield Flow(Table.ROUTE, RoutePriority.PREFIX[length], match, (Multipath(len(ways), PATH), on))
    # A packet's fragments take one way: only the first has ports.
    together = (Multipath(len(ways), PATH, ports=False), on)
    for source in sources:
        cut = {**match, **source, "ip_frag": FRAGMENT}
        yield Flow(Table.ROUTE, RoutePriority.EXCEPTION[length], cut, together)
    for number, way in enumerate(ways):
        actions = _next_hop_actions(version, *way, largest)
        yield Flow(
            Table.ROUTE_PATH, RoutePathPriority.PREFIX[length], {**match, PATH: number}, actions
        )


def _next_hop_actions(
    version: int, leg: RouterInterface, nexthop: int | None, largest: int
) -> Actions:
    mtu = leg.network.mtu
    check: Actions = (CheckLarger(mtu + ETHERNET, FLAGS),) if mtu < largest else ()
    translate: Actions = (SetField(NAT, TRANSLATE),) if leg.gateway and version == 4 else ()
    to = _to_itself(version) if nexthop is None else _to(version, nexthop)
    return (*check, *translate, *_out(leg), *to)
