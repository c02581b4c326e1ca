# SPDX-License-Identifier: Apache-2.0

"""Networks: sharing, and when one may go."""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.definitions import network, port_security
from neutron_lib.constants import DEVICE_OWNER_DHCP, DEVICE_OWNER_DISTRIBUTED

from tenantry.controller.api.core.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    TAGGED,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    access,
    may_use,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.store import Body, Draft

AUTO_DELETED = (DEVICE_OWNER_DHCP, DEVICE_OWNER_DISTRIBUTED)
"""Owners of ports that go with their network or subnet without being asked."""

LISTED = 10
"""How many users of a resource an error names."""


class NetworkHooks(ResourceHooks):
    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before["shared"] and not body["shared"]:
            self._check_unshared(draft, body)

    def _check_unshared(self, draft: Draft, body: Body) -> None:
        """Nobody has ports there by this alone. What is nobody's is a gateway's or a floating IP's,
        which need no sharing."""
        for id in draft.linked(body["id"], "port"):
            port = draft.get("port", id)
            project = port["project_id"] if port else ""
            allowed = draft.owner(access(body["id"], project)) is not None
            if project not in ("", body["project_id"]) and not allowed:
                raise exceptions.InvalidSharedSetting(network=body["name"] or body["id"])

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        used = []
        for id in draft.linked(body["id"], "port"):
            port = draft.get("port", id)
            if port and port["device_owner"] in AUTO_DELETED:
                draft.delete("port", id)
            else:
                used.append(id)
        if used:
            raise exceptions.NetworkInUse(
                net_id=body["id"],
                reason="There are one or more ports still in use on the network, id for these "
                f"ports is: {listed(used)}",
            )
        for id in draft.linked(body["id"], "subnet"):
            draft.delete("subnet", id)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["subnets"] = list(reader.linked(body["id"], "subnet"))
        shown.setdefault("status", "ACTIVE")


def network_of(draft: Draft, context: Context, body: Body) -> Body:
    """The network that ``body`` is to be on. 404 if there is none that the caller may use."""
    found = draft.get("network", body["network_id"])
    if found is None or not may_use(draft, context, found):
        raise exceptions.NetworkNotFound(net_id=body["network_id"])
    return found


def listed(ids: Iterable[str]) -> str:
    """Ids for an error, not endlessly many."""
    ids = list(ids)
    more = len(ids) - LISTED
    return ",".join(ids[:LISTED]) + (f" and {more} more" if more > 0 else "")


def extension() -> Extension:
    """The kind ``network``."""
    return Extension(
        policies=POLICIES,
        definitions=(port_security,),
        kinds=(
            ResourceSpec(
                name="network",
                collection="networks",
                attributes=network.RESOURCE_ATTRIBUTE_MAP["networks"],
                not_found=lambda id: exceptions.NetworkNotFound(net_id=id),
                standard=TAGGED,
                keys=Zone.NETWORKS,
                quota=100,
            ),
        ),
        rules={"network": NetworkHooks()},
    )
