# SPDX-License-Identifier: Apache-2.0

"""Conntrack helpers in the API: which ports of a router carry protocols that open connections."""

from __future__ import annotations

from collections.abc import Iterable

from neutron_lib import exceptions
from neutron_lib.api.definitions import l3_conntrack_helper as definition

from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceHooks, ResourceSpec
from tenantry.controller.store import Body, Claim, Draft, Link

HELPER = "conntrack_helper"
"""The role in which a router sees its helpers."""

PROTOCOLS = {"ftp": "tcp", "tftp": "udp"}
"""What Open vSwitch has helpers for, and by which protocol."""


class ConntrackHelperNotFound(exceptions.NotFound):
    message = "Conntrack Helper %(id)s could not be found."


class ConntrackHelperNotAllowed(exceptions.BadRequest):
    message = (
        "Conntrack helper %(helper)s with protocol %(protocol)s is not supported; there are "
        "%(supported)s."
    )


class ConntrackHelperTaken(exceptions.Conflict):
    message = "Router %(router)s has a conntrack helper at %(protocol)s port %(port)s already."


class ConntrackHelperHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        _check(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        _check(body)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(HELPER, body["router_id"], f"{body['protocol']} {body['port']}")

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        if claim.kind != HELPER:
            return None
        error: Exception = ConntrackHelperTaken(
            router=body["router_id"], protocol=body["protocol"], port=body["port"]
        )
        return error

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["router_id"], HELPER)


def _check(body: Body) -> None:
    if PROTOCOLS.get(body["helper"]) != body["protocol"]:
        supported = ", ".join(f"{name} by {protocol}" for name, protocol in PROTOCOLS.items())
        raise ConntrackHelperNotAllowed(
            helper=body["helper"], protocol=body["protocol"], supported=supported
        )


class HelpedRouterHooks(ResourceHooks):
    """A router shows its helpers, and takes them along."""

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], HELPER):
            draft.delete("conntrack_helper", id)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        helpers = (reader.get("conntrack_helper", id) for id in reader.linked(body["id"], HELPER))
        names = ("protocol", "port", "helper")
        shown["conntrack_helpers"] = [{n: helper[n] for n in names} for helper in helpers if helper]


_PARAMETERS = definition.SUB_RESOURCE_ATTRIBUTE_MAP["conntrack_helpers"]["parameters"]

KIND = ResourceSpec(
    name="conntrack_helper",
    collection="conntrack_helpers",
    attributes={
        **_PARAMETERS,
        "tenant_id": _PARAMETERS["project_id"],
        "router_id": {"allow_post": False, "allow_put": False, "is_visible": False, "default": ""},
    },
    not_found=lambda id: ConntrackHelperNotFound(id=id),
    standard=(),
    parent="router",
)
