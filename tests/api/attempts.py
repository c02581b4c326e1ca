# SPDX-License-Identifier: Apache-2.0

"""Attempts on what is another's, made from the routes, the attribute maps and the rules: of
whatever kind, by whomever. What may come of one is told by Neutron's own rules, read from the list
of them and evaluated here without anything of ours; so a mistake in how we ask them shows.

``ATTEMPTS=100000`` makes as many, and ``SEED`` others.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from oslo_config import cfg
from oslo_policy import policy as oslo

from tenantry.controller.api.kind import ResourceType
from tenantry.controller.feature.context import Context
from tenantry.controller.store.draft import Draft
from tests.api.conftest import Api
from tests.api.one_of_each import World
from tests.api.test_every_attribute import VALUES
from tests.unit.test_policies import NEUTRON

ATTEMPTS = int(os.environ.get("ATTEMPTS", "1000"))
SEED = os.environ.get("SEED", "16")

OWNER, STRANGER, GUEST, OPERATORS, SERVICES = "owner", "stranger", "red", "operators", "nova"
"""Projects: whose all is; who has nothing; with whom the owner shares a network; and others."""

CALLERS = (
    (OPERATORS, "admin"),
    *((project, role) for project in (OWNER, STRANGER) for role in ("manager", "member")),
    *((project, "reader") for project in (OWNER, STRANGER, GUEST)),
    (GUEST, "member"),
    (STRANGER, "nothing"),
    (SERVICES, "service"),
)
"""Project and role of each."""

TRUSTED = {"admin", "service"}


class Person(NamedTuple):
    """Who calls: for whom a door takes them, and what they show it."""

    context: Context
    headers: dict[str, str]


NOWHERE = "00000000-0000-4000-8000-000000000000"
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Dry:
    """Has the store say of each write what it would be, and write nothing."""

    def __init__(self, api: Api) -> None:
        self._store = api.store
        self.changes: tuple[Any, ...] = ()
        api.store.write = self._write  # type: ignore[method-assign]

    def _write(self, change: Callable[[Draft], Any], actor: str) -> Any:
        draft = Draft(self._store._replica, self._store.head)
        try:
            result = change(draft)
            self.changes = draft.changes()
        finally:
            for undo in reversed(draft.undo):
                undo()
        return result


class Oracle:
    """Neutron's rules, evaluated by oslo.policy for targets that are made here."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._enforcer = oslo.Enforcer(cfg.ConfigOpts(), use_conf=False)
        texts = {name: str(rule.check_str) for name, rule in api.kinds.policy.defaults.items()}
        texts |= NEUTRON
        self._enforcer.set_rules({n: oslo.RuleDefault(n, text).check for n, text in texts.items()})
        self.rules = frozenset(texts)

    def target(self, who: Context, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        store = self._api.store
        found = {**body, "shared": self._is_shared(who, body)}
        for parent in ("network", "security_group", self._api.kinds[kind].parent):
            whole = store.get(parent, body.get(f"{parent}_id") or "") if parent else None
            if whole:
                prefix = "ext_parent" if parent == self._api.kinds[kind].parent else parent
                found[f"{prefix}:project_id"] = whole["project_id"]
                if parent == "network":
                    found["shared"] = self._is_shared(who, whole)
                    found["router:external"] = whole.get("router:external")
        return found

    def _is_shared(self, who: Context, body: dict[str, Any]) -> bool:
        policies = self._api.store.read("rbac_policy").values()
        return bool(body.get("shared")) or any(
            policy["object_id"] == body.get("id")
            and policy["action"] == "access_as_shared"
            and policy["target_tenant"] in (who.project_id, "*")
            for policy in policies
        )

    def allows(self, who: Context, rule: str, target: dict[str, Any]) -> bool:
        creds = {"project_id": who.project_id, "user_id": who.user_id, "roles": sorted(who.roles)}
        return bool(self._enforcer.enforce(rule, target, creds))

    def needed(self, verb: str, kind: str, given: dict[str, Any]) -> Iterator[str]:
        """The rules that a request with these attributes must pass."""
        rule = f"{verb}_{self._api.kinds[kind].rule}"
        yield rule
        for name, value in given.items():
            attribute = self._api.kinds[kind].attributes.get(name, {})
            if verb == "create" and value == attribute.get("default", ...):
                continue
            if not attribute.get("enforce_policy"):
                continue  # Neutron has rules for two such attributes, and asks them of nobody
            if f"{rule}:{name}" in self.rules:
                yield f"{rule}:{name}"
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, dict):
                    yield from (n for key in part if (n := f"{rule}:{name}:{key}") in self.rules)

    def hidden(self, who: Context, kind: str, target: dict[str, Any]) -> set[str]:
        rule = f"get_{self._api.kinds[kind].rule}:"
        names = {name.removeprefix(rule) for name in self.rules if name.startswith(rule)}
        return {name for name in names if not self.allows(who, rule + name, target)}


@dataclass
class Attempt:
    by: Person
    method: str
    url: str
    body: Any
    kind: str = ""
    id: str = ""
    rules: tuple[str, ...] = ()
    """What it must pass, of the kind's; of no kind: none is known."""
    given: dict[str, Any] | None = None

    @property
    def who(self) -> Context:
        return self.by.context

    def __str__(self) -> str:
        roles = "/".join(sorted(self.who.roles))
        return f"{roles} of {self.who.project_id}: {self.method} {self.url} {json.dumps(self.body)}"


class Attempts:
    """Of every route of the application, by each of these people."""

    def __init__(self, world: World, people: Sequence[Person], chance: random.Random) -> None:
        self._world = world
        self._people = people
        self._projects = sorted({person.context.project_id for person in people})
        self._chance = chance
        self._oracle = Oracle(world.api)
        self._routes = [
            (method, pattern)
            for pattern, (_, handlers) in world.api.app._paths.items()
            for method in handlers
            if pattern.startswith("/v2.0/")
        ]
        self._kinds = sorted(
            (kind for kind in world.api.kinds.values() if kind.name in world.urls),
            key=lambda kind: -len(kind.path),
        )
        self._samples = {
            (kind, name): value for kind in world.urls for name, value in world.shown(kind).items()
        }
        self._ids = [url.rpartition("/")[2] for url in world.urls.values()]

    def __iter__(self) -> Iterator[Attempt]:
        kinds = [route for route in self._routes if any(route[1] in _own(k) for k in self._kinds)]
        while True:  # what kinds are for is tried as often as all else together
            method, pattern = self._chance.choice(self._chance.choice([kinds, self._routes]))
            yield self._made(method, pattern, self._chance.choice(self._people))

    def _made(self, method: str, pattern: str, by: Person) -> Attempt:
        kind = next((k for k in self._kinds if f"{pattern}/".startswith(f"{k.path}/")), None)
        url = self._filled(pattern, kind)
        if kind is None:
            return Attempt(by, method, url, {} if method in ("POST", "PUT") else None)
        below = pattern.removeprefix(kind.path).strip("/").split("/")
        attempt = Attempt(by, method, url, None, kind.name, self._world.id(kind.name))
        verb = {"POST": "create", "GET": "get", "PUT": "update", "DELETE": "delete"}[method]
        if below in ([""], ["{id}"]):
            if method in ("POST", "PUT"):
                given = self._given(kind.name, verb)
                attempt.body, attempt.given = {kind.name: given}, given
            attempt.rules = tuple(self._oracle.needed(verb, kind.name, attempt.given or {}))
        elif len(below) > 1 and below[1] == "tags":
            attempt.body = {"tags": ["new"]} if method in ("POST", "PUT") else None
            rules = (
                f"{verb}_{kind.rule}:tags",
                f"{'get' if verb == 'get' else 'update'}_{kind.rule}",
            )
            attempt.rules = tuple(rule for rule in rules if rule in self._oracle.rules)[:1]
        elif below[-1] in kind.actions:
            attempt.rules = (below[-1],)
            attempt.body = self._action(below[-1]) if method == "PUT" else None
        else:  # of another kind, that has none of its own here
            attempt.kind, attempt.body = "", {} if method in ("POST", "PUT") else None
        return attempt

    def _filled(self, pattern: str, kind: Any) -> str:
        parent = self._world.urls[kind.name].split("/")[-3] if kind and kind.parent else ""
        values = {"tag": "a", "host": "host1", "alias": "router", "other": NOWHERE}
        values |= {"parent": parent, "port_id": self._world.id("port")}
        values["id"] = (
            self._world.id(kind.name) if kind else self._chance.choice([*self._projects, NOWHERE])
        )
        return re.sub(r"{(\w+)}", lambda name: values.get(name[1], NOWHERE), pattern)

    def _given(self, kind: str, verb: str) -> dict[str, Any]:
        _, sample = self._world.new.get(kind, ("", {}))
        allow = "allow_post" if verb == "create" else "allow_put"
        attributes = self._world.api.kinds[kind].attributes
        names = [name for name, spec in attributes.items() if spec.get(allow)]
        if verb == "create":
            given = {n: v for n, v in sample.items() if self._chance.random() < 0.95}
        else:
            given = {}
        for name in self._chance.sample(names, min(len(names), self._chance.randrange(3))):
            shown = self._samples.get((kind, name))
            wild = [*VALUES, True, False, self._chance.choice(self._ids), *self._projects, "*"]
            if self._chance.random() < 0.5:
                given[name] = f"{shown}x" if name in ("name", "description") else shown
            else:
                given[name] = self._chance.choice(wild)
        return given

    def _action(self, name: str) -> dict[str, Any]:
        subnet, id = self._world.id("subnet"), self._chance.choice(self._ids)
        bodies: list[dict[str, Any]] = [
            *({}, {"subnet_id": subnet}, {"port_id": id}, {"addresses": ["192.0.2.7/32"]}),
            *({"sub_ports": []}, {"router": {"routes": []}}, {"prefixes": ["10.99.0.0/16"]}),
            *({"firewall_rule_id": id}, {"network_id": id}),
        ]
        return self._chance.choice(bodies)


def _own(kind: ResourceType) -> tuple[str, str]:
    return kind.path, f"{kind.path}/{{id}}"


class Judge:
    """What is wrong with an answer."""

    def __init__(self, world: World, dry: Dry) -> None:
        self._api = world.api
        self._dry = dry
        self._oracle = Oracle(world.api)

    def faults(self, attempt: Attempt, status: int, answer: Any) -> Iterator[str]:
        if status >= 500 and answer["NeutronError"]["type"] != "NoNetworkAvailable":
            yield "nobody foresaw it"
        if attempt.method == "GET":
            yield from self._read_faults(attempt, status, answer)
        elif attempt.kind and status < 300 and (refused := self._refused(attempt)):
            yield f"done, though refused by {refused}"
        elif self._dry.changes and not attempt.kind and not attempt.who.roles & TRUSTED:
            yield "written, by nobody who may"
        if status < 400 and attempt.kind:
            return  # what one may see may name what one may not
        said = {*UUID.findall(json.dumps([attempt.url, attempt.body]))}
        for id in {*UUID.findall(json.dumps(answer))} - said:
            if self._is_secret(attempt.who, id):
                yield f"tells of {id}"

    def _refused(self, attempt: Attempt) -> str:
        target = self._target(attempt)
        rules = attempt.rules
        return next((r for r in rules if not self._oracle.allows(attempt.who, r, target)), "")

    def _target(self, attempt: Attempt) -> dict[str, Any]:
        body: dict[str, Any] = {}
        if attempt.method == "POST" and attempt.given is not None:
            made = [c.after for c in self._dry.changes if c.kind == attempt.kind and not c.before]
            body = made[0] if made else {"project_id": attempt.who.project_id}
        elif found := self._api.store.get(attempt.kind, attempt.id):
            body = {**found, **(attempt.given or {})}
        return self._oracle.target(attempt.who, attempt.kind, body)

    def _read_faults(self, attempt: Attempt, status: int, answer: Any) -> Iterator[str]:
        if not attempt.kind or status != 200:
            return
        kind = self._api.kinds[attempt.kind]
        items = answer.get(kind.collection, [answer.get(kind.name)])
        for item in items if isinstance(items, list) else []:
            body = self._api.store.get(kind.name, (item or {}).get("id", ""))
            if body is None:
                continue
            target = self._oracle.target(attempt.who, kind.name, body)
            if not self._oracle.allows(attempt.who, f"get_{kind.rule}", target):
                yield f"shows {body['id']}"
            for name in self._oracle.hidden(attempt.who, kind.name, target) & item.keys():
                yield f"shows {name}"

    def _is_secret(self, who: Context, id: str) -> bool:
        """Whether it is of a resource that the rules do not let somebody get."""
        for kind in self._api.kinds.values():
            body = self._api.store.get(kind.name, id)
            if body is not None and not kind.internal:
                target = self._oracle.target(who, kind.name, body)
                return not self._oracle.allows(who, f"get_{kind.rule}", target)
        return False


def wrong(world: World, people: Sequence[Person], call: Callable[[Attempt], Any]) -> list[str]:
    """What is wrong with ATTEMPTS answers; ``call`` makes the request."""
    dry, found, answers = Dry(world.api), [], Counter[int]()
    judge = Judge(world, dry)
    attempts = Attempts(world, people, random.Random(SEED))
    for _, attempt in zip(range(ATTEMPTS), attempts, strict=False):
        dry.changes = ()
        status, answer = call(attempt)
        answers[status] += 1
        for fault in judge.faults(attempt, status, answer):
            found.append(f"{attempt} -> {status}: {fault}")
    print(ATTEMPTS, "attempts:", dict(answers))
    assert {200, 403, 404} <= answers.keys()
    return found
