"""Router advertisements: what a network tells its hosts of itself (RFC 4861, 4.2; RFC 8106)."""

from __future__ import annotations

import struct

from apps.dhcp import options as o
from controller import frames
from controller.model import Network, Subnet, View
from controller.model.addresses import SERVICE_MAC, gateway_mac, link_local

ALL_NODES, ALL_NODES_MAC = 0xFF02 << 112 | 1, 0x333300000001
ROUTER_ADVERTISEMENT = 134
SOURCE_LINK_LAYER, PREFIX, MTU, DNS_SERVERS, SEARCH_LIST = 1, 3, 5, 25, 31
MANAGED, OTHER = 0x80, 0x40
ON_LINK, AUTONOMOUS = 0x80, 0x40

HOP_LIMIT = 64
ROUTER_LIFETIME = 1800
"""Seconds: AdvDefaultLifetime for advertisements that come every 600 seconds (RFC 4861, 6.2.1)."""
VALID, PREFERRED = 86400, 14400
"""Seconds a prefix holds: those of dnsmasq and Neutron."""

SLAAC, STATEFUL, STATELESS = "slaac", "dhcpv6-stateful", "dhcpv6-stateless"


def advertised(view: View, network_id: str) -> list[Subnet]:
    """The subnets that a network's advertisements tell of."""
    found = view.find(Subnet, network_id=network_id)
    return [subnet for subnet in found if subnet.enable_dhcp and subnet.ra_mode]


def advertisement(
    view: View,
    network: Network,
    domain: str,
    to: int = ALL_NODES,
    mac: int = ALL_NODES_MAC,
) -> bytes | None:
    """The frame, to one host or to all; None if the network has nothing to tell."""
    subnets = advertised(view, network.id)
    if not subnets:
        return None
    gateways = [subnet for subnet in subnets if subnet.gateway is not None]
    # While no port has a gateway's address, nobody routes: hosts must not take us for a router.
    router = next((s for s in gateways if gateway_mac(view, s) != SERVICE_MAC), None)
    router_mac = gateway_mac(view, router) if router else SERVICE_MAC
    modes = {subnet.ra_mode for subnet in subnets}
    flags = MANAGED * (STATEFUL in modes) | OTHER * bool(modes & {STATEFUL, STATELESS})
    lifetime = ROUTER_LIFETIME if router else 0
    message = struct.pack("!BBHBBHII", ROUTER_ADVERTISEMENT, 0, 0, HOP_LIMIT, flags, lifetime, 0, 0)
    message += _option(SOURCE_LINK_LAYER, router_mac.to_bytes(6, "big"))
    message += _option(MTU, struct.pack("!HI", 0, network.mtu))
    for subnet in subnets:
        message += _option(PREFIX, _prefix(subnet))
    servers = list(dict.fromkeys(server for subnet in subnets for server in resolvers(subnet)))
    if servers:
        packed = b"".join(server.to_bytes(16, "big") for server in servers)
        message += _option(DNS_SERVERS, struct.pack("!HI", 0, ROUTER_LIFETIME) + packed)
    if domain.rstrip("."):
        message += _option(SEARCH_LIST, struct.pack("!HI", 0, ROUTER_LIFETIME) + o.names(domain))
    return frames.icmpv6(router_mac, mac, _source(router, router_mac), to, message)


def resolvers(subnet: Subnet) -> tuple[int, ...]:
    """The DNS servers of a subnet: those that its owner names, or its own."""
    here = () if subnet.service_address is None else (subnet.service_address,)
    return subnet.dns_nameservers or here


def _source(router: Subnet | None, router_mac: int) -> int:
    """Advertisements come from a link-local address, which becomes the default route's."""
    gateway = router.gateway if router else None
    return gateway if gateway and gateway >> 118 == 0x3FA else link_local(router_mac)


def _prefix(subnet: Subnet) -> bytes:
    """RFC 4861, 4.6.2. Hosts make addresses of it themselves, if they are meant to."""
    flags = ON_LINK | (0 if subnet.ra_mode == STATEFUL else AUTONOMOUS)
    head = struct.pack("!BBIII", subnet.prefix_length, flags, VALID, PREFERRED, 0)
    return head + subnet.first.to_bytes(16, "big")


def _option(type: int, value: bytes) -> bytes:
    """Its length counts units of 8 octets (RFC 4861, 4.6); filled up with zeros, which in a search
    list end it (RFC 8106, 5.2)."""
    units = (2 + len(value) + 7) // 8
    return (bytes([type, units]) + value).ljust(units * 8, b"\0")
