# SPDX-License-Identifier: Apache-2.0

"""Router advertisements: what a network tells its hosts of itself, and what of it no longer holds
(RFC 4861, 4.2; RFC 4191; RFC 8106)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from tenantry.apps.dhcp import options as o
from tenantry.controller.model import Network, Subnet, View
from tenantry.controller.network.configuration import (
    default_router,
    name_servers,
    routes,
    with_peers,
)
from tenantry.controller.network.gateways import gateway_port
from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import is_link_local, link_local
from tenantry.controller.packets.neighbour_discovery import (
    ALL_NODES,
    ALL_NODES_MAC,
    ROUTER_ADVERTISEMENT,
    SOURCE_LINK_LAYER,
)
from tenantry.controller.packets.own_addresses import SERVICE_MAC

PREFIX, MTU, ROUTE, DNS_SERVERS, SEARCH_LIST = 3, 5, 24, 25, 31
MANAGED, OTHER = 0x80, 0x40
ON_LINK, AUTONOMOUS = 0x80, 0x40

HOP_LIMIT = 64
ROUTER_LIFETIME = 1800
"""Seconds: AdvDefaultLifetime for advertisements that come every 600 seconds (RFC 4861, 6.2.1)."""
VALID, PREFERRED = 86400, 14400
"""Seconds a prefix holds: those of dnsmasq and Neutron."""

SLAAC, STATEFUL, STATELESS = "slaac", "dhcpv6-stateful", "dhcpv6-stateless"


def subnets(view: View, network_id: str) -> list[Subnet]:
    """The subnets that a network's advertisements tell of."""
    found = view.find(Subnet, network_id=network_id)
    told = (subnet for subnet in found if subnet.enable_dhcp and subnet.ra_mode)
    return [with_peers(view, subnet) for subnet in told]


class Prefix(NamedTuple):
    """What hosts are told of a subnet: its first address and length, ON_LINK and AUTONOMOUS."""

    first: int
    length: int
    flags: int


@dataclass(frozen=True)
class Advertised:
    """All that a network tells its hosts of itself."""

    source: int  # a link-local address, which becomes the default route's
    mac: int
    routes: bool  # whether who says so is a router
    flags: int  # MANAGED and OTHER
    mtu: int
    prefixes: tuple[Prefix, ...]
    beyond: tuple[tuple[int, int], ...]  # what there are routes to, as (first address, length)
    servers: tuple[int, ...]
    domain: str


def advertised(view: View, network_id: str, domain: str) -> Advertised | None:
    """None if the network has nothing to tell. ``domain``: that of networks without one."""
    network, told = view.get(Network, network_id), subnets(view, network_id)
    if network is None or not told:
        return None
    # While there is no gateway, nobody routes: hosts must not take us for a router.
    gateways = [gateway_port(view, subnet) for subnet in told]
    gateway = next((port for port in gateways if port), None)
    mac = gateway.mac if gateway else SERVICE_MAC
    own = (ip.address for ip in (gateway.fixed_ips if gateway else ()) if ip.version == 6)
    modes = {subnet.ra_mode for subnet in told}
    return Advertised(
        source=next(filter(is_link_local, own), link_local(mac)),
        mac=mac,
        routes=gateway is not None,
        flags=MANAGED * (STATEFUL in modes) | OTHER * bool(modes & {STATEFUL, STATELESS}),
        mtu=network.mtu,
        # Hosts make addresses of it themselves, if they are meant to.
        prefixes=tuple(
            Prefix(s.first, s.prefix_length, ON_LINK | AUTONOMOUS * (s.ra_mode != STATEFUL))
            for s in told
        ),
        beyond=_beyond(
            s for s, port in zip(told, gateways, strict=True) if port and port == gateway
        ),
        servers=tuple(dict.fromkeys(server for subnet in told for server in name_servers(subnet))),
        domain=(network.dns_domain or domain).rstrip("."),
    )


def _beyond(told: Iterable[Subnet]) -> tuple[tuple[int, int], ...]:
    """The ``host_routes`` that lead over the router that says so: of no other can it tell."""
    every = ((route, default_router(subnet)) for subnet in told for route in routes(subnet))
    via = [r for r, router in every if r.prefix_length and r.nexthop == router]
    return tuple(dict.fromkeys((r.destination, r.prefix_length) for r in via))


def advertisement(
    now: Advertised, to: int = ALL_NODES, mac: int = ALL_NODES_MAC, was: Advertised | None = None
) -> bytes:
    """The frame, to one host or to all. What of ``was`` no longer holds is taken back, by a
    lifetime of 0 (RFC 4861, 6.2.4; RFC 4862, 5.5.3; RFC 8106, 5)."""
    message = _head(now, ROUTER_LIFETIME * now.routes)
    message += _option(MTU, struct.pack("!HI", 0, now.mtu))
    for prefix in now.prefixes:
        message += _prefix(prefix, VALID, PREFERRED)
    message += b"".join(_route(*route, ROUTER_LIFETIME) for route in now.beyond)
    message += _names(now.servers, now.domain, ROUTER_LIFETIME)
    if was is not None:
        hold = {(prefix.first, prefix.length): prefix.flags for prefix in now.prefixes}
        for first, length, flags in was.prefixes:
            if gone := flags & ~hold.get((first, length), 0):
                message += _prefix(Prefix(first, length, gone), 0, 0)
        if was.source == now.source:  # else it has taken back all of its routes by itself
            message += b"".join(_route(*r, 0) for r in was.beyond if r not in now.beyond)
        servers = tuple(server for server in was.servers if server not in now.servers)
        message += _names(servers, was.domain if was.domain != now.domain else "", 0)
    return frames.icmpv6(now.mac, mac, now.source, to, message)


def last(was: Advertised) -> bytes:
    """The frame by which a router says to all that it is none any more (RFC 4861, 6.2.5)."""
    message = _head(was, 0) + b"".join(_route(*route, 0) for route in was.beyond)
    return frames.icmpv6(was.mac, ALL_NODES_MAC, was.source, ALL_NODES, message)


def difference(was: Advertised | None, now: Advertised | None) -> Iterator[bytes]:
    """The frames that tell hosts who know what was what is now."""
    if was is not None and was.routes and (now is None or now.source != was.source):
        yield last(was)
    if now is not None:
        yield advertisement(now, was=was)
    elif was is not None:
        nothing = replace(was, routes=False, prefixes=(), beyond=(), servers=(), domain="")
        yield advertisement(nothing, was=was)


def _head(said: Advertised, lifetime: int) -> bytes:
    what = (ROUTER_ADVERTISEMENT, 0, 0, HOP_LIMIT, said.flags, lifetime, 0, 0)
    mac = said.mac.to_bytes(6, "big")
    return struct.pack("!BBHBBHII", *what) + _option(SOURCE_LINK_LAYER, mac)


def _prefix(prefix: Prefix, valid: int, preferred: int) -> bytes:
    """RFC 4861, 4.6.2; lifetimes in seconds."""
    head = struct.pack("!BBIII", prefix.length, prefix.flags, valid, preferred, 0)
    return _option(PREFIX, head + prefix.first.to_bytes(16, "big"))


def _route(first: int, length: int, lifetime: int) -> bytes:
    """RFC 4191, 2.3."""
    head = struct.pack("!BBI", length, 0, lifetime)
    return _option(ROUTE, head + first.to_bytes(16, "big"))


def _names(servers: tuple[int, ...], domain: str, lifetime: int) -> bytes:
    """RFC 8106, 5.1 and 5.2."""
    head = struct.pack("!HI", 0, lifetime)
    packed = b"".join(server.to_bytes(16, "big") for server in servers)
    told = _option(DNS_SERVERS, head + packed) if servers else b""
    return told + (_option(SEARCH_LIST, head + o.names(domain)) if domain else b"")


def _option(type: int, value: bytes) -> bytes:
    """Its length counts units of 8 octets (RFC 4861, 4.6); filled up with zeros, which in a search
    list end it (RFC 8106, 5.2)."""
    units = (2 + len(value) + 7) // 8
    return (bytes([type, units]) + value).ljust(units * 8, b"\0")
