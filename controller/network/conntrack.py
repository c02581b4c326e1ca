# SPDX-License-Identifier: Apache-2.0

"""What features that judge connections have in common, and what a fragment is worth to them.

**Fragments** (``ip_frag``) are tracked as whatever else may be part of a connection: ``ct`` gathers
the fragments of a packet, looks the whole of it up, and lets all of them go on with the connection
that was found. One without the others, or that overlaps another, goes nowhere (RFC 5722, RFC 1858).
So who tracks first, and judges or translates after that, need not care: but the ports, or the type
of ICMP, only a packet's first fragment has, in the packet as in ``ct_tp_dst``. Therefore

- what depends on ports is decided by the first fragment. Later ones pass wherever any port of their
  protocol might: without the first they are nothing.
- all fragments of a packet come to ``ct`` with the same registers and in the same zone, or it takes
  them for parts of different packets; and they leave it together, as the last of them does, if it
  sends them nowhere (a commit without a table).

Open vSwitch's own datapath takes fragments of 1,200 octets and more (IPv6: 1,280), up to 32 for a
packet; the kernel's has them reassembled until they leave the switch, and no flow sees one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tenantry.controller.network.priorities import JudgePriority
from tenantry.controller.openflow.drops import Cause, drop
from tenantry.controller.openflow.flow import (
    CONTROLLER,
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
    Output,
    Resubmit,
)
from tenantry.controller.openflow.oxm import Value
from tenantry.controller.openflow.pipeline import ORIGIN_PORT, Table
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import FRAGMENT, ICMP, ICMPV6, IPV4, IPV6, TCP, UDP, Ip

TRACKABLE = ((IPV4, TCP), (IPV4, UDP), (IPV4, ICMP), (IPV6, TCP), (IPV6, UDP), (IPV6, ICMPV6))
"""What connection tracking knows in every datapath. Other protocols are judged packet by packet."""

TRACKED_PROTOCOLS = {
    version: frozenset(protocol for known, protocol in TRACKABLE if known == eth_type)
    for version, eth_type in ((4, IPV4), (6, IPV6))
}
"""The same, by IP version."""

LOOKED_UP: tuple[Mapping[str, Value], ...] = (
    *({"eth_type": eth_type, "ip_proto": protocol} for eth_type, protocol in TRACKABLE),
    {"eth_type": IPV6, "ip_proto": FRAGMENT},
)
"""Matches of what connection tracking is asked about: those protocols, and fragments that do not
say which they are of. (So of IPv6 packets that cannot be tracked only whole ones pass.)"""

ERRORS_4: tuple[Mapping[str, Value], ...] = tuple(
    {"eth_type": IPV4, "ip_proto": ICMP, "icmpv4_type": kind} for kind in (3, 11, 12)
)
ERRORS_6: tuple[Mapping[str, Value], ...] = tuple(
    {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": kind} for kind in (1, 2, 3, 4)
)
"""Matches of ICMP errors that quote a packet: RFC 792; RFC 4443, 3."""

STATE = (CT_TRACKED, CT_TRACKED | CT_INVALID)
"""ct_state of what has a connection: a match on the connection must say that there is one."""

NEW = (CT_NEW | CT_TRACKED, CT_NEW | CT_TRACKED)
REPLY = (CT_REPLY | CT_TRACKED, CT_REPLY | CT_TRACKED)
"""ct_state of what begins a connection, and of what answers in one."""

INVALID = (CT_INVALID, CT_INVALID)
"""ct_state of what cannot be part of any connection of the zone."""

ASKING = (CT_TRACKED, CT_TRACKED | CT_INVALID | CT_RELATED | CT_REPLY)
"""ct_state of what goes the way of the packet that began its connection."""


def committed(zone: int | str) -> Ct:
    """A connection becomes known. It remembers who here began it, so that its answers are judged by
    who that is now."""
    return Ct(zone, commit=True, mark=Move(ORIGIN_PORT, "ct_mark", 32))


def by_state(
    acl: Table, on: Goto, match: Mapping[str, Value], where: Action, why: Cause
) -> Iterator[Flow]:
    """Errors about a connection pass with it; what cannot be part of any is dropped (``why``).
    Errors about what is not tracked are not part of any either: the controller looks at what they
    quote (see ``untracked``). ``where`` tells it that this is asked, and in which table."""
    invalid = {**match, "ct_state": INVALID}
    yield Flow(acl, JudgePriority.INVALID, invalid, drop(why))
    for error in (*ERRORS_4, *ERRORS_6):
        punt = (where, Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))
        yield Flow(acl, JudgePriority.ERROR, {**invalid, **error}, punt)
    related = CT_RELATED | CT_TRACKED
    yield Flow(acl, JudgePriority.RELATED, {**match, "ct_state": (related, related)}, (on,))


def untracked(data: bytes) -> Ip | None:
    """The packet that an ICMP error quotes, if connection tracking could not know it: it is of
    another protocol than those, or a fragment. Errors: Malformed."""
    quoted = frames.unwrapped(frames.quoted(frames.parse_ip(data)))
    known = quoted.protocol in TRACKED_PROTOCOLS[quoted.version]
    return None if known and quoted.whole else quoted
