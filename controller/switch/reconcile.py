"""Make a switch hold exactly the flows that are wanted: one :class:`Reconciler` a connection.

On connect, at every audit and when asked, it dumps the cookies that the switch holds, and what
differs goes out; in between, only what the engine touched. Everything goes in bundles: adds before
deletes (an ADD of the same match replaces in place), errors looked at before the commit, so that a
bundle is either in or not. Flows that a switch refuses are set aside with the whole of their unit,
named, and tried again at the next audit; all others go on. The learned table is never touched.
Meters cannot go in bundles: they and groups are set before the flows that use them, and removed
after.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from controller import runtime
from controller.engine import Engine
from controller.switch import codec
from controller.switch.channel import Connection, Disconnected
from controller.wanted import Wanted

LOG = logging.getLogger(__name__)

BUNDLE_MESSAGES = 2000
"""Flow-mods in one bundle: userspace OVS commits in the thread that forwards packets."""

SUSPICION_SECONDS = 0.05
"""From a change by somebody else to the audit that mends it."""

FIRST_BACK_OFF_SECONDS = 1.0
"""Until refused units are offered again; doubled each time, up to the audit interval."""


@dataclass(frozen=True)
class Refusal:
    """A unit that the switch would not take, and the switch's own words (OpenFlow 1.4, 7.5.4).

    ``cookies`` are those of all its flows: half a unit is no feature.
    """

    unit: str
    error: str
    cookies: frozenset[int]


@dataclass(frozen=True)
class Realised:
    """How far a switch has confirmed: the engine's pass, and the newest commit in it."""

    generation: int = 0
    revision: int = 0


@dataclass
class Push:
    """How many flows were sent, and how many deletions."""

    added: int = 0
    deleted: int = 0

    def __iadd__(self, other: Push) -> Push:
        self.added += other.added
        self.deleted += other.deleted
        return self


@dataclass
class Reconciler:
    """Keeps one connected switch as wanted, until it disconnects.

    ``target`` says which pass the engine has finished; it is read together with what the pass
    touched. ``confirmed`` is called, in the reconciler's own greenlet, when a barrier has
    confirmed all of it.
    """

    connection: Connection
    engine: Engine
    target: Callable[[], Realised]
    confirmed: Callable[[Realised], None]
    audit_seconds: float
    realised: Realised = field(default_factory=Realised)
    refused: list[Refusal] = field(default_factory=list)
    sent: Push = field(default_factory=Push)
    """All that this connection was sent."""
    audits: int = 0
    repaired: int = 0
    _installed: dict[int, int] = field(default_factory=dict)  # table by cookie; or key, 0
    _slots: dict[int, int] = field(default_factory=dict)  # keys of meters and groups by slot
    _wake: runtime.Signal = field(default_factory=runtime.Signal)
    _distrusted: set[int] = field(default_factory=set)
    _bundle: int = 0
    _audit_at: float = 0.0  # on the monotonic clock, as is the next
    _retry_at: float = 0.0
    _back_off: float = FIRST_BACK_OFF_SECONDS

    def wake(self) -> None:
        """The engine finished a pass, or the switch is gone: look."""
        self._wake.set()

    def run(self) -> None:
        """Until the switch is gone."""
        try:
            self.connection.on_foreign_changes = self._suspect
            self.connection.watch_flows()
            self._resync()
            while True:
                soonest = min(self._audit_at, self._retry_at if self.refused else self._audit_at)
                if self._wake.wait(max(0.0, soonest - time.monotonic())):
                    self._follow()
                if time.monotonic() >= self._audit_at:
                    self.audit()
                elif self.refused and time.monotonic() >= self._retry_at:
                    self._retry()
        except Disconnected as reason:
            LOG.info("%s", reason)
        except Exception:
            # Hanging up makes the switch connect again, and that starts from a dump.
            LOG.exception("reconciling switch %016x failed", self.connection.dpid)
        finally:
            self.connection.close()

    def _suspect(self, changes: list[codec.ForeignChange]) -> None:
        """Somebody else changed flows: audit soon, when they may have finished.

        A flow that was modified in place bears our cookie still, so no dump would show it.
        """
        self._distrusted.update(change.cookie for change in changes if change.modified)
        self._audit_at = min(self._audit_at, time.monotonic() + SUSPICION_SECONDS)
        self._wake.set()

    def audit(self) -> Push:
        """Dump, compare, repair; what differed had been changed by somebody else."""
        push = self._resync()
        self.audits += 1
        if push.added or push.deleted:
            self.repaired += push.added + push.deleted
            LOG.warning(
                "switch %016x: audit restored %d flows and removed %d",
                *(self.connection.dpid, push.added, push.deleted),
            )
        return push

    def _resync(self) -> Push:
        self._audit_at = time.monotonic() + self.audit_seconds
        distrusted, self._distrusted = self._distrusted, set()
        self.connection.send(codec.see_fragments(self.connection.xid()))
        found = {(flow.cookie, flow.table_id) for flow in self.connection.dump_flows()}
        self._slots = {codec.slot(key): key for key in self.connection.dump_slots()}
        found |= {(key, 0) for key in self._slots.values()}
        self._installed = {cookie: table for cookie, table in found if cookie not in distrusted}
        self.refused = []
        target, wanted, _ = self._take()
        adds = [cookie for cookie in wanted.flows if cookie not in self._installed]
        # Foreign flows may share a cookie (0, mostly) in several tables.
        deletes = [(cookie, table) for cookie, table in found if cookie not in wanted.flows]
        return self._push(wanted, adds, deletes, target)

    def _follow(self) -> Push:
        target, wanted, touched = self._take()
        # A refused unit that came to something else gets another chance, whole.
        again = [refusal for refusal in self.refused if not touched.isdisjoint(refusal.cookies)]
        self.refused = [refusal for refusal in self.refused if refusal not in again]
        touched = touched.union(*(refusal.cookies for refusal in again))
        return self._follow_up(target, wanted, touched)

    def _follow_up(self, target: Realised, wanted: Wanted, touched: set[int]) -> Push:
        adds = [c for c in touched if c in wanted.flows and c not in self._installed]
        deletes = [
            (c, self._installed[c])
            for c in touched
            if c in self._installed and c not in wanted.flows
        ]
        return self._push(wanted, adds, deletes, target)

    def _retry(self) -> None:
        """Offer what was refused once more, ever more rarely."""
        refused, self.refused = self.refused, []
        target, wanted, touched = self._take()
        self._follow_up(target, wanted, touched.union(*(refusal.cookies for refusal in refused)))
        self._back_off = self._back_off * 2 if self.refused else FIRST_BACK_OFF_SECONDS
        self._retry_at = time.monotonic() + self._back_off

    def _take(self) -> tuple[Realised, Wanted, set[int]]:
        """What is wanted, as of which pass, and what that pass and those before it touched."""
        wanted = self.engine.wanted.get(self.connection.dpid)
        if wanted is None or not self.connection.alive:
            raise Disconnected(f"switch {self.connection.dpid:016x} is gone")
        return self.target(), wanted, wanted.take_touched()

    def _push(
        self, wanted: Wanted, adds: list[int], deletes: list[tuple[int, int]], target: Realised
    ) -> Push:
        push = Push()
        # The bodies are taken now: while bundles are under way, the engine may run again.
        messages = [_Message(c, wanted.flows[c], True) for c in adds if codec.is_flow(c)]
        if len(messages) > BUNDLE_MESSAGES:
            # Between two bundles packets flow: no exception may be in later than its rule.
            messages.sort(key=lambda message: codec.priority(message.body), reverse=True)
        self._set_slots([(c, wanted.flows[c]) for c in adds if not codec.is_flow(c)], push)
        self._send(messages + _deletions(deletes), push)
        # Parts of a refused unit that were in before it was refused.
        halves = [(c, self._installed[c]) for c in self._installed.keys() & self._refused_cookies()]
        self._send(_deletions(halves), push)
        self._empty_slots([c for c, _ in (*deletes, *halves) if not codec.is_flow(c)], push)
        self.sent += push
        self.realised = target
        self.confirmed(target)
        return push

    def _set_slots(self, items: list[tuple[int, bytes]], push: Push) -> None:
        """Make or change meters and groups. One that changes has another key, and the same slot."""
        refused = self._refused_cookies()
        bodies = {key: body for key, body in items if key not in refused}
        changed = self._slots.keys() & {codec.slot(key) for key in bodies}
        errors = self._modify_slots(
            [*bodies],
            lambda xid, key: codec.set_slot(
                xid, key, bodies[key], exists=codec.slot(key) in changed
            ),
        )
        for key in bodies:
            slot = codec.slot(key)
            if key not in errors:
                if slot in changed:
                    self._installed.pop(self._slots[slot])
                self._slots[slot], self._installed[key] = key, 0
                push.added += 1
        if errors:
            self._refuse(errors)

    def _empty_slots(self, keys: list[int], push: Push) -> None:
        """Remove meters and groups, but for those that only changed."""
        gone = [key for key in keys if self._slots.get(codec.slot(key)) == key]
        self._modify_slots(gone, codec.delete_slot)
        for key in gone:
            del self._slots[codec.slot(key)], self._installed[key]
            push.deleted += 1

    def _modify_slots(
        self, keys: list[int], request: Callable[[int, int], bytes]
    ) -> dict[int, codec.SwitchError]:
        """Send a message for each key; the errors, by key."""
        if not keys:
            return {}
        connection = self.connection
        first, barrier = connection.xids(len(keys)), connection.xid()
        requests = [request(xid, key) for xid, key in enumerate(keys, start=first)]
        requests.append(codec.message(codec.BARRIER_REQUEST, barrier))
        errors = connection.errors_of(lambda: connection.call(barrier, b"".join(requests)))
        return {keys[error.xid - first]: error for error in errors if error.xid < barrier}

    def _send(self, messages: list[_Message], push: Push) -> None:
        """Bundle after bundle, until each is in but for what the switch refuses."""
        chunks = _chunks(messages, BUNDLE_MESSAGES)
        bundle = self._prepare_next(chunks)
        while bundle.messages:
            following = _Ahead(lambda: self._prepare_next(chunks))
            while bundle.messages and (errors := self._transfer(bundle, following)):
                self._refuse(errors)
                # A deletion that is refused is left, too: the next audit sees what it was about.
                left = [m for m in bundle.messages if m.adds or m.cookie not in errors]
                bundle = self._prepare(left)
                following.value = self._prepare(following.get().messages)
            for cookie, body, adds in bundle.messages:
                if adds:
                    self._installed[cookie] = codec.table_id(body)
                    push.added += 1
                else:
                    self._installed.pop(cookie, None)
                    push.deleted += 1
            bundle = following.get()
            if not bundle.messages:  # all of it was refused meanwhile; others may follow
                bundle = self._prepare_next(chunks)

    def _prepare_next(self, chunks: Iterator[list[_Message]]) -> _Bundle:
        """The next bundle in which anything is left to send; an empty one if there is none."""
        for chunk in chunks:
            if self._not_refused(chunk):
                return self._prepare(chunk)
        return self._prepare([])

    def _prepare(self, messages: list[_Message]) -> _Bundle:
        """A bundle of those messages that are not refused."""
        messages = self._not_refused(messages)
        connection = self.connection
        self._bundle = number = self._bundle + 1
        first = connection.xids(len(messages))
        barrier = connection.xid()
        parts = (
            codec.bundle_control(connection.xid(), number, codec.BUNDLE_OPEN),
            codec.bundle_flow_mods(first, number, [message.body for message in messages]),
            codec.message(codec.BARRIER_REQUEST, barrier),
        )
        return _Bundle(messages, number, first, barrier, b"".join(parts))

    def _transfer(self, bundle: _Bundle, following: _Ahead) -> dict[int, codec.SwitchError]:
        """Send a bundle; empty if it is in, else the errors by cookie, and nothing is in.

        While the switch works on it, the following one is prepared.
        """
        connection = self.connection

        def add() -> None:
            with connection.asking(bundle.barrier) as answer:
                connection.send(bundle.request)
                runtime.breathe()
                following.get()
                answer()

        errors = connection.errors_of(add)
        if errors:
            discard = connection.xid()
            request = codec.bundle_control(discard, bundle.number, codec.BUNDLE_DISCARD)
            connection.call(discard, request)
        else:
            commit = connection.xid()
            request = codec.bundle_control(commit, bundle.number, codec.BUNDLE_COMMIT)
            errors = connection.errors_of(lambda: connection.call(commit, request))
        if not errors:
            return {}
        last = bundle.first + len(bundle.messages)
        blamed = {
            bundle.messages[error.xid - bundle.first].cookie: error
            for error in errors
            if bundle.first <= error.xid < last
        }
        if not blamed:
            # The bundle as such was refused: nobody in particular is to blame, so start afresh.
            raise Disconnected(f"switch {connection.dpid:016x} refused a bundle: {errors[0]}")
        return blamed

    def _not_refused(self, messages: list[_Message]) -> list[_Message]:
        if not self.refused:
            return messages
        refused = self._refused_cookies()
        return [
            message for message in messages if not message.adds or message.cookie not in refused
        ]

    def _refused_cookies(self) -> frozenset[int]:
        return frozenset[int]().union(*(refusal.cookies for refusal in self.refused))

    def _refuse(self, errors: dict[int, codec.SwitchError]) -> None:
        """Set aside the units of the flows that had errors."""
        dpid = self.connection.dpid
        origins = self.engine.origins(dpid, errors)
        for cookie, error in errors.items():
            units = origins.get(cookie, [])
            refusal = Refusal(
                unit=", ".join(map(str, units)) or f"cookie {cookie:#x}",
                error=codec.error_text(error),
                cookies=frozenset({cookie}).union(*map(self.engine.cookies, units)),
            )
            LOG.error("switch %016x refuses %s: %s", dpid, refusal.unit, refusal.error)
            if not self.refused:
                self._retry_at = time.monotonic() + self._back_off
            self.refused.append(refusal)


class _Message(NamedTuple):
    """A flow-mod to be sent."""

    cookie: int
    body: bytes
    adds: bool


class _Bundle(NamedTuple):
    """Messages ready to go: one request, with a barrier at its end."""

    messages: list[_Message]
    number: int
    first: int  # xid of the first flow-mod; the others follow
    barrier: int
    request: bytes


class _Ahead:
    """Something that is made once, when somebody first finds the time."""

    def __init__(self, make: Callable[[], _Bundle]) -> None:
        self._make = make
        self.value: _Bundle | None = None

    def get(self) -> _Bundle:
        if self.value is None:
            self.value = self._make()
        return self.value


def _deletions(flows: Iterable[tuple[int, int]]) -> list[_Message]:
    """Of flows, by cookie and table."""
    return [
        _Message(cookie, codec.delete_flow(cookie, table), False)
        for cookie, table in flows
        if codec.is_flow(cookie)
    ]


def _chunks(items: list[_Message], size: int) -> Iterator[list[_Message]]:
    for start in range(0, len(items), size):
        runtime.breathe()
        yield items[start : start + size]
