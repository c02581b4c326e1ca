# SPDX-License-Identifier: Apache-2.0

"""RBAC policies: a resource of one project, shared with another or with all (``*``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.db.constants import DESCRIPTION_FIELD_SIZE, PROJECT_ID_FIELD_SIZE

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    EVERYBODY,
    Extension,
    NewDefinition,
    ResourceHooks,
    ResourceSpec,
    access,
    granted,
)
from tenantry.controller.store import Body, Claim, Draft, Link

POLICY = "rbac_policy"
ACTION = "access_as_shared"

_OBJECT = "rbac_object"
_USERS = {
    "network": (("port", "port"),),
    "subnetpool": (("allocation", "subnet"),),
    "address_scope": (("subnetpool", "subnetpool"),),
    "security_group": (("security_group_port", "port"), ("remote_group", "security_group_rule")),
    "address_group": (("address_group_rule", "security_group_rule"),),
}
"""What can be shared; and in which roles, and of which kinds, those who use it link to it."""


class RbacPolicyNotFound(exceptions.NotFound):
    message = "RBAC policy with ID %(id)s not found"


class RbacPolicyInUse(exceptions.Conflict):
    message = (
        "RBAC policy on object %(object_id)s cannot be removed because other objects depend on it."
        "\nDetails: %(details)s"
    )


class DuplicateRbacPolicy(exceptions.Conflict):
    message = "An RBAC policy already exists with those values."


class RbacPolicyHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        kind, id = body["object_type"], body["object_id"]
        if body["action"] != ACTION:
            raise exceptions.InvalidInput(
                error_message=f"action must be {ACTION}: others are not supported"
            )
        target = draft.get(kind, id) if kind in self.kinds else None
        if target is None or not context.owns(target):
            raise self._not_found(kind, id)
        _check_target(context, body)

    def _not_found(self, kind: str, id: str) -> Exception:
        if kind in self.kinds:
            return self.kinds[kind].not_found(id)
        return RbacPolicyNotFound(id=id)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["target_tenant"] != before["target_tenant"]:
            _check_target(context, body)
            draft.put(POLICY, body)
            _check_unused(draft, before)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        draft.delete(POLICY, body["id"])
        _check_unused(draft, body)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield access(body["object_id"], body["target_tenant"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception = DuplicateRbacPolicy()
        return error if claim == access(body["object_id"], body["target_tenant"]) else None

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["object_id"], _OBJECT)


def _check_target(context: Context, body: Body) -> None:
    if body["target_tenant"] == EVERYBODY:
        context.require_admin("only an admin may share with every project")


def _check_unused(draft: Draft, policy: Body) -> None:
    """Who was given access uses it, and has no other."""
    kind, id = policy["object_type"], policy["object_id"]
    target = draft.get(kind, id)
    owner: str = target["project_id"] if target else ""
    for role, users in _USERS[kind]:
        for user_id in draft.linked(id, role):
            user = draft.get(users, user_id)
            project = user["project_id"] if user else owner
            concerned = policy["target_tenant"] in (project, EVERYBODY) and project != owner
            if concerned and not granted(draft, project, id):
                raise RbacPolicyInUse(object_id=id, details=f"{users} {user_id} uses it")


class SharedResourceHooks(ResourceHooks):
    """What was shared takes its policies along when it goes."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], _OBJECT):
            draft.delete(POLICY, id)


def _object_type(value: Any) -> str:
    kind = str(value).strip().lower()
    if kind not in _USERS:
        raise exceptions.InvalidInput(
            error_message=f"'{value}' is not a valid RBAC object type; use one of "
            + ", ".join(sorted(_USERS))
        )
    return kind


_SHOWN = {"allow_post": True, "allow_put": False, "is_visible": True, "is_filter": True}
_PROJECT = {"type:not_empty_string": PROJECT_ID_FIELD_SIZE}

_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "id": {**_SHOWN, "allow_post": False, "validate": {"type:uuid": None}, "primary_key": True},
    "object_type": {**_SHOWN, "convert_to": _object_type},
    "object_id": {**_SHOWN, "validate": {"type:uuid": None}},
    "target_tenant": {**_SHOWN, "allow_put": True, "validate": _PROJECT},
    "tenant_id": {
        **_SHOWN,
        "required_by_policy": True,
        "validate": {"type:string": PROJECT_ID_FIELD_SIZE},
    },
    "action": {**_SHOWN, "validate": {"type:string": DESCRIPTION_FIELD_SIZE}},
}


def extension() -> Extension:
    """The kind ``rbac_policy``."""
    return Extension(
        definitions=(
            NewDefinition(
                ALIAS="rbac-policies",
                NAME="RBAC Policies",
                DESCRIPTION=(
                    "Allows creation and modification of policies that control tenant access to "
                    "resources."
                ),
                UPDATED_TIMESTAMP="2015-06-17T12:15:12-00:00",
            ),
        ),
        kinds=(
            ResourceSpec(
                name=POLICY,
                collection="rbac_policies",
                attributes=_ATTRIBUTES,
                not_found=lambda id: RbacPolicyNotFound(id=id),
            ),
        ),
        rules={POLICY: RbacPolicyHooks(), **{kind: SharedResourceHooks() for kind in _USERS}},
    )
