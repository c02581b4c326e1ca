"""Flows of security groups that are the same for all of them: the way of a packet past its judges.

::

    FROM_PORT_CT    who sends, in which zone        TO_PORT_CT      who receives, in which zone
    FROM_PORT_TRACK look the connection up          TO_PORT_TRACK   likewise, if nobody did here
    FROM_PORT_ACL   which rules are to be asked     TO_PORT_ACL     likewise
    FROM_PORT_VERDICT                               TO_PORT_VERDICT commit what is new

Both ask GROUP, MEMBERS and RULES, whose flows are in ``members.py`` and ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from apps.security_groups.members import ADDRESS_GROUP
from controller.flow import (
    Action,
    Ct,
    Flow,
    Goto,
    Move,
    Resubmit,
    SetField,
    Value,
)
from controller.frames import ARP, ICMPV6, IPV4, IPV6, UDP
from controller.model import FloatingIp, Network, Port, Router, View, networks_with_ports
from controller.model.addresses import LINK_LOCAL, mapped
from controller.model.routers import legs, routers_in
from controller.pipeline import (
    ALLOWED,
    EGRESS,
    ENTERING,
    FAR_ADDRESS,
    FAR_MAC,
    IN_PORT,
    INGRESS,
    KNOWN_ZONE,
    LEAVING,
    LOCAL,
    MEMBER,
    NETWORK,
    ORIGIN,
    OUT_PORT,
    PEER,
    REMOTE,
    SECURED,
    TENANT,
    TRACKED,
    VERDICT,
    WAY,
    ZONE,
    Band,
    Table,
    Zone,
)
from controller.tracking import NEW, REPLY, TRACKABLE, by_state, committed, judged

Match = dict[str, Value]
Actions = tuple[Action, ...]

ROUTER_ADVERTISEMENT = 134
NEIGHBOUR_DISCOVERY = (130, 131, 132, 133, 135, 136, 143)
"""Without these there is no IPv6: RFC 4861, and MLD (RFC 2710, RFC 3810). What they may say is for
port security."""

_DHCP = ((IPV4, 68, 67), (IPV6, 546, 547))  # RFC 2131; RFC 8415, 7.2: client, server
_IS_TRACKED: Match = {LOCAL: (TRACKED, TRACKED)}


def compile_all(view: View, switch: int, id: str) -> Iterator[Flow]:
    """The flows of a switch that depend on no group."""
    yield Flow(Table.GROUPS, Band.MISS, {}, (SetField(MEMBER, 0),))
    yield Flow(Table.ZONES, Band.MISS, {}, (SetField(ZONE, 0),))
    for way, end in ((LEAVING, "dst"), (ENTERING, "src")):
        for version, eth_type, bits in ((4, IPV4, 32), (6, IPV6, 128)):
            whole = (SetField(FAR_ADDRESS, mapped(4, 0)),) if version == 4 else ()
            move = Move(f"ipv{version}_{end}", FAR_ADDRESS, bits)
            match: Match = {WAY: way, "eth_type": eth_type}
            yield Flow(Table.FAR_END, Band.DEFAULT, match, (*whole, move))
    # Addresses of a link say nothing of who has them elsewhere: no remote group means them. Rules
    # may, by prefix.
    of_group: Match = {REMOTE: (0, ADDRESS_GROUP), FAR_ADDRESS: LINK_LOCAL}
    yield Flow(Table.MEMBERS, Band.GUARD, of_group, ())
    yield from _from_port()
    yield from _to_port()


def _from_port() -> Iterator[Flow]:
    table = Table.FROM_PORT_CT
    on = Goto(table.next)
    yield from _exempt(table, NEIGHBOUR_DISCOVERY, client_sends=True)
    yield Flow(
        table,
        Band.DEFAULT,
        {IN_PORT: TENANT},
        (
            *(Move(IN_PORT, ORIGIN, 32), Move(IN_PORT, MEMBER, 32), *_identify(LOCAL)),
            *_zone("eth_dst"),
            Goto(Table.FROM_PORT_TRACK),
        ),
    )
    yield from _track(Table.FROM_PORT_TRACK, Table.FROM_PORT_ACL, {})
    yield Flow(Table.FROM_PORT_TRACK, Band.GUARD, {LOCAL: 0}, ())

    acl = Table.FROM_PORT_ACL
    yield from by_state(acl, on, _IS_TRACKED)
    # The answer to a question that PEER had asked: this port's ingress rules had let it in.
    answers: Actions = (SetField(WAY, INGRESS[0] | LEAVING[0]), Move("ct_mark", MEMBER, 32))
    verdict = Goto(Table.FROM_PORT_VERDICT)
    yield Flow(
        acl,
        Band.DEFAULT,
        _REPLIES,
        (*answers, *_identify(PEER), *_judge(IN_PORT, ingress=True), verdict),
    )
    begun: Actions = (SetField(WAY, EGRESS[0] | LEAVING[0]), SetField(PEER, 0))
    yield Flow(acl, Band.MISS, {}, (*begun, *_judge(IN_PORT, ingress=False), verdict))

    # What goes to a router may leave by it changed, or be answered by it: it is known from here on.
    # What stays in the network becomes known in the end, if the other end lets it in.
    new: Match = {**_ALLOWED, "ct_state": NEW}
    routed: Match = {**new, ZONE: (0, Zone.BRIDGED[1])}
    yield from _committing(Table.FROM_PORT_VERDICT, routed, _LOG, on)
    yield Flow(Table.FROM_PORT_VERDICT, Band.DEFAULT + 1, new, (_LOG, on))
    yield Flow(Table.FROM_PORT_VERDICT, Band.DEFAULT, _ALLOWED, (on,))
    yield Flow(Table.FROM_PORT_VERDICT, Band.MISS, {}, (_LOG,))


def _to_port() -> Iterator[Flow]:
    table = Table.TO_PORT_CT
    on = Goto(table.next)
    yield from _exempt(table, (*NEIGHBOUR_DISCOVERY, ROUTER_ADVERTISEMENT), client_sends=False)
    yield Flow(
        table,
        Band.DEFAULT,
        {},
        (
            *(Move(OUT_PORT, MEMBER, 32), *_identify(LOCAL)),
            *_zone("eth_src"),
            Goto(Table.TO_PORT_TRACK),
        ),
    )
    known: Match = {ZONE: (KNOWN_ZONE, KNOWN_ZONE)}
    yield from _track(Table.TO_PORT_TRACK, Table.TO_PORT_ACL, known)
    unknown: Match = {LOCAL: 0, OUT_PORT: TENANT}
    yield Flow(Table.TO_PORT_TRACK, Band.GUARD, unknown, ())
    # Nobody judges there, but the connection that a port here has begun is to be known.
    leaves: Match = {LOCAL: (0, SECURED), **known, "ct_state": NEW}
    yield from _committing(Table.TO_PORT_TRACK, leaves, on)

    acl = Table.TO_PORT_ACL
    yield from by_state(acl, on, _IS_TRACKED)
    answers: Actions = (SetField(WAY, EGRESS[0] | ENTERING[0]), SetField(PEER, 0))
    verdict = Goto(Table.TO_PORT_VERDICT)
    yield Flow(acl, Band.DEFAULT, _REPLIES, (*answers, *_judge(OUT_PORT, ingress=False), verdict))
    begun: Actions = (SetField(WAY, INGRESS[0] | ENTERING[0]), Move(ORIGIN, MEMBER, 32))
    yield Flow(
        acl,
        Band.MISS,
        {},
        (*begun, *_identify(PEER), *_judge(OUT_PORT, ingress=True), verdict),
    )

    new: Match = {**_ALLOWED, "ct_state": NEW}
    yield from _committing(Table.TO_PORT_VERDICT, new, _LOG, on)
    yield Flow(Table.TO_PORT_VERDICT, Band.DEFAULT, _ALLOWED, (on,))
    yield Flow(Table.TO_PORT_VERDICT, Band.MISS, {}, (_LOG,))


_ALLOWED: Match = {VERDICT: (ALLOWED, ALLOWED)}
_REPLIES: Match = {**_IS_TRACKED, "ct_state": REPLY}
_COMMIT = committed(str(ZONE))


def _committing(table: Table, match: Match, *actions: Action) -> Iterator[Flow]:
    *first, on = actions
    for eth_type in (IPV4, IPV6):
        whole = {**match, "eth_type": eth_type}
        yield Flow(table, Band.SPECIFIC, whole, (*first, _COMMIT, on))


_LOG = Resubmit(Table.LOG)


def _judge(port: str, *, ingress: bool) -> Actions:
    """Ask the groups of the port, and its firewall."""
    return (SetField(VERDICT, 0), Resubmit(Table.GROUP), *judged(port, ingress=ingress))


def _identify(field: str) -> Actions:
    """The identity of the port whose key is in MEMBER."""
    return (Resubmit(Table.GROUPS), Move(MEMBER, field, 32))


def _zone(field: str) -> Actions:
    return (SetField(FAR_MAC, 0), Move(field, FAR_MAC, 48), Resubmit(Table.ZONES))


def _exempt(table: Table, types: tuple[int, ...], *, client_sends: bool) -> Iterator[Flow]:
    on = (Goto(table.next),)
    yield Flow(table, Band.SPECIFIC, {"eth_type": ARP}, on)
    for kind in types:
        match: Match = {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind}
        yield Flow(table, Band.SPECIFIC, match, on)
    for eth_type, client, server in _DHCP:
        source, destination = (client, server) if client_sends else (server, client)
        match = {"eth_type": eth_type, "ip_proto": UDP}
        yield Flow(table, Band.SPECIFIC, {**match, "udp_src": source, "udp_dst": destination}, on)


def _track(table: Table, acl: Table, known: Match) -> Iterator[Flow]:
    """On to the judge, by way of connection tracking where there is need. What is neither ARP nor
    IP has no rules, and does not pass."""
    lookup = (Ct(str(ZONE), acl),)
    for eth_type, protocol in TRACKABLE:
        match: Match = {**_IS_TRACKED, "eth_type": eth_type, "ip_proto": protocol}
        yield Flow(table, Band.SPECIFIC, match, lookup)
        if known:
            yield Flow(table, Band.SPECIFIC + 1, {**match, **known}, (Goto(acl),))
    secured: Match = {LOCAL: (SECURED, SECURED)}
    for eth_type in (IPV4, IPV6):
        yield Flow(table, Band.DEFAULT + 1, {**secured, "eth_type": eth_type}, (Goto(acl),))
    yield Flow(table, Band.DEFAULT, secured, ())


# --- zones -----------------------------------------------------------------------------------


def compile_zones(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """In a network connections are tracked in its zone; between its hosts and a router, or what
    the router leads to, in the router's, so that both ends of a routed packet find the same."""
    network = view.get(Network, network_id)
    if network is None:
        return
    yield from _in_zone({NETWORK: network.key}, Band.DEFAULT, Zone.bridged(network.key))
    for router_id in sorted(routers_in(view, network_id)):
        router = view.get(Router, router_id)
        if router is None:
            continue
        for leg in legs(view, router_id):
            if leg.network.id == network_id:
                there: Match = {NETWORK: network.key, FAR_MAC: leg.port.mac}
                yield from _in_zone(there, Band.SPECIFIC, Zone.routed(router.key))


def floating_ips_beside(view: View, switch: int) -> frozenset[str]:
    """The floating IPs on networks that have ports of their own on a switch."""
    networks = networks_with_ports(view, switch)
    return frozenset[str]().union(*(view.ids(FloatingIp, network_id=id) for id in networks))


def compile_floating(view: View, switch: int, id: str) -> Iterator[Flow]:
    """A floating IP's MAC address is its router's, to who is on the network outside."""
    floating = view.get(FloatingIp, id)
    network = view.get(Network, floating.network_id) if floating else None
    port = view.get(Port, floating.port_id) if floating else None
    router = view.get(Router, floating.router_id) if floating else None
    if network is not None and port is not None and router is not None:
        there: Match = {NETWORK: network.key, FAR_MAC: port.mac}
        yield from _in_zone(there, Band.SPECIFIC, Zone.routed(router.key))


def _in_zone(match: Match, priority: int, zone: int) -> Iterator[Flow]:
    yield Flow(Table.ZONES, priority, match, (SetField(ZONE, zone),))
    known = SetField(ZONE, zone | KNOWN_ZONE)
    yield Flow(Table.ZONES, priority + 1, {**match, "ct_zone": zone}, (known,))
