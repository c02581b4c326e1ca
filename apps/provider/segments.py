# SPDX-License-Identifier: Apache-2.0

"""Segments as values: what one may be, which are free, and what each claims.

A segment is one way in which a network is carried between hosts: a wire, or tunnels. It is the
three ``provider:*`` attributes, which a network has itself, or has several times in ``segments``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

from neutron_lib import exceptions
from neutron_lib.api.definitions import multiprovidernet, provider_net
from neutron_lib.constants import (
    MAX_VLAN_TAG,
    MAX_VXLAN_VNI,
    MIN_VLAN_TAG,
    MIN_VXLAN_VNI,
    TYPE_FLAT,
    TYPE_GENEVE,
    TYPE_LOCAL,
    TYPE_VLAN,
    TYPE_VXLAN,
)
from neutron_lib.exceptions.multiprovidernet import SegmentsContainDuplicateEntry

from tenantry.controller.feature.extension import is_set
from tenantry.controller.store import Body, Claim, Draft

TYPE, PHYSICAL_NETWORK, SEGMENTATION_ID = provider_net.ATTRIBUTES
SEGMENTS = multiprovidernet.SEGMENTS

OVERLAYS = (TYPE_VXLAN, TYPE_GENEVE)
ALL_VLANS = (MIN_VLAN_TAG, MAX_VLAN_TAG)
ALL_VNIS = (MIN_VXLAN_VNI, MAX_VXLAN_VNI)
"""Geneve's are the same 24 bits (RFC 7348, section 5; RFC 8926, section 3.4)."""

Segment: TypeAlias = dict[str, Any]
"""The ``provider:*`` attributes, None where there is nothing to say."""

Range: TypeAlias = tuple[int, int]
"""The first and the last."""

VlanRanges = Mapping[str, Sequence[Range]]
"""Ranges of VLAN ids by physical network."""


class SegmentRange(NamedTuple):
    """Ids for networks of a type."""

    network_type: str
    physical_network: str  # of VLANs; else ""
    first: int
    last: int

    @property
    def ids(self) -> range:
        return range(self.first, self.last + 1)

    def segment(self, id: int) -> Segment:
        physical_network = self.physical_network or None
        return {TYPE: self.network_type, PHYSICAL_NETWORK: physical_network, SEGMENTATION_ID: id}


RangesOf: TypeAlias = Callable[[Draft, str, str, str | None], Iterable[Sequence[SegmentRange]]]
"""``ranges_of(draft, project_id, network_type, physical_network)``: where a project's network gets
its id, out of the first of these that has one. ``physical_network`` None is any."""


def segment_of(values: Mapping[str, Any], prefix: str = "provider:") -> Segment:
    """The segment in the attributes of a network, or with prefix "" in those of the API's kind
    ``segment``. An empty string says nothing, as in Neutron."""
    segment = {}
    for name in provider_net.ATTRIBUTES:
        value = values.get(prefix + name.removeprefix("provider:"))
        segment[name] = value if is_set(value) and value != "" else None
    return segment


def segments_of(network: Body) -> list[Segment]:
    """All segments of a network; the first never changes."""
    return network.get(SEGMENTS) or [segment_of(network)]


def claim_of(segment: Segment) -> Claim | None:
    """What nobody else may use."""
    network_type, physical_network = segment[TYPE], segment[PHYSICAL_NETWORK]
    if network_type == TYPE_VLAN:
        return _claim(f"{TYPE_VLAN}:{physical_network}", segment[SEGMENTATION_ID])
    if network_type == TYPE_FLAT:
        return _claim(TYPE_FLAT, physical_network)
    if network_type in OVERLAYS:
        return _claim(network_type, segment[SEGMENTATION_ID])
    return None


def _in_use(claim: Claim) -> Exception:
    """Neutron's error for what :func:`claim_of` says and another has."""
    network_type, _, physical_network = claim.scope.partition(":")
    error: Exception
    if network_type == TYPE_VLAN:
        error = exceptions.VlanIdInUse(vlan_id=claim.value, physical_network=physical_network)
    elif network_type == TYPE_FLAT:
        error = exceptions.FlatNetworkInUse(physical_network=claim.value)
    else:
        error = exceptions.TunnelIdInUse(tunnel_id=claim.value)
    return error


def invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


class Segments:
    """Checks segments, and finds free ones."""

    def __init__(
        self,
        ranges_of: RangesOf,
        physical_networks: Collection[str] | None,
    ) -> None:
        self._ranges_of = ranges_of
        self._vnis = _Vnis()
        self._physical_networks = physical_networks

    def settle(
        self, draft: Draft, project_id: str, wanted: Segment, others: Collection[Segment]
    ) -> Segment:
        """``wanted``, checked, and completed with what is free for a project. ``others`` are those
        that the same network has, of which the draft need not know yet."""
        segment = dict(wanted)
        if segment[TYPE] is None:
            raise invalid("network_type required")
        if segment[TYPE] == TYPE_VLAN:
            self._settle_vlan(segment)
        elif segment[TYPE] in OVERLAYS:
            self._settle_overlay(segment)
        elif segment[TYPE] == TYPE_FLAT:
            _prohibit(segment, SEGMENTATION_ID)
            if segment[PHYSICAL_NETWORK] is None:
                raise invalid("physical_network required for flat provider network")
            self.check_physical_network(segment)
        elif segment[TYPE] == TYPE_LOCAL:
            _prohibit(segment, PHYSICAL_NETWORK, SEGMENTATION_ID)
        else:
            raise invalid(
                f"network_type value '{segment[TYPE]}' not supported; use {TYPE_FLAT}, "
                f"{TYPE_VLAN}, {TYPE_VXLAN}, {TYPE_GENEVE} or {TYPE_LOCAL}"
            )
        if segment[TYPE] in (TYPE_VLAN, *OVERLAYS) and segment[SEGMENTATION_ID] is None:
            return self._free(draft, project_id, segment, others)
        claim = claim_of(segment)
        if claim and draft.owner(claim) is not None:
            raise _in_use(claim)
        if segment in others:
            raise SegmentsContainDuplicateEntry()
        return segment

    def _settle_vlan(self, segment: Segment) -> None:
        if segment[PHYSICAL_NETWORK] is not None:
            self.check_physical_network(segment)
        elif segment[SEGMENTATION_ID] is not None:
            raise invalid("segmentation_id requires physical_network for VLAN provider network")
        _check_id(segment, *ALL_VLANS)

    def _settle_overlay(self, segment: Segment) -> None:
        _prohibit(segment, PHYSICAL_NETWORK)
        _check_id(segment, *ALL_VNIS)

    def _free(
        self, draft: Draft, project_id: str, wanted: Segment, others: Collection[Segment]
    ) -> Segment:
        """A segment that no network has. Of VLANs the first of the ranges."""
        network_type, physical_network = wanted[TYPE], wanted[PHYSICAL_NETWORK]
        for ranges in self._ranges_of(draft, project_id, network_type, physical_network):
            if network_type == TYPE_VLAN:
                candidates = (one.segment(id) for one in ranges for id in one.ids)
                found = _first_free(draft, others, candidates)
            else:
                found = self._vnis.free(draft, tuple(ranges), others)
            if found is not None:
                return found
        raise exceptions.NoNetworkAvailable()

    def check_physical_network(self, segment: Segment) -> None:
        name, known = segment[PHYSICAL_NETWORK], self._physical_networks
        if known is not None and name not in known:
            raise invalid(
                f"Unknown physical_network '{name}' for {segment[TYPE]} provider network; known: "
                f"{', '.join(sorted(known)) or 'none'}"
            )


class _Vnis:
    """The VNIs that networks get if nobody names one: of some ranges of one type the first free one
    after the last given out, which costs the same however many are taken, and lets a freed one rest
    for a while.

    Where to go on from is all that is kept. A draft is right whatever it is, and gives it back
    if it is not written.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[SegmentRange, ...], int] = {}

    def free(
        self, draft: Draft, ranges: tuple[SegmentRange, ...], others: Collection[Segment]
    ) -> Segment | None:
        if not ranges:
            return None
        if ranges not in self._last:
            taken = map(int, draft.claimed("segment", ranges[0].network_type))
            given = (vni for vni in taken if any(vni in one.ids for one in ranges))
            self._last[ranges] = max(given, default=0)
        last = self._last[ranges]
        draft.undo.append(partial(self._last.__setitem__, ranges, last))
        candidates = (ranges[0].segment(vni) for vni in _after(ranges, last))
        segment = _first_free(draft, others, candidates)
        if segment is not None:
            self._last[ranges] = segment[SEGMENTATION_ID]
        return segment


def _after(ranges: Sequence[SegmentRange], vni: int) -> Iterator[int]:
    """All of the ranges, those that are larger than ``vni`` first."""
    larger = (range(max(one.first, vni + 1), one.last + 1) for one in ranges)
    others = (range(one.first, min(one.last, vni) + 1) for one in ranges)
    return chain(*larger, *others)


def _first_free(
    draft: Draft, others: Collection[Segment], candidates: Iterable[Segment]
) -> Segment | None:
    for segment in candidates:
        claim = claim_of(segment)
        if segment not in others and (claim is None or draft.owner(claim) is None):
            return segment
    return None


def _claim(scope: str, value: object) -> Claim:
    return Claim("segment", scope, str(value))


def _check_id(segment: Segment, first: int, last: int) -> None:
    id = segment[SEGMENTATION_ID]
    if id is not None and not first <= id <= last:
        raise invalid(f"segmentation_id out of range ({first} through {last})")


def _prohibit(segment: Segment, *names: str) -> None:
    for name in names:
        if segment[name] is not None:
            raise invalid(
                f"{name.removeprefix('provider:')} prohibited for {segment[TYPE]} provider network"
            )
