# SPDX-License-Identifier: Apache-2.0

"""Where a load balancer's address can be reached from, and where its members are from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tenantry.apps.load_balancer.records import (
    HTTPS,
    SCTP,
    TCP,
    UDP,
    Listener,
    LoadBalancer,
    Member,
    Pool,
    in_switch,
    listeners_of,
)
from tenantry.controller.model import (
    Network,
    Port,
    View,
    derived,
    networks_with_ports,
)
from tenantry.controller.network.routers import (
    RouterInterface,
    networks_of,
    router_interfaces,
    routers_in,
)
from tenantry.controller.network.whereabouts import port_at, subnet_on
from tenantry.controller.packets import frames

PROTOCOLS = {TCP: frames.TCP, HTTPS: frames.TCP, UDP: frames.UDP, SCTP: frames.SCTP}
"""IP's protocol, by a listener's."""

PORT_FIELDS = {frames.TCP: "tcp", frames.UDP: "udp", frames.SCTP: "sctp"}
"""What fields of a protocol's ports begin with."""


@derived
def balancers_met(view: View, network_id: str) -> frozenset[str]:
    """The load balancers whose addresses are on a network, or on another one of its routers'."""
    networks = {network_id}
    for router_id in routers_in(view, network_id):
        around = networks_of(view, router_id)
        if (network_id, False) in around:
            networks |= {id for id, _ in around}
    found = (view.ids(LoadBalancer, vip_network_id=id) for id in networks)
    return frozenset[str]().union(*found)


@derived
def balancers_on(view: View, switch: int) -> frozenset[str]:
    """The load balancers that ports on a switch can reach."""
    met = (balancers_met(view, id) for id in networks_with_ports(view, switch))
    return frozenset[str]().union(*met)


class Place(NamedTuple):
    """A network from which a load balancer is reached, and the MAC addresses by which: its own, or
    those of routers' ports there."""

    network: Network
    macs: tuple[int, ...]

    def port_at(self, view: View, version: int, address: int) -> Port | None:
        """The port there that has an address."""
        subnet = subnet_on(view, self.network.id, version, address)
        return port_at(view, subnet, address) if subnet else None


def places(view: View, switch: int, balancer: LoadBalancer) -> Iterator[Place]:
    """Those that have ports on a switch."""
    here = networks_with_ports(view, switch)
    port = view.get(Port, balancer.vip_port_id)
    network = view.get(Network, balancer.vip_network_id)
    if port is None or network is None or not network.admin_state_up:
        return
    if network.id in here:
        yield Place(network, (port.mac,))
    macs: dict[str, list[int]] = {}
    for router_id in sorted(routers_in(view, network.id)):
        for id, outside in networks_of(view, router_id):
            if id in here and id != network.id and not outside:
                legs = (leg for leg in _inside(view, router_id) if leg.network.id == id)
                macs.setdefault(id, []).extend(leg.port.mac for leg in legs)
    for id in sorted(macs):
        client = view.get(Network, id)
        if client is not None and macs[id]:
            yield Place(client, tuple(macs[id]))


def _inside(view: View, router_id: str) -> list[RouterInterface]:
    return [leg for leg in router_interfaces(view, router_id) if not leg.gateway]


class Answering(NamedTuple):
    """A listener that a switch does, with its pool."""

    listener: Listener
    protocol: int  # IP's
    pool: Pool | None


@derived
def answering(view: View, balancer_id: str) -> tuple[Answering, ...]:
    """What the switch does of a load balancer whose network is up."""
    balancer = view.get(LoadBalancer, balancer_id)
    network = view.get(Network, balancer.vip_network_id) if balancer else None
    if network is None or not network.admin_state_up:
        return ()
    return tuple(
        Answering(listener, PROTOCOLS[listener.protocol], _pool(view, listener.default_pool_id))
        for listener in listeners_of(view, balancer_id)
        if in_switch(view, listener.id)
    )


def _pool(view: View, id: str) -> Pool | None:
    pool = view.get(Pool, id) if id else None
    return pool if pool is not None and pool.admin_state_up else None


class Service(NamedTuple):
    """Where a member answers."""

    protocol: int  # IP's
    version: int
    address: int
    port: int


@derived
def services(view: View, balancer_id: str) -> tuple[Service, ...]:
    """Where the members of a load balancer answer whose connections go on, whether or not they get
    new ones."""
    return tuple(
        dict.fromkeys(
            Service(one.protocol, member.version, member.address, member.port)
            for one in answering(view, balancer_id)
            for member in (view.find(Member, pool_id=one.pool.id) if one.pool else ())
            if member.admin_state_up
        )
    )


@derived
def sharing(view: View, network_id: str, service: Service) -> tuple[int, ...]:
    """The keys of all load balancers that lead from a network to where a member answers."""
    _, version, address, port = service
    found = view.find(Member, version=version, address=address, port=port)
    same = {member.pool_id for member in found}
    return _balancers(view, network_id, same, lambda one: one == service)


MOST_SHARING = 4
"""Load balancers whose zones are asked about fragments and errors from an address."""


@derived
def sharing_address(view: View, network_id: str, version: int, address: int) -> tuple[int, ...]:
    """Likewise, to any port of a member's that is not TCP's: the first few."""
    found = view.find(Member, version=version, address=address)
    pools = {m.pool_id for m in found}

    def there(one: Service) -> bool:
        return one.protocol != frames.TCP and (one.version, one.address) == (version, address)

    return _balancers(view, network_id, pools, there)[:MOST_SHARING]


def _balancers(
    view: View, network_id: str, pools: set[str], there: Callable[[Service], bool]
) -> tuple[int, ...]:
    ids = {pool.load_balancer_id for id in pools if (pool := view.get(Pool, id))}
    keys = []
    for id in ids & balancers_met(view, network_id):
        balancer = view.get(LoadBalancer, id)
        if balancer is not None and any(map(there, services(view, id))):
            keys.append(balancer.key)
    return tuple(sorted(keys))


@derived
def sharing_network(view: View, network_id: str) -> tuple[int, ...]:
    """The keys of the load balancers of which switches do something, and that are reached from a
    network: the first few."""
    does = (id for id in balancers_met(view, network_id) if answering(view, id))
    found = (view.get(LoadBalancer, id) for id in does)
    return tuple(sorted(one.key for one in found if one))[:MOST_SHARING]


@derived
def router_addresses(view: View, network_id: str) -> tuple[tuple[int, int], ...]:
    """The addresses of routers on a network, by which its hosts leave it."""
    return tuple(
        (ip.version, ip.address)
        for router_id in sorted(routers_in(view, network_id))
        for leg in _inside(view, router_id)
        if leg.network.id == network_id
        for ip in leg.port.fixed_ips
    )
