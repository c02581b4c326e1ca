# SPDX-License-Identifier: Apache-2.0

"""What switches have counted of load balancers, as Octavia's statistics; and the sums of these and
of what proxies have counted (``apps/haproxy/statistics.py``).

Nothing is installed for it: connections are counted by the flows that choose a member, octets by
those that lead to members and back. So octets are those of frames, and count from when a flow came;
what a member's port says to a client of its network counts as sent, whichever address was asked.
How many connections are open now is not known of switches: null, once there was one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tenantry.apps.l2.tables import OutputPriority
from tenantry.apps.load_balancer.records import Listener, Member, Pool, in_switch
from tenantry.apps.load_balancer.tables import VipPriority
from tenantry.controller.feature.extension import Sight
from tenantry.controller.feature.routes import Counted, Running, UnitName
from tenantry.controller.model import View
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.store import Body

NAMES = (
    *("active_connections", "bytes_in", "bytes_out"),
    *("request_errors", "total_connections"),
)

_BEGUN = frozenset({*VipPriority.NEW, *VipPriority.NEW_IN_FRAGMENTS})
_TO_MEMBERS = frozenset({VipPriority.TRANSLATED, VipPriority.TRANSLATED_ADDRESS})
_FROM_MEMBERS = frozenset(
    {
        *(OutputPriority.BALANCED, OutputPriority.BALANCED_ELSE),
        *(OutputPriority.BALANCED_ADDRESS, OutputPriority.BALANCED_ADDRESS_ELSE),
    }
)

_PORTS = ("tcp", "udp", "sctp")


def of_load_balancer(running: Running, body: Body) -> Mapping[str, int | None]:
    """What switches do of one."""
    return _added(_counted(running, body["id"]), lambda flow: True)


def of_listener(running: Running, body: Body) -> Mapping[str, int | None]:
    """What switches do of one; nothing if it is a proxy's. Listeners of one load balancer that lead
    to the same members have their octets in common."""
    view = running.view
    listener = view.get(Listener, body["id"])
    if listener is None or not in_switch(view, listener.id):
        return {}
    members = {*_members(view, listener)}

    def is_its(flow: Flow) -> bool:
        if flow.table is Table.VIP and flow.priority in _BEGUN:
            return _port(flow, "dst") in (listener.port, None)
        way = "dst" if flow.table is Table.VIP else "src"
        at = [(v, flow.match.get(f"ipv{v}_{way}"), _port(flow, way)) for v in (4, 6)]
        return any(
            (version, address) == (its_version, its_address) and port in (its_port, None)
            for version, address, port in at
            for its_version, its_address, its_port in members
        )

    return _added(_counted(running, listener.load_balancer_id), is_its)


def _members(view: View, listener: Listener) -> Iterator[tuple[int, int, int]]:
    pool = view.get(Pool, listener.default_pool_id)
    for member in view.find(Member, pool_id=pool.id) if pool is not None else ():
        yield member.version, member.address, member.port


def _port(flow: Flow, way: str) -> Any:
    """Which port a flow is about; None if whichever."""
    return next((p for t in _PORTS if (p := flow.match.get(f"{t}_{way}")) is not None), None)


def _counted(running: Running, id: str) -> list[tuple[Flow, Counted]]:
    """The flows of a load balancer, with what they have counted."""
    units, tables = [UnitName("load_balancer", "load_balancer", id)], (Table.VIP, Table.OUTPUT)
    flows = {(switch, cookie): flow for switch, _, cookie, flow in running.wanted(units)}
    counts = running.counts(units, tables).flows
    return [
        (flow, each)
        for each in counts
        if (flow := flows.get((each.switch, each.cookie))) is not None
    ]


def _added(
    counted: Iterable[tuple[Flow, Counted]], chosen: Callable[[Flow], bool]
) -> Mapping[str, int | None]:
    begun = sent = received = 0
    for flow, counts in counted:
        if not chosen(flow):
            continue
        if flow.table is Table.OUTPUT and flow.priority in _FROM_MEMBERS:
            sent += counts.octets
        elif flow.table is Table.VIP and flow.priority in _BEGUN:
            begun += counts.packets
        elif flow.table is Table.VIP and flow.priority in _TO_MEMBERS:
            received += counts.octets
    active = None if begun else 0
    return dict(zip(NAMES, (active, received, sent, 0, begun), strict=True))


def stats(*what: str) -> Callable[[Sight, Body], Body]:
    """The view ``stats``: of what is observed under these names, the sum."""

    def view(sight: Sight, body: Body) -> Body:
        found = [told for name in what if (told := sight.seen(name, body))]
        return {"stats": {name: _sum([told[name] for told in found]) for name in NAMES}}

    return view


def _sum(values: list[Any]) -> int | None:
    return None if None in values else sum(values)


OBSERVED = {"loadbalancer/stats": of_load_balancer, "listener/stats": of_listener}
