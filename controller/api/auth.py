"""Who is asking. An :data:`Authenticator` makes a :class:`Context` of a request, or raises 401.

``none`` trusts everybody: the caller is an admin and names the project. Other kinds (HTTP basic,
Keystone) are other functions of the same shape; nothing else in the API knows the difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from neutron_lib import exceptions
from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE
from webob import Request
from webob.exc import HTTPBadRequest


@dataclass(frozen=True, slots=True)
class Context:
    """The project a request acts for, who acts (for the log), and whether as an admin."""

    project_id: str
    actor: str
    is_admin: bool

    @property
    def can_set_project_id(self) -> bool:
        """Whether resources may be made for other projects: neutron-lib asks for this."""
        return self.is_admin

    def require_admin(self, reason: str) -> None:
        if not self.is_admin:
            raise exceptions.AdminRequired(reason=reason)

    def owns(self, body: dict[str, object]) -> bool:
        return self.is_admin or body["project_id"] == self.project_id


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
