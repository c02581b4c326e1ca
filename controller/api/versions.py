# SPDX-License-Identifier: Apache-2.0

"""Discovery: which versions of the API there are, which resources, which extensions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from neutron_lib import exceptions
from webob import Request

from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.wsgi import Answer, Route
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Definition
from tenantry.controller.feature.service import Service


class Discovery:
    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._definitions: dict[str, Definition] = {
            definition.ALIAS: definition
            for extension in kinds.extensions
            for definition in extension.definitions
        }

    def routes(self) -> Iterator[Route]:
        yield Route("GET", "/", self.versions)
        for service in self._kinds.services:
            yield Route("GET", f"/{service.name}", partial(_versions_of, service))
        yield Route("GET", "/v2.0", self.resources)
        yield Route("GET", "/v2.0/extensions", self.extensions)
        yield Route("GET", "/v2.0/extensions/{alias}", self.extension)

    def versions(self, request: Request, context: Context) -> Answer:
        link = {"rel": "self", "href": f"{request.host_url}/v2.0/"}
        return 200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]}

    def resources(self, request: Request, context: Context) -> Answer:
        return 200, {
            "resources": [
                {
                    "name": kind.name,
                    "collection": kind.collection,
                    "links": [{"rel": "self", "href": f"{request.host_url}{kind.path}"}],
                }
                for kind in self._kinds.values()
                if not kind.internal and kind.service is None
            ]
        }

    def extensions(self, request: Request, context: Context) -> Answer:
        return 200, {"extensions": [_show(d) for d in self._definitions.values()]}

    def extension(self, request: Request, context: Context, alias: str) -> Answer:
        if alias not in self._definitions:
            raise exceptions.ExtensionsNotFound(extensions=alias)
        return 200, {"extension": _show(self._definitions[alias])}


def _versions_of(service: Service, request: Request, context: Context) -> Answer:
    return 200, {"versions": service.versions(f"{request.host_url}/{service.name}")}


def _show(definition: Definition) -> dict[str, object]:
    return {
        "alias": definition.ALIAS,
        "name": definition.NAME,
        "description": definition.DESCRIPTION,
        "updated": definition.UPDATED_TIMESTAMP,
        "links": [],
    }
