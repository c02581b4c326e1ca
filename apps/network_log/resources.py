# SPDX-License-Identifier: Apache-2.0

"""The logging API: which events of which ports are logged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from neutron_lib import exceptions
from neutron_lib.api.definitions import logging
from neutron_lib.exceptions import PortNotFound

from tenantry.apps.network_log.policies import POLICIES
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, ResourceHooks, ResourceSpec, may_use
from tenantry.controller.store import Body, Draft, Link, Store

TYPES = ("security_group",)


class LogResourceNotFound(exceptions.NotFound):
    message = "Log resource %(log_resource_id)s could not be found."


class InvalidLogResourceType(exceptions.InvalidInput):
    message = "Invalid log resource_type: %(resource_type)s. Use one of %(types)s."


class ResourceNotFound(exceptions.NotFound):
    message = "%(resource_type)s %(id)s could not be found."


class InvalidResourceConstraint(exceptions.InvalidInput):
    message = "Port %(port)s is not in security group %(group)s: nothing would be logged."


class LogHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        if body["resource_type"] not in TYPES:
            raise InvalidLogResourceType(
                resource_type=body["resource_type"], types=", ".join(TYPES)
            )
        group_id, port_id = body["resource_id"], body["target_id"]
        group = draft.get("security_group", group_id) if group_id else None
        if group_id and (group is None or not may_use(draft, context, group)):
            raise ResourceNotFound(resource_type="security_group", id=group_id)
        port = draft.get("port", port_id) if port_id else None
        if port_id and (port is None or not context.owns(port)):
            raise PortNotFound(port_id=port_id)
        if group_id and port and group_id not in port["security_groups"]:
            raise InvalidResourceConstraint(port=port_id, group=group_id)

    def links(self, body: Body) -> Iterable[Link]:
        for name in ("resource_id", "target_id"):
            if body[name]:
                yield Link(body[name], "log")


class LoggedResourceHooks(ResourceHooks):
    """What is gone is logged no more."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], "log"):
            draft.delete("log", id)


def _types(store: Store, context: Context) -> Iterator[Body]:
    for name in TYPES:
        yield {"type": name}


def extension() -> Extension:
    """The kind ``log``, and what can be logged."""
    attributes = dict(logging.RESOURCE_ATTRIBUTE_MAP["logs"])
    return Extension(
        policies=POLICIES,
        definitions=(logging,),
        kinds=(
            ResourceSpec(
                name="log",
                collection="logs",
                attributes={**attributes, "tenant_id": attributes["project_id"]},
                not_found=lambda id: LogResourceNotFound(log_resource_id=id),
                path="log/logs",
            ),
        ),
        rules={
            "log": LogHooks(),
            "security_group": LoggedResourceHooks(),
            "port": LoggedResourceHooks(),
        },
        lists={"log/loggable-resources": _types},
    )
