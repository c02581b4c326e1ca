# SPDX-License-Identifier: Apache-2.0

"""What the addresses of a network are called: the same for DHCP, DNS, metadata and the API."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from tenantry.controller.model.records import Network, Port
from tenantry.controller.model.values import FixedIp


def address_text(version: int, address: int) -> str:
    """``10.0.0.5``, ``2001:db8::5``."""
    return str(IPv4Address(address) if version == 4 else IPv6Address(address))


def host_name(port: Port, ip: FixedIp) -> str:
    """The port's name, or one made of the address: ``host-10-0-0-5``."""
    text = address_text(ip.version, ip.address)
    return port.dns_name or "host-" + text.replace(".", "-").replace(":", "-")


def domain(port: Port, network: Network, default: str) -> str:
    """The domain of a port's name, with its final dot: the port's own, the network's, or
    ``default``, the controller's."""
    return port.dns_domain or network.dns_domain or default


def full_name(port: Port, network: Network, ip: FixedIp, default: str) -> str:
    """A port's name in its domain, with its final dot. A name that ends with a dot is whole."""
    name = host_name(port, ip)
    return name if name.endswith(".") else f"{name}.{domain(port, network, default)}"
