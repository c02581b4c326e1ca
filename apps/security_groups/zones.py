# SPDX-License-Identifier: Apache-2.0

"""In which zone of connection tracking a packet is looked up at a port.

That follows from the port's network and the packet's other address, never from the way between
them: a connection whose question goes by a router, and whose answer comes directly or by another
router, is one connection. There are two kinds of zones:

* With the addresses of its own subnets, a port talks in the zone of its network. So no router that
  comes or goes ends a connection there.
* With all others it talks in one zone for all networks that routers join: that of the router with
  the lowest key. Both ends of a routed packet find the same zone, and it is looked up once.

Addresses of networks that routers join do not overlap, so none is two things in a zone. Gateways
join nothing: beyond an external network there are others' addresses.
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.security_groups.tables import (
    ENTERING,
    LEAVING,
    SUBJECT_IDENTITY,
    TRACKED,
    ZONE,
    TrackPriority,
    ZonesPriority,
)
from tenantry.controller.model import Network, Subnet, View
from tenantry.controller.network.conntrack import INVALID
from tenantry.controller.network.priorities import JudgePriority
from tenantry.controller.network.routers import routing_domain
from tenantry.controller.openflow.flow import (
    Actions,
    Ct,
    Flow,
    Goto,
    Match,
    Move,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.pipeline import NETWORK, RULE_DIRECTION, Table
from tenantry.controller.packets.addresses import LINK_LOCAL, prefix_value
from tenantry.controller.packets.frames import IPV4, IPV6

_OWN: Actions = (SetField(ZONE, Zone.BRIDGED), Move(NETWORK, ZONE, 15))
_MULTICAST = (1 << 40, 1 << 40)
_FAR_ENDS = ((LEAVING, "dst"), (ENTERING, "src"))


def zone_of(way: tuple[int, int]) -> Actions:
    """Find the ZONE of a packet that leaves the port, or enters it."""
    return (SetField(RULE_DIRECTION, way[0]), Resubmit(Table.ZONES))


def compile_common() -> Iterator[Flow]:
    """What is the same for all networks. One that no router joins to others has but one zone."""
    yield Flow(Table.ZONES, ZonesPriority.MISS, {}, _OWN)
    yield Flow(
        Table.ZONES, ZonesPriority.ON_LINK, {RULE_DIRECTION: LEAVING, "eth_dst": _MULTICAST}, _OWN
    )
    for way, end in _FAR_ENDS:
        on_link: Match = {RULE_DIRECTION: way, "eth_type": IPV6, f"ipv6_{end}": LINK_LOCAL}
        yield Flow(Table.ZONES, ZonesPriority.ON_LINK, on_link, _OWN)
    yield Flow(Table.ZONES, ZonesPriority.ANY_FURTHER, {RULE_DIRECTION: 0}, (SetField(ZONE, 0),))
    # What is of no connection on the link may be of one that goes further: a neighbour's error, for
    # such come from anywhere on the way; the answer of a machine that was asked at another port.
    for table in (Table.FROM_PORT_ACL, Table.TO_PORT_ACL):
        further = (SetField(RULE_DIRECTION, 0), Resubmit(Table.ZONES), Ct(str(ZONE), table))
        for eth_type in (IPV4, IPV6):
            unknown: Match = {
                SUBJECT_IDENTITY: (TRACKED, TRACKED),
                ZONE: (Zone.BRIDGED, Zone.BRIDGED),
                "ct_state": INVALID,
                "eth_type": eth_type,
            }
            yield Flow(table, JudgePriority.OTHER_ZONE, unknown, further)


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """The zones of a network."""
    network = view.get(Network, network_id)
    if network is None:
        return
    yield _known(Zone.bridged(network.key))
    router_key = routing_domain(view, network_id)
    if router_key is None:
        return
    zone = Zone.routed(router_key)
    yield _known(zone)
    here: Match = {NETWORK: network.key}
    yield Flow(Table.ZONES, ZonesPriority.ROUTED, here, (SetField(ZONE, zone),))
    # By the packet's own fields, for which the datapath need not tell each address apart.
    for subnet in view.find(Subnet, network_id=network_id):
        for way, end in _FAR_ENDS if subnet.prefix_length else ():
            name = f"ipv{subnet.version}_{end}"
            prefix = prefix_value(subnet.version, subnet.first, subnet.prefix_length)
            match: Match = {RULE_DIRECTION: way, "eth_type": IPV4 if subnet.version == 4 else IPV6}
            yield Flow(Table.ZONES, ZonesPriority.ON_LINK, {**here, **match, name: prefix}, _OWN)


def _known(zone: int) -> Flow:
    """What was looked up in this zone where it came from need not be again."""
    match: Match = {SUBJECT_IDENTITY: (TRACKED, TRACKED), ZONE: zone, "ct_zone": zone}
    return Flow(Table.TO_PORT_TRACK, TrackPriority.SAME_ZONE, match, (Goto(Table.TO_PORT_ACL),))
