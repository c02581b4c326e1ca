# SPDX-License-Identifier: Apache-2.0

"""After a start nothing is written too early: what is computed must be whole.

Ports on switches that have not connected yet are unknown, and so are routers' next hops that have
not answered; flows towards them, from before the start, must not be taken for stale.
"""

from __future__ import annotations

import time

from tenantry.controller import runtime
from tenantry.controller.service.inbox import Inbox
from tenantry.controller.service.neighbours import Neighbours
from tenantry.controller.switch.inventory import Inventory

START_SECONDS = 10.0
"""After a start, how long nothing is written while a switch that an OVSDB names is missing."""

NEIGHBOUR_SECONDS = 1.0
"""After a start, how long nothing is written while neighbours that routers need have not answered:
flows from before the start lead to them."""


class StartGate:
    """Opens once, for good."""

    def __init__(self, inventory: Inventory, neighbours: Neighbours, inbox: Inbox) -> None:
        self._inventory = inventory
        self._neighbours = neighbours
        self._inbox = inbox
        self._started = time.monotonic()
        self._asked: float | None = None  # when neighbours were asked

    def start(self) -> None:
        """From now on, who is missing is waited for so long and no longer."""
        runtime.spawn_after(START_SECONDS, self._give_up)

    def _give_up(self) -> None:
        self._inventory.give_up()
        self._inbox.wake()

    def all_here(self) -> bool:
        """Whether every switch that is expected has connected, or had its time."""
        late = time.monotonic() > self._started + START_SECONDS
        return late or not (self._inventory.waiting_for() or self._inventory.missing())

    def neighbours_known(self) -> bool:
        """Whether routers' next hops have answered since the start, or had their time."""
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
            self._neighbours.look()
            runtime.spawn_after(NEIGHBOUR_SECONDS, self._inbox.wake)
        late = now >= self._asked + NEIGHBOUR_SECONDS
        return late or not self._neighbours.missing()
