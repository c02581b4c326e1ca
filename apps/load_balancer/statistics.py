# SPDX-License-Identifier: Apache-2.0

"""What switches have counted of load balancers, as Octavia's statistics; and the sums of these and
of what proxies have counted (``apps/haproxy/statistics.py``).

Nothing is installed for it: connections are counted by the flows that choose a member, octets by
those that lead to members and back. So octets are those of frames, and count from when a flow came;
what a member's port says to a client here counts as sent, whichever address was asked. What goes
outside is counted of a load balancer, not of its listeners: each of these has it.
How many connections are open now is not known of switches: null, once there was one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tenantry.apps.l2.tables import OutputPriority
from tenantry.apps.load_balancer.places import PORT_FIELDS, PROTOCOLS
from tenantry.apps.load_balancer.records import (
    Listener,
    LoadBalancer,
    Member,
    in_switch,
)
from tenantry.apps.load_balancer.tables import (
    RouterLbBackPriority,
    RouterLbPriority,
    VipPriority,
)
from tenantry.controller.feature.extension import Sight
from tenantry.controller.feature.routes import Counted, Running, UnitName
from tenantry.controller.network.routers import routers_in
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.store import Body

NAMES = (
    *("active_connections", "bytes_in", "bytes_out"),
    *("request_errors", "total_connections"),
)

_BEGUN, _TO_MEMBERS, _FROM_MEMBERS = "begun", "to members", "from members"

_COUNTING: Mapping[tuple[Table, int], str] = {
    **{(Table.VIP, each): _BEGUN for each in VipPriority.NEW},
    **{(Table.VIP, each): _BEGUN for each in VipPriority.NEW_IN_FRAGMENTS},
    **{(Table.ROUTER_LB, each): _BEGUN for each in RouterLbPriority.NEW},
    (Table.VIP, VipPriority.TRANSLATED): _TO_MEMBERS,
    (Table.VIP, VipPriority.TRANSLATED_ADDRESS): _TO_MEMBERS,
    (Table.ROUTER_LB, RouterLbPriority.TRANSLATED): _TO_MEMBERS,
    (Table.OUTPUT, OutputPriority.BALANCED): _FROM_MEMBERS,
    (Table.OUTPUT, OutputPriority.BALANCED_ELSE): _FROM_MEMBERS,
    (Table.OUTPUT, OutputPriority.BALANCED_ADDRESS): _FROM_MEMBERS,
    (Table.OUTPUT, OutputPriority.BALANCED_ADDRESS_ELSE): _FROM_MEMBERS,
    (Table.ROUTER_LB_BACK, RouterLbBackPriority.TRANSLATED): _FROM_MEMBERS,
}
"""What flows count, by where they stand: packets that begin a connection, and all that go there and
back."""

_TABLES = tuple(dict.fromkeys(table for table, _ in _COUNTING))
_UNITS = ("load_balancer", "behind_router")
"""Kinds of the units that have them: of clients here, and of those outside."""


def of_load_balancer(running: Running, body: Body) -> Mapping[str, int | None]:
    """What switches do of one."""
    return _added(_counted(running, body["id"]), lambda flow, counting: True)


def of_listener(running: Running, body: Body) -> Mapping[str, int | None]:
    """What switches do of one; nothing if it is a proxy's. Listeners of one load balancer that lead
    to the same members have their octets in common."""
    view = running.view
    listener = view.get(Listener, body["id"])
    if listener is None or not in_switch(view, listener.id):
        return {}
    protocol = PROTOCOLS[listener.protocol]
    members = view.find(Member, pool_id=listener.default_pool_id)
    ends = {(each.version, each.address, each.port) for each in members}

    def is_its(flow: Flow, counting: str) -> bool:
        match = flow.match
        if match.get("ip_proto", protocol) != protocol:
            return False
        if counting == _BEGUN:
            return match.get(f"{PORT_FIELDS[protocol]}_dst") == listener.port
        if flow.table is Table.ROUTER_LB_BACK:
            return True
        way = "dst" if counting == _TO_MEMBERS else "src"
        port = match.get(f"{PORT_FIELDS[protocol]}_{way}")
        return any(
            match.get(f"ipv{version}_{way}") == address and port in (None, its)
            for version, address, its in ends
        )

    return _added(_counted(running, listener.load_balancer_id), is_its)


def _counted(running: Running, id: str) -> Iterator[tuple[Flow, str, Counted]]:
    """The flows of a load balancer that count something, with that, and what they have counted."""
    view = running.view
    balancer = view.get(LoadBalancer, id)
    routers = routers_in(view, balancer.vip_network_id) if balancer is not None else ()
    here, routed = _UNITS
    units = [UnitName("load_balancer", here, id)]
    units += [UnitName("load_balancer", routed, f"{router_id} {id}") for router_id in routers]
    flows = {(switch, cookie): flow for switch, _, cookie, flow in running.wanted(units)}
    for counts in running.counts(units, _TABLES).flows:
        flow = flows.get((counts.switch, counts.cookie))
        if flow is None or flow.match.get("ip_frag") == LATER_FRAGMENT:
            continue  # no other packet than its first fragment
        counting = _COUNTING.get((flow.table, flow.priority))
        if counting is not None:
            yield flow, counting, counts


def _added(
    counted: Iterable[tuple[Flow, str, Counted]], chosen: Callable[[Flow, str], bool]
) -> Mapping[str, int | None]:
    added = Counter[str]()
    for flow, counting, counts in counted:
        if chosen(flow, counting):
            added[counting] += counts.packets if counting == _BEGUN else counts.octets
    return {
        "active_connections": None if added[_BEGUN] else 0,
        "bytes_in": added[_TO_MEMBERS],
        "bytes_out": added[_FROM_MEMBERS],
        "request_errors": 0,
        "total_connections": added[_BEGUN],
    }


def stats(*what: str) -> Callable[[Sight, Body], Body]:
    """The view ``stats``: of what is observed under these names, the sum."""

    def view(sight: Sight, body: Body) -> Body:
        found = [told for name in what if (told := sight.seen(name, body))]
        return {"stats": {name: _sum([told[name] for told in found]) for name in NAMES}}

    return view


def _sum(values: list[Any]) -> int | None:
    return None if None in values else sum(values)


OBSERVED = {"loadbalancer/stats": of_load_balancer, "listener/stats": of_listener}
