# SPDX-License-Identifier: Apache-2.0

"""Floating IPs in the API, and the list of their pools. What else there is of NAT has files of its
own beside this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neutron_lib import exceptions
from neutron_lib.api.definitions import (
    expose_l3_conntrack_helper,
    expose_port_forwarding_in_fip,
    external_net,
    fip_pf_description,
    fip_pf_detail,
    fip_pf_port_range,
    fip_port_details,
    floating_ip_port_forwarding,
    floatingip_pools,
    floatingip_router_writable,
    l3,
    l3_conntrack_helper,
    l3_ndp_proxy,
)
from neutron_lib.constants import (
    DEVICE_OWNER_FLOATINGIP,
    DEVICE_OWNER_ROUTER_GW,
    ROUTER_INTERFACE_OWNERS,
)
from neutron_lib.exceptions import l3 as l3_exceptions

from tenantry.apps.nat import conntrack_helper, ndp_proxy, port_forwarding
from tenantry.apps.nat.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ACCESS_EXTERNAL,
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
from tenantry.controller.store import Body, Claim, Draft, Link, Store

FLOATING = "floatingip"
"""The kind, and the role in which all that a floating IP needs sees it."""

EXTERNAL = external_net.EXTERNAL
_ASSOCIATION = "floatingip_fixed"


def _bad(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="floatingip", msg=message)
    return error


class FloatingIpHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        network = draft.get("network", body["floating_network_id"])
        if network is None or not may_use(draft, context, network, ACCESS_EXTERNAL):
            raise exceptions.NetworkNotFound(net_id=body["floating_network_id"])
        if not network.get(EXTERNAL):
            raise _bad(f"Network {network['id']} is not a valid external network")
        port = self._new_port(draft, body, network)
        body["floating_port_id"] = port["id"]
        body["floating_ip_address"] = port["fixed_ips"][0]["ip_address"]
        for name in ("dns_name", "dns_domain"):
            if is_set(body.get(name)) and body[name]:
                raise _bad(
                    f"{name}: names of floating IPs are published nowhere; put them into the DNS "
                    "of those outside. Guests of a network know its ports by their dns_name"
                )
            body[name] = ""
        del body["subnet_id"]
        _associate(draft, context, body, body["router_id"])

    def _new_port(self, draft: Draft, body: Body, network: Body) -> Body:
        """The port that holds the address outside; it is nobody's."""
        choices: list[dict[str, str]] = []
        if body["floating_ip_address"]:
            address = ipam.parse_address(body["floating_ip_address"])
            if address.version != 4:
                raise _bad("Floating IPs are IPv4 addresses; for IPv6 there are NDP proxies")
            choices = [{"ip_address": str(address)}]
            if body["subnet_id"]:
                choices[0]["subnet_id"] = body["subnet_id"]
        else:
            for id in draft.linked(network["id"], "subnet"):
                subnet = draft.get("subnet", id)
                if subnet and subnet["ip_version"] == 4 and body["subnet_id"] in (None, id):
                    choices.append({"subnet_id": id})
        error: Exception = exceptions.IpAddressGenerationFailure(net_id=network["id"])
        for choice in choices:
            attributes = {
                "network_id": network["id"],
                "fixed_ips": [choice],
                "device_id": body["id"],
                "device_owner": DEVICE_OWNER_FLOATINGIP,
                "port_security_enabled": False,
                "admin_state_up": True,
                "name": "",
                "tenant_id": "",
                "project_id": "",
            }
            try:
                return self.kinds["port"].make(draft, SYSTEM, attributes)
            except exceptions.IpAddressGenerationFailure as exhausted:
                error = exhausted
        raise error

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        moved = body["port_id"] != before["port_id"]
        if moved and body["fixed_ip_address"] == before["fixed_ip_address"]:
            body["fixed_ip_address"] = None  # it was the other port's
        asked = body["router_id"] if body["router_id"] is not before["router_id"] else None
        changed_router = body["router_id"] != before["router_id"]
        if changed_router and draft.linked(body["id"], port_forwarding.FORWARDING):
            raise FipInUseByPortForwarding(id=body["id"])
        if moved or changed_router or body["fixed_ip_address"] != before["fixed_ip_address"]:
            _associate(draft, context, body, asked)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], port_forwarding.FORWARDING):
            raise FipInUseByPortForwarding(id=body["id"])
        free = changed(body, port_id=None, router_id=None, floating_port_id=None)
        draft.put(FLOATING, free)
        draft.delete("port", body["floating_port_id"])

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["port_id"]:
            address = f"{body['port_id']} {body['fixed_ip_address']}"
            yield Claim(_ASSOCIATION, body["floating_network_id"], address)

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != _ASSOCIATION:
            return None
        error: Exception = l3_exceptions.FloatingIPPortAlreadyAssociated(
            port_id=body["port_id"],
            fip_id=body["id"],
            floating_ip_address=body["floating_ip_address"],
            fixed_ip=body["fixed_ip_address"],
            net_id=body["floating_network_id"],
        )
        return error

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["floating_network_id"], FLOATING)
        for name in ("floating_port_id", "port_id", "router_id"):
            if body[name]:
                yield Link(body[name], FLOATING)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["status"] = "ACTIVE" if body["router_id"] else "DOWN"
        port = reader.get("port", body["port_id"]) if body["port_id"] else None
        seen = shown.get("port_details") or {"status": "DOWN"}  # until somebody has looked
        shown["port_details"] = port and {**seen, **{name: port[name] for name in _PORT_DETAILS}}
        ids = reader.linked(body["id"], port_forwarding.FORWARDING)
        forwardings = (reader.get("port_forwarding", id) for id in ids)
        shown["port_forwardings"] = [port_forwarding.brief(f) for f in forwardings if f]


_PORT_DETAILS = (
    *("name", "network_id", "mac_address", "admin_state_up", "device_id", "device_owner"),
)


def _associate(draft: Draft, context: Context, body: Body, router_id: str | None) -> None:
    """Settle the fixed address and the router of a floating IP that has a port, or has none: the
    router that is asked for, or else the one between."""
    fixed = body["fixed_ip_address"]
    if not body["port_id"]:
        if router_id:
            raise _bad("router_id cannot be specified without a port_id")
        if fixed:
            raise _bad("fixed_ip_address cannot be specified without a port_id")
        body["router_id"] = body["fixed_ip_address"] = None
        return
    if draft.linked(body["id"], port_forwarding.FORWARDING):
        raise FipInUseByPortForwarding(id=body["id"])
    port = draft.get("port", body["port_id"])
    if port is None:
        raise exceptions.PortNotFound(port_id=body["port_id"])
    if port["project_id"] != body["project_id"] and not context.is_admin:
        raise _bad(
            f"Cannot process floating IP association with Port {port['id']}, since that port is "
            "owned by a different project"
        )
    if port["device_owner"] in (DEVICE_OWNER_ROUTER_GW, DEVICE_OWNER_FLOATINGIP):
        raise _bad(f"Port {port['id']} is on an external network already")
    address = _fixed_ip(port, fixed)
    body["fixed_ip_address"] = address["ip_address"]
    if router_id:
        body["router_id"] = _router_outside(draft, context, router_id, body)
    else:
        body["router_id"] = router_between(draft, port, address["subnet_id"], body)


def _fixed_ip(port: Body, wanted: str | None) -> dict[str, str]:
    four: list[dict[str, str]] = [ip for ip in port["fixed_ips"] if ":" not in ip["ip_address"]]
    if wanted:
        address = ipam.parse_address(wanted)
        if address.version != 4:
            raise _bad(
                f"Cannot process floating IP association with {wanted}, since that is not an IPv4 "
                "address"
            )
        for ip in four:
            if ip["ip_address"] == str(address):
                return ip
        raise _bad(f"Port {port['id']} does not have fixed ip {wanted}")
    if not four:
        raise _bad(f"Cannot add floating IP to port {port['id']} that has no fixed IPv4 addresses")
    if len(four) > 1:
        raise _bad(
            f"Port {port['id']} has multiple fixed IPv4 addresses. Must provide a specific IPv4 "
            "address when assigning a floating IP"
        )
    return four[0]


def router_between(draft: Draft, port: Body, subnet_id: str, floating: Body) -> str:
    """The router that connects a port's subnet with a floating IP's network: of several, the one
    that has the subnet's gateway address."""
    subnet = draft.get("subnet", subnet_id)
    found: list[tuple[bool, str]] = []
    for id in draft.linked(subnet_id, "fixed_ip"):
        other = draft.get("port", id)
        router = draft.get("router", other["device_id"]) if other else None
        if other is None or router is None or other["device_owner"] not in ROUTER_INTERFACE_OWNERS:
            continue
        outside = router["external_gateway_info"]
        if outside and outside["network_id"] == floating["floating_network_id"]:
            gateway = subnet["gateway_ip"] if subnet else None
            has_gateway = any(ip["ip_address"] == gateway for ip in other["fixed_ips"])
            found.append((not has_gateway, router["id"]))
    if not found:
        raise l3_exceptions.ExternalGatewayForFloatingIPNotFound(
            external_network_id=floating["floating_network_id"],
            subnet_id=subnet_id,
            port_id=port["id"],
        )
    return min(found)[1]


def _router_outside(draft: Draft, context: Context, id: str, floating: Body) -> str:
    """A router of the caller's that leads to the floating IP's network. To the port it leads by
    whatever routes it has: there may be other routers between."""
    router = draft.get("router", id)
    if router is None or not context.owns(router):
        raise l3_exceptions.RouterNotFound(router_id=id)
    outside = router["external_gateway_info"]
    if not outside or outside["network_id"] != floating["floating_network_id"]:
        raise RouterHasNoGateway(router_id=id, network_id=floating["floating_network_id"])
    return id


class RouterHasNoGateway(exceptions.Conflict):
    message = "Router %(router_id)s has no external gateway on network %(network_id)s."


class FipInUseByPortForwarding(exceptions.InUse):
    message = "Floating IP %(id)s in use by Port Forwarding resources: delete these first."


class FloatingIpPortHooks(ResourceHooks):
    """What floating IPs, port forwardings and NDP proxies make of a port that goes, or changes."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["fixed_ips"] is not before["fixed_ips"]:
            self._release(draft, body["id"], {ip["ip_address"] for ip in body["fixed_ips"]})

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        self._release(draft, body["id"], set())

    @staticmethod
    def _release(draft: Draft, port_id: str, kept: set[str]) -> None:
        for id in draft.linked(port_id, FLOATING):
            floating = draft.get(FLOATING, id)
            its = floating is not None and floating["port_id"] == port_id
            if floating and its and floating["fixed_ip_address"] not in kept:
                free = {"port_id": None, "fixed_ip_address": None, "router_id": None}
                draft.put(FLOATING, changed(floating, **free))
        for id in draft.linked(port_id, port_forwarding.FORWARDING):
            forwarding = draft.get("port_forwarding", id)
            if forwarding and forwarding["internal_ip_address"] not in kept:
                port_forwarding.drop(draft, forwarding)
        for id in draft.linked(port_id, ndp_proxy.PROXY):
            proxy = draft.get("ndp_proxy", id)
            if proxy and proxy["ip_address"] not in kept:
                draft.delete("ndp_proxy", id)


class FloatingNetworkHooks(ResourceHooks):
    """An external network takes along the floating IPs that nobody uses."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], FLOATING):
            floating = draft.get(FLOATING, id)
            if floating and not floating["port_id"] and not floating["router_id"]:
                self.kinds[FLOATING].delete(draft, context, floating)


def _pools(store: Store, context: Context) -> Iterator[Body]:
    """The IPv4 subnets of external networks."""
    for subnet in store.read("subnet").values():
        network = store.get("network", subnet["network_id"])
        usable = network is not None and may_use(store, context, network, ACCESS_EXTERNAL)
        if network and usable and network.get(EXTERNAL) and subnet["ip_version"] == 4:
            yield {
                "subnet_id": subnet["id"],
                "subnet_name": subnet["name"],
                "tenant_id": network["project_id"],
                "project_id": network["project_id"],
                "network_id": network["id"],
                "cidr": subnet["cidr"],
            }


def extension() -> Extension:
    """Floating IPs, port forwardings, conntrack helpers and NDP proxies."""
    return Extension(
        policies=POLICIES,
        definitions=(
            *(fip_port_details, floatingip_pools, floating_ip_port_forwarding),
            *(fip_pf_description, fip_pf_detail, fip_pf_port_range, expose_port_forwarding_in_fip),
            *(l3_conntrack_helper, expose_l3_conntrack_helper, l3_ndp_proxy),
            floatingip_router_writable,
        ),
        kinds=(
            ResourceSpec(
                name=FLOATING,
                collection="floatingips",
                attributes=l3.RESOURCE_ATTRIBUTE_MAP["floatingips"],
                not_found=lambda id: l3_exceptions.FloatingIPNotFound(floatingip_id=id),
                quota=50,
                standard=TAGGED,
                blank={"port_id": None},
            ),
            port_forwarding.KIND,
            conntrack_helper.KIND,
            ndp_proxy.KIND,
        ),
        rules={
            FLOATING: FloatingIpHooks(),
            "port_forwarding": port_forwarding.PortForwardingHooks(router_between),
            "conntrack_helper": conntrack_helper.ConntrackHelperHooks(),
            "ndp_proxy": ndp_proxy.NdpProxyHooks(),
            "router": conntrack_helper.HelpedRouterHooks(),
            "port": FloatingIpPortHooks(),
            "network": FloatingNetworkHooks(),
        },
        lists={"floatingip_pools": _pools},
    )
