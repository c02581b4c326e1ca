# SPDX-License-Identifier: Apache-2.0

"""Where one worker is served, and what is wanted there: processes, and their interfaces on its
host's switch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tenantry.controller import runtime
from tenantry.controller.feature.app import Processes
from tenantry.controller.feature.ovsdb_rows import InterfaceRow, Row
from tenantry.controller.feature.processes import Process
from tenantry.controller.model import Switch, View, derived

START_SECONDS = 2.0
"""So much longer after a start of ours."""


@derived
def processes_on(view: View, wants: Processes, host: str) -> tuple[Process, ...]:
    """What a feature wants on a worker's host."""
    return tuple(wants(view, host))


def rows(wants: Iterable[Processes]) -> Callable[[View, int], Iterator[Row]]:
    """The interfaces that processes need on a switch: of its host's worker."""
    every = tuple(wants)

    def rows_of(view: View, switch: int) -> Iterator[Row]:
        record = view.get(Switch, switch)
        if record is None or not (record.integration and record.host):
            return
        for processes in every:
            for process in processes_on(view, processes, record.host):
                for plug in process.plugs:
                    ids = (("attached-mac", plug.mac), ("iface-id", plug.port_id))
                    yield InterfaceRow(
                        plug.interface,
                        record.name,
                        "internal",
                        external_ids=ids,
                        mac=plug.mac.lower(),
                        mtu=plug.mtu,
                    )

    return rows_of


class Question(NamedTuple):
    process: str
    report: str


@dataclass
class Desk:
    """Where one worker is served."""

    wanted: dict[str, Process] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    """By process: the generation in which it came, became another, or went."""
    generation: int = 0
    heard: float = field(default_factory=lambda: time.monotonic() + START_SECONDS)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the worker says of each process."""
    questions: dict[str, Question] = field(default_factory=dict)
    waiting: list[runtime.Signal] = field(default_factory=list)

    def wake(self) -> None:
        for signal in self.waiting:
            signal.set()
