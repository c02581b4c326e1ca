"""What features that judge connections have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controller.flow import (
    CT_INVALID,
    CT_NEW,
    CT_RELATED,
    CT_REPLY,
    CT_TRACKED,
    Action,
    Ct,
    Flow,
    Goto,
    Move,
    Resubmit,
    SetField,
    Value,
)
from controller.frames import ICMP, ICMPV6, IPV4, IPV6, TCP, UDP
from controller.pipeline import DECISION, INGRESS_POLICY, ORIGIN, POLICY, Band, Table

TRACKABLE = ((IPV4, TCP), (IPV4, UDP), (IPV4, ICMP), (IPV6, TCP), (IPV6, UDP), (IPV6, ICMPV6))
"""What connection tracking knows in every datapath. Other protocols are judged packet by packet."""

TRACKED_PROTOCOLS = {
    version: frozenset(protocol for known, protocol in TRACKABLE if known == eth_type)
    for version, eth_type in ((4, IPV4), (6, IPV6))
}
"""The same, by IP version."""

STATE = (CT_TRACKED, CT_TRACKED | CT_INVALID)
"""ct_state of what has a connection: a match on the connection must say that there is one."""

NEW = (CT_NEW | CT_TRACKED, CT_NEW | CT_TRACKED)
REPLY = (CT_REPLY | CT_TRACKED, CT_REPLY | CT_TRACKED)
"""ct_state of what begins a connection, and of what answers in one."""

INVALID = (CT_INVALID, CT_INVALID)
"""ct_state of what cannot be part of any connection of the zone."""


def committed(zone: int | str) -> Ct:
    """A connection becomes known. It remembers who here began it, so that its answers are judged by
    who that is now."""
    return Ct(zone, commit=True, mark=Move(ORIGIN, "ct_mark", 32))


def by_state(acl: Table, on: Goto, match: Mapping[str, Value]) -> Iterator[Flow]:
    """Errors about a connection pass with it; what cannot be part of any does not."""
    yield Flow(acl, Band.GUARD, {**match, "ct_state": INVALID}, ())
    related = CT_RELATED | CT_TRACKED
    yield Flow(acl, Band.SPECIFIC, {**match, "ct_state": (related, related)}, (on,))


def judged(field: str, *, ingress: bool) -> tuple[Action, ...]:
    """Ask the firewall of the port whose key is in a field; what it decides is in DECISION."""
    return (SetField(DECISION, 0), *also_judged(field, ingress=ingress))


def also_judged(field: str, *, ingress: bool) -> tuple[Action, ...]:
    """Ask one more."""
    which = SetField(POLICY, INGRESS_POLICY if ingress else 0)
    return (which, Move(field, POLICY, 24), Resubmit(Table.FIREWALL_PORT))
