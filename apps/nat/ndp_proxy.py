# SPDX-License-Identifier: Apache-2.0

"""NDP proxies in the API: IPv6 addresses of tenants for which a router answers outside."""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.definitions import l3_ndp_proxy as definition
from neutron_lib.exceptions import l3 as l3_exceptions

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ResourceHooks, ResourceSpec
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Claim, Draft, Link

PROXY = "ndp_proxy"
"""The role in which a router and a port see NDP proxies."""


class NdpProxyNotFound(exceptions.NotFound):
    message = "Ndp proxy %(id)s could not be found."


class RouterNdpProxyNotEnabled(exceptions.Conflict):
    message = (
        "The enable_ndp_proxy parameter of router %(router_id)s must be set as True while create "
        "ndp proxy entry on it."
    )


class RouterGatewayNotValid(exceptions.Conflict):
    message = "Can not enable ndp proxy on router %(router_id)s, %(reason)s."


class PortCannotBeProxied(exceptions.BadRequest):
    message = "Invalid port %(port_id)s: %(reason)s."


class AddressIsProxied(exceptions.Conflict):
    message = "Router %(router)s has an ndp proxy for %(address)s already."


class NdpProxyHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        router = draft.get("router", body["router_id"])
        if router is None or not context.owns(router):
            raise l3_exceptions.RouterNotFound(router_id=body["router_id"])
        if not router.get("enable_ndp_proxy"):
            raise RouterNdpProxyNotEnabled(router_id=router["id"])
        if not router["external_gateway_info"]:
            raise RouterGatewayNotValid(
                router_id=router["id"], reason="the router has no external gateway"
            )
        port = draft.get("port", body["port_id"])
        if port is None or not context.owns(port):
            raise exceptions.PortNotFound(port_id=body["port_id"])
        six = {ip["ip_address"]: ip for ip in port["fixed_ips"] if ":" in ip["ip_address"]}
        if not six:
            raise _wrong(port, "it has no IPv6 address")
        if body["ip_address"] is None:
            if len(six) > 1:
                raise _wrong(port, "it has several IPv6 addresses, name one by ip_address")
            body["ip_address"] = next(iter(six))
        address = str(ipam.parse_address(body["ip_address"]))
        if address not in six:
            raise _wrong(port, f"it does not have the IPv6 address {address}")
        body["ip_address"] = address
        others = (draft.get("port", id) for id in draft.linked(router["id"], "router_port"))
        subnet_id = six[address]["subnet_id"]
        ips = (ip for other in others if other for ip in other["fixed_ips"])
        if not any(ip["subnet_id"] == subnet_id for ip in ips):
            raise _wrong(port, f"subnet {subnet_id} is not connected with router {router['id']}")

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(PROXY, body["router_id"], body["ip_address"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != PROXY:
            return None
        error: Exception = AddressIsProxied(router=body["router_id"], address=body["ip_address"])
        return error

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["router_id"], PROXY)
        yield Link(body["port_id"], PROXY)


def _wrong(port: Body, reason: str) -> Exception:
    error: Exception = PortCannotBeProxied(port_id=port["id"], reason=reason)
    return error


def _text(length: int) -> dict[str, object]:
    """The openstack client says null for a text that nobody gave."""
    validate = {"type:string_or_none": length}
    return {"validate": validate, "convert_to": lambda text: text or "", "default": ""}


_ATTRIBUTES = definition.RESOURCE_ATTRIBUTE_MAP["ndp_proxies"]

KIND = ResourceSpec(
    name="ndp_proxy",
    collection="ndp_proxies",
    attributes={
        **_ATTRIBUTES,
        "name": {**_ATTRIBUTES["name"], **_text(255)},
        "description": {**_ATTRIBUTES["description"], **_text(1024)},
        "tenant_id": _ATTRIBUTES["project_id"],
    },
    not_found=lambda id: NdpProxyNotFound(id=id),
    path="ndp_proxies",
)
