# SPDX-License-Identifier: Apache-2.0

"""Where an address is, as a host of a network sees it."""

from __future__ import annotations

from tenantry.controller.model.records import Port, Subnet
from tenantry.controller.model.values import FixedIp
from tenantry.controller.model.view import View, derived
from tenantry.controller.network.gateways import gateway_port
from tenantry.controller.network.routers import (
    RouterInterface,
    networks_around,
    router_interfaces,
    routers_in,
)
from tenantry.controller.packets.addresses import is_within


@derived
def subnet_on(view: View, network_id: str, version: int, address: int) -> Subnet | None:
    """The subnet of a network that an address is of."""
    for subnet in view.find(Subnet, network_id=network_id):
        within = (version, subnet.first, subnet.prefix_length)
        if subnet.version == version and is_within(address, *within):
            return subnet
    return None


def port_at(view: View, subnet: Subnet, address: int) -> Port | None:
    """The port that has an address of a subnet."""
    found = view.find(Port, addresses=FixedIp(subnet.id, subnet.version, address))
    return next(iter(found), None)


@derived
def port_reached(view: View, network_id: str, version: int, address: int) -> Port | None:
    """The port with an address on a network, or on one that its routers lead to without a
    gateway."""
    networks, _ = networks_around(view, network_id, "")
    for id in (network_id, *sorted(networks - {network_id})):
        subnet = subnet_on(view, id, version, address)
        port = port_at(view, subnet, address) if subnet else None
        if port is not None:
            return port
    return None


@derived
def next_hop(view: View, network_id: str, version: int, address: int) -> int | None:
    """The MAC address to which a host of a network sends what is for an address; None: it does not
    know any."""
    subnet = subnet_on(view, network_id, version, address)
    port = port_at(view, subnet, address) if subnet else None
    if port is not None:
        return port.mac
    for leg in _legs(view, network_id, version):
        for other in router_interfaces(view, leg.port.router_id):
            if subnet_on(view, other.network.id, version, address):
                return leg.port.mac
    for one in view.find(Subnet, network_id=network_id):
        way = gateway_port(view, one) if one.version == version else None
        if way is not None:
            return way.mac
    return None


def _legs(view: View, network_id: str, version: int) -> list[RouterInterface]:
    """The ports that routers have on a network with an address of a family, but for gateways."""
    return [
        leg
        for router_id in sorted(routers_in(view, network_id))
        for leg in router_interfaces(view, router_id)
        if leg.network.id == network_id and not leg.gateway and leg.address(version) is not None
    ]
