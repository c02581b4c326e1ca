# SPDX-License-Identifier: Apache-2.0

"""FWaaS v2 in the API: rules, policies (ordered lists of rules), and groups (ports with a policy
for each direction)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import netaddr
from neutron_lib import exceptions
from neutron_lib.api.definitions import firewall_v2, firewall_v2_stdattrs
from neutron_lib.constants import ROUTER_INTERFACE_OWNERS
from neutron_lib.exceptions import firewall_v2 as errors

from tenantry.apps.firewall.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    may_use,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

RULE, POLICY, GROUP = "firewall_rule", "firewall_policy", "firewall_group"
RULES = "firewall_rules"
DEFAULT = "default"

IN_POLICY, OF_GROUP, OF_PORT = "firewall_policy_rule", "firewall_group_policy", "firewall_port"
"""The roles in which a rule sees its policies, a policy its groups, and a port its group."""

_PORT = "firewall_port"
_DEFAULT = "default_firewall_group"
_POLICIES = {"ingress": "ingress_firewall_policy_id", "egress": "egress_firewall_policy_id"}
_WITH_PORTS = ("tcp", "udp", "sctp")  # Open vSwitch knows the ports of no other


class FirewallRuleHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _settle(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _settle(body)
        if before["shared"] and not body["shared"]:
            for id in draft.linked(body["id"], IN_POLICY):
                policy = draft.get(POLICY, id)
                if policy and (policy["shared"] or policy["project_id"] != body["project_id"]):
                    raise errors.FirewallRuleInUse(firewall_rule_id=body["id"])
        for id in draft.linked(body["id"], IN_POLICY):
            policy = draft.get(POLICY, id)
            if policy and policy["audited"]:
                draft.put(POLICY, changed(policy, audited=False))

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], IN_POLICY):
            raise errors.FirewallRuleInUse(firewall_rule_id=body["id"])

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return bool(body["shared"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["firewall_policy_id"] = list(reader.linked(body["id"], IN_POLICY))


def _settle(body: Body) -> None:
    ports = [body["source_port"], body["destination_port"]]
    if any(port is not None for port in ports):
        if body["protocol"] is None:
            raise errors.FirewallRuleWithPortWithoutProtocolInvalid()
        if body["protocol"] == "dccp":
            raise exceptions.InvalidInput(error_message="ports of DCCP cannot be matched")
        if body["protocol"] not in _WITH_PORTS:
            raise errors.FirewallRuleInvalidICMPParameter(param="Source, destination port")
    for name in ("source_port", "destination_port"):
        if body[name] is not None:
            body[name] = _range(body[name])
    if body["protocol"] == "ipv6-icmp" and body["ip_version"] == 4:
        raise errors.FirewallIpAddressConflict()
    for name in ("source_ip_address", "destination_ip_address"):
        if body[name] and netaddr.IPNetwork(body[name]).version != body["ip_version"]:
            raise errors.FirewallIpAddressConflict()


def _range(text: str) -> str:
    first, _, last = text.partition(":")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise errors.FirewallRuleInvalidPortValue(port=text)
    return str(low) if low == high else f"{low}:{high}"


class FirewallPolicyHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _check_rules(draft, context, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _check_rules(draft, context, body)
        if body[RULES] != before[RULES] and body["audited"] == before["audited"]:
            body["audited"] = False  # nobody has looked at it since
        if before["shared"] and not body["shared"]:
            for id in draft.linked(body["id"], OF_GROUP):
                group = draft.get(GROUP, id)
                if group and group["project_id"] != body["project_id"]:
                    raise errors.FirewallPolicyInUse(firewall_policy_id=body["id"])

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if draft.linked(body["id"], OF_GROUP):
            raise errors.FirewallPolicyInUse(firewall_policy_id=body["id"])

    def links(self, body: Body) -> Iterable[Link]:
        for id in body[RULES]:
            yield Link(id, IN_POLICY)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return bool(body["shared"])

    def insert_rule(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        """Before or behind another rule, or at the head."""
        id, rules = _named(request), list(body[RULES])
        if id in rules:
            raise errors.FirewallRuleAlreadyAssociated(
                firewall_rule_id=id, firewall_policy_id=body["id"]
            )
        before, after = request.get("insert_before"), request.get("insert_after")
        neighbour = before or after
        if neighbour and neighbour not in rules:
            raise errors.FirewallRuleNotAssociatedWithPolicy(
                firewall_rule_id=neighbour, firewall_policy_id=body["id"]
            )
        rules.insert(rules.index(neighbour) + (not before) if neighbour else 0, id)
        return self._put(draft, context, body, rules)

    def remove_rule(self, draft: Draft, context: Context, body: Body, request: Any) -> Any:
        id = _named(request)
        if id not in body[RULES]:
            raise errors.FirewallRuleNotAssociatedWithPolicy(
                firewall_rule_id=id, firewall_policy_id=body["id"]
            )
        return self._put(draft, context, body, [rule for rule in body[RULES] if rule != id])

    def _put(self, draft: Draft, context: Context, body: Body, rules: list[str]) -> Any:
        policies = self.kinds[POLICY]
        return policies.shown(draft, context, policies.update(draft, context, body, {RULES: rules}))


def _named(request: Any) -> str:
    id = request.get("firewall_rule_id")
    if not id or not isinstance(id, str):
        raise errors.FirewallRuleInfoMissing()
    return id


def _check_rules(draft: Draft, context: Context, body: Body) -> None:
    body[RULES] = list(dict.fromkeys(body[RULES]))
    for id in body[RULES]:
        rule = draft.get(RULE, id)
        if rule is None:
            raise errors.FirewallRuleNotFound(firewall_rule_id=id)
        if not may_use(draft, context, rule):
            raise errors.FirewallRuleConflict(firewall_rule_id=id, project_id=rule["project_id"])
        if body["shared"] and not rule["shared"]:
            raise errors.FirewallPolicySharingConflict(
                firewall_rule_id=id, firewall_policy_id=body["id"]
            )


class FirewallGroupHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["is_default"] = context is SYSTEM
        if context is not SYSTEM:
            if body["name"] == DEFAULT:
                raise FirewallGroupDefaultAlreadyExists()
            self._default(draft, body["project_id"])
        self._check(draft, context, body, {"ports": []})

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if before["is_default"] and body["name"] != before["name"]:
            raise errors.FirewallGroupCannotRemoveDefault()
        self._check(draft, context, body, before)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        if body["is_default"] and not context.is_admin:
            raise errors.FirewallGroupCannotRemoveDefault()
        if body["ports"] and body["admin_state_up"]:
            raise errors.FirewallGroupInUse(firewall_id=body["id"])

    @staticmethod
    def _check(draft: Draft, context: Context, body: Body, before: Body) -> None:
        body["ports"] = list(dict.fromkeys(body["ports"]))
        for name in _POLICIES.values():
            policy = draft.get(POLICY, body[name]) if body[name] else None
            if body[name] and policy is None:
                raise errors.FirewallPolicyNotFound(firewall_policy_id=body[name])
            if policy and not may_use(draft, context, policy):
                raise errors.FirewallPolicyConflict(firewall_policy_id=body[name])
        for id in body["ports"]:
            if id not in before["ports"]:
                _check_port(draft, context, body, id)

    def before_list(self, store: Store, context: Context, project_id: str) -> None:
        project = context.project_id
        if project and store.owner(Claim(_DEFAULT, "", project)) is None:
            store.write(lambda draft: self._default(draft, project), context.actor)

    def _default(self, draft: Draft, project_id: str) -> None:
        """A group that lets everything out and nothing in, for ports that somebody puts into it."""
        if draft.owner(Claim(_DEFAULT, "", project_id)) is not None:
            return
        whose = {"tenant_id": project_id, "project_id": project_id}
        policies = {}
        for direction, action in (("ingress", "deny"), ("egress", "allow")):
            rules = [
                self.kinds[RULE].make(
                    draft,
                    SYSTEM,
                    {
                        "name": f"default {direction} ipv{version}",
                        "action": action,
                        "ip_version": version,
                        **whose,
                    },
                )["id"]
                for version in (4, 6)
            ]
            policy = {"name": f"default {direction}", RULES: rules, **whose}
            made = self.kinds[POLICY].make(draft, SYSTEM, policy)
            policies[_POLICIES[direction]] = made["id"]
        group = {"name": DEFAULT, "description": "Default firewall group", **policies, **whose}
        self.kinds[GROUP].make(draft, SYSTEM, group)

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["is_default"]:
            yield Claim(_DEFAULT, "", body["project_id"])
        for id in body["ports"]:
            yield Claim(_PORT, "", id)

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception = errors.FirewallGroupPortInUse(port_ids=claim.value)
        return error if claim.kind == _PORT else None

    def links(self, body: Body) -> Iterable[Link]:
        for name in _POLICIES.values():
            if body[name]:
                yield Link(body[name], OF_GROUP)
        for id in body["ports"]:
            yield Link(id, OF_PORT)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return bool(body["shared"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        used = body["ports"] and any(body[name] for name in _POLICIES.values())
        shown["status"] = "DOWN" if not body["admin_state_up"] else "ACTIVE" if used else "INACTIVE"


class FirewallGroupDefaultAlreadyExists(exceptions.InUse):
    message = "Default firewall group already exists. 'default' is the reserved name for it."


def _check_port(draft: Draft, context: Context, group: Body, id: str) -> None:
    port = draft.get("port", id)
    if port is None or not context.owns(port):
        raise exceptions.PortNotFound(port_id=id)
    if port["project_id"] != group["project_id"]:
        raise errors.FirewallGroupPortInvalidProject(port_id=id, project_id=port["project_id"])
    owner = port["device_owner"]
    if owner in ROUTER_INTERFACE_OWNERS:
        return
    if owner.startswith("network:"):
        raise errors.FirewallGroupPortInvalid(port_id=id)
    if not port["port_security_enabled"]:
        # Whoever may send as anybody cannot be judged by who it is.
        raise errors.FirewallGroupPortNotSupported(
            port_id=id, driver_name="Tenantry, for it has no port security"
        )


class FirewallPortHooks(ResourceHooks):
    """A port that goes leaves its firewall group."""

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        without = not body["port_security_enabled"] and before["port_security_enabled"]
        if without and draft.linked(body["id"], OF_PORT):
            raise errors.FirewallGroupPortInUse(port_ids=body["id"])

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], OF_PORT):
            group = draft.get(GROUP, id)
            if group is not None:
                ports = [port for port in group["ports"] if port != body["id"]]
                draft.put(GROUP, changed(group, ports=ports))


def _not_found(error: type[Exception], name: str) -> Callable[[str], Exception]:
    return lambda id: error(**{name: id})


def _attributes(collection: str) -> dict[str, Any]:
    return dict(firewall_v2.RESOURCE_ATTRIBUTE_MAP[collection])


_HIDDEN = {"allow_post": False, "allow_put": False, "is_visible": False}


def extension() -> Extension:
    """FWaaS v2."""
    policies = FirewallPolicyHooks()
    return Extension(
        policies=POLICIES,
        definitions=(firewall_v2, firewall_v2_stdattrs),
        kinds=(
            ResourceSpec(
                name=RULE,
                collection=RULES,
                attributes=_attributes(RULES),
                not_found=_not_found(errors.FirewallRuleNotFound, "firewall_rule_id"),
                path="fwaas/firewall_rules",
                quota=100,
            ),
            ResourceSpec(
                name=POLICY,
                collection="firewall_policies",
                attributes=_attributes("firewall_policies"),
                not_found=_not_found(errors.FirewallPolicyNotFound, "firewall_policy_id"),
                path="fwaas/firewall_policies",
                keys=range(1, 2**24),
                actions={
                    "insert_rule": policies.insert_rule,
                    "remove_rule": policies.remove_rule,
                },
                quota=10,
            ),
            ResourceSpec(
                name=GROUP,
                collection="firewall_groups",
                attributes={**_attributes("firewall_groups"), "is_default": _HIDDEN},
                not_found=_not_found(errors.FirewallGroupNotFound, "firewall_id"),
                path="fwaas/firewall_groups",
                quota=10,
            ),
        ),
        rules={
            RULE: FirewallRuleHooks(),
            POLICY: policies,
            GROUP: FirewallGroupHooks(),
            "port": FirewallPortHooks(),
        },
    )
