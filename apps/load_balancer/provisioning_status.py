# SPDX-License-Identifier: Apache-2.0

"""What becomes of load balancers and their parts (``provisioning_status``): whether what was asked
for has come about.

A commit has come about when every switch that is connected has confirmed it; what is under way
refuses nothing, for each change is whole by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tenantry.apps.load_balancer import operating_status
from tenantry.controller.feature.routes import Observe, Running
from tenantry.controller.store import Body, Change, Commit, Store

ERROR = "ERROR"

_WHOLES = {
    "listener": ("loadbalancer", "loadbalancer_id"),
    "pool": ("loadbalancer", "loadbalancer_id"),
    "member": ("pool", "pool_id"),
    "healthmonitor": ("pool", "pool_id"),
    "l7policy": ("listener", "listener_id"),
    "l7rule": ("l7policy", "l7policy_id"),
}
"""What each is part of, and the attribute that says of which."""


class Provisioning:
    """The commits by which load balancers and their parts were changed last, since we began."""

    def __init__(self) -> None:
        self._store: Store | None = None
        self._changed: dict[str, tuple[int, bool]] = {}  # by id: the commit; whether it was made

    def opened(self, store: Store) -> None:
        self._store = store

    def committed(self, commit: Commit) -> None:
        """Note what a commit changes, and of what these are parts."""
        own = {(change.kind, change.id): change for change in commit.changes}
        for change in commit.changes:
            if change.kind != "loadbalancer" and change.kind not in _WHOLES:
                continue
            for id, made in self._touched(change, own):
                if id is None:
                    self._changed.pop(change.id, None)
                    continue
                before, was_made = self._changed.get(id, (0, False))
                same = before == commit.number
                self._changed[id] = (commit.number, made or (same and was_made))

    def _touched(
        self, change: Change, own: Mapping[tuple[str, str], Change]
    ) -> Iterator[tuple[str | None, bool]]:
        """A change, and what it changes besides: None is what is gone."""
        yield (None, False) if change.after is None else (change.id, change.before is None)
        kind, body = change.kind, change.after or change.before
        while kind in _WHOLES and body is not None:
            kind, attribute = _WHOLES[kind]
            id = str(body[attribute])
            there = own.get((kind, id))
            if there is not None and there.after is None:
                return
            yield id, there is not None and there.before is None
            body = there.after if there else self._stored(kind, id)

    def _stored(self, kind: str, id: str) -> Body | None:
        return self._store.get(kind, id) if self._store is not None else None

    def status(self, running: Running, body: Body) -> str:
        """ACTIVE; PENDING_CREATE or PENDING_UPDATE as long as a switch lags; ERROR if one has
        refused its flows."""
        if running.refused(body["id"]):
            return ERROR
        number, made = self._changed.get(body["id"], (0, False))
        if running.realised() >= number:
            return "ACTIVE"
        return "PENDING_CREATE" if made else "PENDING_UPDATE"

    def observed(self) -> dict[str, Observe]:
        """By kind, the statuses of its resources."""

        def of(kind: str) -> Observe:
            def observe(running: Running, body: Body) -> Mapping[str, Any]:
                return {
                    "provisioning_status": self.status(running, body),
                    "operating_status": operating_status.of(running.view, kind, body),
                }

            return observe

        return {kind: of(kind) for kind in ("loadbalancer", *_WHOLES)}
