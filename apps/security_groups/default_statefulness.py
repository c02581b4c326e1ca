# SPDX-License-Identifier: Apache-2.0

"""Whether a new security group is stateful, if nobody says: what its project has set, or else what
is set for all projects, or else it is."""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.definitions import security_groups_default_statefulness as definition
from neutron_lib.constants import ATTR_NOT_SPECIFIED

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    claimant,
)
from tenantry.controller.store import Body, Claim, Draft

SETTING = definition.RESOURCE_NAME

DEFINITION = NewDefinition.instead(
    definition,
    {"security_groups": {"stateful": {"default": ATTR_NOT_SPECIFIED}}},
)
"""As neutron-lib has it; and nobody has said so, where a group's ``stateful`` is left out."""


class SettingNotFound(exceptions.NotFound):
    message = "Security group default statefulness setting %(id)s could not be found."


class SettingExists(exceptions.Conflict):
    message = (
        "A security group default statefulness setting already exists for project '%(project_id)s'."
    )


def is_stateful(reader: Reader, project_id: str) -> bool:
    """Whether a project's new groups are, if nobody says."""
    for project in (project_id, ""):
        setting = claimant(reader, SETTING, _of_project(project))
        if setting is not None:
            return bool(setting["stateful"])
    return True


def _of_project(project_id: str) -> Claim:
    return Claim(SETTING, "", project_id)


class SettingHooks(ResourceHooks):
    """The setting for all projects is nobody's; its project is null."""

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body["project_id"] = body["project_id"] or ""

    def claims(self, body: Body) -> Iterable[Claim]:
        yield _of_project(body["project_id"])

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        error: Exception = SettingExists(project_id=body["project_id"] or "system-wide")
        return error if claim.kind == SETTING else None

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown["project_id"] = shown["tenant_id"] = body["project_id"] or None


_ATTRIBUTES = definition.RESOURCE_ATTRIBUTE_MAP[definition.COLLECTION_NAME]

KIND = ResourceSpec(
    name=SETTING,
    collection=definition.COLLECTION_NAME,
    attributes={**_ATTRIBUTES, "tenant_id": _ATTRIBUTES["project_id"]},
    not_found=lambda id: SettingNotFound(id=id),
    standard=(),
)
