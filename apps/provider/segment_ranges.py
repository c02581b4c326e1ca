# SPDX-License-Identifier: Apache-2.0

"""Network segment ranges: which VLAN ids and VNIs networks get for which nobody names one.

Those of the configuration are there from the start, are everybody's, and can only be read. An admin
adds more: for everybody (``shared``), or for one project. A network's project has its own ranges
first, then everybody's, of which it leaves out what is another project's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from neutron_lib.api.definitions import network_segment_range as definition
from neutron_lib.constants import TYPE_GENEVE, TYPE_VLAN, TYPE_VXLAN
from neutron_lib.exceptions import network_segment_range as errors

from tenantry.apps.provider.segments import (
    ALL_VLANS,
    ALL_VNIS,
    Range,
    Segment,
    SegmentRange,
    claim_of,
    invalid,
)
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    TAGGED,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
)
from tenantry.controller.store import Body, Draft, Link, Store

RANGE = definition.RESOURCE_NAME

_ATTRIBUTES = definition.RESOURCE_ATTRIBUTE_MAP[definition.COLLECTION_NAME]

LISTED = 4096
"""How many free ids a range shows, the lowest: as many as there are VLANs. A range of overlays may
have millions."""

_ALL: Mapping[str, Range] = {TYPE_VLAN: ALL_VLANS, TYPE_VXLAN: ALL_VNIS, TYPE_GENEVE: ALL_VNIS}
_MARK = "network_segment_ranges"
"""The kind, and the id of its one body, to which all ranges link, by their type of network."""


def _range(body: Body) -> SegmentRange:
    return SegmentRange(
        body["network_type"], body["physical_network"], body["minimum"], body["maximum"]
    )


class SegmentRanges:
    """The ranges there are: ``default``, those of the configuration, and those that are stored."""

    def __init__(self, default: Sequence[SegmentRange]) -> None:
        self.default = default

    def of_project(
        self, draft: Draft, project_id: str, network_type: str, physical_network: str | None
    ) -> Iterator[list[SegmentRange]]:
        """See :data:`~tenantry.apps.provider.segments.RangesOf`."""
        own: list[SegmentRange] = []
        shared: list[SegmentRange] = [*self.default]
        others: list[SegmentRange] = []
        for body in _stored(draft, network_type):
            if not body["default"]:
                mine = body["project_id"] == project_id
                chosen = shared if body["shared"] else own if mine else others
                chosen.append(_range(body))
        for ranges in (own, list(_without(shared, others))):
            yield [
                one
                for one in ranges
                if one.network_type == network_type
                and physical_network in (None, one.physical_network)
            ]

    def ensure(self, ranges: ResourceHooks, draft: Draft) -> None:
        """Store the ranges of the configuration, and no longer those of an earlier one."""
        if draft.get(_MARK, _MARK) is None:
            draft.put(_MARK, {"id": _MARK, "project_id": "", "revision_number": 1})
        missing = [*self.default]
        for network_type in _ALL:
            for body in _stored(draft, network_type):
                if body["default"] and _range(body) in missing:
                    missing.remove(_range(body))
                elif body["default"]:
                    draft.delete(RANGE, body["id"])
        for one in missing:
            attributes = {
                "network_type": one.network_type,
                "physical_network": one.physical_network,
                "minimum": one.first,
                "maximum": one.last,
                "tenant_id": "",
                "project_id": "",
            }
            ranges.kinds[RANGE].make(draft, SYSTEM, attributes)

    def is_stored(self, reader: Reader) -> bool:
        bodies = [body for network_type in _ALL for body in _stored(reader, network_type)]
        stored = [_range(body) for body in bodies if body["default"]]
        return sorted(stored) == sorted(self.default)


def _stored(reader: Reader, network_type: str) -> Iterator[Body]:
    for id in reader.linked(_MARK, network_type):
        if body := reader.get(RANGE, id):
            yield body


def _without(
    ranges: Iterable[SegmentRange], others: Iterable[SegmentRange]
) -> Iterator[SegmentRange]:
    left = [*ranges]
    for other in others:
        left = [part for one in left for part in _difference(one, other)]
    return iter(left)


def _difference(one: SegmentRange, other: SegmentRange) -> Iterator[SegmentRange]:
    """What of one is not in the other."""
    if one[:2] != other[:2]:
        yield one
        return
    ends = (one.first, min(one.last, other.first - 1)), (max(one.first, other.last + 1), one.last)
    yield from (one._replace(first=first, last=last) for first, last in ends if first <= last)


class SegmentRangeHooks(ResourceHooks):
    overrides = ("project_id",)  # of shared ones

    def __init__(
        self, ranges: SegmentRanges, check_physical_network: Callable[[Segment], None]
    ) -> None:
        self._ranges = ranges
        self._check_physical_network = check_physical_network

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["default"] = context is SYSTEM
        if context is not SYSTEM:
            self._ranges.ensure(self, draft)
        for name in ("network_type", "physical_network"):
            if not is_set(body[name]):
                body[name] = ""
        if body["network_type"] not in _ALL:
            raise errors.NetworkSegmentRangeNetTypeNotSupported(type=body["network_type"] or "''")
        if context is not SYSTEM:
            self._check_names(body)
        self._check(draft, body)

    def _check_names(self, body: Body) -> None:
        """The physical network and the project."""
        vlan = body["network_type"] == TYPE_VLAN
        if vlan and not body["physical_network"]:
            raise invalid("physical_network required for a range of VLAN ids")
        if not vlan and body["physical_network"]:
            raise invalid(f"physical_network prohibited for a range of {body['network_type']}")
        if vlan:
            self._check_physical_network(_range(body).segment(body["minimum"]))
        if body["shared"]:
            body["project_id"] = ""
        elif not body["project_id"]:
            raise invalid("a range that is not shared must have a project_id")

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before["default"]:
            raise errors.NetworkSegmentRangeDefaultReadOnly(range_id=body["id"])
        used = _used(draft, _range(before))
        if any(not body["minimum"] <= id <= body["maximum"] for id in used):
            raise errors.NetworkSegmentRangeReferencedByProject(range_id=body["id"])
        self._check(draft, body)

    def _check(self, draft: Draft, body: Body) -> None:
        """The range itself, and that no other has any of it."""
        new, (least, most) = _range(body), _ALL[body["network_type"]]
        if not least <= new.first <= new.last <= most:
            raise invalid(
                f"minimum {new.first} and maximum {new.last} are no range of {new.network_type}: "
                f"must be {least} <= minimum <= maximum <= {most}"
            )
        overlapping = [
            other["id"]
            for other in _stored(draft, new.network_type)
            if other["id"] != body["id"]
            and other["default"] is body["default"] is False
            and list(_difference(new, _range(other))) != [new]
        ]
        if overlapping:
            raise errors.NetworkSegmentRangeOverlaps(range_id=", ".join(overlapping))

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if body["default"]:
            raise errors.NetworkSegmentRangeDefaultReadOnly(range_id=body["id"])
        if _used(draft, _range(body)):
            raise errors.NetworkSegmentRangeReferencedByProject(range_id=body["id"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(_MARK, body["network_type"])

    def upgrade(self, store: Store) -> None:
        """What the configuration says by now."""
        if not self._ranges.is_stored(store):
            store.write(lambda draft: self._ranges.ensure(self, draft), SYSTEM.actor)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        one = _range(body)
        used = _used(reader, one)
        networks = {id: reader.get("network", owner) or {} for id, owner in used.items()}
        shown["used"] = {str(id): network.get("project_id") for id, network in networks.items()}
        free = (id for id in one.ids if id not in used)
        shown["available"] = list(islice(free, LISTED))
        if body["shared"]:
            shown["project_id"] = shown["tenant_id"] = None


def _used(reader: Reader, one: SegmentRange) -> dict[int, str]:
    """The networks that have an id of a range, by the id; what a draft itself changes left out."""
    claim = claim_of(one.segment(one.first))
    assert claim is not None
    taken = reader.claimed(claim.kind, claim.scope)
    numbers = sorted((int(value), owner) for value, owner in taken.items())
    return {id: owner for id, owner in numbers if id in one.ids}


KINDS = (
    ResourceSpec(
        name=RANGE,
        collection=definition.COLLECTION_NAME,
        attributes={
            **_ATTRIBUTES,
            "tenant_id": _ATTRIBUTES["project_id"],
        },
        not_found=lambda id: errors.NetworkSegmentRangeNotFound(range_id=id),
        standard=TAGGED,
    ),
    ResourceSpec(
        name=_MARK,
        collection=_MARK,
        attributes={"tenant_id": {"allow_post": False, "allow_put": False}},
        not_found=lambda id: errors.NetworkSegmentRangeNotFound(range_id=id),
        internal=True,
    ),
)
