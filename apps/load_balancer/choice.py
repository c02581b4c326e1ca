# SPDX-License-Identifier: Apache-2.0

"""Which member a connection gets that begins: flows of LB_SPLIT and LB_MEMBER.

ROUND_ROBIN (and SOURCE_IP_PORT) cut the space of the client's ports into parts (see ``split.py``),
each of which is a member's. SOURCE_IP hashes the client's address over the slots of a pool, so that
nobody else's member changes when one is out of rotation or comes back; the clients of who is out
are hashed over those who are in.

With session persistence, switches learn which member a client's address was led to (LB_STICKY), and
forget it when it has begun nothing for so long, or when the member is out of rotation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.load_balancer.records import (
    SCTP,
    SOURCE_IP,
    UDP,
    UNLIMITED,
    Listener,
    Member,
    Pool,
    in_rotation,
)
from tenantry.apps.load_balancer.split import Row, Split, cut, parts, split
from tenantry.apps.load_balancer.tables import (
    AMONG_THE_OTHERS,
    BY_SLOT,
    OF_SIX,
    PART,
    POOL,
    UNEQUAL,
    MemberPriority,
    SplitPriority,
)
from tenantry.controller.model import View, derived, parse
from tenantry.controller.network.conntrack import NEW
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Ct,
    Flow,
    Goto,
    Learn,
    Limit,
    Match,
    Meter,
    Multipath,
    Nat,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Cookie, MeterUse
from tenantry.controller.openflow.oxm import Leading
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.packets.addresses import BITS
from tenantry.controller.packets.frames import IPV4, IPV6

ETH_TYPES = {4: IPV4, 6: IPV6}
"""By IP version."""

COMMON_SPLITS = range(2, 17)
"""Numbers of equal parts whose rows are wherever there are load balancers: a member more is then a
matter of its own flows."""


def by_source(pool: Pool) -> bool:
    """Whether a client's address alone says which member it gets."""
    return pool.lb_algorithm == SOURCE_IP


@derived
def members_in(view: View, pool_id: str, version: int) -> dict[int, Member]:
    """Those in rotation that have an address of a family, by slot."""
    return {m.slot: m for m in in_rotation(view, pool_id) if m.version == version}


@derived
def split_of(view: View, pool_id: str, version: int) -> Split | None:
    """Who has which part of a pool's connections; None: nobody is there."""
    weights = {slot: m.weight for slot, m in members_in(view, pool_id, version).items()}
    return split(weights) if weights else None


def _slots(view: View, pool_id: str, version: int) -> int:
    """The slots of a pool that somebody has, in rotation or not, and those below."""
    found = view.find(Member, pool_id=pool_id)
    return 1 + max((m.slot for m in found if m.version == version), default=-1)


def _number(pool: Pool, version: int) -> int:
    return pool.key | (OF_SIX if version == 6 else 0)


def _split_number(pool: Pool, version: int, found: Split) -> int:
    equal = set(found.shares) == {1}
    return len(found.shares) if equal else UNEQUAL | _number(pool, version)


def choose(
    view: View, pool: Pool | None, version: int, *, by_port: bool = True, bits: int = 0
) -> Actions | None:
    """What leads a connection that begins to one of a pool's members, by way of LB_MEMBER; None if
    there is none. Without ``by_port``, as fragments have none, the client's address says which.
    ``bits``: of POOL, besides."""
    found = split_of(view, pool.id, version) if pool else None
    if pool is None or found is None:
        return None
    which = SetField(POOL, _number(pool, version) | bits)
    if by_source(pool):
        part: tuple[Action, ...] = (Multipath(_slots(view, pool.id, version), PART, ports=False),)
    elif not by_port or pool.protocol == SCTP:  # whose ports not every datapath tracks
        part = (Multipath(len(found.shares), PART, ports=False),)
    else:
        part = (SetField(PART, _split_number(pool, version, found)), Resubmit(Table.LB_SPLIT))
        part = part if len(found.shares) > 1 else (SetField(PART, 0),)
    before = (Resubmit(Table.LB_STICKY),) if pool.persistence == SOURCE_IP else ()
    return (which, *part, *before, Goto(Table.LB_MEMBER))


STICKY_SECONDS, MOST_SECONDS = 3600, 0xFFFF
"""For how long a client is remembered if nobody says, and at most (OpenFlow has 16 bits)."""

MOST_STICKY = 10_000
"""Clients that a switch remembers of a member."""


def _learn(pool: Pool, number: int, member: Member) -> Learn:
    """The client's next connections go there, too; for all addresses of a network, if the pool has
    a granularity."""
    source = f"ipv{member.version}_src"
    bits = BITS[member.version]
    if pool.persistence_granularity and parse.address(pool.persistence_granularity)[0] == (
        member.version
    ):
        bits = parse.ip(pool.persistence_granularity).bit_count()
    clients = ((source, Leading(source, bits)),) if bits else ()
    return Learn(
        table=Table.LB_STICKY,
        match=((POOL, number), ("eth_type", ETH_TYPES[member.version]), *clients),
        load=((POOL, number | BY_SLOT), (PART, member.slot)),
        idle_timeout=min(pool.persistence_timeout or STICKY_SECONDS, MOST_SECONDS),
        limit=MOST_STICKY,
        cookie=Cookie.learned(member.key, 0),
    )


SECONDS = 60
"""For which a switch remembers a UDP connection that has fallen silent (see
``security_groups/connection_limits.py``)."""


def limit_of(listener: Listener) -> Limit | None:
    """How many connections may begin with a listener of UDP or SCTP, on a switch: half of its limit
    at once, and then as many in a minute as it says, for no longer are they remembered. So no more
    are known at any time, but for those that go on."""
    most = listener.connection_limit
    if most == UNLIMITED or listener.protocol not in (UDP, SCTP):
        return None
    meter = MeterUse.BALANCED.meter(listener.key)
    return Limit(meter, max(1, most // SECONDS), max(1, most // 2))


def within(limit: Limit | None, begun: Actions) -> Actions:
    """What is done with a connection that begins, if it may."""
    return (Meter(limit.meter), *begun) if limit else begun


class Tracked(NamedTuple):
    """How connections become known that are led to members."""

    zone: int
    on: Table  # where they go by way of it
    bits: int = 0  # of POOL, besides


def compile_pool(
    view: View, pool: Pool, protocol: int, version: int, tracked: Tracked
) -> Iterator[Flow]:
    """The members of a pool, by part or slot, for an IP protocol."""
    found = split_of(view, pool.id, version)
    if found is None:
        return
    members = members_in(view, pool.id, version)
    number = _number(pool, version) | tracked.bits

    sticky = pool.persistence == SOURCE_IP

    def row(part: int, member: Member, bits: int = 0) -> Flow:
        match: Match = {POOL: number | bits, PART: part, "eth_type": ETH_TYPES[version]}
        nat = Nat("dst", member.address, member.port, member.port, version)
        learn = (_learn(pool, number, member),) if sticky and bits != BY_SLOT else ()
        actions = (*learn, Ct(tracked.zone, tracked.on, nat, commit=True))
        return Flow(Table.LB_MEMBER, MemberPriority.MEMBER, match, actions)

    if sticky:
        for slot, member in sorted(members.items()):
            yield row(slot, member, BY_SLOT)

    if not by_source(pool):
        for part, slot in enumerate(found.slots):
            yield row(part, members[slot])
        if set(found.shares) != {1}:
            yield from compile_split(
                _split_number(pool, version, found), cut(found.shares), protocol
            )
        return
    out = [slot for slot in range(_slots(view, pool.id, version)) if slot not in members]
    for slot, member in sorted(members.items()):
        yield row(slot, member)
    if out:
        for rank, (_, member) in enumerate(sorted(members.items())):
            yield row(rank, member, AMONG_THE_OTHERS)
    for slot in out:
        match: Match = {POOL: number, PART: slot, "eth_type": ETH_TYPES[version]}
        another: Actions = (
            Multipath(len(members), PART, ports=False, basis=1),
            *(SetField(POOL, number | AMONG_THE_OTHERS), Resubmit(Table.LB_MEMBER)),
        )
        yield Flow(Table.LB_MEMBER, MemberPriority.MEMBER, match, another)


@derived
def equal_parts(view: View, pool_id: str) -> frozenset[int]:
    """The numbers of equal parts that a pool is cut into, of each family."""
    found = (split_of(view, pool_id, version) for version in ETH_TYPES)
    return frozenset(len(one.shares) for one in found if one and set(one.shares) == {1})


def compile_parts(view: View, switch: int, id: str) -> Iterator[Flow]:
    """The rows of so many equal parts, for an IP protocol."""
    protocol, number = map(int, id.split())
    yield from compile_split(number, parts(number), protocol)


def compile_split(number: int, rows: tuple[Row, ...], protocol: int) -> Iterator[Flow]:
    """The rows of a split. (Open vSwitch tells of a connection's ports only with its protocol.)"""
    begins: Match = {PART: number, "ct_state": NEW, "ct_nw_proto": protocol}
    for row in rows:
        match = {**begins, "ct_tp_src": (row.value, row.mask)} if row.mask else begins
        whose = (SetField(PART, row.part),)
        yield Flow(Table.LB_SPLIT, SplitPriority.TIER[row.rung], match, whose)
