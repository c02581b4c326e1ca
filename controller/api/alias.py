# SPDX-License-Identifier: Apache-2.0

"""Parts of others, for who does not know of what: ``/v2.0/ALIAS/ID``.

Whoever may not do something to the part itself may not do it here; and an alias has rules of its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from webob import Request

from tenantry.controller.api.access import Access
from tenantry.controller.api.kind import ResourceType
from tenantry.controller.api.resource import Collection, Computed
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.store import Store


class AliasedCollection(Collection):
    """The resources of a kind that has an alias, each by its id alone; in a body they are called
    ``alias_KIND``, as in Neutron."""

    def __init__(
        self, store: Store, kind: ResourceType, computed: Computed, access: Access
    ) -> None:
        super().__init__(store, kind, computed, access)
        self._name = f"alias_{kind.name}"

    def routes(self) -> Iterator[Route]:
        path = f"/v2.0/{self._kind.alias}/{{id}}"
        yield Route("GET", path, partial(self._found, "get", self.show))
        yield Route("PUT", path, partial(self._found, "update", self.update))
        yield Route("DELETE", path, partial(self._found, "delete", self.delete))

    def _found(
        self,
        verb: str,
        answer: Callable[..., Answer],
        request: Request,
        context: Context,
        id: str,
    ) -> Answer:
        self._store.catch_up()
        body = self._store.get(self._kind.name, id)
        if body is None or not self._kind.may_see(self._store, context, body):
            raise self._kind.not_found(id)
        self._access.check(self._store, context, self._kind, f"{verb}_{self._name}", body)
        return answer(request, context, id, body[self._parent_id])
