# SPDX-License-Identifier: Apache-2.0

"""Who may do what to security groups, their rules, and address groups."""

from __future__ import annotations

from oslo_policy.policy import RuleDefault

from tenantry.controller.feature.policies import (
    ADMIN,
    ANY_READER,
    MANAGER,
    MEMBER,
    READER,
    actions,
    of_kind,
    of_route,
    tagging,
)

POLICIES = (
    RuleDefault(
        "sg_owner", "project_id:%(security_group:project_id)s", "Whose the security group is."
    ),
    RuleDefault("shared_security_group", "field:security_groups:shared=True"),
    RuleDefault("shared_address_groups", "field:address_groups:shared=True"),
    *of_kind(
        "security_group",
        "/security-groups",
        {
            "create": MEMBER,
            "get": f"{READER} or rule:shared_security_group",
            "update": MEMBER,
            "delete": MEMBER,
            **tagging(get=f"{READER} or rule:shared_security_group", update=MEMBER),
        },
    ),
    *of_kind(
        "security_group_rule",
        "/security-group-rules",
        {
            "create": f"{ADMIN} or role:member and rule:sg_owner",
            "get": f"{ADMIN} or role:reader and rule:sg_owner",
            "update": f"{ADMIN} or role:member and rule:sg_owner",
            "delete": f"{ADMIN} or role:member and rule:sg_owner",
        },
    ),
    *of_kind(
        "default_security_group_rule",
        "/default-security-group-rules",
        {
            "create": ADMIN,
            "get": ANY_READER,
            "update": ADMIN,
            "delete": ADMIN,
        },
    ),
    *of_kind(
        "security_groups_default_statefulness",
        "/security-groups-default-statefulness",
        {
            "create": MANAGER,
            "get": READER,
            "update": MANAGER,
            "delete": MANAGER,
        },
    ),
    *of_kind(
        "address_group",
        "/address-groups",
        {
            "create": MEMBER,
            "get": f"{READER} or rule:shared_address_groups",
            "update": MEMBER,
            "delete": MEMBER,
        },
    ),
    *actions("/address-groups", {"add_addresses": MEMBER, "remove_addresses": MEMBER}),
    *of_route("rules", ANY_READER),
)
