# SPDX-License-Identifier: Apache-2.0

"""The tables of NAT."""

from __future__ import annotations

from tenantry.controller.network.failover import NOT_THE_GATEWAY
from tenantry.controller.openflow.contract import About, Adds, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    ENTERED,
    EXIT,
    FLAGS,
    IN_PORT,
    MAC,
    NAT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    PUNT_REASON,
    ROUTER,
    SOURCE,
    Table,
)

OLD_CONNECTION = Cause(
    *(0x0C01, "old_connection", Whose.ROUTED),
    "its connection is translated to an address that is not the router's any more",
)
NOT_PROXIED = Cause(
    *(0x0C02, "not_proxied", Whose.ROUTED),
    "it comes from outside for an address that the router has no NDP proxy for",
)


class RouterSourcePriority(Priorities):
    """ROUTER_SOURCE: sources."""

    MEMBER = 200  # of a load balancer, with a floating IP: the gateway must see it as it is
    FLOATING = 100
    FORWARDED = 100  # by port


class RouterNatInPriority(Priorities):
    """ROUTER_NAT_IN: destinations."""

    BALANCED = 204  # a load balancer's floating IP: the active gateway alone takes it
    GATEWAY_FRAGMENT = 203  # as AT_GATEWAY, in fragments
    FLOATING_FRAGMENT = 202  # as FLOATING, in fragments
    AT_GATEWAY = 201  # a floating IP, whoever asks: others could not take it
    FORWARDED_FRAGMENT = 201
    FLOATING = 200
    FORWARDED = 200  # by port
    SHARED = 100  # an address that many share


class RouterNatInDonePriority(Priorities):
    """ROUTER_NAT_IN_DONE: what became of a destination."""

    FLOATING = 200  # as it should
    EXPECTED = 200  # a connection that a helper has foreseen
    BEGINS_IN_FRAGMENTS = 200  # to a forwarded port: see ``forwarded.py``
    UNPROVEN = 101  # not as it should
    ERROR = 100  # about what went out by a floating IP


class RouterNatOutPriority(Priorities):
    """ROUTER_NAT_OUT: sources."""

    BALANCED = 300  # a load balancer answers, or its router for it
    FLOATING_FRAGMENT = 202
    FORWARDED = 202  # answers of what is forwarded by port
    FLOATING_OUTSIDE = 201
    FLOATING = 200
    PROXIED = 200  # IPv6, for which the router answers
    SAME_SCOPE = 102  # addresses mean the same there and here
    FLOATING_ELSEWHERE = 103  # another switch translates its floating IP; but it came here
    HELPED = 101  # connections that open others
    SHARED = 100  # by an address that many share
    NOT_PROXIED = 100


class RouterNatReplyPriority(Priorities):
    """ROUTER_NAT_REPLY: whether it was an answer of what is forwarded."""

    REPLY = 200
    OTHER = 100


class RouterNatDonePriority(Priorities):
    """ROUTER_NAT_DONE: what became of a source."""

    FLOATING_OUTSIDE = 201
    SHARED = 201  # as the shared address
    FLOATING = 200
    NOT_SHARED = 200  # by a connection from before it was another: dropped
    UNPROVEN = 101
    ERROR = 100


TABLES = {
    Table.ROUTER_SOURCE: About(
        job="Whether the source has a floating IP that is translated on this switch.",
        priorities=RouterSourcePriority,
        matches=fields(ROUTER, SOURCE, "eth_type ip_proto ip_frag ipv4_src tcp_src udp_src"),
        sets=fields(SOURCE, FLAGS),
    ),
    Table.ROUTER_NAT_IN: About(
        job="Destinations that are translated: floating IPs as they are, what is forwarded "
        "by port or comes back to a shared address by connection tracking.",
        priorities=RouterNatInPriority,
        matches=fields(
            ROUTER, SOURCE, FLAGS, "eth_type ip_proto ip_frag ipv4_dst tcp_dst udp_dst icmpv4_type"
        ),
        sets=fields(NAT, FLAGS, ORIGIN_PORT, OUT_PORT, "ipv4_dst"),
        leads_to=(Table.FLOOD.next, Table.ROUTE),
    ),
    Table.ROUTER_NAT_IN_DONE: About(
        job="What was translated; errors about what went out by a floating IP need more than that.",
        priorities=RouterNatInDonePriority,
        matches=fields(ROUTER, NAT, "eth_type ip_proto ip_frag ipv4_dst icmpv4_type ct_state"),
        sets=fields(NAT, PUNT_REASON, ORIGIN_PORT),
        leads_to=(Table.PUNT_LIMIT,),
        drops=(OLD_CONNECTION,),
    ),
    Table.ROUTER_NAT_OUT: About(
        job="Sources that are translated: floating IPs as they are, others to a shared address.",
        priorities=RouterNatOutPriority,
        matches=fields(
            NETWORK,
            ROUTER,
            SOURCE,
            NAT,
            FLAGS,
            "eth_type ip_proto ip_frag ipv4_src ipv6_dst tcp_src tcp_dst udp_src udp_dst",
            "icmpv4_type",
        ),
        sets=fields(NAT, ORIGIN_PORT, "eth_src ipv4_src"),
        leads_to=(Table.ROUTER_NAT_REPLY,),
        drops=(NOT_PROXIED,),
    ),
    Table.ROUTER_NAT_REPLY: About(
        job="Answers of what is forwarded by port bear its floating IP now; others do not.",
        priorities=RouterNatReplyPriority,
        matches=fields(ROUTER, FLAGS, "eth_type ct_state"),
        leads_to=(Table.ROUTER_OUT,),
    ),
    Table.ROUTER_NAT_DONE: About(
        job="Nothing leaves with an address that was to be translated, and was not.",
        priorities=RouterNatDonePriority,
        matches=fields(
            NETWORK, ROUTER, SOURCE, NAT, FLAGS, "eth_type ip_proto ipv4_src icmpv4_type"
        ),
        sets=fields(NAT, PUNT_REASON, ORIGIN_PORT, "eth_src"),
        leads_to=(Table.PUNT_LIMIT,),
        drops=(OLD_CONNECTION,),
    ),
}

ADDS_TO = {
    Table.NEIGHBOURS: Adds(
        matches=fields(NETWORK, ADDRESS),
        sets=fields(OUT_PORT, MAC),
    ),
    Table.ARP_ND_REPLY: Adds(
        matches=fields(IN_PORT, OUT_PORT, MAC),
        sets=fields(OUT_PORT),
        leads_to=(Table.ARP_ND_REPLY,),
        drops=(NOT_THE_GATEWAY,),
    ),
    Table.ROUTER_ADMIT: Adds(
        matches=fields(NETWORK, IN_PORT, "eth_dst"),
        sets=fields(OUT_PORT, ROUTER, ENTERED, EXIT, SOURCE, NAT, FLAGS, PUNT_REASON),
        leads_to=(Table.ROUTER_IN, Table.FLOOD.next),
        drops=(NOT_THE_GATEWAY,),
    ),
    Table.ROUTE: Adds(
        matches=fields(ROUTER, "eth_type ip_frag ipv4_dst"),
        leads_to=(Table.ROUTER_REPLY,),
    ),
}
