# SPDX-License-Identifier: Apache-2.0

"""The tables of security groups, their registers, and what others must know of both."""

from __future__ import annotations

from tenantry.controller.network.priorities import JudgePriority, VerdictPriority
from tenantry.controller.openflow.contract import About, Adds, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import Cause, Whose
from tenantry.controller.openflow.pipeline import (
    DECISION,
    IN_PORT,
    JUDGED,
    NETWORK,
    ORIGIN_PORT,
    OUT_PORT,
    PHYSICAL,
    POLICY,
    RULE_DIRECTION,
    VERDICT,
    Field,
    Table,
)

PORT_TO_IDENTIFY = Field(
    *("reg10", "PORT_TO_IDENTIFY", JUDGED),
    "a port's key, of which SG_IDENTITY makes the identity that goes with it",
)
SUBJECT_IDENTITY = Field(
    *("reg11", "SUBJECT_IDENTITY", JUDGED),
    "the identity on whose behalf a packet is judged: a port's, then each of its groups'",
)
PEER_IDENTITY = Field(
    *("reg12", "PEER_IDENTITY", JUDGED),
    "the identity of the port here that began the connection; 0 if it was none here",
)
REMOTE_GROUP = Field(
    *("reg9", "REMOTE_GROUP", JUDGED),
    "the remote group that the rules in question name; 0: those that name none",
)
ZONE = Field(
    *("reg6", "ZONE", JUDGED),
    "the zone in which the packet's connection is tracked at the port in question",
    bits=16,
)
FAR_ADDRESS = Field(
    *("xxreg0", "FAR_ADDRESS", JUDGED),
    "the address at the other end of the connection; IPv4 as in ADDRESS",
    bits=128,
)
FIELDS = (PORT_TO_IDENTIFY, SUBJECT_IDENTITY, PEER_IDENTITY, REMOTE_GROUP, ZONE, FAR_ADDRESS)

EGRESS, INGRESS = (1, 3), (2, 3)
LEAVING, ENTERING = (4, 12), (8, 12)
"""RULE_DIRECTION, as (value, mask). The first two are of the rules' own: which way a connection was
begun, as seen from the port. The others are of the packet: leaving the port, or entering it."""

ALLOWED = 1 << 31
"""VERDICT: some rule allows it."""

TRACKED, SECURED, OF_PORT, UNJUDGED = 1 << 31, 1 << 30, 1 << 29, 1 << 28
"""SUBJECT_IDENTITY and PEER_IDENTITY, beside the key of a security group: that it tracks
connections; always; that the key is a port's, one of several groups. UNJUDGED alone: a port without
port security. A tenant's port that is neither has no flows yet, and nothing passes."""

STRANGER = PHYSICAL
"""ct_mark of a connection that nobody here has begun; no port has this key."""

ADDRESS_GROUP = 1 << 24
"""The bit of REMOTE_GROUP that says that its key is an address group's."""


NO_EGRESS_RULE = Cause(
    *(0x0A01, "no_egress_rule", Whose.SENDER),
    "no rule of the port's security groups lets it out",
)
NO_INGRESS_RULE = Cause(
    *(0x0A02, "no_ingress_rule", Whose.RECEIVER),
    "no rule of the port's security groups lets it in",
)
INVALID_LEAVING = Cause(
    *(0x0A03, "invalid_leaving", Whose.SENDER),
    "it cannot be part of any connection of the port's that sends it",
)
INVALID_ENTERING = Cause(
    *(0x0A04, "invalid_entering", Whose.RECEIVER),
    "it cannot be part of any connection of the port's that it is for",
)
NOT_IP_LEAVING = Cause(
    *(0x0A05, "not_ip_leaving", Whose.SENDER),
    "it is neither ARP nor IP, which no security group lets out",
)
NOT_IP_ENTERING = Cause(
    *(0x0A06, "not_ip_entering", Whose.RECEIVER),
    "it is neither ARP nor IP, which no security group lets in",
)
NO_FLOWS_YET_LEAVING = Cause(
    *(0x0A07, "no_flows_yet_leaving", Whose.SENDER),
    "what the port's security groups let out is not known here yet",
)
NO_FLOWS_YET_ENTERING = Cause(
    *(0x0A08, "no_flows_yet_entering", Whose.RECEIVER),
    "what the port's security groups let in is not known here yet",
)
TOO_MANY_CONNECTIONS = Cause(
    *(0x0A09, "too_many_connections", Whose.METER),
    "too many connections begin, of the port or of those that share its limit",
)


class PortCtPriority(Priorities):
    """FROM_PORT_CT, TO_PORT_CT: who is judged."""

    PRIVATE = 400  # on a network with pvlan, which is asked first
    COMMITTED = 301  # a router has made it known: it is looked up anew
    EXEMPT = 200  # what no network can do without
    ORDINARY = 100


class SgIdentityPriority(Priorities):
    """SG_IDENTITY: a port's identity."""

    PORT = 100
    MISS = 0  # none here


class TrackPriority(Priorities):
    """FROM_PORT_TRACK, TO_PORT_TRACK: whether the connection is looked up."""

    NO_FLOWS_YET = 300  # of a port that nobody knows how to judge
    SAME_ZONE = 202  # looked up already
    COMMIT_FIRST = 201  # begins in the zone where it was looked up
    LOOK_UP = 200
    LEAVES = 200  # nobody judges there, but a connection that begins here becomes known
    UNTRACKED = 101  # IP that connection tracking does not know
    NOT_IP = 100  # nor ARP: does not pass


class ZonesPriority(Priorities):
    """ZONES: the zone of a connection."""

    ON_LINK = 300  # by either address, with the network's own hosts
    ROUTED = 200  # with all others, on a network that routers join
    ANY_FURTHER = 100  # on one that none joins, if it is not on the link
    MISS = 0  # the network's own


class MembersPriority(Priorities):
    """MEMBERS: who is in a remote group."""

    LINK_LOCAL = 300  # says nothing of who has the address elsewhere
    IDENTITY = 200
    ADDRESS = 100


class RulesPriority(Priorities):
    """RULES: of rules that overlap the most special one is counted."""

    RULE = range(100, 191)  # by how much of a packet it names


class ConnectionLimitPriority(Priorities):
    """CONNECTION_LIMIT: on whose account."""

    TAKEN = 101  # begun elsewhere
    BEGUN = 100


class CommitPriority(Priorities):
    """COMMIT: what counts."""

    BEGUN_ELSEWHERE = 201
    BEGUN_HERE = 200
    KNOWN = 100  # has a mark by now, and counts no more


JUDGE_MATCHES = fields(SUBJECT_IDENTITY, ZONE, "eth_type ip_proto icmpv4_type icmpv6_type ct_state")
JUDGE_SETS = fields(PORT_TO_IDENTIFY, PEER_IDENTITY, RULE_DIRECTION, VERDICT, POLICY, DECISION)
"""Of FROM_PORT_ACL and TO_PORT_ACL: both ways are judged by flows of one shape."""

TABLES = {
    Table.FROM_PORT_CT: About(
        job="Who sends, by IN_PORT, and the zone of the connection. What a network cannot do "
        "without, ARP, neighbour discovery and DHCP, passes by, if it is for the link.",
        priorities=PortCtPriority,
        matches=fields(
            IN_PORT,
            "eth_type ip_proto ip_ttl ipv4_dst ipv6_src ipv6_dst udp_src udp_dst",
            "icmpv6_type icmpv6_code",
        ),
        sets=fields(ORIGIN_PORT, PORT_TO_IDENTIFY, SUBJECT_IDENTITY, RULE_DIRECTION),
        leads_to=(Table.SG_IDENTITY, Table.FROM_PORT_TRACK, Table.ZONES),
    ),
    Table.SG_IDENTITY: About(
        job="From a port's key, in PORT_TO_IDENTIFY, to the identity that its security "
        "groups give it; visited by resubmit.",
        priorities=SgIdentityPriority,
        matches=fields(PORT_TO_IDENTIFY),
        sets=fields(PORT_TO_IDENTIFY),
    ),
    Table.FROM_PORT_TRACK: About(
        job="Looks the connection up. Ports without port security pass by.",
        priorities=TrackPriority,
        matches=fields(SUBJECT_IDENTITY, "eth_type ip_proto"),
        leads_to=(Table.FROM_PORT_ACL,),
        drops=(NOT_IP_LEAVING, NO_FLOWS_YET_LEAVING),
    ),
    Table.ZONES: About(
        job="The zone of a connection: with a network's own addresses the network's, with "
        "others that of all networks which routers join. Visited by resubmit.",
        priorities=ZonesPriority,
        matches=fields(
            NETWORK, RULE_DIRECTION, "eth_dst eth_type ipv4_src ipv4_dst ipv6_src ipv6_dst"
        ),
        sets=fields(ZONE),
    ),
    Table.SG_POLICY: About(
        job="For SUBJECT_IDENTITY, the groups of a port, and for a group the remote groups "
        "that its rules name: each is asked. Visited by resubmit.",
        priorities=OneRung,
        matches=fields(SUBJECT_IDENTITY, RULE_DIRECTION),
        sets=fields(SUBJECT_IDENTITY, REMOTE_GROUP),
        leads_to=(Table.SG_POLICY, Table.MEMBERS, Table.FAR_END, Table.RULES),
    ),
    Table.FROM_PORT_ACL: About(
        job="What leaves a port is judged by its groups' egress rules; answers by the "
        "ingress rules that had let the question in.",
        priorities=JudgePriority,
        matches=JUDGE_MATCHES,
        sets=JUDGE_SETS,
        leads_to=(
            Table.PUNT_LIMIT,
            Table.SG_IDENTITY,
            Table.ZONES,
            Table.SG_POLICY,
            Table.FROM_PORT_ACL,
            Table.FROM_PORT_VERDICT,
            Table.FIREWALL_PORT,
        ),
        drops=(INVALID_LEAVING,),
    ),
    Table.MEMBERS: About(
        job="Whether the other end is in REMOTE_GROUP: by its identity if it is here, else "
        "by its address. Visited by resubmit.",
        priorities=MembersPriority,
        matches=fields(PEER_IDENTITY, REMOTE_GROUP, FAR_ADDRESS),
        leads_to=(Table.RULES,),
    ),
    Table.FROM_PORT_VERDICT: About(
        job="What no rule allowed is dropped.",
        priorities=VerdictPriority,
        matches=fields(VERDICT, "ct_state"),
        leads_to=(Table.LOG,),
        drops=(NO_EGRESS_RULE,),
    ),
    Table.FAR_END: About(
        job="The other end's address, for MEMBERS; visited by resubmit.",
        priorities=OneRung,
        matches=fields(RULE_DIRECTION, "eth_type"),
        sets=fields(FAR_ADDRESS),
    ),
    Table.RULES: About(
        job="The rules. They are matched with what the packet's connection was begun with, "
        "so that one flow judges both directions. Visited by resubmit.",
        priorities=RulesPriority,
        matches=fields(
            SUBJECT_IDENTITY,
            REMOTE_GROUP,
            RULE_DIRECTION,
            "eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst tcp_dst udp_dst",
            "sctp_dst icmpv4_type icmpv4_code icmpv6_type icmpv6_code ct_state ct_nw_proto",
            "ct_nw_src ct_nw_dst ct_ipv6_src ct_ipv6_dst ct_tp_src ct_tp_dst",
        ),
        sets=fields(VERDICT),
    ),
    Table.TO_PORT_CT: About(
        job="Who receives, by OUT_PORT, and who sent; the zone of the connection. ARP, "
        "neighbour discovery, router advertisements and DHCP pass by, if they are from "
        "the link.",
        priorities=PortCtPriority,
        matches=fields(
            NETWORK,
            "in_port eth_type ip_proto ip_ttl ipv4_src ipv6_src ipv6_dst udp_src udp_dst",
            "icmpv6_type icmpv6_code ct_state",
        ),
        sets=fields(PORT_TO_IDENTIFY, SUBJECT_IDENTITY, RULE_DIRECTION),
        leads_to=(Table.SG_IDENTITY, Table.ZONES, Table.TO_PORT_CT, Table.TO_PORT_TRACK),
    ),
    Table.TO_PORT_TRACK: About(
        job="Looks the connection up, unless FROM_PORT_TRACK did so in the same zone.",
        priorities=TrackPriority,
        matches=fields(OUT_PORT, SUBJECT_IDENTITY, ZONE, "eth_type ip_proto ct_state ct_zone"),
        leads_to=(Table.COMMIT, Table.TO_PORT_ACL),
        drops=(NOT_IP_ENTERING, NO_FLOWS_YET_ENTERING),
    ),
    Table.CONNECTION_LIMIT: About(
        job="How many connections a port may begin, and how many may begin with it "
        "elsewhere: each by a meter that few share with it. Visited by resubmit.",
        priorities=ConnectionLimitPriority,
        matches=fields(OUT_PORT, ORIGIN_PORT),
        drops=(TOO_MANY_CONNECTIONS,),
    ),
    Table.COMMIT: About(
        job="A connection becomes known, where it was looked up, if the port that begins it "
        "may have one more; or, if that is not here, the one that it is for. Visited by "
        "resubmit.",
        priorities=CommitPriority,
        matches=fields(ORIGIN_PORT, "eth_type ct_mark"),
        sets=fields(ORIGIN_PORT, "ct_mark"),
        leads_to=(Table.CONNECTION_LIMIT,),
    ),
    Table.TO_PORT_ACL: About(
        job="What enters a port is judged by its groups' ingress rules; answers by the "
        "egress rules that had let the question out.",
        priorities=JudgePriority,
        matches=JUDGE_MATCHES,
        sets=JUDGE_SETS,
        leads_to=(
            Table.PUNT_LIMIT,
            Table.SG_IDENTITY,
            Table.ZONES,
            Table.SG_POLICY,
            Table.FIREWALL_PORT,
            Table.TO_PORT_ACL,
            Table.TO_PORT_VERDICT,
        ),
        drops=(INVALID_ENTERING,),
    ),
    Table.TO_PORT_VERDICT: About(
        job="What no rule allowed is dropped. A new connection becomes known.",
        priorities=VerdictPriority,
        matches=fields(VERDICT, "ct_state"),
        leads_to=(Table.COMMIT, Table.LOG),
        drops=(NO_INGRESS_RULE,),
    ),
}

ADDS_TO = {
    Table.ROUTER_IN: Adds(
        matches=fields("in_port ct_state"),
        leads_to=(Table.ROUTER_IN, Table.COMMIT),
    ),
}
