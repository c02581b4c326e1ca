# SPDX-License-Identifier: Apache-2.0

"""The API of taps: ports that get copies (``tap_service``), and ports whose packets are copied to
those (``tap_flow``). Both ports are of the project that has the tap, whatever else its members see.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import (
    taas,
    tap_mirror,
    tap_mirror_both_direction,
    vlan_filter,
)
from neutron_lib.constants import DOWN
from neutron_lib.exceptions import taas as errors

from tenantry.apps.tap.mirrors import TAP_MIRROR, TapMirrorHooks
from tenantry.apps.tap.policies import POLICIES
from tenantry.apps.tap.ports import own_port
from tenantry.apps.tap.records import vlans
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Definition,
    Extension,
    NewDefinition,
    ResourceHooks,
    ResourceSpec,
)
from tenantry.controller.network.tunnels import SERVICE_TYPE
from tenantry.controller.store import Body, Claim, Draft, Link

TAP_SERVICE, TAP_FLOW = taas.RESOURCE_NAME, taas.TAP_FLOW

SOURCE = "tap_source"
"""The role in which a port sees the taps of its packets."""

LAST_VNI = (1 << 24) - 1  # RFC 7348, 5


class NoTapVni(exceptions.Conflict):
    message = "There is no VNI left by which copies could come from other hosts."


class TapServiceHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        own_port(self.kinds["port"], draft, context, body["port_id"], body["project_id"])
        taken = draft.claimed("segment", SERVICE_TYPE)
        free = (vni for vni in range(LAST_VNI, 0, -1) if str(vni) not in taken)
        body |= {"vni": next(free, None), "status": DOWN}  # until one sees otherwise: status.py
        if body["vni"] is None:
            raise NoTapVni()

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], TAP_FLOW):
            draft.delete(TAP_FLOW, id)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim("segment", SERVICE_TYPE, str(body["vni"]))

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["port_id"], TAP_SERVICE)


class TapFlowHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        kind, id = self.kinds[TAP_SERVICE], body["tap_service_id"]
        service = draft.get(TAP_SERVICE, id)
        if service is None or not kind.may_see(draft, context, service):
            raise errors.TapServiceNotFound(tap_id=id)
        if service["project_id"] != body["project_id"]:
            raise errors.TapServiceNotBelongToTenant()
        port = own_port(self.kinds["port"], draft, context, body["source_port"], body["project_id"])
        if port["id"] == service["port_id"]:
            raise _bad(f"Port {port['id']} is that of the tap service: tap another one")
        if body["vlan_filter"] and any(
            not 1 <= first <= last <= 4094 for first, last in vlans(body["vlan_filter"])
        ):
            raise _bad("vlan_filter has ids from 1 to 4094, and ranges with the smaller one first")
        body["status"] = DOWN

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["tap_service_id"], TAP_FLOW)
        yield Link(body["source_port"], SOURCE)


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource=TAP_FLOW, msg=message)
    return error


class PortHooks(ResourceHooks):
    """A port that goes takes its taps along."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for kind, role in ((TAP_FLOW, SOURCE), (TAP_MIRROR, TAP_MIRROR)):
            for id in draft.linked(body["id"], role):
                draft.delete(kind, id)
        for id in draft.linked(body["id"], TAP_SERVICE):
            service = draft.get(TAP_SERVICE, id)
            if service is not None:
                self.kinds[TAP_SERVICE].delete(draft, context, service)


def _found_by(theirs: Definition, collection: str) -> dict[str, Any]:
    """Attributes by which one can be found, as its name is by ``openstack``: Neutron has forgotten
    to say so."""
    found = {"is_filter": True, "is_sort_key": True}
    return {
        name: spec if name in ("directions", "status") else {**spec, **found}
        for name, spec in theirs.RESOURCE_ATTRIBUTE_MAP[collection].items()
    }


def extension() -> Extension:
    """The kinds ``tap_service``, ``tap_flow`` and ``tap_mirror``."""
    hidden: dict[str, Any] = {"allow_post": False, "allow_put": False, "is_visible": False}
    services = _found_by(taas, taas.COLLECTION_NAME)
    flows = {**_found_by(taas, taas.TAP_FLOWS), **_found_by(vlan_filter, taas.TAP_FLOWS)}
    mirrors = {
        **_found_by(tap_mirror, tap_mirror.COLLECTION_NAME),
        **_found_by(tap_mirror_both_direction, tap_mirror.COLLECTION_NAME),
    }
    theirs = (taas, vlan_filter, tap_mirror, tap_mirror_both_direction)
    return Extension(
        definitions=tuple(NewDefinition.instead(one, {}) for one in theirs),
        policies=POLICIES,
        kinds=(
            ResourceSpec(
                name=TAP_SERVICE,
                collection=taas.COLLECTION_NAME,
                attributes={**services, "project_id": services["tenant_id"], "vni": hidden},
                not_found=lambda id: errors.TapServiceNotFound(tap_id=id),
                path="taas/tap_services",
                standard=(),
            ),
            ResourceSpec(
                name=TAP_FLOW,
                collection=taas.TAP_FLOWS,
                attributes={**flows, "project_id": flows["tenant_id"]},
                not_found=lambda id: errors.TapFlowNotFound(flow_id=id),
                path="taas/tap_flows",
                standard=(),
            ),
            ResourceSpec(
                name=TAP_MIRROR,
                collection=tap_mirror.COLLECTION_NAME,
                attributes={**mirrors, "tenant_id": mirrors["project_id"]},
                not_found=lambda id: errors.TapMirrorNotFound(mirror_id=id),
                path="taas/tap_mirrors",
                standard=(),
            ),
        ),
        rules={
            TAP_SERVICE: TapServiceHooks(),
            TAP_FLOW: TapFlowHooks(),
            TAP_MIRROR: TapMirrorHooks(),
            "port": PortHooks(),
        },
    )
