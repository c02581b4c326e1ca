# SPDX-License-Identifier: Apache-2.0

"""Flows of overlays: the way between a network and the tunnels that carry it."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.l2.tables import (
    BY_TUNNEL,
    BY_WIRE,
    ClassifyPriority,
    FloodPartPriority,
    L2LookupPriority,
    OutputPriority,
)
from tenantry.controller.model import Address, Network, View, derived
from tenantry.controller.network.failover import TOWARDS_GATEWAY, group_id, preferred_over
from tenantry.controller.network.learning import (
    LEARNED_PER_NETWORK,
    learn_source,
    plugged_in,
    ports_beyond,
)
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import gateways, networks_on, router_interfaces
from tenantry.controller.network.tunnels import (
    by_tunnel,
    endpoint,
    health_port,
    tunnel_of,
    tunnel_port,
    tunneled,
)
from tenantry.controller.openflow.flow import (
    Action,
    Actions,
    Bucket,
    Failover,
    Flow,
    Goto,
    Group,
    Item,
    Match,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.oxm import TUNNEL_ENDS
from tenantry.controller.openflow.pipeline import (
    FLOOD_PART,
    IN_PORT,
    NETWORK,
    OUT_PORT,
    PHYSICAL,
    TO_GATEWAY,
    TUNNEL,
    Table,
)


@derived
def networks_carried(view: View, switch: int) -> frozenset[str]:
    """The networks on a switch that tunnels carry."""
    if endpoint(view, switch) is None:
        return frozenset()
    return frozenset(id for id in networks_on(view, switch) if tunnel_of(view, id))


def carried_ports(view: View, switch: int) -> frozenset[str]:
    """The ports of those networks that are plugged in elsewhere."""
    return ports_beyond(view, switch, networks_carried(view, switch))


def _to(address: Address) -> SetField:
    """Where a tunnel leads."""
    return SetField(TUNNEL_ENDS[address.version][1], address.address)


def compile_network(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Out of a tunnel and into one, and a copy of each broadcast for every switch with ports."""
    network, by, here = _carrier(view, switch, network_id)
    if network is None or by is None or here is None:
        return
    port, vni = by
    begins, leads = TUNNEL_ENDS[here.version]
    yield Flow(
        Table.CLASSIFY,
        ClassifyPriority.ORDINARY,
        {"in_port": port, "tunnel_id": vni},
        (
            *(SetField(NETWORK, network.key), SetField(IN_PORT, TUNNEL)),
            learn_source(network, TUNNEL, (leads, begins), limit=LEARNED_PER_NETWORK),
            Goto(Table.CLASSIFY.next),
        ),
    )
    into: Actions = (SetField("tunnel_id", vni), Output(port))
    yield Flow(
        Table.OUTPUT, OutputPriority.ORDINARY, {NETWORK: network.key, OUT_PORT: TUNNEL}, into
    )
    copies: list[Action] = []
    for other in sorted(tunneled(view, switch, network_id)):
        address = endpoint(view, other)
        if address is not None:
            copies += (_to(address), SetField(OUT_PORT, TUNNEL), Resubmit(Table.FLOOD.next))
    part: Match = {NETWORK: network.key, FLOOD_PART: BY_TUNNEL}
    if copies:
        yield Flow(Table.FLOOD_PART, FloodPartPriority.COPIES, part, tuple(copies))
    # Who had it from a wire, or from a tunnel, is not the one to copy it into the other: the switch
    # that it started from has done so.
    yield Flow(Table.FLOOD_PART, FloodPartPriority.COPIED_ALREADY, {**part, IN_PORT: PHYSICAL}, ())
    yield Flow(Table.FLOOD_PART, FloodPartPriority.COPIED_ALREADY, {**part, IN_PORT: TUNNEL}, ())
    onto_wire: Match = {NETWORK: network.key, FLOOD_PART: BY_WIRE, IN_PORT: TUNNEL}
    yield Flow(Table.FLOOD_PART, FloodPartPriority.COPIED_ALREADY, onto_wire, ())


def _carrier(
    view: View, switch: int, network_id: str
) -> tuple[Network | None, tuple[int, int] | None, Address | None]:
    """A network, its tunnel port on a switch with the VNI, and the switch's own end."""
    network, how = view.get(Network, network_id), tunnel_of(view, network_id)
    if network is None or how is None or not network.admin_state_up:
        return None, None, None
    port = tunnel_port(view, switch, how[0])
    return network, None if port is None else (port, how[1]), endpoint(view, switch)


def compile_beyond(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """A port that is bound to another switch is reached by a tunnel to its host."""
    if (found := plugged_in(view, port_id)) is None:
        return
    binding, port, network = found
    there = endpoint(view, binding.switch)
    if there is not None and by_tunnel(view, switch, binding.switch, network.id):
        yield Flow(
            Table.L2_LOOKUP,
            L2LookupPriority.KNOWN,
            {NETWORK: network.key, "eth_dst": port.mac},
            (_to(there), SetField(OUT_PORT, TUNNEL), Goto(Table.FLOOD.next)),
        )


def compile_router(view: View, switch: int, router_id: str) -> Iterator[Item]:
    """What is for a router's gateway goes to the first of those before this switch that is there;
    if nobody can tell which are, to the first."""
    router = view.get(Router, router_id)
    before = preferred_over(view, switch, router_id)
    if router is None:
        return
    ends = [(other, end) for other in before if (end := endpoint(view, other)) is not None]
    for leg in router_interfaces(view, router_id):
        network, by, _ = _carrier(view, switch, leg.network.id)
        if network is None or by is None or leg.gateway or not ends:
            continue
        port, vni = by
        group = group_id(router, TOWARDS_GATEWAY, leg.port.key)
        into: Actions = (SetField("tunnel_id", vni),)
        to_first = (_to(ends[0][1]), Output(port))
        if len(gateways(view, router_id)) > 1:
            buckets = [
                Bucket(watch, (_to(end), Output(port)))
                for other, end in ends
                if (watch := health_port(view, switch, other)) is not None
            ]
            yield Failover(group, (*buckets, Bucket(port, to_first)))
            into += (Group(group),)
        else:
            into += to_first
        match: Match = {NETWORK: network.key, OUT_PORT: TO_GATEWAY, "eth_dst": leg.port.mac}
        yield Flow(Table.OUTPUT, OutputPriority.TO_GATEWAY, match, into)
