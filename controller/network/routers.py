# SPDX-License-Identifier: Apache-2.0

"""Routers: what they lead to, and where.

A router is on every switch from which its networks can be reached: packets are routed where they
start. One of the switches is its *home*: there the router answers the physical networks, and there
goes what can leave at one place only, with an address that many share. Others, that reach the
external network too, stand in for it: all of them are the router's *gateways*.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

from tenantry.controller.model.observed import Binding, Switch
from tenantry.controller.model.queries import networks_with_ports
from tenantry.controller.model.records import Agent, Network, Port, Subnet, SubnetPool
from tenantry.controller.model.view import View, derived
from tenantry.controller.network.records import FloatingIp, HeldDown, Router
from tenantry.controller.network.tunnels import endpoint, wired_switches


class RouterInterface(NamedTuple):
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
def router_interfaces(view: View, router_id: str) -> tuple[RouterInterface, ...]:
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
        found.append(RouterInterface(port, network, tuple(subnets)))
    return tuple(sorted(found, key=lambda leg: leg.port.key))


def gateway(view: View, router_id: str) -> RouterInterface | None:
    """The port by which a router leads outside."""
    return next((leg for leg in router_interfaces(view, router_id) if leg.gateway), None)


def shared_snat_address(view: View, router: Router) -> int | None:
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


@derived
def routing_domain(view: View, network_id: str) -> int | None:
    """The lowest key of the routers that join a network to others, or lead out of it: the same for
    all networks between which packets are routed without a gateway."""
    _, routers = networks_around(view, network_id, "")
    found = (view.get(Router, id) for id in routers)
    return min((router.key for router in found if router is not None), default=None)


def _routers_from(view: View, network_id: str) -> frozenset[str]:
    """The routers that a packet of a network can be sent to."""
    return frozenset(
        router_id
        for router_id in routers_in(view, network_id)
        if (network_id, False) in networks_of(view, router_id)
    )


# --- where -----------------------------------------------------------------------------------

LOAD_BALANCER = "Octavia"
"""device_owner of the port that has a load balancer's addresses."""

MOST_GATEWAYS = 3
"""Switches that may be a router's gateway, one for another."""


@derived
def switches_at(view: View, network_id: str) -> frozenset[int]:
    """The switches that reach a network: by a wire, or, if it has none, by ports of its own."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return frozenset()
    wires = frozenset(switch for _, switch in wired_switches(view, network_id))
    return wires or view.distinct(Binding, "switch", network_id=network_id)


@derived
def gateways(view: View, router_id: str) -> tuple[int, ...]:
    """The switches where a router answers its physical networks, and leaves by the gateway. The
    first is its home; each other stands in for those before it, if tunnels tell it that they are
    gone.

    They reach the external network, are on hosts of the router's availability zones that are not
    switched off (admin_state_up), in the order of their hosts' priority and then of a hash, which
    spreads routers evenly. Hosts where somebody has put the router come before all others, whatever
    their zone; where somebody has taken it off, it is not. A router without a gateway has as its
    home a switch that has ports of its networks.
    """
    router, networks = view.get(Router, router_id), networks_of(view, router_id)
    outside = next((id for id, is_gateway in networks if is_gateway), None)
    if outside is None:
        bound = (view.distinct(Binding, "switch", network_id=id) for id, _ in networks)
        return _ordered(router_id, dict.fromkeys(frozenset[int]().union(*bound), (0, 0)))[:1]
    priorities: dict[int, tuple[int, int]] = {}
    for switch in switches_at(view, outside):
        record = view.get(Switch, switch)
        host = record.host if record else ""
        if router is None or host in router.gateway_not_on or not may_be_gateway(view, host):
            continue
        agent = next(iter(view.find(Agent, host=host, l3=False)), None) if host else None
        zone, priority = (agent.availability_zone, agent.gateway_priority) if agent else ("", 0)
        if host in router.gateway_hosts:
            priorities[switch] = (len(router.gateway_hosts) - router.gateway_hosts.index(host), 0)
        elif not router.zones or zone in router.zones:
            priorities[switch] = (0, priority)
    ordered = _ordered(router_id, priorities)
    if not ordered or endpoint(view, ordered[0]) is None:
        return ordered[:1]
    seen = tuple(switch for switch in ordered if endpoint(view, switch) is not None)
    return seen[: MOST_GATEWAYS if router is None or router.ha else 1]


def primary_gateway(view: View, router_id: str) -> int | None:
    """The switch that is a router's gateway as long as all is well."""
    return next(iter(gateways(view, router_id)), None)


def active(view: View, router_id: str) -> int | None:
    """The switch that is a router's gateway now, as far as the controller knows."""
    several = gateways(view, router_id)
    awake = (switch for switch in several if view.get(HeldDown, switch) is None)
    return next(awake, next(iter(several), None))


def may_be_gateway(view: View, host: str) -> bool:
    """Whether nobody has switched off an agent of the host."""
    return all(agent.admin_state_up for agent in view.find(Agent, host=host) if host)


def _ordered(router_id: str, priorities: Mapping[int, tuple[int, int]]) -> tuple[int, ...]:
    """Switches in an order for each router, such that no other router's changes when one comes or
    goes."""

    def weight(switch: int) -> tuple[tuple[int, int], bytes]:
        hashed = blake2b(f"{router_id} {switch}".encode(), digest_size=8).digest()
        return priorities[switch], hashed

    return tuple(sorted(priorities, key=weight, reverse=True))


@derived
def routers_with_gateway(view: View, switch: int) -> frozenset[str]:
    """The routers that this switch is a gateway of."""
    at = [
        network_id
        for network_id in view.ids(Network, external=True)
        if switch in switches_at(view, network_id)
    ]
    routers = frozenset[str]().union(*(routers_in(view, network_id) for network_id in at))
    return frozenset(router_id for router_id in routers if switch in gateways(view, router_id))


def translating_switches(view: View, floating: FloatingIp) -> tuple[int, ...]:
    """The switches that translate a floating IP: the port's own if it reaches the external network
    and the router is distributed, else the router's gateways. That of a load balancer is always
    theirs: there its connections are known."""
    router = view.get(Router, floating.router_id) if floating.router_id else None
    if router is None:
        return ()
    port = view.get(Port, floating.fixed_port_id) if floating.fixed_port_id else None
    here = router.distributed and port is not None and port.device_owner != LOAD_BALANCER
    at = view.get(Binding, floating.fixed_port_id) if here else None
    if at is not None and at.switch in switches_at(view, floating.network_id):
        return (at.switch,)
    return gateways(view, floating.router_id)


def translating_switch(view: View, floating: FloatingIp) -> int | None:
    """The one of them that does so now; None: none does."""
    several = translating_switches(view, floating)
    return several[0] if len(several) == 1 else active(view, floating.router_id)


class GatewayAddress(NamedTuple):
    """How an address of a router's gateway is seen outside: the MAC address that goes with it, and
    the switches that answer for it (one at a time)."""

    address: int
    mac: int
    switches: tuple[int, ...]


@derived
def gateway_addresses(view: View, router_id: str) -> tuple[GatewayAddress, ...]:
    """The IPv4 addresses of a router's gateway. With several of both, each gateway of a distributed
    router has one of its own beside the first, which goes with the router: with that it translates
    what its own ports send, whoever is active."""
    leg, several = gateway(view, router_id), gateways(view, router_id)
    if leg is None:
        return ()
    addresses = [ip.address for ip in leg.port.fixed_ips if ip.version == 4]
    found = [GatewayAddress(address, leg.port.mac, several) for address in addresses]
    router = view.get(Router, router_id)
    own = min(len(addresses), len(several)) if router is not None and router.distributed else 0
    for number in range(1, own):
        mac = OWN_MAC | number << 24 | leg.port.key
        found[number] = GatewayAddress(addresses[number], mac, several[number : number + 1])
    return tuple(found)


def own_gateway_address(view: View, switch: int, router_id: str) -> GatewayAddress | None:
    """The address that is a gateway's own, if it has one."""
    own = (face for face in gateway_addresses(view, router_id) if face.switches == (switch,))
    return next(own, None) if len(gateways(view, router_id)) > 1 else None


# --- one for another ---------------------------------------------------------------------------


@derived
def switches_of(view: View, router_id: str) -> frozenset[int]:
    """The switches from which packets may need a router's gateway."""
    _, routers = networks_around(view, "", router_id)
    inside = {id for router in routers for id, outside in networks_of(view, router) if not outside}
    bound = (view.distinct(Binding, "switch", network_id=id) for id in inside)
    return frozenset[int]().union(*bound)


@derived
def watched_switches(view: View, switch: int) -> frozenset[int]:
    """The switches whose health a switch watches, as they watch its: the gateways of its routers,
    where there are several to choose from; and a gateway, those whom it is for."""
    _, routers = _reachable(view, switch)
    found: set[int] = set()
    for router_id in routers:
        several = gateways(view, router_id)
        if len(several) > 1:
            found |= set(several)
            if switch in several:
                found |= switches_of(view, router_id)
    return frozenset(s for s in found - {switch} if endpoint(view, s) is not None)


@derived
def _reachable(view: View, switch: int) -> tuple[frozenset[str], frozenset[str]]:
    """The networks and routers that packets can meet on a switch."""
    networks = networks_with_ports(view, switch)
    homed = routers_with_gateway(view, switch)
    parts = [networks_around(view, network_id, "") for network_id in networks]
    parts += [networks_around(view, "", router_id) for router_id in homed]
    return (
        networks.union(*(networks for networks, _ in parts)),
        homed.union(*(routers for _, routers in parts)),
    )


@derived
def networks_on(view: View, switch: int) -> frozenset[str]:
    """The networks that concern this switch: they have a port on it, or routers lead from there to
    them."""
    return _reachable(view, switch)[0]


@derived
def routers_on(view: View, switch: int) -> frozenset[str]:
    """The routers that packets can meet on this switch."""
    return _reachable(view, switch)[1]


# --- MAC addresses ---------------------------------------------------------------------------

OWN_MAC = 0x0A << 40
"""What the MAC address of a gateway's own face begins with; its place among the gateways follows,
and the port's key. Locally administered."""

ROUTED_MAC, ROUTED_MAC_MASK = 0x0E << 40, 0xFF0000FFFFFF
"""What a switch that is not the router's home writes for the router's MAC address when it sends to
a physical network, where one address must not be in two places: 0E, two octets of the switch's id,
three of the port's key. Locally administered."""


def routed_mac(switch: int, key: int = 0) -> int:
    """The MAC address that stands for a router's port when a switch has routed the packet."""
    return ROUTED_MAC | (switch & 0xFFFF) << 24 | key
