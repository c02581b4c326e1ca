# SPDX-License-Identifier: Apache-2.0

"""RBAC policies: a resource of one project, shared with another or with all (``*``)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.definitions import rbac_address_scope, rbac_subnetpool
from neutron_lib.db.constants import DESCRIPTION_FIELD_SIZE, PROJECT_ID_FIELD_SIZE

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    ACCESS_EXTERNAL,
    ACCESS_SHARED,
    EVERYBODY,
    RBAC_POLICY,
    SYSTEM,
    Extension,
    NewDefinition,
    RbacPolicyInUse,
    Reader,
    ResourceHooks,
    ResourceSpec,
    access,
    changed,
    give_to_everybody,
    granted,
)
from tenantry.controller.store import Body, Claim, Draft, Link, Store

OBJECT = "rbac_object"
"""The role in which a resource sees the policies that share it."""

_USERS = {
    "network": (("port", "port"),),
    "subnetpool": (("allocation", "subnet"),),
    "address_scope": (("subnetpool", "subnetpool"),),
    "security_group": (("security_group_port", "port"), ("remote_group", "security_group_rule")),
    "address_group": (("address_group_rule", "security_group_rule"),),
    "qos_policy": tuple(
        (f"qos_{kind}", kind) for kind in ("network", "port", "floatingip", "router")
    ),
}
"""What can be shared; and in which roles, and of which kinds, those who use it link to it."""

OBJECT_TYPES = _USERS.keys()


def _kind(object_type: str) -> str:
    """The kind of what is shared: but for one, policies call it by the same name."""
    return "policy" if object_type == "qos_policy" else object_type


class RbacPolicyNotFound(exceptions.NotFound):
    message = "RBAC policy with ID %(id)s not found"


class DuplicateRbacPolicy(exceptions.Conflict):
    message = "An RBAC policy already exists with those values."


class InvalidActionForType(exceptions.InvalidInput):
    message = (
        "Invalid action '%(action)s' for object type '%(object_type)s'. Valid actions: "
        "%(valid_actions)s"
    )


class RbacPolicyHooks(ResourceHooks):
    """Who has access is what policies claim. Where a resource says ``shared`` itself, it says
    whether everybody has."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        object_type, id = body["object_type"], body["object_id"]
        kind = _kind(object_type)
        actions = (ACCESS_SHARED, ACCESS_EXTERNAL) if kind == "network" else (ACCESS_SHARED,)
        if body["action"] not in actions:
            raise InvalidActionForType(
                action=body["action"], object_type=object_type, valid_actions=", ".join(actions)
            )
        target = draft.get(kind, id) if kind in self.kinds else None
        if target is None or not self.kinds[kind].may_see(draft, context, target):
            raise self._not_found(kind, id)
        if not self.kinds[kind].owns(draft, context, target):
            raise exceptions.InvalidInput(
                error_message="Only admins can manipulate policies on objects they do not own"
            )
        _check_target(draft, context, body)

    def _not_found(self, kind: str, id: str) -> Exception:
        if kind in self.kinds:
            return self.kinds[kind].not_found(id)
        return RbacPolicyNotFound(id=id)

    def created(self, draft: Draft, body: Body) -> None:
        _reflect(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body["target_tenant"] != before["target_tenant"]:
            _check_target(draft, context, body)
            draft.put(RBAC_POLICY, body)
            _check_unused(draft, before)
            _reflect(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        draft.delete(RBAC_POLICY, body["id"])
        _check_unused(draft, body)
        _reflect(draft, body)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield access(body["object_id"], body["target_tenant"], body["action"])

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["object_id"], OBJECT)

    def wholes(self, body: Body) -> Iterable[tuple[str, str]]:
        yield _kind(body["object_type"]), body["object_id"]


def _check_target(draft: Draft, context: Context, body: Body) -> None:
    """What is no project's id, as a name where projects have UUIDs, would share with nobody."""
    target = body["target_tenant"]
    if target != EVERYBODY and not context.may_be_project(target):
        raise exceptions.InvalidInput(
            error_message=f"'{target}' is not a valid target project ID; expected a UUID or '*'"
        )
    if draft.owner(access(body["object_id"], target, body["action"])) is not None:
        raise DuplicateRbacPolicy()


def _check_unused(draft: Draft, policy: Body) -> None:
    """Who was given access uses it, and has no other."""
    if policy["action"] != ACCESS_SHARED:
        return
    kind, id = policy["object_type"], policy["object_id"]
    target = draft.get(_kind(kind), id)
    owner: str = target["project_id"] if target else ""
    for role, users in _USERS[kind]:
        for user_id in draft.linked(id, role):
            user = draft.get(users, user_id)
            project = user["project_id"] if user else owner
            concerned = policy["target_tenant"] in (project, EVERYBODY) and project != owner
            if concerned and not granted(draft, project, id):
                raise RbacPolicyInUse(object_id=id, details=f"{users} {user_id} uses it")


def _reflect(draft: Draft, policy: Body) -> None:
    """Have what a policy is about say whether it is everybody's."""
    kind, id = _kind(policy["object_type"]), policy["object_id"]
    shared = draft.owner(access(id, EVERYBODY)) is not None
    body = draft.get(kind, id)
    if body is not None and body.get("shared", shared) != shared:
        draft.put(kind, changed(body, shared=shared))


class SharedResourceHooks(ResourceHooks):
    """Resources of one kind: for whom they are shared, by which policies; and the policies that
    come and go with them."""

    overrides = ("shared",)

    def __init__(self, object_type: str) -> None:
        self._type = object_type

    def created(self, draft: Draft, body: Body) -> None:
        if body.get("shared"):
            give_to_everybody(draft, self.kinds[RBAC_POLICY], self._type, body, ACCESS_SHARED)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        if body.get("shared") == before.get("shared"):
            return
        if body["shared"]:
            give_to_everybody(draft, self.kinds[RBAC_POLICY], self._type, before, ACCESS_SHARED)
        else:
            policy = draft.owner(access(body["id"], EVERYBODY))
            if policy is not None:
                draft.delete(RBAC_POLICY, policy)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], OBJECT):
            draft.delete(RBAC_POLICY, id)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        return granted(reader, context.project_id, body["id"])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["shared"] = granted(reader, context.project_id, body["id"])

    def upgrade(self, store: Store) -> None:
        """What was shared before there were policies for it gets one."""

        def change(draft: Draft) -> None:
            for body in store.read(_kind(self._type)).values():
                self.created(draft, body)

        store.write(change, SYSTEM.actor)


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
    "target_tenant": {**_SHOWN, "allow_put": True, "validate": _PROJECT, "enforce_policy": True},
    "tenant_id": {
        **_SHOWN,
        "required_by_policy": True,
        "validate": {"type:string": PROJECT_ID_FIELD_SIZE},
    },
    "action": {**_SHOWN, "validate": {"type:string": DESCRIPTION_FIELD_SIZE}},
}


def extension() -> Extension:
    """The kind ``rbac_policy``."""
    shared = {_kind(object_type): SharedResourceHooks(object_type) for object_type in _USERS}

    def upgrade(store: Store) -> None:
        for kind in shared.keys() & store.schema.keys():
            shared[kind].upgrade(store)

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
            rbac_address_scope,
            rbac_subnetpool,
        ),
        kinds=(
            ResourceSpec(
                name=RBAC_POLICY,
                collection="rbac_policies",
                attributes=_ATTRIBUTES,
                not_found=lambda id: RbacPolicyNotFound(id=id),
                quota=10,
                standard=(),
            ),
        ),
        rules={RBAC_POLICY: RbacPolicyHooks(), **shared},
        upgrade=upgrade,
    )
