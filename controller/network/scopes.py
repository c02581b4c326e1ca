# SPDX-License-Identifier: Apache-2.0

"""The address scope that a network is in, as what is stored says it."""

from __future__ import annotations

from tenantry.controller.feature.extension import Reader


def address_scope(reader: Reader, network_id: str, version: int) -> str | None:
    """The scope of a network's subnets of a family; None if they are in none. There is one: all
    subnets of a family come from one pool."""
    for id in reader.linked(network_id, "subnet"):
        subnet = reader.get("subnet", id)
        if subnet and subnet["subnetpool_id"] and subnet["ip_version"] == version:
            pool = reader.get("subnetpool", subnet["subnetpool_id"])
            if pool is not None:
                scope: str | None = pool["address_scope_id"]
                return scope
    return None
