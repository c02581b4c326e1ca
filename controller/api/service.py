# SPDX-License-Identifier: Apache-2.0

"""Kinds of other services than Neutron's: what differs in how they are asked for.

A draft, rules, claims, links, quotas and policies are the same; what is asked in the URL of a list,
what there is below a resource, and what a refusal says are the service's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.query import Query, filter_of
from tenantry.controller.api.resource import Collection, Computed
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Action, AttributeMap, Reader, View
from tenantry.controller.store import Body, Draft


class ServiceQuery(Query):
    """The query string of a list, as services write it that are built of pecan and wsme: Octavia's
    400s. There is a page in any case."""

    always_links = True

    def _parse_filters(self, attributes: AttributeMap) -> list[Any]:
        wanted = {n: v for n, v in self._params.items() if n not in _NOT_FILTERS}
        unknown = [n for n in wanted if not attributes.get(n, {}).get("is_filter")]
        twice = [n for n, values in wanted.items() if len(values) > 1 and "tags" not in n]
        if unknown or twice:
            names = ", ".join(unknown or twice)
            raise HTTPBadRequest(f"One or more arguments are either duplicate or invalid: {names}")
        return [filter_of(attributes, name, values) for name, values in wanted.items()]

    def _parse_sorts(self, attributes: AttributeMap) -> list[tuple[str, bool]]:
        """``sort=KEY:DIRECTION,KEY``, or ``sort_key=KEY,KEY`` and ``sort_dir=DIRECTION,...``; by
        age in the end, or, of what has none, by id."""
        asked = [each.split(":") for each in (self._last("sort") or "").split(",") if each]
        if not asked:
            keys = [key for key in (self._last("sort_key") or "").split(",") if key]
            directions = [each for each in (self._last("sort_dir") or "").split(",") if each]
            directions += ["asc"] * (len(keys) - len(directions))
            asked = [[key, directions[number]] for number, key in enumerate(keys)]
        sorts = []
        for key, *direction in asked:
            if len(direction) > 1 or not attributes.get(key, {}).get("is_sort_key"):
                raise HTTPBadRequest(f"Supplied sort key '{key}' is not valid.")
            said = direction[0].lower() if direction else "asc"
            if said not in ("asc", "desc"):
                raise HTTPBadRequest(f"Supplied sort direction '{said}' is not valid.")
            sorts.append((key, said == "desc"))
        return [*sorts, ("created_at" if "created_at" in attributes else "id", False)]

    def _parse_limit(self) -> int:
        text = self._last("limit") or "infinite"
        if text == "infinite":
            return 0
        try:
            return min(max(0, int(text)), MOST_LISTED)
        except ValueError:
            raise HTTPBadRequest(f"Supplied pagination limit '{text}' is not valid.") from None

    def _links(self, page: list[str]) -> list[dict[str, str]]:
        there = super()._links(page) if page else []
        return [link for link in there if link["rel"] == "next" or self.marker is not None]


MOST_LISTED = 1 << 31
"""More than there are of anything."""

_NOT_FILTERS = frozenset(
    {"fields", "sort", "sort_key", "sort_dir", "limit", "marker", "page_reverse"}
    | {"project_id", "tenant_id"}
)


@dataclass(frozen=True)
class _Sight:
    """See :class:`tenantry.controller.feature.extension.Sight`."""

    reader: Reader
    kinds: Kinds
    context: Context
    computed: Computed

    def shown(self, kind: str, body: Body) -> Body:
        return self.kinds[kind].shown(
            self.reader, self.context, {**body, **self.computed(kind, body)}
        )

    def seen(self, what: str, body: Body) -> Mapping[str, Any]:
        return self.computed(what, body)


class ServiceCollection(Collection):
    """The resources of one kind of another service."""

    def routes(self) -> Iterator[Route]:
        path, spec = self._kind.path, self._kind.spec
        yield from super().routes()
        if spec.batch is not None:
            yield Route("PUT", path, self.replace)
        for name, view in spec.views.items():
            yield Route("GET", f"{path}/{{id}}/{name}", partial(self.view, name, view))

    def index(self, request: Request, context: Context, parent: str = "") -> Answer:
        of = {self._parent_id: {"is_filter": True}} if self._kind.parent else {}
        query = ServiceQuery(request, {**self._kind.attributes, **of})
        self._store.catch_up()
        allows, policy = self._access.policy.allows, self._access.policy
        project = wanted = query.project
        whole = self._find_parent(self._store, context, parent)
        if whole is not None:
            project = whole["project_id"]
            query.filters.append((self._parent_id, lambda id: id == parent))
            query.filters.append(("project_id", lambda id: wanted in (None, id)))
        all_rule = self._kind.rule_to("list_all")
        read = {"project_id": project}.get
        if whole or not (policy.knows(all_rule) and allows(context, all_rule, read)):
            project = project or context.project_id
            policy.check(context, self._kind.rule_to("list"), {"project_id": project}.get)
        if query.marker is not None and self._store.get(self._kind.name, query.marker) is None:
            raise HTTPBadRequest(f"Supplied pagination marker '{query.marker}' is not valid.")

        def show(body: Body) -> Body | None:
            if project and body["project_id"] not in ("", project):  # or nobody's
                return None
            shown = self._present(context, body)
            for name, test in query.filters:
                if not (self._is_stored(name, body) or test(shown.get(name))):
                    return None
            return self._output(shown, frozenset(), query.fields)

        def value(body: Body, name: str) -> Any:
            return (body if self._is_stored(name, body) else self._present(context, body)).get(name)

        return 200, query.answer(self._kind.collection, self._matching(query), show, value)

    def view(self, name: str, view: View, request: Request, context: Context, id: str) -> Answer:
        self._store.catch_up()
        body = self._there(self._store, context, id, "")
        self._access.check(self._store, context, self._kind, self._kind.rule_to(name), body)
        return 200, view(self._sight(context), body)

    def _sight(self, context: Context) -> _Sight:
        return _Sight(self._store, self._access.kinds, context, self._computed)

    def replace(self, request: Request, context: Context, parent: str = "") -> Answer:
        """A PUT of the collection."""
        payload = read_json(request)
        items = payload.get(self._kind.collection) if isinstance(payload, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise HTTPBadRequest(f"Unable to find '{self._kind.collection}' in request body")
        additive = _flag(request, "additive_only")
        batch = self._kind.spec.batch
        assert batch is not None

        def change(draft: Draft) -> None:
            whole = self._find_parent(draft, context, parent)
            assert whole is not None
            read = {"project_id": whole["project_id"]}.get
            self._access.policy.check(context, self._kind.rule_to("update"), read)
            batch(draft, context, whole, items, additive)

        self._store.write(change, context.actor)
        return 202, None

    def delete(self, request: Request, context: Context, id: str, parent: str = "") -> Answer:
        def change(draft: Draft) -> None:
            body = self._own(draft, request, context, self._kind.rule_to("delete"), id, parent)
            if self._kind.spec.cascade is not None and _flag(request, "cascade"):
                self._kind.spec.cascade(draft, context, body)
            self._kind.delete(draft, context, body)

        self._store.write(change, context.actor)
        return 204, None

    def act(self, name: str, action: Action, request: Request, context: Context, id: str) -> Answer:
        payload = read_json(request) or {}

        def change(draft: Draft) -> Any:
            body = self._own(draft, request, context, self._kind.rule_to(name), id)
            return action(draft, context, body, payload)

        return 202, self._store.write(change, context.actor)

    def _created(self, context: Context, body: Body) -> Body:
        if self._kind.spec.created is None:
            return super()._created(context, body)
        shown: Body = self._kind.spec.created(self._sight(context), body)
        return shown

    def _is_bulk(self, payload: Body) -> bool:
        return False


def _flag(request: Request, name: str) -> bool:
    return request.GET.get(name, "").lower() in ("1", "t", "true", "on", "y", "yes")
