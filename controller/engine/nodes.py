# SPDX-License-Identifier: Apache-2.0

"""What the engine runs: functions of the model, the reads that they made, and what they came to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar

from tenantry.controller.engine.wanted import Wanted
from tenantry.controller.feature.app import App, Unit, Units
from tenantry.controller.feature.ovsdb_rows import Row
from tenantry.controller.model import Read, Switch
from tenantry.controller.openflow.groups_meters import encode

if TYPE_CHECKING:
    from tenantry.controller.engine.engine import Engine

LOG = logging.getLogger(__name__)


class Node:
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


class Query(Node):
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


class Switches(Node):
    """The root: which switches there are, and for each the unit lists of all apps."""

    __slots__ = ("lists", "rows")
    stage = 1

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[int, list[UnitList]] = {}
        self.rows: dict[int, list[OvsdbRows]] = {}

    def refresh(self, engine: Engine) -> None:
        switches = engine.evaluate(self, lambda view: view.ids(Switch))
        for switch in switches - self.lists.keys():
            engine.wanted[switch] = Wanted()
            self.lists[switch] = [
                UnitList(app, units, switch) for app in engine.apps for units in app.units
            ]
            self.rows[switch] = [OvsdbRows(app, switch) for app in engine.wants_rows]
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


class UnitList(Node):
    """The units of one kind on a switch, by id."""

    __slots__ = ("ids", "nodes", "unit")
    stage = 1

    def __init__(self, app: App, units: Units, switch: int) -> None:
        super().__init__()
        self.unit = Unit(app, units, switch, "")  # all of them; by this name it fails
        self.ids: AbstractSet[str] = frozenset()
        self.nodes: dict[str, UnitNode] = {}

    def refresh(self, engine: Engine) -> None:
        ids: AbstractSet[str] = frozenset()
        app, units, switch, _ = self.unit
        with engine.failing_closed(self.unit):
            ids = engine.evaluate(self, lambda view: units.ids(view, switch))
        before, self.ids = self.ids, ids
        for id in before - ids:
            self.drop(engine, id)
        for id in ids - before:
            node = self.nodes[id] = UnitNode(Unit(app, units, switch, id))
            engine.mark(node)

    def drop(self, engine: Engine, id: str) -> None:
        node = self.nodes.pop(id)
        node.replace(engine, {})
        engine.forget(node)

    @property
    def kind(self) -> tuple[str, str]:
        return (self.unit.app.name, f"{self.unit.units.kind} ids")


class OvsdbRows(Node):
    """The rows that an app wants in the OVSDB of a switch."""

    __slots__ = ("app", "switch", "value")
    stage = 2

    def __init__(self, app: str, switch: int) -> None:
        super().__init__()
        self.app = app
        self.switch = switch
        self.value: frozenset[Row] | None = None

    def refresh(self, engine: Engine) -> None:
        before, rows = self.value, engine.wants_rows[self.app]
        try:
            self.value = engine.evaluate(self, lambda view: frozenset(rows(view, self.switch)))
        except Exception:  # tunnels that work are not taken down for a mistake of ours
            LOG.exception("the rows of %s do not compile; they stay as they are", self.app)
        if self.value != before:
            engine.rows_touched.add(self.switch)

    @property
    def kind(self) -> tuple[str, str]:
        return (self.app, "rows")


class UnitNode(Node):
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
