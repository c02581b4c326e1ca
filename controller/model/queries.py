"""Queries that more than one feature asks."""

from __future__ import annotations

from controller.model.records import Binding, Interface, Network
from controller.model.routers import networks_around, routers_homed
from controller.model.view import View, derived


@derived
def networks_with_ports(view: View, switch: int) -> frozenset[str]:
    """The networks that have a port on this switch."""
    return view.distinct(Binding, "network_id", switch=switch)


@derived
def networks_on(view: View, switch: int) -> frozenset[str]:
    """The networks that concern this switch: they have a port on it, or routers lead from there to
    them."""
    networks, _ = _reachable(view, switch)
    return networks


@derived
def routers_on(view: View, switch: int) -> frozenset[str]:
    """The routers that packets can meet on this switch."""
    _, routers = _reachable(view, switch)
    return routers


@derived
def _reachable(view: View, switch: int) -> tuple[frozenset[str], frozenset[str]]:
    networks = networks_with_ports(view, switch)
    homed = routers_homed(view, switch)
    parts = [networks_around(view, network_id, "") for network_id in networks]
    parts += [networks_around(view, "", router_id) for router_id in homed]
    return (
        networks.union(*(networks for networks, _ in parts)),
        homed.union(*(routers for _, routers in parts)),
    )


def ports_on(view: View, switch: int) -> frozenset[str]:
    """The ports that are plugged into this switch."""
    return view.ids(Binding, switch=switch)


def parts_on(view: View, switch: int) -> frozenset[str]:
    """The parts (see Binding) of networks that have a port on this switch."""
    return view.distinct(Binding, "part", switch=switch)


def wires(view: View, switch: int, network: Network) -> list[int]:
    """OpenFlow ports of the switch that lead to the network's physical network."""
    if not network.admin_state_up or not network.physical_network:
        return []
    found = view.find(Interface, switch=switch, physical_network=network.physical_network)
    return sorted(interface.ofport for interface in found)
