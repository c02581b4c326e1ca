# SPDX-License-Identifier: Apache-2.0

"""Flows of health monitors; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.health.monitored import Asked, Target, balancers_monitored, target, targets
from tenantry.apps.health.tables import MONITORED, NOBODY_THERE, HealthPriority
from tenantry.apps.l2.tables import ClassifyPriority, L2LookupPriority
from tenantry.apps.punt.tables import TrapPriority
from tenantry.apps.service_port.tables import ServicePriority
from tenantry.controller.model import Binding, Interface, Network, Port, View, derived
from tenantry.controller.network.priorities import RoutePriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import active, gateway, gateways, networks_around
from tenantry.controller.network.tunnels import (
    SERVICE_TYPE,
    SERVICE_VNI,
    endpoint,
    service_peers,
    service_ports,
    service_switch,
    tunnel_port,
)
from tenantry.controller.network.whereabouts import next_hop, port_reached
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    CONTROLLER,
    Actions,
    Flow,
    Goto,
    Match,
    Move,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.masks import port_masks
from tenantry.controller.openflow.oxm import TUNNEL_ENDS
from tenantry.controller.openflow.pipeline import IN_PORT, NETWORK, ROUTER, TENANT, Table
from tenantry.controller.packets import frames
from tenantry.controller.packets.frames import IPV4, IPV6
from tenantry.controller.packets.own_addresses import (
    OWN_PROBE_PORTS,
    PROBE_PORTS,
    PROBED,
    SERVICE_MAC,
    SERVICE_PORT_ADDRESSES,
    SERVICE_PORT_MAC,
    probed,
)

ETH_TYPES = {4: IPV4, 6: IPV6}
_PORTS = {frames.TCP: "tcp", frames.UDP: "udp", frames.SCTP: "sctp"}
_ECHO_REPLY = {frames.ICMP: ("icmpv4_type", 0), frames.ICMPV6: ("icmpv6_type", 129)}
_PORT_UNREACHABLE: dict[int, Match] = {
    4: {"ip_proto": frames.ICMP, "icmpv4_type": 3, "icmpv4_code": 3},
    6: {"ip_proto": frames.ICMPV6, "icmpv6_type": 1, "icmpv6_code": 4},
}
(_FROM_PROBE_PORTS,) = port_masks(PROBE_PORTS[0], PROBE_PORTS[-1])


class Way(NamedTuple):
    """How a target is asked: on which ``switch`` the question begins, as if from ``port`` (the
    VIP's) on ``network``, for which MAC address; and on which switches answers are taken out:
    ``of_network`` those that come in their network, the VIP's own, else in the ``routers`` (keys)
    around it. ``leaves`` is the network where they leave the member's port, if it is one."""

    network: Network
    port: Port
    vip: int
    mac: int
    switch: int
    of_network: bool
    routers: tuple[int, ...]
    back_at: frozenset[int]
    leaves: Network | None


@derived
def way_to(view: View, id: str) -> Way | None:
    """The way to a target from its load balancer's network; None: there is none."""
    found = target(view, id)
    if found is None:
        return None
    balancer, one = found
    network, port = view.get(Network, balancer.vip_network_id), view.get(Port, balancer.vip_port_id)
    vip = next((ip.address for ip in balancer.vips if ip.version == one.version), None)
    if network is None or port is None or vip is None or not network.admin_state_up:
        return None
    mac = next_hop(view, network.id, one.version, one.address)
    if mac is None:
        return None
    _, around = networks_around(view, network.id, "")
    routers = [record for router_id in sorted(around) if (record := view.get(Router, router_id))]
    keys = tuple(router.key for router in routers)
    member = port_reached(view, network.id, one.version, one.address)
    if member is not None:
        binding, leaves = view.get(Binding, member.id), view.get(Network, member.network_id)
        if binding is None or leaves is None or not member.admin_state_up:
            return None
        at, of_network = binding.switch, leaves.id == network.id
        return Way(
            *(network, port, vip, mac, at, of_network, keys),
            back_at=frozenset({at}),
            leaves=leaves,
        )
    out = [router for router in routers if gateway(view, router.id) is not None]
    starts = [switch for router in out if (switch := active(view, router.id)) is not None]
    if not starts:
        return None
    back_at = frozenset[int]().union(*(gateways(view, router.id) for router in out))
    return Way(*(network, port, vip, mac, starts[0], False, keys), back_at=back_at, leaves=None)


@derived
def targets_at(view: View, balancer_id: str) -> frozenset[tuple[int, str]]:
    """The targets of a load balancer that concern a switch, with the switch."""
    found: set[tuple[int, str]] = set()
    home = service_switch(view)
    for one in targets(view, balancer_id):
        way = way_to(view, one.id)
        if way is not None and home is not None:
            found |= {(switch, one.id) for switch in {home, way.switch, *way.back_at}}
    return frozenset(found)


def targets_on(view: View, switch: int) -> frozenset[str]:
    """Those that concern a switch."""
    every = (targets_at(view, id) for id in balancers_monitored(view))
    return frozenset(id for some in every for at, id in some if at == switch)


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Out of the service port, or the tunnel from it, and back into it: the same for everybody."""
    yield Flow(Table.HEALTH, HealthPriority.MISS, {}, drop(NOBODY_THERE))
    if not balancers_monitored(view):
        return
    own = view.find(Interface, service=True, switch=switch)
    for version, eth_type in ETH_TYPES.items():
        is_probe: Match = {"eth_type": eth_type, f"ipv{version}_dst": PROBED[version]}
        for entry in _entries(view, switch):
            match = {**entry, **is_probe}
            yield Flow(Table.CLASSIFY, ClassifyPriority.PROBE, match, (Goto(Table.HEALTH),))
        for interface in own[:1]:
            answer: Match = {
                "eth_type": eth_type,
                f"ipv{version}_src": PROBED[version],
                f"ipv{version}_dst": SERVICE_PORT_ADDRESSES[version],
            }
            out = (Output(interface.ofport),)
            yield Flow(Table.SERVICE, ServicePriority.PROBE_REPLY, answer, out)


def _entries(view: View, switch: int) -> Iterator[Match]:
    """By which port of a switch probes come: from here, or from the one switch that sends them."""
    own = view.find(Interface, service=True, switch=switch)
    if own:
        yield {"in_port": own[0].ofport, "vlan_vid": 0}
        return
    for peer in sorted(service_peers(view, switch)):
        if (end := endpoint(view, peer)) is not None:
            source, _ = TUNNEL_ENDS[end.version]
            for port in sorted(service_ports(view, switch, end)):
                yield {"in_port": port, "tunnel_id": SERVICE_VNI, source: end.address}


def compile_target(view: View, switch: int, id: str) -> Iterator[Flow]:
    """To a target, and its answers back."""
    found, way, home = target(view, id), way_to(view, id), service_switch(view)
    if found is None or way is None or home is None:
        return
    _, one = found
    asked: Match = {
        "eth_type": ETH_TYPES[one.version],
        f"ipv{one.version}_dst": probed(one.version, one.key),
    }
    if switch == way.switch:
        for protocol in sorted({each.protocol for each in one.asked}):
            match = {**asked, "ip_proto": protocol}
            begin = (*_port(protocol, "src", PROBE_PORTS), *_begin(one, way))
            yield Flow(Table.HEALTH, HealthPriority.MEMBER, match, begin)
    elif switch == home and (there := _through_tunnel(view, switch, way.switch)):
        yield Flow(Table.HEALTH, HealthPriority.MEMBER, asked, there)
    if switch in way.back_at and (back := _to_service_port(view, switch, home)):
        yield from _answers(one, way, (*_as_answer(one), *back))


def _port(protocol: int, end: str, ports: range) -> Actions:
    """One of these ports, for one of the others: the lower octets are the same."""
    if protocol not in _PORTS:
        return ()
    return (
        SetField(MONITORED, ports[0] >> 8),
        Move(MONITORED, f"{_PORTS[protocol]}_{end}", 8, 0, 8),
    )


def _begin(one: Target, way: Way) -> Actions:
    """In the tenant's network, as if it came from the VIP."""
    version = one.version
    return (
        *(SetField(NETWORK, way.network.key), SetField(IN_PORT, way.port.key)),
        *(SetField("eth_src", way.port.mac), SetField("eth_dst", way.mac)),
        *(SetField(f"ipv{version}_src", way.vip), SetField(f"ipv{version}_dst", one.address)),
        *(CLEAR_IN_PORT, Goto(Table.ROUTER_ADMIT)),
    )


def _through_tunnel(view: View, switch: int, other: int) -> Actions:
    port, end = tunnel_port(view, switch, SERVICE_TYPE), endpoint(view, other)
    if port is None or end is None or endpoint(view, switch) is None:
        return ()
    to = SetField(TUNNEL_ENDS[end.version][1], end.address)
    return (to, SetField("tunnel_id", SERVICE_VNI), CLEAR_IN_PORT, Output(port))


def _to_service_port(view: View, switch: int, home: int) -> Actions:
    if switch != home:
        return _through_tunnel(view, switch, home)
    own = view.find(Interface, service=True, switch=switch)
    return (Output(own[0].ofport),) if own else ()


def _as_answer(one: Target) -> Actions:
    version = one.version
    return (
        SetField(f"ipv{version}_src", probed(version, one.key)),
        SetField(f"ipv{version}_dst", SERVICE_PORT_ADDRESSES[version]),
        *(SetField("eth_src", SERVICE_MAC), SetField("eth_dst", SERVICE_PORT_MAC)),
    )


def _answers(one: Target, way: Way, back: Actions) -> Iterator[Flow]:
    """What a target says to the VIP that is an answer: by the port that was asked, and those from
    which the controller asks."""
    ends: Match = {
        "eth_type": ETH_TYPES[one.version],
        f"ipv{one.version}_src": one.address,
        f"ipv{one.version}_dst": way.vip,
    }
    told = (SetField(MONITORED, one.key), Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))
    answers: list[tuple[Match, Actions]] = []
    for asked in one.asked:
        if asked.protocol != frames.UDP:
            own = _port(asked.protocol, "dst", OWN_PROBE_PORTS)
            answers.append(({**ends, **_answer(asked)}, (*own, *back)))
    if any(asked.protocol == frames.UDP for asked in one.asked):
        # What a datagram is answered is nobody's business: that it is not refused is enough.
        answers.append(({**ends, **_PORT_UNREACHABLE[one.version]}, told))
    for match, actions in answers:
        if way.leaves is not None:
            here: Match = {NETWORK: way.leaves.key, IN_PORT: TENANT, **match}
            on = (Goto(Table.TRAP.next),)
            yield Flow(Table.TRAP, TrapPriority.PROBE_REPLY, here, on)
        if way.of_network:
            on_link: Match = {NETWORK: way.network.key, **match}
            yield Flow(Table.L2_LOOKUP, L2LookupPriority.PROBE_REPLY, on_link, actions)
        else:
            for key in way.routers:
                routed: Match = {ROUTER: key, **match}
                yield Flow(Table.ROUTE, RoutePriority.PROBE_REPLY, routed, actions)


def _answer(asked: Asked) -> Match:
    if asked.protocol in _ECHO_REPLY:
        kind, reply = _ECHO_REPLY[asked.protocol]
        return {"ip_proto": asked.protocol, kind: reply}
    name = _PORTS[asked.protocol]
    return {
        "ip_proto": asked.protocol,
        f"{name}_src": asked.port,
        f"{name}_dst": _FROM_PROBE_PORTS,
    }
