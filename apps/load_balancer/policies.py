# SPDX-License-Identifier: Apache-2.0

"""Who may do what to load balancers: Octavia's rules, by Octavia's names.

They let the roles of Keystone (reader, member, admin) do what they let the older ones
(load-balancer_observer, ..._global_observer, ..._member, ..._quota_admin, ..._admin).
"""

from __future__ import annotations

from collections.abc import Mapping

from oslo_policy.policy import DocumentedRuleDefault, Operation, RuleDefault

from tenantry.apps.load_balancer.resources.service import rule
from tenantry.controller.feature.policies import ANY_READER, SCOPE, of_route

READ, READ_GLOBAL = "rule:load-balancer:read", "rule:load-balancer:read-global"
WRITE, ADMIN = "rule:load-balancer:write", "rule:load-balancer:admin"
READ_QUOTA, READ_QUOTA_GLOBAL = (
    "rule:load-balancer:read-quota",
    "rule:load-balancer:read-quota-global",
)
WRITE_QUOTA = "rule:load-balancer:write-quota"

_BASE = {
    "project-member": "role:member and project_id:%(project_id)s",
    "project-reader": "role:reader and project_id:%(project_id)s",
    "service": "role:service",
    "load-balancer:owner": "project_id:%(project_id)s",
    "load-balancer:admin": "is_admin:True or role:admin or role:load-balancer_admin",
    "load-balancer:global_observer": "role:admin or role:load-balancer_global_observer",
    "load-balancer:member_and_owner": (
        "rule:project-member or role:load-balancer_member and rule:load-balancer:owner"
    ),
    "load-balancer:observer_and_owner": (
        "rule:project-reader or role:load-balancer_observer and rule:load-balancer:owner"
    ),
    "load-balancer:quota-admin": "role:admin or role:load-balancer_quota_admin",
    "load-balancer:read": (
        "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
        "rule:load-balancer:member_and_owner or rule:load-balancer:admin"
    ),
    "load-balancer:read-global": "rule:load-balancer:global_observer or rule:load-balancer:admin",
    "load-balancer:write": "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
    "load-balancer:read-quota": (
        "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or "
        "rule:load-balancer:member_and_owner or rule:load-balancer:quota-admin or "
        "rule:load-balancer:admin"
    ),
    "load-balancer:read-quota-global": (
        "rule:load-balancer:global_observer or rule:load-balancer:quota-admin or "
        "rule:load-balancer:admin"
    ),
    "load-balancer:write-quota": "rule:load-balancer:quota-admin or rule:load-balancer:admin",
}

_METHODS = {"create": "POST", "update": "PUT", "delete": "DELETE", "failover": "PUT"}
_BELOW = ("stats", "status", "failover", "default")

USUAL = {
    "list": READ,
    "list_all": READ_GLOBAL,
    "create": WRITE,
    "get": READ,
    "update": WRITE,
    "delete": WRITE,
}
"""What most kinds have."""


PARTS = {verb: check for verb, check in USUAL.items() if verb != "list_all"}
"""What those have that are listed as parts of something."""


def of_kind(kind: str, path: str, checks: Mapping[str, str]) -> tuple[RuleDefault, ...]:
    """The rules of a kind at ``/v2/lbaasPATH``, by what is done; ``create:NAME`` is who may set an
    attribute."""
    return tuple(
        DocumentedRuleDefault(
            rule(verb, kind) + colon + attribute,
            check,
            f"{verb.replace('_', ' ').capitalize()} {kind}" + (f", {attribute}" if colon else ""),
            [_operation(verb, path)],
            scope_types=SCOPE,
        )
        for name, check in checks.items()
        for verb, colon, attribute in [name.partition(":")]
    )


def _operation(verb: str, path: str) -> Operation:
    one = "" if verb in ("create", "list", "list_all") else "/{id}"
    below = f"/{verb}" if verb in _BELOW else ""
    return {"method": _METHODS.get(verb, "GET"), "path": f"/v2/lbaas{path}{one}{below}"}


POLICIES = (
    *(RuleDefault(name, check, scope_types=SCOPE) for name, check in _BASE.items()),
    *of_kind(
        "loadbalancer",
        "/loadbalancers",
        {
            **USUAL,
            "create:vip_sg_ids": WRITE,
            "update:vip_sg_ids": WRITE,
            "stats": READ,
            "status": READ,
            "failover": ADMIN,
        },
    ),
    *of_kind("listener", "/listeners", {**USUAL, "stats": READ}),
    *of_kind("pool", "/pools", USUAL),
    *of_kind("member", "/pools/{id}/members", {**PARTS, "list": f"{READ} or rule:service"}),
    *of_kind("healthmonitor", "/healthmonitors", USUAL),
    *of_kind("l7policy", "/l7policies", USUAL),
    *of_kind("l7rule", "/l7policies/{id}/rules", PARTS),
    *of_kind(
        "quota",
        "/quotas",
        {
            "list": READ_QUOTA,
            "list_all": READ_QUOTA_GLOBAL,
            "get": READ_QUOTA,
            "update": WRITE_QUOTA,
            "delete": WRITE_QUOTA,
            "default": READ_QUOTA,
        },
    ),
    *of_route("load-balancers", ANY_READER),
)
