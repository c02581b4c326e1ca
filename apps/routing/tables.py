# SPDX-License-Identifier: Apache-2.0

"""The tables through a router, and routing's own registers."""

from __future__ import annotations

from tenantry.controller.network.priorities import RoutePriority, RouterAdmitPriority
from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    IN_PORT,
    MAC,
    NAT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    OWNED,
    PUNT_REASON,
    ROUTER,
    SOURCE,
    Field,
    Table,
)

PATH = Field(*("reg4", "PATH", "ROUTE..ROUTE_PATH"), "which of several next hops, from 0")
NEXT_HOP = Field(
    *("xxreg0", "NEXT_HOP", "ROUTER_ADMIT..NEXT_HOP_FOUND"),
    "address of the next router or of the host itself; IPv4 as in ADDRESS",
    bits=128,
)
NEXT_HOP_MAC = Field(
    *("xreg2", "NEXT_HOP_MAC", "NEXT_HOP..NEXT_HOP_FOUND"),
    "its MAC address; or, as in MAC, its IP version, while nobody has said",
    bits=64,
)
FIELDS = (PATH, NEXT_HOP, NEXT_HOP_MAC)


class RouterInPriority(Priorities):
    """ROUTER_IN: what a router gets, by kind."""

    COMMITTED = 301  # a router before this one has made it known: it begins anew
    COMMIT = 300  # what a port has begun becomes known
    NEIGHBOUR_REPLY = 200
    FAMILY = 100


class RoutePathPriority(Priorities):
    """ROUTE_PATH: as in ROUTE."""

    PREFIX = range(100, 357, 2)


class RouterReplyPriority(Priorities):
    """ROUTER_REPLY: what is for the router itself."""

    ECHO = 200  # a request, and later fragments of one
    OTHER_FRAGMENT = 101  # of what is no request
    CONTROL = 100  # nothing answers other messages of control, least of all with more of them
    MISS = 0  # to the controller, which says that nobody listens


class NextHopPriority(Priorities):
    """NEXT_HOP: who is next."""

    TOO_LARGE = 300
    NEIGHBOUR = 100  # that the model does not know, and that has answered
    MISS = 0  # by the model


class NextHopFoundPriority(Priorities):
    """NEXT_HOP_FOUND."""

    FOUND = 100
    MISS = 0  # the controller asks for it


class RouterOutPriority(Priorities):
    """ROUTER_OUT: how a routed packet goes on, on its next network."""

    CIRCLE = 300  # back to the outside that it came from: nobody is there
    AS_FLOATING = 201  # with a floating IP's own MAC address
    FROM_GATEWAY = 200  # with the router's MAC address
    FROM_HERE = 100  # with one that names the switch and the port
    MISS = 0  # to a port of this switch


TABLES = {
    Table.ROUTER_ADMIT: About(
        job="What is for a router's MAC address is routed. All else is switched.",
        priorities=RouterAdmitPriority,
        matches=fields(NETWORK, IN_PORT, "eth_src eth_dst eth_type arp_op ip_proto icmpv6_type"),
        sets=fields(OUT_PORT, ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS, PUNT_REASON, "eth_src"),
        leads_to=(Table.ROUTER_ADMIT, Table.ROUTER_IN, Table.FLOOD.next),
    ),
    Table.ROUTER_IN: About(
        job="By kind: IP is routed; answers to what the controller asked of neighbours go "
        "there. What a port has begun becomes known before it may leave changed.",
        priorities=RouterInPriority,
        matches=fields("eth_type ip_proto icmpv6_type"),
        sets=fields(PUNT_REASON),
        leads_to=(Table.PUNT_LIMIT, Table.ROUTE),
    ),
    Table.ROUTE: About(
        job="The longest prefix of each router's routes, by priority. Before them its own "
        "addresses, and packets whose time is up.",
        priorities=RoutePriority,
        matches=fields(
            ROUTER,
            ENTERED,
            SOURCE,
            NAT,
            FLAGS,
            "eth_type ip_proto ip_ttl ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst udp_src",
            "udp_dst icmpv6_type",
        ),
        sets=fields(NETWORK, OUT_PORT, EXIT, NAT, FLAGS, PUNT_REASON, PATH, NEXT_HOP, "eth_src"),
        leads_to=(
            Table.PUNT_LIMIT,
            Table.ROUTE,
            Table.ROUTE_PATH,
            Table.ROUTER_REPLY,
            Table.FLOOD.next,
        ),
    ),
    Table.ROUTE_PATH: About(
        job="The next hops of routes that have several, by PATH.",
        priorities=RoutePathPriority,
        matches=fields(ROUTER, PATH, "eth_type ipv4_dst ipv6_dst"),
        sets=fields(NETWORK, EXIT, NAT, FLAGS, NEXT_HOP, "eth_src"),
    ),
    Table.ROUTER_REPLY: About(
        job="What is for the router itself: echoes are answered, and routed back.",
        priorities=RouterReplyPriority,
        matches=fields("eth_type ip_proto ip_frag icmpv4_type icmpv6_type ct_state ct_nw_proto"),
        sets=fields(
            SOURCE,
            NAT,
            PUNT_REASON,
            NEXT_HOP,
            ORIGIN_PORT,
            "ip_ttl ipv4_src ipv4_dst ipv6_src ipv6_dst icmpv4_type icmpv6_type",
        ),
        leads_to=(Table.PUNT_LIMIT, Table.ROUTE),
    ),
    Table.NEXT_HOP: About(
        job="The MAC address of the next hop: neighbours that answered, or those of the model.",
        priorities=NextHopPriority,
        matches=fields(NETWORK, FLAGS, NEXT_HOP, "eth_type"),
        sets=fields(OUT_PORT, PUNT_REASON, NEXT_HOP_MAC, "eth_dst ip_ttl"),
        leads_to=(Table.PUNT_LIMIT, Table.NEIGHBOURS, Table.NEXT_HOP_FOUND.next),
    ),
    Table.NEXT_HOP_FOUND: About(
        job="On to the next hop; what has none goes to the controller, which asks for it.",
        priorities=NextHopFoundPriority,
        matches=fields(NEXT_HOP_MAC, "eth_type"),
        sets=fields(PUNT_REASON, "eth_dst ip_ttl"),
        leads_to=(Table.PUNT_LIMIT,),
    ),
    Table.ROUTER_OUT: About(
        job="A routed packet is on its next network: it goes to its port, or is switched "
        "there, or is for another router.",
        priorities=RouterOutPriority,
        matches=fields(OUT_PORT, ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS),
        sets=fields(IN_PORT, "nxm_in_port eth_src"),
        leads_to=(Table.ROUTER_ADMIT,),
    ),
}

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(
            NETWORK, IN_PORT, "eth_src eth_type arp_op arp_spa ip_proto ipv6_src icmpv6_type"
        ),
        sets=fields(PUNT_REASON),
    ),
    Table.ARP_ND_REPLY: Adds(
        matches=fields(NETWORK, IN_PORT, OUT_PORT, MAC, OWNED),
        sets=fields(OUT_PORT, PUNT_REASON),
        leads_to=(Table.ARP_ND_REPLY,),
    ),
    Table.L2_LOOKUP: Adds(
        matches=fields(NETWORK, "eth_dst"),
    ),
}
