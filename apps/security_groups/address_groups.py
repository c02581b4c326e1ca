# SPDX-License-Identifier: Apache-2.0

"""Address groups in the API: addresses that rules name together."""

from __future__ import annotations

from typing import Any

import netaddr
from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.definitions import address_group, rbac_address_groups
from neutron_lib.exceptions import address_group as errors

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    NewDefinition,
    ResourceHooks,
    ResourceSpec,
    changed,
    is_set,
)
from tenantry.controller.store import Body, Draft

RULE = "address_group_rule"
"""The role in which an address group sees the rules that name it."""


class AddressGroupHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        addresses = body["addresses"] if is_set(body["addresses"]) else []
        body["addresses"] = list(dict.fromkeys(map(_canonical, addresses)))

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], RULE):
            raise errors.AddressGroupInUse(address_group_id=body["id"])


def _add(draft: Draft, context: Context, body: Body, request: Any) -> Any:
    asked = _asked(request)
    there = [address for address in asked if address in body["addresses"]]
    if there:
        raise errors.AddressesAlreadyExist(addresses=there, address_group_id=body["id"])
    return _put(draft, body, [*body["addresses"], *asked])


def _remove(draft: Draft, context: Context, body: Body, request: Any) -> Any:
    asked = _asked(request)
    missing = [address for address in asked if address not in body["addresses"]]
    if missing:
        raise errors.AddressesNotFound(addresses=missing, address_group_id=body["id"])
    return _put(draft, body, [one for one in body["addresses"] if one not in asked])


def _put(draft: Draft, body: Body, addresses: list[str]) -> Any:
    after = changed(body, addresses=addresses)
    draft.put(KIND.name, after)
    return {KIND.name: {name: value for name, value in after.items() if name != "key"}}


def _asked(request: Any) -> list[str]:
    addresses = request.get("addresses")
    if isinstance(addresses, list):  # here, and not in a PUT, Neutron takes single addresses
        addresses = [_with_length(address) for address in addresses]
    wrong = validators.validate_subnet_list(addresses)
    if wrong or addresses is None:
        raise exceptions.InvalidInput(error_message=f"addresses: {wrong or 'there are none'}")
    return list(dict.fromkeys(map(_canonical, addresses)))


def _with_length(address: Any) -> Any:
    if not isinstance(address, str) or "/" in address:
        return address
    return f"{address}/{128 if ':' in address else 32}"


def _canonical(address: str) -> str:
    return str(netaddr.IPNetwork(address).cidr)


_ATTRIBUTES = address_group.RESOURCE_ATTRIBUTE_MAP["address_groups"]

RBAC = NewDefinition.instead(
    rbac_address_groups,
    {
        "address_groups": {"shared": {"is_visible": True, "is_filter": True}},
    },
)
"""The extension of that name; without it, Neutron's map hides the attribute."""

KIND = ResourceSpec(
    name="address_group",
    collection="address_groups",
    attributes={
        **_ATTRIBUTES,
        "tenant_id": _ATTRIBUTES["project_id"],
    },
    not_found=lambda id: errors.AddressGroupNotFound(address_group_id=id),
    keys=range(1, 2**24),
    actions={"add_addresses": _add, "remove_addresses": _remove},
)
