# SPDX-License-Identifier: Apache-2.0

"""Quotas of the kinds of another service than Neutron's: Octavia's requests, and its answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api.core.quota import Quotas
from tenantry.controller.api.kind import QUOTA, UNLIMITED, Kinds
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader
from tenantry.controller.feature.service import Service
from tenantry.controller.store import Body, Draft, Store

MOST = 2_000_000_000


class ServiceQuotas(Quotas):
    """The requests about the limits of projects. -1 is any number."""

    def __init__(self, store: Store, kinds: Kinds, service: Service) -> None:
        super().__init__(store, kinds, service)
        self._service = service

    def routes(self) -> Iterator[Route]:
        path = f"{self._service.path}/quotas"
        yield Route("GET", path, self.index)
        yield Route("GET", path + "/{id}", self.show)
        yield Route("PUT", path + "/{id}", self.update)
        yield Route("DELETE", path + "/{id}", self.delete)
        yield Route("GET", path + "/{id}/default", self.show_default)

    def _rule(self, verb: str) -> str:
        return self._service.rule(verb, QUOTA)

    def index(self, request: Request, context: Context) -> Answer:
        project = request.GET.get("project_id") or request.GET.get("tenant_id")
        if not self._policy.allows(context, self._rule("list_all"), {"project_id": project}.get):
            project = project or context.project_id
            self._check(context, self._rule("list"), project)
        self._store.catch_up()
        found = [id for id in self._with_own() if not project or id == project]
        return 200, {"quotas": [self._shown(self._store, id) for id in found], "quotas_links": []}

    def show(self, request: Request, context: Context, id: str) -> Answer:
        self._check(context, self._rule("get"), id)
        self._store.catch_up()
        return 200, {QUOTA: self._shown(self._store, id)}

    def show_default(self, request: Request, context: Context, id: str) -> Answer:
        self._check(context, self._rule("default"), id)
        return 200, {QUOTA: self._named(id, {n: kind.limit for n, kind in self._limited.items()})}

    def update(self, request: Request, context: Context, id: str) -> Answer:
        self._check(context, self._rule("update"), id)
        if not id.isprintable() or len(id) > PROJECT_ID_FIELD_SIZE:
            raise HTTPBadRequest(
                f"A project is printable text of at most {PROJECT_ID_FIELD_SIZE} characters"
            )
        limits = self._asked(read_json(request))

        def change(draft: Draft) -> Body:
            self._set(draft, id, limits)
            return self._shown(draft, id)

        return 202, {QUOTA: self._store.write(change, context.actor)}

    def delete(self, request: Request, context: Context, id: str) -> Answer:
        self._check(context, self._rule("delete"), id)
        self._store.write(
            lambda draft: self._set(draft, id, dict.fromkeys(self._limited)), context.actor
        )
        return 202, None

    def _asked(self, payload: Any) -> dict[str, int | None]:
        asked = payload.get(QUOTA) if isinstance(payload, dict) else None
        if not isinstance(asked, dict):
            raise HTTPBadRequest(f"Unable to find '{QUOTA}' in request body")
        older = {old: new for new, old in self._service.older_names.items()}
        limits = {str(older.get(name, name)): value for name, value in asked.items()}
        for name, value in limits.items():
            if name not in self._limited:
                raise HTTPBadRequest(f"Unknown attribute: {name}")
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (is_number and UNLIMITED <= value <= MOST):
                raise HTTPBadRequest(
                    f"Invalid input for field/attribute {name}. Value: '{value}'. Value should be "
                    f"a number from {UNLIMITED} to {MOST}"
                )
        return limits

    def _shown(self, reader: Reader, project: str) -> Body:
        return self._named(project, self._limits(reader, project))

    def _named(self, project: str, limits: dict[str, int]) -> Body:
        older = self._service.older_names.items()
        return {
            "project_id": project,
            **limits,
            **{old: limits[new] for new, old in older if new in limits},
        }
