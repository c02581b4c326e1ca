# SPDX-License-Identifier: Apache-2.0

"""Who is asking. An :data:`Authenticator` makes a :class:`Context` of a request, or raises 401.

``none`` trusts everybody: the caller is an admin and names the project. Other kinds (HTTP basic,
Keystone) are other functions of the same shape; nothing else in the API knows the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.feature.context import Context

Authenticator: TypeAlias = Callable[[Request], Context]


def none(default_project: str) -> Authenticator:
    """No authentication: the project is what ``X-Project-Id`` says, else ``default_project``."""

    def authenticate(request: Request) -> Context:
        project = request.headers.get("X-Project-Id") or default_project
        if len(project) > PROJECT_ID_FIELD_SIZE or not project.isprintable():
            raise HTTPBadRequest(
                "X-Project-Id must be printable text of at most "
                f"{PROJECT_ID_FIELD_SIZE} characters."
            )
        return Context(project_id=project, actor=f"project {project}", is_admin=True)

    return authenticate
