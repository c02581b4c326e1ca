# SPDX-License-Identifier: Apache-2.0

"""Address scopes: sets of subnet pools whose prefixes never overlap, so that their subnets can be
routed to each other without translation."""

from __future__ import annotations

from neutron_lib.api.definitions import address_scope
from neutron_lib.exceptions.address_scope import (
    AddressScopeInUse,
    AddressScopeNotFound,
    AddressScopeUpdateError,
)

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    may_use,
)
from tenantry.controller.network import scopes
from tenantry.controller.store import Body, Draft

POOL = "subnetpool"
"""The role in which a scope sees its subnet pools."""

_SHOWN = {4: address_scope.IPV4_ADDRESS_SCOPE, 6: address_scope.IPV6_ADDRESS_SCOPE}


class AddressScopeHooks(ResourceHooks):
    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before["shared"] and not body["shared"]:
            raise AddressScopeUpdateError(
                address_scope_id=body["id"], reason="Shared address scope can't be unshared"
            )

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], POOL):
            raise AddressScopeInUse(address_scope_id=body["id"])


class NetworkScopeHooks(ResourceHooks):
    """What a network shows of the scopes that its subnets are in."""

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        for version, name in _SHOWN.items():
            shown[name] = scopes.address_scope(reader, body["id"], version)


def scope_of(draft: Draft, context: Context, id: str) -> Body:
    """The scope of this id. AddressScopeNotFound if there is none that the caller may use."""
    found = draft.get("address_scope", id)
    if found is None or not may_use(draft, context, found):
        raise AddressScopeNotFound(address_scope_id=id)
    return found


def extension() -> Extension:
    """The kind ``address_scope``."""
    return Extension(
        definitions=(address_scope,),
        kinds=(
            ResourceSpec(
                name="address_scope",
                collection="address_scopes",
                attributes=address_scope.RESOURCE_ATTRIBUTE_MAP["address_scopes"],
                not_found=lambda id: AddressScopeNotFound(address_scope_id=id),
                standard=(),
            ),
        ),
        rules={"address_scope": AddressScopeHooks(), "network": NetworkScopeHooks()},
    )
