# SPDX-License-Identifier: Apache-2.0

"""A router's interfaces in the API: ports of its networks, added and removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.constants import (
    DEVICE_OWNER_FLOATINGIP,
    DEVICE_OWNER_ROUTER_GW,
    DEVICE_OWNER_ROUTER_INTF,
    ROUTER_INTERFACE_OWNERS,
)
from neutron_lib.exceptions import l3 as l3_exceptions
from neutron_lib.exceptions.extraroute import RouterInterfaceInUseByRoute

from tenantry.apps.routing.external import EXTERNAL
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Maker,
    Reader,
    ResourceHooks,
    changed,
    may_use,
)
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Draft, Link

ROUTER_PORT = "router_port"
"""The role in which a router sees its ports."""

OWNERS = (*ROUTER_INTERFACE_OWNERS, DEVICE_OWNER_ROUTER_GW)


def router_ports(draft: Draft, router_id: str) -> list[Body]:
    """All ports of a router, its gateway's included."""
    return [port for id in draft.linked(router_id, ROUTER_PORT) if (port := draft.get("port", id))]


def interface_subnets(draft: Draft, router: Body) -> list[Body]:
    """The subnets that a router connects, without the outside."""
    return [
        subnet
        for port in router_ports(draft, router["id"])
        if port["device_owner"] != DEVICE_OWNER_ROUTER_GW
        for ip in port["fixed_ips"]
        if (subnet := draft.get("subnet", ip["subnet_id"]))
    ]


def check_overlap(subnet: Body, others: Iterable[Body]) -> None:
    """A router cannot tell networks apart that have the same addresses."""
    net = ipam.parse_cidr(subnet["cidr"])
    for other in others:
        if other["id"] == subnet["id"]:
            raise _bad(f"Router already has a port on subnet {subnet['id']}")
        there = ipam.parse_cidr(other["cidr"])
        if net.version == there.version and net.overlaps(there):
            raise _bad(
                f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr "
                f"{other['cidr']} of subnet {other['id']}"
            )


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="router", msg=message)
    return error


class Interfaces:
    """``add_router_interface`` and ``remove_router_interface``."""

    def __init__(self, rules: ResourceHooks) -> None:
        self._rules = rules  # it knows the kinds

    @property
    def _ports(self) -> Maker:
        return self._rules.kinds["port"]

    def add(self, draft: Draft, context: Context, router: Body, request: Any) -> Any:
        port_id, subnet_id = _asked(request)
        if port_id and subnet_id:
            raise _bad("Cannot specify both subnet-id and port-id")
        if port_id:
            port = self._add_port(draft, context, router, port_id)
            subnets = [ip["subnet_id"] for ip in port["fixed_ips"]]
        else:
            assert subnet_id is not None
            port = self._add_subnet(draft, context, router, subnet_id)
            subnets = [subnet_id]
        return _info(router, port, subnets)

    def _add_port(self, draft: Draft, context: Context, router: Body, id: str) -> Body:
        port = draft.get("port", id)
        if port is None or not context.owns(port):
            raise exceptions.PortNotFound(port_id=id)
        if port["device_id"] or port["device_owner"]:
            raise exceptions.PortInUse(
                net_id=port["network_id"], port_id=id, device_id=port["device_id"]
            )
        subnets = [s for ip in port["fixed_ips"] if (s := draft.get("subnet", ip["subnet_id"]))]
        if not subnets:
            raise _bad("Router port must have at least one fixed IP")
        if sum(subnet["ip_version"] == 4 for subnet in subnets) > 1:
            raise _bad("Cannot have multiple IPv4 subnets on router port")
        for subnet in subnets:
            _check_new(draft, router, subnet)
        after = changed(
            port,
            device_id=router["id"],
            device_owner=DEVICE_OWNER_ROUTER_INTF,
            port_security_enabled=False,
            allowed_address_pairs=[],
            security_groups=[],
        )
        draft.put("port", after)
        return after

    def _add_subnet(self, draft: Draft, context: Context, router: Body, id: str) -> Body:
        subnet = draft.get("subnet", id)
        network = draft.get("network", subnet["network_id"]) if subnet else None
        if subnet is None or network is None or not may_use(draft, context, network):
            raise exceptions.SubnetNotFound(subnet_id=id)
        if not subnet["gateway_ip"]:
            raise _bad("Subnet for router interface must have a gateway IP")
        if subnet["ip_version"] == 6 and subnet["ipv6_address_mode"] and not subnet["ipv6_ra_mode"]:
            raise _bad(
                f"IPv6 subnet {id} configured to receive RAs from an external router cannot be "
                "added to Neutron Router."
            )
        gateway = ipam.parse_address(subnet["gateway_ip"])
        if gateway not in ipam.parse_cidr(subnet["cidr"]):
            raise _bad(
                f"The gateway {gateway} of subnet {id} is outside of its CIDR {subnet['cidr']}, so "
                "that no port can have it: set another gateway_ip, or add a port of the subnet "
                "(port_id) as the interface"
            )
        _check_new(draft, router, subnet)
        fixed_ip = {"subnet_id": id, "ip_address": subnet["gateway_ip"]}
        if subnet["ip_version"] == 6:
            for port in router_ports(draft, router["id"]):
                if port["network_id"] == subnet["network_id"] and _has_ipv6_only(port):
                    fixed_ips = [*port["fixed_ips"], fixed_ip]
                    return self._ports.update(draft, SYSTEM, port, {"fixed_ips": fixed_ips})
        attributes = {
            "network_id": subnet["network_id"],
            "fixed_ips": [fixed_ip],
            "device_id": router["id"],
            "device_owner": DEVICE_OWNER_ROUTER_INTF,
            "port_security_enabled": False,
            "admin_state_up": True,
            "name": "",
            "tenant_id": router["project_id"],
            "project_id": router["project_id"],
        }
        return self._ports.make(draft, SYSTEM, attributes)

    def remove(self, draft: Draft, context: Context, router: Body, request: Any) -> Any:
        port_id, subnet_id = _asked(request)
        ports = [p for p in router_ports(draft, router["id"]) if p["device_owner"] != OWNERS[-1]]
        if port_id:
            port = next((port for port in ports if port["id"] == port_id), None)
            if port is None:
                raise l3_exceptions.RouterInterfaceNotFound(router_id=router["id"], port_id=port_id)
            subnets = [ip["subnet_id"] for ip in port["fixed_ips"]]
            if subnet_id and subnet_id not in subnets:
                raise exceptions.SubnetMismatchForPort(port_id=port_id, subnet_id=subnet_id)
        else:
            assert subnet_id is not None
            if draft.get("subnet", subnet_id) is None:
                raise exceptions.SubnetNotFound(subnet_id=subnet_id)
            port = next((port for port in ports if _is_on(port, subnet_id)), None)
            if port is None:
                raise l3_exceptions.RouterInterfaceNotFoundForSubnet(
                    router_id=router["id"], subnet_id=subnet_id
                )
            subnets = [subnet_id]
        for id in subnets:
            _check_unused(draft, router, id)
        kept = [ip for ip in port["fixed_ips"] if ip["subnet_id"] not in subnets]
        if kept:
            draft.put("port", changed(port, fixed_ips=kept))
        else:
            draft.delete("port", port["id"])
        return _info(router, port, subnets)


def _asked(request: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The ids of a port and of a subnet; at least one."""
    ids = request.get("port_id"), request.get("subnet_id")
    if not any(ids):
        raise _bad("Either subnet_id or port_id must be specified")
    for id in ids:
        wrong = validators.validate_uuid_or_none(id)
        if wrong:
            raise exceptions.InvalidInput(error_message=wrong)
    return ids


def _has_ipv6_only(port: Body) -> bool:
    return all(":" in ip["ip_address"] for ip in port["fixed_ips"])


def _is_on(port: Body, subnet_id: str) -> bool:
    return any(ip["subnet_id"] == subnet_id for ip in port["fixed_ips"])


def _info(router: Body, port: Body, subnets: list[str]) -> Body:
    return {
        "id": router["id"],
        "project_id": router["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnets[0],
        "subnet_ids": subnets,
    }


def _check_new(draft: Draft, router: Body, subnet: Body) -> None:
    """Inside and outside, nothing that the router connects may overlap."""
    check_overlap(subnet, interface_subnets(draft, router))
    outside = router["external_gateway_info"]
    ids = draft.linked(outside["network_id"], "subnet") if outside else []
    check_overlap(subnet, [other for id in ids if (other := draft.get("subnet", id))])


def _check_unused(draft: Draft, router: Body, subnet_id: str) -> None:
    subnet = draft.get("subnet", subnet_id)
    if subnet is None:
        return
    net = ipam.parse_cidr(subnet["cidr"])
    for route in router["routes"]:
        if ipam.parse_address(route["nexthop"]) in net:
            raise RouterInterfaceInUseByRoute(router_id=router["id"], subnet_id=subnet_id)
    for id in draft.linked(router["id"], "floatingip"):
        floating = draft.get("floatingip", id)
        fixed = floating["fixed_ip_address"] if floating else None
        if fixed and ipam.parse_address(fixed) in net:
            raise l3_exceptions.RouterInterfaceInUseByFloatingIP(
                router_id=router["id"], subnet_id=subnet_id
            )
    for kind, field, what in (
        ("port_forwarding", "internal_ip_address", "port forwardings"),
        ("ndp_proxy", "ip_address", "ndp proxies"),
    ):
        users = (draft.get(kind, id) for id in draft.linked(router["id"], kind))
        if any(user and ipam.parse_address(user[field]) in net for user in users):
            raise RouterInterfaceInUse(router_id=router["id"], subnet_id=subnet_id, what=what)


class RouterInterfaceInUse(exceptions.Conflict):
    message = (
        "Router interface for subnet %(subnet_id)s on router %(router_id)s cannot be deleted, as "
        "it is required by one or more %(what)s; delete those first."
    )


class RouterPortHooks(ResourceHooks):
    """Ports of routers belong to their routers, and come and go with them."""

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        if body["device_owner"] in OWNERS:
            yield "router", body["device_id"]

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if context is not SYSTEM:
            _check_owner(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        owner = before["device_owner"]
        if context is not SYSTEM:
            if body["fixed_ips"] is not before["fixed_ips"] and owner in OWNERS:
                _check_same_subnets(draft, before, body)
            if body["device_owner"] != owner:
                _check_owner(draft, body)
        moved = (body["device_owner"], body["device_id"]) != (owner, before["device_id"])
        if moved and owner in (*OWNERS, DEVICE_OWNER_FLOATINGIP):
            raise exceptions.UnsupportedPortDeviceOwner(
                op="update of device_id or device_owner", device_owner=owner, port_id=body["id"]
            )

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        """Routers delete theirs themselves, by another way."""
        if body["device_owner"] in (*OWNERS, DEVICE_OWNER_FLOATINGIP) and body["device_id"]:
            raise exceptions.ServicePortInUse(
                port_id=body["id"], reason=f"has device owner {body['device_owner']}"
            )

    def links(self, body: Body) -> Iterable[Link]:
        if body["device_owner"] in OWNERS and body["device_id"]:
            yield Link(body["device_id"], ROUTER_PORT)


def _check_owner(draft: Draft, port: Body) -> None:
    """By its owner a port says whose it is; a router's it becomes by the router's consent only."""
    if port["device_owner"] not in OWNERS or not port["device_id"]:
        return
    router = draft.get("router", port["device_id"])
    if router is not None and router["project_id"] != port["project_id"]:
        raise exceptions.DeviceIDNotOwnedByTenant(device_id=port["device_id"])
    raise _bad(
        f"Port {port['id']} cannot be given to a router by its device_owner: use the router's "
        "add_router_interface, or its external_gateway_info"
    )


def _check_same_subnets(draft: Draft, before: Body, body: Body) -> None:
    """A router's port may change its addresses, not what it connects."""
    subnets = {ip["subnet_id"] for ip in before["fixed_ips"]}
    if {ip["subnet_id"] for ip in body["fixed_ips"]} != subnets:
        raise _bad(
            f"Port {body['id']} is a router's: change its subnets by the router's "
            "add_router_interface and remove_router_interface, or its external_gateway_info"
        )


class RouterSubnetHooks(ResourceHooks):
    """The gateway of a subnet stays where it is while a router has its address."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        gateway = before["gateway_ip"]
        if body["gateway_ip"] == gateway or not gateway:
            return
        for id in draft.linked(body["id"], "fixed_ip"):
            port = draft.get("port", id)
            if (
                port
                and port["device_owner"] in ROUTER_INTERFACE_OWNERS
                and any(ip["ip_address"] == gateway for ip in port["fixed_ips"])
            ):
                raise exceptions.GatewayIpInUse(ip_address=gateway, port_id=port["id"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        network = reader.get("network", body["network_id"]) or {}
        shown[EXTERNAL] = bool(network.get(EXTERNAL))
