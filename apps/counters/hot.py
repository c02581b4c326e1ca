# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/hot``: what carries most just now, how many passes its packets cost, and what
would make them fewer.

A *pass* is a look-up in the datapath. A packet costs one, and one more for each time that it is
taken through connection tracking and goes on behind it (``Ct`` with a table): the datapath looks it
up again then. What a switch's packets cost on average is measured: those that flows with such an
action have met, beside those that came in. What a port's cost follows from its security groups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic
from typing import Any, NamedTuple

from tenantry.apps.security_groups.tables import PORT_TO_IDENTIFY, TRACKED
from tenantry.controller import runtime
from tenantry.controller.feature.routes import Counted, Rate, Running, UnitName
from tenantry.controller.model import Port, Switch
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.openflow.flow import Ct, Flow, SetField, actions_text
from tenantry.controller.openflow.oxm import match_text
from tenantry.controller.openflow.pipeline import Table

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
LINES = 20

SHORTER = {
    Table.FROM_PORT_TRACK: "stateful security groups, of who sends: stateless ones track nothing",
    Table.TO_PORT_TRACK: "stateful security groups, of who receives: stateless ones track nothing",
    Table.ROUTER_NAT_IN: "what comes back to an address that many share, or is forwarded by port: "
    "a floating IP is translated without tracking",
    Table.ROUTER_NAT_OUT: "an address that many share: a floating IP is translated without "
    "tracking",
    Table.ROUTER_NAT_REPLY: "an address that many share: a floating IP is translated without "
    "tracking",
    Table.ROUTER_FIREWALL: "a firewall of a router's port: security groups alone would do without",
    Table.TRAP: "a local IP that translates: in mode passthrough it does not",
    Table.OUTPUT: "a local IP that translates: in mode passthrough it does not",
}
"""By the table that takes packets through connection tracking: for what, and what does without."""

_OTHERWISE = "fragments, and connections that begin"


class Hot(NamedTuple):
    """A flow, and its rate between two readings."""

    flow: Counted
    rate: Rate


def hot(running: Running, switch: str | None = None, seconds: str | None = None) -> dict[str, Any]:
    """The flows and ports that have carried most in ``seconds``, what passes they cost, and what
    would shorten that. It reads all that the switches hold, twice. Errors: LookupError if there is
    no such switch, ValueError if ``seconds`` is no number from 1 to 30, Silent."""
    apart = _seconds(seconds)
    found = [*_measured(running, switch, apart)]
    found.sort(key=lambda each: (-each.rate.octets, each.flow.switch, each.flow.cookie))
    units = dict.fromkeys(UnitName(each.flow.app, each.flow.kind, each.flow.id) for each in found)
    values = {
        (dpid, cookie): flow for dpid, _, cookie, flow in runtime.paced(running.wanted(units))
    }
    known = [
        (each, flow) for each in found if (flow := values.get((each.flow.switch, each.flow.cookie)))
    ]
    return {
        "seconds": apart,
        "switches": [*_switches(running, known)],
        "ports": [*_ports(running, found)][:LINES],
        "flows": [_row(each, flow) for each, flow in known if _says_much(each, flow)][:LINES],
    }


def _seconds(text: str | None) -> float:
    try:
        seconds = float(text) if text else 2.0
    except ValueError:
        seconds = 0.0
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"seconds must be a number from 1 to 30, not {text}")
    return seconds


def _measured(running: Running, switch: str | None, apart: float) -> Iterator[Hot]:
    """The flows that have met packets between two readings."""
    start, before = monotonic(), _read(running, switch)
    runtime.sleep(apart)
    took, after = monotonic() - start, _read(running, switch)
    for key, flow in runtime.paced(after.items()):
        then = before.get(key)
        packets = flow.packets - (then.packets if then else 0)
        octets = flow.octets - (then.octets if then else 0)
        if packets > 0:
            yield Hot(flow, Rate(packets / took, octets / took))


def _read(running: Running, switch: str | None) -> dict[tuple[int, int], Counted]:
    """By switch and cookie; of a flow that is of several units, one of them."""
    every = running.counted(tuple(Table), switch)
    return {(flow.switch, flow.cookie): flow for flows in every for flow in runtime.paced(flows)}


def _more_passes(flow: Flow) -> int:
    """How many look-ups more a packet costs that meets this flow."""
    return sum(isinstance(action, Ct) and action.table is not None for action in flow.actions)


def _switches(running: Running, flows: list[tuple[Hot, Flow]]) -> Iterator[dict[str, Any]]:
    """For each switch what came in, and the passes that a packet cost on average, with those tables
    that made it more than one."""
    for dpid in sorted({each.flow.switch for each, _ in flows}):
        here = [(each, flow) for each, flow in flows if each.flow.switch == dpid]
        came = [each.rate for each, flow in here if flow.table is Table.CLASSIFY]
        packets, octets = _sum(came)
        again: dict[Table, float] = {}
        for each, flow in here:
            if more := _more_passes(flow):
                again[flow.table] = again.get(flow.table, 0.0) + more * each.rate.packets
        yield {
            "switch": dpid_text(dpid),
            "name": _name(running, dpid),
            "packets_per_second": packets,
            "octets_per_second": octets,
            "passes": round(1 + sum(again.values()) / packets, 2) if packets else None,
            "tracked": [
                {
                    "table": table.name,
                    "packets_per_second": round(rate, 1),
                    "for": SHORTER.get(table, _OTHERWISE),
                }
                for table, rate in sorted(again.items(), key=lambda item: -item[1])
            ],
        }


def _name(running: Running, dpid: int) -> str:
    record = running.view.get(Switch, dpid)
    return record.name if record else dpid_text(dpid)


def _ports(running: Running, flows: list[Hot]) -> Iterator[dict[str, Any]]:
    """The ports that have sent or received most, and what a packet of theirs costs here."""
    ways: dict[str, dict[str, list[Rate]]] = {}
    for flow, rate in flows:
        way = {Table.CLASSIFY.id: "sent", Table.OUTPUT.id: "received"}.get(flow.table)
        if way and (flow.app, flow.kind) == ("l2", "port"):
            ways.setdefault(flow.id, {"sent": [], "received": []})[way].append(rate)
    sums = {id: {way: _sum(rates) for way, rates in each.items()} for id, each in ways.items()}
    for id in sorted(sums, key=lambda id: -sums[id]["sent"][1] - sums[id]["received"][1]):
        port = running.view.get(Port, id)
        if port is None:
            continue
        tracked = _is_tracked(running, id)
        yield {
            **running.shown(port),
            **{
                way: {
                    "packets_per_second": packets,
                    "octets_per_second": octets,
                }
                for way, (packets, octets) in sums[id].items()
            },
            "passes": 2 if tracked else 1,
            "because": "its security groups are stateful: its connections are tracked, once if "
            "both ends are on one switch"
            if tracked
            else "its groups track nothing, or it has none",
            "shorter": "a stateless security group on both ends would make it 1"
            if tracked
            else None,
        }


def _is_tracked(running: Running, port_id: str) -> bool:
    """Whether the security groups of a port, or its firewall, track connections."""
    return any(
        isinstance(action, SetField) and action.field == PORT_TO_IDENTIFY and action.value & TRACKED
        for _, _, _, flow in running.wanted([UnitName("security_groups", "port", port_id)])
        if flow.table is Table.SG_IDENTITY
        for action in flow.actions
    )


def _says_much(hot: Hot, flow: Flow) -> bool:
    """It is of something, or makes packets pass once more; others are on everybody's way."""
    return bool(hot.flow.id or _more_passes(flow))


def _row(hot: Hot, flow: Flow) -> dict[str, Any]:
    more = _more_passes(flow)
    return {
        "switch": dpid_text(hot.flow.switch),
        "table": flow.table.name,
        "app": hot.flow.app,
        "object": f"{hot.flow.kind} {hot.flow.id}".rstrip(),
        "match": match_text(flow.match),
        "actions": actions_text(flow.actions),
        "packets_per_second": round(hot.rate.packets, 1),
        "octets_per_second": round(hot.rate.octets, 1),
        "more_passes": more,
        "for": SHORTER.get(flow.table, _OTHERWISE) if more else None,
    }


def _sum(rates: Iterable[Rate]) -> tuple[float, float]:
    rates = [*rates]
    packets, octets = sum(rate.packets for rate in rates), sum(rate.octets for rate in rates)
    return round(packets, 1), round(octets, 1)
