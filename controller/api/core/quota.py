# SPDX-License-Identifier: Apache-2.0

"""Quotas: how many resources of a kind a project may have.

The limits of a project are a resource like others, so a write that changes them and one that adds
to what they limit cannot both be first. What is used is counted, never noted: the store has an
index of what belongs to whom.

As in Neutron, a limit holds for what is asked for by its own name, and for the rules of a new
security group. What else comes with something (a router's ports, a project's default group) is
counted, but never refused. The check itself is the kind's (:meth:`ResourceType.check_quota`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api import converters
from neutron_lib.api.attributes import AttributeInfo
from neutron_lib.api.definitions import quota_check_limit, quota_check_limit_default
from neutron_lib.db.constants import DB_INTEGER_MAX_VALUE, PROJECT_ID_FIELD_SIZE
from oslo_config import cfg
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api.kind import QUOTA, UNLIMITED, Kinds, ResourceType, quota_of
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    SYSTEM,
    Extension,
    NewDefinition,
    Reader,
    ResourceHooks,
    ResourceSpec,
    claimant,
)
from tenantry.controller.feature.service import Service
from tenantry.controller.store import Body, Claim, Draft, Store

_GET = "get_quota"
_PATH = "/v2.0/quotas"


class Quotas:
    """The requests about the limits of projects, to Neutron or to another ``service``: each has
    those of its own kinds."""

    def __init__(self, store: Store, kinds: Kinds, service: Service | None = None) -> None:
        self._store = store
        self._policy = kinds.policy
        self._kind = kinds[QUOTA]
        own = (kind for kind in kinds.values() if kind.service is service)
        self._limited = {kind.name: kind for kind in limited(own)}
        self._attributes = AttributeInfo(dict.fromkeys(self._limited, _LIMIT))

    def _limits(self, reader: Reader, project: str) -> dict[str, int]:
        return {name: kind.limit_of(reader, project) for name, kind in self._limited.items()}

    def routes(self) -> Iterator[Route]:
        yield Route("GET", _PATH, self.index)
        for name in ("tenant", "project"):
            yield Route("GET", f"{_PATH}/{name}", _who_asks(name))
        yield Route("GET", _PATH + "/{id}", self.show)
        yield Route("PUT", _PATH + "/{id}", self.update)
        yield Route("DELETE", _PATH + "/{id}", self.delete)
        yield Route("GET", _PATH + "/{id}/default", self.show_default)
        yield Route("GET", _PATH + "/{id}/details", self.show_details)

    def index(self, request: Request, context: Context) -> Answer:
        """The projects that have limits of their own, of those that the caller may ask about."""
        self._policy.check_any(context, _GET)
        self._store.catch_up()
        return 200, {
            "quotas": [
                {**self._limits(self._store, project), "project_id": project, "tenant_id": project}
                for project in self._with_own()
                if self._policy.allows(context, _GET, {"project_id": project}.get)
            ]
        }

    def _with_own(self) -> list[str]:
        """The projects that have limits of their own."""
        bodies = self._store.read(QUOTA).values()
        return [b["project_id"] for b in bodies if self._limited.keys() & b["limits"].keys()]

    def show(self, request: Request, context: Context, id: str) -> Answer:
        self._check_may_see(context, id)
        self._store.catch_up()
        return 200, {QUOTA: self._limits(self._store, id)}

    def show_default(self, request: Request, context: Context, id: str) -> Answer:
        self._check_may_see(context, id)
        return 200, {QUOTA: {name: kind.limit for name, kind in self._limited.items()}}

    def show_details(self, request: Request, context: Context, id: str) -> Answer:
        """What is used, too. Nothing is ever reserved: what was checked is there in the same
        commit."""
        self._check_may_see(context, id)
        self._store.catch_up()
        return 200, {
            QUOTA: {
                kind: {"limit": limit, "used": self._store.count(kind, id), "reserved": 0}
                for kind, limit in self._limits(self._store, id).items()
            }
        }

    def update(self, request: Request, context: Context, id: str) -> Answer:
        self._check(context, "update_quota", id)
        if not id.isprintable() or len(id) > PROJECT_ID_FIELD_SIZE:
            raise HTTPBadRequest(
                f"A project is printable text of at most {PROJECT_ID_FIELD_SIZE} characters"
            )
        limits, force = self._parse(read_json(request))

        def change(draft: Draft) -> Mapping[str, int]:
            for kind, limit in limits.items():
                used = draft.count(kind, id)
                if not force and 0 <= limit < used:
                    raise HTTPBadRequest(
                        f"Quota limit {limit} for {kind} must be greater than or equal to already "
                        f"used {used}"
                    )
            self._set(draft, id, limits)
            return self._limits(draft, id)

        return 200, {QUOTA: self._store.write(change, context.actor)}

    def _set(self, draft: Draft, id: str, limits: Mapping[str, int | None]) -> None:
        """None is the default again."""
        before = claimant(draft, QUOTA, quota_of(id))
        merged = {**(before["limits"] if before else {}), **limits}
        own = {name: limit for name, limit in merged.items() if limit is not None}
        if before is None:
            if own:
                self._kind.make(draft, SYSTEM, {"project_id": id, "limits": own})
        elif own:
            self._kind.update(draft, SYSTEM, before, {"limits": own})
        else:
            draft.delete(QUOTA, before["id"])

    def _parse(self, payload: Any) -> tuple[dict[str, int], bool]:
        """The limits in a request, and whether they may be below what is used."""
        asked = payload.get(QUOTA) if isinstance(payload, dict) else None
        if not isinstance(asked, dict):
            raise HTTPBadRequest(f"Unable to find '{QUOTA}' in request body")
        limits = {name: value for name, value in asked.items() if name not in _HOW}
        self._attributes.verify_attributes(limits)
        self._attributes.convert_values(limits, exc_cls=HTTPBadRequest)
        return limits, asked.get("force") is True

    def delete(self, request: Request, context: Context, id: str) -> Answer:
        """Back to the defaults."""
        self._check(context, "delete_quota", id)

        def change(draft: Draft) -> None:
            before = claimant(draft, QUOTA, quota_of(id))
            if before is None or not before["limits"].keys() & self._limited.keys():
                raise exceptions.TenantQuotaNotFound(tenant_id=id)
            self._set(draft, id, dict.fromkeys(self._limited))

        self._store.write(change, context.actor)
        return 204, None

    def _check_may_see(self, context: Context, project: str) -> None:
        """Everybody may see those of their own project."""
        if project != context.project_id:
            self._check(context, _GET, project)

    def _check(self, context: Context, rule: str, project: str) -> None:
        self._policy.check(context, rule, {"project_id": project}.get)


_HOW = ("force", "check_limit")
"""What is in a request beside limits. ``check_limit`` asks for what is done anyway."""


def _as_limit(value: Any) -> int:
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        limit: int = converters.convert_to_int(value)
        return limit
    raise exceptions.InvalidInput(error_message=f"'{value}' is not an integer")


_LIMIT = {
    "allow_post": False,
    "allow_put": True,
    "is_visible": True,
    "convert_to": _as_limit,
    "validate": {"type:range": [UNLIMITED, DB_INTEGER_MAX_VALUE]},
}


def _who_asks(name: str) -> Callable[..., Answer]:
    def answer(request: Request, context: Context) -> Answer:
        """What old clients find out their project by."""
        if not context.project_id:
            raise exceptions.QuotaMissingTenant()
        return 200, {name: {f"{name}_id": context.project_id}}

    return answer


class QuotaHooks(ResourceHooks):
    def claims(self, body: Body) -> Iterable[Claim]:
        yield quota_of(body["project_id"])


def limited(kinds: Iterable[ResourceType]) -> Iterator[ResourceType]:
    """Those of which projects have quotas."""
    return (kind for kind in kinds if kind.quota is not None)


def options(kinds: Iterable[ResourceType]) -> list[cfg.Opt]:
    """An option for each kind: how many a project may have that has no quota of its own."""
    return [
        cfg.IntOpt(
            f"quota_{kind.name}",
            default=kind.quota,
            min=UNLIMITED,
            help=f"How many {kind.collection} a project may have, unless it has a quota of its "
            "own; -1: any number. Not set, and with auth_type none, there is no limit.",
        )
        for kind in limited(kinds)
    ]


def defaults(conf: cfg.ConfigOpts, kinds: Iterable[ResourceType]) -> dict[str, int]:
    """What is said in :func:`options`. Who trusts everybody has no quotas but those that they
    asked for: a lab is one project."""
    open_to_all = conf.api.auth_type == "none"
    found = {}
    for kind in limited(kinds):
        name = f"quota_{kind.name}"
        where = conf.get_location(name, "quotas")
        unasked = open_to_all and where and where.location is cfg.Locations.opt_default
        found[kind.name] = UNLIMITED if unasked else conf.quotas[name]
    return found


_DEFINITIONS = (
    NewDefinition(
        "quotas",
        "Quota management support",
        "Expose functions for quotas management per project",
        "2012-07-29T10:00:00-00:00",
    ),
    NewDefinition(
        "quota_details",
        "Quota details management support",
        "Expose functions for quotas usage statistics per project",
        "2017-02-10T10:00:00-00:00",
    ),
    quota_check_limit,
    quota_check_limit_default,
)


def extension() -> Extension:
    """The kind ``quota``, which has no URL as others have: see :class:`Quotas`."""
    hidden = {"allow_post": True, "allow_put": True, "is_visible": False}
    project = {"validate": {"type:string": PROJECT_ID_FIELD_SIZE}, "required_by_policy": True}
    return Extension(
        definitions=_DEFINITIONS,
        kinds=(
            ResourceSpec(
                name=QUOTA,
                collection="quotas",
                attributes={
                    "tenant_id": {**hidden, **project},
                    "limits": {**hidden, "validate": {"type:dict": None}},
                },
                not_found=lambda id: exceptions.TenantQuotaNotFound(tenant_id=id),
                internal=True,
            ),
        ),
        rules={QUOTA: QuotaHooks()},
    )
