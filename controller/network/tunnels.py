# SPDX-License-Identifier: Apache-2.0

"""Tunnels between switches: which networks they carry, where they end, and whose health is watched.

A network of type ``vxlan`` or ``geneve`` reaches every switch that has a tunnel address; one of
several segments goes by a wire where both ends have it, and by a tunnel elsewhere.
"""

from __future__ import annotations

from typing import NamedTuple

from tenantry.controller.model.observed import Binding, Interface, Switch, Tunnel
from tenantry.controller.model.records import Agent, Network, Port
from tenantry.controller.model.values import Address
from tenantry.controller.model.view import View, derived
from tenantry.controller.network.records import Segment

TYPES = ("geneve", "vxlan")
"""Of networks that tunnels carry."""

SERVICE_TYPE, SERVICE_VNI = "vxlan", 0
"""Of what passes between the service port and guests of other hosts. No network has this VNI."""


@derived
def segments(view: View, network_id: str) -> tuple[Segment, ...]:
    """The ways in which a network is carried: at least one, if there is the network."""
    several = view.find(Segment, network_id=network_id)
    network = view.get(Network, network_id)
    if several or network is None:
        return tuple(several)
    of = (network.network_type, network.physical_network, network.segmentation_id)
    return (Segment(network_id, network_id, *of),)


@derived
def tunnel_of(view: View, network_id: str) -> tuple[str, int] | None:
    """The type of tunnel that carries a network, and its VNI there; None: none does."""
    for segment in segments(view, network_id):
        if segment.network_type in TYPES and segment.segmentation_id is not None:
            return segment.network_type, segment.segmentation_id
    return None


@derived
def endpoint(view: View, switch: int) -> Address | None:
    """The address to which tunnels to a switch lead: its host's, if it is the host's integration
    bridge."""
    record = view.get(Switch, switch)
    if record is None or not record.integration:
        return None
    return next((agent.tunnel for agent in view.find(Agent, host=record.host, l3=False)), None)


def tunnel_port(view: View, switch: int, tunnel_type: str) -> int | None:
    """The OpenFlow port by which a switch sends into tunnels of a type, to wherever."""
    found = view.find(Interface, switch=switch, tunnel=tunnel_type, peer=None)
    return next((interface.ofport for interface in found), None)


def service_ports(view: View, switch: int, other: Address) -> frozenset[int]:
    """The OpenFlow ports by which what has no network's VNI comes from a host: the one of all
    tunnels, or, as Open vSwitch prefers it, one that leads to that host alone."""
    return frozenset(
        interface.ofport
        for peer in (None, other)
        for interface in view.find(Interface, switch=switch, tunnel=SERVICE_TYPE, peer=peer)
    )


@derived
def wired_switches(view: View, network_id: str) -> frozenset[tuple[str, int]]:
    """The switches that have a wire of a network, each with the physical network."""
    names = {s.physical_network for s in segments(view, network_id) if s.physical_network}
    return frozenset(
        (name, switch)
        for name in names
        for switch in view.distinct(Interface, "switch", physical_network=name)
    )


def by_tunnel(view: View, switch: int, other: int, network_id: str) -> bool:
    """Whether packets of a network go from a switch to another one through a tunnel."""
    if tunnel_of(view, network_id) is None or None in (
        endpoint(view, switch),
        endpoint(view, other),
    ):
        return False
    wires = wired_switches(view, network_id)
    mine = {name for name, at in wires if at == switch}
    return not any(at == other and name in mine for name, at in wires)


class Unreachable(NamedTuple):
    """Where a network is in parts: the switch of its first port, and those that do not reach it."""

    first: int
    others: frozenset[int]


def unreachable(view: View, network_id: str) -> Unreachable | None:
    """The switches with ports of a network that share neither a wire nor tunnels with the one that
    has its first port (the one of the lowest key); None if there are none."""
    switches = view.distinct(Binding, "switch", network_id=network_id)
    if len(switches) < 2:
        return None
    ways = {switch: _tunnels(view, network_id, switch) for switch in switches}
    for name, switch in wired_switches(view, network_id):
        if switch in ways:
            ways[switch] |= {name}
    if frozenset.intersection(*ways.values()):
        return None
    keys = (
        (port.key, binding.switch)
        for binding in view.find(Binding, network_id=network_id)
        if (port := view.get(Port, binding.id)) is not None
    )
    _, first = min(keys)
    others = frozenset(switch for switch in switches if not ways[switch] & ways[first])
    return Unreachable(first, others - {first}) if others - {first} else None


def _tunnels(view: View, network_id: str, switch: int) -> frozenset[str]:
    """What tunnels of a switch, if they carry a network, have in common with those of others."""
    end = endpoint(view, switch) if tunnel_of(view, network_id) else None
    return frozenset({f"IPv{end.version}"} if end else ())


@derived
def tunneled(view: View, switch: int, network_id: str) -> frozenset[int]:
    """The switches with ports of a network to which a switch tunnels."""
    others = view.distinct(Binding, "switch", network_id=network_id) - {switch}
    return frozenset(other for other in others if by_tunnel(view, switch, other, network_id))


@derived
def service_switch(view: View) -> int | None:
    """The switch that has the service port: the one of the controller's own host."""
    return min(view.distinct(Interface, "switch", service=True), default=None)


@derived
def service_peers(view: View, switch: int) -> frozenset[int]:
    """Whom a switch needs tunnels to, so that guests everywhere reach the service port: the switch
    that has it all others, any other that one."""
    home, here = service_switch(view), endpoint(view, switch)
    if home is None or here is None:
        return frozenset()
    others = view.ids(Switch) - {home} if switch == home else {home}
    ends = {other: endpoint(view, other) for other in others}
    return frozenset(other for other, end in ends.items() if end and end.version == here.version)


# --- health ----------------------------------------------------------------------------------


@derived
def health_port(view: View, switch: int, other: int) -> int | None:
    """The OpenFlow port on a switch that is up as long as another switch can be reached through
    tunnels; None while nobody can tell."""
    address = endpoint(view, other)
    for tunnel_type in TYPES if address else ():
        found = view.find(Interface, switch=switch, tunnel=tunnel_type, peer=address)
        for interface in found:
            if view.get(Tunnel, interface.id) is not None:
                return interface.ofport
    return None
