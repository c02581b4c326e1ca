# SPDX-License-Identifier: Apache-2.0

"""One rule as flows.

A connection that is tracked is matched as it was begun (``ct_nw_proto``, ``ct_tp_dst`` ...; see
ovs-fields(7)), whichever way the packet goes: so a rule that goes takes with it, in both
directions, what it had let through. What cannot be tracked, or belongs to a group that does not
track, is matched as it is. A packet's later fragments have no ports: a rule about some lets all of
its protocol's pass, since the first fragment decides (see ``controller/network/conntrack.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from tenantry.apps.security_groups.members import groups_on, identity, remote_key, rule_direction
from tenantry.apps.security_groups.records import SecurityGroup, SecurityGroupRule
from tenantry.apps.security_groups.tables import (
    ALLOWED,
    REMOTE_GROUP,
    SUBJECT_IDENTITY,
    RulesPriority,
)
from tenantry.controller.model import View
from tenantry.controller.network.conntrack import STATE, TRACKED_PROTOCOLS
from tenantry.controller.openflow.flow import CT_TRACKED, Flow, Match, SetField
from tenantry.controller.openflow.masks import port_masks
from tenantry.controller.openflow.oxm import LATER_FRAGMENT
from tenantry.controller.openflow.pipeline import RULE_DIRECTION, VERDICT, Table
from tenantry.controller.packets.addresses import BITS, prefix_value
from tenantry.controller.packets.frames import FRAGMENT, ICMP, ICMPV6, IPV4, IPV6, SCTP, TCP, UDP

_PORTS = {TCP: "tcp_dst", UDP: "udp_dst", SCTP: "sctp_dst"}


def rules_on(view: View, switch: int) -> frozenset[str]:
    """The rules of the groups of the ports on a switch."""
    groups = groups_on(view, switch)
    return frozenset[str]().union(
        *(view.ids(SecurityGroupRule, security_group_id=group_id) for group_id in groups)
    )


def compile_rule(view: View, switch: int, rule_id: str) -> Iterator[Flow]:
    """What a rule allows."""
    rule = view.get(SecurityGroupRule, rule_id)
    group = view.get(SecurityGroup, rule.security_group_id) if rule else None
    remote = remote_key(view, rule.remote_id) if rule else None
    if rule is None or group is None or remote is None:
        return
    asked: Match = {
        SUBJECT_IDENTITY: identity(group),
        RULE_DIRECTION: rule_direction(group, rule.ingress),
        REMOTE_GROUP: remote,
        "eth_type": IPV4 if rule.version == 4 else IPV6,
    }
    special = (rule.protocol is not None) * 10 + rule.remote_length * 64 // BITS[rule.version]
    for match, ports in _forms(rule, group.stateful):
        priority = RulesPriority.RULE[special + ports]
        yield Flow(Table.RULES, priority, {**asked, **match}, (SetField(VERDICT, ALLOWED),))


def _forms(rule: SecurityGroupRule, stateful: bool) -> Iterator[tuple[Match, int]]:
    """The matches of a rule, each with how many bits of the port it wants."""
    if rule.protocol is None and not rule.remote_length:
        yield {}, 0
        return
    if stateful and rule.protocol in (None, *TRACKED_PROTOCOLS[rule.version]):
        original = {"ct_state": STATE, **_addresses(rule, "ct_nw", "ct_ipv6")}
        if rule.protocol is not None:
            original["ct_nw_proto"] = rule.protocol
        icmp = rule.protocol in (ICMP, ICMPV6)
        # A connection of ICMP has type and code where others have ports.
        yield from _with_ports(original, rule, ("ct_tp_src", "ct_tp_dst") if icmp else "ct_tp_dst")
        if rule.protocol is not None:
            return
    packet = _addresses(rule, "ipv4", "ipv6")
    if stateful:
        packet["ct_state"] = (0, CT_TRACKED)
    if rule.protocol is not None:
        if rule.version == 6 and not stateful:
            yield {**packet, "ip_proto": FRAGMENT, "ip_frag": LATER_FRAGMENT}, 0
        packet["ip_proto"] = rule.protocol
    if rule.protocol in (ICMP, ICMPV6):
        name = "icmpv4" if rule.version == 4 else "icmpv6"
        yield from _with_ports(packet, rule, (f"{name}_type", f"{name}_code"))
    else:
        yield from _with_ports(packet, rule, _PORTS.get(rule.protocol or 0, ""))


def _addresses(rule: SecurityGroupRule, four: str, six: str) -> Match:
    if rule.remote_first is None or not rule.remote_length:
        return {}
    name = f"{four if rule.version == 4 else six}_{'src' if rule.ingress else 'dst'}"
    return {name: prefix_value(rule.version, rule.remote_first, rule.remote_length)}


def _with_ports(
    match: Match, rule: SecurityGroupRule, fields: str | tuple[str, str]
) -> Iterator[tuple[Match, int]]:
    if fields and rule.first is not None:
        yield {**match, "ip_frag": LATER_FRAGMENT}, 0
    if isinstance(fields, tuple):
        pairs = zip(fields, (rule.first, rule.last), strict=True)
        wanted: Match = {name: value for name, value in pairs if value is not None}
        yield {**match, **wanted}, 8 * len(wanted)
    elif rule.first is None or rule.last is None or not fields:
        yield match, 0
    else:
        for value in port_masks(rule.first, rule.last):
            mask = value[1] if isinstance(value, tuple) else 0xFFFF
            yield ({**match, fields: value} if mask else match), mask.bit_count()
