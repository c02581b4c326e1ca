# SPDX-License-Identifier: Apache-2.0

"""Flows of provider networks: the way between a network and the wire that it is on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tenantry.apps.l2.tables import (
    BY_WIRE,
    ClassifyPriority,
    FloodPartPriority,
    L2LookupPriority,
    OutputPriority,
)
from tenantry.controller.model import Network, View, derived
from tenantry.controller.network.learning import (
    LEARNED_PER_NETWORK,
    learn_source,
    plugged_in,
    ports_beyond,
)
from tenantry.controller.network.records import Segment
from tenantry.controller.network.routers import networks_on
from tenantry.controller.network.tunnels import by_tunnel
from tenantry.controller.network.wires import wires
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Flow,
    Goto,
    Match,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.oxm import VLAN_PRESENT
from tenantry.controller.openflow.pipeline import (
    FLOOD_PART,
    IN_PORT,
    NETWORK,
    OUT_PORT,
    PHYSICAL,
    TO_GATEWAY,
    Table,
)


@derived
def wired_networks(view: View, switch: int) -> frozenset[str]:
    """The networks on a switch that it can reach by a wire."""
    return frozenset(
        id
        for id in networks_on(view, switch)
        if (network := view.get(Network, id)) and wires(view, switch, network)
    )


def wired_ports(view: View, switch: int) -> frozenset[str]:
    """The ports of those networks that are plugged in elsewhere."""
    return ports_beyond(view, switch, wired_networks(view, switch))


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Off the wire by tag, onto the wire with the tag, and one copy of each broadcast."""
    network = view.get(Network, network_id)
    if network is None:
        return
    onto_wires: Actions = ()
    for segment, ofports in wires(view, switch, network):
        for wire, (vlan_vid, untag) in product(ofports, _tags(segment)):
            yield Flow(
                Table.CLASSIFY,
                ClassifyPriority.ORDINARY,
                {"in_port": wire, "vlan_vid": vlan_vid},
                (
                    *untag,
                    SetField(NETWORK, network.key),
                    SetField(IN_PORT, PHYSICAL),
                    learn_source(network, PHYSICAL, limit=LEARNED_PER_NETWORK),
                    Goto(Table.CLASSIFY.next),
                ),
            )
        onto_wires += _tagged(segment, tuple(Output(wire) for wire in ofports))
    yield Flow(
        Table.FLOOD_PART,
        FloodPartPriority.COPIES,
        {NETWORK: network.key, FLOOD_PART: BY_WIRE},
        (SetField(OUT_PORT, PHYSICAL), Resubmit(Table.FLOOD.next)),
    )
    for out_port in (PHYSICAL, TO_GATEWAY):
        match: Match = {NETWORK: network.key, OUT_PORT: out_port}
        yield Flow(Table.OUTPUT, OutputPriority.ORDINARY, match, onto_wires)


def _tags(segment: Segment) -> list[tuple[int, tuple[Action, ...]]]:
    """What frames of a segment look like on the wire (``vlan_vid``), and how to untag them."""
    if segment.network_type == "vlan":
        return [(_vlan_vid(segment), (PopVlan(),))]
    # A frame tagged with VLAN id 0 has a priority, but no VLAN: IEEE 802.1Q, 6.9.1.
    return [(0, ()), (VLAN_PRESENT, (PopVlan(),))]


def _tagged(segment: Segment, onto_wires: Actions) -> Actions:
    if segment.network_type != "vlan":
        return onto_wires
    # The tag comes off again: after a flood's copy to the wire, others follow for local ports.
    return (PushVlan(), SetField("vlan_vid", _vlan_vid(segment)), *onto_wires, PopVlan())


def _vlan_vid(segment: Segment) -> int:
    return VLAN_PRESENT | (segment.segmentation_id or 0)


def compile_beyond(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port that is bound to another switch is reached by the wire."""
    if (found := plugged_in(view, port_id)) is None:
        return
    binding, port, network = found
    if not by_tunnel(view, switch, binding.switch, network.id):
        yield Flow(
            Table.L2_LOOKUP,
            L2LookupPriority.KNOWN,
            {NETWORK: network.key, "eth_dst": port.mac},
            (SetField(OUT_PORT, PHYSICAL), Goto(Table.FLOOD.next)),
        )
