# SPDX-License-Identifier: Apache-2.0

"""Asks whoever features want asked whether it is alive, from here through the service port.

Thousands are one loop: a heap of what is due, beside the questions that are under way
(``questions.py``). What follows from answers is in ``judging.py``. Nobody is judged by what is our
own fault: no interface, no descriptors, a switch of ours that is not connected.
"""

from __future__ import annotations

import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TypeAlias
from zlib import crc32

from tenantry.controller import runtime
from tenantry.controller.feature import probes
from tenantry.controller.feature.probes import Probe, Probing, Unreachable, Verdict
from tenantry.controller.model import Change, Model, View
from tenantry.controller.network.tunnels import service_switch
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.service.judging import Judge, Kept
from tenantry.controller.service.progress import Progress
from tenantry.controller.service.questions import Asking, Questions
from tenantry.controller.service.service_port import ServicePort

LOG = logging.getLogger(__name__)

NO_ANSWER = "no answer"

SLICE_SECONDS = 0.002
"""Of work, before others have their turn."""

SOON_SECONDS, LATE_SECONDS = 0.005, 0.1
"""Until we try again: whom we ask already, and whose time is about to be up; and where as many are
asked as may be at a time."""

WRITE_SECONDS = 1.0
"""How long verdicts may wait until they are written, so that many are written together."""


_Whole: TypeAlias = tuple[int, str]
"""Of which feature's, by its place among them, and the id of what they are parts of."""


@dataclass(eq=False)
class _Asked:
    """Somebody, with what was found so far; and the question that is under way."""

    of: _Whole
    probe: Probe
    judge: Judge
    due: float = 0.0
    asking: Asking | None = None
    token: object = field(default_factory=object)  # what is due of an older one is not


def can_ask(model: Model, service_port: ServicePort, progress: Progress) -> bool:
    """Whether what is asked from here gets anywhere: else silence says nothing."""
    switch = service_switch(View(model))
    if switch is None or service_port.state != "up":
        return False
    return progress.holds_its_flows(switch)


class Prober(Follower):
    """``ready`` tells whether what is asked gets anywhere. ``most``: questions at a time."""

    def __init__(
        self,
        model: Model,
        probings: Iterable[Probing],
        submit: Callable[[list[Change]], None],
        *,
        interface: str,
        most: int,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.asked: Counter[str] = Counter()
        """Questions so far, by kind; ``failed`` likewise those that were not answered well."""
        self.failed: Counter[str] = Counter()
        self.late = 0
        """How often somebody was asked later than was due, since so many were asked already."""
        self.most = most
        self.under_way = 0
        self._model = model
        self._probings = tuple(probings)
        self._submit = submit
        self._ready = ready
        self._questions = Questions(interface)
        self._wholes: dict[_Whole, dict[str, _Asked]] = {}
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._stale: set[_Whole] = set()
        self._changed = False  # whether to look whom to ask
        self._begun = False  # whether all is known that was there at the start
        self._broken = ""
        self._kept = [Kept(probing.file) for probing in self._probings]
        for probing, kept in zip(self._probings, self._kept, strict=True):
            submit([probing.record(id, Verdict(id, False, why)) for id, why in kept.dead.items()])

    def __len__(self) -> int:
        return sum(map(len, self._wholes.values()))

    @property
    def dead(self) -> int:
        """How many are."""
        return sum(asked.judge.alive is False for asked in self._everybody())

    def _everybody(self) -> Iterator[_Asked]:
        return (asked for some in self._wholes.values() for asked in some.values())

    def passed(self, passed: Passed) -> None:
        view = View(self._model)
        for place, probing in enumerate(self._probings):
            for change in passed.changes:
                if change.type in probing.reads:
                    for record in (change.record, passed.before.get((change.type, change.id))):
                        if record is not None and (id := probing.whole(view, record)) is not None:
                            self._stale.add((place, id))
        if self._stale or not self._begun:
            self._changed = True
            self._questions.wake()

    def run(self) -> None:
        """For as long as the process lives."""
        try:
            while True:
                try:
                    self.turn()
                except Exception:
                    LOG.exception("asking who is alive failed")
                    runtime.sleep(LATE_SECONDS)
        finally:
            self._close()

    def _close(self) -> None:
        for asked in self._everybody():
            self._forget(asked)
        self._questions.close()
        for kept in self._kept:
            kept.write()

    def turn(self) -> None:
        """Wait until there is something to do, and do some of it."""
        if self._changed:
            self._changed = False
            self._look()
        wait = max(0.0, self._heap[0][0] - monotonic()) if self._heap else None
        self._questions.wait(wait)
        end = perf_counter() + SLICE_SECONDS
        while self._heap and self._heap[0][0] <= monotonic():
            heapq.heappop(self._heap)[2]()
            if perf_counter() > end:
                return

    def _at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (when, next(self._numbers), action))

    # --- whom -----------------------------------------------------------------------------------

    def _look(self) -> None:
        """See who is to be asked by now, where that may have changed."""
        stale, self._stale = self._stale, set()
        for whole in runtime.paced(sorted(stale)):
            place, id = whole
            there = self._wholes.setdefault(whole, {})
            left = set(there)
            for probe in self._probings[place].wanted(View(self._model), id):
                left.discard(probe.id)
                self._want(whole, there, probe)
            for gone in left:
                self._leave(there.pop(gone))
            if not there:
                del self._wholes[whole]
        if not self._begun:
            self._begun = True
            known = {asked.probe.id for asked in self._everybody()}
            for place, kept in enumerate(self._kept):
                for id in kept.dead.keys() - known:
                    self._found(place, id, None)

    def _leave(self, asked: _Asked) -> None:
        asked.token = object()
        self._forget(asked)
        if asked.judge.alive is not None:
            self._found(asked.of[0], asked.probe.id, None)

    def _want(self, whole: _Whole, there: dict[str, _Asked], probe: Probe) -> None:
        now, asked = monotonic(), there.get(probe.id)
        if asked is None:
            judge = Judge(probe.rise, probe.fall, self._kept[whole[0]].dead.get(probe.id))
            asked = there[probe.id] = _Asked(whole, probe, judge)
            # Everybody at a time of its own, whenever they have come.
            self._plan(asked, now + probe.delay * crc32(probe.id.encode()) / (1 << 32))
        elif asked.probe != probe:
            asked.probe = probe
            asked.judge.needs(probe.rise, probe.fall)
            self._plan(asked, min(asked.due, now + probe.delay))

    def _plan(self, asked: _Asked, due: float) -> None:
        token = asked.token = object()
        asked.due = due
        self._at(due, lambda: self._ask(asked, token))

    # --- a question -----------------------------------------------------------------------------

    def _ask(self, asked: _Asked, token: object) -> None:
        now, probe = monotonic(), asked.probe
        if asked.token is not token:
            return
        if asked.asking is not None:
            self._at(now + SOON_SECONDS, lambda: self._ask(asked, token))
            return
        if self.under_way >= self.most:
            self.late += 1
            self._plan(asked, now + LATE_SECONDS)
            return
        # What was missed while we were late is not made up for.
        self._plan(asked, max(asked.due + probe.delay, now + probe.delay / 2))
        if not self._ready():
            return
        asking = asked.asking = Asking(probe, lambda _, reason: self._end(asked, asking, reason))
        self.under_way += 1
        try:
            self._questions.begin(asking)
        except OSError as error:
            self._forget(asked)
            if str(error) != self._broken:
                self._broken = str(error)
                LOG.warning("nobody can be asked whether it is alive: %s", error)
            return
        # To a datagram no answer is due: that nobody refuses it is all there is to be known.
        silence = "" if probe.question.kind == probes.UDP else NO_ANSWER
        self._at(now + probe.timeout, lambda: self._end(asked, asking, silence))

    def unreachable(self, one: Unreachable) -> None:
        """An ICMP error about a datagram of ours."""
        self._questions.refused(one.version, one.address, one.port)

    def _end(self, asked: _Asked, asking: Asking, reason: str) -> None:
        if asked.asking is not asking:
            return
        self._forget(asked)
        if not self._ready():
            return
        self._broken = ""
        kind = asking.probe.question.kind
        self.asked[kind] += 1
        self.failed[kind] += bool(reason)
        if asked.judge.heard(reason):
            id, judge = asked.probe.id, asked.judge
            self._found(asked.of[0], id, Verdict(id, bool(judge.alive), judge.reason))

    def _forget(self, asked: _Asked) -> None:
        asking, asked.asking = asked.asking, None
        if asking is not None:
            self.under_way -= 1
            self._questions.forget(asking)

    def _found(self, place: int, id: str, verdict: Verdict | None) -> None:
        kept = self._kept[place]
        kept.note(id, None if verdict is None or verdict.alive else verdict.reason)
        if kept.changed and not kept.is_planned:
            kept.is_planned = True
            self._at(monotonic() + WRITE_SECONDS, kept.write)
        self._submit([self._probings[place].record(id, verdict)])
