# SPDX-License-Identifier: Apache-2.0

"""Who is asking: whom a request acts for, and as whom."""

from __future__ import annotations

from dataclasses import dataclass

from neutron_lib.api import validators
from neutron_lib.db.constants import PROJECT_ID_FIELD_SIZE


@dataclass(frozen=True, slots=True)
class Context:
    """The project a request acts for, who acts (for the log), and whether as an admin; the user and
    the roles that whoever authenticated the caller found, and the request's id, which is answered
    and logged."""

    project_id: str
    actor: str
    is_admin: bool
    user_id: str = ""
    roles: frozenset[str] = frozenset()
    request_id: str = ""

    @property
    def can_set_project_id(self) -> bool:
        """Whether the caller may act for other projects: neutron-lib asks for this."""
        return self.is_admin or "service" in self.roles

    def may_be_project(self, id: str) -> bool:
        """Whether this may be the id of a project: a UUID where the caller's own project has one,
        as Keystone's have; where projects have names, any."""
        if not validators.validate_uuid(self.project_id):
            return not validators.validate_uuid(id)
        return id.isprintable() and 0 < len(id) <= PROJECT_ID_FIELD_SIZE

    def owns(self, body: dict[str, object]) -> bool:
        """Whether the caller acts for whoever has it: their own project, or any."""
        return self.can_set_project_id or body["project_id"] == self.project_id
