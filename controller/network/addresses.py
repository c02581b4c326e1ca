"""Addresses as the switch knows them, and who answers for which.

Both families are one in the switch: an IPv4 address is its IPv4-mapped IPv6 address (RFC 4291,
section 2.5.5.2), so one flow does for ARP and for neighbour discovery.
"""

from __future__ import annotations

from tenantry.controller.model.records import Port, Router, Subnet
from tenantry.controller.model.view import View, derived
from tenantry.controller.network.configuration import default_router

SERVICE_MAC = 0x0AA9FEA9FE01
"""The MAC address at which a switch answers by itself, or the controller through it: DHCP, DNS,
metadata. Locally administered, the same on every network, and never seen beyond a switch."""

METADATA_ADDRESSES = ((4, 0xA9FEA9FE), (6, 0xFE80 << 112 | 0xA9FEA9FE))
"""169.254.169.254 and fe80::a9fe:a9fe, as (version, address)."""

_MAPPED = 0xFFFF << 32


def mapped(version: int, address: int) -> int:
    """128 bits that stand for an address of either family."""
    return _MAPPED | address if version == 4 else address


def unmapped(address: int) -> tuple[int, int]:
    """Version and address of what :func:`mapped` made."""
    return (4, address ^ _MAPPED) if address >> 32 == _MAPPED >> 32 else (6, address)


def mapped_prefix(version: int, first: int, prefix_length: int) -> tuple[int, int]:
    """A range of addresses as (value, mask) of 128 bits."""
    length = prefix_length + 96 if version == 4 else prefix_length
    mask = (1 << 128) - (1 << 128 - length)
    return mapped(version, first) & mask, mask


def link_local(mac: int) -> int:
    """The link-local address that a host makes of its MAC address (RFC 4291, appendix A)."""
    interface_id = (mac >> 24) << 40 | 0xFFFE << 24 | mac & 0xFFFFFF
    return 0xFE80 << 112 | interface_id ^ 1 << 57


LINK_LOCAL = (0xFE80 << 112, 0xFFC0 << 112)
"""The addresses of a link, IPv6 (RFC 4291, 2.5.6), as (value, mask)."""

SERVICE_LINK_LOCAL = link_local(SERVICE_MAC)


# --- the service port ------------------------------------------------------------------------

SERVICE_PORT_MAC = 0x0AA9FEA9FE02
SERVICE_PORT_ADDRESSES = {4: 240 << 24 | 0xFFFFFE, 6: 0xFD00A9FEA9FE << 80 | 0xFFFFFE}
"""Where the controller listens, in ranges that no guest and no network uses: 240.0.0.0/4 (RFC 1112)
and fd00:a9fe:a9fe::/64 (RFC 4193). Nothing but the service port leads there."""

SERVICE_PORT_PREFIXES = {4: 4, 6: 64}
SERVICE_PORT_MTU = 1280
"""The least that IPv6 takes (RFC 8200, section 5). From it follows the segment size that TCP agrees
on (RFC 9293, 3.7.1), so that guests of other hosts need no smaller packets for the tunnel."""

METADATA_PORT, DNS_PORT = 8775, 8053
"""TCP ports there: of what guests ask at 80 and at 53. The first is that of Nova's metadata API."""

KEY_BITS, GUEST_BITS = 24, 4
"""Of a source address there, from the lowest bit on: the key of the asking port, and the last bits
of the guest's own address, so that its addresses do not get into each other's way."""


def port_key(address: int) -> int:
    """The key of the port that asks from an address in those ranges."""
    return address & (1 << KEY_BITS) - 1


@derived
def gateway_address(view: View, subnet_id: str) -> int | None:
    """The address of a subnet's gateway, if there is a subnet that has one."""
    subnet = view.get(Subnet, subnet_id)
    return default_router(subnet) if subnet else None


def is_router(view: View, port: Port) -> bool:
    """Whether the hosts of its network may take a port for a router: one of a router, or of a
    machine that has the address of the subnet's gateway."""
    return bool(port.router_id) or any(
        ip.address == gateway_address(view, ip.subnet_id) for ip in port.fixed_ips
    )


def gateway_port(view: View, subnet: Subnet) -> Port | None:
    """The port over which the hosts of a subnet leave: that with the address of its gateway, a
    router's or a machine's; or, if nobody has that, a router's. None while none is there."""
    gateway, network_id = default_router(subnet), subnet.network_id
    if gateway is None:
        return None
    routers = []
    for router_id in sorted(view.distinct(Port, "router_id", network_id=network_id) - {""}):
        router = view.get(Router, router_id)
        if router is not None and router.admin_state_up:
            routers += view.find(Port, network_id=network_id, router_id=router_id)
    inside = [port for port in routers if not port.is_gateway and _up(port, subnet)]
    machines = (port for port in view.find(Port, network_id=network_id) if not port.router_id)
    for ports in (inside, machines):
        for port in ports:
            if _up(port, subnet, gateway):
                return port
    return next(iter(inside), None)


def _up(port: Port, subnet: Subnet, address: int | None = None) -> bool:
    """Whether a port is switched on, and has an address, or this one, on a subnet."""
    return port.admin_state_up and any(
        ip.subnet_id == subnet.id and address in (None, ip.address) for ip in port.fixed_ips
    )
