# SPDX-License-Identifier: Apache-2.0

"""What has happened, and no pass has taken yet: commits of the store, and what is observed."""

from __future__ import annotations

from collections.abc import Iterable

from tenantry.controller import runtime
from tenantry.controller.feature.app import StoredRecords
from tenantry.controller.model import Change
from tenantry.controller.store import Commit, Store


class Inbox:
    """It begins with all that the store has. ``coalesce_seconds``: how long a pass waits for more,
    so that a burst of changes costs one."""

    def __init__(self, store: Store, records: StoredRecords, coalesce_seconds: float) -> None:
        self.revision = store.head
        """The newest commit that has been taken in."""
        self._records = records
        self._coalesce_seconds = coalesce_seconds
        self._changes = [
            Change(record, id, parse(body))
            for kind, (record, parse) in records.items()
            if kind in store.schema  # else it is of a feature that is not there
            for id, body in store.read(kind).items()
        ]
        runtime.freeze_heap(made=len(self._changes))
        self._wake = runtime.Signal()
        self._wake.set()
        store.subscribe(self._committed)

    def _committed(self, commit: Commit) -> None:
        changes = []
        for change in commit.changes:
            if change.kind in self._records:
                record, parse = self._records[change.kind]
                after = None if change.after is None else parse(change.after)
                changes.append(Change(record, change.id, after))
        self.revision = commit.number
        self.submit(changes)

    def submit(self, changes: Iterable[Change]) -> None:
        """This was observed. Never waits."""
        self._changes += changes
        self._wake.set()

    def wake(self) -> None:
        """A pass is due, though nothing of the model changes."""
        self._wake.set()

    def wait(self) -> None:
        """Until something happens, and a moment for company."""
        self._wake.wait()
        runtime.sleep(self._coalesce_seconds)

    def take(self) -> tuple[list[Change], int]:
        """All there is, and the newest commit of it."""
        changes, self._changes = self._changes, []
        return changes, self.revision

    def __len__(self) -> int:
        return len(self._changes)
