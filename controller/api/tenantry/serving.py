# SPDX-License-Identifier: Apache-2.0

"""How routes under ``/tenantry/v1`` are served: the core's, and those of features."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from webob import Request, Response
from webob.exc import HTTPBadRequest, HTTPNotFound, HTTPServiceUnavailable

from tenantry.controller import runtime
from tenantry.controller.api import wsgi
from tenantry.controller.api.access import Access
from tenantry.controller.api.policy import PolicyNotAuthorized
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.tenantry.waiting import Waiting, hung_up
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.policies import route_rule
from tenantry.controller.feature.routes import Route, Silent


def served(
    routes: Iterable[Route], waiting: Waiting, running: Running, access: Access
) -> Iterator[wsgi.Route]:
    """Routes as the API has them: who asks and what is asked is checked, and what they raise is
    said."""
    for route in routes:
        handler = _handler(route, waiting, running, access)
        yield wsgi.Route("GET", f"/tenantry/v1/{route.path}", handler)


_AT_ONCE: AbstractContextManager[None] = nullcontext()


def _handler(
    route: Route, waiting: Waiting, running: Running, access: Access
) -> Callable[..., wsgi.Answer]:
    def handler(request: Request, context: Context, **names: str) -> wsgi.Answer:
        access.policy.check_any(context, route_rule(route.path))
        unknown = [name for name in request.GET if name not in route.parameters]
        if unknown:
            known = f"known: {', '.join(route.parameters)}" if route.parameters else "it takes none"
            raise HTTPBadRequest(f"there is no parameter {unknown[0]}; {known}")
        hidden = access.hidden_of_route(context, route_rule(route.path))
        for name in hidden.intersection(request.GET):
            raise PolicyNotAuthorized(rule=f"{route_rule(route.path)}:{name}")
        seen = replace(
            running,
            sees=partial(access.sees, running.store, context),
            check=partial(access.check_one, running.store, context),
        )
        asked: dict[str, Any] = {name: request.GET.get(name) for name in route.parameters} | names
        if route.gone:
            asked["gone"] = hung_up(request)
        try:
            with waiting.place() if route.waits else _AT_ONCE:
                answer = route.answer(seen, **asked)
        except LookupError as error:
            raise HTTPNotFound(str(error)) from error
        except ValueError as error:
            raise HTTPBadRequest(str(error)) from error
        except Silent as error:
            raise HTTPServiceUnavailable(str(error)) from error
        if isinstance(answer, Iterator):
            return _stream(request, waiting, answer, route.media_type)
        return 200, _without(answer, hidden)

    return handler


def _without(answer: Any, hidden: Collection[str]) -> Any:
    """An answer, or each item of one, without the attributes NAME, and without NAME:PART."""
    if not hidden:
        return answer
    if isinstance(answer, list):
        return [_without(item, hidden) for item in answer]
    below: dict[str, set[str]] = {}
    for name, colon, part in (each.partition(":") for each in hidden):
        if colon:
            below.setdefault(name, set()).add(part)
    return {
        name: _without(value, below.get(name, ()))
        for name, value in answer.items()
        if name not in hidden
    }


def _stream(
    request: Request, waiting: Waiting, lines: Iterator[bytes], media_type: str
) -> Response:
    """Lines as they come. Errors: TooManyWait."""
    request.environ[runtime.UNBUFFERED] = 0
    waiting.check()

    def follow() -> Iterator[bytes]:
        with waiting.place():
            yield from lines

    return Response(app_iter=follow(), content_type=media_type)
