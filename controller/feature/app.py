"""What an app is: a feature's place in the core. Apps are pure; they never meet a switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from oslo_config import cfg

from tenantry.controller.feature.effects import After, Endpoint, Every, Handler, Neighbourhood
from tenantry.controller.feature.extension import Extension
from tenantry.controller.feature.ovsdb_rows import InterfaceRow
from tenantry.controller.model import View
from tenantry.controller.openflow.flow import Flow, Goto, Item
from tenantry.controller.openflow.pipeline import Band, Miss, Table


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


Rows: TypeAlias = Callable[[View, int], Iterable[InterfaceRow]]
"""The interfaces that a feature wants on a switch (a datapath id): as pure as flows are."""


@dataclass(frozen=True, eq=False)
class App:
    """A feature: a permanent id (the first byte of its flows' cookies), a name, its units.

    What else there is of it is made from the options: ``extension``, what the feature adds to the
    API (``resources.py``); ``packets``, which answers the packets that the feature's flows send to
    the controller (``packets.py``); ``every``, packets that it sends now and then, unasked;
    ``endpoint``, what it answers at the service port; ``neighbours``, whom it asks for their MAC
    addresses; ``after``, what it sends when something has changed; ``rows``, the interfaces that it
    wants on a switch.
    """

    id: int
    name: str
    units: tuple[Units, ...]
    extension: Callable[[cfg.ConfigOpts], Extension] | None = None
    packets: Callable[[cfg.ConfigOpts], Handler] | None = None
    every: Callable[[cfg.ConfigOpts], Every] | None = None
    endpoint: Callable[[cfg.ConfigOpts], Endpoint] | None = None
    neighbours: Callable[[cfg.ConfigOpts], Neighbourhood] | None = None
    after: Callable[[cfg.ConfigOpts], After] | None = None
    rows: Callable[[cfg.ConfigOpts], Rows] | None = None


class Unit(NamedTuple):
    """The smallest thing that is compiled: one object of one kind of one app on one switch."""

    app: App
    units: Units
    switch: int
    id: str

    def __str__(self) -> str:
        return f"{self.app.name} {self.units.kind} {self.id}".rstrip()


def once(view: View, switch: int) -> AbstractSet[str]:
    """The ids of a kind that has a single unit on each switch."""
    return _ONCE


_ONCE = frozenset({""})


def _misses(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Every table's answer to what none of its flows matched; a table that drops needs none."""
    for table in Table:
        if table.miss is Miss.NEXT:
            yield Flow(table, Band.MISS, {}, (Goto(table.next),))


PIPELINE = App(id=0, name="pipeline", units=(Units("misses", once, _misses),))
"""The core's own app: the frame that the features' flows stand in."""
