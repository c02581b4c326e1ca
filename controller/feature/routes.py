# SPDX-License-Identifier: Apache-2.0

"""What a feature answers under ``/tenantry/v1``: its routes, and what these see of us."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from tenantry.controller.model import Change, Port, View
from tenantry.controller.openflow.drops import Cause
from tenantry.controller.openflow.flow import Flow
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.store import Body


class Silent(Exception):
    """A switch does not tell what it holds; why, in words."""


class UnitName(NamedTuple):
    """A unit, on whatever switches it is: its app, its kind and its id (see ``Units``)."""

    app: str
    kind: str
    id: str


class Rate(NamedTuple):
    """Packets and octets a second."""

    packets: float
    octets: float


class Counted(NamedTuple):
    """What one of a unit's flows has counted on one switch. Octets are those of whole frames, from
    their MAC addresses on. It has counted for at least ``seconds``: they begin anew when what the
    flow does changes, and with it its cookie; its counts only when what it matches does, or when
    the switch starts. ``rate`` is since it was read before, in the last seconds; None if it was
    not."""

    app: str
    kind: str
    id: str
    table: int
    priority: int
    packets: int
    octets: int = 0
    seconds: float = 0.0
    switch: int = 0
    cookie: int = 0
    rate: Rate | None = None


class Metered(NamedTuple):
    """What one of a unit's meters has counted on one switch: what went in, and what of that was
    more than it lets through, which it drops for a ``cause``: None if no feature says so. It begins
    anew when its rate changes."""

    app: str
    kind: str
    id: str
    meter: int
    switch: int
    packets: int
    octets: int
    dropped_packets: int
    dropped_octets: int
    seconds: float
    cause: Cause | None = None


class Dropped(NamedTuple):
    """What was dropped on one switch for one cause, on one account: ``fields`` say whose it is. The
    octets are without those of the first packet. ``seconds`` ago that was."""

    cause: Cause
    switch: int
    fields: Mapping[str, int]
    packets: int
    octets: int
    seconds: float


class Counts(NamedTuple):
    """What was read, and of which switches (datapath ids) nothing could be: why, in words."""

    flows: list[Counted]
    meters: list[Metered]
    silent: Mapping[int, str]


class Running(Protocol):
    """The running controller, as features see it."""

    @property
    def view(self) -> View:
        """The model, as it is now."""

    def counted(
        self, tables: Collection[Table], switch: str | None = None
    ) -> Iterator[list[Counted]]:
        """What each switch that is connected, or the one of this name or id, says of its flows in
        some tables, whatever they hold there. Waits for their answers. Errors: LookupError,
        Silent."""

    def counts(
        self,
        units: Iterable[UnitName],
        tables: Collection[Table] | None = None,
        switch: str | None = None,
    ) -> Counts:
        """What the flows of some units have counted, or those of them in some tables, and their
        meters, on each switch that has the unit, or on the one of a name or id. No other flow is
        looked at, whatever else the switches hold (unless very many are asked for), so a periodic
        reader may ask, too. Waits for the answers of all switches at once, some seconds at the
        most: who is silent is named in the answer. Errors: LookupError, if there is no such switch.

        Open vSwitch adds up what its datapath has counted twice a second, so counts may be that
        old. They go on over a restart of the controller."""

    def dropped(
        self, whose: Collection[Mapping[str, int]], switches: Collection[int] | None = None
    ) -> tuple[list[Dropped], dict[int, str]]:
        """What was dropped, on all switches or these (datapath ids), on the account of whoever is
        meant by one of ``whose``: values of fields, as ``{IN_PORT: key}``; ``{}`` is anybody. And
        which switches did not tell: why, in words. No other flows are looked at, and it waits as
        :meth:`counts` does, which has what meters have dropped."""

    def wanted(self, units: Iterable[UnitName]) -> Iterator[tuple[int, UnitName, int, Flow]]:
        """The flows of some units, as values: on which switch (a datapath id), and by which
        cookie."""

    def ask_process(self, name: str, report: str) -> str:
        """What a process on a worker's host answers, asked for one of the ``reports`` that it has
        (``processes.py``): its statistics, say. Waits for it, some seconds at the most. Errors:
        Silent."""

    def process_state(self, name: str) -> str:
        """What the worker that has a process says of it (see ``processes.py``): READY only if it is
        there as it is wanted now; "" if nobody says anything of it."""

    def port_status(self, id: str) -> str:
        """What has become of a port: ACTIVE, BUILD, DOWN, ERROR."""

    def realised(self) -> int:
        """The newest commit that every connected switch has confirmed."""

    def refused(self, id: str) -> bool:
        """Whether a switch has refused flows of a unit that is called so."""

    def shown(self, port: Port) -> dict[str, Any]:
        """A port: what it is called, its status, and where it is plugged in."""

    def sees(self, kind: str, id: str) -> bool:
        """Whether who asks may get a resource: they are told of no other."""

    def check(self, rule: str, kind: str, id: str) -> None:
        """Whether who asks may do to a resource what a rule is about. Errors:
        PolicyNotAuthorized."""

    def learn(self, change: Change) -> None:
        """This was observed: it becomes part of the model, in memory, with the next pass."""


Observe: TypeAlias = Callable[[Running, Body], Mapping[str, Any]]
"""The attributes of a resource that nobody wrote, but that are seen: its status, say."""


@dataclass(frozen=True, slots=True)
class Route:
    """``GET /tenantry/v1/PATH``, answered in JSON. ``{NAME}`` in the path is one segment, and an
    argument of the answer's.

    ``answer(running, **parameters)`` makes the answer, of what who asks ``sees``; the rule
    ``get_tenantry_PATH`` says who may ask, and ``get_tenantry_PATH:NAME`` who is told NAME (or may
    name it as a parameter); ``parameters`` are those that the URL may
    have, each a text or None. An iterator of bytes is sent as it comes, for as long as somebody
    reads. Who ``waits``, for switches or for something to happen, has one of few places. If
    ``gone``, it is also given a ``gone()``: whether whoever asked has hung up. ``media_type`` is
    that of bytes. Errors: LookupError
    (404), ValueError (400), Silent (503), Neutron's.
    """

    path: str
    answer: Callable[..., Any]
    parameters: tuple[str, ...] = ()
    waits: bool = False
    gone: bool = False
    media_type: str = "application/x-ndjson"
