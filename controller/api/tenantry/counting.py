# SPDX-License-Identifier: Apache-2.0

"""What switches have counted of the flows and meters of some units, and at what rate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from time import monotonic
from typing import NamedTuple, TypeVar

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import App
from tenantry.controller.feature.routes import Counted, Counts, Dropped, Metered, Rate, UnitName
from tenantry.controller.model.binding import switch_text
from tenantry.controller.openflow import codec, groups_meters
from tenantry.controller.openflow.codec import FlowStats
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, Whose
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.switch.connection import Connection, Disconnected
from tenantry.controller.switch.reading import Reading, read, read_accounts

ANSWER_SECONDS = 3.0
"""How long a switch may take to tell what it has counted."""

SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
"""Between two readings that make a rate. Open vSwitch adds up what its datapath has counted twice a
second, so over less a rate would say little."""

REMEMBERED = 20_000
"""Flows, of which the last reading is kept, so that the next can tell the rate."""


class _Read(NamedTuple):
    at: float
    packets: int
    octets: int


class Rates:
    """The last readings of flows. Nobody reads by himself: who asks twice is told a rate."""

    def __init__(self) -> None:
        self._read: OrderedDict[tuple[int, int], tuple[_Read, ...]] = OrderedDict()

    def rate(self, switch: int, flow: FlowStats) -> Rate | None:
        """Since a flow was read before; None if it was not, or has begun anew."""
        now, key = monotonic(), (switch, flow.cookie)
        this = _Read(now, flow.packets, flow.bytes)
        kept = [
            before
            for before in self._read.pop(key, ())
            if now - before.at <= LONGEST_SECONDS and before.packets <= flow.packets
        ]
        if not kept or now - kept[-1].at >= SHORTEST_SECONDS:
            kept = [*kept[-1:], this]
        self._read[key] = tuple(kept)
        while len(self._read) > REMEMBERED:
            self._read.popitem(last=False)
        before = kept[0]
        seconds = now - before.at
        if seconds < SHORTEST_SECONDS:
            return None
        packets, octets = this.packets - before.packets, this.octets - before.octets
        return Rate(packets / seconds, octets / seconds)


def counts(
    engine: Engine,
    connections: Mapping[int, Connection],
    switches: Iterable[int],
    units: Collection[UnitName],
    tables: Collection[Table] | None,
    rates: Rates,
) -> Counts:
    """See :meth:`tenantry.controller.feature.routes.Running.counts`."""
    found, silent = Counts([], [], {}), dict[int, str]()
    causes = _causes_of_meters(engine)
    ids = None if tables is None else {table.id for table in tables}
    asked = {}
    for switch in list(switches):
        wanted = [
            (name, key, body)
            for name, key, body in runtime.paced(engine.wanted_by(switch, units))
            if ids is None or not groups_meters.is_flow(key) or codec.table_id(body) in ids
        ]
        if wanted:
            asked[switch] = wanted
    for switch, reading in told(
        connections, {switch: partial(_read, wanted=wanted) for switch, wanted in asked.items()}
    ):
        if isinstance(reading, str):
            silent[switch] = f"switch {switch_text(engine.model, switch)} {reading}"
            continue
        wanted = asked[switch]
        flows = {
            cookie: (flow, rates.rate(switch, flow))
            for cookie, flow in runtime.paced(reading.flows.items())
        }
        for name, key, _ in runtime.paced(wanted):
            if key in flows:
                found.flows.append(counted(name, switch, *flows[key]))
                continue
            meter = groups_meters.meter_id(key)
            if meter is not None and (stats := reading.meters.get(meter)) is not None:
                cause = causes.get((name.app, name.kind, meter >> 24))
                one = Metered(*name, meter=meter, switch=switch, **stats._asdict(), cause=cause)
                found.meters.append(one)
    return found._replace(silent=silent)


def counted(name: UnitName, switch: int, flow: FlowStats, rate: Rate | None) -> Counted:
    """What a switch has told of one of a unit's flows."""
    return Counted(
        *name,
        table=flow.table_id,
        priority=flow.priority,
        packets=flow.packets,
        octets=flow.bytes,
        seconds=flow.seconds,
        switch=switch,
        cookie=flow.cookie,
        rate=rate,
    )


def dropped(
    engine: Engine,
    connections: Mapping[int, Connection],
    switches: Iterable[int],
    whose: Collection[Mapping[str, int]],
) -> tuple[list[Dropped], dict[int, str]]:
    """See :meth:`tenantry.controller.feature.routes.Running.dropped`."""
    causes = _causes(engine)
    found: dict[tuple[object, ...], Dropped] = {}
    silent = dict[int, str]()
    asking = partial(read_accounts, asked=whose)
    for switch, accounts in told(connections, dict.fromkeys(switches, asking)):
        if isinstance(accounts, str):
            silent[switch] = f"switch {switch_text(engine.model, switch)} {accounts}"
            continue
        for (number, of, fields), packets, octets, seconds in runtime.paced(accounts):
            if cause := causes.get((number, of)):
                key = (switch, number, of, *sorted(fields.items()))
                found[key] = Dropped(cause, switch, fields, packets, octets, seconds)
    return [*found.values()], silent


def _causes(engine: Engine) -> dict[tuple[int, Whose], Cause]:
    """Those that features name, by number and whose."""
    causes = (UNFORESEEN, *(cause for _, cause in _said(engine)))
    return {(cause.number, cause.whose): cause for cause in causes}


def _causes_of_meters(engine: Engine) -> dict[tuple[str, str, int], Cause]:
    """By app and kind of unit, and by what the meter is for."""
    return {
        (app.name, kind, use): cause
        for app, cause in _said(engine)
        for kind, use in cause.meters
        if cause.number >> 8 == app.id
    }


def _said(engine: Engine) -> Iterator[tuple[App, Cause]]:
    """The causes that features name, with whoever names them."""
    for app in engine.apps:
        for adds in (*app.tables.values(), *app.adds_to.values()):
            for cause in adds.drops:
                yield app, cause


Told = TypeVar("Told")


def told(
    connections: Mapping[int, Connection], questions: Mapping[int, Callable[[Connection], Told]]
) -> Iterator[tuple[int, Told | str]]:
    """What each switch tells, or why it does not; all are asked at once."""
    asked = {
        switch: runtime.spawn(_ask, connections.get(switch), question)
        for switch, question in questions.items()
    }
    for switch, greenlet in asked.items():
        yield switch, greenlet.wait()


def _ask(connection: Connection | None, question: Callable[[Connection], Told]) -> Told | str:
    if connection is None:
        return "is not connected"
    try:
        with runtime.Timeout(ANSWER_SECONDS):
            return question(connection)
    except runtime.Timeout:
        return f"has not answered for {ANSWER_SECONDS:.0f} seconds"
    except Disconnected:
        return "is gone"


def _read(connection: Connection, wanted: Collection[tuple[UnitName, int, bytes]]) -> Reading:
    flows = ((key, codec.table_id(body)) for _, key, body in wanted if groups_meters.is_flow(key))
    meters = (groups_meters.meter_id(key) for _, key, _ in wanted)
    return read(connection, flows, (meter for meter in meters if meter is not None))
