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
from tenantry.controller.network.scopes import address_scope
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


class PortUnreachableRouter(exceptions.Conflict):
    message = "The port %(port_id)s cannot reach the router %(router_id)s by IPv6 subnet."


class InvalidAddress(exceptions.BadRequest):
    message = "The address %(address)s is invalid, reason: %(reason)s."


class AddressScopeConflict(exceptions.Conflict):
    message = (
        "The IPv6 address scope %(ext_address_scope)s of external network conflict with internal "
        "network's IPv6 address scope %(internal_address_scope)s."
    )


class AddressIsProxied(exceptions.Conflict):
    message = "Router %(router)s has an ndp proxy for %(address)s already."


class NdpProxyHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        router = draft.get("router", body["router_id"])
        if router is None or not context.owns(router):
            raise l3_exceptions.RouterNotFound(router_id=body["router_id"])
        port = draft.get("port", body["port_id"])
        if port is None or not context.owns(port):
            raise exceptions.PortNotFound(port_id=body["port_id"])
        here = _subnets(draft, router, port["network_id"])
        unreachable = PortUnreachableRouter(router_id=router["id"], port_id=port["id"])
        if not here:
            raise unreachable
        outside = router["external_gateway_info"]
        if not (outside and router.get("enable_ndp_proxy")):
            raise RouterNdpProxyNotEnabled(router_id=router["id"])
        six = {
            ip["ip_address"]: ip["subnet_id"] for ip in port["fixed_ips"] if ":" in ip["ip_address"]
        }
        if not six:
            raise exceptions.BadRequest(
                resource="ndp_proxy",
                msg=f"Requested port {port['id']} must allocate one IPv6 address at least",
            )
        if body["ip_address"] is None:
            reached = [address for address, subnet_id in six.items() if subnet_id in here]
            if not reached:
                raise unreachable
            body["ip_address"] = reached[0]
        address = str(ipam.parse_address(body["ip_address"]))
        if six.get(address) not in here:
            reason = f"it cannot reach router {router['id']}"
            if address not in six:
                reason = f"it does not belong to port {port['id']}"
            raise InvalidAddress(address=address, reason=reason)
        body["ip_address"] = address
        ours, theirs = (
            address_scope(draft, id, 6) for id in (outside["network_id"], port["network_id"])
        )
        if ours != theirs:
            raise AddressScopeConflict(ext_address_scope=ours, internal_address_scope=theirs)

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


def _subnets(draft: Draft, router: Body, network_id: str) -> set[str]:
    """Those of a network that a router has an address on."""
    ports = (draft.get("port", id) for id in draft.linked(router["id"], "router_port"))
    here = (port for port in ports if port and port["network_id"] == network_id)
    return {ip["subnet_id"] for port in here for ip in port["fixed_ips"]}


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
