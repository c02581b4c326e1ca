# SPDX-License-Identifier: Apache-2.0

"""The service address of a subnet: where its network's own services answer (DHCP, DNS).

It is the last address of the allocation pools, so that guests keep the first ones, and no port gets
it. Subnets stored before there was one have no such key.
"""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.converters import convert_ip_to_canonical_format
from neutron_lib.constants import ATTR_NOT_SPECIFIED

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    is_set,
)
from tenantry.controller.network import ipam
from tenantry.controller.network.ipam import IpAddressAlreadyAllocated
from tenantry.controller.store import Body, Claim, Draft

SERVICE_ADDRESS = "service_address"

LEAST = 4
"""A subnet with fewer addresses in its pools gives none of them away."""

_DEFINITION = NewDefinition(
    "tenantry-service-address",
    "Service address of subnets",
    "The address of a subnet at which its network's DHCP and DNS answer.",
    "2026-01-01T00:00:00-00:00",
    {
        "subnets": {
            SERVICE_ADDRESS: {
                "allow_post": True,
                "allow_put": False,
                "default": ATTR_NOT_SPECIFIED,
                "convert_to": convert_ip_to_canonical_format,
                "validate": {"type:ip_address_or_none": None},
                "is_visible": True,
                "is_filter": True,
            }
        }
    },
)


class ServiceAddressHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        asked = body[SERVICE_ADDRESS]
        if is_set(asked):
            if not ipam.is_host(ipam.parse_cidr(body["cidr"]), ipam.parse_address(asked)):
                raise exceptions.InvalidIpForSubnet(ip_address=asked)
            _check_gateway(body)
        elif asked is ATTR_NOT_SPECIFIED:
            body[SERVICE_ADDRESS] = _choose(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before.get(SERVICE_ADDRESS):
            _check_gateway(body)
        elif body["enable_dhcp"] and not before["enable_dhcp"]:
            body[SERVICE_ADDRESS] = _choose(draft, body)

    def claims(self, body: Body) -> Iterable[Claim]:
        if body.get(SERVICE_ADDRESS):
            yield Claim(ipam.ADDRESS, body["id"], body[SERVICE_ADDRESS])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(SERVICE_ADDRESS, None)


def _choose(draft: Draft, body: Body) -> str | None:
    if not body["enable_dhcp"] or ipam.pool_size(body["allocation_pools"]) < LEAST:
        return None
    return ipam.last_free(draft, body)


def _check_gateway(body: Body) -> None:
    if body[SERVICE_ADDRESS] == body["gateway_ip"]:
        raise IpAddressAlreadyAllocated(ip=body["gateway_ip"], subnet_id=body["id"])


def extension() -> Extension:
    """The attribute ``service_address`` of subnets."""
    return Extension(definitions=(_DEFINITION,), rules={"subnet": ServiceAddressHooks()})
