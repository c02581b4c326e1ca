# SPDX-License-Identifier: Apache-2.0

"""The running controller as features' routes see it, and how routes are served."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from webob import Request, Response
from webob.exc import HTTPBadRequest, HTTPNotFound, HTTPServiceUnavailable

from tenantry.controller import runtime
from tenantry.controller.api import wsgi
from tenantry.controller.api.tenantry.held import ask, chosen
from tenantry.controller.api.tenantry.waiting import Waiting, hung_up
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.routes import Counted, Route, Silent
from tenantry.controller.model import Binding, Port, View
from tenantry.controller.model.binding import dpid_text
from tenantry.controller.openflow.pipeline import Table
from tenantry.controller.service.service import Service


class Running:
    """See :class:`tenantry.controller.feature.routes.Running`."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def view(self) -> View:
        return View(self.service.model)

    def counted(
        self, tables: Collection[Table], switch: str | None = None
    ) -> Iterator[list[Counted]]:
        service, ids = self.service, {table.id for table in tables}
        for dpid in chosen(service, switch):
            if dpid not in service.connections:
                continue
            stats = ask(service, dpid, ids).flows
            origins = service.engine.origins(dpid, (flow.cookie for flow in stats))
            yield [
                Counted(
                    *(unit.app.name, unit.units.kind, unit.id),
                    *(flow.table_id, flow.priority, flow.packets),
                )
                for flow in stats
                for unit in origins.get(flow.cookie, ())
            ]

    def port_status(self, id: str) -> str:
        return self.service.port_status(id)

    def shown(self, port: Port) -> dict[str, Any]:
        return shown_port(self.service, port)


def shown_port(service: Service, port: Port) -> dict[str, Any]:
    binding = service.model.get(Binding, port.id)
    return {
        "id": port.id,
        "name": port.name,
        "project_id": port.project_id,
        "network_id": port.network_id,
        "status": service.port_status(port.id),
        "host": binding.host if binding else None,
        "switch": dpid_text(binding.switch) if binding else None,
        "interface": binding.interface if binding else None,
        "ofport": binding.ofport if binding else None,
    }


def served(routes: Iterable[Route], waiting: Waiting, running: object) -> Iterator[wsgi.Route]:
    """Routes as the API has them: what they are asked is checked, and what they raise is said."""
    for route in routes:
        yield wsgi.Route("GET", f"/tenantry/v1/{route.path}", _handler(route, waiting, running))


_AT_ONCE: AbstractContextManager[None] = nullcontext()


def _handler(route: Route, waiting: Waiting, running: object) -> Callable[..., wsgi.Answer]:
    def handler(request: Request, context: Context) -> wsgi.Answer:
        unknown = [name for name in request.GET if name not in route.parameters]
        if unknown:
            known = f"known: {', '.join(route.parameters)}" if route.parameters else "it takes none"
            raise HTTPBadRequest(f"there is no parameter {unknown[0]}; {known}")
        asked: dict[str, Any] = {name: request.GET.get(name) for name in route.parameters}
        if route.gone:
            asked["gone"] = hung_up(request)
        try:
            with waiting.place() if route.waits else _AT_ONCE:
                answer = route.answer(running, **asked)
        except LookupError as error:
            raise HTTPNotFound(str(error)) from error
        except ValueError as error:
            raise HTTPBadRequest(str(error)) from error
        except Silent as error:
            raise HTTPServiceUnavailable(str(error)) from error
        return _stream(request, waiting, answer) if isinstance(answer, Iterator) else (200, answer)

    return handler


def _stream(request: Request, waiting: Waiting, lines: Iterator[bytes]) -> Response:
    """Lines as they come. Errors: TooManyWait."""
    request.environ[runtime.UNBUFFERED] = 0
    waiting.check()

    def follow() -> Iterator[bytes]:
        with waiting.place():
            yield from lines

    return Response(app_iter=follow(), content_type="application/x-ndjson")
