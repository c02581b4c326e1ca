# SPDX-License-Identifier: Apache-2.0

"""Flows of NAT; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tenantry.apps.arp_nd.tables import NeighboursPriority
from tenantry.apps.nat.forwarded import PROTOCOLS, forwarded, forwarded_replies
from tenantry.apps.nat.records import ConntrackHelper, NdpProxy, PortForwarding
from tenantry.apps.nat.tables import (
    NOT_PROXIED,
    OLD_CONNECTION,
    RouterNatDonePriority,
    RouterNatInDonePriority,
    RouterNatInPriority,
    RouterNatOutPriority,
    RouterNatReplyPriority,
    RouterSourcePriority,
)
from tenantry.controller.model import Network, Port, View, derived
from tenantry.controller.network.conntrack import ERRORS_4
from tenantry.controller.network.failover import is_ha_gateway, is_primary, reply_flows
from tenantry.controller.network.priorities import RouterAdmitPriority
from tenantry.controller.network.records import FloatingIp, Router
from tenantry.controller.network.router_entry import (
    CLEAR_CONNTRACK,
    enter_router,
    entry_flows,
    for_itself,
    leave_by_gateway,
)
from tenantry.controller.network.routers import (
    LOAD_BALANCER,
    RouterInterface,
    gateway,
    gateways,
    networks_on,
    own_gateway_address,
    router_interfaces,
    routers_on,
    scope,
    shared_snat_address,
    translating_switches,
)
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    CT_NEW,
    CT_RELATED,
    CT_TRACKED,
    Actions,
    Ct,
    Flow,
    Goto,
    Match,
    Nat,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.oxm import FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    FLAGS,
    FLOATING,
    FROM_NETWORKS,
    GATEWAY_HERE,
    INSIDE,
    MAC,
    NAT,
    NETWORK,
    OUT_PORT,
    OUTSIDE,
    PUNT_REASON,
    ROUTED,
    ROUTER,
    SOURCE,
    TRANSLATE,
    TRANSLATED,
    UNPROVEN,
    Table,
)
from tenantry.controller.packets.addresses import mapped, prefix_value
from tenantry.controller.packets.frames import IPV4, IPV6

ARRIVING, LEAVING = 1, 2
"""PUNT_REASON: an ICMP error whose destination, or whose source, was a floating IP's."""

SHARED_PORTS = (1024, 65535)

_IPV4: Match = {"eth_type": IPV4}


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What quotes a packet that a floating IP's translation has changed; and fragments that became
    something else than what they should, by a connection from before a floating IP moved."""
    unproven: Match = {NAT: UNPROVEN}
    old = drop(OLD_CONNECTION)
    yield Flow(Table.ROUTER_NAT_IN_DONE, RouterNatInDonePriority.UNPROVEN, unproven, old)
    yield Flow(Table.ROUTER_NAT_DONE, RouterNatDonePriority.UNPROVEN, unproven, old)
    punt: Actions = (Resubmit(Table.PUNT_LIMIT), Output(CONTROLLER))
    for error in ERRORS_4:
        arriving = {**error, NAT: TRANSLATE, "ct_state": (0, CT_TRACKED)}
        yield Flow(
            Table.ROUTER_NAT_IN_DONE,
            RouterNatInDonePriority.ERROR,
            arriving,
            (SetField(PUNT_REASON, ARRIVING), *punt),
        )
        for nat in (TRANSLATE, TRANSLATED):
            leaving = {**error, NAT: nat, SOURCE: FLOATING}
            actions = (SetField(PUNT_REASON, LEAVING), *punt)
            yield Flow(Table.ROUTER_NAT_DONE, RouterNatDonePriority.ERROR, leaving, actions)


# --- floating IPs ----------------------------------------------------------------------------


@derived
def floating_ips_of(view: View, router_id: str) -> frozenset[str]:
    """The floating IPs that lead through a router."""
    return view.ids(FloatingIp, router_id=router_id)


@derived
def floating_ips_at(view: View, network_id: str) -> frozenset[str]:
    """The floating IPs of an external network."""
    return view.ids(FloatingIp, network_id=network_id)


def floating_ips_on(view: View, switch: int) -> frozenset[str]:
    """The floating IPs that packets can meet on a switch."""
    routers = (floating_ips_of(view, router_id) for router_id in routers_on(view, switch))
    networks = (floating_ips_at(view, network_id) for network_id in networks_on(view, switch))
    return frozenset[str]().union(*routers, *networks)


def compile_floating(view: View, switch: int, id: str) -> Iterator[Flow]:
    """One floating IP: who has it, for all who ask; and its translation, where that happens."""
    floating = view.get(FloatingIp, id)
    if floating is None:
        return
    outside = view.get(Network, floating.network_id)
    port = view.get(Port, floating.port_id)
    router = view.get(Router, floating.router_id) if floating.router_id else None
    if outside is None or port is None or router is None or not router.admin_state_up:
        return
    leg = gateway(view, router.id)
    if leg is None or not outside.admin_state_up:
        return
    here = switch in translating_switches(view, floating)
    answer = (SetField(OUT_PORT, ROUTED),) if here else ()
    asked: Match = {NETWORK: outside.key, ADDRESS: mapped(4, floating.address)}
    yield Flow(Table.NEIGHBOURS, NeighboursPriority.ROW, asked, (SetField(MAC, port.mac), *answer))
    if here:
        if translating_switches(view, floating) == (switch,):
            admit: Match = {NETWORK: outside.key, "eth_dst": port.mac}
            yield Flow(
                Table.ROUTER_ADMIT, RouterAdmitPriority.TO_ROUTER, admit, enter_router(router, leg)
            )
        else:
            yield from entry_flows(view, switch, router, leg, port.mac)
            yield from reply_flows(view, switch, router, [port.mac])
    if floating.fixed_port_id:
        yield from _to_fixed(view, switch, floating, router, here)
        if here:
            yield from _from_fixed(floating, router, port, outside)
    elif here:
        # Ports are forwarded; to a ping the router answers itself.
        own: Match = {ROUTER: router.key, **_IPV4, "ipv4_dst": floating.address}
        yield from for_itself(router, own)


def _to_fixed(
    view: View, switch: int, floating: FloatingIp, router: Router, here: bool
) -> Iterator[Flow]:
    """What comes for a floating IP."""
    at_home, stands = is_primary(view, switch, router.id), is_ha_gateway(view, switch, router.id)
    router_ipv4: Match = {ROUTER: router.key, **_IPV4}
    to_fixed: Actions = (
        *(SetField("ipv4_dst", floating.fixed_address), SetField(NAT, TRANSLATE), *CLEAR_CONNTRACK),
        Goto(Table.ROUTER_NAT_IN.next),
    )
    # Plain actions would put a checksum right in each fragment, and only the first has one.
    zone, proven = Zone.forwarded(router.key), (SetField(NAT, TRANSLATE), *CLEAR_CONNTRACK)
    dst = Nat("dst", floating.fixed_address)
    gathered: Actions = (
        *(SetField(NAT, UNPROVEN), *CLEAR_CONNTRACK),
        Ct(zone, Table.ROUTER_NAT_IN_DONE, dst, commit=True),
    )
    to_floating_ip: Match = {**router_ipv4, "ipv4_dst": floating.address}
    rung = RouterNatInPriority
    rungs = (rung.FLOATING, rung.FLOATING_FRAGMENT)
    taken = [(rungs, to_floating_ip)]
    if not at_home:
        # Others' packets go to the router's home first, for there their sources are translated.
        port = view.get(Port, floating.fixed_port_id)
        balanced = port is not None and port.device_owner == LOAD_BALANCER
        sources = [OUTSIDE] if here else []
        if not balanced:
            sources.append(FLOATING)
        else:  # whoever asks, the active gateway knows the connection
            inside: Match = {**to_floating_ip, SOURCE: FROM_NETWORKS, FLAGS: (0, GATEWAY_HERE)}
            leave = leave_by_gateway(view, switch, router)
            yield Flow(Table.ROUTER_NAT_IN, rung.BALANCED, inside, leave)
        taken = [(rungs, {**to_floating_ip, SOURCE: source}) for source in sources]
        if stands:
            at_gateway: Match = {**to_floating_ip, FLAGS: (GATEWAY_HERE, GATEWAY_HERE)}
            taken.append(((rung.AT_GATEWAY, rung.GATEWAY_FRAGMENT), at_gateway))
    for (priority, of_fragments), match in taken:
        yield Flow(Table.ROUTER_NAT_IN, priority, match, to_fixed)
        cut: Match = {**match, "ip_frag": FRAGMENT}
        yield Flow(Table.ROUTER_NAT_IN, of_fragments, cut, gathered)
    done = Goto(Table.ROUTER_NAT_IN_DONE.next)
    unproven: Match = {**router_ipv4, NAT: UNPROVEN, "ipv4_dst": floating.fixed_address}
    yield Flow(
        Table.ROUTER_NAT_IN_DONE, RouterNatInDonePriority.FLOATING, unproven, (*proven, done)
    )


def _from_fixed(
    floating: FloatingIp, router: Router, port: Port, outside: Network
) -> Iterator[Flow]:
    """What leaves as a floating IP."""
    router_ipv4: Match = {ROUTER: router.key, **_IPV4}
    zone, proven = Zone.forwarded(router.key), (SetField(NAT, TRANSLATE), *CLEAR_CONNTRACK)
    from_fixed_ip: Match = {**router_ipv4, "ipv4_src": floating.fixed_address}
    yield Flow(
        Table.ROUTER_SOURCE,
        RouterSourcePriority.FLOATING,
        {**from_fixed_ip, SOURCE: INSIDE},
        (SetField(SOURCE, FLOATING), Goto(Table.ROUTER_SOURCE.next)),
    )
    leaving: Match = {**from_fixed_ip, NAT: TRANSLATE, SOURCE: FLOATING}
    as_floating: Actions = (SetField("ipv4_src", floating.address), *CLEAR_CONNTRACK)
    seen_outside: Actions = (SetField("eth_src", port.mac), SetField(NAT, TRANSLATED))
    done = Goto(Table.ROUTER_NAT_DONE)
    yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.FLOATING, leaving, (*as_floating, done))
    yield Flow(
        Table.ROUTER_NAT_OUT,
        RouterNatOutPriority.FLOATING_OUTSIDE,
        {**leaving, NETWORK: outside.key},
        (*as_floating, *seen_outside, done),
    )
    src = Nat("src", floating.address)
    gathered = (SetField(NAT, UNPROVEN), Ct(zone, Table.ROUTER_NAT_DONE, src, commit=True))
    cut = {**leaving, "ip_frag": FRAGMENT}
    yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.FLOATING_FRAGMENT, cut, gathered)
    unproven = {**router_ipv4, NAT: UNPROVEN, "ipv4_src": floating.address}
    on = Goto(Table.ROUTER_NAT_DONE.next)
    yield Flow(Table.ROUTER_NAT_DONE, RouterNatDonePriority.FLOATING, unproven, (*proven, on))
    yield Flow(
        Table.ROUTER_NAT_DONE,
        RouterNatDonePriority.FLOATING_OUTSIDE,
        {**unproven, NETWORK: outside.key},
        (*proven, *seen_outside, on),
    )


# --- what is tracked -------------------------------------------------------------------------


def compile_shared(view: View, switch: int, router_id: str) -> Iterator[Flow]:
    """Port forwarding and shared SNAT of a router, at its gateways."""
    router = view.get(Router, router_id)
    if router is None or not router.admin_state_up or switch not in gateways(view, router_id):
        return
    leg = gateway(view, router_id)
    if leg is None:
        return
    forwardings = view.find(PortForwarding, router_id=router_id)
    address, own = shared_snat_address(view, router), own_gateway_address(view, switch, router_id)
    for forwarding in forwardings:
        yield from forwarded(view, router, forwarding, pinned=own is not None)
    if forwardings:
        yield from forwarded_replies(router)
    if address is None:
        return
    taken_here: Match = {} if own is None else {FLAGS: (GATEWAY_HERE, GATEWAY_HERE)}
    yield from _translated(view, router, leg, _Shared(address, taken_here, ()), bool(forwardings))
    if own is None:
        return
    # What its own ports send, it translates to its own address, with a MAC address of its own.
    admit: Match = {NETWORK: leg.network.key, "eth_dst": own.mac}
    yield Flow(Table.ROUTER_ADMIT, RouterAdmitPriority.TO_ROUTER, admit, enter_router(router, leg))
    as_own: Actions = (SetField("eth_src", own.mac), SetField(NAT, TRANSLATED))
    left_to_others: Match = {FLAGS: (0, GATEWAY_HERE)}
    shared = _Shared(own.address, left_to_others, as_own)
    yield from _translated(view, router, leg, shared, bool(forwardings))


ALGS = {"ftp": 21, "tftp": 69}
"""Helpers that Open vSwitch has, as Ct names them; with others connections are tracked without."""


class _Shared(NamedTuple):
    """An address that many share, which packets are translated to it, and what else becomes of
    these."""

    address: int
    taken_here: Match
    seen_as: Actions


def _translated(
    view: View, router: Router, leg: RouterInterface, shared_by: _Shared, forwards: bool
) -> Iterator[Flow]:
    """What leaves by one address that many share, and what comes back to it."""
    address, taken_here, seen_as = shared_by
    helpers = view.find(ConntrackHelper, router_id=router.id)
    zone = Zone.shared(router.key)
    router_ipv4: Match = {ROUTER: router.key, **_IPV4}
    yield Flow(
        Table.ROUTER_NAT_IN,
        RouterNatInPriority.SHARED,
        {**router_ipv4, "ipv4_dst": address},
        (SetField(NAT, TRANSLATE), *CLEAR_CONNTRACK, Ct(zone, Table.ROUTER_NAT_IN_DONE, Nat())),
    )
    if helpers:
        opened = CT_NEW | CT_RELATED | CT_TRACKED
        expected: Match = {**router_ipv4, "ct_state": (opened, opened)}
        commit = (Ct(zone, Table.ROUTER_NAT_IN_DONE.next, Nat(), commit=True),)
        yield Flow(Table.ROUTER_NAT_IN_DONE, RouterNatInDonePriority.EXPECTED, expected, commit)
    shared = Nat("src", address, *SHARED_PORTS)
    from_inside: Match = {**router_ipv4, NAT: TRANSLATE, SOURCE: INSIDE, **taken_here}
    commit = (Ct(zone, Table.ROUTER_NAT_DONE, shared, commit=True),)
    yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.SHARED, from_inside, commit)
    if forwards:
        yield Flow(
            Table.ROUTER_NAT_REPLY,
            RouterNatReplyPriority.OTHER,
            {**router_ipv4, **taken_here},
            commit,
        )
    for helper in helpers:
        protocol = PROTOCOLS[helper.protocol]
        called: Match = {**from_inside, "ip_proto": protocol, f"{helper.protocol}_dst": helper.port}
        helped = Ct(
            zone, Table.ROUTER_NAT_DONE, shared, commit=True, alg=ALGS.get(helper.helper, 0)
        )
        yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.HELPED, called, (helped,))
    # In one address scope with the outside, addresses mean the same there and here.
    scopes = {scope(view, subnet) for subnet in leg.subnets if subnet.version == 4} - {""}
    for other in router_interfaces(view, router.id):
        for subnet in other.subnets:
            if not other.gateway and subnet.version == 4 and scope(view, subnet) in scopes:
                inside = prefix_value(4, subnet.first, subnet.prefix_length)
                known = {**from_inside, NETWORK: leg.network.key, "ipv4_src": inside}
                out = (Goto(Table.ROUTER_OUT),)
                yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.SAME_SCOPE, known, out)
    # Only as the shared address, and not by a connection from before it was another.
    on = (*seen_as, Goto(Table.ROUTER_NAT_DONE.next))
    yield Flow(
        Table.ROUTER_NAT_DONE,
        RouterNatDonePriority.SHARED,
        {**from_inside, "ipv4_src": address},
        on,
    )
    old = drop(OLD_CONNECTION)
    yield Flow(Table.ROUTER_NAT_DONE, RouterNatDonePriority.NOT_SHARED, from_inside, old)


# --- IPv6 ------------------------------------------------------------------------------------


def compile_proxies(view: View, switch: int, router_id: str) -> Iterator[Flow]:
    """Addresses of tenants for which the router answers outside (RFC 4389). If it may answer for
    any, no others are reached from there."""
    router, leg = view.get(Router, router_id), gateway(view, router_id)
    if router is None or leg is None or not router.admin_state_up:
        return
    here = (SetField(OUT_PORT, ROUTED),) if switch in gateways(view, router_id) else ()
    if router.ndp_proxies_only:
        from_outside: Match = {ROUTER: router.key, SOURCE: OUTSIDE, "eth_type": IPV6}
        others = drop(NOT_PROXIED)
        yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.NOT_PROXIED, from_outside, others)
        for proxy in view.find(NdpProxy, router_id=router_id):
            known: Match = {**from_outside, "ipv6_dst": proxy.address}
            on = (Goto(Table.ROUTER_NAT_OUT.next),)
            yield Flow(Table.ROUTER_NAT_OUT, RouterNatOutPriority.PROXIED, known, on)
    for proxy in view.find(NdpProxy, router_id=router_id):
        asked: Match = {NETWORK: leg.network.key, ADDRESS: mapped(6, proxy.address)}
        actions = (SetField(MAC, leg.port.mac), *here)
        yield Flow(Table.NEIGHBOURS, NeighboursPriority.ROW, asked, actions)
