# SPDX-License-Identifier: Apache-2.0

"""Who calls, whichever door lets it in: the context of a request, and the request's id."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, TypeAlias

from webob import Request
from webob.exc import HTTPUnauthorized

from tenantry.controller.feature.context import Context
from tenantry.controller.log import printable

Authenticator: TypeAlias = Callable[[Request], Context]
"""Errors: HTTPUnauthorized, and others of WebOb's."""

REQUEST_ID = "openstack.request_id"
"""The key of a WSGI environment under which the request's id is; oslo.middleware's."""

_GLOBAL_ID = re.compile(r"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_IMPLIED = {"admin": "manager", "manager": "member", "member": "reader"}
"""The role that follows from a role, as Keystone sets it up at first."""


ANYBODY = Context(project_id="", actor="anybody", is_admin=False)
"""Who was not asked."""


def name_request(environ: dict[str, Any]) -> str:
    """Give a request its id, which is answered and logged."""
    environ[REQUEST_ID] = request_id = f"req-{uuid.uuid4()}"
    return request_id


def caller(
    request: Request, who: str, *, project_id: str, user_id: str = "", roles: Iterable[str]
) -> Context:
    """The context of a request by somebody (``who``, for the log) with these roles.

    The id that a service gives all requests that follow from one of its own (the header
    X-OpenStack-Request-ID, oslo.middleware) is logged, too, if it is of the form of one.
    """
    roles = frozenset(roles)
    request_id = request.environ.get(REQUEST_ID, "")
    words = [who, request_id]
    beyond = request.headers.get("X-OpenStack-Request-ID", "")
    if _GLOBAL_ID.fullmatch(beyond):
        words.append(f"of {beyond}")
    return Context(
        project_id=project_id,
        actor=", ".join(filter(None, words)),
        is_admin="admin" in roles,
        user_id=user_id,
        roles=roles,
        request_id=request_id,
    )


def named(user: str, project: str) -> str:
    """A user of a project, for the log."""
    return printable(f"{user} of project {project}")


@lru_cache(1000)
def implied(roles: tuple[str, ...]) -> frozenset[str]:
    """Roles, and those that follow from them."""
    found: set[str] = set()
    for role in roles:
        following: str | None = role
        while following is not None and following not in found:
            found.add(following)
            following = _IMPLIED.get(following)
    return frozenset(found)


def unauthorized(words: str, challenge: str) -> HTTPUnauthorized:
    """401, with the way in (RFC 9110, 11.6.1)."""
    return HTTPUnauthorized(words, headers={"WWW-Authenticate": challenge})
