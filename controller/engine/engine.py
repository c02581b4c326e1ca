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
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from time import perf_counter
from typing import Any, ClassVar, TypeVar

from tenantry.controller.engine.wanted import Wanted
from tenantry.controller.feature.app import App, Rows, Unit, Units
from tenantry.controller.feature.ovsdb_rows import InterfaceRow
from tenantry.controller.model import Model, Read, Switch, View
from tenantry.controller.openflow.codec import encode_flow
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.slots import encode

LOG = logging.getLogger(__name__)

T = TypeVar("T")


class _Node:
    """Something computed from the model, and the reads it made. ``stage`` orders the work."""

    __slots__ = ("reads",)
    stage: ClassVar[int]

    def __init__(self) -> None:
        self.reads: frozenset[Read] = frozenset()

    def refresh(self, engine: Engine) -> None:
        """Compute again, and pass on what that changes."""
        raise NotImplementedError

    @property
    def kind(self) -> tuple[str, str]:
        """What it is, for the counters: an app, or what stands for one, and a kind."""
        raise NotImplementedError


class _Query(_Node):
    """A derived query with its arguments; as a read, the node stands for itself."""

    __slots__ = ("args", "error", "function", "value")
    stage = 0

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        self.function = function
        self.args = args
        self.value: Any = self  # equal to nothing that a query can come to
        self.error: Exception | None = None

    def refresh(self, engine: Engine) -> None:
        """A query that raises does so for each of its readers, who fail one by one."""
        error: Exception | None = None
        value: Any = self
        try:
            value = engine.evaluate(self, lambda view: self.function(view, *self.args))
        except Exception as caught:
            error = caught
        if value != self.value or error or self.error:
            self.value, self.error = value, error
            engine.touch([self])

    def result(self) -> Any:
        if self.error:
            raise self.error
        return self.value

    @property
    def kind(self) -> tuple[str, str]:
        return ("queries", self.function.__name__)


class _Switches(_Node):
    """The root: which switches there are, and for each the unit lists of all apps."""

    __slots__ = ("lists", "rows")
    stage = 1

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[int, list[_UnitList]] = {}
        self.rows: dict[int, list[_Rows]] = {}

    def refresh(self, engine: Engine) -> None:
        switches = engine.evaluate(self, lambda view: view.ids(Switch))
        for switch in switches - self.lists.keys():
            engine.wanted[switch] = Wanted()
            self.lists[switch] = [
                _UnitList(app, units, switch) for app in engine.apps for units in app.units
            ]
            self.rows[switch] = [_Rows(app, switch) for app in engine.wants_rows]
            for node in (*self.lists[switch], *self.rows[switch]):
                engine.mark(node)
        for switch in self.lists.keys() - switches:
            for units in self.lists.pop(switch):
                for id in list(units.nodes):
                    units.drop(engine, id)
                engine.forget(units)
            for rows in self.rows.pop(switch):
                engine.forget(rows)
            engine.rows_touched.discard(switch)
            del engine.wanted[switch]

    @property
    def kind(self) -> tuple[str, str]:
        return ("engine", "switches")


class _UnitList(_Node):
    """The units of one kind on a switch, by id."""

    __slots__ = ("ids", "nodes", "unit")
    stage = 1

    def __init__(self, app: App, units: Units, switch: int) -> None:
        super().__init__()
        self.unit = Unit(app, units, switch, "")  # all of them; by this name it fails
        self.ids: AbstractSet[str] = frozenset()
        self.nodes: dict[str, _UnitNode] = {}

    def refresh(self, engine: Engine) -> None:
        ids: AbstractSet[str] = frozenset()
        app, units, switch, _ = self.unit
        with engine.failing_closed(self.unit):
            ids = engine.evaluate(self, lambda view: units.ids(view, switch))
        before, self.ids = self.ids, ids
        for id in before - ids:
            self.drop(engine, id)
        for id in ids - before:
            node = self.nodes[id] = _UnitNode(Unit(app, units, switch, id))
            engine.mark(node)

    def drop(self, engine: Engine, id: str) -> None:
        node = self.nodes.pop(id)
        node.replace(engine, {})
        engine.forget(node)

    @property
    def kind(self) -> tuple[str, str]:
        return (self.unit.app.name, f"{self.unit.units.kind} ids")


class _Rows(_Node):
    """The interfaces that an app wants on a switch."""

    __slots__ = ("app", "switch", "value")
    stage = 2

    def __init__(self, app: str, switch: int) -> None:
        super().__init__()
        self.app = app
        self.switch = switch
        self.value: frozenset[InterfaceRow] | None = None

    def refresh(self, engine: Engine) -> None:
        before, rows = self.value, engine.wants_rows[self.app]
        try:
            self.value = engine.evaluate(self, lambda view: frozenset(rows(view, self.switch)))
        except Exception:  # tunnels that work are not taken down for a mistake of ours
            LOG.exception("the interfaces of %s do not compile; they stay as they are", self.app)
        if self.value != before:
            engine.rows_touched.add(self.switch)

    @property
    def kind(self) -> tuple[str, str]:
        return (self.app, "rows")


class _UnitNode(_Node):
    """A unit, and the cookies of the flows that it came to."""

    __slots__ = ("cookies", "unit")
    stage = 2

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        self.unit = unit
        self.cookies: tuple[int, ...] = ()

    def refresh(self, engine: Engine) -> None:
        app, units, switch, id = self.unit
        flows: dict[int, bytes] = {}
        with engine.failing_closed(self.unit):
            flows = engine.evaluate(
                self,
                lambda view: dict(encode(item, app.id) for item in units.compile(view, switch, id)),
            )
        self.replace(engine, flows)

    def replace(self, engine: Engine, flows: dict[int, bytes]) -> None:
        wanted = engine.wanted[self.unit.switch]
        before = frozenset(self.cookies)
        for cookie, body in flows.items():
            if cookie not in before:
                wanted.add(cookie, body)
        for cookie in self.cookies:
            if cookie not in flows:
                wanted.remove(cookie)
        self.cookies = tuple(flows)

    @property
    def kind(self) -> tuple[str, str]:
        return (self.unit.app.name, self.unit.units.kind)


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
        """Switches on which other interfaces are wanted than before; whoever sets them, takes them
        from here."""
        self.failed: dict[Unit, str] = {}
        """Units whose compile raised, and what: they yield no flows (a switch fails closed)."""
        self.runs: dict[tuple[str, str, str], Runs] = {}
        """Counters by app, kind of unit, and cause: the kind of record that had changed, the query
        that came to something else, or "new"."""
        self._model = model
        self._queries: dict[tuple[Any, ...], _Query] = {}
        self._readers: dict[Read, set[_Node]] = {}
        self._let_go: set[_Query] = set()  # by a reader; perhaps nobody reads them any more
        # By stage, oldest first, each with the cause that made it dirty first. (Not dict: to find
        # the oldest, it walks past all that were there before.)
        self._dirty: tuple[OrderedDict[_Node, str], ...] = tuple(OrderedDict() for _ in range(3))
        self._switches = _Switches()
        self.mark(self._switches)

    def touch(self, reads: Iterable[Read]) -> None:
        """Mark whoever had made these reads; call it with what ``Model.apply`` answered."""
        for read in reads:
            for node in self._readers.get(read, ()):
                self.mark(node, read)

    def run(self) -> Iterator[None]:
        """Run everything dirty; yields after each node, so that the caller can breathe.

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

    def recompute(self) -> dict[int, dict[int, bytes]]:
        """What should be wanted, from nothing: the oracle that ``wanted`` is held against."""
        fresh = Engine(self._model, self.apps)
        for _ in fresh.run():
            pass
        return {switch: wanted.flows for switch, wanted in fresh.wanted.items()}

    def rows(self, switch: int) -> frozenset[InterfaceRow]:
        """The interfaces that are wanted on a switch."""
        nodes = self._switches.rows.get(switch, ())
        return frozenset[InterfaceRow]().union(*(node.value for node in nodes if node.value))

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
        view = View(self._model)
        for unit in self.units(switch) if units is None else units:
            if unit not in self.failed:
                for flow in unit.units.compile(view, switch, unit.id):
                    if isinstance(flow, Flow):
                        yield unit, flow, encode_flow(flow, unit.app.id)[0]

    def size(self) -> dict[tuple[str, str], tuple[int, int]]:
        """For each kind of node how many there are, and how many reads they made."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        lists = [units for lists in self._switches.lists.values() for units in lists]
        nodes: list[_Node] = [*self._queries.values(), *lists]
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

    def cookies(self, unit: Unit) -> tuple[int, ...]:
        """The cookies of a unit's flows."""
        for units in self._switches.lists.get(unit.switch, ()):
            if units.unit.units is unit.units and (node := units.nodes.get(unit.id)):
                return node.cookies
        return ()

    # --- for nodes -------------------------------------------------------------------------

    def mark(self, node: _Node, read: Read | None = None) -> None:
        """It must run again because of ``read``, or because it is new."""
        self._dirty[node.stage].setdefault(node, _cause(read))

    def evaluate(self, node: _Node, function: Callable[[View], T]) -> T:
        """Run a node's function through a recording view; what it read replaces its reads.

        Holds also when the function raises: the node must run again when what it read changes.
        """
        view = View(self._model, self)
        try:
            return function(view)
        finally:
            reads = frozenset(view.reads)
            for read in reads - node.reads:
                self._readers.setdefault(read, set()).add(node)
            gone, node.reads = node.reads - reads, reads
            self._unread(node, gone)

    def forget(self, node: _Node) -> None:
        """The node is gone: it reads nothing any more and will not run."""
        self._dirty[node.stage].pop(node, None)
        if isinstance(node, _UnitNode | _UnitList):
            self.failed.pop(node.unit, None)
        gone, node.reads = node.reads, frozenset()
        self._unread(node, gone)

    def _unread(self, node: _Node, reads: Iterable[Read]) -> None:
        for read in reads:
            readers = self._readers[read]
            readers.discard(node)
            if not readers:
                del self._readers[read]
                if isinstance(read, _Query):
                    self._let_go.add(read)

    def derive(self, function: Callable[..., Any], args: tuple[Any, ...]) -> _Query:
        """A derived query, computed if new or dirty."""
        query = self._queries.get((function, args))
        if query is None:
            query = self._queries[function, args] = _Query(function, args)
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
    if isinstance(read, _Query):
        return read.function.__name__
    if isinstance(read, tuple):
        name: str = read[0].__name__
        return name
    return "new"
