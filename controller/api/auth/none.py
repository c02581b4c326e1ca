# SPDX-License-Identifier: Apache-2.0

"""The door that is open: whoever reaches the API is its administrator, for labs."""

from __future__ import annotations

from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE
from webob import Request
from webob.exc import HTTPBadRequest

from tenantry.controller.api.auth.caller import Authenticator, caller, implied
from tenantry.controller.feature.context import Context

_ALL = implied(("admin", "service"))


def none(default_project: str) -> Authenticator:
    """No authentication: the project is what ``X-Project-Id`` says, else ``default_project``."""

    def authenticate(request: Request) -> Context:
        project = request.headers.get("X-Project-Id") or default_project
        if len(project) > PROJECT_ID_FIELD_SIZE or not project.isprintable():
            raise HTTPBadRequest(
                "X-Project-Id must be printable text of at most "
                f"{PROJECT_ID_FIELD_SIZE} characters."
            )
        return caller(request, f"project {project}", project_id=project, roles=_ALL)

    return authenticate
