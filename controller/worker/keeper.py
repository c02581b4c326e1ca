# SPDX-License-Identifier: Apache-2.0

"""Keeps what is wanted on this host as it is wanted: looks, plans, does, and looks again, whenever
there is news. Each namespace is looked after by itself, some at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tenantry.controller.feature.processes import (
    FAILED,
    READY,
    REFUSED,
    STARTING,
    WAITING,
    Process,
)
from tenantry.controller.worker.act import Hands, Refused
from tenantry.controller.worker.known import Known, Outcome, Rest
from tenantry.controller.worker.plan import (
    Configure,
    Group,
    Put,
    Start,
    Step,
    Stop,
    Take,
    There,
    groups,
    missing,
    plan,
)
from tenantry.controller.worker.there import Place, Trouble, arrived
from tenantry.controller.worker.watch import Watch

LOG = logging.getLogger("tenantry.worker")

AT_ONCE = 4
LOOK_SECONDS = 1.0
"""How long it may take to notice what nobody tells: a file that was changed, a namespace whose name
was taken away."""

COMPANY_SECONDS = 0.1
"""How long news of a namespace waits for more."""

ROUNDS = 5
"""Looks and plans until nothing differs. If it still does, somebody works against us."""

AGAIN_SECONDS, LONGEST_SECONDS = 0.5, 30.0
"""When what fails is tried again: at first, and at the most; each time twice as late."""

LIVED_SECONDS = 10.0
"""Who has lived for so long, is started again at once."""

TOLD_AGAIN = 7
"""Questions in vain, after about half a second, until a process is told of its files once more: a
signal is lost on one that has only just begun."""

MISSING_SECONDS = 2.0
"""For how long an interface may be on its way."""


class Keeper:
    """``reported`` is told, by whatever thread, that there is something new in ``take_news``."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._hands = Hands(place)
        self._watch = Watch()
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._lock = threading.Lock()
        self._given: dict[str, Process] | None = None
        self._wanted: dict[str, Group] = {}
        self._known: dict[str, Known] = {}
        self._dirty: set[str] = set()
        self._busy: set[str] = set()
        self._done: list[tuple[str, Outcome]] = []
        self._due: dict[str, float] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._missing: dict[str, float] = {}  # since when
        self._states: dict[str, dict[str, Any]] = {}
        self._news: set[str] = set()
        self.news = threading.Event()
        """Set when :meth:`take_news` has something."""

    # --- for other threads ---------------------------------------------------------------------

    def want(self, processes: Mapping[str, Process]) -> None:
        with self._lock:
            self._given = dict(processes)
        self._watch.wake()

    def take_news(self) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """What has changed of processes since the last time; and the interfaces that are missing
        for long."""
        with self._lock:
            self.news.clear()
            names, self._news = self._news, set()
            told = {name: self._states[name] for name in names if name in self._states}
            now, late = time.monotonic(), []
            for name, since in self._missing.items():
                if now - since > MISSING_SECONDS:
                    late.append(name)
                    self._missing[name] = now
        return told, late

    def tell_again(self, names: Iterable[str] | None = None) -> None:
        """What is known of these, or of all, is news, for somebody has forgotten it."""
        with self._lock:
            self._news |= self._states.keys() & (self._states.keys() if names is None else {*names})
        self.news.set()

    def ask(self, name: str, report: str) -> str:
        """Errors: Trouble."""
        with self._lock:
            process = next(
                (g.processes[name] for g in self._wanted.values() if name in g.processes), None
            )
        probe = dict(process.reports).get(report) if process else None
        if process is None or probe is None:
            raise Trouble(f"{name} is not here, or has no {report}")
        return self._hands.ask(process, probe)

    # --- the loop ------------------------------------------------------------------------------

    def run(self) -> None:
        looked = time.monotonic()
        while True:
            self._take_given()
            self._begin()
            now = time.monotonic()
            due = min([looked + LOOK_SECONDS, *self._due.values()])
            news, ended = self._watch.wait(due - now)
            self._hands.reap()
            self._take_done()
            now = time.monotonic()
            self._dirty |= ended | (self._arrived() if "" in news else set())
            for namespace in news - {""}:  # several come together, above all of what we do
                self._look_in(namespace, COMPANY_SECONDS)
            for namespace, when in list(self._due.items()):
                if when <= now:
                    del self._due[namespace]
                    self._dirty.add(namespace)
            if now - looked >= LOOK_SECONDS:
                looked = now
                self._look()

    def _look_in(self, namespace: str, seconds: float) -> None:
        when = time.monotonic() + seconds
        self._due[namespace] = min(when, self._due.get(namespace, when))

    def _arrived(self) -> set[str]:
        """Those whose interfaces are on the host itself, where switches make them."""
        names = arrived()
        return {name for name, group in self._wanted.items() if names & group.plugs.keys()}

    def _waiting(self) -> set[str]:
        """Those that miss an interface."""
        return {name for name, outcome in self._outcomes.items() if outcome.missing}

    def _look(self) -> None:
        for namespace, outcome in self._outcomes.items():
            if namespace not in self._busy and namespace in self._wanted:
                signature = self._place.signature(namespace, self._wanted[namespace])
                if signature != outcome.signature:
                    self._dirty.add(namespace)
                for name in self._wanted[namespace].processes:
                    self._place.trim(name)
        with self._lock:
            late = any(time.monotonic() - s > MISSING_SECONDS for s in self._missing.values())
        if late:
            self.news.set()
            self._dirty |= self._waiting()

    def _take_given(self) -> None:
        with self._lock:
            given, self._given = self._given, None
        if given is None:
            return
        before, wanted = self._wanted, groups(given.values())
        with self._lock:
            self._wanted = wanted
            self._states = {name: of for name, of in self._states.items() if name in given}
        self._known = {name: of for name, of in self._known.items() if name in given}
        there = self._place.namespaces() - wanted.keys()
        self._dirty |= there | {name for name in wanted if wanted[name] != before.get(name)}

    def _begin(self) -> None:
        for namespace in sorted(self._dirty - self._busy):
            self._dirty.discard(namespace)
            self._busy.add(namespace)
            self._due.pop(namespace, None)
            self._pool.submit(self._mend_and_tell, namespace)

    def _mend_and_tell(self, namespace: str) -> None:
        try:
            outcome = self._mend(namespace, self._wanted.get(namespace, Group()))
        except Exception as error:  # a mistake of ours: others go on
            LOG.exception("%s: looking after it failed", namespace)
            outcome = Outcome(again=LONGEST_SECONDS)
            for name in self._wanted.get(namespace, Group()).processes:
                outcome.states[name] = {"state": FAILED, "reason": f"{error!r}"}
        with self._lock:
            self._done.append((namespace, outcome))
        self._watch.wake()

    def _take_done(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        for namespace, outcome in done:
            self._busy.discard(namespace)
            self._watch.follow(namespace, self._place.netns(namespace), outcome.pids)
            if outcome.again is not None:
                self._look_in(namespace, outcome.again)
            if namespace not in self._wanted:
                self._outcomes.pop(namespace, None)
                continue
            with self._lock:
                now = time.monotonic()
                before = self._outcomes.get(namespace, Outcome()).missing
                for name in before - outcome.missing:
                    self._missing.pop(name, None)
                for name in outcome.missing:
                    self._missing.setdefault(name, now)
                for name, state in outcome.states.items():
                    if (
                        name in self._wanted[namespace].processes
                        and self._states.get(name) != state
                    ):
                        self._states[name] = state
                        self._news.add(name)
            self._outcomes[namespace] = outcome
            if self._news:
                self.news.set()

    # --- one namespace, in a thread of the pool ------------------------------------------------

    def _mend(self, namespace: str, wanted: Group) -> Outcome:
        trouble = ""
        for _ in range(ROUNDS):
            try:
                there = self._place.there(namespace, wanted)
                self._note(wanted, there)
                steps = [*plan(wanted, there, self._resting(wanted))]
                if not steps:
                    break
                self._do(namespace, steps)
            except (Trouble, OSError) as error:
                trouble = _words(error)
                break
        else:
            trouble = f"it is changed again and again: {steps[0]}"
        if not wanted.processes:
            if trouble:
                LOG.warning("%s: %s; trying again", namespace, trouble)
            return Outcome(again=LONGEST_SECONDS if trouble else None)
        if trouble:
            states = {n: {"state": FAILED, "reason": trouble} for n in wanted.processes}
            for name in states:
                states[name] |= self._told(name)
            return Outcome(states, again=2.0, signature=None)
        return self._outcome(namespace, wanted, there)

    def _do(self, namespace: str, steps: list[Step]) -> None:
        failed: set[str] = set()
        for step in steps:
            process = getattr(step, "process", None)
            if process is None:
                if isinstance(step, Stop):
                    if step.name in failed:
                        continue
                    self._known_of(step.name).pid = 0
                if not isinstance(step, Take | Configure):
                    LOG.info("%s: %s", namespace, _shown(step))
                self._hands.do(namespace, step)
                continue
            if process.name in failed:
                continue
            if not isinstance(step, Put):
                LOG.info("%s: %s", process.name, _shown(step))
            try:
                self._hands.do(namespace, step)
                if isinstance(step, Start):
                    known = self._known_of(process.name)
                    known.pid, known.since = -1, time.monotonic()
            except (Trouble, OSError) as error:
                failed.add(process.name)
                state = REFUSED if isinstance(error, Refused) else FAILED
                self._rest(process, state, _words(error))

    def _known_of(self, name: str) -> Known:
        return self._known.setdefault(name, Known())

    def _rest(self, process: Process, state: str, reason: str) -> None:
        known, now = self._known_of(process.name), time.monotonic()
        before = known.rest
        tries = before.tries + 1 if before and before.digest == process.digest else 0
        wait = min(LONGEST_SECONDS, AGAIN_SECONDS * 2**tries)
        known.rest = Rest(process.digest, now + wait, tries, state, reason)
        LOG.warning("%s: %s; trying again in %g s", process.name, reason, wait)

    def _resting(self, wanted: Group) -> set[str]:
        now = time.monotonic()
        return {
            name
            for name, process in wanted.processes.items()
            if (rest := self._known_of(name).rest)
            and rest.digest == process.digest
            and now < rest.until
        }

    def _note(self, wanted: Group, there: There) -> None:
        """Who has ended by himself."""
        now = time.monotonic()
        for name, process in wanted.processes.items():
            known, alive = self._known_of(name), there.processes.get(name)
            if alive is not None:
                if known.pid != alive.pid:
                    known.since = known.since if known.pid == -1 else now
                    known.pid, known.confirmed, known.asked = alive.pid, "", 0
                if known.rest and now - known.since > LIVED_SECONDS and now > known.rest.until:
                    known.rest = None
            elif known.pid:
                known.pid, known.confirmed = 0, ""
                known.restarts += 1
                words = self._place.last_words(name)
                reason = f"it has ended{f': {words}' if words else ''}"
                if now - known.since < LIVED_SECONDS:
                    self._rest(process, FAILED, reason)
                else:
                    known.rest = None
                    LOG.warning("%s: %s; it is started again", name, reason)

    def _outcome(self, namespace: str, wanted: Group, there: There) -> Outcome:
        now, waits = time.monotonic(), list[float]()
        outcome = Outcome(signature=self._place.signature(namespace, wanted))
        for name, process in wanted.processes.items():
            known, alive = self._known_of(name), there.processes.get(name)
            lacking = missing(process, there)
            outcome.missing |= {*lacking}
            if alive:
                outcome.pids.add(alive.pid)
            resting = self._resting(Group({name: process}))
            if lacking:
                state = WAITING
                reason = f"the switch of this host has not made interface {lacking[0]} (yet)"
            elif resting and known.rest:
                state, reason = known.rest.state, known.rest.reason
                waits.append(known.rest.until - now)
            elif alive is None:
                state, reason = FAILED, "it has ended"
                waits.append(0.0)
            else:
                reason = self._is_there(process, known)
                state = STARTING if reason else READY
                if reason:
                    waits.append(min(1.0, 0.02 * 1.5**known.asked))
            outcome.states[name] = {"state": state, "reason": reason, **self._told(name)}
        outcome.again = min(waits, default=None)
        return outcome

    def _told(self, name: str) -> dict[str, Any]:
        known = self._known_of(name)
        return {"confirmed": known.confirmed, "pid": known.pid, "restarts": known.restarts}

    def _is_there(self, process: Process, known: Known) -> str:
        """ "", if it answers that it is; else what it says."""
        if known.confirmed == process.digest:
            return ""
        try:
            if process.ready is not None:
                self._hands.ask(process, process.ready)
        except (Trouble, OSError) as error:
            known.asked += 1
            if known.asked % TOLD_AGAIN == 0:
                self._hands.tell_again(process)
            return _words(error)
        known.confirmed, known.asked = process.digest, 0
        return ""


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _shown(step: Step) -> str:
    """For the log: no contents of files."""
    words = {"Start": "starting", "Load": "told of new files", "Stop": "stopping"}
    return words.get(type(step).__name__, type(step).__name__)
