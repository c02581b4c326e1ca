# SPDX-License-Identifier: Apache-2.0

"""The one loop.

::

    store ──commits──┐                                ┌──> Reconciler (one a connected switch)
                     ├──> Inbox ──> Model ──> Engine ─┤
    switches ──seen──┘     (one pass at a time)       └──> Followers, and what status tells

Everything that happens goes through the inbox; a pass takes all of it, changes the model, lets the
engine run, and wakes the reconcilers. So the model never changes while flows are computed, and a
burst of changes costs one pass.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import NamedTuple

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import Unit
from tenantry.controller.model import Binding, Change, Model, Network, Read, Record
from tenantry.controller.model.binding import rebind
from tenantry.controller.model.previous import formers
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.service.inbox import Inbox
from tenantry.controller.service.progress import Progress
from tenantry.controller.service.start_gate import StartGate
from tenantry.controller.switch.connection import Connection
from tenantry.controller.switch.reconcile import Push, Realised, Reconciler

LOG = logging.getLogger(__name__)

SLICE_SECONDS = 0.02
"""How long the engine computes before it lets others run: echo replies, API calls."""

BATCH = 500
"""Changes that go into the model before others are let work."""


class Pass(NamedTuple):
    """What one pass did: from how many changes, how many nodes ran, how long it took."""

    generation: int
    changes: int
    nodes: int
    seconds: float


def run_in_slices(engine: Engine, rest: float = 0.0) -> int:
    """Let the engine run to its end, resting for ``rest`` seconds between slices; how many nodes
    ran."""
    nodes = 0
    started = time.monotonic()
    with runtime.collections_paused():
        for _ in engine.run():
            nodes += 1
            if time.monotonic() - started > SLICE_SECONDS:
                if rest:
                    runtime.sleep(rest)
                runtime.yield_now()
                started = time.monotonic()
        runtime.freeze_heap(made=nodes)
    return nodes


class Loop:
    """Follows the store and the switches, and keeps every connected switch as wanted."""

    def __init__(
        self,
        engine: Engine,
        inbox: Inbox,
        progress: Progress,
        gate: StartGate,
        followers: Iterable[Follower],
        audit_seconds: float,
    ) -> None:
        """``followers`` are told of everything in this order. ``audit_seconds``: how often what a
        switch holds is compared with what it should hold."""
        self.engine = engine
        self.passes: deque[Pass] = deque(maxlen=20)
        self.passing = runtime.Lock()
        """Who holds it keeps the next pass from beginning."""
        self.engines: list[Engine] = [engine]
        """Those that are told what changes: ours, and for a while others to compare it with."""
        self._model: Model = engine.model
        self._inbox = inbox
        self._progress = progress
        self._gate = gate
        self._followers = tuple(followers)
        self._audit_seconds = audit_seconds

    def observed(self, change: Change) -> None:
        """Take it in with the next pass. Never waits."""
        self._inbox.submit([change])

    # --- switches ----------------------------------------------------------------------------

    def connected(self, connection: Connection) -> None:
        self._progress.connections[connection.dpid] = connection
        for follower in self._followers:
            follower.connected(connection)
        self._inbox.wake()

    def disconnected(self, connection: Connection) -> None:
        dpid = connection.dpid
        if self._progress.connections.get(dpid) is connection:
            del self._progress.connections[dpid]
            for follower in self._followers:
                follower.disconnected(dpid)
            if reconciler := self._progress.reconcilers.pop(dpid, None):
                reconciler.wake()  # to see that it is over
            self._progress.tell()

    def _start_reconciler(self, connection: Connection) -> None:
        """Only now: the switch is connected, its interfaces are known, its flows computed."""
        dpid = connection.dpid

        def confirmed(realised: Realised) -> None:
            self._progress.realised[dpid] = realised
            for follower in self._followers:
                follower.confirmed(dpid, realised.generation)
            self._progress.tell()

        def pushed(push: Push) -> None:
            for follower in self._followers:
                follower.pushed(dpid, push)

        def mended(push: Push, units: Collection[Unit]) -> None:
            for follower in self._followers:
                follower.mended(dpid, push, units)

        reconciler = Reconciler(
            connection,
            self.engine,
            target=lambda: self._progress.target,
            confirmed=confirmed,
            audit_seconds=self._audit_seconds,
            mended=mended,
            pushed=pushed,
        )
        self._progress.reconcilers[dpid] = reconciler
        for follower in self._followers:
            follower.started(dpid)
        runtime.spawn(reconciler.run)

    # --- passes ------------------------------------------------------------------------------

    def run(self) -> None:
        """Pass after pass, for as long as the process lives."""
        self._gate.start()
        while True:
            self._inbox.wait()
            try:
                with self.passing:
                    self._progress.computing = True
                    self._pass()
            except Exception:
                LOG.exception("a pass failed; the next change starts another")
            finally:
                self._progress.computing = False
                self._progress.tell()

    @runtime.collections_paused()
    def _pass(self) -> None:
        started = time.monotonic()
        all_here = self._gate.all_here()  # as of the changes taken now: more may come meanwhile
        taken, revision = self._inbox.take()
        generation = self._progress.target.generation + 1
        before: dict[tuple[type[Record], Hashable], Record | None] = {}
        for some in _batches(taken):
            self._apply(some, before, generation)
            runtime.yield_now()
        self._touch(self._model.apply(list(formers(self._model, before))))
        changes = [
            Change(kind, id, record)
            for (kind, id), old in before.items()
            if (record := self._model.get(kind, id)) != old
        ]
        nodes = run_in_slices(self.engine)
        passed = Passed(taken, changes, before, generation, started)
        for follower in self._followers:
            follower.passed(passed)
        # From here on without a break: what was touched belongs to this generation.
        self._progress.target = Realised(generation, revision)
        for dpid in self.engine.wanted:
            reconciler = self._progress.reconcilers.get(dpid)
            connection = self._progress.connections.get(dpid)
            if reconciler is not None:
                reconciler.wake()
            elif connection is not None and all_here and self._gate.neighbours_known():
                self._start_reconciler(connection)
        self.passes.append(Pass(generation, len(taken), nodes, time.monotonic() - started))
        runtime.freeze_heap(made=len(taken))

    def _apply(
        self,
        changes: list[Change],
        before: dict[tuple[type[Record], Hashable], Record | None],
        generation: int,
    ) -> None:
        """Change the model, and what is bound where by then; note what was there ``before``."""
        touched: set[Read] = set()

        def change(some: list[Change]) -> None:
            nonlocal touched
            for kind, id, _ in some:
                before.setdefault((kind, id), self._model.get(kind, id))
            touched |= self._model.apply(some)

        change(changes)
        bound = rebind(self._model, changes)
        change(bound)
        for kind, id, record in (*changes, *bound):
            if kind in (Binding, Network):
                if record is None:
                    self._progress.wired.pop(str(id), None)
                else:
                    self._progress.wired[str(id)] = generation
        self._touch(touched)

    def _touch(self, touched: set[Read]) -> None:
        for engine in self.engines:
            engine.touch(touched)


def _batches(changes: list[Change]) -> Iterator[list[Change]]:
    for start in range(0, len(changes), BATCH):
        yield changes[start : start + BATCH]
