# SPDX-License-Identifier: Apache-2.0

"""What the hosts of a subnet are told of it, whoever tells them: DHCP, router advertisements or the
metadata service."""

from __future__ import annotations

from dataclasses import replace

from tenantry.controller.model.records import Subnet
from tenantry.controller.model.values import Route
from tenantry.controller.model.view import View
from tenantry.controller.packets.addresses import BITS, is_link_local, is_within


def name_servers(subnet: Subnet) -> tuple[int, ...]:
    """The DNS servers: those that the subnet's owner names, or its own. 0.0.0.0 and :: are what
    Neutron's users say for none."""
    if subnet.dns_nameservers:
        return tuple(server for server in subnet.dns_nameservers if server)
    own = subnet.service_address if subnet.enable_dhcp else None
    return () if own is None else (own,)


def default_router(subnet: Subnet) -> int | None:
    """Where hosts send what is for elsewhere: to the gateway, or if there is none, where a default
    route among ``host_routes`` leads. There is one at most, as Neutron has it."""
    if subnet.gateway is not None:
        return subnet.gateway
    return next((route.nexthop for route in subnet.host_routes if not route.prefix_length), None)


def with_peers(view: View, subnet: Subnet) -> Subnet:
    """The subnet with routes to those on other segments of its network, over its own gateway: no
    broadcast of theirs comes here. What ``host_routes`` lead to already, they lead to."""
    if subnet.gateway is None or not subnet.segment_id:
        return subnet
    known = [route for route in subnet.host_routes if route.version == subnet.version]
    peers = [
        Route(peer.first, peer.prefix_length, subnet.gateway, peer.version)
        for peer in view.find(Subnet, network_id=subnet.network_id)
        if peer.segment_id not in ("", subnet.segment_id)
        and peer.version == subnet.version
        and not any(_covers(route, peer) for route in known)
    ]
    return replace(subnet, host_routes=(*subnet.host_routes, *peers)) if peers else subnet


def _covers(route: Route, peer: Subnet) -> bool:
    within = is_within(peer.first, route.version, route.destination, route.prefix_length)
    return within and route.prefix_length <= peer.prefix_length


def on_link(subnet: Subnet, address: int) -> bool:
    """Whether hosts find an address on the link without being told."""
    of_link = subnet.version == 6 and is_link_local(address)
    return of_link or is_within(address, subnet.version, subnet.first, subnet.prefix_length)


def routes(subnet: Subnet) -> list[Route]:
    """All routes of a host but that to the subnet itself, the default route last. The next hop 0
    is the link: so hosts find a router that is not in the subnet."""
    router = default_router(subnet)
    found = [route for route in subnet.host_routes if route.prefix_length]
    if router is not None:
        if not on_link(subnet, router):
            found.insert(0, Route(router, BITS[subnet.version], 0, subnet.version))
        found.append(Route(0, 0, router, subnet.version))
    return found
