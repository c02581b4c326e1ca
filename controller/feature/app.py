# SPDX-License-Identifier: Apache-2.0

"""What an app is: what a feature declares, and what it hands in. Apps are pure; they never meet a
switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple, TypeAlias

import click
from oslo_config import cfg

from tenantry.controller.config import Options
from tenantry.controller.feature.effects import (
    Announce,
    EffectHandler,
    Endpoint,
    Handler,
    Neighbourhood,
    Periodic,
)
from tenantry.controller.feature.extension import Extension
from tenantry.controller.feature.ovsdb_rows import Row
from tenantry.controller.feature.probes import Probing
from tenantry.controller.feature.processes import Process
from tenantry.controller.feature.routes import Observe, Route
from tenantry.controller.model import View
from tenantry.controller.model.model import Record, Stored
from tenantry.controller.model.record import Body, parser
from tenantry.controller.model.records import CORE
from tenantry.controller.openflow.contract import About, Adds
from tenantry.controller.openflow.flow import Flow, Goto, Item
from tenantry.controller.openflow.pipeline import MISS, Field, Miss, Table


@dataclass(frozen=True, eq=False)
class Units:
    """One kind of unit: the smallest things that a feature compiles, each by itself.

    ``ids(view, switch)`` tells of which objects there is a unit on a switch (a datapath id), and
    ``compile(view, switch, id)`` yields the flows (meters, groups) of one of them. Both are pure
    functions of what they read through the view: no clock, no randomness, no I/O, and no order
    that depends on anything but the model. When something they read changes, they run again;
    nothing else does.
    """

    kind: str
    ids: Callable[[View, int], AbstractSet[str]]
    compile: Callable[[View, int, str], Iterable[Item]]


Rows: TypeAlias = Callable[[View, int], Iterable[Row]]
"""The rows that a feature wants in the OVSDB of a switch (a datapath id): as pure as flows are."""


Processes: TypeAlias = Callable[[View, str], Iterable[Process]]
"""The processes that a feature wants on a worker's host (its name): as pure as flows are. Which of
them is whose is asked of ``network.workers``. What takes long to make of the model is a ``derived``
query for each, so that only those run again that have changed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Parts:
    """What a feature hands in, made once from the options. It has what it needs of these.

    ``extension``: what it adds to the API (``resources.py``). ``packet_in``: what answers the
    packets that its flows send to the controller (``packets.py``). ``announce``: what is sent when
    something has changed; ``periodic``: what is done now and then, unasked. ``endpoint``: what is
    answered at the service port. ``neighbours``: whom it asks for their MAC addresses.
    ``probing``: whom it has asked whether they are alive.
    ``rows``: what it wants in a switch's OVSDB (``rows.py``). ``processes``: what it wants to run
    on a worker's host (``processes.py``). ``effects``: what is done about
    effects of a type of its own, whoever's packet handler yields them. ``observed``: by kind of
    resource, the attributes that nobody wrote. ``routes``: what it answers under ``/tenantry/v1``.
    ``flow_options``: what flows depend on of its options; they read it as Option, by its name.
    """

    extension: Extension | None = None
    packet_in: Handler | None = None
    announce: Announce | None = None
    periodic: Periodic | None = None
    endpoint: Endpoint | None = None
    neighbours: Neighbourhood | None = None
    probing: Probing | None = None
    rows: Rows | None = None
    processes: Processes | None = None
    effects: Mapping[type, EffectHandler] = field(default_factory=dict)
    observed: Mapping[str, Observe] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    flow_options: Mapping[str, int] = field(default_factory=dict)


def _nothing(conf: cfg.ConfigOpts) -> Parts:
    return Parts()


@dataclass(frozen=True, eq=False)
class App:
    """A feature: a permanent id (the first byte of its flows' cookies), a name, its units, its
    ``options`` by section, and what it makes of all that there are: ``build`` opens and starts
    nothing; ConfigError says what is wrong with a value. Its ``commands`` are under ``tenantry``;
    they talk to a running controller over HTTP, so they are made without options.

    ``tables`` are its own, ``adds_to`` those of others where its flows stand, too, and ``fields``
    the registers that no other feature reads (``tables.py``). ``records`` are those that its
    resources become in the model (``records.py``).
    """

    id: int
    name: str
    units: tuple[Units, ...] = ()
    _: KW_ONLY
    options: Options = field(default_factory=dict)
    build: Callable[[cfg.ConfigOpts], Parts] = _nothing
    records: tuple[type[Stored], ...] = ()
    tables: Mapping[Table, About] = field(default_factory=dict)
    adds_to: Mapping[Table, Adds] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()
    commands: tuple[click.Command, ...] = ()


class Unit(NamedTuple):
    """The smallest thing that is compiled: one object of one kind of one app on one switch."""

    app: App
    units: Units
    switch: int
    id: str

    def __str__(self) -> str:
        return f"{self.app.name} {self.units.kind} {self.id}".rstrip()


def per_switch(view: View, switch: int) -> AbstractSet[str]:
    """The ids of a kind that has a single unit on each switch."""
    return _ONCE


_ONCE = frozenset({""})


def _misses(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Every table's answer to what none of its flows matched; a table that drops needs none."""
    for table in Table:
        if table.miss is Miss.NEXT:
            yield Flow(table, MISS, {}, (Goto(table.next),))


PIPELINE = App(id=0, name="pipeline", units=(Units("misses", per_switch, _misses),), records=CORE)
"""The core's own app: the frame that the features' flows stand in, and the core's records."""


StoredRecords: TypeAlias = dict[str, tuple[type[Record], Callable[[Body], Record]]]
"""The store's kinds that have a record, and how a body becomes one."""


def stored_records(apps: Iterable[App]) -> StoredRecords:
    return {one.KIND: (one, parser(one)) for app in apps for one in app.records}
