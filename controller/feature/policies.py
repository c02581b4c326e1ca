# SPDX-License-Identifier: Apache-2.0

"""Who may do what, in oslo.policy's notation: the rules that every feature builds on, and how it
writes its own (``policies.py`` of its folder).

Names, defaults and scopes are Neutron's where Neutron has the rule. A role includes those below
it, as Keystone has it: admin, manager, member, reader. An operator changes what is here with a
``policy.yaml``; ``tenantry policy list`` shows all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from neutron_lib.api.converters import convert_to_boolean
from oslo_policy.policy import Check, DocumentedRuleDefault, Operation, RuleDefault, register


@register("field")
class FieldCheck(Check):
    """``field:COLLECTION:NAME=VALUE``: what a resource, or else its network, has as NAME.
    ``=~EXPRESSION`` is a regular expression that it begins with."""

    def __init__(self, kind: str, match: str) -> None:
        super().__init__(kind, match)
        named, found, self._text = match.partition("=")
        _, colon, self.name = named.partition(":")
        if not found or not colon:
            raise ValueError(f"field:{match} is not field:COLLECTION:NAME=VALUE")
        self._expression = re.compile(self._text[1:]) if self._text.startswith("~") else None

    def __call__(
        self, target: Any, creds: Any, enforcer: Any, current_rule: str | None = None
    ) -> bool:
        value = target.get(self.name)
        if self._expression:
            return value is not None and self._expression.match(str(value)) is not None
        if isinstance(value, bool):
            return value is convert_to_boolean(self._text)
        return value is not None and str(value) == self._text


ADMIN = "rule:admin_only"
SERVICE = "rule:service_api"
"""Other services of the cloud, Nova above all."""

OWN_READER = "role:reader and project_id:%(project_id)s"
OWN_MEMBER = "role:member and project_id:%(project_id)s"
NETWORK_READER = "role:reader and rule:network_owner"
NETWORK_MEMBER = "role:member and rule:network_owner"
"""Of the project that has the network, whoever has what is on it."""

READER = f"{ADMIN} or {OWN_READER}"
MEMBER = f"{ADMIN} or {OWN_MEMBER}"
MANAGER = f"{ADMIN} or role:manager and project_id:%(project_id)s"
PARENT_READER = f"{ADMIN} or role:reader and rule:ext_parent_owner"
PARENT_MEMBER = f"{ADMIN} or role:member and rule:ext_parent_owner"
"""Of the project that has what this is a part of."""

ANY_READER = "role:reader"
"""Of whatever project."""

ADMIN_OR_SERVICE = f"{ADMIN} or {SERVICE}"

BASE = (
    RuleDefault("context_is_admin", "role:admin", "Who is an administrator."),
    RuleDefault("service_api", "role:service", "Another service of the cloud."),
    RuleDefault("context_is_advsvc", "role:advsvc", "A service that acts for projects."),
    RuleDefault("owner", "project_id:%(project_id)s", "The project that has it."),
    RuleDefault("admin_or_owner", "rule:context_is_admin or rule:owner"),
    RuleDefault("network_owner", "project_id:%(network:project_id)s", "Whose the network is."),
    RuleDefault("ext_parent_owner", "project_id:%(ext_parent:project_id)s", "Whose the whole is."),
    RuleDefault("admin_only", "rule:context_is_admin"),
    RuleDefault("regular_user", "", "Everybody."),
    RuleDefault("shared", "field:networks:shared=True", "The network is shared with the caller."),
    RuleDefault("default", "rule:admin_or_owner", "For rules that a check names and nobody made."),
)
"""What rules of all features refer to."""

SCOPE = ["project"]

METHODS = {"create": "POST", "get": "GET", "update": "PUT", "delete": "DELETE"}


def of_kind(kind: str, path: str, checks: Mapping[str, str]) -> tuple[RuleDefault, ...]:
    """The rules of a kind at ``/v2.0PATH``. ``checks`` by what is done: ``create``, ``get``,
    ``update``, ``delete``, and ``create:ATTRIBUTE``: who may set it (``create:ATTRIBUTE:PART``: a
    part of it), or see it (``get:ATTRIBUTE``). Tags count as such an attribute."""
    return tuple(
        DocumentedRuleDefault(
            f"{verb}_{kind}{colon}{attribute}",
            check,
            f"{verb.capitalize()} {kind}" + (f", {attribute}" if attribute else ""),
            _operations(verb, path, attribute),
            scope_types=SCOPE,
        )
        for name, check in checks.items()
        for verb, colon, attribute in [name.partition(":")]
    )


def _operations(verb: str, path: str, attribute: str) -> list[Operation]:
    below = [f"{path}/{{id}}"]
    if verb == "create":
        below = [path]
    elif verb == "get":
        below = [path, f"{path}/{{id}}"]
    if attribute == "tags":
        below = [f"{path}/{{id}}/tags"]
    return [{"method": METHODS[verb], "path": each} for each in below]


def rule(name: str, check: str, method: str, path: str, description: str = "") -> RuleDefault:
    """A rule that is not one of a kind's."""
    description = description or name.replace("_", " ").capitalize()
    operations: list[Operation] = [{"method": method, "path": path}]
    return DocumentedRuleDefault(name, check, description, operations, scope_types=SCOPE)


def actions(path: str, checks: Mapping[str, str]) -> tuple[RuleDefault, ...]:
    """The rules of what can be done to one of a kind at ``/v2.0PATH`` besides updating it."""
    return tuple(
        rule(name, check, "GET" if name.startswith("get_") else "PUT", f"{path}/{{id}}/{name}")
        for name, check in checks.items()
    )


def route_rule(path: str) -> str:
    """The name of the rule of ``/tenantry/v1/PATH``, in which ``{NAME}`` says nothing."""
    words = (word for word in path.split("/") if not word.startswith("{"))
    return f"get_tenantry_{'_'.join(words).replace('-', '_')}"


PLACE = ("host", "switch", "interface", "ofport")
"""Where a port is plugged in, as ``/tenantry/v1`` tells it: an administrator's to know."""


def of_route(path: str, check: str, hidden: Sequence[str] = ()) -> tuple[RuleDefault, ...]:
    """The rules of ``/tenantry/v1/PATH``: who may ask, and what only an administrator is told."""
    rules = {route_rule(path): check}
    rules |= {f"{route_rule(path)}:{name}": ADMIN for name in hidden}
    return tuple(rule(name, each, "GET", f"/tenantry/v1/{path}") for name, each in rules.items())


def tagging(get: str, update: str) -> dict[str, str]:
    """For :func:`of_kind`: who may see tags and who may change them."""
    return {"get:tags": get, **{f"{verb}:tags": update for verb in ("create", "update", "delete")}}
