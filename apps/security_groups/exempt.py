# SPDX-License-Identifier: Apache-2.0

"""What passes a port without a rule: what no network can do without, and no further than its link.

Each is known by what no router lets through, or what no router could have sent: so whatever comes
from beyond the link, or goes there, is judged like any packet. What hosts may say in these messages
is for port security.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from tenantry.apps.security_groups.tables import PortCtPriority
from tenantry.controller.model import Network, Subnet, View
from tenantry.controller.openflow.flow import Flow, Goto, Match
from tenantry.controller.openflow.pipeline import NETWORK, Table
from tenantry.controller.packets.addresses import LINK_LOCAL, prefix_value
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV4, IPV6, UDP
from tenantry.controller.packets.neighbour_discovery import (
    ADVERTISEMENT,
    ROUTER_ADVERTISEMENT,
    ROUTER_SOLICITATION,
    SOLICITATION,
)

QUERY, REPORT, DONE, REPORT_2 = 130, 131, 132, 143

UNSPECIFIED = 0
ALL_DHCP_AGENTS = 0xFF02 << 112 | 1 << 16 | 2  # RFC 8415, 7.1
MULTICAST = (0xFF << 120, 0xFF << 120)
BROADCAST = (1 << 32) - 1

_ICMPV6: Match = {"eth_type": IPV6, "ip_proto": ICMPV6}
_ON_LINK: Match = {**_ICMPV6, "ip_ttl": 255, "icmpv6_code": 0}
"""Neighbour discovery, RFC 4861, 6.1 and 7.1: nobody hears what a router has passed on."""


def compile_from_port(table: Table) -> Iterator[Flow]:
    """What a port may send."""
    types = (ROUTER_SOLICITATION, SOLICITATION, ADVERTISEMENT)
    asks: tuple[Match, ...] = (  # RFC 2131, 4.4; RFC 8415, 14
        {**_udp(IPV4, 68, 67), "ipv4_dst": BROADCAST},
        {**_udp(IPV6, 546, 547), "ipv6_dst": ALL_DHCP_AGENTS},
    )
    yield from _passing(table, _discovery(types), _listeners(), asks)


def compile_to_port(table: Table) -> Iterator[Flow]:
    """What a port may get. Router advertisements come from a router's own address on the link."""
    said: Match = {**_ON_LINK, "icmpv6_type": ROUTER_ADVERTISEMENT, "ipv6_src": LINK_LOCAL}
    yield from _passing(table, _discovery((SOLICITATION, ADVERTISEMENT)), _listeners(), (said,))


def compile_servers(view: View, switch: int, network_id: str) -> Iterator[Flow]:
    """Answers of the network's own DHCP servers, if it is not served here (those answers are not
    judged at all): from its own addresses, so from no further; or from the link."""
    network = view.get(Network, network_id)
    if network is None:
        return
    subnets = view.find(Subnet, network_id=network_id)
    served = {subnet.version for subnet in subnets if subnet.enable_dhcp}
    here: Match = {NETWORK: network.key}
    answers: list[Match] = [
        {**_udp(IPV4, 67, 68), "ipv4_src": prefix_value(4, subnet.first, subnet.prefix_length)}
        for subnet in subnets
        if subnet.version == 4 and 4 not in served
    ]
    if 6 not in served:
        answers.append({**_udp(IPV6, 547, 546), "ipv6_src": LINK_LOCAL, "ipv6_dst": LINK_LOCAL})
    for answer in answers:
        table = Table.TO_PORT_CT
        yield Flow(table, PortCtPriority.EXEMPT, {**here, **answer}, (Goto(table.next),))


def _passing(table: Table, *some: Iterable[Match]) -> Iterator[Flow]:
    on = (Goto(table.next),)
    yield Flow(table, PortCtPriority.EXEMPT, {"eth_type": ARP}, on)
    for match in chain(*some):
        yield Flow(table, PortCtPriority.EXEMPT, match, on)


def _discovery(types: Iterable[int]) -> Iterator[Match]:
    for kind in types:
        yield {**_ON_LINK, "icmpv6_type": kind}


def _listeners() -> Iterator[Match]:
    """MLD: RFC 2710, 3; RFC 3810, 5; without an address yet, RFC 3590, 4."""
    for kind in (QUERY, REPORT, DONE, REPORT_2):
        for source in (LINK_LOCAL, UNSPECIFIED):
            if source or kind != QUERY:
                match: Match = {**_ICMPV6, "ip_ttl": 1, "icmpv6_type": kind}
                yield {**match, "ipv6_src": source, "ipv6_dst": MULTICAST}


def _udp(eth_type: int, source: int, destination: int) -> Match:
    return {"eth_type": eth_type, "ip_proto": UDP, "udp_src": source, "udp_dst": destination}
