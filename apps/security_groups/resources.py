# SPDX-License-Identifier: Apache-2.0

"""Security groups in the API, their rules, and the groups of ports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import netaddr
from neutron_lib.api import converters
from neutron_lib.api.definitions import (
    address_group,
    rbac_security_groups,
    security_groups_normalized_cidr,
    security_groups_port_filtering,
    security_groups_remote_address_group,
    security_groups_rules_belongs_to_default_sg,
    security_groups_shared_filtering,
    stateful_security_group,
)
from neutron_lib.constants import ATTR_NOT_SPECIFIED, DEVICE_OWNER_NETWORK_PREFIX
from neutron_lib.db.constants import NAME_FIELD_SIZE, PROJECT_ID_FIELD_SIZE
from neutron_lib.exceptions import address_group as address_group_errors
from neutron_lib.exceptions.port_security import (
    PortSecurityAndIPRequiredForSecurityGroups,
    PortSecurityPortHasSecurityGroup,
)
from neutron_lib.exceptions.security_group import SecurityGroupDefaultAlreadyExists

from tenantry.apps.security_groups import (
    address_groups,
    default_rules,
    default_statefulness,
    errors,
)
from tenantry.apps.security_groups.policies import POLICIES
from tenantry.apps.security_groups.rule_attributes import (
    RULE_ATTRIBUTES,
    identity,
    protocol_number,
    settle,
)
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    TAGGED,
    Extension,
    Maker,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    is_set,
    may_use,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

GROUP, RULE = "security_group", "security_group_rule"
GROUPS = "security_groups"
DEFAULT = "default"

OF_PORT, REMOTE = "security_group_port", "remote_group"
"""The roles in which a group sees its ports, and the rules that name it as their other end."""

_DEFAULT = "default_security_group"

DEFINITION = NewDefinition(
    ALIAS="security-group",
    NAME="security-group",
    DESCRIPTION="The security groups extension.",
    UPDATED_TIMESTAMP="2012-10-05T10:00:00-00:00",
    RESOURCE_ATTRIBUTE_MAP={
        "ports": {
            GROUPS: {
                "allow_post": True,
                "allow_put": True,
                "is_visible": True,
                "is_filter": True,
                "convert_to": converters.convert_none_to_empty_list,
                "validate": {"type:uuid_list": None},
                "default": ATTR_NOT_SPECIFIED,
            }
        }
    },
)


def default_group(draft: Draft, groups: Maker, project_id: str) -> str:
    """The id of a project's default group, which is made if there is none."""
    owner = draft.owner(Claim(_DEFAULT, "", project_id))
    if owner is not None:
        return owner
    attributes = {
        "name": DEFAULT,
        "description": "Default security group",
        "tenant_id": project_id,
        "project_id": project_id,
    }
    id: str = groups.make(draft, SYSTEM, attributes)["id"]
    return id


class SecurityGroupHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["is_default"] = context is SYSTEM
        if body["stateful"] is ATTR_NOT_SPECIFIED:
            body["stateful"] = default_statefulness.is_stateful(draft, body["project_id"])
        if context is not SYSTEM:
            if body["name"].lower() == DEFAULT:
                raise SecurityGroupDefaultAlreadyExists()
            default_group(draft, self.kinds[GROUP], body["project_id"])

    def created(self, draft: Draft, body: Body) -> None:
        templates, project = self.kinds[default_rules.TEMPLATE], body["project_id"]
        rules = default_rules.rules_for(draft, templates, body, default=body["is_default"])
        if not body["is_default"]:  # which nobody asked for: its project must not be locked out
            self.kinds[RULE].check_quota(draft, project, len(rules))
        for attributes in rules:
            said = {"security_group_id": body["id"], "tenant_id": project, "project_id": project}
            self.kinds[RULE].make(draft, SYSTEM, {**attributes, **said})

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["name"] != before["name"]:
            if before["is_default"]:
                raise errors.SecurityGroupCannotUpdateDefault()
            if body["name"].lower() == DEFAULT:
                raise SecurityGroupDefaultAlreadyExists()
        if body["stateful"] != before["stateful"]:
            self._check_unused(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        self._check_unused(draft, body)
        if body["is_default"] and not context.is_admin:
            raise errors.SecurityGroupCannotRemoveDefault()
        for role in (RULE, REMOTE):
            for id in draft.linked(body["id"], role):
                if draft.get(RULE, id):
                    draft.delete(RULE, id)

    @staticmethod
    def _check_unused(draft: Draft, body: Body) -> None:
        ports = draft.linked(body["id"], OF_PORT)
        if ports:
            raise errors.SecurityGroupInUse(id=body["id"], reason=f"in use by port {ports[0]}")

    def claims(self, body: Body) -> Iterable[Claim]:
        if body["is_default"]:
            yield Claim(_DEFAULT, "", body["project_id"])

    def before_list(self, store: Store, context: Context, project_id: str) -> None:
        there = store.owner(Claim(_DEFAULT, "", project_id)) is not None
        if not there and context.may_be_project(project_id):
            groups = self.kinds[GROUP]
            store.write(lambda draft: default_group(draft, groups, project_id), context.actor)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        rules = (reader.get(RULE, id) for id in reader.linked(body["id"], RULE))
        shown["security_group_rules"] = [
            self.kinds[RULE].shown(reader, context, rule) for rule in rules if rule
        ]


class SecurityGroupRuleHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        settle(body)
        self._check_groups(draft, context, body)
        body["protocol_number"] = protocol_number(body["protocol"])
        prefix = body["remote_ip_prefix"]
        body["normalized_cidr"] = prefix and str(netaddr.IPNetwork(prefix).cidr)
        owner = draft.owner(_identity(body))
        if owner is not None:
            raise errors.SecurityGroupRuleExists(rule_id=owner)

    @staticmethod
    def _check_groups(draft: Draft, context: Context, body: Body) -> None:
        for name in ("security_group_id", "remote_group_id"):
            id = body[name]
            group = draft.get(GROUP, id) if id else None
            allowed = name == "remote_group_id" and group and may_use(draft, context, group)
            if id and not (allowed or (group and context.owns(group))):
                raise errors.SecurityGroupNotFound(id=id)
        id = body["remote_address_group_id"]
        if id:
            addresses = draft.get(address_groups.KIND.name, id)
            if addresses is None or not may_use(draft, context, addresses):
                raise address_group_errors.AddressGroupNotFound(address_group_id=id)

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        yield GROUP, body["security_group_id"]

    def owns(self, reader: Reader, context: Context, body: Body) -> bool:
        """A rule is its group's owner's, whoever made it."""
        group = reader.get(GROUP, body["security_group_id"])
        return group is not None and context.owns(group)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield _identity(body)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["security_group_id"], RULE)
        if body["remote_group_id"] and body["remote_group_id"] != body["security_group_id"]:
            yield Link(body["remote_group_id"], REMOTE)
        if body["remote_address_group_id"]:
            yield Link(body["remote_address_group_id"], address_groups.RULE)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        group = reader.get(GROUP, body["security_group_id"])
        shown["belongs_to_default_sg"] = bool(group and group["is_default"])


def _identity(body: Body) -> Claim:
    return Claim(RULE, body["security_group_id"], identity(body))


class SecurityGroupPortHooks(ResourceHooks):
    """The groups of a port: its project's default group, if it has port security and nobody says
    otherwise. What belongs to the network itself, as a router's port does, has none."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        asked = body[GROUPS]
        if not is_set(asked):
            wants = body["port_security_enabled"] and not _of_network(body)
            body[GROUPS] = [self._default(draft, body)] if wants else []
        elif asked and not body["port_security_enabled"]:
            raise PortSecurityAndIPRequiredForSecurityGroups()
        else:
            body[GROUPS] = checked(draft, context, asked)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        asked = body.setdefault(GROUPS, [])
        if asked is not before.get(GROUPS):
            body[GROUPS] = checked(draft, context, asked or [])
        if body[GROUPS] and not body["port_security_enabled"]:
            if before["port_security_enabled"]:
                raise PortSecurityPortHasSecurityGroup()
            raise PortSecurityAndIPRequiredForSecurityGroups()

    def _default(self, draft: Draft, port: Body) -> str:
        return default_group(draft, self.kinds[GROUP], port["project_id"])

    def links(self, body: Body) -> Iterable[Link]:
        for id in body.get(GROUPS) or ():
            yield Link(id, OF_PORT)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(GROUPS, [])  # ports from before there was such an attribute


def _of_network(port: Body) -> bool:
    owner: str = port["device_owner"]
    return owner.startswith(DEVICE_OWNER_NETWORK_PREFIX)


def checked(draft: Draft, context: Context, ids: list[str]) -> list[str]:
    """The groups, each once, if a port of the caller's may be in all of them together."""
    unique = list(dict.fromkeys(ids))
    stateful = set()
    for id in unique:
        group = draft.get(GROUP, id)
        if group is None or not may_use(draft, context, group):
            raise errors.SecurityGroupNotFound(id=id)
        stateful.add(group["stateful"])
    if len(stateful) > 1:
        raise errors.SecurityGroupConflict(
            reason="Cannot apply both stateful and stateless security groups on the same port at "
            "the same time"
        )
    return unique


def _shown(**more: Any) -> dict[str, Any]:
    return {"allow_post": True, "is_visible": True, "is_filter": True, "is_sort_key": True, **more}


_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "id": _shown(allow_post=False, allow_put=False, validate={"type:uuid": None}, primary_key=True),
    "name": _shown(allow_put=True, default="", validate={"type:name_string": NAME_FIELD_SIZE}),
    "tenant_id": _shown(
        allow_put=False,
        required_by_policy=True,
        validate={"type:string": PROJECT_ID_FIELD_SIZE},
    ),
    "security_group_rules": {"allow_post": False, "allow_put": False, "is_visible": True},
    "is_default": {
        "allow_post": False,
        "allow_put": False,
        "default": False,
        "is_visible": False,
        "is_filter": True,
    },
}


def extension() -> Extension:
    """Security groups, their rules, the templates of those, address groups."""
    return Extension(
        policies=POLICIES,
        definitions=(
            *(DEFINITION, stateful_security_group, default_rules.DEFINITION),
            *(security_groups_normalized_cidr, security_groups_remote_address_group),
            *(security_groups_rules_belongs_to_default_sg, security_groups_port_filtering),
            *(security_groups_shared_filtering, rbac_security_groups),
            *(address_group, address_groups.RBAC, default_statefulness.DEFINITION),
        ),
        kinds=(
            ResourceSpec(
                name=GROUP,
                collection=GROUPS,
                attributes=_ATTRIBUTES,
                not_found=lambda id: errors.SecurityGroupNotFound(id=id),
                standard=TAGGED,
                keys=range(1, 2**24),
                quota=10,
            ),
            ResourceSpec(
                name=RULE,
                collection="security_group_rules",
                attributes=RULE_ATTRIBUTES,
                not_found=lambda id: errors.SecurityGroupRuleNotFound(id=id),
                quota=100,
            ),
            *default_rules.KINDS,
            *(address_groups.KIND, default_statefulness.KIND),
        ),
        rules={
            GROUP: SecurityGroupHooks(),
            RULE: SecurityGroupRuleHooks(),
            default_rules.TEMPLATE: default_rules.DefaultRuleHooks(),
            address_groups.KIND.name: address_groups.AddressGroupHooks(),
            default_statefulness.SETTING: default_statefulness.SettingHooks(),
            "port": SecurityGroupPortHooks(),
        },
    )
