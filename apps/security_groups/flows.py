# SPDX-License-Identifier: Apache-2.0

"""Flows of security groups that are the same for all of them: the way of a packet past its judges.

::

    FROM_PORT_CT    who sends, in which zone        TO_PORT_CT      who receives, in which zone
    FROM_PORT_TRACK look the connection up          TO_PORT_TRACK   likewise, if nobody did here
    FROM_PORT_ACL   which rules are to be asked     TO_PORT_ACL     likewise
    FROM_PORT_VERDICT                               TO_PORT_VERDICT commit what is new

Both ask SG_POLICY, MEMBERS and RULES, whose flows are in ``members.py`` and ``rules.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.firewall.tables import judged
from tenantry.apps.routing.tables import RouterInPriority
from tenantry.apps.security_groups import connection_limits, exempt, zones
from tenantry.apps.security_groups.connection_limits import COMMIT
from tenantry.apps.security_groups.tables import (
    ADDRESS_GROUP,
    ALLOWED,
    EGRESS,
    ENTERING,
    FAR_ADDRESS,
    INGRESS,
    INVALID_ENTERING,
    INVALID_LEAVING,
    LEAVING,
    NO_EGRESS_RULE,
    NO_FLOWS_YET_ENTERING,
    NO_FLOWS_YET_LEAVING,
    NO_INGRESS_RULE,
    NOT_IP_ENTERING,
    NOT_IP_LEAVING,
    PEER_IDENTITY,
    PORT_TO_IDENTIFY,
    REMOTE_GROUP,
    SECURED,
    SUBJECT_IDENTITY,
    TRACKED,
    ZONE,
    MembersPriority,
    PortCtPriority,
    SgIdentityPriority,
    TrackPriority,
)
from tenantry.controller.model import View
from tenantry.controller.network.conntrack import LOOKED_UP, NEW, REPLY, by_state
from tenantry.controller.network.priorities import JudgePriority, VerdictPriority
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.drops import Cause, drop
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    Actions,
    Ct,
    CtClear,
    Flow,
    Goto,
    Match,
    Move,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.pipeline import (
    IN_PORT,
    ORIGIN_PORT,
    OUT_PORT,
    RULE_DIRECTION,
    TENANT,
    VERDICT,
    Table,
)
from tenantry.controller.packets.addresses import LINK_LOCAL, mapped
from tenantry.controller.packets.frames import IPV4, IPV6

_IS_TRACKED: Match = {SUBJECT_IDENTITY: (TRACKED, TRACKED)}


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """The flows of a switch that depend on no group."""
    yield Flow(Table.SG_IDENTITY, SgIdentityPriority.MISS, {}, (SetField(PORT_TO_IDENTIFY, 0),))
    yield from zones.compile_common()
    for way, end in ((LEAVING, "dst"), (ENTERING, "src")):
        for version, eth_type, bits in ((4, IPV4, 32), (6, IPV6, 128)):
            whole = (SetField(FAR_ADDRESS, mapped(4, 0)),) if version == 4 else ()
            move = Move(f"ipv{version}_{end}", FAR_ADDRESS, bits)
            match: Match = {RULE_DIRECTION: way, "eth_type": eth_type}
            yield Flow(Table.FAR_END, OneRung.ORDINARY, match, (*whole, move))
    # Addresses of a link say nothing of who has them elsewhere: no remote group means them. Rules
    # may, by prefix.
    of_group: Match = {REMOTE_GROUP: (0, ADDRESS_GROUP), FAR_ADDRESS: LINK_LOCAL}
    yield Flow(Table.MEMBERS, MembersPriority.LINK_LOCAL, of_group, ())
    yield from _from_port()
    yield from _to_router()
    yield from _to_port()
    yield from connection_limits.compile_common()


def _from_port() -> Iterator[Flow]:
    table = Table.FROM_PORT_CT
    on = Goto(table.next)
    yield from exempt.compile_from_port(table)
    yield Flow(
        table,
        PortCtPriority.ORDINARY,
        {IN_PORT: TENANT},
        (
            *(
                Move(IN_PORT, ORIGIN_PORT, 32),
                Move(IN_PORT, PORT_TO_IDENTIFY, 32),
                *_identify(SUBJECT_IDENTITY),
            ),
            *zones.zone_of(LEAVING),
            Goto(Table.FROM_PORT_TRACK),
        ),
    )
    track = Table.FROM_PORT_TRACK
    yield from _track(track, Table.FROM_PORT_ACL, NOT_IP_LEAVING)
    nobody: Match = {SUBJECT_IDENTITY: 0}
    yield Flow(track, TrackPriority.NO_FLOWS_YET, nobody, drop(NO_FLOWS_YET_LEAVING))

    acl = Table.FROM_PORT_ACL
    where = SetField(RULE_DIRECTION, LEAVING[0])
    yield from by_state(acl, on, _IS_TRACKED, where, INVALID_LEAVING)
    # The answer to what PEER_IDENTITY had asked: this port's ingress rules had let it in.
    answers: Actions = (
        SetField(RULE_DIRECTION, INGRESS[0] | LEAVING[0]),
        Move("ct_mark", PORT_TO_IDENTIFY, 32),
    )
    verdict = Goto(Table.FROM_PORT_VERDICT)
    yield Flow(
        acl,
        JudgePriority.REPLY,
        _REPLIES,
        (*answers, *_identify(PEER_IDENTITY), *_judge(IN_PORT, ingress=True), verdict),
    )
    begun: Actions = (SetField(RULE_DIRECTION, EGRESS[0] | LEAVING[0]), SetField(PEER_IDENTITY, 0))
    yield Flow(acl, JudgePriority.MISS, {}, (*begun, *_judge(IN_PORT, ingress=False), verdict))

    # It becomes known in the end, if the other end lets it in; or where a router takes it.
    yield Flow(
        Table.FROM_PORT_VERDICT, VerdictPriority.NEW, {**_ALLOWED, "ct_state": NEW}, (_LOG, on)
    )
    yield Flow(Table.FROM_PORT_VERDICT, VerdictPriority.ALLOWED, _ALLOWED, (on,))
    no_rule = (_LOG, *drop(NO_EGRESS_RULE))
    yield Flow(Table.FROM_PORT_VERDICT, VerdictPriority.MISS, {}, no_rule)


def _to_router() -> Iterator[Flow]:
    """What a router gets may leave it changed, or be answered by it: what begins is known from here
    on. And what connection tracking has said then of what is new is NAT's, and nobody else's."""
    entered = Resubmit(Table.ROUTER_IN)
    yield Flow(Table.ROUTER_IN, RouterInPriority.COMMIT, {"ct_state": NEW}, (COMMIT, entered))
    yield _anew(Table.ROUTER_IN, RouterInPriority.COMMITTED, entered)


def _to_port() -> Iterator[Flow]:
    table = Table.TO_PORT_CT
    on = Goto(table.next)
    yield from exempt.compile_to_port(table)
    yield Flow(
        table,
        PortCtPriority.ORDINARY,
        {},
        (
            *(Move(OUT_PORT, PORT_TO_IDENTIFY, 32), *_identify(SUBJECT_IDENTITY)),
            *zones.zone_of(ENTERING),
            Goto(Table.TO_PORT_TRACK),
        ),
    )
    yield _anew(table, PortCtPriority.COMMITTED, Resubmit(table))
    track = Table.TO_PORT_TRACK
    yield from _track(track, Table.TO_PORT_ACL, NOT_IP_ENTERING)
    # Before another zone is asked, what begins becomes known in the one where it was looked up.
    lookup = Ct(str(ZONE), Table.TO_PORT_ACL)
    for eth_type in (IPV4, IPV6):
        begins: Match = {**_IS_TRACKED, "ct_state": NEW, "eth_type": eth_type}
        yield Flow(track, TrackPriority.COMMIT_FIRST, begins, (COMMIT, lookup))
    nobody: Match = {SUBJECT_IDENTITY: 0, OUT_PORT: TENANT}
    yield Flow(track, TrackPriority.NO_FLOWS_YET, nobody, drop(NO_FLOWS_YET_ENTERING))
    # Nobody judges there, but the connection that a port here has begun is to be known.
    leaves: Match = {SUBJECT_IDENTITY: (0, SECURED), "ct_state": NEW}
    yield Flow(track, TrackPriority.LEAVES, leaves, (COMMIT, on))

    acl = Table.TO_PORT_ACL
    where = SetField(RULE_DIRECTION, ENTERING[0])
    yield from by_state(acl, on, _IS_TRACKED, where, INVALID_ENTERING)
    answers: Actions = (
        SetField(RULE_DIRECTION, EGRESS[0] | ENTERING[0]),
        SetField(PEER_IDENTITY, 0),
    )
    verdict = Goto(Table.TO_PORT_VERDICT)
    yield Flow(
        acl, JudgePriority.REPLY, _REPLIES, (*answers, *_judge(OUT_PORT, ingress=False), verdict)
    )
    begun: Actions = (
        SetField(RULE_DIRECTION, INGRESS[0] | ENTERING[0]),
        Move(ORIGIN_PORT, PORT_TO_IDENTIFY, 32),
    )
    yield Flow(
        acl,
        JudgePriority.MISS,
        {},
        (*begun, *_identify(PEER_IDENTITY), *_judge(OUT_PORT, ingress=True), verdict),
    )

    new: Match = {**_ALLOWED, "ct_state": NEW}
    yield Flow(Table.TO_PORT_VERDICT, VerdictPriority.COMMIT, new, (_LOG, COMMIT, on))
    yield Flow(Table.TO_PORT_VERDICT, VerdictPriority.ALLOWED, _ALLOWED, (on,))
    no_rule = (_LOG, *drop(NO_INGRESS_RULE))
    yield Flow(Table.TO_PORT_VERDICT, VerdictPriority.MISS, {}, no_rule)


_ALLOWED: Match = {VERDICT: (ALLOWED, ALLOWED)}
_REPLIES: Match = {**_IS_TRACKED, "ct_state": REPLY}


def _anew(table: Table, priority: int, again: Resubmit) -> Flow:
    """A router has committed what began before it."""
    routed: Match = {"in_port": CONTROLLER, "ct_state": NEW}
    return Flow(table, priority, routed, (CtClear(), again))


_LOG = Resubmit(Table.LOG)


def _judge(port: str, *, ingress: bool) -> Actions:
    """Ask the groups of the port, and its firewall."""
    return (SetField(VERDICT, 0), Resubmit(Table.SG_POLICY), *judged(port, ingress=ingress))


def _identify(field: str) -> Actions:
    """The identity of the port whose key is in PORT_TO_IDENTIFY."""
    return (Resubmit(Table.SG_IDENTITY), Move(PORT_TO_IDENTIFY, field, 32))


def _track(table: Table, acl: Table, not_ip: Cause) -> Iterator[Flow]:
    """On to the judge, by way of connection tracking where there is need. What is neither ARP nor
    IP has no rules, and does not pass."""
    lookup = (Ct(str(ZONE), acl),)
    for one in LOOKED_UP:
        match: Match = {**_IS_TRACKED, **one}
        yield Flow(table, TrackPriority.LOOK_UP, match, lookup)
    secured: Match = {SUBJECT_IDENTITY: (SECURED, SECURED)}
    for eth_type in (IPV4, IPV6):
        yield Flow(table, TrackPriority.UNTRACKED, {**secured, "eth_type": eth_type}, (Goto(acl),))
    yield Flow(table, TrackPriority.NOT_IP, secured, drop(not_ip))
