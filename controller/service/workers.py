# SPDX-License-Identifier: Apache-2.0

"""The workers, as the controller meets them: what each is to run follows from the model, which of
them are alive from their asking."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import Processes
from tenantry.controller.feature.processes import (
    FAILED,
    READY,
    REFUSED,
    STATES,
    Process,
    as_json,
)
from tenantry.controller.feature.routes import Silent
from tenantry.controller.log import EACH, printable
from tenantry.controller.model import (
    Change,
    Model,
    Placed,
    ProcessState,
    Switch,
    View,
    Worker,
)
from tenantry.controller.service.desk import Desk, Question, processes_on
from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.store import Unavailable

LOG = logging.getLogger(__name__)

POLL_SECONDS = 1.0
"""How long a worker waits for news, at most, before it asks again."""

DEAD_SECONDS = 3.0
"""For so long a worker that is alive may be silent."""

LOOK_SECONDS = 0.25

ANSWER_SECONDS = 5.0
"""For what a process is asked."""

REASON = 500  # characters


class Workers(Follower):
    """``note(host, alive)`` writes down that a worker is alive, or is not (Unavailable);
    ``renew(host, interface)`` has an interface made again that is missing there."""

    def __init__(
        self,
        engine: Engine,
        wants: Iterable[Processes],
        submit: Callable[[Iterable[Change]], None],
        *,
        store: str,
        note: Callable[[str, bool], None],
        renew: Callable[[str, str], None],
    ) -> None:
        self._engine = engine
        self._wants = tuple(wants)
        self._submit = submit
        self._store = store
        self._note = note
        self._renew = renew
        self._epoch = secrets.token_hex(4)
        self.desks: dict[str, Desk] = {}
        """By worker."""
        self._seen: dict[tuple[str, Processes], tuple[Process, ...]] = {}
        self._begun = False
        """Whether the model has what is stored."""
        self._known: frozenset[str] = frozenset()
        self._alive: frozenset[str] = frozenset()
        self._moved = False
        """Whether some worker is to run something else than when ports were placed."""
        self._placed: dict[str, str] = {}
        self._answers: dict[str, tuple[runtime.Signal, dict[str, Any]]] = {}

    @property
    def _model(self) -> Model:
        return self._engine.model

    # --- what is wanted ------------------------------------------------------------------------

    def passed(self, passed: Passed) -> None:
        view, self._begun = View(self._model, self._engine), True
        known = {str(host): worker.alive for host, worker in self._model.all(Worker).items()}
        changes: list[Change] = []
        for host in self._known - known.keys():
            changes += self._want(host, {})
            del self.desks[host]
            self._seen = {key: of for key, of in self._seen.items() if key[0] != host}
        self._known = frozenset(known)
        for host in sorted(known):
            if self._is_another(view, host):
                every = [self._seen.get((host, wants), ()) for wants in self._wants]
                wanted = {process.name: process for some in every for process in some}
                changes += self._want(host, wanted)
        for host in [host for host, alive in known.items() if alive and host not in self._alive]:
            self._desk(host).wake()
        self._alive = frozenset(host for host, alive in known.items() if alive)
        if self._moved:
            self._moved = False
            changes += self._place()
        if changes:
            self._submit(changes)

    def _is_another(self, view: View, host: str) -> bool:
        """Whether other processes are wanted of a worker than before. Of a feature that fails at
        it, all stay that there were."""
        found = host not in self.desks
        for wants in self._wants:
            try:
                now = processes_on(view, wants, host)
            except Exception:
                LOG.exception("processes for %s do not compile; they stay as they are", host)
                continue
            if self._seen.get((host, wants), ()) is not now:
                self._seen[host, wants] = now
                found = True
        return found

    def _desk(self, host: str) -> Desk:
        return self.desks.setdefault(host, Desk())

    def _want(self, host: str, wanted: dict[str, Process]) -> Iterator[Change]:
        desk = self._desk(host)
        differ = {
            name
            for name in desk.wanted.keys() | wanted.keys()
            if desk.wanted.get(name) != wanted.get(name)
        }
        if not differ:
            return
        self._moved = True
        desk.generation += 1
        desk.changed.update(dict.fromkeys(differ, desk.generation))
        desk.wanted = wanted
        for name in differ - wanted.keys():
            desk.told.pop(name, None)
            state = self._model.get(ProcessState, name)
            if state is not None and state.worker == host:
                yield Change(ProcessState, name, None)
        desk.wake()

    def _place(self) -> Iterator[Change]:
        """Where ports are that we plug in."""
        placed = {
            plug.port_id: host
            for host, desk in sorted(self.desks.items())
            for process in desk.wanted.values()
            for plug in process.plugs
        }
        before, self._placed = self._placed, placed
        for port in before.keys() | placed.keys():
            if (host := placed.get(port)) != before.get(port):
                yield Change(Placed, port, Placed(port, host) if host else None)

    # --- workers that ask ----------------------------------------------------------------------

    def news(self, host: str, generation: str, gone: Callable[[], bool]) -> dict[str, Any]:
        """What a worker is to run, if it is another thing than that of a generation; else an answer
        that says nothing, after a while. Errors: LookupError, Unavailable."""
        self._heard(host)
        desk, end = self._desk(host), time.monotonic() + POLL_SECONDS
        signal = runtime.Signal()
        desk.waiting.append(signal)
        try:
            while not self._has_news(host, desk, generation) and not gone():
                if not signal.wait(max(0.0, end - time.monotonic())):
                    break
        finally:
            desk.waiting.remove(signal)
        if host not in self._alive:
            # It has come while all that is known is computed: then it is told.
            return self._told(generation, False, {}, desk)
        epoch, _, number = generation.partition(".")
        known = int(number) if epoch == self._epoch and number.isdecimal() else None
        names = (
            [*desk.wanted]
            if known is None
            else [name for name, when in desk.changed.items() if when > known]
        )
        processes = {name: desk.wanted.get(name) for name in names}
        return self._told(f"{self._epoch}.{desk.generation}", known is None, processes, desk)

    def _has_news(self, host: str, desk: Desk, generation: str) -> bool:
        if host not in self._alive:
            return False
        return bool(desk.questions) or generation != f"{self._epoch}.{desk.generation}"

    def _told(
        self, generation: str, whole: bool, processes: Mapping[str, Process | None], desk: Desk
    ) -> dict[str, Any]:
        questions, desk.questions = desk.questions, {}
        return {
            "store": self._store,
            "generation": generation,
            "whole": whole,
            "processes": {
                name: None if process is None else as_json(process)
                for name, process in processes.items()
            },
            "questions": questions,
        }

    def report(self, host: str, said: Mapping[str, Any]) -> None:
        """What a worker says of its processes. Errors: LookupError, ValueError, Unavailable."""
        self._heard(host)
        desk, changes = self._desk(host), []
        for name, told in _objects(said, "states").items():
            if name not in desk.wanted:
                continue  # it is to let go of it
            state, reason = told.get("state"), printable(str(told.get("reason") or ""))[:REASON]
            if state not in STATES:
                raise ValueError(f"the state of {name} must be one of {', '.join(STATES)}")
            desk.told[name] = {**told, "reason": reason}
            confirmed = str(told.get("confirmed") or "")
            record = ProcessState(name, host, state, reason, confirmed)
            before = self._model.get(ProcessState, name)
            if record != before:
                changes.append(Change(ProcessState, name, record))
            if state in (FAILED, REFUSED) and (before is None or before.reason != reason):
                LOG.warning("worker %s: %s is %s: %s", host, name, state, reason, extra=EACH)
        if changes:
            self._submit(changes)
        ours = {plug.interface for process in desk.wanted.values() for plug in process.plugs}
        missing = said.get("missing", [])
        if not isinstance(missing, list):
            raise ValueError("missing must be a list of interfaces")
        for interface in missing:
            if interface in ours:
                self._renew(host, interface)
        for id, answer in _objects(said, "answers").items():
            if id in self._answers:
                signal, place = self._answers[id]
                place.update(answer)
                signal.set()

    def _heard(self, host: str) -> None:
        """A worker asks. Errors: LookupError, if there is no such host, Unavailable."""
        self._desk(host).heard = time.monotonic()
        worker = self._model.get(Worker, host)
        if not self._begun:
            return
        if worker is None:
            hosts = sorted({s.host for s in self._model.all(Switch).values() if s.integration})
            if host not in hosts:
                known = ", ".join(filter(None, hosts)) or "none yet"
                raise LookupError(
                    f"there is no host {host} with a switch of ours; known: {known}. Say --name"
                )
        if worker is None or not worker.alive:
            LOG.info("worker %s is here", host)
            self._note(host, True)

    def run(self) -> None:
        """Note who is silent."""
        before = time.monotonic()
        while True:
            runtime.sleep(LOOK_SECONDS)
            now = time.monotonic()
            if now - before > 2 * LOOK_SECONDS:  # it was we who were busy
                for desk in self.desks.values():
                    desk.heard += now - before - LOOK_SECONDS
            before = now
            for host in sorted(self._alive):
                if now - self._desk(host).heard > DEAD_SECONDS:
                    LOG.warning("worker %s is silent; what it has goes to others", host)
                    try:
                        self._note(host, False)
                    except Unavailable as error:
                        LOG.warning("worker %s is not noted to be silent: %s", host, error)

    # --- what is asked of them -----------------------------------------------------------------

    def ask(self, name: str, report: str) -> str:
        """See :meth:`tenantry.controller.feature.routes.Running.ask_process`."""
        host = next((h for h, desk in self.desks.items() if name in desk.wanted), None)
        if host is None:
            raise Silent("no worker has it")
        if host not in self._alive:
            raise Silent(f"worker {host} is silent")
        id, signal, answer = secrets.token_hex(8), runtime.Signal(), dict[str, Any]()
        desk = self._desk(host)
        self._answers[id] = (signal, answer)
        desk.questions[id] = Question(name, report)
        desk.wake()
        try:
            if not signal.wait(ANSWER_SECONDS):
                raise Silent(f"worker {host} has not answered for {ANSWER_SECONDS:g} seconds")
        finally:
            del self._answers[id]
            desk.questions.pop(id, None)
        if "text" not in answer:
            raise Silent(f"worker {host}: {printable(str(answer.get('error')))[:REASON]}")
        return str(answer["text"])

    def state(self, name: str) -> str:
        """See :meth:`tenantry.controller.feature.routes.Running.process_state`."""
        for host, desk in self.desks.items():
            process = desk.wanted.get(name)
            if process is not None and host in self._alive:
                told = desk.told.get(name, {})
                right = told.get("confirmed") == process.digest
                state = str(told.get("state") or "")
                return state if right or state != READY else ""
        return ""


def _objects(said: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Errors: ValueError, if it is no object of objects."""
    value = said.get(name, {})
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError(f"{name} must be an object of objects")
    return value
