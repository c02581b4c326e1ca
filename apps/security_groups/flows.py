# SPDX-License-Identifier: Apache-2.0

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

from tenantry.apps.security_groups import connections, exempt, zones
from tenantry.apps.security_groups.connections import COMMIT
from tenantry.apps.security_groups.members import ADDRESS_GROUP
from tenantry.controller.model import View
from tenantry.controller.network.conntrack import LOOKED_UP, NEW, REPLY, by_state, judged
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    Action,
    Ct,
    CtClear,
    Flow,
    Goto,
    Move,
    Resubmit,
    SetField,
    Value,
)
from tenantry.controller.openflow.pipeline import (
    ALLOWED,
    EGRESS,
    ENTERING,
    FAR_ADDRESS,
    IN_PORT,
    INGRESS,
    LEAVING,
    LOCAL,
    MEMBER,
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
)
from tenantry.controller.packets.addresses import LINK_LOCAL, mapped
from tenantry.controller.packets.frames import IPV4, IPV6

Match = dict[str, Value]
Actions = tuple[Action, ...]

_IS_TRACKED: Match = {LOCAL: (TRACKED, TRACKED)}


def compile_all(view: View, switch: int, id: str) -> Iterator[Flow]:
    """The flows of a switch that depend on no group."""
    yield Flow(Table.GROUPS, Band.MISS, {}, (SetField(MEMBER, 0),))
    yield from zones.compile_all()
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
    yield from _to_router()
    yield from _to_port()
    yield from connections.compile_common()


def _from_port() -> Iterator[Flow]:
    table = Table.FROM_PORT_CT
    on = Goto(table.next)
    yield from exempt.compile_from_port(table)
    yield Flow(
        table,
        Band.DEFAULT,
        {IN_PORT: TENANT},
        (
            *(Move(IN_PORT, ORIGIN, 32), Move(IN_PORT, MEMBER, 32), *_identify(LOCAL)),
            *zones.zone_of(LEAVING),
            Goto(Table.FROM_PORT_TRACK),
        ),
    )
    yield from _track(Table.FROM_PORT_TRACK, Table.FROM_PORT_ACL)
    yield Flow(Table.FROM_PORT_TRACK, Band.GUARD, {LOCAL: 0}, ())

    acl = Table.FROM_PORT_ACL
    yield from by_state(acl, on, _IS_TRACKED, SetField(WAY, LEAVING[0]))
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

    # It becomes known in the end, if the other end lets it in; or where a router takes it.
    yield Flow(Table.FROM_PORT_VERDICT, Band.DEFAULT + 1, {**_ALLOWED, "ct_state": NEW}, (_LOG, on))
    yield Flow(Table.FROM_PORT_VERDICT, Band.DEFAULT, _ALLOWED, (on,))
    yield Flow(Table.FROM_PORT_VERDICT, Band.MISS, {}, (_LOG,))


def _to_router() -> Iterator[Flow]:
    """What a router gets may leave it changed, or be answered by it: what begins is known from here
    on. And what connection tracking has said then of what is new is NAT's, and nobody else's."""
    entered = Resubmit(Table.ROUTER_IN)
    yield Flow(Table.ROUTER_IN, Band.GUARD, {"ct_state": NEW}, (COMMIT, entered))
    yield _anew(Table.ROUTER_IN, entered)


def _to_port() -> Iterator[Flow]:
    table = Table.TO_PORT_CT
    on = Goto(table.next)
    yield from exempt.compile_to_port(table)
    yield Flow(
        table,
        Band.DEFAULT,
        {},
        (
            *(Move(OUT_PORT, MEMBER, 32), *_identify(LOCAL)),
            *zones.zone_of(ENTERING),
            Goto(Table.TO_PORT_TRACK),
        ),
    )
    yield _anew(table, Resubmit(table))
    track = Table.TO_PORT_TRACK
    yield from _track(track, Table.TO_PORT_ACL)
    # Before another zone is asked, what begins becomes known in the one where it was looked up.
    lookup = Ct(str(ZONE), Table.TO_PORT_ACL)
    for eth_type in (IPV4, IPV6):
        begins: Match = {**_IS_TRACKED, "ct_state": NEW, "eth_type": eth_type}
        yield Flow(track, Band.SPECIFIC + 1, begins, (COMMIT, lookup))
    yield Flow(track, Band.GUARD, {LOCAL: 0, OUT_PORT: TENANT}, ())
    # Nobody judges there, but the connection that a port here has begun is to be known.
    leaves: Match = {LOCAL: (0, SECURED), "ct_state": NEW}
    yield Flow(track, Band.SPECIFIC, leaves, (COMMIT, on))

    acl = Table.TO_PORT_ACL
    yield from by_state(acl, on, _IS_TRACKED, SetField(WAY, ENTERING[0]))
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
    yield Flow(Table.TO_PORT_VERDICT, Band.SPECIFIC, new, (_LOG, COMMIT, on))
    yield Flow(Table.TO_PORT_VERDICT, Band.DEFAULT, _ALLOWED, (on,))
    yield Flow(Table.TO_PORT_VERDICT, Band.MISS, {}, (_LOG,))


_ALLOWED: Match = {VERDICT: (ALLOWED, ALLOWED)}
_REPLIES: Match = {**_IS_TRACKED, "ct_state": REPLY}


def _anew(table: Table, again: Resubmit) -> Flow:
    """A router has committed what began before it."""
    routed: Match = {"in_port": CONTROLLER, "ct_state": NEW}
    return Flow(table, Band.GUARD + 1, routed, (CtClear(), again))


_LOG = Resubmit(Table.LOG)


def _judge(port: str, *, ingress: bool) -> Actions:
    """Ask the groups of the port, and its firewall."""
    return (SetField(VERDICT, 0), Resubmit(Table.GROUP), *judged(port, ingress=ingress))


def _identify(field: str) -> Actions:
    """The identity of the port whose key is in MEMBER."""
    return (Resubmit(Table.GROUPS), Move(MEMBER, field, 32))


def _track(table: Table, acl: Table) -> Iterator[Flow]:
    """On to the judge, by way of connection tracking where there is need. What is neither ARP nor
    IP has no rules, and does not pass."""
    lookup = (Ct(str(ZONE), acl),)
    for one in LOOKED_UP:
        match: Match = {**_IS_TRACKED, **one}
        yield Flow(table, Band.SPECIFIC, match, lookup)
    secured: Match = {LOCAL: (SECURED, SECURED)}
    for eth_type in (IPV4, IPV6):
        yield Flow(table, Band.DEFAULT + 1, {**secured, "eth_type": eth_type}, (Goto(acl),))
    yield Flow(table, Band.DEFAULT, secured, ())
