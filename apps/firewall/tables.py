# SPDX-License-Identifier: Apache-2.0

"""The tables of firewalls, and how other features ask them."""

from __future__ import annotations

from tenantry.controller.network.priorities import JudgePriority, VerdictPriority
from tenantry.controller.openflow.contract import About, Adds, OneRung, Priorities, fields
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, Whose
from tenantry.controller.openflow.flow import Actions, Move, Resubmit, SetField
from tenantry.controller.openflow.pipeline import (
    DECISION,
    ENTERED,
    EXIT,
    POLICY,
    SOURCE,
    VERDICT,
    Table,
)

INGRESS_POLICY = 1 << 31
"""POLICY: of a port, that which is asked is for what the port's network, or machine, gets."""

DENIED, REJECTED = 1, 2
"""DECISION."""


DENIED_LEAVING = Cause(
    *(0x0D01, "denied_leaving", Whose.SENDER),
    "the port's firewall group does not let it out",
)
DENIED_ENTERING = Cause(
    *(0x0D02, "denied_entering", Whose.RECEIVER),
    "the port's firewall group does not let it in",
)
DENIED_ROUTED = Cause(
    *(0x0D03, "denied_routed", Whose.ROUTED),
    "the firewall group of a router's port does not let it through",
)
REJECTED_LEAVING = Cause(
    *(0x0D04, "rejected_leaving", Whose.SENDER),
    "a rule of the port's firewall group rejects it: its sender is told",
)
REJECTED_ENTERING = Cause(
    *(0x0D05, "rejected_entering", Whose.RECEIVER),
    "a rule of the port's firewall group rejects what comes: its sender is told",
)
REJECTED_ROUTED = Cause(
    *(0x0D06, "rejected_routed", Whose.ROUTED),
    "a rule of a router's firewall group rejects it: its sender is told",
)
INVALID_ROUTED = Cause(
    *(0x0D07, "invalid_routed", Whose.ROUTED),
    "it cannot be part of any connection that the router's firewall has seen",
)


class FirewallRulesPriority(Priorities):
    """FIREWALL_RULES: the first rule that matches decides."""

    RULE = range(60_000, 100, -1)  # by its place in the policy
    NO_RULE = 100  # nothing passes


class RouterFirewallPriority(Priorities):
    """ROUTER_FIREWALL: whether a connection is looked up."""

    ITSELF = 300  # what the router says is not judged
    SAME_ZONE = 201  # looked up already
    LOOK_UP = 200
    UNTRACKED = 100


def judged(field: str, *, ingress: bool) -> Actions:
    """Ask the firewall of the port whose key is in a field; what it decides is in DECISION."""
    return (SetField(DECISION, 0), *also_judged(field, ingress=ingress))


def also_judged(field: str, *, ingress: bool) -> Actions:
    """Ask one more."""
    which = SetField(POLICY, INGRESS_POLICY if ingress else 0)
    return (which, Move(field, POLICY, 24), Resubmit(Table.FIREWALL_PORT))


TABLES = {
    Table.FIREWALL_PORT: About(
        job="The policy of a port's firewall, for a direction; a port that has none is let "
        "through. Visited by resubmit.",
        priorities=OneRung,
        matches=fields(POLICY),
        sets=fields(POLICY, DECISION),
        leads_to=(Table.FIREWALL_RULES,),
    ),
    Table.FIREWALL_RULES: About(
        job="The rules of policies, in their order. Visited by resubmit.",
        priorities=FirewallRulesPriority,
        matches=fields(
            POLICY,
            "eth_type ip_proto ip_frag ipv4_src ipv4_dst ipv6_src ipv6_dst tcp_src tcp_dst",
            "udp_src udp_dst sctp_src sctp_dst ct_state ct_nw_proto ct_nw_src ct_nw_dst",
            "ct_ipv6_src ct_ipv6_dst ct_tp_src ct_tp_dst",
        ),
        sets=fields(DECISION),
    ),
    Table.ROUTER_FIREWALL: About(
        job="What comes in or leaves by a router's port that has a firewall: its connection "
        "is looked up.",
        priorities=RouterFirewallPriority,
        matches=fields(ENTERED, EXIT, SOURCE, "eth_type ip_proto ct_zone"),
        leads_to=(Table.ROUTER_FIREWALL_ACL,),
    ),
    Table.ROUTER_FIREWALL_ACL: About(
        job="Asks the firewalls of both ports.",
        priorities=JudgePriority,
        matches=fields("eth_type ip_proto icmpv4_type icmpv6_type ct_state"),
        sets=fields(POLICY, DECISION),
        leads_to=(Table.PUNT_LIMIT, Table.FIREWALL_PORT, Table.ROUTER_FIREWALL_VERDICT),
        drops=(INVALID_ROUTED,),
    ),
    Table.ROUTER_FIREWALL_VERDICT: About(
        job="Lets through what both let through. A new connection becomes known.",
        priorities=VerdictPriority,
        matches=fields(ENTERED, EXIT, DECISION, "eth_type ct_state"),
        sets=fields(POLICY, "ct_mark"),
        leads_to=(Table.PUNT_LIMIT,),
        drops=(DENIED_ROUTED, REJECTED_ROUTED, UNFORESEEN),
    ),
}

ADDS_TO = {
    Table.FROM_PORT_VERDICT: Adds(
        matches=fields(VERDICT, DECISION),
        sets=fields(VERDICT, POLICY),
        leads_to=(Table.PUNT_LIMIT, Table.LOG),
        drops=(DENIED_LEAVING, REJECTED_LEAVING),
    ),
    Table.TO_PORT_VERDICT: Adds(
        matches=fields(VERDICT, DECISION),
        sets=fields(VERDICT, POLICY),
        leads_to=(Table.PUNT_LIMIT, Table.LOG),
        drops=(DENIED_ENTERING, REJECTED_ENTERING),
    ),
}
