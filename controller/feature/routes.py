# SPDX-License-Identifier: Apache-2.0

"""What a feature answers under ``/tenantry/v1``: its routes, and what these see of us."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

from tenantry.controller.model import Port, View
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.store import Body


class Silent(Exception):
    """A switch does not tell what it holds; why, in words."""


class Counted(NamedTuple):
    """The packets of one of a unit's flows, on one switch: the unit's app, kind and id, and the
    flow's table and priority."""

    app: str
    kind: str
    id: str
    table: int
    priority: int
    packets: int


class Running(Protocol):
    """The running controller, as features see it."""

    @property
    def view(self) -> View:
        """The model, as it is now."""

    def counted(
        self, tables: Collection[Table], switch: str | None = None
    ) -> Iterator[list[Counted]]:
        """What each switch that is connected, or the one of this name or id, says of its flows in
        some tables. Waits for their answers. Errors: LookupError, Silent."""

    def port_status(self, id: str) -> str:
        """What has become of a port: ACTIVE, BUILD, DOWN, ERROR."""

    def shown(self, port: Port) -> dict[str, Any]:
        """A port: what it is called, its status, and where it is plugged in."""

    def sees(self, kind: str, id: str) -> bool:
        """Whether who asks may get a resource: they are told of no other."""


Observe: TypeAlias = Callable[[Running, Body], Mapping[str, Any]]
"""The attributes of a resource that nobody wrote, but that are seen: its status, say."""


@dataclass(frozen=True, slots=True)
class Route:
    """``GET /tenantry/v1/PATH``, answered in JSON.

    ``answer(running, **parameters)`` makes the answer, of what who asks ``sees``; the rule
    ``get_tenantry_PATH`` says who may ask, and ``get_tenantry_PATH:NAME`` who is told NAME (or may
    name it as a parameter); ``parameters`` are those that the URL may
    have, each a text or None. An iterator of bytes is sent as it comes, for as long as somebody
    reads. Who ``waits``, for switches or for something to happen, has one of few places. If
    ``gone``, it is also given a ``gone()``: whether whoever asked has hung up. Errors: LookupError
    (404), ValueError (400), Silent (503), Neutron's.
    """

    path: str
    answer: Callable[..., Any]
    parameters: tuple[str, ...] = ()
    waits: bool = False
    gone: bool = False
