# SPDX-License-Identifier: Apache-2.0

"""Connections that begin with a listener: by what they are known, and who may begin them. The same
on a client's own switch and in a router."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from tenantry.apps.load_balancer.choice import Tracked, choose, compile_pool, limit_of
from tenantry.apps.load_balancer.places import PORT_FIELDS, Answering
from tenantry.apps.load_balancer.records import Listener, Pool
from tenantry.apps.load_balancer.tables import NOT_ALLOWED, RouterLbPriority, VipPriority
from tenantry.controller.model import FixedIp, View
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Actions, Flow, Limit, Match
from tenantry.controller.openflow.oxm import FIRST_FRAGMENT, LATER_FRAGMENT
from tenantry.controller.packets.addresses import prefix_value
from tenantry.controller.packets.frames import TCP


class Beginning(NamedTuple):
    """Where connections begin: in the table where they are tracked, on a ladder of rungs. ``new``
    is what is new and for an address of the load balancer; ``begun`` what is done with it, if that
    leads to a member (None: to nobody), within a limit."""

    tracked: Tracked
    rungs: type[VipPriority] | type[RouterLbPriority]
    new: Callable[[int, int], Match]
    begun: Callable[[Actions | None, Limit | None], Actions]

    def listens(
        self, listener: Listener, version: int, match: Match, rung: range, actions: Actions
    ) -> Iterator[Flow]:
        """What begins, from whoever may."""
        table = self.tracked.on
        if not listener.allowed_cidrs:
            yield Flow(table, rung[0], match, actions)
            return
        yield Flow(table, self.rungs.NOT_ALLOWED, match, drop(NOT_ALLOWED))
        for cidr in listener.allowed_cidrs:
            if cidr.version == version:
                source = prefix_value(version, cidr.first, cidr.length)
                some = {**match, f"ipv{version}_src": source} if cidr.length else match
                yield Flow(table, rung[cidr.length], some, actions)


def compile_listeners(
    view: View,
    does: tuple[Answering, ...],
    vips: Iterable[FixedIp],
    versions: Iterable[int],
    how: Beginning,
) -> Iterator[Flow | Limit]:
    """What begins and is for a listener, and the members of their pools. One that alone has its
    protocol has fragments of it, too, whichever port they are for."""
    pools: dict[tuple[str, int], Pool] = {}
    protocols = Counter(one.protocol for one in does)
    bits = how.tracked.bits
    for one in does:
        if (limit := limit_of(one.listener)) is not None:
            yield limit
        pools |= {(one.pool.id, one.protocol): one.pool} if one.pool else {}
        alone = one.protocol != TCP and protocols[one.protocol] == 1
        port: Match = {f"{PORT_FIELDS[one.protocol]}_dst": one.listener.port}
        port["ip_proto"] = one.protocol
        first: Match = {**port, "ip_frag": FIRST_FRAGMENT}
        later: Match = {"ct_nw_proto": one.protocol, "ip_frag": LATER_FRAGMENT}
        for vip in vips:
            new = how.new(vip.version, vip.address)
            chosen = choose(view, one.pool, vip.version, bits=bits)
            ways = [({**new, **port}, how.rungs.NEW, chosen)]
            if alone and chosen is not None:
                chosen = choose(view, one.pool, vip.version, by_port=False, bits=bits)
                in_fragments = how.rungs.NEW_IN_FRAGMENTS
                ways += [({**new, **some}, in_fragments, chosen) for some in (first, later)]
            for match, rung, to_member in ways:
                actions = how.begun(to_member, limit)
                yield from how.listens(one.listener, vip.version, match, rung, actions)
    for (_, protocol), pool in pools.items():
        for version in versions:
            yield from compile_pool(view, pool, protocol, version, how.tracked)
