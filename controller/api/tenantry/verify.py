# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/flows``, ``diff`` and ``verify``: what switches hold, as they tell it when asked,
beside what they should hold."""

from __future__ import annotations

from typing import Any, NamedTuple

from tenantry.controller.api.tenantry import names
from tenantry.controller.api.tenantry.running import Held, Running
from tenantry.controller.engine.engine import Engine
from tenantry.controller.engine.wanted import Wanted
from tenantry.controller.feature.app import Unit
from tenantry.controller.feature.routes import Silent
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.openflow import codec, groups_meters
from tenantry.controller.openflow.codec import FlowStats
from tenantry.controller.openflow.flow import actions_text
from tenantry.controller.openflow.oxm import match_text
from tenantry.controller.openflow.pipeline import Table

SETTLE_SECONDS = 10.0
"""How long ``verify`` waits for what is under way."""

TRIES = 3
"""How often a switch is asked if something is under way to it meanwhile."""

MOST_DIFFERENCES = 100
"""As many are named, of each switch; all are counted."""

_TABLE_NAMES = {table.id: table.name for table in Table}


def flows(
    running: Running, switch: str | None = None, app: str | None = None, object: str | None = None
) -> list[dict[str, Any]]:
    """Wanted flows beside installed ones, each with the app and the object it comes from. A flow
    that somebody modified is there twice: as it is wanted, and as it is installed.

    Who is no administrator is told of the flows of ports that they see.

    ``switch`` is a datapath id or a name, ``object`` a resource's name or id, or a part of that. Of
    a switch that is not connected nothing is installed. LookupError if there is no such switch, app
    or object, Silent if a switch that is connected does not answer.
    """
    is_meant = names.flows_of(running, app, object)
    found = []
    for dpid in running.chosen(switch):
        held = running.ask(dpid).flows if dpid in running.progress.connections else []
        installed = {stats.cookie: stats for stats in held if not stats.body}
        for unit, flow, cookie in running.engine.flows(dpid):
            stats = installed.pop(cookie, None)
            if not names.is_seen(running, unit):
                continue
            found.append(
                {
                    **_place(dpid, flow.table.id, flow.priority, cookie),
                    "match": match_text(flow.match),
                    "actions": actions_text(flow.actions),
                    "app": unit.app.name,
                    "object": _object(unit),
                    "wanted": True,
                    "installed": stats is not None,
                    "packets": stats.packets if stats else None,
                    "bytes": stats.bytes if stats else None,
                }
            )
        found += [
            {
                **_place(dpid, stats.table_id, stats.priority, stats.cookie),
                **dict.fromkeys(("match", "actions", "app", "object")),
                "wanted": False,
                "installed": True,
                "packets": stats.packets,
                "bytes": stats.bytes,
            }
            for stats in (*installed.values(), *(stats for stats in held if stats.body))
            if running.sees("flow", "")
        ]
    shown = (flow for flow in found if is_meant(flow["app"], flow["object"]))
    return sorted(shown, key=lambda f: (f["switch"], f["table_id"], -f["priority"], f["cookie"]))


def diff(running: Running, switch: str | None = None) -> list[dict[str, Any]]:
    """Only the flows that are wanted and not installed, or installed and not wanted."""
    return [flow for flow in flows(running, switch) if flow["wanted"] != flow["installed"]]


# --- verify ----------------------------------------------------------------------------------


def verify(running: Running) -> dict[str, Any]:
    """Whether every switch is connected, wanted equals a computation from nothing, and what each
    switch tells that it holds equals wanted; what differs, by name."""
    settled = running.status.wait_settled(SETTLE_SECONDS)
    oracle = {dpid: wanted.flows for dpid, wanted in running.audit.shadow().wanted.items()}
    # At once: while switches are asked, the engine may go on.
    stale = {
        dpid: len(wanted.flows.keys() ^ oracle.get(dpid, {}).keys())
        for dpid, wanted in running.engine.wanted.items()
    }
    switches, differences = [], []
    for dpid, wanted in list(running.engine.wanted.items()):
        error, held = "", Held([], [])
        try:
            held = _ask_at_rest(running, dpid)
        except Silent as silent:
            error = str(silent)
        faults = _faults(wanted, held)
        named = _named(running.engine, dpid, faults[:MOST_DIFFERENCES]) if not error else []
        differences += named
        kinds = [fault.kind for fault in faults]
        switches.append(
            {
                "id": dpid_text(dpid),
                "connected": dpid in running.progress.connections,
                "error": error,
                "wanted": len(wanted.flows),
                "installed": len(held.flows) + len(held.slots),
                **{kind: kinds.count(kind) for kind in FAULTS},
                "stale": stale.get(dpid, 0),
                "conflicts": len(wanted.conflicts()),
            }
        )
    wrong = ("error", *FAULTS, "stale", "conflicts")
    failed = {str(unit): error for unit, error in running.engine.failed.items()}
    absent = running.status.absent()
    sound = settled and not absent and not failed
    return {
        "ok": sound and not any(s[fault] for s in switches for fault in wrong),
        "settled": settled,
        "absent": absent,
        "failed": failed,
        "switches": switches,
        "differences": differences,
    }


def _ask_at_rest(running: Running, dpid: int) -> Held:
    """What a switch holds while nothing is under way to it, if there is such a moment."""
    for _ in range(TRIES):
        confirmed = running.progress.realised.get(dpid)
        held = running.ask(dpid)
        if running.status.settled() and running.progress.realised.get(dpid) == confirmed:
            break
        running.status.wait_settled(SETTLE_SECONDS)
    return held


FAULTS = ("missing", "modified", "foreign")


class _Fault(NamedTuple):
    """A flow, or by its key a meter or group, that is not there; or is there otherwise (something
    else is in its place); or is there and nobody wants it."""

    key: int
    kind: str
    stats: FlowStats | None = None


def _faults(wanted: Wanted, held: Held) -> list[_Fault]:
    found = []
    there = {stats.cookie for stats in held.flows if not stats.body} | {*held.slots}
    for stats in held.flows:
        body = wanted.flows.get(stats.cookie)
        if body is None:
            found.append(_Fault(stats.cookie, "foreign", stats))
        elif stats.body:
            in_place = codec.flow_identity(stats.body) == codec.flow_identity(body)
            found.append(_Fault(stats.cookie, "modified" if in_place else "foreign", stats))
            there |= {stats.cookie} if in_place else set()
    taken = {groups_meters.slot(key) for key in held.slots}
    for key in wanted.flows.keys() - there:
        in_place = not groups_meters.is_flow(key) and groups_meters.slot(key) in taken
        found.append(_Fault(key, "modified" if in_place else "missing"))
    ours = {groups_meters.slot(key) for key in wanted.flows if not groups_meters.is_flow(key)}
    found += [_Fault(key, "foreign") for key in held.slots if groups_meters.slot(key) not in ours]
    return sorted(found, key=lambda fault: (FAULTS.index(fault.kind), fault.key))


def _named(engine: Engine, dpid: int, faults: list[_Fault]) -> list[dict[str, Any]]:
    """What is known of each: its place, whose it is, and what is wanted."""
    origins = engine.origins(dpid, {f.key for f in faults if f.kind != "foreign"})
    units = {unit for those in origins.values() for unit in those}
    wanted = {cookie: flow for _, flow, cookie in engine.flows(dpid, units)}
    named = []
    for key, kind, stats in faults:
        flow, place = wanted.get(key), {"switch": dpid_text(dpid)}
        if not groups_meters.is_flow(key):
            place["match"] = groups_meters.slot_text(key)
        elif flow and kind != "foreign":
            place |= _place(dpid, flow.table.id, flow.priority, key)
            place |= {"match": match_text(flow.match), "actions": actions_text(flow.actions)}
        elif stats:
            place |= _place(dpid, stats.table_id, stats.priority, key)
        of = [] if kind == "foreign" else origins.get(key, [])
        named.append(
            {
                **dict.fromkeys(("table_id", "table", "priority", "cookie", "match", "actions")),
                **place,
                "fault": kind,
                "app": of[0].app.name if of else None,
                "object": _object(of[0]) if of else None,
            }
        )
    return named


# --- parts -----------------------------------------------------------------------------------


def _place(dpid: int, table_id: int, priority: int, cookie: int) -> dict[str, Any]:
    return {
        "switch": dpid_text(dpid),
        "table_id": table_id,
        "table": _TABLE_NAMES.get(table_id),
        "priority": priority,
        "cookie": f"{cookie:#018x}",
    }


def _object(unit: Unit) -> str:
    return f"{unit.units.kind} {unit.id}".rstrip()
