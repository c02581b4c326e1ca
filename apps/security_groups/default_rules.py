# SPDX-License-Identifier: Apache-2.0

"""Default rules in the API: the templates of the rules that a new security group has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from neutron_lib.api import converters
from neutron_lib.constants import IPv4, IPv6
from neutron_lib.exceptions.address_group import AddressGroupNotFound

from tenantry.apps.security_groups import errors
from tenantry.apps.security_groups.rule_attributes import ATTRIBUTES, identity, settle
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Maker,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

TEMPLATE = "default_security_group_rule"
PARENT = "PARENT"
"""As a template's remote group: the group that the rule is made for."""

_FLAG = {
    "allow_post": True,
    "allow_put": False,
    "is_visible": True,
    "is_filter": True,
    "convert_to": converters.convert_to_boolean,
}

DEFINITION = NewDefinition(
    ALIAS="security-groups-default-rules",
    NAME="Default rules for security groups",
    DESCRIPTION=(
        "Configure set of security group rules used as default rules for every new security group"
    ),
    UPDATED_TIMESTAMP="2022-12-19T10:00:00-00:00",
)


class DefaultRuleHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        ensure(draft, self.kinds[TEMPLATE])
        settle(body)
        missing = _missing(draft, body)
        if missing is not None:
            raise missing
        for claim in _overlapping(body):
            owner = draft.owner(claim)
            if owner is not None:
                raise errors.DefaultSecurityGroupRuleExists(rule_id=owner)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield _claim(body)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(MARK, TEMPLATE)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return True

    def before_list(self, store: Store, context: Context, project_id: str) -> None:
        """There are some from the start."""
        if store.get(MARK, MARK) is None:
            store.write(lambda draft: ensure(draft, self.kinds[TEMPLATE]), SYSTEM.actor)


MARK = "default_security_group_rules_made"
"""The kind, and the id of its one body, which says that the first templates were made: those that
an admin deletes stay away."""


def _claim(body: Body) -> Claim:
    return _claim_for(body, body["used_in_default_sg"], body["used_in_non_default_sg"])


def _claim_for(body: Body, in_default: bool, in_others: bool) -> Claim:
    return Claim(TEMPLATE, f"{in_default} {in_others}", identity(body))


def _overlapping(body: Body) -> Iterator[Claim]:
    """What templates of the same rule claim that some group would have together with this one."""
    yield _claim(body)
    for in_default, in_others in product((True, False), repeat=2):
        if (in_default and body["used_in_default_sg"]) or (
            in_others and body["used_in_non_default_sg"]
        ):
            yield _claim_for(body, in_default, in_others)


def _missing(reader: Reader, rule: Body) -> Exception | None:
    """The error about a remote group that is not there."""
    group, addresses = rule["remote_group_id"], rule["remote_address_group_id"]
    error: Exception | None = None
    if group not in (None, PARENT) and reader.get("security_group", group) is None:
        error = errors.SecurityGroupNotFound(id=group)
    if addresses is not None and reader.get("address_group", addresses) is None:
        error = AddressGroupNotFound(address_group_id=addresses)
    return error


def ensure(draft: Draft, templates: Maker) -> None:
    """Make the first templates, once: everything may leave; members of a default group reach each
    other."""
    if draft.get(MARK, MARK) is not None:
        return
    draft.put(MARK, {"id": MARK, "project_id": "", "revision_number": 1})
    for direction, remote, others in (("egress", None, True), ("ingress", PARENT, False)):
        for ethertype in (IPv4, IPv6):
            attributes = {
                "description": f"Legacy default SG rule for {direction} traffic",  # Neutron's words
                "used_in_default_sg": True,
                "direction": direction,
                "ethertype": ethertype,
                "remote_group_id": remote,
                "used_in_non_default_sg": others,
                "tenant_id": "",
                "project_id": "",
            }
            templates.make(draft, SYSTEM, attributes)


def rules_for(draft: Draft, templates: Maker, group: Body, *, default: bool) -> list[Body]:
    """The attributes of the rules that a new group is to have: each once, and none about a group
    that has gone since. No template, whenever it was made, may keep a project from its group."""
    ensure(draft, templates)
    flag = "used_in_default_sg" if default else "used_in_non_default_sg"
    found: dict[str, Body] = {}
    for id in draft.linked(MARK, TEMPLATE):
        template = draft.get(TEMPLATE, id)
        if template is not None and template[flag] and _missing(draft, template) is None:
            attributes: dict[str, Any] = {name: template[name] for name in _COPIED}
            if attributes["remote_group_id"] == PARENT:
                attributes["remote_group_id"] = group["id"]
            found.setdefault(identity(attributes), attributes)
    return list(found.values())


_COPIED = (
    *("direction", "protocol", "ethertype", "port_range_min", "port_range_max"),
    *("remote_ip_prefix", "remote_group_id", "remote_address_group_id"),
)


KINDS = (
    ResourceSpec(
        name=TEMPLATE,
        collection="default_security_group_rules",
        attributes={
            **ATTRIBUTES,
            "tenant_id": {**ATTRIBUTES["tenant_id"], "is_visible": False},
            "used_in_default_sg": {**_FLAG, "default": False},
            "used_in_non_default_sg": {**_FLAG, "default": True},
        },
        not_found=lambda id: errors.DefaultSecurityGroupRuleNotFound(id=id),
        quota=None,
    ),
    ResourceSpec(
        name=MARK,
        collection=MARK,
        attributes={"tenant_id": ATTRIBUTES["tenant_id"]},
        not_found=lambda id: errors.DefaultSecurityGroupRuleNotFound(id=id),
        internal=True,
        standard=(),
    ),
)
