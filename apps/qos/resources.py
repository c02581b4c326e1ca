# SPDX-License-Identifier: Apache-2.0

"""Quality of service in the API: policies, and all that is said of them elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib.api.definitions import (
    qos,
    qos_bw_limit_direction,
    qos_bw_minimum_ingress,
    qos_default,
    qos_fip,
    qos_fip_network_policy,
    qos_gateway_ip,
    qos_port_network_policy,
    qos_pps_minimum_rule,
    qos_pps_minimum_rule_alias,
    qos_pps_rule,
    qos_rule_type_details,
    qos_rule_type_filter,
    qos_rules_alias,
)
from neutron_lib.exceptions import qos as errors

from tenantry.apps.qos import minimums, rule_types, rules, users
from tenantry.apps.qos.policies import POLICIES
from tenantry.apps.qos.records import ANY
from tenantry.apps.qos.rules import BANDWIDTH_LIMIT, MINIMUM_BANDWIDTH
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    TAGGED,
    Extension,
    RbacPolicyInUse,
    Reader,
    ResourceHooks,
    ResourceSpec,
    granted,
)
from tenantry.controller.store import Body, Claim, Draft, Link

POLICY = rules.POLICY

_NEUTRONS_WORDS = {"floatingip": "fip"}


class PolicyHooks(ResourceHooks):
    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before["shared"] and not body["shared"]:
            _check_unshared(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for kind, user in users.of(draft, body["id"]):
            raise errors.QosPolicyInUse(
                policy_id=body["id"],
                object_type=_NEUTRONS_WORDS.get(kind, kind),
                object_id=user["id"],
            )
        for type, rule in list(rules.rules_in(draft, body["id"])):
            draft.delete(rules.kind(type), rule["id"])

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["is_default"]:
            yield Claim(users.DEFAULT, "", body["project_id"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != users.DEFAULT:
            return None
        error: Exception = errors.QoSPolicyDefaultAlreadyExists(project_id=body["project_id"])
        return error

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["rules"] = [
            rules.shown(type, rule) for type, rule in rules.rules_in(reader, body["id"])
        ]


def _check_unshared(draft: Draft, policy: Body) -> None:
    """Nobody uses it who has no other access."""
    for kind, user in users.of(draft, policy["id"]):
        project = user["project_id"]
        if project != policy["project_id"] and not granted(draft, project, policy["id"]):
            raise RbacPolicyInUse(object_id=policy["id"], details=f"{kind} {user['id']} uses it")


class RuleHooks(ResourceHooks):
    """Of the rules of one type."""

    def __init__(self, type: str) -> None:
        self._type = type

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        self._check(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        self._check(draft, body)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body[rules.POLICY_ID], rules.kind(self._type))

    def claims(self, body: Body) -> Iterable[Claim]:
        if self._type == MINIMUM_BANDWIDTH:
            yield minimums.claim(body)

    def _check(self, draft: Draft, body: Body) -> None:
        """It can be kept for all who have its policy. There is one rule of a type and direction,
        and no limit below what is promised."""
        for type, other in rules.rules_in(draft, body[rules.POLICY_ID]):
            one_way = body.get("direction") == other.get("direction")
            if type == self._type and other["id"] != body["id"]:
                if one_way:
                    raise errors.QoSRulesConflict(
                        new_rule_type=type, rule_id=other["id"], policy_id=body[rules.POLICY_ID]
                    )
                if ANY in (body.get("direction"), other.get("direction")):
                    raise _conflict(body, "direction", type, other["direction"])
            elif one_way and {self._type, type} == {BANDWIDTH_LIMIT, MINIMUM_BANDWIDTH}:
                both: Body = {**other, **body}
                if both["max_kbps"] < both["min_kbps"]:
                    mine, its = _RATES[self._type], _RATES[type]
                    raise _conflict(body, mine, type, other[its])
        for kind, user in users.of(draft, body[rules.POLICY_ID]):
            users.check_kept(draft, self._type, body, kind, user)


_RATES = {BANDWIDTH_LIMIT: "max_kbps", MINIMUM_BANDWIDTH: "min_kbps"}


def _conflict(body: Body, name: str, type: str, value: Any) -> Exception:
    error: Exception = errors.QoSRuleParameterConflict(
        rule_value=body[name],
        policy_id=body[rules.POLICY_ID],
        existing_rule=type,
        existing_value=value,
    )
    return error


def extension() -> Extension:
    """The kind ``policy``, those of its rules, and ``qos_policy_id`` of others."""
    return Extension(
        policies=POLICIES,
        definitions=(
            *(qos, qos_default, qos_bw_limit_direction, qos_bw_minimum_ingress),
            *(qos_pps_rule, qos_pps_minimum_rule, qos_port_network_policy),
            *(qos_fip, qos_fip_network_policy, qos_gateway_ip),
            *(qos_rules_alias, qos_pps_minimum_rule_alias),
            *(qos_rule_type_details, qos_rule_type_filter),
        ),
        kinds=(
            ResourceSpec(
                name=POLICY,
                collection="policies",
                attributes=qos.RESOURCE_ATTRIBUTE_MAP["policies"],
                not_found=lambda id: errors.QosPolicyNotFound(policy_id=id),
                path="qos/policies",
                standard=TAGGED,
            ),
            *rules.KINDS,
        ),
        rules={
            POLICY: PolicyHooks(),
            **{rules.kind(type): RuleHooks(type) for type in rules.TYPES},
            "network": users.NetworkHooks(),
            "port": users.OnNetworkHooks("port", "network_id"),
            "floatingip": users.OnNetworkHooks("floatingip", "floating_network_id"),
            "router": users.RouterHooks(),
        },
        routes=rule_types.ROUTES,
    )
