# SPDX-License-Identifier: Apache-2.0

"""How a port is plugged in for a process in a namespace: with the addresses and routes of which
DHCP would tell a machine there."""

from __future__ import annotations

from tenantry.controller.feature.processes import Plug, Route
from tenantry.controller.model import Network, Port, Subnet, View, derived
from tenantry.controller.network import configuration
from tenantry.controller.network.dns_names import address_text


@derived
def plug_of(view: View, port_id: str) -> Plug | None:
    """None if there is no such port."""
    port = view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or network is None:
        return None
    addresses, routes = [], dict[Route, None]()
    for ip in port.fixed_ips:
        subnet = view.get(Subnet, ip.subnet_id)
        if subnet is None:
            continue
        addresses.append(f"{address_text(ip.version, ip.address)}/{subnet.prefix_length}")
        for route in configuration.routes(configuration.with_peers(view, subnet)):
            prefix = f"{address_text(route.version, route.destination)}/{route.prefix_length}"
            via = address_text(route.version, route.nexthop) if route.nexthop else ""
            routes[Route(prefix, via)] = None
    mac = ":".join(f"{octet:02x}" for octet in port.mac.to_bytes(6, "big"))
    return Plug(port.id, mac, network.mtu, tuple(addresses), tuple(routes))
