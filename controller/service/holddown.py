# SPDX-License-Identifier: Apache-2.0

"""Which switches are not to be gateways for now: one that its peers have lost rests until it has
been back for a while, with all of its flows. So a gateway that comes and goes does not take its
routers along each time, and one that has just started, and holds nothing yet, is sent nothing.

Switches fail over without us; this is about going back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tenantry.controller import runtime
from tenantry.controller.model import Agent, Change, Health, Model, Switch, Tunnel, View
from tenantry.controller.network.records import HeldDown
from tenantry.controller.service.follower import Follower, Passed

BACK_SECONDS = 10.0
"""How long one must have been back."""


class HoldDown(Follower):
    """Follows what tunnels say; emits records of HeldDown."""

    def __init__(
        self,
        model: Model,
        emit: Callable[[list[Change]], None],
        ready: Callable[[int], bool],
        later: Callable[[float, Callable[[], None]], object] = runtime.spawn_after,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``ready``: whether a switch is connected and holds its flows."""
        self._model = model
        self._emit = emit
        self._ready = ready
        self._later = later
        self._clock = clock
        self._back: dict[int, float] = {}  # since when those that rest have been back

    def passed(self, passed: Passed) -> None:
        """See what tunnels have said meanwhile."""
        view = View(self._model)
        peers = {c.record.peer for c in passed.taken if isinstance(c.record, Health)}
        for peer in peers:
            for agent in view.find(Agent, tunnel=peer):
                for switch in sorted(view.ids(Switch, host=agent.host)):
                    self._look_at(view, switch, agent)

    def settled(self) -> bool:
        """Whether all that is known of tunnels counts, and none of them is down."""
        healths = self._model.all(Health).values()
        return all(h.up and self._model.get(Tunnel, h.id) is not None for h in healths)

    def _look_at(self, view: View, switch: int, agent: Agent) -> None:
        resting = view.get(HeldDown, switch) is not None
        up = self._is_up(view, agent)
        if up is None:
            return
        if not up:
            self._back.pop(switch, None)
            if not resting:
                self._emit([Change(HeldDown, switch, HeldDown(switch))])
        elif resting and switch not in self._back:
            self._back[switch] = self._clock()
            self._later(BACK_SECONDS, self._end)

    def _is_up(self, view: View, agent: Agent) -> bool | None:
        """Whether anybody who can tell says so; None if nobody can. Of two that have lost each
        other, only one rests."""
        reports = [
            health
            for health in view.find(Health, peer=agent.tunnel)
            if view.get(Tunnel, health.id) is not None
            and self._ready(health.switch)
            and view.get(HeldDown, health.switch) is None
        ]
        return any(health.up for health in reports) if reports else None

    def _end(self) -> None:
        """Wake those that have been back for long enough."""
        now = self._clock()
        for switch, since in list(self._back.items()):
            if now - since < BACK_SECONDS - 0.01:
                continue
            if self._ready(switch):
                del self._back[switch]
                self._emit([Change(HeldDown, switch, None)])
            else:
                self._later(1.0, self._end)
