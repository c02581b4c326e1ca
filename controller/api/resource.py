# SPDX-License-Identifier: Apache-2.0

"""The operations that all kinds share: create, show, list, update, delete, and tags.

What is special about a kind is in its rules. A write is one function of a draft, run by
:meth:`Store.write`; nothing here touches the store in any other way.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

from neutron_lib import exceptions
from neutron_lib.api import validators
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller import runtime
from tenantry.controller.api.access import Access
from tenantry.controller.api.faults import RevisionNumberConstraintFailed, TagNotFound
from tenantry.controller.api.kind import ResourceType
from tenantry.controller.api.query import Query
from tenantry.controller.api.standard import MAX_TAG_LENGTH
from tenantry.controller.api.wsgi import Answer, Route, read_json
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Action, Reader, changed
from tenantry.controller.store import Body, Draft, Store

Computed: TypeAlias = Callable[[str, Body], Mapping[str, Any]]
"""Attributes that are observed rather than stored, by kind and body: ``status``, ``alive``, and
``binding:host_id`` where the user left it open."""

_IF_MATCH = re.compile(r'"?revision_number=(\d{1,18})"?')


class Collection:
    """The resources of one kind, as their collection's URL shows them."""

    def __init__(
        self,
        store: Store,
        kind: ResourceType,
        computed: Computed,
        access: Access,
    ) -> None:
        self._store = store
        self._kind = kind
        self._name = kind.singular
        self._computed = computed
        self._access = access

    def routes(self) -> Iterator[Route]:
        path = self._kind.path
        yield Route("GET", path, self.index)
        yield Route("POST", path, self.create)
        yield Route("GET", path + "/{id}", self.show)
        yield Route("PUT", path + "/{id}", self.update)
        yield Route("DELETE", path + "/{id}", self.delete)
        tags = self._kind.attributes.get("tags")
        if tags and not tags["allow_put"]:
            # Neutron has tags outside of paths that begin with a service's name.
            for tagged in dict.fromkeys((path, f"/v2.0/{self._kind.collection}")):
                yield from self._tag_routes(tagged)
        for name, action in self._kind.actions.items():
            method = "GET" if name.startswith("get_") else "PUT"  # so Neutron names them
            yield Route(method, path + "/{id}/" + name, partial(self.act, name, action))

    def _tag_routes(self, path: str) -> Iterator[Route]:
        yield Route("GET", path + "/{id}/tags", self.list_tags)
        yield Route("POST", path + "/{id}/tags", self.add_tags)
        yield Route("PUT", path + "/{id}/tags", self.replace_tags)
        yield Route("DELETE", path + "/{id}/tags", self.remove_tags)
        yield Route("GET", path + "/{id}/tags/{tag}", self.has_tag)
        yield Route("PUT", path + "/{id}/tags/{tag}", self.add_tag)
        yield Route("DELETE", path + "/{id}/tags/{tag}", self.remove_tag)

    # Reading

    def show(self, request: Request, context: Context, id: str, parent: str = "") -> Answer:
        fields = [name for name in request.GET.getall("fields") if name]
        self._store.catch_up()
        body = self._find(self._store, context, id, parent)
        return 200, {self._name: self._shown(context, body, fields)}

    def index(self, request: Request, context: Context, parent: str = "") -> Answer:
        query = Query(request, self._kind.attributes)
        self._store.catch_up()
        project = (query.project if context.is_admin else None) or context.project_id
        for rules in self._kind.rules:
            rules.before_list(self._store, context, project)
        if self._kind.parent:
            self._find_parent(self._store, context, parent)
            query.filters.append((self._parent_id, lambda id: id == parent))
        if query.marker is not None:
            self._find(self._store, context, query.marker, parent)
        hideable = self._access.hideable(self._kind)

        def show(body: Body) -> Body | None:
            if not self._access.may_get(self._store, context, self._kind, body):
                return None
            shown, hidden = self._present(context, body), self._hidden(context, body)
            for name, test in query.filters:
                if name in hidden or not (self._is_stored(name, body) or test(shown.get(name))):
                    return None
            return self._output(shown, hidden, query.fields)

        def value(body: Body, name: str) -> Any:
            if name in hideable and name in self._hidden(context, body):
                return None
            return (body if self._is_stored(name, body) else self._present(context, body)).get(name)

        return 200, query.answer(self._kind.collection, self._matching(query), show, value)

    def _matching(self, query: Query) -> list[Body]:
        """What is asked for, by what is stored of it, and the marker in any case. Whether the
        caller may see it takes longer to find out, and most may not be on the page. A snapshot:
        others may write while this one lets them work."""
        bodies = [*self._store.read(self._kind.name).values()]
        if not query.filters:
            return bodies
        return [
            body
            for body in runtime.paced(bodies)
            if body["id"] == query.marker
            or all(test(body[n]) for n, test in query.filters if self._is_stored(n, body))
        ]

    def _is_stored(self, name: str, body: Body) -> bool:
        """Whether an attribute is shown as it is stored, so that nothing need be presented."""
        return name in body and name not in self._kind.overridden

    def _find(self, reader: Reader, context: Context, id: str, parent: str = "") -> Body:
        """The resource, if the caller may see it."""
        self._find_parent(reader, context, parent)
        id = self._kind.named(reader, parent, id)
        body = self._access.find(reader, context, self._kind.name, id)
        return self._of(parent, body)

    def _find_parent(self, reader: Reader, context: Context, id: str) -> Body | None:
        """What this is a part of, if it is of any, and the caller may see it."""
        kind = self._kind.parent
        return self._access.find(reader, context, kind, id) if kind else None

    def _of(self, parent: str, body: Body) -> Body:
        if parent and body[self._parent_id] != parent:
            raise self._kind.not_found(body["id"])
        return body

    @property
    def _parent_id(self) -> str:
        return f"{self._kind.parent}_id"

    def _present(self, context: Context, body: Body) -> Body:
        shown = {**body, "tenant_id": body["project_id"]}
        shown.update(self._computed(self._kind.name, body))
        return self._kind.presented(self._store, context, shown, body)

    def _shown(self, context: Context, body: Body, fields: Iterable[str] = ()) -> Body:
        """The resource, as the caller may see it."""
        return self._output(self._present(context, body), self._hidden(context, body), fields)

    def _hidden(self, context: Context, body: Body) -> frozenset[str]:
        return self._access.hidden(self._store, context, self._kind, body)

    def _output(self, shown: Body, hidden: frozenset[str], fields: Iterable[str]) -> Body:
        wanted = set(fields)
        return {
            name: shown[name]
            for name in self._kind.visible
            if name in shown and name not in hidden and (not wanted or name in wanted)
        }

    # Writing

    def create(self, request: Request, context: Context, parent: str = "") -> Answer:
        payload = read_json(request)
        items = self._items(payload)
        parsed = [self._kind.parse_new(context, item) for item in runtime.paced(items)]

        def change(draft: Draft) -> list[Body]:
            whole = self._find_parent(draft, context, parent)
            bodies = [self._kind.new_body(attributes) for attributes in parsed]
            for item, body in zip(items, bodies, strict=True):
                if whole is not None:
                    _check_project(item, whole, self._kind.parent)
                    body |= {self._parent_id: parent, "project_id": whole["project_id"]}
                body["project_id"] = self._kind.project(draft, body)
            for owner, more in Counter(body["project_id"] for body in bodies).items():
                self._kind.check_quota(draft, owner, more)
            for body in runtime.paced(bodies):
                self._access.check_create(draft, context, self._kind, body)
                self._kind.create(draft, context, body)
            return bodies

        bodies = self._store.write(change, context.actor)
        shown = [self._created(context, body) for body in runtime.paced(bodies)]
        if self._is_bulk(payload):
            return 201, {self._kind.collection: shown}
        return 201, {self._name: shown[0]}

    def _created(self, context: Context, body: Body) -> Body:
        """What is answered of a new one."""
        return self._shown(context, body)

    def _items(self, payload: Any) -> list[Body]:
        """The resources in a POST: one, or several under the collection's name."""
        name, collection = self._name, self._kind.collection
        if not isinstance(payload, dict) or not payload:
            raise HTTPBadRequest("Resource body required")
        if not self._is_bulk(payload):
            return [self._item(payload)]
        items = payload[collection]
        if not isinstance(items, list) or not items:
            raise HTTPBadRequest("Resource body required")
        nested = (i[name] if isinstance(i, dict) and name in i else i for i in items)
        return [self._item({name: item}) for item in nested]

    def _is_bulk(self, payload: Body) -> bool:
        """A kind and its collection may have one name: security_groups_default_statefulness."""
        name, collection = self._name, self._kind.collection
        single = name == collection and isinstance(payload.get(name), dict)
        return collection in payload and not single

    def _item(self, payload: Any) -> Body:
        item = payload.get(self._name) if isinstance(payload, dict) else None
        if not isinstance(item, dict):
            raise HTTPBadRequest(f"Unable to find '{self._name}' in request body")
        return item

    def update(self, request: Request, context: Context, id: str, parent: str = "") -> Answer:
        changes = self._kind.parse_update(context, self._item(read_json(request)))

        def change(draft: Draft) -> Body:
            before = self._there(draft, context, id, parent)
            self._access.check_update(draft, context, self._kind, before, changes)
            _check_revision(request, self._kind, before)
            return self._kind.update(draft, context, before, changes)

        body = self._store.write(change, context.actor)
        return 200, {self._name: self._shown(context, body)}

    def delete(self, request: Request, context: Context, id: str, parent: str = "") -> Answer:
        def change(draft: Draft) -> None:
            body = self._own(draft, request, context, self._kind.rule_to("delete"), id, parent)
            self._kind.delete(draft, context, body)

        self._store.write(change, context.actor)
        return 204, None

    def act(self, name: str, action: Action, request: Request, context: Context, id: str) -> Answer:
        payload = read_json(request) if request.method == "PUT" else {}
        if not isinstance(payload, dict):
            raise HTTPBadRequest("Resource body required")

        def change(draft: Draft) -> Any:
            return action(draft, context, self._own(draft, request, context, name, id), payload)

        return 200, self._store.write(change, context.actor)

    def _own(
        self, draft: Draft, request: Request, context: Context, rule: str, id: str, parent: str = ""
    ) -> Body:
        """The resource, if ``rule`` lets the caller do it, at the revision that If-Match asks
        for."""
        body = self._there(draft, context, id, parent)
        self._access.check(draft, context, self._kind, rule, body)
        _check_revision(request, self._kind, body)
        return body

    def _there(self, draft: Reader, context: Context, id: str, parent: str) -> Body:
        """The resource, if the caller has or was given it; what they may do with it is yet to be
        asked."""
        self._find_parent(draft, context, parent)
        body = draft.get(self._kind.name, self._kind.named(draft, parent, id))
        if body is None or not self._kind.may_see(draft, context, body):
            raise self._kind.not_found(id)
        return self._of(parent, body)

    # Tags

    def list_tags(self, request: Request, context: Context, id: str) -> Answer:
        self._store.catch_up()
        return 200, {"tags": self._tags(context, id)}

    def has_tag(self, request: Request, context: Context, id: str, tag: str) -> Answer:
        self._store.catch_up()
        if tag not in self._tags(context, id):
            raise TagNotFound(tag=tag)
        return 204, None

    def _tags(self, context: Context, id: str) -> list[str]:
        body = self._find(self._store, context, id)
        if "tags" in self._hidden(context, body):
            raise self._kind.not_found(id)
        tags: list[str] = body["tags"]
        return tags

    def replace_tags(self, request: Request, context: Context, id: str) -> Answer:
        asked = _asked_tags(request)
        self._retag(request, context, id, lambda tags: asked)
        return 200, {"tags": asked}

    def add_tags(self, request: Request, context: Context, id: str) -> Answer:
        asked = _asked_tags(request)
        self._retag(request, context, id, lambda tags: list(dict.fromkeys([*tags, *asked])))
        return 200, {"tags": asked}

    def add_tag(self, request: Request, context: Context, id: str, tag: str) -> Answer:
        _check(validators.validate_string(tag, MAX_TAG_LENGTH))
        self._retag(request, context, id, lambda tags: tags if tag in tags else [*tags, tag])
        return 201, None

    def remove_tag(self, request: Request, context: Context, id: str, tag: str) -> Answer:
        def without(tags: list[str]) -> list[str]:
            if tag not in tags:
                raise TagNotFound(tag=tag)
            return [other for other in tags if other != tag]

        self._retag(request, context, id, without)
        return 204, None

    def remove_tags(self, request: Request, context: Context, id: str) -> Answer:
        self._retag(request, context, id, lambda tags: [])
        return 204, None

    def _retag(
        self,
        request: Request,
        context: Context,
        id: str,
        retag: Callable[[Any], Any],
    ) -> None:
        verb = {"DELETE": "delete", "POST": "create"}.get(request.method, "update")
        rule = self._access.tag_rule(verb, self._kind)

        def change(draft: Draft) -> None:
            body = self._own(draft, request, context, rule, id)
            tags = retag(body["tags"])
            if tags != body["tags"]:
                draft.put(self._kind.name, changed(body, tags=tags))

        self._store.write(change, context.actor)


def _check_revision(request: Request, kind: ResourceType, body: Body) -> None:
    """``body`` has the revision that If-Match asks for."""
    constraint = request.headers.get("If-Match")
    if constraint is None:
        return
    if "revision_number" not in kind.attributes:
        raise exceptions.BadRequest(
            resource=kind.name, msg="it has no revisions: leave If-Match out"
        )
    match = _IF_MATCH.fullmatch(constraint)
    if match is None:
        raise exceptions.BadRequest(
            resource="If-Match", msg=f"'{constraint}' is not of the form revision_number=N"
        )
    if int(match[1]) != body["revision_number"]:
        raise RevisionNumberConstraintFailed(int(match[1]), body["revision_number"])


def _check_project(item: Body, whole: Body, parent: str) -> None:
    """A part is in the project of what it is a part of."""
    asked = item.get("project_id") or item.get("tenant_id") or whole["project_id"]
    if asked != whole["project_id"]:
        raise exceptions.InvalidInput(
            error_message=f"it is in the project of its {parent}, {whole['project_id']}: leave "
            "project_id out"
        )


def _asked_tags(request: Request) -> list[str]:
    payload = read_json(request)
    if not isinstance(payload, dict) or "tags" not in payload:
        raise exceptions.InvalidInput(error_message="Invalid tags body")
    tags: list[str] = payload["tags"]
    _check(validators.validate_list_of_unique_strings(tags, MAX_TAG_LENGTH))
    return tags


def _check(wrong: str | None) -> None:
    if wrong:
        raise exceptions.InvalidInput(error_message=wrong)
