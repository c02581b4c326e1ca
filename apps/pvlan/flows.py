# SPDX-License-Identifier: Apache-2.0

"""Flows of private VLANs; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.pvlan.tables import (
    COMMUNITY,
    MIXED,
    OTHER_COMMUNITY,
    OTHER_COMMUNITY_BEYOND,
    PvlanPriority,
    PvlanSenderPriority,
)
from tenantry.apps.security_groups.tables import PortCtPriority
from tenantry.controller.model import Binding, Network, Port, Standby, View, derived
from tenantry.controller.network.routers import networks_on
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Actions, Flow, Goto, Match, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    FROM_WIRE_OR_TUNNEL,
    IN_PORT,
    LET_THROUGH,
    NETWORK,
    NO_TENANT,
    ORIGIN_PORT,
    OUT_PORT,
    RULE_DIRECTION,
    Table,
)

_TO_PORT: Actions = (
    *(SetField(RULE_DIRECTION, LET_THROUGH), Resubmit(Table.TO_PORT_CT)),
    SetField(RULE_DIRECTION, 0),  # of a flood, more copies follow
)


def private_networks(view: View, switch: int) -> frozenset[str]:
    """The networks with pvlan on a switch."""
    return frozenset(id for id in networks_on(view, switch) if _private(view, id))


def private_ports(view: View, switch: int) -> frozenset[str]:
    """The ports on a switch whose networks have pvlan, those that stand by among them."""
    private = private_networks(view, switch)
    bound = (view.ids(Binding, network_id=id, switch=switch) for id in private)
    standing_by = view.distinct(Standby, "port_id", switch=switch)
    return frozenset[str]().union(*bound, filter(lambda id: _is_private(view, id), standing_by))


def communities_beyond(view: View, switch: int) -> frozenset[str]:
    """The ports of communities, wherever they are, on networks of this switch."""
    return frozenset[str]().union(
        *(community_ports(view, network_id) for network_id in private_networks(view, switch))
    )


@derived
def _private(view: View, network_id: str) -> bool:
    network = view.get(Network, network_id)
    return network is not None and network.pvlan


@derived
def _is_private(view: View, port_id: str) -> bool:
    port = view.get(Port, port_id)
    return port is not None and _private(view, port.network_id)


@derived
def community_ports(view: View, network_id: str) -> frozenset[str]:
    """The ports of a network that are not promiscuous."""
    communities = view.distinct(Port, "community", network_id=network_id)
    return frozenset[str]().union(
        *(view.ids(Port, network_id=network_id, community=name) for name in communities)
    )


@derived
def community_key(view: View, network_id: str, community: str) -> int:
    """What COMMUNITY carries for a community of a network: the lowest key of its ports."""
    members = view.find(Port, network_id=network_id, community=community)
    return min((port.key for port in members), default=0)


@derived
def mac_key(view: View, network_id: str, mac: int) -> int:
    """The same for a MAC address, by the ports that may send from it."""
    names = {
        name
        for port in view.find(Port, network_id=network_id, community_macs=mac)
        for name in port.community
    }
    return community_key(view, network_id, names.pop()) if len(names) == 1 else MIXED


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What a port may not get."""
    yield Flow(Table.PVLAN, PvlanPriority.MISS, {}, drop(OTHER_COMMUNITY))


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """What is for somebody on the network is taken out here, before anybody else judges it."""
    network = view.get(Network, network_id)
    if network is None:
        return
    on: Match = {NETWORK: network.key}
    judged: Actions = (
        *(SetField(COMMUNITY, 0), Resubmit(Table.PVLAN_SENDER)),
        Goto(Table.PVLAN),
    )
    yield Flow(
        Table.TO_PORT_CT,
        PortCtPriority.PRIVATE,
        {**on, RULE_DIRECTION: (0, LET_THROUGH)},
        judged,
    )
    from_all: Match = {**on, COMMUNITY: 0}
    yield Flow(Table.PVLAN, PvlanPriority.FROM_PROMISCUOUS, from_all, _TO_PORT)
    yield Flow(Table.PVLAN, PvlanPriority.BEYOND, {**on, OUT_PORT: NO_TENANT}, _TO_PORT)


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port on this switch: of which community it is, and what it gets."""
    port = view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or network is None:
        return
    on: Match = {NETWORK: network.key}
    to_port: Match = {**on, OUT_PORT: port.key}
    for name in port.community:  # one, or none
        key = community_key(view, network.id, name)
        of_community = (SetField(COMMUNITY, key),)
        to_port[COMMUNITY] = key
        sender, rung = Table.PVLAN_SENDER, PvlanSenderPriority
        yield Flow(sender, rung.PORT, {**on, IN_PORT: port.key}, of_community)
        yield Flow(sender, rung.ORIGIN, {**on, ORIGIN_PORT: port.key}, of_community)
    yield Flow(Table.PVLAN, PvlanPriority.PORT, to_port, _TO_PORT)


def compile_beyond(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port of a community as others see it from another switch: by MAC address. What is routed
    comes there from the router's, so it is judged before it leaves, too."""
    port = view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or network is None:
        return
    for mac in sorted(port.community_macs):
        key = mac_key(view, network.id, mac)
        sent: Match = {NETWORK: network.key, IN_PORT: FROM_WIRE_OR_TUNNEL, "eth_src": mac}
        yield Flow(
            Table.PVLAN_SENDER, PvlanSenderPriority.BEYOND, sent, (SetField(COMMUNITY, key),)
        )
        for_it: Match = {NETWORK: network.key, OUT_PORT: NO_TENANT, "eth_dst": mac}
        if key != MIXED:
            same: Match = {**for_it, COMMUNITY: key}
            yield Flow(Table.PVLAN, PvlanPriority.SAME_COMMUNITY, same, _TO_PORT)
        other = drop(OTHER_COMMUNITY_BEYOND)
        yield Flow(Table.PVLAN, PvlanPriority.OTHER_COMMUNITY, for_it, other)
