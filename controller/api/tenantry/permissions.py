# SPDX-License-Identifier: Apache-2.0

"""``/tenantry/v1/policies``: which rules there are; and ``policy-check``: whether somebody may do
something, and which rule decides. Nothing is done."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from neutron_lib import exceptions
from oslo_policy.policy import DocumentedRuleDefault
from webob.exc import HTTPException

from tenantry.controller.api.access import Access
from tenantry.controller.api.auth.caller import implied
from tenantry.controller.api.kind import ResourceType
from tenantry.controller.api.policy import PolicyNotAuthorized
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.routes import Route
from tenantry.controller.store import Body, Store

_VERBS = {"POST": "create", "GET": "get", "PUT": "update", "DELETE": "delete"}


def routes(access: Access) -> tuple[Route, ...]:
    asked = ("rule", "id", "method", "path", "body", "project", "user", "roles")
    return (
        Route("policies", partial(listed, access)),
        Route("policy-check", partial(check, access), asked),
    )


def listed(access: Access, running: Running) -> list[dict[str, Any]]:
    """Every rule: what it says now, what it says if nobody changed it, and where it applies."""
    policy = access.policy
    found = []
    for name in sorted({*policy.defaults, *policy.overridden}):
        rule = policy.defaults.get(name)
        found.append(
            {
                "name": name,
                "check": policy.overridden.get(name, rule.check_str if rule else ""),
                "default": rule.check_str if rule else None,
                "changed": name in policy.overridden,
                "description": rule.description if rule else None,
                "scopes": rule.scope_types if rule else None,
                "operations": (rule.operations if isinstance(rule, DocumentedRuleDefault) else []),
            }
        )
    return found


class Question(NamedTuple):
    """What is asked about a resource of a kind, and by which rule."""

    kind: ResourceType
    verb: str
    rule: str
    id: str
    parent: str


def check(
    access: Access,
    running: Running,
    rule: str | None = None,
    id: str | None = None,
    **asked: str | None,
) -> dict[str, Any]:
    """Whether a user of a project with some roles (and those below them) may do what a ``rule`` is
    about, with the resource ``id`` (if none, one of their project's); or may make a request of the
    API (``method``, ``path``, ``body``): with which status it would be refused, by which rule.
    LookupError if there is no such rule, resource or path, ValueError if the request makes no
    sense."""
    caller = _caller(access, asked)
    method, path = asked.get("method"), asked.get("path")
    if rule is not None:
        if not access.policy.knows(rule):
            raise LookupError(
                f"there is no rule {rule}{did_you_mean(rule, access.policy.defaults)}"
            )
        read = _target(access, running.store, caller, id)
        return _told(access, 200 if access.policy.allows(caller, rule, read) else 403, rule)
    if method not in _VERBS or path is None:
        raise ValueError(f"name a rule, or one of {', '.join(_VERBS)} and a path")
    question = _question(access, method, path)
    try:
        given = json.loads(asked.get("body") or "{}")
        _ask(access, running.store, caller, question, given.get(question.kind.singular, given))
    except PolicyNotAuthorized as error:
        return _told(access, 403, error.rule)
    except exceptions.NotFound:
        return _told(access, 404, question.kind.rule_to("get"))
    except (HTTPException, exceptions.NeutronException, AttributeError) as error:
        raise ValueError(str(error)) from error
    return _told(access, 200, question.rule)


def _caller(access: Access, asked: Mapping[str, str | None]) -> Context:
    names = implied(filter(None, re.split(r"[ ,]+", asked.get("roles") or "")))
    who = (asked.get("project") or "", "check", False, asked.get("user") or "", names)
    return access.policy.recognised(Context(*who))


def _told(access: Access, status: int, rule: str) -> dict[str, Any]:
    answer = {"allowed": status == 200, "status": status, "rule": rule}
    return {**answer, "check": access.policy.text(rule)}


def _target(access: Access, store: Store, caller: Context, id: str | None) -> Callable[[str], Any]:
    if id is None:
        return {"project_id": caller.project_id}.get
    for kind in access.kinds.values():
        body = store.get(kind.name, id)
        if body is not None:
            return access.reads(store, caller, kind, body)
    raise LookupError(f"there is no resource {id}")


def _question(access: Access, method: str, path: str) -> Question:
    path, verb = path.partition("?")[0].rstrip("/"), _VERBS[method]
    for kind in _parts_first(access):
        where = kind.path.replace("{parent}", "(?P<parent>[^/]+)")
        match = re.fullmatch(rf"{where}(/(?P<id>[^/]+)(/(?P<below>.+))?)?", path)
        if match is None:
            continue
        found = match.groupdict(default="")
        if found["below"].split("/")[0] == "tags":
            rule = access.tag_rule(verb, kind)
        elif found["below"]:
            rule = found["below"]
            if rule not in kind.actions and rule not in kind.spec.views:
                break
            rule = kind.rule_to(rule) if kind.service else rule
        elif kind.service and verb == "get" and not found["id"]:
            rule = kind.rule_to("list")
        else:
            rule = kind.rule_to(verb)
        return Question(kind, verb, rule, found["id"], found.get("parent", ""))
    raise LookupError(f"no kind of resource is at {path}")


def _parts_first(access: Access) -> Iterator[ResourceType]:
    kinds = (kind for kind in access.kinds.values() if not kind.internal)
    return iter(sorted(kinds, key=lambda kind: -len(kind.path)))


def _ask(access: Access, store: Store, caller: Context, question: Question, given: Body) -> None:
    """Errors: PolicyNotAuthorized, NotFound, and Neutron's 400s."""
    kind = question.kind
    if question.parent:
        access.find(store, caller, kind.parent, question.parent)
    if not question.id:
        if question.verb == "create":
            new = kind.new_body(kind.parse_new(caller, given))
            new |= {f"{kind.parent}_id": question.parent} if kind.parent else {}
            new["project_id"] = kind.project(store, new)
            access.check_create(store, caller, kind, new)
        else:
            own = {"id": "", "project_id": caller.project_id}
            access.policy.check(caller, question.rule, access.reads(store, caller, kind, own))
        return
    body = store.get(kind.name, question.id)
    if body is None:
        raise LookupError(f"there is no {kind.name} {question.id}")
    if not kind.may_see(store, caller, body):
        raise kind.not_found(question.id)
    if question.rule == kind.rule_to("update"):
        access.check_update(store, caller, kind, body, kind.parse_update(caller, given))
    else:
        access.check(store, caller, kind, question.rule, body)
