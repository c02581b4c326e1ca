# SPDX-License-Identifier: Apache-2.0

"""Flows of firewalls; see the package for what they do."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from tenantry.apps.firewall.packets import ENTERING_PORT, ERROR, IN_ROUTER, LEAVING_PORT
from tenantry.apps.firewall.records import FirewallGroup, FirewallPolicy, FirewallRule
from tenantry.apps.firewall.tables import (
    DENIED,
    DENIED_ENTERING,
    DENIED_LEAVING,
    DENIED_ROUTED,
    INGRESS_POLICY,
    INVALID_ROUTED,
    REJECTED,
    REJECTED_ENTERING,
    REJECTED_LEAVING,
    REJECTED_ROUTED,
    FirewallRulesPriority,
    RouterFirewallPriority,
    also_judged,
    judged,
)
from tenantry.apps.security_groups.tables import ALLOWED
from tenantry.controller.model import Port, Prefix, View, derived, ports_on
from tenantry.controller.network.conntrack import (
    LOOKED_UP,
    NEW,
    REPLY,
    STATE,
    TRACKED_PROTOCOLS,
    by_state,
    committed,
)
from tenantry.controller.network.priorities import JudgePriority, VerdictPriority
from tenantry.controller.network.routers import router_interfaces, routers_on, routing_domain
from tenantry.controller.openflow.contract import OneRung
from tenantry.controller.openflow.drops import UNFORESEEN, Cause, drop
from tenantry.controller.openflow.flow import (
    CONTROLLER,
    CT_TRACKED,
    Actions,
    Ct,
    Flow,
    Goto,
    Match,
    Output,
    Resubmit,
    SetField,
)
from tenantry.controller.openflow.keys import Zone
from tenantry.controller.openflow.masks import port_masks
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import (
    DECISION,
    ENTERED,
    EXIT,
    ITSELF,
    POLICY,
    SOURCE,
    VERDICT,
    Table,
)
from tenantry.controller.packets.addresses import prefix_value
from tenantry.controller.packets.frames import ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP

DCCP = 33
_PROTOCOLS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "dccp": DCCP, "ipv6-icmp": ICMPV6}
_PORTS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}

_BY_GROUPS: Match = {VERDICT: (ALLOWED, ALLOWED)}
VERDICTS: dict[Table, tuple[int, Match, Cause, Cause]] = {
    Table.FROM_PORT_VERDICT: (LEAVING_PORT, _BY_GROUPS, DENIED_LEAVING, REJECTED_LEAVING),
    Table.TO_PORT_VERDICT: (ENTERING_PORT, _BY_GROUPS, DENIED_ENTERING, REJECTED_ENTERING),
    Table.ROUTER_FIREWALL_VERDICT: (IN_ROUTER, {}, DENIED_ROUTED, REJECTED_ROUTED),
}
"""Where a packet is let through or not; what a port's security groups drop is told nobody."""


def compile_common(view: View, switch: int, id: str) -> Iterator[Flow]:
    """How a router's ports are judged, and what becomes of what they do not let through."""
    on = Goto(Table.ROUTER_FIREWALL.next)
    acl, verdict = Table.ROUTER_FIREWALL_ACL, Table.ROUTER_FIREWALL_VERDICT
    # What the router itself says was not sent through it.
    yield Flow(Table.ROUTER_FIREWALL, RouterFirewallPriority.ITSELF, {SOURCE: ITSELF}, (on,))
    yield from by_state(acl, on, {}, SetField(POLICY, ERROR), INVALID_ROUTED)
    answers = (*judged(ENTERED, ingress=True), *also_judged(EXIT, ingress=False))
    yield Flow(acl, JudgePriority.REPLY, {"ct_state": REPLY}, (*answers, Goto(verdict)))
    begun = (*judged(ENTERED, ingress=False), *also_judged(EXIT, ingress=True))
    yield Flow(acl, JudgePriority.MISS, {}, (*begun, Goto(verdict)))
    yield Flow(verdict, VerdictPriority.ALLOWED, {DECISION: 0}, (on,))
    yield Flow(verdict, VerdictPriority.MISS, {}, drop(UNFORESEEN))
    for table, (where, allowed, denied, rejected) in VERDICTS.items():
        log: Actions = (SetField(VERDICT, 0), Resubmit(Table.LOG)) if allowed else ()
        yield Flow(table, VerdictPriority.DENIED, {DECISION: DENIED}, (*log, *drop(denied)))
        tell: Actions = (
            *(*log, SetField(POLICY, where), Resubmit(Table.PUNT_LIMIT)),
            *(Output(CONTROLLER), *drop(rejected)),
        )
        yield Flow(table, VerdictPriority.REJECTED, {**allowed, DECISION: REJECTED}, tell)


# --- ports -----------------------------------------------------------------------------------


@derived
def router_ports_on(view: View, switch: int) -> frozenset[str]:
    """The interfaces of the routers on a switch."""
    every = (router_interfaces(view, router_id) for router_id in routers_on(view, switch))
    return frozenset(leg.port.id for some in every for leg in some if not leg.gateway)


@derived
def ports_in_groups(view: View) -> frozenset[str]:
    """The ports that have a firewall."""
    return view.distinct(FirewallGroup, "ports")


def ports_with_firewall(view: View, switch: int) -> frozenset[str]:
    """Those of them that this switch judges."""
    return ports_in_groups(view) & (ports_on(view, switch) | router_ports_on(view, switch))


def group_of(view: View, port_id: str) -> FirewallGroup | None:
    """The firewall group of a port, if it is switched on."""
    for group in view.find(FirewallGroup, ports=port_id):
        if group.admin_state_up:
            return group
    return None


def compile_port(view: View, switch: int, port_id: str) -> Iterator[Flow]:
    """Which policies judge a port; and, on a router's port, look the connection up."""
    port, group = view.get(Port, port_id), group_of(view, port_id)
    if port is None or group is None:
        return
    for policy_id, flag in ((group.egress_id, 0), (group.ingress_id, INGRESS_POLICY)):
        policy = view.get(FirewallPolicy, policy_id) if policy_id else None
        ask: Actions = (SetField(DECISION, DENIED),)
        if policy is not None:
            ask = (SetField(POLICY, policy.key), Resubmit(Table.FIREWALL_RULES))
        yield Flow(Table.FIREWALL_PORT, OneRung.ORDINARY, {POLICY: flag | port.key}, ask)
    router_key = routing_domain(view, port.network_id)
    if port.router_id and router_key is not None:
        yield from _looked_up(port, Zone.routed(router_key))


def _looked_up(port: Port, zone: int) -> Iterator[Flow]:
    judge = Goto(Table.ROUTER_FIREWALL_ACL)
    for end in (ENTERED, EXIT):
        yield Flow(
            Table.ROUTER_FIREWALL, RouterFirewallPriority.UNTRACKED, {end: port.key}, (judge,)
        )
        for one in LOOKED_UP:
            lookup = Ct(zone, Table.ROUTER_FIREWALL_ACL)
            yield Flow(
                Table.ROUTER_FIREWALL,
                RouterFirewallPriority.LOOK_UP,
                {end: port.key, **one},
                (lookup,),
            )
        known: Match = {end: port.key, "ct_zone": zone}
        yield Flow(Table.ROUTER_FIREWALL, RouterFirewallPriority.SAME_ZONE, known, (judge,))
        for eth_type in (IPV4, IPV6):
            begun: Match = {end: port.key, DECISION: 0, "ct_state": NEW}
            on = Goto(Table.ROUTER_FIREWALL.next)
            yield Flow(
                Table.ROUTER_FIREWALL_VERDICT,
                VerdictPriority.COMMIT,
                {**begun, "eth_type": eth_type},
                (committed(zone), on),
            )


# --- policies --------------------------------------------------------------------------------


def policies_on(view: View, switch: int) -> frozenset[str]:
    """The policies of the ports that this switch judges."""
    groups = [group_of(view, port_id) for port_id in ports_with_firewall(view, switch)]
    ids = {id for group in groups if group for id in (group.ingress_id, group.egress_id)}
    return frozenset(ids - {""})


def compile_policy(view: View, switch: int, policy_id: str) -> Iterator[Flow]:
    """What no rule of a policy decides."""
    policy = view.get(FirewallPolicy, policy_id)
    if policy is not None:
        nothing: Match = {POLICY: policy.key}
        yield Flow(Table.FIREWALL_RULES, FirewallRulesPriority.NO_RULE, nothing, _DECISIONS["deny"])


def rules_on(view: View, switch: int) -> frozenset[str]:
    """The rules of those policies: ids of the policy and of the rule."""
    policies = (view.get(FirewallPolicy, id) for id in policies_on(view, switch))
    return frozenset(f"{p.id} {rule_id}" for p in policies if p for rule_id in p.rules)


def compile_rule(view: View, switch: int, id: str) -> Iterator[Flow]:
    """A rule at its place in a policy, the first on top. One that is inserted moves those behind
    it. To allow is to leave the decision as it is: the other end's firewall may have denied. Of a
    packet in fragments, what is denied by its ports is the first."""
    policy_id, _, rule_id = id.partition(" ")
    policy, rule = view.get(FirewallPolicy, policy_id), view.get(FirewallRule, rule_id)
    if policy is None or rule is None or not rule.enabled or rule_id not in policy.rules:
        return
    priority = FirewallRulesPriority.RULE[policy.rules.index(rule_id)]
    for match in _matches(rule):
        yield Flow(
            Table.FIREWALL_RULES, priority, {POLICY: policy.key, **match}, _DECISIONS[rule.action]
        )


_DECISIONS: dict[str, Actions] = {
    "allow": (),
    "deny": (SetField(DECISION, DENIED),),
    "reject": (SetField(DECISION, REJECTED),),
}


def _matches(rule: FirewallRule) -> Iterator[Match]:
    family: Match = {"eth_type": IPV4 if rule.version == 4 else IPV6}
    number = _PROTOCOLS.get(rule.protocol, ICMP if rule.version == 4 else ICMPV6)
    protocol = number if rule.protocol else None
    tracked = TRACKED_PROTOCOLS[rule.version]
    if protocol is None or protocol in tracked:
        ends = {**_end(rule.source, "src", True), **_end(rule.destination, "dst", True)}
        match: Match = {**family, "ct_state": STATE, **ends}
        if protocol is not None:
            match["ct_nw_proto"] = protocol
        yield from _with_ports(match, rule, "ct_tp")
    if protocol is None or protocol not in tracked:
        ends = {**_end(rule.source, "src", False), **_end(rule.destination, "dst", False)}
        match = {**family, "ct_state": (0, CT_TRACKED), **ends}
        if protocol is not None:
            match["ip_proto"] = protocol
        yield from _with_ports(match, rule, _PORTS.get(protocol or 0, ""))


def _end(prefix: Prefix | None, end: str, tracked: bool) -> Match:
    if prefix is None or not prefix.length:
        return {}
    name = f"ipv{prefix.version}"
    if tracked:
        name = "ct_nw" if prefix.version == 4 else "ct_ipv6"
    return {f"{name}_{end}": prefix_value(prefix.version, prefix.first, prefix.length)}


def _with_ports(match: Match, rule: FirewallRule, name: str) -> Iterator[Match]:
    ranges = {"src": rule.source_ports, "dst": rule.destination_ports}
    given = {f"{name}_{end}": port_masks(*span) for end, span in ranges.items() if span and name}
    if given and rule.action == "allow":
        yield {**match, "ip_frag": LATER_FRAGMENT}
    for values in product(*given.values()):
        yield {**match, **dict(zip(given, values, strict=True))}
