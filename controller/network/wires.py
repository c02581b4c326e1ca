# SPDX-License-Identifier: Apache-2.0

"""The segments of a network that are wires, and where they leave a switch; and what leads to the
interface of a port."""

from __future__ import annotations

from tenantry.controller.model.observed import Interface
from tenantry.controller.model.records import Network
from tenantry.controller.model.view import View
from tenantry.controller.network.records import Segment
from tenantry.controller.network.tunnels import segments
from tenantry.controller.openflow.flow import Actions, Output, PopVlan, PushVlan, SetField
from tenantry.controller.openflow.oxm import VLAN_PRESENT


def wires(view: View, switch: int, network: Network) -> list[tuple[Segment, list[int]]]:
    """The segments of a network that are wires, and the OpenFlow ports of the switch that lead to
    each; only those that any do."""
    if not network.admin_state_up:
        return []
    found = []
    for segment in segments(view, network.id):
        name = segment.physical_network
        interfaces = view.find(Interface, switch=switch, physical_network=name) if name else []
        if interfaces:
            found.append((segment, sorted(interface.ofport for interface in interfaces)))
    return found


def to_interface(ofport: int, vlan: int) -> Actions:
    """Out of a port of the switch with the tag of a trunk's port (0: without); the packet is then
    as it was."""
    if not vlan:
        return (Output(ofport),)
    return (PushVlan(), SetField("vlan_vid", VLAN_PRESENT | vlan), Output(ofport), PopVlan())
