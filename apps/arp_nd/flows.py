# SPDX-License-Identifier: Apache-2.0

"""Flows that answer ARP and neighbour discovery; see the package."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.arp_nd.tables import (
    ANSWERED_ELSEWHERE,
    NdReplyPriority,
    NeighboursPriority,
)
from tenantry.controller.model import Binding, Network, Port, Subnet, View, derived
from tenantry.controller.network.gateways import is_router
from tenantry.controller.network.priorities import ArpNdReplyPriority
from tenantry.controller.network.records import Router
from tenantry.controller.network.routers import gateway_addresses, gateways, networks_on, routers_in
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.drops import UNFORESEEN, drop
from tenantry.controller.openflow.flow import (
    CLEAR_IN_PORT,
    Actions,
    Flow,
    Goto,
    Match,
    Move,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.pipeline import (
    A_ROUTER,
    A_ROUTER_BIT,
    ADDRESS,
    FOUND,
    FROM_WIRE_OR_TUNNEL,
    IN_PORT,
    MAC,
    NETWORK,
    OTHERS,
    OUT_PORT,
    OWN,
    OWNED,
    ROUTED,
    TENANT,
    UNKNOWN,
    Table,
    version_bits,
)
from tenantry.controller.packets.addresses import link_local, mapped
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV6
from tenantry.controller.packets.neighbour_discovery import (
    ADVERTISEMENT,
    ALL_NODES,
    ALL_NODES_MAC,
    REPLY,
    REQUEST,
    SOLICITATION,
    TARGET_LINK_LAYER,
)
from tenantry.controller.packets.own_addresses import (
    METADATA_ADDRESSES,
    SERVICE_LINK_LOCAL,
    SERVICE_MAC,
)

ROUTER_BIT = 31  # the first flag of an advertisement; the others: RFC 4861, 4.4
SOLICITED, OVERRIDE = 1 << 30, 1 << 29


_ARP: Match = {"eth_type": ARP}
_ND: Match = {"eth_type": IPV6, "ip_proto": ICMPV6}


def compile_questions(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What is asked for, into ADDRESS; whether who asks may call it its own; whose it is."""
    own: Actions = (Move("eth_src", MAC, 48), SetField(OWNED, 0), Resubmit(Table.IDENTITY))
    ask: Actions = (
        *(SetField(OUT_PORT, 0), Resubmit(Table.NEIGHBOURS)),
        Goto(Table.ARP_ND_REPLY),
    )
    # The version in MAC is gone if a neighbour was found.
    yield Flow(
        Table.ARP_ND,
        OneRung.ORDINARY,
        {**_ARP, "arp_op": REQUEST},
        (
            *(SetField(MAC, version_bits(4)), SetField(ADDRESS, mapped(4, 0))),
            *(Move("arp_tpa", ADDRESS, 32), *own, *ask),
        ),
    )
    yield Flow(
        Table.ARP_ND,
        OneRung.ORDINARY,
        # A hop limit of less than 255 came by a router: RFC 4861, 7.1.1.
        {**_ND, "icmpv6_type": SOLICITATION, "ip_ttl": 255},
        (SetField(MAC, version_bits(6)), Move("ipv6_nd_target", ADDRESS, 128), *own, *ask),
    )


KNOWN: Match = {MAC: FOUND}


def compile_answers(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Turn a question into its answer: ARP, RFC 826; neighbour discovery, RFC 4861, 7.2.4."""
    table, rung = Table.ARP_ND_REPLY, ArpNdReplyPriority
    on = Goto(Table.ARP_ND.next)
    to_all: Actions = (SetField(OUT_PORT, 0), on)
    to_learners: Actions = (SetField(OUT_PORT, UNKNOWN), on)
    # Announcements, and probes for a duplicate. The model knows who has a fixed IP; only those whom
    # it does not know could object. An allowed address pair may have moved: let everybody hear.
    own: Match = {OWNED: (OWN, OWN | OTHERS)}
    asked: Match = {**own, **_ARP, "arp_op": REQUEST}
    yield Flow(table, rung.FOR_ITSELF, own, to_learners)
    # Who announces its fixed IP is right, and its neighbours may know it otherwise; but a question
    # for what the model knows ends at the next switch. An announcement may be an answer as well
    # (RFC 5944, 4.6), and those go to all.
    answer = (SetField("arp_op", REPLY), Move("arp_sha", "arp_tha", 48))
    yield Flow(table, rung.ANNOUNCEMENT, asked, (Resubmit(Table.PUNT_LIMIT), *answer, *to_all))
    yield Flow(table, rung.PROBE, {**asked, "arp_spa": 0}, to_learners)
    yield Flow(table, rung.FOR_ITSELF, {OWNED: (OWN | OTHERS, OWN | OTHERS)}, to_all)
    yield Flow(table, rung.FROM_STRANGER, {OWNED: (OTHERS, OTHERS)}, to_all)
    yield Flow(table, rung.MISS, {}, to_learners)
    # Every switch on the wire hears such a question. The one where the port is has the port answer;
    # for a router, one switch does.
    wire: Match = {IN_PORT: FROM_WIRE_OR_TUNNEL, **KNOWN}
    yield Flow(table, rung.NOT_HERE, {**wire, OUT_PORT: 0}, drop(ANSWERED_ELSEWHERE))
    yield Flow(table, rung.PORT_HERE, {**wire, OUT_PORT: TENANT}, (Goto(Table.FLOOD.next),))
    turn: Actions = (Move("eth_src", "eth_dst", 48), Move(MAC, "eth_src", 48))
    yield Flow(
        table,
        rung.KNOWN,
        {**KNOWN, **_ARP, "arp_op": REQUEST},
        (
            *(*turn, SetField("arp_op", REPLY)),
            *(Move("arp_sha", "arp_tha", 48), Move("arp_spa", "arp_tpa", 32)),
            *(Move(MAC, "arp_sha", 48), Move(ADDRESS, "arp_spa", 32), *_BACK),
        ),
    )
    solicitation: Match = {**KNOWN, **_ND, "icmpv6_type": SOLICITATION}
    turned: Actions = (*turn, Move("ipv6_src", "ipv6_dst", 128), Move(ADDRESS, "ipv6_src", 128))
    router = Move(MAC, "nd_reserved", 1, A_ROUTER_BIT, ROUTER_BIT)
    solicited = (SetField("nd_reserved", SOLICITED | OVERRIDE), router)
    advertisement = SetField("icmpv6_type", ADVERTISEMENT)
    yield Flow(
        table,
        rung.KNOWN,
        solicitation,
        (*turned, *solicited, advertisement, Goto(Table.ND_REPLY)),
    )
    # Actions cannot add the option. Who asks one neighbour alone may do without it.
    yield Flow(
        table,
        rung.WITHOUT_OPTION,
        {**solicitation, "ipv6_nd_sll": 0},
        (*turned, *solicited, advertisement, *_BACK),
    )
    # Duplicate address detection: there is nobody yet to answer to, so all nodes are told.
    yield Flow(
        table,
        rung.DUPLICATE_DETECTION,
        {**solicitation, "ipv6_nd_sll": 0, "ipv6_src": 0},
        (
            *(SetField("eth_dst", ALL_NODES_MAC), Move(MAC, "eth_src", 48)),
            *(SetField("ipv6_dst", ALL_NODES), Move(ADDRESS, "ipv6_src", 128)),
            *(SetField("nd_reserved", OVERRIDE), router, advertisement, *_BACK),
        ),
    )
    yield Flow(Table.ND_REPLY, NdReplyPriority.MISS, {}, drop(UNFORESEEN))
    yield Flow(
        Table.ND_REPLY,
        NdReplyPriority.ADVERTISEMENT,
        {**_ND, "icmpv6_type": ADVERTISEMENT},
        (
            *(SetField("nd_options_type", TARGET_LINK_LAYER), Move(MAC, "ipv6_nd_tll", 48)),
            *_BACK,
        ),
    )


_BACK: Actions = (
    *(Move(IN_PORT, OUT_PORT, 32), CLEAR_IN_PORT),
    Goto(Table.OUTPUT),
)
"""By way of OUTPUT, for on a wire the answer needs its tag."""


@derived
def plugged_ports(view: View, network_id: str) -> frozenset[str]:
    """The ports of a network that are plugged in, wherever."""
    return view.ids(Binding, network_id=network_id)


def ports_known(view: View, switch: int) -> frozenset[str]:
    """The ports whose neighbours are on this switch."""
    return frozenset[str]().union(
        *(plugged_ports(view, network_id) for network_id in networks_on(view, switch))
    )


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """The addresses of a port. One that has no port security may have any: ask there."""
    port, binding = view.get(Port, port_id), view.get(Binding, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or binding is None or network is None:
        return
    flag = A_ROUTER * is_router(view, port)
    here = (SetField(OUT_PORT, port.key),) if binding.switch == switch else ()
    for address, mac in sorted(addresses(view, port).items()):
        yield _neighbour(network, address, {}, (SetField(MAC, mac | flag), *here))


def addresses(view: View, port: Port) -> dict[int, int]:
    """The addresses of a port that are answered for, and the MAC address of each."""
    network = view.get(Network, port.network_id)
    if network is None or not (network.admin_state_up and port.admin_state_up):
        return {}
    if port.router_id:
        router = view.get(Router, port.router_id)
        if router is None or not router.admin_state_up:
            return {}
    elif not port.port_security or view.get(Binding, port.id) is None:
        return {}
    found = {mapped(ip.version, ip.address): port.mac for ip in port.fixed_ips}
    found[link_local(port.mac)] = port.mac
    if port.is_gateway:
        found |= {
            mapped(4, face.address): face.mac for face in gateway_addresses(view, port.router_id)
        }
    return found


def routers_known(view: View, switch: int) -> frozenset[str]:
    """The ports of routers on the networks of this switch."""
    networks = networks_on(view, switch)
    return frozenset[str]().union(*(router_ports(view, network_id) for network_id in networks))


@derived
def router_ports(view: View, network_id: str) -> frozenset[str]:
    """The ports that routers have on a network."""
    return frozenset[str]().union(
        *(
            view.ids(Port, network_id=network_id, router_id=router_id)
            for router_id in routers_in(view, network_id)
        )
    )


def compile_router_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """The addresses of a router's port. Its gateways answer for it beyond the switches."""
    port = view.get(Port, port_id)
    network = view.get(Network, port.network_id) if port else None
    if port is None or network is None:
        return
    several = gateways(view, port.router_id)
    own = gateway_addresses(view, port.router_id) if port.is_gateway else ()
    places = {mapped(4, face.address): face.switches for face in own}
    for address, mac in sorted(addresses(view, port).items()):
        here = (SetField(OUT_PORT, ROUTED),) if switch in places.get(address, several) else ()
        yield _neighbour(network, address, {}, (SetField(MAC, mac | A_ROUTER), *here))


def compile_services(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """The addresses at which the controller answers."""
    network = view.get(Network, network_id)
    if network is None or not network.admin_state_up:
        return
    addresses = {mapped(*address) for address in METADATA_ADDRESSES} | {SERVICE_LINK_LOCAL}
    addresses |= {
        mapped(subnet.version, subnet.service_address)
        for subnet in view.find(Subnet, network_id=network_id)
        if subnet.service_address is not None and subnet.enable_dhcp
    }
    for address in sorted(addresses):
        yield _neighbour(network, address, {IN_PORT: TENANT}, (SetField(MAC, SERVICE_MAC),))


def _neighbour(network: Network, address: int, match: Match, actions: Actions) -> Flow:
    return Flow(
        Table.NEIGHBOURS,
        NeighboursPriority.ROW,
        {NETWORK: network.key, ADDRESS: address, **match},
        actions,
    )
