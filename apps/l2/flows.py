# SPDX-License-Identifier: Apache-2.0

"""Flows of L2 switching; see the package for what they do and ``controller/openflow/pipeline.py``
for the tables."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.l2.tables import (
    BRIDGE_PROTOCOL,
    BY_TUNNEL,
    BY_WIRE,
    GROUP_SOURCE,
    LEARNERS,
    NO_SUCH_TAG,
    NO_WAY_OUT,
    NOBODY_HEARS,
    NOT_ANSWERED,
    SWITCHED_OFF,
    UNKNOWN_DESTINATION,
    ClassifyPriority,
    FloodPartPriority,
    L2LookupPriority,
    MissOnly,
    OutputPriority,
)
from tenantry.apps.qos.records import limits_what_enters
from tenantry.controller.model import Binding, Network, Port, Standby, View
from tenantry.controller.network.broadcasts import broadcast_limit, broadcast_meter
from tenantry.controller.network.learning import LEARNED_PER_PORT, learn_source
from tenantry.controller.network.sampling import EGRESS, INGRESS, sampled
from tenantry.controller.network.wires import to_interface
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    CheckLarger,
    Flow,
    Goto,
    Limit,
    Match,
    PopVlan,
    Punt,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.oxm import VLAN_PRESENT
from tenantry.controller.openflow.pipeline import (
    FLOOD_PART,
    IN_PORT,
    NETWORK,
    OUT_PORT,
    UNKNOWN,
    Table,
    flood_part,
)
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV6, RARP
from tenantry.controller.packets.neighbour_discovery import ADVERTISEMENT
from tenantry.controller.packets.own_addresses import SERVICE_MAC

GROUP = (1 << 40, 1 << 40)  # MAC addresses of many: multicast and broadcast
BRIDGE_RESERVED = (0x0180C2000000, 0xFFFFFFFFFFF0)  # STP, LACP, LLDP ...: IEEE 802.1Q, 8.6.3


def compile_frames(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Frames that no bridge forwards, and the way of unknown destinations past L2_LEARNED."""
    # A learned group address would take the whole network's broadcasts to one port.
    for never, why in (
        ({"eth_src": GROUP}, GROUP_SOURCE),
        ({"eth_dst": BRIDGE_RESERVED}, BRIDGE_PROTOCOL),
    ):
        yield Flow(Table.CLASSIFY, ClassifyPriority.NEVER_FORWARDED, never, drop(why))
    tagged: Match = {"vlan_vid": (VLAN_PRESENT, VLAN_PRESENT)}
    yield Flow(Table.CLASSIFY, ClassifyPriority.TAGGED, tagged, drop(NO_SUCH_TAG))
    yield Flow(Table.CLASSIFY, ClassifyPriority.MISS, {}, drop(SWITCHED_OFF))
    yield Flow(Table.OUTPUT, OutputPriority.MISS, {}, drop(NO_WAY_OUT))
    # What the controller answers was taken out before; what it does not answer has no way to go.
    to_controller: Match = {"eth_dst": SERVICE_MAC}
    yield Flow(Table.L2_LOOKUP, L2LookupPriority.SERVICE, to_controller, drop(NOT_ANSWERED))
    yield Flow(
        Table.L2_LOOKUP, L2LookupPriority.KNOWN, {"eth_dst": GROUP}, (Goto(Table.L2_LOOKUP.next),)
    )
    yield Flow(
        Table.L2_LOOKUP,
        L2LookupPriority.MISS,
        {},
        (
            *(SetField(OUT_PORT, UNKNOWN), Resubmit(Table.L2_LEARNED)),
            Goto(Table.L2_LOOKUP.next),
        ),
    )
    alone = CheckLarger(0xFFFF, FLOOD_PART)
    yield Flow(Table.FLOOD_COPY, MissOnly.MISS, {}, (alone, Resubmit(Table.FLOOD_BRANCH)))
    smaller: Match = {FLOOD_PART: (0, 1)}
    yield Flow(Table.FLOOD_BRANCH, OneRung.ORDINARY, smaller, (Goto(Table.FLOOD.next),))


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow | Limit]:
    """A port on this switch: where its packets belong, and how to reach it."""
    port, standby = view.get(Port, port_id), view.get(Standby, (port_id, switch))
    plugged = standby or view.get(Binding, port_id)
    if plugged is None or port is None or not port.admin_state_up:
        return
    network = view.get(Network, port.network_id)
    if network is None or not network.admin_state_up:
        return
    # Access ports take no tags: a tenant must not choose a VLAN; but on a trunk each is somebody's.
    vlan = plugged.vlan if isinstance(plugged, Binding) else 0
    tag = VLAN_PRESENT | vlan if vlan else 0
    untagged: Match = {"in_port": plugged.ofport, "vlan_vid": tag}
    pop: Actions = (PopVlan(),) if vlan else ()
    exported = sampled(view, port, EGRESS)
    known = (*pop, *exported, SetField(NETWORK, network.key), SetField(IN_PORT, port.key))
    on = Goto(Table.CLASSIFY.next)
    learned = (*known, learn_source(network, port.key, limit=LEARNED_PER_PORT), on)
    # Behind a port with port security there is no address that the model does not know, but for
    # MAC addresses of its allowed address pairs, which several ports may share.
    ordinary = (*known, on) if port.port_security else learned
    rung = ClassifyPriority
    senders = [(rung.ORDINARY, rung.BROADCAST, untagged, ordinary)]
    if port.port_security:
        for mac in sorted({pair.mac for pair in port.allowed_pairs} - {port.mac}):
            match = {**untagged, "eth_src": mac}
            senders.append((rung.PAIR_MAC, rung.PAIR_BROADCAST, match, learned))
    # What more than one may hear is counted by itself, and held. The meter is of this unit, or else
    # a switch could get the flow first, and would not take it.
    if (limit := broadcast_limit(view, port)) is not None:
        yield limit
    meter = broadcast_meter(view, port)
    for one, many, match, actions in senders:
        yield Flow(Table.CLASSIFY, one, match, actions)
        yield Flow(Table.CLASSIFY, many, {**match, "eth_dst": GROUP}, (*meter, *actions))
    out = (*sampled(view, port, INGRESS), *to_interface(plugged.ofport, vlan))
    to_port_key: Match = {NETWORK: network.key, OUT_PORT: port.key}
    yield Flow(Table.OUTPUT, OutputPriority.ORDINARY, to_port_key, out)
    if standby is None:
        to_port = (SetField(OUT_PORT, port.key), Goto(Table.FLOOD.next))
        reached: Match = {NETWORK: network.key, "eth_dst": port.mac}
        yield Flow(Table.L2_LOOKUP, L2LookupPriority.KNOWN, reached, to_port)
        return
    for words in _ANNOUNCEMENTS:
        told = (*known, Punt(MeterUse.PUNT.meter(port.key)), on)  # as the port's own meter allows
        yield Flow(Table.CLASSIFY, ClassifyPriority.MOVED_HERE, {**untagged, **words}, told)


_ANNOUNCEMENTS: tuple[Match, ...] = (
    {"eth_type": RARP},
    {"eth_type": ARP},
    {"eth_type": IPV6, "ip_proto": ICMPV6, "icmpv6_type": ADVERTISEMENT},
)
"""What a guest says where it has just begun to run: see ``packets.py``."""


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Where a network's broadcasts go: beyond the switch, then to its ports, part by part. What is
    for somebody unknown goes beyond the switch, too, and of the ports to those that learn.

    OVS itself never sends a copy back to where the packet came from.
    """
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return
    parts = sorted(
        map(flood_part, view.distinct(Binding, "part", switch=switch, network_id=network_id))
    )
    for out_port, numbers, nobody in (
        (0, parts, NOBODY_HEARS),
        (UNKNOWN, [LEARNERS | part for part in parts], UNKNOWN_DESTINATION),
    ):
        copies: list[Action] = []
        for number in (BY_WIRE, BY_TUNNEL, *numbers):
            copies += (SetField(FLOOD_PART, number), Resubmit(Table.FLOOD_PART))
        match: Match = {NETWORK: network.key, OUT_PORT: out_port}
        yield Flow(Table.FLOOD, OneRung.ORDINARY, match, (*copies, *drop(nobody)))


def compile_part(view: View, switch: int, part: str) -> Iterator[Flow]:
    """A copy for each port of a part; and for each of those that learn."""
    bound = [
        port for id in view.ids(Binding, switch=switch, part=part) if (port := view.get(Port, id))
    ]
    network = view.get(Network, part.partition("/")[0])
    if network is None:
        return
    heard = [port for port in bound if port.admin_state_up]
    limited = {port.key for port in heard if limits_what_enters(view, port.id)}
    learners = [port for port in heard if port.learns]
    for number, ports in ((flood_part(part), heard), (LEARNERS | flood_part(part), learners)):
        copies: list[Action] = []
        for key in sorted(port.key for port in ports):
            copies += (SetField(OUT_PORT, key), _ALONE if key in limited else _TO_PORT)
        if copies:
            match: Match = {NETWORK: network.key, FLOOD_PART: number}
            yield Flow(Table.FLOOD_PART, FloodPartPriority.COPIES, match, tuple(copies))


_TO_PORT, _ALONE = Resubmit(Table.FLOOD.next), Resubmit(Table.FLOOD_COPY)
