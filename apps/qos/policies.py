# SPDX-License-Identifier: Apache-2.0

"""Who may do what to policies of quality of service, and to their rules: the operator of a project
makes them, its members use them."""

from __future__ import annotations

from oslo_policy.policy import RuleDefault

from tenantry.controller.feature.policies import (
    ADMIN,
    ANY_READER,
    MANAGER,
    READER,
    of_kind,
    rule,
    tagging,
)

_GET = f"{READER} or rule:shared_qos_policy"
_PART_READER = f"{ADMIN} or role:reader and rule:ext_parent_owner"
_PART_MANAGER = f"{ADMIN} or role:manager and rule:ext_parent_owner"

_RULES = {"get": _PART_READER, **dict.fromkeys(("create", "update", "delete"), _PART_MANAGER)}
_TYPES = (
    *("bandwidth_limit", "packet_rate_limit", "dscp_marking"),
    *("minimum_bandwidth", "minimum_packet_rate"),
)


def _alias(type: str) -> dict[str, str]:
    """Neutron has those of minimum packet rates follow the rule's own."""
    if type == "minimum_packet_rate":
        return {verb: f"rule:{verb}_policy_{type}_rule" for verb in ("get", "update", "delete")}
    return {verb: check for verb, check in _RULES.items() if verb != "create"}


POLICIES = (
    RuleDefault("shared_qos_policy", "field:policies:shared=True", "It is shared with the caller."),
    *of_kind(
        "policy",
        "/qos/policies",
        {
            "create": MANAGER,
            "get": _GET,
            "update": MANAGER,
            "delete": MANAGER,
            **tagging(get=_GET, update=MANAGER),
        },
    ),
    rule("get_rule_type", ANY_READER, "GET", "/qos/rule-types", "See what rules there can be"),
    *(
        each
        for type in _TYPES
        for each in of_kind(f"policy_{type}_rule", f"/qos/policies/{{id}}/{type}_rules", _RULES)
    ),
    *(
        each
        for type in _TYPES
        if type != "packet_rate_limit"
        for each in of_kind(f"alias_{type}_rule", f"/qos/alias_{type}_rules", _alias(type))
    ),
)
