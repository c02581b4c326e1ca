# SPDX-License-Identifier: Apache-2.0

"""What runs beside the loop: it is told what the loop has done, and works on its own account."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from tenantry.controller.feature.app import Unit
from tenantry.controller.model import Change
from tenantry.controller.model.previous import Changed
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.reconcile import Push


class Passed(NamedTuple):
    """A pass of the loop: what was ``taken`` from the inbox; the ``changes`` of the model that
    followed, bindings included; what was there ``before``; the pass's number; and when it began,
    on the monotonic clock."""

    taken: list[Change]
    changes: list[Change]
    before: Changed
    generation: int
    started: float = 0.0


class Follower:
    """It overrides what it needs. Nothing here waits, but it may let others run."""

    def passed(self, passed: Passed) -> None:
        """The model has changed, and what is wanted is computed; no switch has heard of it yet."""

    def connected(self, connection: Connection) -> None:
        """A switch has connected."""

    def started(self, dpid: int) -> None:
        """A switch that has connected is to be brought up to date from now on."""

    def confirmed(self, dpid: int, generation: int) -> None:
        """A switch has confirmed all passes up to this one."""

    def pushed(self, dpid: int, push: Push) -> None:
        """A switch was sent what differed there, and has confirmed it."""

    def mended(self, dpid: int, push: Push, units: Collection[Unit]) -> None:
        """An audit has put back flows of these units, and removed what nobody wants."""

    def disconnected(self, dpid: int) -> None:
        """A switch is lost; it goes on with the flows it has."""
