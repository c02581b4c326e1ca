# SPDX-License-Identifier: Apache-2.0

"""Whom health monitors ask, and how: from the model, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.load_balancer.records import HealthMonitor, LoadBalancer, Member, Pool
from tenantry.controller.feature import probes
from tenantry.controller.feature.probes import Probe, Question
from tenantry.controller.model import Record, View, derived
from tenantry.controller.packets import frames
from tenantry.controller.packets.own_addresses import probed

READS = (LoadBalancer, Pool, Member, HealthMonitor)
"""What it depends on whom they ask."""

_ICMP = {4: frames.ICMP, 6: frames.ICMPV6}
_PROTOCOLS = {probes.UDP: frames.UDP, probes.SCTP: frames.SCTP}  # of all others TCP


class Asked(NamedTuple):
    """What one address is asked: IP's protocol, and the port (0 of ping)."""

    protocol: int
    port: int


class Target(NamedTuple):
    """An address that is asked for a load balancer, for whichever of its members. ``id`` and
    ``key`` are those of the member with the lowest key: from one source, an address is one thing,
    however many pools it is in."""

    id: str
    key: int
    version: int
    address: int
    asked: tuple[Asked, ...]


def _asked_at(member: Member) -> tuple[int, int, int]:
    """Version, address and port."""
    version, address = member.version, member.address
    if member.monitor_version:
        version, address = member.monitor_version, member.monitor_address
    return version, address, member.monitor_port or member.port


@derived
def monitors_of(view: View, pool_id: str) -> tuple[HealthMonitor, ...]:
    """The monitor of a pool that is switched on; a pool has one at the most."""
    balancer = balancer_of(view, pool_id)
    if balancer is None or not balancer.admin_state_up:
        return ()
    found = view.find(HealthMonitor, pool_id=pool_id)
    return tuple(monitor for monitor in found if monitor.admin_state_up)


@derived
def balancer_of(view: View, pool_id: str) -> LoadBalancer | None:
    pool = view.get(Pool, pool_id)
    return view.get(LoadBalancer, pool.load_balancer_id) if pool and pool.admin_state_up else None


@derived
def balancers_monitored(view: View) -> frozenset[str]:
    """The load balancers that have monitors."""
    pools = view.distinct(HealthMonitor, "pool_id")
    found = (balancer_of(view, id) for id in pools if monitors_of(view, id))
    return frozenset(balancer.id for balancer in found if balancer is not None)


@derived
def targets(view: View, balancer_id: str) -> tuple[Target, ...]:
    """Whom the monitors of a load balancer ask, by key."""
    asked: dict[tuple[int, int], tuple[list[Member], set[Asked]]] = {}
    for pool_id in sorted(view.ids(Pool, load_balancer_id=balancer_id)):
        for monitor in monitors_of(view, pool_id):
            for member in view.find(Member, pool_id=pool_id):
                if member.admin_state_up:
                    version, address, port = _asked_at(member)
                    members, questions = asked.setdefault((version, address), ([], set()))
                    members.append(member)
                    questions.add(_question_of(monitor, version, port))
    found = []
    for (version, address), (members, questions) in asked.items():
        first = min(members, key=lambda member: member.key)
        found.append(Target(first.id, first.key, version, address, tuple(sorted(questions))))
    return tuple(sorted(found, key=lambda target: target.key))


def _question_of(monitor: HealthMonitor, version: int, port: int) -> Asked:
    if monitor.type == probes.PING:
        return Asked(_ICMP[version], 0)
    return Asked(_PROTOCOLS.get(monitor.type, frames.TCP), port)


@derived
def target(view: View, id: str) -> tuple[LoadBalancer, Target] | None:
    """A target by its id, and the load balancer whose it is."""
    member = view.get(Member, id)
    balancer = balancer_of(view, member.pool_id) if member else None
    if balancer is not None:
        for one in targets(view, balancer.id):
            if one.id == id:
                return balancer, one
    return None


def whole(view: View, record: Record) -> str | None:
    """The load balancer that a record is about."""
    if isinstance(record, LoadBalancer):
        return record.id
    if isinstance(record, Member | HealthMonitor):
        pool = view.get(Pool, record.pool_id)
        return pool.load_balancer_id if pool is not None else None
    return record.load_balancer_id if isinstance(record, Pool) else None


def wanted(view: View, balancer_id: str) -> Iterator[Probe]:
    """Who is to be asked of a load balancer: every member that is switched on of a pool with a
    monitor."""
    keys = {(one.version, one.address): one.key for one in targets(view, balancer_id)}
    for pool_id in sorted(view.ids(Pool, load_balancer_id=balancer_id)):
        for monitor in monitors_of(view, pool_id):
            for member in view.find(Member, pool_id=pool_id):
                if member.admin_state_up:
                    version, address, port = _asked_at(member)
                    yield Probe(
                        id=member.id,
                        version=version,
                        address=probed(version, keys[version, address]),
                        question=question(monitor, port),
                        delay=max(monitor.delay, 1),
                        timeout=max(min(monitor.timeout, monitor.delay), 0.1),
                        rise=max(monitor.max_retries, 1),
                        fall=max(monitor.max_retries_down, 1),
                    )


def question(monitor: HealthMonitor, port: int) -> Question:
    """What a monitor asks at a port."""
    return Question(
        kind=monitor.type,
        port=0 if monitor.type == probes.PING else port,
        method=monitor.http_method or "GET",
        path=monitor.url_path or "/",
        version=str(monitor.http_version or 1.0),
        host=monitor.domain_name,
        codes=codes(monitor.expected_codes),
    )


def codes(text: str) -> tuple[tuple[int, int], ...]:
    """``expected_codes`` as ranges: "200", "200, 202", "200-204"; if none is said, 200."""
    found = []
    for part in (text or "200").split(","):
        first, _, last = part.strip().partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.append((int(first), int(last or first)))
    return tuple(found)
