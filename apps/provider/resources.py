# SPDX-License-Identifier: Apache-2.0

"""How networks are carried: the provider attributes and segments, by an admin's word or allocated.

What a network's segments claim is the network's, so that no two networks ever share one, and what
follows from them (its MTU, say) follows from its body alone. Resources of the kind ``segment`` give
them ids and names. The first segment never changes while the network lives; others come and go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from neutron_lib import exceptions
from neutron_lib.api.attributes import AttributeInfo
from neutron_lib.api.definitions import (
    l2_adjacency,
    multiprovidernet,
    network_segment_range,
    provider_net,
    segments_peer_subnet_host_routes,
    standard_attr_segment,
    subnet_segmentid_writable,
)
from neutron_lib.api.definitions import segment as segment_api
from neutron_lib.constants import TYPE_LOCAL, TYPE_VLAN
from neutron_lib.exceptions.multiprovidernet import SegmentsSetInConjunctionWithProviders

from tenantry.apps.provider import peer_routes, segment_ranges
from tenantry.apps.provider.policies import POLICIES
from tenantry.apps.provider.segment_ranges import SegmentRanges
from tenantry.apps.provider.segments import (
    ALL_VNIS,
    OVERLAYS,
    SEGMENTATION_ID,
    SEGMENTS,
    TYPE,
    Range,
    Segment,
    SegmentRange,
    Segments,
    VlanRanges,
    claim_of,
    invalid,
    segment_of,
    segments_of,
)
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

SEGMENT = segment_api.RESOURCE_NAME
"""The kind, and the role in which a network sees its segments."""

_ATTRIBUTES = AttributeInfo(provider_net.RESOURCE_ATTRIBUTE_MAP["networks"])


class SegmentNotFound(exceptions.NotFound):
    message = "Segment %(segment_id)s could not be found."


class SegmentInUse(exceptions.InUse):
    message = "Segment '%(segment_id)s' cannot be deleted: %(reason)s."


class NetworkIdsDontMatch(exceptions.BadRequest):
    message = (
        "The subnet's network id, '%(subnet_network)s', doesn't match the network_id of segment "
        "'%(segment_id)s', '%(segment_network)s'."
    )


class SubnetsNotAllAssociatedWithSegments(exceptions.BadRequest):
    message = (
        "All of the subnets on network '%(network_id)s' must either all be associated with "
        "segments, or all not associated with any segments."
    )


class SubnetSegmentAssociationChangeNotAllowed(exceptions.BadRequest):
    message = (
        "A subnet that is already associated with a segment cannot have its segment association "
        "changed."
    )


class NoUpdateSubnetWhenMultipleSegmentsOnNetwork(exceptions.BadRequest):
    message = (
        "The network '%(network_id)s' has multiple segments, it is only possible to associate an "
        "existing subnet with a segment on networks with a single segment."
    )


class ProviderNetworkHooks(ResourceHooks):
    """A network with one segment has it as ``provider:*``; one with several has them all in
    ``segments``, too, which is None otherwise."""

    def __init__(self, tenant_network_type: str, segments: Segments) -> None:
        self._tenant_network_type = tenant_network_type
        self._segments = segments

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        settled: list[Segment] = []
        for wanted in self._wanted(body):
            settled.append(self._segments.settle(draft, body["project_id"], wanted, settled))
        body |= settled[0]
        body[SEGMENTS] = _several(settled)

    def _wanted(self, body: Body) -> list[Segment]:
        named = any(is_set(body[name]) for name in provider_net.ATTRIBUTES)
        listed = body[SEGMENTS] if is_set(body[SEGMENTS]) else []
        if named and listed:
            raise SegmentsSetInConjunctionWithProviders()
        if listed:
            return [_checked(segment_of(one)) for one in listed]
        if named:
            return [segment_of(body)]
        return [segment_of({TYPE: self._tenant_network_type})]

    def created(self, draft: Draft, body: Body) -> None:
        if body[SEGMENTS]:
            _store_segments(self, draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        different = [name for name in provider_net.ATTRIBUTES if body[name] != before[name]]
        if not different:
            return
        if different != [SEGMENTATION_ID] or before.get(SEGMENTS) or not body[SEGMENTATION_ID]:
            raise invalid(
                "Plugin does not support updating the following provider network attributes: "
                f"{', '.join(different)}; create a network with the new ones instead (of one with "
                f"a single segment, {SEGMENTATION_ID} may become another)"
            )
        body |= self._segments.settle(draft, body["project_id"], segment_of(body), [])
        for id in draft.linked(body["id"], SEGMENT):
            segment = draft.get(SEGMENT, id)
            if segment is not None:
                renumbered = {"segmentation_id": body[SEGMENTATION_ID]}
                self.kinds[SEGMENT].update(draft, SYSTEM, segment, renumbered)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], SEGMENT):
            draft.delete(SEGMENT, id)

    def claims(self, body: Body) -> Iterable[Claim]:
        return filter(None, map(claim_of, segments_of(body)))

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        """As in Neutron, a network shows its one segment or the list of them, never both."""
        for name in provider_net.ATTRIBUTES if body.get(SEGMENTS) else (SEGMENTS,):
            shown.pop(name, None)
        subnets = (reader.get("subnet", id) for id in reader.linked(body["id"], "subnet"))
        shown[l2_adjacency.L2_ADJACENCY] = not any(
            s and s.get(segment_api.SEGMENT_ID) for s in subnets
        )


class SegmentHooks(ResourceHooks):
    """Segments that have an id and a name.

    A network's one segment gets them when somebody lists segments, or when there is a second. Until
    then it may be created as it is: what a network has already, and nobody named, is not added a
    second time.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    def before_list(self, store: Store, context: Context, project_id: str) -> None:
        unnamed = [id for id in store.read("network") if not store.linked(id, SEGMENT)]

        def name_them(draft: Draft) -> None:
            for id in unnamed:
                network = draft.get("network", id)
                if network is not None:
                    _store_segments(self, draft, network)

        if unnamed:
            store.write(name_them, context.actor)

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        network = draft.get("network", body["network_id"])
        if network is None:
            raise exceptions.NetworkNotFound(net_id=body["network_id"])
        body["project_id"] = ""  # so none but admins see it
        segment, known = segment_of(body, prefix=""), segments_of(network)
        if segment not in _unnamed(draft, network):
            segment = self._segments.settle(draft, network["project_id"], segment, known)
            _store_segments(self, draft, network)
            self.kinds["network"].update(draft, context, network, {SEGMENTS: [*known, segment]})
        body |= _without_prefix(segment)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        network = draft.get("network", body["network_id"])
        assert network is not None, "a link holds it"
        segment, known = segment_of(body, prefix=""), segments_of(network)
        if segment == known[0]:
            raise SegmentInUse(
                segment_id=body["id"], reason="it is the network's first, delete the network"
            )
        subnets = draft.linked(body["id"], "subnet")
        if subnets:
            raise SegmentInUse(
                segment_id=body["id"],
                reason=f"it is still associated with subnet(s) {', '.join(subnets)}",
            )
        left = [other for other in known if other != segment]
        self.kinds["network"].update(draft, context, network, {SEGMENTS: _several(left)})

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["network_id"], SEGMENT)


class SegmentSubnetHooks(ResourceHooks):
    """The subnets of a network are all on segments of it, or none is."""

    overrides = (peer_routes.ROUTES,)

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        id, network_id = body[segment_api.SEGMENT_ID], body["network_id"]
        if id is not None:
            _check_segment(draft, id, network_id)
        for subnet_id in draft.linked(network_id, "subnet"):
            other = draft.get("subnet", subnet_id)
            if other and (other.get(segment_api.SEGMENT_ID) is None) != (id is None):
                raise SubnetsNotAllAssociatedWithSegments(network_id=network_id)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        """The one subnet of a network with one segment may be put on it: so a network that was made
        without a thought of segments gets more."""
        if body[peer_routes.ROUTES] != before[peer_routes.ROUTES]:
            body[peer_routes.ROUTES] = peer_routes.given(draft, before, body)
        id, network_id = body.get(segment_api.SEGMENT_ID), body["network_id"]
        if id == before.get(segment_api.SEGMENT_ID):
            return
        if before.get(segment_api.SEGMENT_ID) is not None:
            raise SubnetSegmentAssociationChangeNotAllowed()
        if len(draft.linked(network_id, "subnet")) > 1:
            raise SubnetsNotAllAssociatedWithSegments(network_id=network_id)
        _check_segment(draft, str(id), network_id)
        network = draft.get("network", network_id)
        if network and len(segments_of(network)) > 1:
            raise NoUpdateSubnetWhenMultipleSegmentsOnNetwork(network_id=network_id)

    def links(self, body: Body) -> Iterable[Link]:
        if body.get(segment_api.SEGMENT_ID):
            yield Link(body[segment_api.SEGMENT_ID], "subnet")

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(
            segment_api.SEGMENT_ID, None
        )  # subnets from before there was such an attribute
        shown[peer_routes.ROUTES] = peer_routes.with_peers(reader, body)


def _check_segment(draft: Draft, id: str, network_id: str) -> None:
    found = draft.get(SEGMENT, id)
    if found is None:
        raise SegmentNotFound(segment_id=id)
    if found["network_id"] != network_id:
        raise NetworkIdsDontMatch(
            subnet_network=network_id, segment_id=id, segment_network=found["network_id"]
        )


def _several(segments: list[Segment]) -> list[Segment] | None:
    return segments if len(segments) > 1 else None


def _checked(wanted: Segment) -> Segment:
    """What neutron-lib checks in ``provider:*`` but not in the items of ``segments``."""
    _ATTRIBUTES.convert_values(
        {name: value for name, value in wanted.items() if value is not None}, exc_cls=invalid
    )
    return wanted


def _unnamed(draft: Draft, network: Body) -> list[Segment]:
    """Segments of the network that are not stored as resources."""
    stored = [draft.get(SEGMENT, id) for id in draft.linked(network["id"], SEGMENT)]
    named = [segment_of(body, prefix="") for body in stored if body]
    return [one for one in segments_of(network) if one not in named]


def _store_segments(rules: ResourceHooks, draft: Draft, network: Body) -> None:
    """Make resources of all segments that the network has."""
    for one in _unnamed(draft, network):
        values = {name: value for name, value in _without_prefix(one).items() if value is not None}
        attributes = {"network_id": network["id"], "project_id": "", **values}
        rules.kinds[SEGMENT].make(draft, SYSTEM, attributes)


def _without_prefix(segment: Segment) -> Body:
    return {name.removeprefix("provider:"): value for name, value in segment.items()}


def _multi_provider() -> NewDefinition:
    """neutron-lib's, but for updates: segments come and go as resources of their own."""
    spec = multiprovidernet.RESOURCE_ATTRIBUTE_MAP["networks"][SEGMENTS]
    return NewDefinition.instead(
        multiprovidernet,
        {"networks": {SEGMENTS: {**spec, "allow_put": False}}},
    )


def extension(
    *,
    tenant_network_type: str = TYPE_LOCAL,
    vlan_ranges: VlanRanges | None = None,
    vni_ranges: Sequence[Range] = (ALL_VNIS,),
    physical_networks: Collection[str] | None = None,
) -> Extension:
    """The provider attributes of networks, and the kind ``segment``.

    A network for which nobody says how it is carried is of ``tenant_network_type``: ``vlan``, from
    ``vlan_ranges``; ``vxlan`` or ``geneve``, each with all of ``vni_ranges``; or ``local``, which
    stays on its switch. ``physical_networks`` are those there are; None means any name is good.
    """
    vlans = ((name, one) for name, ranges in (vlan_ranges or {}).items() for one in ranges)
    ranges = SegmentRanges(
        [
            *(SegmentRange(TYPE_VLAN, name, *one) for name, one in vlans),
            *(SegmentRange(overlay, "", *one) for overlay in OVERLAYS for one in vni_ranges),
        ]
    )
    segments = Segments(ranges.of_project, physical_networks)
    range_hooks = segment_ranges.SegmentRangeHooks(ranges, segments.check_physical_network)
    return Extension(
        policies=POLICIES,
        definitions=(
            *(provider_net, _multi_provider(), segment_api, standard_attr_segment),
            *(l2_adjacency, subnet_segmentid_writable, network_segment_range),
            segments_peer_subnet_host_routes,
        ),
        kinds=(
            ResourceSpec(
                name=SEGMENT,
                collection=segment_api.COLLECTION_NAME,
                attributes=segment_api.RESOURCE_ATTRIBUTE_MAP[segment_api.COLLECTION_NAME],
                not_found=lambda id: SegmentNotFound(segment_id=id),
                quota=None,
            ),
            *segment_ranges.KINDS,
        ),
        rules={
            "network": ProviderNetworkHooks(tenant_network_type, segments),
            SEGMENT: SegmentHooks(segments),
            segment_ranges.RANGE: range_hooks,
            "subnet": SegmentSubnetHooks(),
        },
        upgrade=range_hooks.upgrade,
    )
