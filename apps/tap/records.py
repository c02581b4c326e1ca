# SPDX-License-Identifier: Apache-2.0

"""Records of taps and mirrors, and between which switches taps need tunnels."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from tenantry.apps.tap.terms import Alternative
from tenantry.controller.model import Binding, View, derived, parse
from tenantry.controller.model.model import Indexes
from tenantry.controller.model.record import Body, record, stored
from tenantry.controller.model.values import Address

IN, OUT, BOTH = "IN", "OUT", "BOTH"
"""Directions, as the port's machine sees them: what it gets, what it sends."""


def vlans(text: str) -> tuple[tuple[int, int], ...]:
    """``10,20-30``: the first and the last of each range."""
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found.append((int(first), int(last or first)))
    return tuple(found)


@record
class TapService:
    """A port that gets copies."""

    KIND: ClassVar = "tap_service"
    INDEXES: ClassVar[Indexes] = (("port_id",),)

    id: str
    project_id: str
    port_id: str
    vni: int  # with which copies come from other hosts: claimed, so that no network has it


@record
class TapFlow:
    """A port whose packets are copied to a tap service."""

    KIND: ClassVar = "tap_flow"
    INDEXES: ClassVar[Indexes] = (("service_id",), ("port_id",))

    id: str
    project_id: str
    direction: str
    service_id: str = stored("tap_service_id")
    port_id: str = stored("source_port")
    # of a trunk's parent: the tags of the frames to copy, as ranges; () are the port's own packets
    vlans: tuple[tuple[int, int], ...] = stored("vlan_filter", vlans, default=())


class MirrorTunnel(NamedTuple):
    """The key of a mirror's tunnel, and the directions of the packets that go through it."""

    key: int
    directions: frozenset[str]


def _tunnels(directions: Body) -> tuple[MirrorTunnel, ...]:
    ways: dict[int, set[str]] = {}
    for name, key in directions.items():
        ways.setdefault(key, set()).update((IN, OUT) if name == BOTH else (name,))
    return tuple(MirrorTunnel(key, frozenset(ways[key])) for key in sorted(ways))


@record
class TapMirror:
    """A port whose packets are copied to an address outside."""

    KIND: ClassVar = "tap_mirror"
    INDEXES: ClassVar[Indexes] = (("port_id",),)

    id: str
    port_id: str
    mirror_type: str  # "gre" or "erspanv1"
    remote: Address = stored("remote_ip", parse.address)
    tunnels: tuple[MirrorTunnel, ...] = stored("directions", _tunnels)


@record
class Capture:
    """A port whose packets are copied to the controller, for somebody who reads them just now. In
    memory only."""

    INDEXES: ClassVar[Indexes] = (("port_id",),)

    id: str
    key: int  # of those at this time
    port_id: str
    directions: frozenset[str]
    matches: tuple[Alternative, ...]  # of one of which a packet must be: terms.py
    packets_per_second: int


@derived
def _ways(view: View) -> frozenset[tuple[int, int]]:
    """From which switch to which other one copies go."""
    found = set()
    for port_id in view.distinct(TapFlow, "port_id"):
        source = view.get(Binding, port_id)
        for tap in view.find(TapFlow, port_id=port_id) if source else ():
            service = view.get(TapService, tap.service_id)
            there = view.get(Binding, service.port_id) if service else None
            if source and there and source.switch != there.switch:
                found.add((source.switch, there.switch))
    return frozenset(found)


@derived
def tap_peers(view: View, switch: int) -> frozenset[int]:
    """The switches to which copies go from a switch, and those from which they come."""
    return frozenset(
        other for way in _ways(view) if switch in way for other in way if other != switch
    )
