# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/rules``: which rules are used."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tenantry.apps.firewall.records import FirewallRule
from tenantry.apps.security_groups.records import SecurityGroup, SecurityGroupRule
from tenantry.controller.feature.routes import Route, Running
from tenantry.controller.model import View
from tenantry.controller.openflow.pipeline import Table


def rules(running: Running, unused: str | None = None) -> list[dict[str, Any]]:
    """Every rule of security groups and firewalls, with the packets that it has decided about on
    all switches, the most used first; with ``unused``, only those that decided about none. Counters
    begin anew when a switch does. Rules of a group that overlap may share what they count."""
    hits: Counter[str] = Counter()
    for counted in running.counted((Table.RULES, Table.FIREWALL_RULES)):
        for count in counted:
            if count.kind == "rule":
                hits[count.id.rpartition(" ")[2]] += count.packets
    view = running.view
    found = [
        _rule(rule.id, "security_group_rule", _group(view, rule), hits)
        for rule in view.find(SecurityGroupRule)
        if running.sees("security_group_rule", rule.id)
    ]
    found += [
        _rule(rule.id, "firewall_rule", rule.action, hits)
        for rule in view.find(FirewallRule)
        if running.sees("firewall_rule", rule.id)
    ]
    if unused:
        found = [rule for rule in found if not rule["packets"]]
    return sorted(found, key=lambda rule: (-rule["packets"], rule["kind"], rule["id"]))


def _rule(id: str, kind: str, of: str, hits: Counter[str]) -> dict[str, Any]:
    return {"id": id, "kind": kind, "of": of, "packets": hits[id]}


def _group(view: View, rule: SecurityGroupRule) -> str:
    group = view.get(SecurityGroup, rule.security_group_id)
    return f"{group.name} of {group.project_id}" if group else rule.security_group_id


ROUTES = (Route("rules", rules, ("unused",), waits=True),)
