# SPDX-License-Identifier: Apache-2.0

"""Subnets: address plan and its errors. Allocation of single addresses is in ``ipam.py``."""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.definitions import subnet, subnet_service_types
from neutron_lib.constants import ATTR_NOT_SPECIFIED

from tenantry.controller.api.core import mtu, prefixes
from tenantry.controller.api.core.network import AUTO_DELETED, listed, network_of
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    TAGGED,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    granted,
    is_set,
)
from tenantry.controller.network import ipam
from tenantry.controller.store import Body, Claim, Draft, Link

MAX_DNS_NAMESERVERS = 5
MAX_HOST_ROUTES = 20


class SubnetHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        network = network_of(draft, context, body)
        if not context.owns(network):
            raise exceptions.NotAuthorized()
        net = _settle_cidr(draft, context, body)
        mtu.check(network, net.version)
        for id in draft.linked(network["id"], "subnet"):
            other = draft.get("subnet", id)
            prefixes.check_same_pool(other, net.version, body["subnetpool_id"])
            if other and _overlap(net, ipam.parse_cidr(other["cidr"])):
                raise _invalid(
                    f"Requested subnet with cidr: {net} for network: {network['id']} overlaps "
                    "with another subnet"
                )
        if body["gateway_ip"] is ATTR_NOT_SPECIFIED:
            body["gateway_ip"] = ipam.default_gateway(net)
        for name in ("dns_nameservers", "host_routes"):
            if body[name] is ATTR_NOT_SPECIFIED:
                body[name] = []
        if not is_set(body["allocation_pools"]):
            body["allocation_pools"] = ipam.default_pools(net, body["gateway_ip"])
        if body["service_types"] is ATTR_NOT_SPECIFIED:
            body["service_types"] = []
        _check_ipv6_modes(net, body)
        _check_dhcp(net, body)
        _check(net, body)

    def created(self, draft: Draft, body: Body) -> None:
        """Hosts on the network configure themselves as soon as the prefix is advertised."""
        if ipam.is_auto_address(body):
            for id in draft.linked(body["network_id"], "port"):
                port = draft.get("port", id)
                if port and not ipam.is_router_port(port) and ipam.serves(body, port):
                    fixed_ip = ipam.auto_address(body, port["mac_address"])
                    draft.put("port", changed(port, fixed_ips=[*port["fixed_ips"], fixed_ip]))

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        net = ipam.parse_cidr(body["cidr"])
        if body["enable_dhcp"] and not before["enable_dhcp"]:
            _check_dhcp(net, body)
        if not body["enable_dhcp"] and (body["ipv6_ra_mode"] or body["ipv6_address_mode"]):
            raise _invalid(
                "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False"
            )
        _check(net, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        used = []
        for id in draft.linked(body["id"], "fixed_ip"):
            port = draft.get("port", id)
            if port is None:
                continue
            if port["device_owner"] in AUTO_DELETED or (
                ipam.is_auto_address(body) and not ipam.is_router_port(port)
            ):
                kept = [ip for ip in port["fixed_ips"] if ip["subnet_id"] != body["id"]]
                draft.put("port", changed(port, fixed_ips=kept))
            else:
                used.append(id)
        if used:
            raise exceptions.SubnetInUse(
                subnet_id=body["id"],
                reason="One or more ports have an IP allocation from this subnet, id for these "
                f"ports is: {listed(used)}",
            )

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["subnetpool_id"]:
            yield Claim("prefix", body["subnetpool_id"], body["cidr"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["network_id"], "subnet")
        if body["subnetpool_id"]:
            yield Link(body["subnetpool_id"], prefixes.ALLOCATION)

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        yield "network", body["network_id"]

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        """Who sees the network sees its subnets."""
        network = reader.get("network", body["network_id"])
        return network is not None and self.kinds["network"].may_see(reader, context, network)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        # Not visible, but a filter: as the network's.
        shown["shared"] = granted(reader, context.project_id, body["network_id"])
        shown.setdefault("service_types", [])  # subnets from before there was such an attribute


def _invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


def _settle_cidr(draft: Draft, context: Context, body: Body) -> ipam.Net:
    """The subnet's prefix: the one asked for, or one out of a subnet pool, or both."""
    pool = prefixes.pool_of(draft, context, body)
    length = body.pop("prefixlen")
    del body["use_default_subnetpool"]
    body["subnetpool_id"] = pool["id"] if pool else None
    if is_set(body["cidr"]):
        if is_set(length):
            raise _bad_request("cidr and prefixlen must not be supplied together")
        net = ipam.parse_cidr(body["cidr"])
        _check_version(body, "cidr", net.version, body["cidr"])
        if net.prefixlen == 0:
            raise _invalid("0 is not allowed as CIDR prefix length")
        if pool:
            prefixes.allocate(draft, pool, body["project_id"], net)
    elif pool is None:
        raise _bad_request("a subnetpool must be specified in the absence of a cidr")
    else:
        if is_set(body["allocation_pools"]):
            raise _bad_request("allocation_pools allowed only for specific subnet requests.")
        length = length if is_set(length) else pool["default_prefixlen"]
        net = prefixes.allocate(draft, pool, body["project_id"], length)
    body["cidr"] = str(net)
    return net


def _bad_request(message: str) -> Exception:
    error: Exception = exceptions.BadRequest(resource="subnets", msg=message)
    return error


def _check_version(body: Body, name: str, version: int, text: str) -> None:
    if version != body["ip_version"]:
        raise _invalid(f"{name} '{text}' does not match the ip_version '{body['ip_version']}'")


def _overlap(one: ipam.Net, other: ipam.Net) -> bool:
    return one.version == other.version and one.overlaps(other)


def _check_dhcp(net: ipam.Net, body: Body) -> None:
    if not body["enable_dhcp"]:
        return
    if net.prefixlen > net.max_prefixlen - 2:
        raise _invalid("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if net.is_multicast:
        raise _invalid("Multicast IP subnet is not supported if enable_dhcp is True")
    if net.is_loopback:
        raise _invalid("Loopback IP subnet is not supported if enable_dhcp is True")
    if net.version == 4 and int(net.network_address) == 0:
        raise _invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True.")


def _check_ipv6_modes(net: ipam.Net, body: Body) -> None:
    for name in ("ipv6_ra_mode", "ipv6_address_mode"):
        if is_set(body[name]):
            if net.version == 4:
                raise _invalid(f"{name} is not valid when ip_version is 4")
            if not body["enable_dhcp"]:
                raise _invalid(
                    "ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to "
                    "False"
                )
        else:
            body[name] = None
    ra, address = body["ipv6_ra_mode"], body["ipv6_address_mode"]
    if ra and address and ra != address:
        raise _invalid(
            f"ipv6_ra_mode set to '{ra}' with ipv6_address_mode set to '{address}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if ipam.is_auto_address(body) and net.prefixlen != 64:
        raise _invalid(
            f"Invalid CIDR {net} for IPv6 address mode. OpenStack uses the EUI-64 address format, "
            "which requires the prefix to be /64"
        )


def _check(net: ipam.Net, body: Body) -> None:
    """What may change after creation: gateway, pools, service types, name servers, routes."""
    gateway = body["gateway_ip"]
    if gateway is not None:
        address = ipam.parse_address(gateway)
        _check_version(body, "gateway_ip", address.version, gateway)
        if net.version == 4 and address in net and not ipam.is_host(net, address):
            raise _invalid("Gateway is not valid on subnet")
    body["allocation_pools"] = ipam.checked_pools(net, body["allocation_pools"], gateway)

    types = body.get("service_types") or []
    if not isinstance(types, list):
        raise exceptions.InvalidInputSubnetServiceType(service_type=types)
    body["service_types"] = list(dict.fromkeys(types))
    servers, routes = body["dns_nameservers"], body["host_routes"]
    if not isinstance(servers, list):
        raise _invalid(f"Invalid data format for nameserver: '{servers}'")
    if len(servers) > MAX_DNS_NAMESERVERS:
        raise exceptions.DNSNameServersExhausted(subnet_id=body["id"], quota=MAX_DNS_NAMESERVERS)
    for server in servers:
        _check_version(body, "dns_nameserver", ipam.parse_address(server).version, server)
    if len(routes) > MAX_HOST_ROUTES:
        raise exceptions.HostRoutesExhausted(subnet_id=body["id"], quota=MAX_HOST_ROUTES)
    for route in routes:
        destination, nexthop = route["destination"], route["nexthop"]
        _check_version(body, "destination", ipam.parse_cidr(destination).version, destination)
        _check_version(body, "nexthop", ipam.parse_address(nexthop).version, nexthop)


def extension() -> Extension:
    """The kind ``subnet``."""
    return Extension(
        definitions=(subnet_service_types,),
        kinds=(
            ResourceSpec(
                name="subnet",
                collection="subnets",
                attributes=subnet.RESOURCE_ATTRIBUTE_MAP["subnets"],
                not_found=lambda id: exceptions.SubnetNotFound(subnet_id=id),
                quota=100,
                standard=TAGGED,
            ),
        ),
        rules={"subnet": SubnetHooks()},
    )
