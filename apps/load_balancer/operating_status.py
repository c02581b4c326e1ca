# SPDX-License-Identifier: Apache-2.0

"""How things are (``operating_status``): what the monitors have found out, added up from the
members to the load balancer, as Octavia's health manager does.

OFFLINE is what is switched off, or serves nobody: a pool without a listener. A monitored member
that nobody has judged yet counts as alive, so it is ONLINE if its pool serves somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tenantry.apps.load_balancer.records import (
    HealthMonitor,
    L7Policy,
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
    in_rotation,
    is_alive,
    listeners_of,
)
from tenantry.controller.model import View
from tenantry.controller.store import Body

ONLINE, OFFLINE, DEGRADED, ERROR = "ONLINE", "OFFLINE", "DEGRADED", "ERROR"
NO_MONITOR, DRAINING = "NO_MONITOR", "DRAINING"


def of(view: View, kind: str, body: Body) -> str:
    """How a resource is. One of which the model has not heard yet is OFFLINE."""
    for type, judge in _JUDGED:
        if kind == type.KIND:
            record = view.get(type, body["id"])
            return judge(view, record) if record is not None else OFFLINE
    return ONLINE if body["admin_state_up"] else OFFLINE


def of_member(view: View, member: Member) -> str:
    """OFFLINE: switched off. ERROR: found dead. DRAINING: alive or not asked, and of weight 0, so
    that nobody new comes. NO_MONITOR: nobody asks."""
    if not member.admin_state_up:
        return OFFLINE
    monitored = is_monitored(view, member.pool_id)
    if monitored and not is_alive(view, member.id):
        return ERROR
    if member.weight == 0:
        return DRAINING
    if not monitored:
        return NO_MONITOR
    judged = view.get(MemberHealth, member.id) is not None
    return ONLINE if judged or serves(view, member.pool_id) else OFFLINE


def of_pool(view: View, pool: Pool) -> str:
    """ERROR: it has members, and none gets connections. DEGRADED: one is dead."""
    if not pool.admin_state_up or not serves(view, pool.id):
        return OFFLINE
    members = view.find(Member, pool_id=pool.id)
    if members and not in_rotation(view, pool.id):
        return ERROR
    dead = (of_member(view, member) == ERROR for member in members)
    return DEGRADED if any(dead) else ONLINE


def of_listener(view: View, listener: Listener) -> str:
    return ONLINE if listener in listeners_of(view, listener.load_balancer_id) else OFFLINE


def of_load_balancer(view: View, balancer: LoadBalancer) -> str:
    """The worst of its pools."""
    if not balancer.admin_state_up:
        return OFFLINE
    pools = [of_pool(view, pool) for pool in view.find(Pool, load_balancer_id=balancer.id)]
    return next((status for status in (ERROR, DEGRADED) if status in pools), ONLINE)


def is_monitored(view: View, pool_id: str) -> bool:
    return any(each.admin_state_up for each in view.find(HealthMonitor, pool_id=pool_id))


def serves(view: View, pool_id: str) -> bool:
    """Whether a listener that is up leads to a pool, by default or by a policy that is up."""
    return any(
        listener in listeners_of(view, listener.load_balancer_id)
        for listener in _leading(view, pool_id)
    )


def _leading(view: View, pool_id: str) -> Iterable[Listener]:
    yield from view.find(Listener, default_pool_id=pool_id)
    for policy in view.find(L7Policy, redirect_pool_id=pool_id):
        listener = view.get(Listener, policy.listener_id) if policy.admin_state_up else None
        if listener is not None:
            yield listener


_JUDGED: tuple[tuple[Any, Callable[[View, Any], str]], ...] = (
    (LoadBalancer, of_load_balancer),
    (Listener, of_listener),
    (Pool, of_pool),
    (Member, of_member),
)
"""Of these the monitors and what is above and below have a say; the others are on or off."""
