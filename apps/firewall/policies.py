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


def _sharable(kind: str, collection: str) -> tuple[RuleDefault, ...]:
    """A kind that its project has, and that an admin may share with all."""
    shared = f"shared_{collection}"
    return (
        RuleDefault(shared, f"field:{collection}:shared=True"),
        *of_kind(
            kind,
            f"/fwaas/{collection}",
            {
                "create": MEMBER,
                "update": MEMBER,
                "delete": MEMBER,
                "create:shared": ADMIN,
                "update:shared": ADMIN,
                "delete:shared": ADMIN,
                "get": f"{READER} or rule:{shared}",
            },
        ),
    )


POLICIES = (
    *_sharable("firewall_group", "firewall_groups"),
    *_sharable("firewall_policy", "firewall_policies"),
    *_sharable("firewall_rule", "firewall_rules"),
    *actions("/fwaas/firewall_policies", {"insert_rule": MEMBER, "remove_rule": MEMBER}),
)
