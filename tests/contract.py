# SPDX-License-Identifier: Apache-2.0

"""The contract of the pipeline, as a check of one flow: of its table, its feature, its actions.

What it says is in ``controller/openflow/contract.py``, and in each feature's ``tables.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from tenantry.apps import APPS
from tenantry.controller.feature.app import PIPELINE, App
from tenantry.controller.openflow.contract import Adds
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    CheckLarger,
    Ct,
    DecTtl,
    Failover,
    Flow,
    Goto,
    Group,
    Learn,
    Meter,
    Move,
    Multipath,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Cookie
from tenantry.controller.openflow.oxm import OXM
from tenantry.controller.openflow.pipeline import (
    DROP_CAUSE,
    FIELDS,
    MISS,
    REENTRIES,
    Field,
    Miss,
    Path,
    Table,
)

OWNERS = {table: app for app in APPS for table in app.tables}
EVERY_FIELD = (*FIELDS, *(field for app in APPS for field in app.fields))
_PRIVATE = {field.name: app for app in APPS for field in app.fields}
_VISITED = (Path.VISITED, Path.LEARNED)


def drops(app: App) -> Iterator[Cause]:
    """The causes that a feature says it drops for."""
    for adds in (*app.tables.values(), *app.adds_to.values()):
        yield from adds.drops


CAUSES: dict[int, Cause] = {cause.value: cause for app in APPS for cause in drops(app)}
"""Every cause that some feature says it drops for, by what DROP_CAUSE is then."""


def split(actions: Actions) -> tuple[Actions, int | None]:
    """What actions do before they drop, and for which cause: None if they do not."""
    if len(actions) > 1 and actions[-1] in (Goto(Table.DROP), Resubmit(Table.DROP)):
        cause = actions[-2]
        if isinstance(cause, SetField) and cause.field == DROP_CAUSE:
            return actions[:-2], cause.value
    return actions, None


def goes_on(action: Action, groups: Mapping[int, Failover]) -> bool:
    """Whether an action leads a packet somewhere, and it does not return with nothing done."""
    if isinstance(action, Resubmit):
        return action.table.path not in _VISITED
    if isinstance(action, Ct):
        return action.table is not None
    if isinstance(action, Group):
        if action.id not in groups:  # of which nothing is said
            return True
        buckets = groups[action.id].buckets
        leads = [any(goes_on(one, {}) for one in bucket.actions) for bucket in buckets]
        return bool(leads) and all(leads)
    return isinstance(action, Output | Goto)


def words(field: str) -> frozenset[str]:
    """The 32-bit registers that a field lies in; xreg and xxreg are made of them."""
    register = re.fullmatch(r"(x{0,2})reg(\d+)", field)
    if register is None:
        return frozenset({str(field)})
    size = 1 << len(register[1])
    first = int(register[2]) * size
    return frozenset(f"reg{number}" for number in range(first, first + size))


def living(name: str, table: Table) -> Field | None:
    """The field of ours that a register is, or is part of, in a table."""
    for field in EVERY_FIELD:
        if field.alive(table) and (field == name or name in words(field)):
            return field
    return None


class Doings(NamedTuple):
    """What actions do: fields that they read and set, and where they lead."""

    reads: frozenset[str]
    sets: frozenset[str]
    leads_to: frozenset[Table]
    goes_to: frozenset[Table]


def doings(actions: Iterable[Action], groups: Mapping[int, Failover]) -> Doings:
    """With those of the groups that they use, which are done in the table of the flow."""
    reads: set[str] = set()
    sets: set[str] = set()
    visits: set[Table] = set()
    goes: set[Table] = set()
    for action in actions:
        if isinstance(action, SetField):
            sets.add(action.field)
        elif isinstance(action, Move):
            reads.add(action.source)
            sets.add(action.destination)
        elif isinstance(action, DecTtl):
            sets.add("ip_ttl")
        elif isinstance(action, Multipath | CheckLarger):
            sets.add(action.register)
        elif isinstance(action, Goto):
            goes.add(action.table)
        elif isinstance(action, Resubmit):
            visits.add(action.table)
        elif isinstance(action, Learn):
            visits.add(action.table)
            sources = (source for _, source in (*action.match, *action.load))
            reads.update(source for source in sources if isinstance(source, str))
        elif isinstance(action, Ct):
            goes.update(() if action.table is None else (action.table,))
            reads.update(() if isinstance(action.zone, int) else (action.zone,))
            if action.mark is not None:
                reads.add(action.mark.source)
                sets.add(action.mark.destination)
        elif isinstance(action, Group) and action.id in groups:
            for bucket in groups[action.id].buckets:
                done = doings(split(bucket.actions)[0], {})
                reads, sets = reads | done.reads, sets | done.sets
                visits |= done.leads_to
    return Doings(*map(frozenset, (reads, sets, visits | goes, goes)))


def breaches(app: App, flow: Flow, groups: Mapping[int, Failover]) -> Iterator[str]:
    """What of a flow breaks the contract, in words."""
    table = flow.table
    if table.path is Path.LEARNED:
        yield "the switch itself fills this table"
    if flow.priority == MISS:
        if flow.match:
            yield "a miss matches nothing"
        if (table.miss, app.name) not in {(Miss.OWN, table.owner), (Miss.NEXT, PIPELINE.name)}:
            yield "another answers what nothing matched"
    adds: Adds | None = app.tables.get(table) or app.adds_to.get(table)
    if app is PIPELINE:
        adds = Adds()
    elif not OWNERS[table].tables[table].priorities.has(flow.priority):
        yield f"priority {flow.priority!r} is on no rung"
    if adds is None:
        yield f"{app.name} has nothing to do here"
        return
    yield from _dropped(flow, adds, groups)
    actions, _ = split(flow.actions)
    done = doings(actions, groups)
    if more := flow.match.keys() - adds.matches:
        yield f"matches {more}"
    if more := done.sets - adds.sets:
        yield f"sets {more}"
    if jumps := done.leads_to - {*adds.leads_to, *_next(table)}:
        yield f"leads to {jumps}"
    yield from _misplaced(app, flow, done)
    yield from _astray(app, flow, done)
    for action in actions:
        if isinstance(action, SetField):
            field = living(action.field, table)
            bits = field.bits if field else OXM[action.field].bytes * 8
            if action.value >> bits:
                yield f"{action} is more than {bits} bits"
        elif isinstance(action, Learn):
            yield from _learned(app, action)


def _dropped(flow: Flow, adds: Adds, groups: Mapping[int, Failover]) -> Iterator[str]:
    """What ends names its cause, and one that is said of the table."""
    may = {cause.value for cause in adds.drops if cause.whose is not Whose.METER}
    ends = [flow.actions]
    for action in flow.actions:
        if isinstance(action, Group) and action.id in groups:
            ends += [bucket.actions for bucket in groups[action.id].buckets]
        if isinstance(action, Meter) and len(may) == len(adds.drops):
            yield "no cause is that of the meter"
    for actions in ends:
        _, cause = split(actions)
        if cause is not None and cause not in may:
            yield f"drops for {CAUSES.get(cause, cause)}"
    if flow.table.path in (*_VISITED, Path.END):
        return
    if not any(goes_on(action, groups) for action in flow.actions):
        yield "goes nowhere, and names no cause"


def _next(table: Table) -> tuple[Table, ...]:
    return () if table.path in (*_VISITED, Path.END) or table is Table.OUTPUT else (table.next,)


def _misplaced(app: App, flow: Flow, done: Doings) -> Iterator[str]:
    """Registers that mean nothing here, or what is another feature's own."""
    for name in {*map(str, flow.match), *done.reads, *done.sets}:
        field = living(name, flow.table)
        if field is None:
            if "reg" in name.partition("_")[0]:
                yield f"{name} means nothing here"
        elif _PRIVATE.get(field.name, app) is not app:
            yield f"{field.name} is {_PRIVATE[field.name].name}'s own"


def _astray(app: App, flow: Flow, done: Doings) -> Iterator[str]:
    """Jumps go forward, and to what does not return to whoever visits it."""
    for table in done.leads_to:
        again = (flow.table, table) in REENTRIES
        if table.id <= flow.table.id and not again and table.path not in _VISITED:
            yield f"goes back to {table.name}"
    for table in done.goes_to:
        if table.id <= flow.table.id and (flow.table, table) not in REENTRIES:
            yield f"goes back to {table.name}"
        if table.path in _VISITED:
            yield f"goes to {table.name}, which returns"
    if any(isinstance(action, Goto) for action in flow.actions[:-1]):
        yield "goes on before it is done"


def _learned(app: App, learn: Learn) -> Iterator[str]:
    """Flows that the switch makes are its feature's as others are."""
    table = learn.table
    adds: Adds | None = app.tables.get(table) or app.adds_to.get(table)
    if table.path is not Path.LEARNED or adds is None:
        yield f"learns in {table.name}"
        return
    if more := {field for field, _ in learn.match} - adds.matches:
        yield f"learns to match {more}"
    if more := {field for field, _ in learn.load} - adds.sets:
        yield f"learns to set {more}"
    if Cookie.app_id(learn.cookie) != Cookie.LEARNED_APP:
        yield "learns under a cookie of its own"
