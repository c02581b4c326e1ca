# SPDX-License-Identifier: Apache-2.0

"""The store of one process: a replica that follows the log, and the way to add to the log.

Any number of processes may share a database. Writes are strictly serialisable: a draft is made on
a replica at commit N and can only become commit N + 1; if another process was first, the replica
catches up and the change is made anew. Reads by way of :meth:`Store.catch_up` see whatever any
process has acknowledged; that is one cheap query, made also for a database that nobody shares,
since nothing can know that.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timezone
from typing import TypeVar
from uuid import UUID

from tenantry.controller import runtime
from tenantry.controller.store import sql
from tenantry.controller.store.change import (
    Body,
    Change,
    Claim,
    Commit,
    Gone,
    Shape,
    StaleDraft,
    StoreError,
)
from tenantry.controller.store.draft import Draft
from tenantry.controller.store.replica import Replica

T = TypeVar("T")

ATTEMPTS = 20
"""How often a write is tried before it gives up to other processes."""


class Store:
    """Resources, claims, links and the log, in the database at ``url`` (SQLAlchemy's notation).

    ``schema`` gives the :class:`Shape` of every kind that the store may hold. StoreError, with
    what to do about it, if the database cannot be used.
    """

    def __init__(self, url: str, schema: Mapping[str, Shape]) -> None:
        self.schema = schema
        self._writing = runtime.Lock()
        self._subscribers: list[Callable[[Commit], None]] = []
        self._held: sql.Held | None = None
        self._engine, store_id = runtime.in_thread(sql.connect, url, _now())
        self.id = str(store_id)
        """The store's own, whichever process asks, and also in a copy that was put back."""
        self.head, resources = runtime.in_thread(sql.load, self._engine)
        """Number of the newest commit that this process knows."""
        self._replica = Replica(schema)
        for kind, id, body in resources:
            if kind not in schema:
                raise StoreError(
                    f"the database holds {kind} {id}, of a kind that no enabled app knows: "
                    "enable the app, or delete such resources while it is enabled"
                )
            self._replica.apply([Change(kind, id, None, body)])

    def hold(self) -> None:
        """Be the one process that programs switches from this store, until it is closed or this
        process ends. StoreError if another is, OSError if that cannot be known."""
        self._held = runtime.in_thread(sql.hold, self._engine, UUID(self.id))

    def close(self) -> None:
        """Let go of the database."""
        if self._held is not None:
            self._held.close()
        self._engine.dispose()

    def read(self, kind: str) -> Mapping[str, Body]:
        """All bodies of a kind by id, as of :attr:`head`. Neither may be changed."""
        return self._replica.read(kind)

    def get(self, kind: str, id: str) -> Body | None:
        return self._replica.get(kind, id)

    def count(self, kind: str, project_id: str) -> int:
        """How many resources of a kind a project has."""
        return self._replica.count(kind, project_id)

    def claimed(self, kind: str, scope: str) -> Mapping[str, str]:
        """The owner of each value that is claimed in a scope."""
        return self._replica.claimed(kind, scope)

    def owner(self, claim: Claim) -> str | None:
        """Who owns what ``claim`` stands for."""
        return self._replica.claimed(claim.kind, claim.scope).get(claim.value)

    def linked(self, target: str, role: str) -> Collection[str]:
        """Ids of the resources that link to ``target`` in ``role``, oldest link first."""
        return self._replica.linked(target, role)

    def subscribe(self, callback: Callable[[Commit], None]) -> None:
        """Call back, in order, for every commit that this process learns of, its own included.

        The replica has the commit by then. The callback must neither block nor raise.
        """
        self._subscribers.append(callback)

    def write(self, change: Callable[[Draft], T], actor: str) -> T:
        """Run ``change`` on a draft of the newest state and make what it did durable.

        All or nothing: if it raises, nothing is written. It may be run more than once, so it must
        touch nothing but the draft. Raises ClaimTaken and LinkBroken, Unavailable when the
        database cannot be written, and StaleDraft when other processes were faster ATTEMPTS times
        in a row.
        """
        with self._writing:
            for _ in range(ATTEMPTS):
                draft = Draft(self._replica, self.head)
                try:
                    result = change(draft)
                    changes = draft.changes()
                    if changes:
                        commit = Commit(draft.head + 1, _now(), actor, changes)
                        runtime.in_thread(sql.append, self._engine, self.schema, commit)
                        self._apply(commit)
                        return result
                except BaseException as error:
                    for undo in reversed(draft.undo):
                        undo()
                    if not isinstance(error, Exception) or self._is_newest(draft, error):
                        raise
                else:
                    if self._is_newest(draft):
                        return result
        raise StaleDraft(f"other processes wrote first, {ATTEMPTS} times in a row")

    def _is_newest(self, draft: Draft, error: Exception | None = None) -> bool:
        """Whether a draft that wrote nothing was of the newest state; what it found stands then.

        A write that succeeds needs no such question: its number is the proof.
        """
        self.catch_up()
        return self.head == draft.head and not isinstance(error, StaleDraft)

    def catch_up(self) -> None:
        """Learn of every commit that any process has made before this call. Errors: Unavailable,
        but not if the database is gone: then nobody can have written anything there."""
        with contextlib.suppress(Gone):
            for commit in runtime.in_thread(sql.commits, self._engine, self.head):
                self._apply(commit)

    def history(self, after: int, limit: int | None = None) -> list[Commit]:
        """Commits with a number greater than ``after``, oldest first."""
        return runtime.in_thread(sql.commits, self._engine, after, limit)

    def _apply(self, commit: Commit) -> None:
        # While a thread was reading or writing, another greenlet may have applied it already.
        if commit.number == self.head + 1:
            self._replica.apply(commit.changes)
            self.head = commit.number
            for callback in self._subscribers:
                callback(commit)


def _now() -> datetime:
    return datetime.now(timezone.utc)
