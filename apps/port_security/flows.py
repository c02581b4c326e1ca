# SPDX-License-Identifier: Apache-2.0

"""Flows of port security; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.port_security.tables import (
    ALSO_OWNED,
    FORBIDDEN_MESSAGE,
    HIDDEN_MESSAGE,
    NOT_ITS_ADDRESS,
    PortSecurityPriority,
    SenderPriority,
)
from tenantry.controller.model import Port, View
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import (
    Actions,
    Flow,
    Goto,
    Match,
    Move,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.oxm import FRAGMENT
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    FROM_WIRE_OR_TUNNEL,
    IN_PORT,
    MAC,
    OTHERS,
    OWN,
    OWNED,
    Table,
    version_bits,
)
from tenantry.controller.packets.addresses import BITS, link_local, mapped, mapped_prefix
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV4, IPV6, UDP
from tenantry.controller.packets.neighbour_discovery import (
    ADVERTISEMENT,
    MESSAGES,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    SOLICITATION,
)

LISTENER_REPORTS = (131, 143)  # MLD, RFC 2710 and RFC 3810: sent before there is an address, too
NEVER_IN_FRAGMENTS = (*MESSAGES, 148, 149)  # RFC 6980, 5
NOTHING = 0


_ASK: Actions = (SetField(OWNED, 0), Resubmit(Table.IDENTITY))
_ON = Goto(Table.PORT_SECURITY.next)
_NONE: Actions = (SetField(MAC, version_bits(0)), SetField(ADDRESS, NOTHING))


def _address(version: int, field: str) -> Actions:
    start = (SetField(MAC, version_bits(version)), SetField(ADDRESS, mapped(4, 0)))
    return (*start, Move(field, ADDRESS, BITS[version]))


def _mac(field: str) -> Actions:
    return (Move(field, MAC, 48),)


def _once(address: Actions) -> Actions:
    """The sender is said once: one question."""
    said = (*address, *_mac("eth_src"))
    return (*said, SetField(ALSO_OWNED, OWN), *_ASK, Goto(Table.SENDER))


def _twice(first: Actions, second: Actions) -> Actions:
    """The sender is said twice, in the frame and in the message: both must hold."""
    also = (Move(OWNED, ALSO_OWNED, 32), *second, *_ASK)
    return (*first, *_mac("eth_src"), *_ASK, *also, Goto(Table.SENDER))


def compile_questions(view: View, switch: int, id: str) -> Iterator[Flow]:
    """What a packet says of its sender, by its kind. A kind that is not here has a MAC only."""
    table, rung = Table.PORT_SECURITY, PortSecurityPriority
    yield Flow(table, rung.MISS, {}, _once(_NONE))

    yield Flow(table, rung.FAMILY, {"eth_type": IPV4}, _once(_address(4, "ipv4_src")))
    discover: Match = {
        "eth_type": IPV4,
        "ip_proto": UDP,
        "ipv4_src": 0,
        "ipv4_dst": 0xFFFFFFFF,
        "udp_src": 68,
        "udp_dst": 67,
    }
    yield Flow(table, rung.MESSAGE, discover, _once(_NONE))

    # ARP: RFC 826; a probe (RFC 5227, 2.1.1) has no sender address.
    sender = _mac("arp_sha")
    yield Flow(table, rung.FAMILY, {"eth_type": ARP}, _twice(_address(4, "arp_spa"), sender))
    yield Flow(table, rung.MESSAGE, {"eth_type": ARP, "arp_spa": 0}, _twice(_NONE, sender))

    source = _address(6, "ipv6_src")
    yield Flow(table, rung.FAMILY, {"eth_type": IPV6}, _once(source))
    icmp: Match = {"eth_type": IPV6, "ip_proto": ICMPV6}
    # Without an address yet: duplicate address detection, router solicitation (RFC 4861, 4.1 and
    # 4.3), reports of the groups that go with the address to come.
    for type in (SOLICITATION, ROUTER_SOLICITATION, *LISTENER_REPORTS):
        match = {**icmp, "ipv6_src": 0, "icmpv6_type": type}
        yield Flow(table, rung.NO_ADDRESS_YET, match, _once(_NONE))
    # RFC 4861, 4.3 and 4.4. OVS reads a missing option as zeros, which is nobody's MAC address.
    solicitation: Match = {**icmp, "icmpv6_type": SOLICITATION}
    yield Flow(table, rung.ND_WITHOUT_OPTION, {**solicitation, "ipv6_nd_sll": 0}, _once(source))
    yield Flow(table, rung.MESSAGE, solicitation, _twice(source, _mac("ipv6_nd_sll")))
    target = _address(6, "ipv6_nd_target")
    advertisement: Match = {**icmp, "icmpv6_type": ADVERTISEMENT}
    without = _twice(source, (*target, *_mac("eth_src")))
    yield Flow(table, rung.ND_WITHOUT_OPTION, {**advertisement, "ipv6_nd_tll": 0}, without)
    option = (*target, *_mac("ipv6_nd_tll"))
    yield Flow(table, rung.MESSAGE, advertisement, _twice(source, option))


def compile_answers(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Who may go on; and what no tenant's port may send, whoever it is."""
    owned: Match = {OWNED: (OWN, OWN), ALSO_OWNED: (OWN, OWN)}
    table, rung = Table.SENDER, SenderPriority
    yield Flow(table, rung.OWNED, owned, (_ON,))
    yield Flow(table, rung.MISS, {}, drop(NOT_ITS_ADDRESS))
    forbidden, hidden = drop(FORBIDDEN_MESSAGE), drop(HIDDEN_MESSAGE)
    for server in (
        Match({"eth_type": IPV4, "ip_proto": UDP, "udp_src": 67}),
        Match({"eth_type": IPV6, "ip_proto": UDP, "udp_src": 547}),
    ):
        yield Flow(table, rung.FORBIDDEN, server, forbidden)
    icmp: Match = {"eth_type": IPV6, "ip_proto": ICMPV6}
    for type in (ROUTER_ADVERTISEMENT, REDIRECT):  # RFC 6105; RFC 4861, 8.2
        yield Flow(table, rung.FORBIDDEN, {**icmp, "icmpv6_type": type}, forbidden)
    # What says no more than that it goes on in another fragment, behind extension headers, could be
    # any of these there: OVS reads what is missing as zeros (RFC 7112, 5; RFC 7113, 3).
    yield Flow(table, rung.FORBIDDEN, {**icmp, "icmpv6_type": 0}, hidden)
    udp: Match = {"eth_type": IPV6, "ip_proto": UDP, "udp_src": 0, "udp_dst": 0}
    yield Flow(table, rung.FORBIDDEN, {**udp, "ip_frag": FRAGMENT}, hidden)
    for type in NEVER_IN_FRAGMENTS:
        match: Match = {**icmp, "icmpv6_type": type, "ip_frag": FRAGMENT}
        yield Flow(table, rung.ND_IN_FRAGMENTS, match, hidden)


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """The addresses that a port may call its own; or, without port security, its way past."""
    port = view.get(Port, port_id)
    if port is None or not port.admin_state_up:
        return
    if not port.port_security:
        yield Flow(Table.PORT_SECURITY, PortSecurityPriority.PASSES_BY, {IN_PORT: port.key}, (_ON,))
        # It may be asked here, too, whether the port speaks for an address.
        yield _row({IN_PORT: port.key}, OTHERS)
        return
    own: set[tuple[int, int, tuple[int, int]]] = {
        (ip.version, port.mac, (mapped(ip.version, ip.address), _EXACT)) for ip in port.fixed_ips
    }
    pairs = {
        (pair.version, pair.mac, mapped_prefix(pair.version, pair.first, pair.prefix_length))
        for pair in port.allowed_pairs
    } - own
    for mac in {port.mac, *(mac for _, mac, _ in pairs)}:
        own |= {(0, mac, (NOTHING, _EXACT)), (6, mac, (link_local(mac), _EXACT))}
    for flags, identities in ((OWN, own), (OWN | OTHERS, pairs - own)):
        for version, mac, (address, mask) in sorted(identities):
            match: Match = {IN_PORT: port.key, MAC: version_bits(version) | mac}
            if mask:
                match[ADDRESS] = address if mask == _EXACT else (address, mask)
            yield _row(match, flags)


_EXACT = (1 << 128) - 1


def _row(match: Match, flags: int) -> Flow:
    return Flow(Table.IDENTITY, OneRung.ORDINARY, match, (SetField(OWNED, flags),))


def compile_wire(view: View, switch: int, id: str) -> Iterator[Flow]:
    """Beyond the physical network there may be anybody."""
    yield Flow(
        Table.PORT_SECURITY, PortSecurityPriority.PASSES_BY, {IN_PORT: FROM_WIRE_OR_TUNNEL}, (_ON,)
    )
    yield _row({IN_PORT: FROM_WIRE_OR_TUNNEL}, OTHERS)
