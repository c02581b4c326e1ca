# SPDX-License-Identifier: Apache-2.0

"""What becomes of load balancers and their parts: ``provisioning_status``, whether what was asked
for has come about, and ``operating_status``, how those are who answer.

Both are computed when they are shown. A commit has come about when every switch that is connected
has confirmed it; what is under way refuses nothing, for each change is whole by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tenantry.apps.load_balancer.records import (
    HealthMonitor,
    L7Policy,
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
)
from tenantry.controller.feature.routes import Observe, Running
from tenantry.controller.model import View, derived
from tenantry.controller.store import Body, Change, Commit, Store

ONLINE, OFFLINE, DRAINING = "ONLINE", "OFFLINE", "DRAINING"
ERROR, DEGRADED, NO_MONITOR = "ERROR", "DEGRADED", "NO_MONITOR"


@derived
def member_status(view: View, member_id: str) -> str:
    """A member that nobody has judged yet gets connections, and counts as alive."""
    member = view.get(Member, member_id)
    if member is None or not member.admin_state_up:
        return OFFLINE
    monitors = view.find(HealthMonitor, pool_id=member.pool_id)
    if not any(monitor.admin_state_up for monitor in monitors):
        return DRAINING if not member.weight else NO_MONITOR
    health = view.get(MemberHealth, member_id)
    if health is not None and not health.alive:
        return ERROR
    return ONLINE if member.weight else DRAINING


@derived
def pool_status(view: View, pool_id: str) -> str:
    """OFFLINE, too, where no listener leads to it."""
    pool = view.get(Pool, pool_id)
    if pool is None or not pool.admin_state_up:
        return OFFLINE
    if not (view.ids(Listener, default_pool_id=pool_id) or _redirected(view, pool_id)):
        return OFFLINE
    statuses = [member_status(view, each) for each in sorted(view.ids(Member, pool_id=pool_id))]
    judged = [status for status in statuses if status != OFFLINE]
    return _worst(judged, all_of=ERROR)


def _redirected(view: View, pool_id: str) -> bool:
    return bool(view.ids(L7Policy, redirect_pool_id=pool_id))


def _worst(statuses: list[str], all_of: str) -> str:
    bad = statuses.count(ERROR)
    if bad and bad == len(statuses):
        return all_of
    return DEGRADED if bad or DEGRADED in statuses else ONLINE


@derived
def listener_status(view: View, listener_id: str) -> str:
    listener = view.get(Listener, listener_id)
    return ONLINE if listener is not None and listener.admin_state_up else OFFLINE


@derived
def load_balancer_status(view: View, load_balancer_id: str) -> str:
    """That of the worst of its pools that somebody is led to."""
    balancer = view.get(LoadBalancer, load_balancer_id)
    if balancer is None or not balancer.admin_state_up:
        return OFFLINE
    pools = sorted(view.ids(Pool, load_balancer_id=load_balancer_id))
    statuses = {pool_status(view, id) for id in pools}
    for status in (ERROR, DEGRADED):
        if status in statuses:
            return status
    return ONLINE


def _up(view: View, kind: type[HealthMonitor] | type[L7Policy], id: str) -> str:
    found = view.get(kind, id)
    return ONLINE if found is not None and found.admin_state_up else OFFLINE


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
        operating: dict[str, Callable[[View, str], str]] = {
            "loadbalancer": load_balancer_status,
            "listener": listener_status,
            "pool": pool_status,
            "member": member_status,
            "healthmonitor": lambda view, id: _up(view, HealthMonitor, id),
            "l7policy": lambda view, id: _up(view, L7Policy, id),
            "l7rule": lambda view, id: ONLINE,
        }

        def of(kind: str) -> Observe:
            def observe(running: Running, body: Body) -> Mapping[str, Any]:
                status = operating[kind](running.view, body["id"])
                if kind == "l7rule" and not body["admin_state_up"]:
                    status = OFFLINE
                return {
                    "provisioning_status": self.status(running, body),
                    "operating_status": status,
                }

            return observe

        return {kind: of(kind) for kind in operating}
