# SPDX-License-Identifier: Apache-2.0

"""Routers in the API: gateways and routes. Their interfaces are in ``interfaces.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.definitions import (
    dvr,
    external_net,
    extraroute,
    extraroute_atomic,
    l3,
    l3_ext_gw_mode,
    l3_ext_ha_mode,
    l3_ext_ndp_proxy,
    router_admin_state_down_before_update,
    router_availability_zone,
    subnet_external_network,
)
from neutron_lib.constants import ATTR_NOT_SPECIFIED, DEVICE_OWNER_ROUTER_GW
from neutron_lib.exceptions import l3 as l3_exceptions
from neutron_lib.exceptions.extraroute import InvalidRoutes, RoutesExhausted

from tenantry.apps.routing import auto_allocated_topology
from tenantry.apps.routing.external import EXTERNAL, ExternalNetworkHooks, ExternalPolicyHooks
from tenantry.apps.routing.interfaces import (
    Interfaces,
    RouterPortHooks,
    RouterSubnetHooks,
    check_overlap,
    interface_subnets,
    router_ports,
)
from tenantry.apps.routing.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ACCESS_EXTERNAL,
    RBAC_POLICY,
    SYSTEM,
    TAGGED,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    is_set,
    may_use,
)
from tenantry.controller.network import ipam
from tenantry.controller.network.scopes import address_scope
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.store import Body, Draft, Link

MAX_ROUTES = 30  # Neutron's max_routes
GATEWAY = "external_gateway_info"
GATEWAY_PORT = "gw_port_id"

DEFAULTS: Body = {
    "routes": [],
    "distributed": True,
    "ha": True,
    "enable_ndp_proxy": False,
    "availability_zone_hints": [],
}
"""Of routers, new ones and those from before there was such an attribute."""


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="router", msg=message)
    return error


class RouterHooks(ResourceHooks):
    overrides = (GATEWAY,)

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        for name, default in DEFAULTS.items():
            if not is_set(body.get(name)):
                body[name] = default
        asked, body[GATEWAY], body[GATEWAY_PORT] = body[GATEWAY], None, None
        if is_set(asked) and asked:
            self._set_gateway(draft, context, body, asked)
        if body["enable_ndp_proxy"]:
            _check_proxied(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        asked = body[GATEWAY]
        # Without a gateway it is off; who asks for both in one request is told.
        enabled, enable = (each.get("enable_ndp_proxy") for each in (before, body))
        if asked is not before[GATEWAY]:
            body[GATEWAY] = before[GATEWAY]
            if asked:
                self._set_gateway(draft, context, body, asked)
            else:
                self._clear_gateway(draft, body)
        if body["routes"] is not before["routes"]:
            body["routes"] = checked_routes(draft, body, body["routes"])
        _check_kind(before, body)
        if enable and not enabled:
            _check_proxied(draft, body)
        if enabled and not enable and draft.linked(body["id"], "ndp_proxy"):
            raise RouterInUseByNdpProxy(router_id=body["id"])

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for port in router_ports(draft, body["id"]):
            if port["id"] != body[GATEWAY_PORT]:
                raise l3_exceptions.RouterInUse(router_id=body["id"], reason="still has ports")
        alone = changed(body)
        self._clear_gateway(draft, alone)
        draft.put("router", alone)  # it does not need its gateway port any more

    def links(self, body: Body) -> Iterable[Link]:
        if body[GATEWAY_PORT]:
            yield Link(body[GATEWAY_PORT], "router_gateway")

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.update({name: body.get(name, default) for name, default in DEFAULTS.items()})
        shown["status"] = "ACTIVE"
        shown["availability_zones"] = list(body.get("availability_zone_hints") or ())
        port = reader.get("port", body[GATEWAY_PORT]) if body[GATEWAY_PORT] else None
        if port is not None:
            shown[GATEWAY] = {**body[GATEWAY], "external_fixed_ips": port["fixed_ips"]}

    # --- the gateway -------------------------------------------------------------------------

    def _set_gateway(self, draft: Draft, context: Context, body: Body, asked: Body) -> None:
        """Make, keep or move the gateway port, as ``asked`` says."""
        network_id, before = asked["network_id"], body[GATEWAY]
        network = draft.get("network", network_id)
        if network is None or not may_use(draft, context, network, ACCESS_EXTERNAL):
            raise exceptions.NetworkNotFound(net_id=network_id)
        if not network.get(EXTERNAL):
            raise _bad(f"Network {network_id} is not an external network")
        self._check_outside(draft, body, network_id)
        wanted = asked.get("external_fixed_ips")
        if before is not None and before["network_id"] == network_id:
            if wanted:
                port = draft.get("port", body[GATEWAY_PORT])
                assert port is not None
                self.kinds["port"].update(draft, SYSTEM, port, {"fixed_ips": wanted})
        else:
            self._clear_gateway(draft, body)
            body[GATEWAY_PORT] = self._new_port(draft, body, network_id, wanted)
        # What a PUT leaves out is as in a new one: it replaces. What else there is, is others'.
        enable_snat = asked.get("enable_snat")
        body[GATEWAY] = {
            **(before or {}),
            **asked,
            "enable_snat": enable_snat is not False,
        }
        body[GATEWAY].pop("external_fixed_ips", None)

    @staticmethod
    def _check_outside(draft: Draft, body: Body, network_id: str) -> None:
        """No network inside may look like one outside."""
        inside = interface_subnets(draft, body)
        for id in draft.linked(network_id, "subnet"):
            subnet = draft.get("subnet", id)
            if subnet is not None:
                check_overlap(subnet, [s for s in inside if s["network_id"] != network_id])

    def _new_port(
        self, draft: Draft, body: Body, network_id: str, wanted: list[dict[str, str]] | None
    ) -> str:
        attributes: Body = {
            "network_id": network_id,
            "device_id": body["id"],
            "device_owner": DEVICE_OWNER_ROUTER_GW,
            "port_security_enabled": False,
            "admin_state_up": True,
            "name": "",
            "tenant_id": "",  # nobody's: tenants see routers
            "project_id": "",
        }
        if wanted:
            attributes["fixed_ips"] = wanted
        id: str = self.kinds["port"].make(draft, SYSTEM, attributes)["id"]
        return id

    @staticmethod
    def _clear_gateway(draft: Draft, body: Body) -> None:
        if body[GATEWAY_PORT] is None:
            return
        if draft.linked(body["id"], "floatingip"):
            raise l3_exceptions.RouterExternalGatewayInUseByFloatingIp(
                router_id=body["id"], net_id=body[GATEWAY]["network_id"]
            )
        if draft.linked(body["id"], "ndp_proxy"):
            raise RouterInUseByNdpProxy(router_id=body["id"])
        draft.delete("port", body[GATEWAY_PORT])
        body[GATEWAY], body[GATEWAY_PORT] = None, None
        body["enable_ndp_proxy"] = False
        for by_hand in ("gateway_hosts", "gateway_not_on"):
            body.pop(by_hand, None)  # where it was put by hand: what it led to is no more
        connected = _reachable(draft, body)
        body["routes"] = [r for r in body["routes"] if _is_reachable(connected, r["nexthop"])]

    # --- routes ------------------------------------------------------------------------------

    def add_extraroutes(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        """Routes that are there already stay."""
        new = [route for route in _canonical(_asked(request)) if route not in body["routes"]]
        return self._reroute(draft, context, body, [*body["routes"], *new])

    def remove_extraroutes(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        """Routes that are not there are no error."""
        gone = _canonical(_asked(request))
        kept = [route for route in body["routes"] if route not in gone]
        return self._reroute(draft, context, body, kept)

    def _reroute(self, draft: Draft, context: Context, body: Body, routes: list[Body]) -> Any:
        router = self.kinds["router"]
        after = router.update(draft, context, body, {"routes": routes})
        return {"router": router.shown(draft, context, after)}


def _check_kind(before: Body, body: Body) -> None:
    """A router does not become another one under its traffic."""
    for name, up in (
        ("distributed", before["admin_state_up"] or body["admin_state_up"]),
        ("ha", body["admin_state_up"]),
    ):
        if body[name] != before.get(name, DEFAULTS[name]) and up:
            raise _bad(
                f"Cannot change the '{name}' attribute of active routers. Please set router "
                "admin_state_up to False prior to upgrade"
            )


def _check_proxied(draft: Draft, body: Body) -> None:
    """Only between networks of one address scope are addresses the same inside and outside."""
    port = draft.get("port", body[GATEWAY_PORT]) if body[GATEWAY_PORT] else None
    if port is None:
        reason = "it has no external gateway"
    elif not any(":" in ip["ip_address"] for ip in port["fixed_ips"]):
        reason = "its external gateway has no IPv6 address"
    elif address_scope(draft, port["network_id"], 6) is None:
        reason = "its external network is in no IPv6 address scope"
    else:
        return
    raise RouterGatewayNotValid(router_id=body["id"], reason=reason)


class RouterGatewayNotValid(exceptions.Conflict):
    message = "Can not enable ndp proxy on router %(router_id)s: %(reason)s."


class RouterInUseByNdpProxy(exceptions.Conflict):
    message = (
        "The router %(router_id)s is still referenced by an ndp proxy; delete the ndp proxies first"
    )


def _asked(request: Any) -> list[Body]:
    router = request.get("router")
    routes = router.get("routes") if isinstance(router, dict) else None
    if routes is None:
        raise _bad('the request must be of the form {"router": {"routes": [...]}}')
    wrong = validators.validate_hostroutes(routes)
    if wrong:
        raise exceptions.InvalidInput(error_message=f"routes: {wrong}")
    return list(routes)


def _canonical(routes: Iterable[Body]) -> list[Body]:
    return [
        {
            "destination": str(ipam.parse_cidr(route["destination"])),
            "nexthop": str(ipam.parse_address(route["nexthop"])),
        }
        for route in routes
    ]


def checked_routes(draft: Draft, router: Body, routes: list[Body]) -> list[Body]:
    """The routes in canonical form, each once, if the router can have them. Several next hops for
    one destination share its traffic."""
    if len(routes) > MAX_ROUTES:
        raise RoutesExhausted(router_id=router["id"], quota=MAX_ROUTES)
    checked: list[Body] = []
    connected = _reachable(draft, router)
    own = {
        ip["ip_address"] for port in router_ports(draft, router["id"]) for ip in port["fixed_ips"]
    }
    for route in _canonical(routes):
        destination, nexthop = route["destination"], route["nexthop"]
        if ipam.parse_cidr(destination).version != ipam.parse_address(nexthop).version:
            raise InvalidRoutes(routes=[route], reason="the families of addresses differ")
        if not _is_reachable(connected, nexthop):
            raise InvalidRoutes(routes=[route], reason="the nexthop is not connected with router")
        if nexthop in own:
            raise InvalidRoutes(routes=[route], reason="the nexthop is used by router")
        if route not in checked:
            checked.append(route)
    return checked


def _reachable(draft: Draft, router: Body) -> list[ipam.Net]:
    """The prefixes on the router's links."""
    found = interface_subnets(draft, router)
    if router[GATEWAY]:
        ids = draft.linked(router[GATEWAY]["network_id"], "subnet")
        found = [*found, *(subnet for id in ids if (subnet := draft.get("subnet", id)))]
    return [ipam.parse_cidr(subnet["cidr"]) for subnet in found]


def _is_reachable(connected: list[ipam.Net], nexthop: str) -> bool:
    address = ipam.parse_address(nexthop)
    return any(address in net for net in connected if net.version == address.version)


def extension() -> Extension:
    """The kind ``router``, and external networks."""
    rules, external = RouterHooks(), ExternalNetworkHooks()
    interfaces = Interfaces(rules)
    topology = auto_allocated_topology.TopologyHooks()
    attributes = {
        **l3.RESOURCE_ATTRIBUTE_MAP["routers"],
        "routes": {
            **extraroute.RESOURCE_ATTRIBUTE_MAP["routers"]["routes"],
            "default": ATTR_NOT_SPECIFIED,
        },
    }
    return Extension(
        policies=POLICIES,
        definitions=(
            *(l3, l3_ext_gw_mode, extraroute, extraroute_atomic, external_net),
            *(dvr, router_admin_state_down_before_update, l3_ext_ha_mode),
            *(router_availability_zone, l3_ext_ndp_proxy),
            *(subnet_external_network, auto_allocated_topology.DEFINITION),
        ),
        kinds=(
            auto_allocated_topology.KIND,
            ResourceSpec(
                name="router",
                collection="routers",
                attributes=attributes,
                not_found=lambda id: l3_exceptions.RouterNotFound(router_id=id),
                standard=TAGGED,
                keys=Zone.ROUTERS,
                actions={
                    "add_router_interface": interfaces.add,
                    "remove_router_interface": interfaces.remove,
                    "add_extraroutes": rules.add_extraroutes,
                    "remove_extraroutes": rules.remove_extraroutes,
                },
                quota=10,
            ),
        ),
        rules={
            "router": rules,
            auto_allocated_topology.TOPOLOGY: topology,
            "network": external,
            RBAC_POLICY: ExternalPolicyHooks(),
            "port": RouterPortHooks(),
            "subnet": RouterSubnetHooks(),
        },
        routes=auto_allocated_topology.routes(topology),
        upgrade=external.upgrade,
    )
