# SPDX-License-Identifier: Apache-2.0

"""What is told unasked: after a change, once the switches have confirmed it, and now and then."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple
from weakref import WeakSet

from tenantry.controller import runtime
from tenantry.controller.feature.effects import Announce, PacketOut, Periodic, Unasked
from tenantry.controller.model import Change, Model, View
from tenantry.controller.model.previous import Before
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.service.progress import Progress

LOG = logging.getLogger(__name__)

AGAIN_SECONDS = (0.0, 0.15, 0.4, 1.0, 3.0)
"""When an announcement is sent. Once is not enough: until the last switch knows better, another may
still send from where the announced address was."""

REMEMBERED_SECONDS = 300.0
"""How long a switch that does not confirm a change may yet tell its hosts of it. Later they have
looked for themselves."""


class Told(NamedTuple):
    """Who has something to say after a change, what was before it, in which pass and when that
    was."""

    after: Announce
    before: Before
    change: Change
    generation: int
    at: float


class Announcements(Follower):
    """What features say after changes: see :data:`tenantry.controller.feature.effects.Announce`."""

    def __init__(self, model: Model, progress: Progress, announce: Iterable[Announce]) -> None:
        self._model = model
        self._progress = progress
        self._announce = tuple(announce)
        self._to_send: dict[int, deque[Told]] = {}  # by switch, the oldest first
        self._befores: WeakSet[Before] = WeakSet()  # that some of them hold

    def passed(self, passed: Passed) -> None:
        """Keep in mind who sends something after these changes, until the switches have confirmed
        them."""
        before = Before(self._model)
        self._befores.add(before)
        for one in self._befores:
            one.undo(passed.before)
        now, at = View(self._model), time.monotonic()
        for change in runtime.paced(passed.changes):
            for after in self._announce:
                for dpid in {dpid for dpid, _ in after(View(before), now, change)}:
                    told = Told(after, before, change, passed.generation, at)
                    self._to_send.setdefault(dpid, deque()).append(told)
        for waiting in self._to_send.values():
            while waiting and at - waiting[0].at > REMEMBERED_SECONDS:
                waiting.popleft()  # of a switch that is not there

    def confirmed(self, dpid: int, generation: int) -> None:
        """What is sent is what holds now: another switch may have confirmed something newer, and an
        announcement of before would take its traffic away."""
        waiting, ready = self._to_send.get(dpid, deque()), []
        while waiting and waiting[0].generation <= generation:
            ready.append(waiting.popleft())
        if ready:
            for seconds in AGAIN_SECONDS:
                runtime.spawn_after(seconds, self._send_what_holds, dpid, ready)

    def _send_what_holds(self, dpid: int, ready: list[Told]) -> None:
        """What was changed once more meanwhile is compared with what was before the first of its
        changes: of what was between, hosts may never have been told."""
        now = View(self._model)
        packets: dict[PacketOut, None] = {}
        for after, before, (kind, id, _), *_ in ready:
            said = after(View(before), now, Change(kind, id, self._model.get(kind, id)))
            packets |= {packet: None for to, packet in said if to == dpid}
        for packet in packets:
            self._progress.send(dpid, packet)


class Repeated(Follower):
    """What a feature does for all switches now and then."""

    def __init__(
        self,
        model: Model,
        progress: Progress,
        every: Periodic,
        submit: Callable[[list[Change]], None],
    ) -> None:
        """``submit`` is given what is known by then."""
        self.every = every
        self._model = model
        self._progress = progress
        self._submit = submit

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            runtime.sleep(self.every.seconds)
            self.send()

    def send(self) -> None:
        """Do it now."""
        for dpid in list(self._progress.connections):
            self._handle(dpid, self.every.effects)

    def disconnected(self, dpid: int) -> None:
        self._handle(dpid, self.every.lost)

    def _handle(self, dpid: int, unasked: Unasked) -> None:
        changes = []
        try:
            for effect in unasked(View(self._model), dpid):
                if isinstance(effect, Change):
                    changes.append(effect)
                else:
                    self._progress.send(dpid, effect)
                    runtime.yield_now()
        except Exception:
            LOG.exception("what is done for switch %016x now and then failed", dpid)
        if changes:
            self._submit(changes)
