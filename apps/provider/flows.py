"""Flows of provider networks: the way between a network and the wire that it is on."""

from __future__ import annotations

from collections.abc import Iterator

from controller.flow import (
    VLAN_PRESENT,
    Action,
    Flow,
    Goto,
    Learn,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
)
from controller.model import Binding, Network, Port, View, derived, networks_on
from controller.model.queries import wires
from controller.pipeline import (
    BEYOND,
    FLOOD_PART,
    IN_PORT,
    NETWORK,
    OUT_PORT,
    PHYSICAL,
    Band,
    Cookie,
    Table,
)

LEARNED_IDLE_SECONDS = 300  # the ageing time of IEEE 802.1Q, 8.8.3
LEARNED_PER_NETWORK = 4096
"""MAC addresses beyond the switch that it remembers in one network."""


@derived
def wired_networks(view: View, switch: int) -> frozenset[str]:
    """The networks on a switch that it can reach by a wire."""
    return frozenset(
        id
        for id in networks_on(view, switch)
        if (network := view.get(Network, id)) and wires(view, switch, network)
    )


def ports_beyond(view: View, switch: int) -> frozenset[str]:
    """The ports of those networks that are plugged in elsewhere."""
    return frozenset[str]().union(
        *(
            view.ids(Binding, network_id=network_id)
            - view.ids(Binding, switch=switch, network_id=network_id)
            for network_id in wired_networks(view, switch)
        )
    )


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Off the wire by tag, onto the wire with the tag, and one copy of each broadcast."""
    network = view.get(Network, network_id)
    if network is None:
        return
    there = wires(view, switch, network)
    for wire in there:
        for vlan_vid, untag in _tags(network):
            yield Flow(
                Table.CLASSIFY,
                Band.DEFAULT,
                {"in_port": wire, "vlan_vid": vlan_vid},
                (
                    *untag,
                    SetField(NETWORK, network.key),
                    SetField(IN_PORT, PHYSICAL),
                    _learning(network),
                    Goto(Table.CLASSIFY.next),
                ),
            )
    yield Flow(
        Table.FLOOD_PART,
        Band.DEFAULT,
        {NETWORK: network.key, FLOOD_PART: BEYOND},
        (SetField(OUT_PORT, PHYSICAL), Resubmit(Table.FLOOD.next)),
    )
    onto_wires = tuple(Output(wire) for wire in there)
    yield Flow(
        Table.OUTPUT,
        Band.DEFAULT,
        {NETWORK: network.key, OUT_PORT: PHYSICAL},
        _tagged(network, onto_wires),
    )


def _tags(network: Network) -> list[tuple[int, tuple[Action, ...]]]:
    """What frames of the network look like on the wire (``vlan_vid``), and how to untag them."""
    if network.network_type == "vlan":
        return [(_vlan_vid(network), (PopVlan(),))]
    # A frame tagged with VLAN id 0 has a priority, but no VLAN: IEEE 802.1Q, 6.9.1.
    return [(0, ()), (VLAN_PRESENT, (PopVlan(),))]


def _tagged(network: Network, onto_wires: tuple[Action, ...]) -> tuple[Action, ...]:
    if network.network_type != "vlan":
        return onto_wires
    # The tag comes off again: after a flood's copy to the wire, others follow for local ports.
    return (PushVlan(), SetField("vlan_vid", _vlan_vid(network)), *onto_wires, PopVlan())


def _vlan_vid(network: Network) -> int:
    return VLAN_PRESENT | (network.segmentation_id or 0)


def _learning(network: Network) -> Learn:
    return Learn(
        table=Table.L2_LEARNED,
        match=((NETWORK, NETWORK), ("eth_dst", "eth_src")),
        load=((OUT_PORT, PHYSICAL),),
        idle_timeout=LEARNED_IDLE_SECONDS,
        limit=LEARNED_PER_NETWORK,
        cookie=Cookie.learned(network.key, PHYSICAL),
    )


def compile_beyond(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port that is bound to another switch is reached by the wire."""
    binding, port = view.get(Binding, port_id), view.get(Port, port_id)
    if binding is None or port is None or not port.admin_state_up:
        return
    network = view.get(Network, port.network_id)
    if network is not None:
        yield Flow(
            Table.L2_LOOKUP,
            Band.DEFAULT,
            {NETWORK: network.key, "eth_dst": port.mac},
            (SetField(OUT_PORT, PHYSICAL), Goto(Table.FLOOD.next)),
        )
