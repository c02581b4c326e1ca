# SPDX-License-Identifier: Apache-2.0

"""Who may do what to firewalls: names and defaults are those of neutron-fwaas."""

from __future__ import annotations

from oslo_policy.policy import RuleDefault

from tenantry.controller.feature.policies import (
    ADMIN,
    MEMBER,
    READER,
    actions,
    of_kind,
)

POLICIES = (
    RuleDefault("shared_firewall_groups", "field:firewall_groups:shared=True"),
    *of_kind(
        "firewall_group",
        "/fwaas/firewall_groups",
        {
            "create": MEMBER,
            "update": MEMBER,
            "delete": MEMBER,
            "create:shared": ADMIN,
            "update:shared": ADMIN,
            "delete:shared": ADMIN,
            "get": f"{READER} or rule:shared_firewall_groups",
        },
    ),
    RuleDefault("shared_firewall_policies", "field:firewall_policies:shared=True"),
    *of_kind(
        "firewall_policy",
        "/fwaas/firewall_policies",
        {
            "create": MEMBER,
            "update": MEMBER,
            "delete": MEMBER,
            "create:shared": ADMIN,
            "update:shared": ADMIN,
            "delete:shared": ADMIN,
            "get": f"{READER} or rule:shared_firewall_policies",
        },
    ),
    RuleDefault("shared_firewall_rules", "field:firewall_rules:shared=True"),
    *of_kind(
        "firewall_rule",
        "/fwaas/firewall_rules",
        {
            "create": MEMBER,
            "update": MEMBER,
            "delete": MEMBER,
            "create:shared": ADMIN,
            "update:shared": ADMIN,
            "delete:shared": ADMIN,
            "get": f"{READER} or rule:shared_firewall_rules",
        },
    ),
    *actions("/fwaas/firewall_policies", {"insert_rule": MEMBER, "remove_rule": MEMBER}),
)
