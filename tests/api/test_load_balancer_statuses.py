# SPDX-License-Identifier: Apache-2.0

"""How load balancers are: what monitors say of members, added up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tenantry.apps.load_balancer import operating_status as statuses
from tenantry.apps.load_balancer.records import (
    HealthMonitor,
    L7Policy,
    Listener,
    LoadBalancer,
    Member,
    MemberHealth,
    Pool,
    in_switch,
)
from tenantry.controller.model import Change, FixedIp, Model, Record, View

BALANCER = LoadBalancer("lb", 1, "p", "web", "port", "net", (), True)
LISTENER = Listener(
    *("listener", 1, "p", "lb", "TCP", 80, True, -1, 50000, 5000, 50000, 0), default_pool_id="pool"
)
POOL = Pool("pool", 1, "p", "lb", "TCP", "ROUND_ROBIN", True)
MONITOR = HealthMonitor("monitor", "p", "pool", "TCP", 1, 1, 1, 1, True)


def member(id: str, **attributes: Any) -> Member:
    usual = Member(id, 1, int(id), "p", id, "pool", 4, int(id), 80, 1, False, True)
    return replace(usual, **attributes)


def seen(*records: Record) -> View:
    model = Model()
    model.apply([Change(type(each), each.id, each) for each in records])
    return View(model)


def told(*records: Record) -> tuple[str, str, list[str]]:
    """Of the load balancer, its pool, and the members by id."""
    view = seen(BALANCER, POOL, *records)
    members = sorted(view.find(Member, pool_id="pool"), key=lambda each: each.id)
    return (
        statuses.of_load_balancer(view, BALANCER),
        statuses.of_pool(view, POOL),
        [statuses.of_member(view, each) for each in members],
    )


def dead(id: str) -> MemberHealth:
    return MemberHealth(id, False, "refused")


def alive(id: str) -> MemberHealth:
    return MemberHealth(id, True, "")


A, B = member("1"), member("2")


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ((), ("ONLINE", "OFFLINE", [])),  # no listener leads to it
        ((LISTENER,), ("ONLINE", "ONLINE", [])),
        ((LISTENER, A, B), ("ONLINE", "ONLINE", ["NO_MONITOR"] * 2)),
        ((LISTENER, MONITOR, A, B), ("ONLINE", "ONLINE", ["ONLINE"] * 2)),
        ((LISTENER, MONITOR, A, B, alive("1"), dead("2")),
         ("DEGRADED", "DEGRADED", ["ONLINE", "ERROR"])),
        ((LISTENER, MONITOR, A, B, dead("1"), dead("2")), ("ERROR", "ERROR", ["ERROR"] * 2)),
        ((MONITOR, A, B, alive("1")), ("ONLINE", "OFFLINE", ["ONLINE", "OFFLINE"])),
        ((LISTENER, replace(MONITOR, admin_state_up=False), A),
         ("ONLINE", "ONLINE", ["NO_MONITOR"])),
        ((LISTENER, MONITOR, member("1", weight=0), B, alive("2")),
         ("ONLINE", "ONLINE", ["DRAINING", "ONLINE"])),
        ((LISTENER, member("1", weight=0), B), ("ONLINE", "ONLINE", ["DRAINING", "NO_MONITOR"])),
        ((LISTENER, MONITOR, member("1", weight=0), dead("1")), ("ERROR", "ERROR", ["ERROR"])),
        ((LISTENER, member("1", admin_state_up=False), B),
         ("ONLINE", "ONLINE", ["OFFLINE", "NO_MONITOR"])),
        ((LISTENER, member("1", admin_state_up=False)), ("ERROR", "ERROR", ["OFFLINE"])),
        # A backup that stands in for whoever is dead.
        ((LISTENER, MONITOR, A, member("2", backup=True), dead("1"), alive("2")),
         ("DEGRADED", "DEGRADED", ["ERROR", "ONLINE"])),
        ((replace(LISTENER, admin_state_up=False), A), ("ONLINE", "OFFLINE", ["NO_MONITOR"])),
    ],
)  # fmt: skip
def test_added_up(records: tuple[Record, ...], expected: tuple[str, str, list[str]]) -> None:
    assert told(*records) == expected


def test_a_policy_leads_to_a_pool_as_well() -> None:
    policy = L7Policy("policy", "p", "listener", "REDIRECT_TO_POOL", 1, True, "pool")
    listener = replace(LISTENER, default_pool_id="")
    assert told(listener, policy, A) == ("ONLINE", "ONLINE", ["NO_MONITOR"])
    off = replace(policy, admin_state_up=False)
    assert told(listener, off, A) == ("ONLINE", "OFFLINE", ["NO_MONITOR"])


def test_what_is_switched_off() -> None:
    view = seen(off := replace(BALANCER, admin_state_up=False), LISTENER, POOL, A)
    assert statuses.of_load_balancer(view, off) == "OFFLINE"
    assert statuses.of_listener(view, LISTENER) == "OFFLINE"
    assert statuses.of_pool(view, POOL) == "OFFLINE"
    view = seen(BALANCER, LISTENER, off_pool := replace(POOL, admin_state_up=False), A)
    assert statuses.of_pool(view, off_pool) == "OFFLINE"
    assert statuses.of_listener(view, LISTENER) == "ONLINE"
    for up, status in ((True, "ONLINE"), (False, "OFFLINE")):
        assert statuses.of(view, "l7policy", {"admin_state_up": up}) == status
    assert statuses.of(view, "pool", {"id": "pool"}) == "OFFLINE"
    assert statuses.of(view, "member", {"id": "1"}) == "NO_MONITOR"
    assert statuses.of(view, "member", {"id": "of no model yet"}) == "OFFLINE"


def test_who_translates_between_ip_versions() -> None:
    """Switches lead IPv4 to IPv4, and IPv6 to IPv6; a proxy does all else."""
    four, six = (FixedIp("subnet", version, 1) for version in (4, 6))
    members = {4: (A,), 6: (replace(B, version=6),), 46: (A, replace(B, version=6)), 0: ()}
    for vips, versions, by_switch in (
        *(((four,), 4, True), ((four,), 6, False), ((four,), 46, False), ((four,), 0, True)),
        *(((six,), 6, True), ((six,), 4, False)),
        *(((four, six), 4, True), ((four, six), 46, True)),
    ):
        view = seen(replace(BALANCER, vips=vips), LISTENER, POOL, *members[versions])
        assert in_switch(view, LISTENER.id) is by_switch, (vips, versions)
