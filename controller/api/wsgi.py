# SPDX-License-Identifier: Apache-2.0

"""From WSGI to handlers and back: routes, authentication, JSON, the limit on bodies, errors.

A handler takes the request, the caller's context and what the path says, and answers a status
and a value for JSON, or raises. It knows nothing of WSGI servers.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from typing import Any, TypeAlias

from neutron_lib import exceptions
from webob import Request, Response
from webob.exc import (
    HTTPBadRequest,
    HTTPMethodNotAllowed,
    HTTPNotFound,
    HTTPRequestEntityTooLarge,
)

from tenantry.controller import runtime
from tenantry.controller.api import auth, faults
from tenantry.controller.feature.service import Service

LOG = logging.getLogger(__name__)

MAX_BODY = 1 << 20
"""Octets; a request with more is refused unread."""

MOST_VALUES = 50_000
"""Lists and objects in a request: of a thousand ports, a tenth of it. Nobody else is served while
they are made."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
"""Those by which answers are counted: others are one."""

Answer: TypeAlias = tuple[int, Any] | Response
"""Status and value for JSON (None is an empty body; see :func:`encode`); or a response made by the
handler."""

Handler: TypeAlias = Callable[..., Answer]
"""``handler(request, context, **names)``, where the names are those in the route's pattern."""


Answered: TypeAlias = Callable[[str, str, int, float], None]
"""Told of each answer: the method, the pattern of the route or "", the status, the seconds until
it was ready."""


@dataclass(frozen=True, slots=True)
class Route:
    """``pattern`` is a path; ``{name}`` in it stands for one segment."""

    method: str
    pattern: str
    handler: Handler


class Application:
    """The WSGI application."""

    def __init__(
        self,
        routes: Iterable[Route],
        authenticate: auth.Authenticator,
        services: Iterable[Service] = (),
    ) -> None:
        self.answered: Answered = lambda *told: None
        self._authenticate = authenticate
        self._services = {f"/{service.name}": service for service in services}
        self._paths: dict[str, tuple[re.Pattern[str], dict[str, Handler]]] = {}
        for route in routes:
            _, handlers = self._paths.setdefault(route.pattern, (_expression(route.pattern), {}))
            handlers[route.method] = route.handler

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request, id, started = Request(environ), auth.name_request(environ), time.perf_counter()
        pattern = ""
        try:
            path = _path(request)
            pattern, handlers, names = self._find(path)
            response = self._respond(request, path, handlers, names)
        except Exception as error:
            response = faults.response(error, self._service(request))
            if response.status_int >= 500:
                told = (id, request.method, request.path_qs, response.status_int, error)
                LOG.error("%s, %s %s, is answered %d: %s", *told)
        seconds = time.perf_counter() - started
        method = request.method if request.method in METHODS else "other"
        self.answered(method, pattern, response.status_int, seconds)
        response.headers["X-Openstack-Request-Id"] = id
        return response(environ, start_response)  # type: ignore[no-any-return]

    def _service(self, request: Request) -> Service | None:
        """Whose a request is, if it is not Neutron's."""
        first = request.environ.get("PATH_INFO", "").split("/")[1:2]
        return self._services.get(f"/{''.join(first)}")

    def _respond(
        self, request: Request, path: str, handlers: Mapping[str, Handler], names: dict[str, str]
    ) -> Response:
        # Which versions there are is told to anybody, as Neutron does, and nothing else.
        is_open = path == "/" or path in self._services
        context = auth.ANYBODY if is_open else self._authenticate(request)
        handler = _chosen(request.method, handlers)
        answer = handler(request, context, **names)
        if isinstance(answer, Response):
            return answer
        status, value = answer
        if value is None:
            return Response(status=status, content_type=None)
        pieces = encode(value)
        return Response(
            app_iter=runtime.paced(pieces),
            content_length=sum(map(len, pieces)),
            status=status,
            content_type="application/json",
        )

    def _find(self, path: str) -> tuple[str, Mapping[str, Handler], dict[str, str]]:
        """The first route that a path is one of: its pattern, its handlers by method, and the names
        in the path; "" and nothing if there is none."""
        for pattern, (expression, handlers) in self._paths.items():
            if (match := expression.fullmatch(path)) is not None:
                return pattern, handlers, match.groupdict()
        return "", {}, {}


def _chosen(method: str, handlers: Mapping[str, Handler]) -> Handler:
    """Errors: 404, 405."""
    if not handlers:
        raise HTTPNotFound("The resource could not be found.")
    method = "GET" if method == "HEAD" else method
    if method not in handlers:
        raise HTTPMethodNotAllowed(headers={"Allow": ", ".join(sorted(handlers))})
    return handlers[method]


def _expression(pattern: str) -> re.Pattern[str]:
    """What paths of a route's pattern look like. Neutron takes a dash for an underscore and the
    other way round, and ``.json`` may follow; but a tag may end so itself. Of other services,
    ``/v2/`` is ``/v2.0/``."""
    texts = [re.escape(text) for text in re.split(r"{\w+}", pattern)]
    names = [f"(?P<{name}>[^/]+?)" for name in re.findall(r"{(\w+)}", pattern)]
    end = ""
    if pattern.startswith("/v2.0/"):
        texts = [re.sub(r"\\-|_", "[-_]", text) for text in texts]
        end = "" if pattern.endswith("{tag}") else r"(?:\.json)?"
    else:
        texts[0] = texts[0].replace(r"/v2\.0", r"/v2(?:\.0)?")
    parts = (part for pair in zip_longest(texts, names, fillvalue="") for part in pair)
    return re.compile("".join(parts) + end)


def encode(value: Any) -> list[bytes]:
    """A value as JSON, in pieces. The lists in an object, which may be iterators, are encoded a few
    items at a time, between which others have their turn."""
    if not isinstance(value, dict):
        return [json.dumps(value).encode()]
    pieces, before = [], "{"
    for name, member in value.items():
        pieces.append(f"{before}{json.dumps(name)}: ".encode())
        if isinstance(member, (list, Iterator)):
            pieces += _listed(iter(member))
        else:
            pieces.append(json.dumps(member).encode())
        before = ", "
    return [*pieces, b"}"] if pieces else [b"{}"]


def _listed(items: Iterator[Any]) -> Iterator[bytes]:
    """A list. Each item alone would take longer: an encoder is made for every call."""
    before = b"["
    some = iter(lambda: [*islice(items, _PIECE)], [])
    for piece in runtime.paced(some):
        yield before + json.dumps(piece)[1:-1].encode()
        before = b", "
    yield b"]" if before == b", " else b"[]"


_PIECE = 16


def _path(request: Request) -> str:
    try:
        path, _ = request.path_info.rstrip("/") or "/", request.GET
    except UnicodeDecodeError as error:
        raise HTTPBadRequest("The URL is not UTF-8") from error
    return path


def read_json(request: Request) -> Any:
    """The body of a request; None if it has none. Its Content-Type does not matter, as in Neutron:
    ``curl -d`` names another. Refuses what is not JSON by RFC 8259 and fit to be stored: no NaN,
    no infinity, no lone surrogates, no NUL characters, nothing said twice."""
    raw = _read(request)
    if not raw:
        return None
    try:
        if raw.count(b"[") + raw.count(b"{") > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES} lists and objects; send several requests")
        with runtime.collections_paused():  # six times as long for a million of lists
            value = json.loads(
                raw.decode(),
                parse_constant=_refuse,
                parse_float=_finite,
                object_pairs_hook=_object,
            )
        if b"\\u" in raw or b"\0" in raw:
            _check_text(json.dumps(value, ensure_ascii=False))
    except (ValueError, RecursionError) as error:
        raise exceptions.MalformedRequestBody(reason=f"Cannot understand JSON: {error}") from error
    return value


def _read(request: Request) -> bytes:
    too_large = HTTPRequestEntityTooLarge(
        f"The request body is larger than {MAX_BODY} octets; send the resources in several requests"
    )
    try:
        if (request.content_length or 0) > MAX_BODY:
            raise too_large
        raw: bytes = request.body_file.read(MAX_BODY + 1)
    except (ValueError, OSError) as error:
        raise HTTPBadRequest("The request body cannot be read") from error
    if len(raw) > MAX_BODY:
        raise too_large
    return raw


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"'{twice}' is given twice in one object")
    return value


def _check_text(text: str) -> None:
    text.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    if "\\u0000" in text:
        raise ValueError("NUL characters cannot be stored")
