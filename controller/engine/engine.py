# SPDX-License-Identifier: Apache-2.0

"""The engine: keeps every switch's wanted flows equal to a pure function of the model.

::

    model changes ──> reads touched ──> queries ──> unit lists ──> units ──> Wanted (per switch)
                                        derived     Units.ids      Units.compile

Each box is a *node*: a function that was run through a recording view, the reads it made, and its
value. A change touches reads; the nodes that had made them become dirty; :meth:`Engine.run` runs
the dirty ones again, queries first, and a query that comes to the same value as before stops the
wave there. A unit's flows that are no longer yielded are gone from Wanted: nothing ever removes a
flow by hand. :meth:`Engine.recompute` builds everything from nothing, and must come to the same.

The engine never waits, never talks to a switch, and knows no feature.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any, TypeVar

from tenantry.controller.engine.nodes import Node, Query, Switches, UnitList, UnitNode
from tenantry.controller.engine.wanted import Wanted
from tenantry.controller.feature.app import App, Rows, Unit
from tenantry.controller.feature.ovsdb_rows import Row
from tenantry.controller.feature.routes import UnitName
from tenantry.controller.model import Model, Read, View
from tenantry.controller.openflow.codec import encode_flow
from tenantry.controller.openflow.flow import Flow

LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class Runs:
    """How often something was computed, and for how many seconds in all."""

    count: int = 0
    seconds: float = 0.0


class Engine:
    """Wanted flows of every switch in the model, for a list of apps."""

    def __init__(
        self, model: Model, apps: Iterable[App], rows: Mapping[str, Rows] | None = None
    ) -> None:
        """``rows`` by the names of the apps that want them."""
        self.apps = tuple(apps)
        self.wants_rows = dict(rows or {})
        self.wanted: dict[int, Wanted] = {}
        self.rows_touched: set[int] = set()
        """Switches on which other rows are wanted than before; whoever sets them, takes them
        from here."""
        self.failed: dict[Unit, str] = {}
        """Units whose compile raised, and what: they yield no flows (a switch fails closed)."""
        self.runs: dict[tuple[str, str, str], Runs] = {}
        """Counters by app, kind of unit, and cause: the kind of record that had changed, the query
        that came to something else, or "new"."""
        self.model = model
        self._queries: dict[tuple[Any, ...], Query] = {}
        self._readers: dict[Read, set[Node]] = {}
        self._let_go: set[Query] = set()  # by a reader; perhaps nobody reads them any more
        # By stage, oldest first, each with the cause that made it dirty first. (Not dict: to find
        # the oldest, it walks past all that were there before.)
        self._dirty: tuple[OrderedDict[Node, str], ...] = tuple(OrderedDict() for _ in range(3))
        self._switches = Switches()
        self.mark(self._switches)

    def touch(self, reads: Iterable[Read]) -> None:
        """Mark whoever had made these reads; call it with what ``Model.apply`` answered."""
        for read in reads:
            for node in self._readers.get(read, ()):
                self.mark(node, read)

    def run(self) -> Iterator[None]:
        """Run everything dirty; yields after each node, so that the caller can let others work.

        The model must not change until it is exhausted.
        """
        queries, lists, units = self._dirty
        while dirty := queries or lists or units:
            node, cause = dirty.popitem(last=False)
            started = perf_counter()
            node.refresh(self)
            kind = (*node.kind, cause)
            runs = self.runs.get(kind) or self.runs.setdefault(kind, Runs())
            runs.count += 1
            runs.seconds += perf_counter() - started
            yield
        # Only now: in one wave, a query may be let go by one reader and taken up by another.
        while self._let_go:
            query = self._let_go.pop()
            if query not in self._readers:
                del self._queries[query.function, query.args]
                self.forget(query)

    def adopt(self, other: Engine) -> None:
        """Go on as another engine, which was computed from nothing and has seen what this one has;
        the counters go on."""
        runs = self.runs
        vars(self).update(vars(other))
        self.runs = runs

    def recompute(self) -> dict[int, dict[int, bytes]]:
        """What should be wanted, from nothing: the oracle that ``wanted`` is held against."""
        fresh = Engine(self.model, self.apps)
        for _ in fresh.run():
            pass
        return {switch: wanted.flows for switch, wanted in fresh.wanted.items()}

    def rows(self, switch: int) -> frozenset[Row]:
        """The rows that are wanted in the OVSDB of a switch."""
        nodes = self._switches.rows.get(switch, ())
        return frozenset[Row]().union(*(node.value for node in nodes if node.value))

    # --- asking ----------------------------------------------------------------------------

    def units(self, switch: int) -> list[Unit]:
        """The units of a switch, app by app and kind by kind."""
        lists = self._switches.lists.get(switch, ())
        return [node.unit for units in lists for node in units.nodes.values()]

    def flows(
        self, switch: int, units: Iterable[Unit] | None = None
    ) -> Iterator[tuple[Unit, Flow, int]]:
        """Every wanted flow of a switch, or of these units of it, as a value, with its unit and its
        cookie; no meters and no groups.

        Flows are not kept: each unit is compiled again, which being pure gives the same.
        """
        view = View(self.model)
        for unit in self.units(switch) if units is None else units:
            if unit not in self.failed:
                for flow in unit.units.compile(view, switch, unit.id):
                    if isinstance(flow, Flow):
                        yield unit, flow, encode_flow(flow, unit.app.id)[0]

    def size(self) -> dict[tuple[str, str], tuple[int, int]]:
        """For each kind of node how many there are, and how many reads they made."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        lists = [units for lists in self._switches.lists.values() for units in lists]
        nodes: list[Node] = [*self._queries.values(), *lists]
        for node in chain(nodes, *(units.nodes.values() for units in lists)):
            count, reads = found.get(node.kind, (0, 0))
            found[node.kind] = (count + 1, reads + len(node.reads))
        return found

    def origins(self, switch: int, cookies: Iterable[int]) -> dict[int, list[Unit]]:
        """The units that yield these cookies."""
        asked = frozenset(cookies)
        found: dict[int, list[Unit]] = {}
        for units in self._switches.lists.get(switch, ()):
            for node in units.nodes.values():
                for cookie in asked.intersection(node.cookies):
                    found.setdefault(cookie, []).append(node.unit)
        return found

    def wanted_by(
        self, switch: int, names: Iterable[UnitName]
    ) -> Iterator[tuple[UnitName, int, bytes]]:
        """What these units of a switch want: keys and bodies, as in ``wanted``. The engine may run
        between two of them."""
        flows = self.wanted[switch].flows if switch in self.wanted else {}
        kinds = {
            (units.unit.app.name, units.unit.units.kind): units.nodes
            for units in self._switches.lists.get(switch, ())
        }
        for name in names:
            node = kinds.get((name.app, name.kind), {}).get(name.id)
            for cookie in node.cookies if node else ():
                if cookie in flows:
                    yield name, cookie, flows[cookie]

    def cookies(self, unit: Unit) -> tuple[int, ...]:
        """The cookies of a unit's flows."""
        for units in self._switches.lists.get(unit.switch, ()):
            if units.unit.units is unit.units and (node := units.nodes.get(unit.id)):
                return node.cookies
        return ()

    # --- for nodes -------------------------------------------------------------------------

    def mark(self, node: Node, read: Read | None = None) -> None:
        """It must run again because of ``read``, or because it is new."""
        self._dirty[node.stage].setdefault(node, _cause(read))

    def evaluate(self, node: Node, function: Callable[[View], T]) -> T:
        """Run a node's function through a recording view; what it read replaces its reads.

        Holds also when the function raises: the node must run again when what it read changes.
        """
        view = View(self.model, self)
        try:
            return function(view)
        finally:
            reads = frozenset(view.reads)
            for read in reads - node.reads:
                self._readers.setdefault(read, set()).add(node)
            gone, node.reads = node.reads - reads, reads
            self._unread(node, gone)

    def forget(self, node: Node) -> None:
        """The node is gone: it reads nothing any more and will not run."""
        self._dirty[node.stage].pop(node, None)
        if isinstance(node, UnitNode | UnitList):
            self.failed.pop(node.unit, None)
        gone, node.reads = node.reads, frozenset()
        self._unread(node, gone)

    def _unread(self, node: Node, reads: Iterable[Read]) -> None:
        for read in reads:
            readers = self._readers[read]
            readers.discard(node)
            if not readers:
                del self._readers[read]
                if isinstance(read, Query):
                    self._let_go.add(read)

    def derive(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Query:
        """A derived query, computed if new or dirty."""
        query = self._queries.get((function, args))
        if query is None:
            query = self._queries[function, args] = Query(function, args)
            query.refresh(self)
        elif query in self._dirty[query.stage]:
            del self._dirty[query.stage][query]
            query.refresh(self)
        return query

    @contextmanager
    def failing_closed(self, unit: Unit) -> Iterator[None]:
        """What a mistake in an app does: its unit yields nothing and is named; others go on."""
        self.failed.pop(unit, None)
        try:
            yield
        except Exception as error:
            LOG.exception("%s does not compile; its flows are left out", unit)
            self.failed[unit] = f"{type(error).__name__}: {error}"


def _cause(read: Read | None) -> str:
    if isinstance(read, Query):
        return read.function.__name__
    if isinstance(read, tuple):
        name: str = read[0].__name__
        return name
    return "new"
