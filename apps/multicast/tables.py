# SPDX-License-Identifier: Apache-2.0

"""The table of multicast, and what this feature adds to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import FLOOD_PART, IN_PORT, NETWORK, OUT_PORT, Table

NOBODY_ASKED = Cause(
    *(0x1901, "nobody_asked", Whose.FLOODED),
    "nobody has asked for the multicast group that it is for",
)


class MulticastPriority(Priorities):
    """MULTICAST: who gets it."""

    OF_LINK = 400  # what is of the link alone: everybody
    FROM_ROUTER = 300  # what a guest that routes multicast asks: everybody
    REPORT = 200  # what a guest says that it wants: routers, and no other guest
    GROUP = 100  # who wants it
    UNASKED = 50  # nobody wants it: only routers


TABLES = {
    Table.MULTICAST: About(
        job="Where the multicast of groups beyond the link goes, if there is snooping: to the "
        "ports that have asked for it, to switches that have such ports, and to the physical "
        "network. All else goes on, to everybody.",
        priorities=MulticastPriority,
        matches=fields(NETWORK, IN_PORT, "eth_type ipv4_dst ipv6_dst ip_proto icmpv6_type"),
        sets=fields(OUT_PORT, FLOOD_PART, "tun_dst tun_ipv6_dst"),
        leads_to=(Table.FLOOD_PART, Table.FLOOD_COPY, Table.FLOOD.next),
        drops=(NOBODY_ASKED,),
    ),
}

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(IN_PORT, "eth_type ip_proto icmpv6_type"),
        leads_to=(Table.PUNT_LIMIT,),
    ),
}
