# SPDX-License-Identifier: Apache-2.0

"""Pings to a router's own addresses: answered by flows, whole or in fragments."""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.routing.tables import NEXT_HOP, ROUTER_IS_SILENT, RouterReplyPriority
from tenantry.controller.network.conntrack import ASKING
from tenantry.controller.network.router_entry import CLEAR_CONNTRACK
from tenantry.controller.openflow.drops import drop
from tenantry.controller.openflow.flow import Actions, Flow, Match, Move, Resubmit, SetField
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import ITSELF, NAT, SOURCE, Table
from tenantry.controller.packets.frames import ICMP, ICMPV6, IPV4, IPV6

ECHO_REQUEST, ECHO_REPLY, ECHO_REQUEST_6, ECHO_REPLY_6 = 8, 0, 128, 129
TTL = 64


def echoes() -> Iterator[Flow]:
    """Pings to the router's own addresses (RFC 792, RFC 4443): turned around and routed back."""
    table, rung = Table.ROUTER_REPLY, RouterReplyPriority
    for eth_type, protocol, field, request, reply, swap in (
        (IPV4, ICMP, "icmpv4_type", ECHO_REQUEST, ECHO_REPLY, ("ipv4_src", "ipv4_dst", 32)),
        (IPV6, ICMPV6, "icmpv6_type", ECHO_REQUEST_6, ECHO_REPLY_6, ("ipv6_src", "ipv6_dst", 128)),
    ):
        source, destination, bits = swap
        turned: Actions = (
            *(Move(source, NEXT_HOP, bits), Move(destination, source, bits)),
            Move(NEXT_HOP, destination, bits),
        )
        back: Actions = (
            # Routing takes one off.
            *(
                SetField("ip_ttl", TTL + 1),
                SetField(SOURCE, ITSELF),
                SetField(NAT, 0),
                *CLEAR_CONNTRACK,
            ),
            Resubmit(Table.ROUTE),
        )
        message: Match = {"eth_type": eth_type, "ip_proto": protocol}
        answer = (*turned, SetField(field, reply), *back)
        yield Flow(table, rung.ECHO, {**message, field: request}, answer)
        # Of what is no answer itself, and is gathered, the first fragment was a request: only
        # those begin a connection, and it has one type.
        asks: Match = {"eth_type": eth_type, "ct_nw_proto": protocol, "ct_state": ASKING}
        later: Match = {**asks, "ip_frag": LATER_FRAGMENT}
        yield Flow(table, rung.ECHO, later, (*turned, *back))
        # Nothing answers to other messages of control, least of all with more of them.
        silent = drop(ROUTER_IS_SILENT)
        yield Flow(table, rung.CONTROL, message, silent)
        other: Match = {"eth_type": eth_type, "ip_frag": LATER_FRAGMENT}
        yield Flow(table, rung.OTHER_FRAGMENT, other, silent)
