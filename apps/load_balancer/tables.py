# SPDX-License-Identifier: Apache-2.0

"""The tables of load balancers, their registers, and what they add to others' tables."""

from __future__ import annotations

from tenantry.controller.openflow.contract import About, Adds, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, Whose
from tenantry.controller.openflow.keys import MeterUse
from tenantry.controller.openflow.pipeline import (
    ADDRESS,
    FLAGS,
    IN_PORT,
    MAC,
    NAT,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    OWNED,
    ROUTER,
    SOURCE,
    Field,
    Table,
)

_CHOICE = "VIP..VIP ROUTER_LB..ROUTER_LB LB_SPLIT..LB_STICKY"

POOL = Field(
    *("reg4", "POOL", _CHOICE),
    "key of the pool of which a member is chosen, with OF_SIX, AMONG_THE_OTHERS, BY_ROUTER",
)
PART = Field(
    *("reg5", "PART", _CHOICE),
    "how the space of ports is cut: into so many equal parts, or (UNEQUAL) as the pool has it; "
    "then, which part a connection is in, or the slot of a member",
)
SWAP = Field(*("xxreg0", "SWAP", "VIP..VIP"), "an address while it changes places", bits=128)
REFUSED_IN = Field(
    *("reg6", "REFUSED_IN", "VIP..VIP"),
    "on the way to the controller: the zone that knows the connection; 0: none does",
    bits=16,
)
FIELDS = (POOL, PART, SWAP, REFUSED_IN)

OF_SIX = 1 << 31
"""The bit of POOL that says that the members are those of IPv6."""

AMONG_THE_OTHERS = 1 << 30
"""The bit of POOL that says that PART counts members in rotation: the one whose slot it was is
not."""

BY_ROUTER = 1 << 29
"""The bit of POOL that says that the connection is known to a router, not to a client's switch."""

BY_SLOT = 1 << 28
"""The bit of POOL that says that PART is the slot of a member: the client has it since before."""

UNEQUAL = 1 << 29
"""The bit of PART beside what is in POOL."""

ASKED = 1 << 2
"""OWNED of what IDENTITY has no row for."""

TRANSLATED_BACK = 1 << 31
"""ORIGIN_PORT, in OUTPUT, of what a load balancer's zone was asked about already."""

NO_MEMBER = Cause(
    *(0x1D01, "no_member", Whose.SENDER),
    "none of the members of the load balancer's pool is in rotation: its sender is told",
)
NOT_ALLOWED = Cause(
    *(0x1D02, "not_allowed", Whose.SENDER),
    "its address is in none of the listener's allowed CIDRs",
)
MEMBER_GONE = Cause(
    *(0x1D03, "member_gone", Whose.SENDER),
    "its connection is with a member that the load balancer has no more, or that is switched off, "
    "or cannot be reached from its network: its sender is told",
)
NO_LISTENER = Cause(
    *(0x1D04, "no_listener", Whose.SENDER),
    "it is for no listener of the load balancer, or part of no connection that can be tracked",
)

TOO_MANY_FOR_LISTENER = Cause(
    *(0x1D05, "too_many_for_listener", Whose.METER),
    "more connections begin with a load balancer's listener than its connection limit allows",
    (("load_balancer", MeterUse.BALANCED),),
)


class VipPriority(Priorities):
    """VIP: what connection tracking has made of the destination."""

    ANSWER_TO_ITSELF = 601  # of a member, by the zone of those
    NOT_TO_ITSELF = 600
    TRANSLATED = 401  # to a member's address and port
    TRANSLATED_ADDRESS = 400  # to a member's address, whatever its ports are
    ECHO = 360  # a ping, and nobody is there but the address
    NEW_IN_FRAGMENTS = range(101, 358, 2)  # as NEW, where all of a packet must be led one way
    NEW = range(100, 357, 2)  # for a listener: by the length of the client's prefix, if that counts
    NOT_ALLOWED = 60  # for one that is not for everybody
    OTHER = 50  # for no listener that is here
    GONE = 40  # for a member that is no more
    MISS = 0


class RouterLbPriority(Priorities):
    """ROUTER_LB: first what a zone has been asked about, then what one is to be asked about."""

    ANSWER = 502  # of a member, to a client of the zone's load balancer
    OTHER_ZONE_FRAGMENT = 501
    OTHER_ZONE = 500  # of a member that several load balancers have
    TRANSLATED = 400  # to a member's address
    NEW_IN_FRAGMENTS = range(101, 358, 2)  # as NEW, where all of a packet must be led one way
    NEW = range(100, 357, 2)  # for a listener: by the length of the client's prefix, if that counts
    NOT_ALLOWED = 60  # for one that is not for everybody
    OTHER = 50  # for no listener that is here
    HAND_OVER = 41  # of a member, and no answer: another gateway could take it
    NO_ANSWER = 40
    GONE = 30  # to what is no member any more
    ARRIVED = 23  # for a load balancer
    STAYS_INSIDE = 22  # from a network of the router to another
    FRAGMENT_FROM_MEMBER = 21  # of which only the first says from which of its ports
    FROM_MEMBER = 20  # from where a member answers


class RouterLbBackPriority(Priorities):
    """ROUTER_LB_BACK: what became of a source."""

    TRANSLATED = 200
    OTHER_ZONE = 100  # not yet
    MISS = 0


class ItselfPriority(Priorities):
    """LB_ITSELF: whether the member that was chosen is the client."""

    OF_A_LEARNER = 300  # as the port's own addresses say: it has no port security
    ITSELF = 200
    ASK = 100
    MISS = 0  # it is not


class SplitPriority(Priorities):
    """LB_SPLIT: rows of a tier go before those that they cut."""

    TIER = range(100, 116)


class MemberPriority(Priorities):
    """LB_MEMBER."""

    MEMBER = 100
    MISS = 0


TABLES = {
    Table.VIP: About(
        job="What was for an address of a load balancer, and is for a member if its connection is "
        "known. If it begins, and is for a listener that a switch can do, a member is chosen, and "
        "the connection is translated, if the sender may have one more; nobody there, the "
        "controller refuses it. Answers of a member to itself turn around here, pings to an "
        "address that no interface has are answered, and the rest goes on as it is.",
        priorities=VipPriority,
        matches=fields(
            NETWORK,
            IN_PORT,
            "eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst icmpv4_type icmpv6_type",
            "tcp_dst udp_dst sctp_dst ct_state ct_zone ct_nw_proto",
        ),
        sets=fields(
            POOL,
            PART,
            SWAP,
            REFUSED_IN,
            ORIGIN_PORT,
            OUT_PORT,
            OWNED,
            "nxm_in_port eth_src eth_dst ipv4_src ipv4_dst ipv6_src ipv6_dst ip_ttl",
            "icmpv4_type icmpv6_type",
        ),
        leads_to=(
            Table.VIP,
            Table.CONNECTION_LIMIT,
            Table.PUNT_LIMIT,
            Table.LB_SPLIT,
            Table.LB_STICKY,
            Table.LB_MEMBER,
            Table.LB_ITSELF,
            Table.OUTPUT,
        ),
        drops=(NO_MEMBER, NOT_ALLOWED, MEMBER_GONE, NO_LISTENER, TOO_MANY_FOR_LISTENER),
    ),
    Table.LB_ITSELF: About(
        job="Whether the member that was chosen is the client itself, by whether it may call the "
        "address its own: then what it says turns around, as if the load balancer said it.",
        priorities=ItselfPriority,
        matches=fields(IN_PORT, OWNED, "eth_type ipv4_dst ipv6_dst ct_zone"),
        sets=fields(ADDRESS, MAC, OWNED, OUT_PORT, "nxm_in_port eth_src eth_dst"),
        leads_to=(Table.IDENTITY, Table.LB_ITSELF, Table.VIP.next, Table.OUTPUT),
    ),
    Table.ROUTER_LB: About(
        job="At a router's gateways, what comes from outside for an address of a load balancer, or "
        "for its floating IP, goes to a member; and answers of members are told from what else "
        "they send. On other switches these go to the gateway, as they are.",
        priorities=RouterLbPriority,
        matches=fields(
            ROUTER,
            SOURCE,
            NAT,
            FLAGS,
            "eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst icmpv4_type icmpv6_type",
            "tcp_src udp_src sctp_src tcp_dst udp_dst sctp_dst ct_state ct_zone ct_nw_proto",
        ),
        sets=fields(POOL, PART, SOURCE, FLAGS, ORIGIN_PORT, OUT_PORT),
        leads_to=(
            Table.ROUTER_LB,
            Table.LB_SPLIT,
            Table.LB_STICKY,
            Table.LB_MEMBER,
            Table.FLOOD.next,
        ),
        drops=(NOT_ALLOWED, MEMBER_GONE, TOO_MANY_FOR_LISTENER),
    ),
    Table.ROUTER_LB_BACK: About(
        job="The source of a member's answer is the load balancer's address by now.",
        priorities=RouterLbBackPriority,
        matches=fields(ROUTER, "eth_type ipv4_src ipv6_src ct_zone"),
        sets=fields(SOURCE, ORIGIN_PORT),
        leads_to=(Table.ROUTER_LB_BACK, Table.ROUTER_NAT_OUT),
        drops=(UNFORESEEN,),
    ),
    Table.LB_SPLIT: About(
        job="Which part of a pool a connection is in, by a few bits of the port that its client "
        "has begun it with. Visited by resubmit.",
        priorities=SplitPriority,
        matches=fields(PART, "ct_state ct_nw_proto ct_tp_src"),
        sets=fields(PART),
    ),
    Table.LB_STICKY: About(
        job="The members that clients of pools with session persistence have since before; visited "
        "by resubmit, sets POOL and PART.",
        priorities=OneRung,
        matches=fields(POOL, "eth_type ipv4_src ipv6_src"),
        sets=fields(POOL, PART),
    ),
    Table.LB_MEMBER: About(
        job="Whose a part is: the connection becomes known, translated to that member.",
        priorities=MemberPriority,
        matches=fields(POOL, PART, "eth_type"),
        sets=fields(POOL, PART),
        leads_to=(Table.LB_STICKY, Table.VIP, Table.ROUTER_LB, Table.LB_MEMBER),
        drops=(UNFORESEEN,),
    ),
}

ADDS_TO = {
    Table.TRAP: Adds(
        matches=fields(NETWORK, IN_PORT, "eth_dst eth_type ipv4_dst ipv6_dst"),
        leads_to=(Table.VIP,),
    ),
    Table.ROUTE: Adds(
        matches=fields(ROUTER, "eth_type ip_frag ipv4_dst ipv6_dst"),
        leads_to=(Table.ROUTER_REPLY,),
    ),
    Table.ROUTER_SOURCE: Adds(
        matches=fields(
            ROUTER,
            SOURCE,
            "eth_type ip_proto ip_frag ipv4_src icmpv4_type tcp_src udp_src sctp_src",
        ),
    ),
    Table.ROUTER_NAT_OUT: Adds(
        matches=fields(ROUTER, SOURCE, NAT, "eth_type ipv4_src ipv6_src"),
        sets=fields(SOURCE, NAT, ORIGIN_PORT, "ipv4_src"),
        leads_to=(Table.ROUTER_LB_BACK, Table.ROUTER_NAT_OUT, Table.ROUTER_OUT),
    ),
    Table.NEIGHBOURS: Adds(matches=fields(NETWORK, IN_PORT, ADDRESS), sets=fields(MAC)),
    Table.OUTPUT: Adds(
        matches=fields(
            NETWORK,
            OUT_PORT,
            ORIGIN_PORT,
            "eth_type ip_proto ipv4_src ipv6_src tcp_src udp_src sctp_src ct_zone",
        ),
        sets=fields(ORIGIN_PORT),
        leads_to=(Table.OUTPUT,),
    ),
}
