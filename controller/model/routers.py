"""Routers: what they lead to, and where.

A router is on every switch from which its networks can be reached: packets are routed where they
start. One of the switches is its *home*: there the router answers the physical networks, and there
goes what can leave at one place only, with an address that many share.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from controller.model.records import (
    Binding,
    FloatingIp,
    Interface,
    Network,
    Port,
    Router,
    Subnet,
    SubnetPool,
)
from controller.model.view import View, derived


class Leg(NamedTuple):
    """A port of a router, with its network, the subnets that it has an address on, and all others
    that it reaches directly."""

    port: Port
    network: Network
    subnets: tuple[Subnet, ...]

    @property
    def gateway(self) -> bool:
        return self.port.is_gateway

    def address(self, version: int) -> int | None:
        """Its first address of a family."""
        return next((ip.address for ip in self.port.fixed_ips if ip.version == version), None)


@derived
def legs(view: View, router_id: str) -> tuple[Leg, ...]:
    """The ports of a router that lead anywhere, in the order of their keys."""
    found = []
    for port in view.find(Port, router_id=router_id):
        network = view.get(Network, port.network_id)
        if network is None or not (network.admin_state_up and port.admin_state_up):
            continue
        if port.is_gateway:  # whatever is on the external network, it is on the link
            subnets = view.find(Subnet, network_id=network.id)
        else:
            ids = dict.fromkeys(ip.subnet_id for ip in port.fixed_ips)
            subnets = [subnet for id in ids if (subnet := view.get(Subnet, id))]
        found.append(Leg(port, network, tuple(subnets)))
    return tuple(sorted(found, key=lambda leg: leg.port.key))


def gateway(view: View, router_id: str) -> Leg | None:
    """The port by which a router leads outside."""
    return next((leg for leg in legs(view, router_id) if leg.gateway), None)


def translates(view: View, router: Router) -> int | None:
    """The address that all IPv4 of the router's networks shares outside, if it shares one."""
    leg = gateway(view, router.id) if router.enable_snat else None
    return leg.address(4) if leg else None


def scope(view: View, subnet: Subnet) -> str:
    """The address scope that a subnet is in, or ""."""
    pool = view.get(SubnetPool, subnet.subnetpool_id) if subnet.subnetpool_id else None
    return pool.address_scope_id if pool else ""


@derived
def routers_in(view: View, network_id: str) -> frozenset[str]:
    """The routers that have a port on a network."""
    return view.distinct(Port, "router_id", network_id=network_id) - {""}


@derived
def networks_of(view: View, router_id: str) -> frozenset[tuple[str, bool]]:
    """The networks that a router has a port on; and whether it is its gateway."""
    return frozenset(
        (port.network_id, port.is_gateway) for port in view.find(Port, router_id=router_id)
    )


@derived
def networks_around(
    view: View, network_id: str, router_id: str
) -> tuple[frozenset[str], frozenset[str]]:
    """The networks and routers that can be met from a network, or from a router, on the way to
    wherever: one external network is the end of the way."""
    networks = {network_id} if network_id else set()
    routers: set[str] = {router_id} if router_id else set()
    behind = set(routers)
    ahead = set(networks)
    while ahead or behind:
        if ahead:
            behind |= _routers_from(view, ahead.pop()) - routers
            routers |= behind
        else:
            for id, outside in networks_of(view, behind.pop()):
                if id not in networks and not outside:
                    ahead.add(id)
                networks.add(id)
    return frozenset(networks), frozenset(routers)


def _routers_from(view: View, network_id: str) -> frozenset[str]:
    """The routers that a packet of a network can be sent to."""
    return frozenset(
        router_id
        for router_id in routers_in(view, network_id)
        if (network_id, False) in networks_of(view, router_id)
    )


# --- where -----------------------------------------------------------------------------------


@derived
def switches_at(view: View, network_id: str) -> frozenset[int]:
    """The switches that reach a network: by a wire, or, if it has none, by ports of its own."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return frozenset()
    wired: frozenset[int] = frozenset()
    if network.physical_network:
        wired = view.distinct(Interface, "switch", physical_network=network.physical_network)
    return wired or view.distinct(Binding, "switch", network_id=network_id)


@derived
def home(view: View, router_id: str) -> int | None:
    """The one switch where a router answers its physical networks, and leaves by the gateway: one
    that reaches the external network; without a gateway, one that has ports of its networks."""
    networks = networks_of(view, router_id)
    outside = next((id for id, is_gateway in networks if is_gateway), None)
    if outside is not None:
        return _chosen(router_id, switches_at(view, outside))
    bound = (view.distinct(Binding, "switch", network_id=id) for id, _ in networks)
    return _chosen(router_id, frozenset[int]().union(*bound))


def gateways(view: View, router_id: str) -> tuple[int, ...]:
    """The switches that can be a router's home, the first of them is; each stands in for those
    before it."""
    at = home(view, router_id)
    return () if at is None else (at,)


def _chosen(router_id: str, switches: Iterable[int]) -> int | None:
    """One of several for each router, such that no other router moves when one comes or goes."""

    def weight(switch: int) -> bytes:
        return blake2b(f"{router_id} {switch}".encode(), digest_size=8).digest()

    return max(switches, key=weight, default=None)


@derived
def routers_homed(view: View, switch: int) -> frozenset[str]:
    """The routers whose home this switch is."""
    at = [
        network_id
        for network_id in view.ids(Network, external=True)
        if switch in switches_at(view, network_id)
    ]
    routers = frozenset[str]().union(*(routers_in(view, network_id) for network_id in at))
    return frozenset(router_id for router_id in routers if home(view, router_id) == switch)


def place(view: View, floating: FloatingIp) -> int | None:
    """The switch that translates a floating IP: the port's own if it reaches the external network,
    else the router's home. None: no switch does."""
    if not floating.router_id:
        return None
    at = view.get(Binding, floating.fixed_port_id) if floating.fixed_port_id else None
    if at is not None and at.switch in switches_at(view, floating.network_id):
        return at.switch
    return home(view, floating.router_id)


# --- MAC addresses ---------------------------------------------------------------------------

ROUTED_MAC, ROUTED_MAC_MASK = 0x0E << 40, 0xFF0000FFFFFF
"""What a switch that is not the router's home writes for the router's MAC address when it sends to
a physical network, where one address must not be in two places: 0E, two octets of the switch's id,
three of the port's key. Locally administered."""


def routed_mac(switch: int, key: int = 0) -> int:
    """The MAC address that stands for a router's port when a switch has routed the packet."""
    return ROUTED_MAC | (switch & 0xFFFF) << 24 | key
