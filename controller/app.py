"""What an app is: a feature's place in the core. Apps are pure; they never meet a switch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from oslo_config import cfg

from controller.api.extension import Extension
from controller.flow import Flow, Goto
from controller.model import View
from controller.pipeline import Band, Miss, Table

Key: TypeAlias = tuple[str, ...]
"""What tells a unit of an app on a switch from the others: a kind, and the ids of its objects."""


@dataclass(frozen=True, eq=False)
class App:
    """A feature: a permanent id (the first byte of its flows' cookies), a name, and what it does.

    ``units(view, switch)`` names the units that exist on a switch (a datapath id), and
    ``compile(view, switch, key)`` yields the flows of one of them. Both are pure functions of what
    they read through the view: no clock, no randomness, no I/O, and no order that depends on
    anything but the model. ``extension`` makes, from the options, what the feature adds to the
    API (``resources.py``), if anything.
    """

    id: int
    name: str
    units: Callable[[View, int], Iterable[Key]]
    compile: Callable[[View, int, Key], Iterable[Flow]]
    extension: Callable[[cfg.ConfigOpts], Extension] | None = None


def _units(view: View, switch: int) -> Iterable[Key]:
    return [("misses",)]


def _compile(view: View, switch: int, key: Key) -> Iterable[Flow]:
    """Every table's answer to what none of its flows matched; a table that drops needs none."""
    for table in Table:
        if table.miss is Miss.NEXT:
            yield Flow(table, Band.MISS, {}, (Goto(table.next),))


PIPELINE = App(id=0, name="pipeline", units=_units, compile=_compile)
"""The core's own app: the frame that the features' flows stand in."""
