# SPDX-License-Identifier: Apache-2.0

"""The tables through a router, and routing's own registers."""

from __future__ import annotations

from tenantry.controller.network.failover import NOT_THE_GATEWAY
from tenantry.controller.network.priorities import RoutePriority, RouterAdmitPriority
from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, Whose
from tenantry.controller.openflow.flow import Actions, DecTtl, Move
from tenantry.controller.openflow.pipeline import (
    ENTERED,
    EXIT,
    FLAGS,
    IN_PORT,
    MAC,
    NAT,
    NETWORK,
    NEXT_HOP_MAC,
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
FIELDS = (PATH, NEXT_HOP)

TO_NEXT_HOP: Actions = (Move(NEXT_HOP_MAC, "eth_dst", 48), DecTtl())
"""What is done in NEXT_HOP_FOUND with a packet whose next hop is known."""


NOT_IP = Cause(
    *(0x0B01, "not_ip", Whose.ROUTED),
    "it is neither IPv4 nor IPv6, and no router passes it on",
)
OF_ONE_LINK = Cause(
    *(0x0B02, "of_one_link", Whose.ROUTED),
    "it is for one network alone, and no router passes it on",
)
TIME_IS_UP = Cause(
    *(0x0B03, "time_is_up", Whose.ROUTED),
    "its time to live has ended: its sender is told",
)
UNROUTED = Cause(
    *(0x0B04, "no_route", Whose.ROUTED),
    "the router has no route to it: its sender is told",
)
OTHER_SCOPE = Cause(
    *(0x0B05, "other_scope", Whose.ROUTED),
    "it is for another address scope, and is not translated",
)
TOO_LARGE = Cause(
    *(0x0B06, "too_large", Whose.ROUTED),
    "it is larger than the next network takes (MTU): its sender is told, or it is cut",
)
NO_NEIGHBOUR = Cause(
    *(0x0B07, "no_neighbour", Whose.ROUTED),
    "nobody has answered yet for the address that it goes to; the router has asked",
)
ROUTER_IS_SILENT = Cause(
    *(0x0B08, "router_is_silent", Whose.ROUTED),
    "it is for the router itself, which does not answer that",
)
BACK_OUTSIDE = Cause(
    *(0x0B09, "back_outside", Whose.ROUTED),
    "it comes from outside, and the route to it leads back there",
)
NOT_ROUTED_HERE = Cause(
    *(0x0B0A, "not_routed_here", Whose.SENDER),
    "the router that it is for is switched off, or another host routes it",
)


class RouterInPriority(Priorities):
    """ROUTER_IN: what a router gets, by kind."""

    COMMITTED = 301  # a router before this one has made it known: it begins anew
    COMMIT = 300  # what a port has begun becomes known
    NEIGHBOUR_REPLY = 200
    FAMILY = 100
    MISS = 0  # nothing else is routed


class RoutePathPriority(Priorities):
    """ROUTE_PATH: as in ROUTE."""

    PREFIX = range(100, 357, 2)
    MISS = 0


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

    METERED = 200  # FOUND, at a router that counts what passes its gateway
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
        drops=(NOT_THE_GATEWAY,),
    ),
    Table.ROUTER_IN: About(
        job="By kind: IP is routed; answers to what the controller asked of neighbours go "
        "there. What a port has begun becomes known before it may leave changed.",
        priorities=RouterInPriority,
        matches=fields("eth_type ip_proto icmpv6_type"),
        sets=fields(PUNT_REASON),
        leads_to=(Table.PUNT_LIMIT, Table.ROUTER_NAT_IN_DONE.next),
        drops=(NOT_IP,),
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
        drops=(OF_ONE_LINK, TIME_IS_UP, UNROUTED, OTHER_SCOPE, NOT_THE_GATEWAY),
    ),
    Table.ROUTE_PATH: About(
        job="The next hops of routes that have several, by PATH.",
        priorities=RoutePathPriority,
        matches=fields(ROUTER, PATH, "eth_type ipv4_dst ipv6_dst"),
        sets=fields(NETWORK, EXIT, NAT, FLAGS, NEXT_HOP, "eth_src"),
        drops=(UNFORESEEN,),
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
        drops=(ROUTER_IS_SILENT,),
    ),
    Table.NEXT_HOP: About(
        job="The MAC address of the next hop: neighbours that answered, or those of the model.",
        priorities=NextHopPriority,
        matches=fields(NETWORK, FLAGS, NEXT_HOP, "eth_type"),
        sets=fields(OUT_PORT, PUNT_REASON, NEXT_HOP_MAC),
        leads_to=(Table.PUNT_LIMIT, Table.NEIGHBOURS),
        drops=(TOO_LARGE,),
    ),
    Table.NEXT_HOP_FOUND: About(
        job="On to the next hop; what has none goes to the controller, which asks for it.",
        priorities=NextHopFoundPriority,
        matches=fields(NEXT_HOP_MAC, "eth_type"),
        sets=fields(PUNT_REASON, "eth_dst ip_ttl"),
        leads_to=(Table.PUNT_LIMIT,),
        drops=(NO_NEIGHBOUR,),
    ),
    Table.ROUTER_OUT: About(
        job="A routed packet is on its next network: it goes to its port, or is switched "
        "there, or is for another router.",
        priorities=RouterOutPriority,
        matches=fields(OUT_PORT, ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS),
        sets=fields(IN_PORT, "nxm_in_port eth_src"),
        leads_to=(Table.ROUTER_ADMIT,),
        drops=(BACK_OUTSIDE,),
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
        drops=(NOT_THE_GATEWAY,),
    ),
    Table.L2_LOOKUP: Adds(
        matches=fields(NETWORK, "eth_dst"),
        drops=(NOT_ROUTED_HERE,),
    ),
}
