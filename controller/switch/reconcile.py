# SPDX-License-Identifier: Apache-2.0

"""Make a switch hold exactly the flows that are wanted: one :class:`Reconciler` a connection.

On connect, at every audit and when asked, it dumps what the switch holds, and what differs goes
out; in between, only what the engine touched. A flow that is not what its cookie says differs, too:
somebody modified it, or it was never ours. Everything goes in bundles: adds before deletes (an ADD
of the same match replaces in place), errors looked at before the commit, so that a bundle is either
in or not. Flows that a switch refuses are set aside with the whole of their unit, named, and tried
again at the next audit; all others go on. What a switch has learned is never touched. Meters cannot
go in bundles: they and groups are set before the flows that use them, and removed after.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.engine.wanted import Wanted
from tenantry.controller.feature.app import Unit
from tenantry.controller.openflow import codec, groups_meters
from tenantry.controller.switch.bundle import Ahead, Bundle, chunks, prepared, transfer
from tenantry.controller.switch.connection import Connection, Disconnected

LOG = logging.getLogger(__name__)

Some = TypeVar("Some", int, bytes)

BUNDLE_MESSAGES = 2000
"""Flow-mods in one bundle: userspace OVS commits in the thread that forwards packets."""

MANY = 500
"""So many flows are work enough for one turn."""

SUSPICION_SECONDS = 0.05
"""From a change by somebody else to the look that mends it: they may not have finished."""

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
    seconds: float = 0.0
    """How long that took, until all of it was confirmed."""
    missing: Collection[int] = ()
    """Of a look at all that a switch holds: the cookies of what it should have held."""

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
    mended: Callable[[Push, Collection[Unit]], None] = lambda push, units: None
    """Told what an audit had to mend, and whose flows were missing."""
    pushed: Callable[[Push], None] = lambda push: None
    """Told of each push, when it is confirmed."""
    realised: Realised = field(default_factory=Realised)
    refused: list[Refusal] = field(default_factory=list)
    sent: Push = field(default_factory=Push)
    """All that this connection was sent."""
    audits: int = 0
    repaired: int = 0
    _installed: dict[int, int] = field(default_factory=dict)  # table by cookie; or key, 0
    _slots: dict[int, int] = field(default_factory=dict)  # keys of meters and groups by slot
    _wake: runtime.Signal = field(default_factory=runtime.Signal)
    _suspected: set[int] = field(default_factory=set)  # tables that somebody else changed
    _bundle: int = 0
    _audit_at: float = 0.0  # on the monotonic clock, as are the next
    _look_at: float = math.inf
    _retry_at: float = 0.0
    _back_off: float = FIRST_BACK_OFF_SECONDS

    def wake(self) -> None:
        """The engine finished a pass, or the switch is gone: look."""
        self._wake.set()

    def run(self) -> None:
        """Until the switch is gone."""
        try:
            self.connection.on_foreign_changes = self._suspect
            self.connection.watch()
            self._resync()
            while True:
                soonest = min(self._audit_at, self._look_at)
                if self.refused:
                    soonest = min(soonest, self._retry_at)
                if self._wake.wait(max(0.0, soonest - time.monotonic())):
                    self._follow()
                now = time.monotonic()
                if now >= self._audit_at:
                    self.audit()
                elif now >= self._look_at:
                    # Nobody tells of what was done to flows that the switch has learned.
                    self.audit(self._suspected | codec.LEARNED_TABLES)
                elif self.refused and now >= self._retry_at:
                    self._retry()
        except Disconnected as reason:
            LOG.debug("%s", reason)
        except Exception:
            # Hanging up makes the switch connect again, and that starts from a dump.
            LOG.exception("reconciling switch %016x failed", self.connection.dpid)
        finally:
            self.connection.close()

    def _suspect(self, tables: set[int]) -> None:
        """Somebody else changed flows of these tables, or meters or groups: look soon."""
        self._suspected |= tables
        self._look_at = min(self._look_at, time.monotonic() + SUSPICION_SECONDS)
        self._wake.set()

    def audit(self, tables: Collection[int] | None = None) -> Push:
        """Dump, compare, repair, all of it or these tables; what differed had been changed by
        somebody else."""
        push = self._resync(tables)
        self.audits += 1
        if push.added or push.deleted:
            self.repaired += push.added + push.deleted
            origins = self.engine.origins(self.connection.dpid, push.missing)
            self.mended(push, {unit for units in origins.values() for unit in units})
        return push

    def _resync(self, tables: Collection[int] | None = None) -> Push:
        self._look_at, self._suspected = math.inf, set()
        if tables is None:
            self._audit_at = time.monotonic() + self.audit_seconds
            self._installed, self.refused = {}, []
            self.connection.send(codec.see_fragments(self.connection.xid()))
        held = self.connection.dump_flows(tables)
        self._slots = {groups_meters.slot(key): key for key in self.connection.dump_slots()}
        self._installed = {
            **{
                cookie: table
                for cookie, table in self._installed.items()
                if groups_meters.is_flow(cookie) and table not in (tables or ())
            },
            **{flow.cookie: flow.table_id for flow in held if not flow.body},
            **dict.fromkeys(self._slots.values(), 0),
        }
        target, wanted, _ = self._take()
        adds = [cookie for cookie in wanted.flows if cookie not in self._installed]
        deletes = [item for item in self._installed.items() if item[0] not in wanted.flows]
        strange = [flow.body for flow in held if flow.body]
        if strange and not self.realised.generation:
            LOG.warning(
                "switch %016x connects with %d flows that are not as we write them; mended",
                *(self.connection.dpid, len(strange)),
            )
        push = self._push(wanted, adds, deletes, target, strange)
        push.missing = adds
        return push

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
        if len(self._wanted().touched) > MANY:
            runtime.yield_now()  # all the others were woken, too
        wanted = self._wanted()
        return self.target(), wanted, wanted.take_touched()

    def _wanted(self) -> Wanted:
        wanted = self.engine.wanted.get(self.connection.dpid)
        if wanted is None or not self.connection.alive:
            raise Disconnected(f"switch {self.connection.dpid:016x} is gone")
        return wanted

    def _push(
        self,
        wanted: Wanted,
        adds: list[int],
        deletes: list[tuple[int, int]],
        target: Realised,
        strange: Iterable[bytes] = (),
    ) -> Push:
        """``strange`` are flows that are not what their cookies say, as they would be added."""
        push, started = Push(), time.monotonic()
        # The bodies are taken now: while bundles are under way, the engine may run again.
        bodies = [wanted.flows[c] for c in adds if groups_meters.is_flow(c)]
        if len(bodies) > BUNDLE_MESSAGES:
            # Between two bundles packets flow: no exception may be in later than its rule.
            bodies.sort(key=codec.priority, reverse=True)
        self._set_slots([(c, wanted.flows[c]) for c in adds if not groups_meters.is_flow(c)], push)
        self._send(bodies + _deletions(deletes), push)
        # Parts of a refused unit that were in before it was refused.
        halves = [(c, self._installed[c]) for c in self._installed.keys() & self._refused_cookies()]
        self._send(_deletions(halves), push)
        self._empty_slots([c for c, _ in (*deletes, *halves) if not groups_meters.is_flow(c)], push)
        self._remove([body for body in strange if not self._replaced(body, wanted)], push)
        self.sent += push
        push.seconds = time.monotonic() - started
        self.realised = target
        self.pushed(push)
        self.confirmed(target)
        return push

    def _replaced(self, body: bytes, wanted: Wanted) -> bool:
        """Whether a flow that bears the cookie of another was in that one's place, and so is gone:
        the other was added."""
        cookie = codec.cookie(body)
        return cookie in self._installed and (
            codec.flow_identity(body) == codec.flow_identity(wanted.flows.get(cookie, body))
        )

    def _remove(self, bodies: list[bytes], push: Push) -> None:
        """Remove flows one by one, each by all that makes it another than those of ours."""
        self._ask_each(
            bodies,
            lambda xid, body: codec.message(codec.FLOW_MOD, xid, codec.delete_exactly(body)),
        )
        push.deleted += len(bodies)

    def _set_slots(self, items: list[tuple[int, bytes]], push: Push) -> None:
        """Make or change meters and groups. One that changes has another key, and the same slot."""
        refused = self._refused_cookies()
        bodies = {key: body for key, body in items if key not in refused}
        changed = self._slots.keys() & {groups_meters.slot(key) for key in bodies}
        errors = self._ask_each(
            [*bodies],
            lambda xid, key: groups_meters.set_slot(
                xid, key, bodies[key], exists=groups_meters.slot(key) in changed
            ),
        )
        for key in bodies:
            slot = groups_meters.slot(key)
            if key not in errors:
                if slot in changed:
                    self._installed.pop(self._slots[slot])
                self._slots[slot], self._installed[key] = key, 0
                push.added += 1
        if errors:
            self._refuse(errors)

    def _empty_slots(self, keys: list[int], push: Push) -> None:
        """Remove meters and groups, but for those that only changed."""
        gone = [key for key in keys if self._slots.get(groups_meters.slot(key)) == key]
        self._ask_each(gone, groups_meters.delete_slot)
        for key in gone:
            del self._slots[groups_meters.slot(key)], self._installed[key]
            push.deleted += 1

    def _ask_each(
        self, items: list[Some], request: Callable[[int, Some], bytes]
    ) -> dict[Some, codec.SwitchError]:
        """Send a message for each item, none of them in a bundle; the errors, by item."""
        if not items:
            return {}
        connection = self.connection
        first, barrier = connection.xids(len(items)), connection.xid()
        requests = [request(xid, item) for xid, item in enumerate(items, start=first)]
        requests.append(codec.message(codec.BARRIER_REQUEST, barrier))
        errors = connection.errors_of(lambda: connection.call(barrier, b"".join(requests)))
        return {items[error.xid - first]: error for error in errors if error.xid < barrier}

    def _send(self, bodies: list[bytes], push: Push) -> None:
        """Bundle after bundle, until each is in but for what the switch refuses."""
        parts = chunks(bodies, BUNDLE_MESSAGES)
        bundle = self._prepare_next(parts)
        while bundle.bodies:
            following = Ahead(lambda: self._prepare_next(parts))
            while bundle.bodies and (errors := transfer(self.connection, bundle, following)):
                self._refuse(errors)
                # A deletion that is refused is left, too: the next audit sees what it was about.
                left = [b for b in bundle.bodies if codec.adds(b) or codec.cookie(b) not in errors]
                bundle = self._prepare(left)
                following.value = self._prepare(following.get().bodies)
            for body in bundle.bodies:
                if codec.adds(body):
                    self._installed[codec.cookie(body)] = codec.table_id(body)
                    push.added += 1
                else:
                    self._installed.pop(codec.cookie(body), None)
                    push.deleted += 1
            bundle = following.get()
            if not bundle.bodies:  # all of it was refused meanwhile; others may follow
                bundle = self._prepare_next(parts)

    def _prepare_next(self, parts: Iterator[list[bytes]]) -> Bundle:
        """The next bundle in which anything is left to send; an empty one if there is none."""
        for part in parts:
            if self._not_refused(part):
                return self._prepare(part)
        return self._prepare([])

    def _prepare(self, bodies: list[bytes]) -> Bundle:
        """A bundle of those flow-mods that are not refused."""
        self._bundle += 1
        return prepared(self.connection, self._bundle, self._not_refused(bodies))

    def _not_refused(self, bodies: list[bytes]) -> list[bytes]:
        if not self.refused:
            return bodies
        refused = self._refused_cookies()
        return [b for b in bodies if not codec.adds(b) or codec.cookie(b) not in refused]

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


def _deletions(flows: Iterable[tuple[int, int]]) -> list[bytes]:
    """Of flows, by cookie and table."""
    return [
        codec.delete_flow(cookie, table) for cookie, table in flows if groups_meters.is_flow(cookie)
    ]
