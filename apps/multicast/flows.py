# SPDX-License-Identifier: Apache-2.0

"""Flows of multicast; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.l2.tables import BY_WIRE
from tenantry.apps.multicast.packets import IGMP, MLD2_REPORT, MLD_DONE, MLD_QUERY, MLD_REPORT
from tenantry.apps.multicast.records import EVERY_GROUP, Asked, Membership
from tenantry.apps.multicast.tables import NOBODY_ASKED, MulticastPriority
from tenantry.apps.punt.tables import TrapPriority
from tenantry.apps.qos.records import limits_what_enters
from tenantry.controller.model import Address, Binding, Network, Option, Port, View, derived
from tenantry.controller.network.routers import networks_on
from tenantry.controller.network.tunnels import endpoint, tunneled
from tenantry.controller.network.wires import wires
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    Action,
    Actions,
    Flow,
    Goto,
    Match,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.oxm import TUNNEL_ENDS
from tenantry.controller.openflow.pipeline import (
    FLOOD_PART,
    FROM_WIRE_OR_TUNNEL,
    IN_PORT,
    NETWORK,
    OUT_PORT,
    TENANT,
    TUNNEL,
    Table,
    flood_part,
)
from tenantry.controller.packets.frames import ICMPV6, IPV4, IPV6

SNOOPING = "multicast_snooping"
"""The Option: not 0, if there is snooping."""

MOST_COPIES = 1000
"""Members of a group on one switch. Where there are more, all of the network's ports there get it:
a flow must fit 64 KiB."""

_NOBODY = drop(NOBODY_ASKED)
_ON = (Goto(Table.MULTICAST.next),)
_OF_LINK: list[Match] = [  # RFC 4541, 2.1.2; RFC 4291, 2.7: whose scope is no more than the link
    {"eth_type": IPV4, "ipv4_dst": (0xE0000000, 0xFFFFFF00)},
    {"eth_type": IPV6, "ipv6_dst": (0xFF00 << 112, 0xFF0E << 112)},
    {"eth_type": IPV6, "ipv6_dst": (0xFF02 << 112, 0xFF0F << 112)},
]
_GROUPS: dict[int, Match] = {
    4: {"eth_type": IPV4, "ipv4_dst": (0xE0000000, 0xF0000000)},
    6: {"eth_type": IPV6, "ipv6_dst": (0xFF << 120, 0xFF << 120)},
}
_IGMP: Match = {"eth_type": IPV4, "ip_proto": IGMP}
_MLD: Match = {"eth_type": IPV6, "ip_proto": ICMPV6}


@derived
def snooping(view: View) -> bool:
    option = view.get(Option, SNOOPING)
    return option is not None and bool(option.value)


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What everybody hears, and what the controller hears of it: as much as a port may punt."""
    if not snooping(view):
        return
    for match in _OF_LINK:
        yield Flow(Table.MULTICAST, MulticastPriority.OF_LINK, match, _ON)
    copied = (Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER), Goto(Table.TRAP.next))
    kinds = (MLD_QUERY, MLD_REPORT, MLD_DONE, MLD2_REPORT)
    for said in (_IGMP, *({**_MLD, "icmpv6_type": kind} for kind in kinds)):
        yield Flow(Table.TRAP, TrapPriority.TRAPPED, {IN_PORT: TENANT, **said}, copied)


def snooped_networks(view: View, switch: int) -> frozenset[str]:
    return networks_on(view, switch) if snooping(view) else frozenset()


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """What nobody wants, or what says that somebody wants it, goes to those who want everything."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return
    here: Match = {NETWORK: network.key}
    reports: dict[int, Match] = {4: _IGMP, 6: {**_MLD, "icmpv6_type": MLD_REPORT}}
    for version, every in EVERY_GROUP.items():
        beyond, locally = _copies(view, switch, network, every)
        match = {**here, **_GROUPS[version]}
        yield from _flows(MulticastPriority.UNASKED, match, beyond, locally)
        # Hosts that hear another's report keep their own to themselves (RFC 4541, 2.1.1).
        said: Match = {**here, IN_PORT: TENANT, **reports[version]}
        yield Flow(Table.MULTICAST, MulticastPriority.REPORT, said, beyond + locally + _NOBODY)
    for member in view.find(Membership, network_id=network_id, group=EVERY_GROUP[4]):
        port = view.get(Port, member.port_id)
        if port is not None:
            # Its questions about a group look like reports, and are for the members.
            said = {**here, IN_PORT: port.key, **_IGMP}
            yield Flow(Table.MULTICAST, MulticastPriority.FROM_ROUTER, said, _ON)


@derived
def groups_on(view: View, switch: int) -> frozenset[tuple[str, Address]]:
    """The groups that somebody wants, of networks on a switch, each with its network."""
    return frozenset(
        (network_id, group)
        for network_id in snooped_networks(view, switch)
        for group in view.distinct(Membership, "group", network_id=network_id)
        if group not in EVERY_GROUP.values()
    )


def groups(view: View, switch: int) -> frozenset[str]:
    return frozenset(
        f"{id}/{group.version}/{group.address:x}" for id, group in groups_on(view, switch)
    )


def compile_group(view: View, switch: int, id: str) -> Iterator[Flow]:
    """A group goes to those who want it, and to those who want everything."""
    network_id, version, address = id.split("/")
    network, group = view.get(Network, network_id), Address(int(version), int(address, 16))
    if network is not None and network.admin_state_up:
        field = "ipv4_dst" if group.version == 4 else "ipv6_dst"
        match = {NETWORK: network.key, **_GROUPS[group.version], field: group.address}
        beyond, locally = _copies(view, switch, network, group)
        yield from _flows(MulticastPriority.GROUP, match, beyond, locally)


def _flows(priority: int, match: Match, beyond: Actions, locally: Actions) -> Iterator[Flow]:
    """The switch that it starts from copies it to others; those that have it from there do not."""
    if beyond:
        from_beyond: Match = {**match, IN_PORT: FROM_WIRE_OR_TUNNEL}
        yield Flow(Table.MULTICAST, priority, from_beyond, locally + _NOBODY)
        match = {**match, IN_PORT: TENANT}
    yield Flow(Table.MULTICAST, priority, match, beyond + locally + _NOBODY)


def _copies(view: View, switch: int, network: Network, group: Address) -> tuple[Actions, Actions]:
    """The copies to other switches by tunnel; those to the wire, and to ports here."""
    beyond: list[Action] = []
    for other in sorted(tunneled(view, switch, network.id)):
        address = endpoint(view, other)
        if address is not None and wanted_on(view, other, network.id, group) != frozenset():
            end = SetField(TUNNEL_ENDS[address.version][1], address.address)
            beyond += (end, SetField(OUT_PORT, TUNNEL), Resubmit(Table.FLOOD.next))
    locally: list[Action] = []
    if wires(view, switch, network):  # there may be a router
        locally += (SetField(FLOOD_PART, BY_WIRE), Resubmit(Table.FLOOD_PART))
    ports = wanted_on(view, switch, network.id, group)
    if ports is None or len(ports) > MOST_COPIES:
        parts = view.distinct(Binding, "part", switch=switch, network_id=network.id)
        for number in sorted(map(flood_part, parts)):
            locally += (SetField(FLOOD_PART, number), Resubmit(Table.FLOOD_PART))
    else:
        for key in sorted(ports):
            limited = any(limits_what_enters(view, port.id) for port in view.find(Port, key=key))
            to_port = Table.FLOOD_COPY if limited else Table.FLOOD.next
            locally += (SetField(OUT_PORT, key), Resubmit(to_port))
    return tuple(beyond), tuple(locally)


@derived
def wanted_on(view: View, switch: int, network_id: str, group: Address) -> frozenset[int] | None:
    """The keys of the ports on a switch that want a group; None: any may, as nobody has said."""
    if view.get(Asked, switch) is None:
        return None
    keys = set()
    for one in {group, EVERY_GROUP[group.version]}:
        for member in view.find(Membership, network_id=network_id, group=one):
            binding, port = view.get(Binding, member.port_id), view.get(Port, member.port_id)
            if binding is not None and port is not None and binding.switch == switch:
                keys.add(port.key)
    return frozenset(keys)
