# SPDX-License-Identifier: Apache-2.0

"""What the API knows about each kind: its attributes, the rules of all features, and how a
request's attributes become a body. Built once, from the core's and the apps' extensions.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from neutron_lib import exceptions
from neutron_lib.api.attributes import AttributeInfo
from neutron_lib.constants import ATTR_NOT_SPECIFIED
from webob.exc import HTTPBadRequest

from tenantry.controller.api import standard
from tenantry.controller.api.faults import MALFORMED
from tenantry.controller.api.policy import Policy
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Extension,
    Reader,
    ResourceHooks,
    ResourceSpec,
    changed,
    claimant,
    timestamp,
)
from tenantry.controller.store import Body, Claim, ClaimTaken, Draft, Link


class NoMoreOfThese(exceptions.ServiceUnavailable):
    message = (
        "All %(count)s %(collection)s that there can be are there: delete one that nobody needs."
    )


_OBSERVED = frozenset({"status", "binding:host_id", "alive"})
"""Attributes that are seen where they are, whatever is stored."""


QUOTA = "quota"
"""The kind of the limits of a project (``core/quota.py``)."""

UNLIMITED = -1


def quota_of(project_id: str) -> Claim:
    """What the limits of a project claim: there is one of each."""
    return Claim(QUOTA, "", project_id)


class ResourceType:
    """One kind of resource. It is also the store's :class:`Shape` of the kind."""

    def __init__(self, new: ResourceSpec, extensions: Sequence[Extension]) -> None:
        self.name = new.name
        self.collection = new.collection
        self.spec = new
        self.service = new.service
        self.singular = new.singular or new.name
        below = new.path or new.collection.replace("_", "-")
        above = f"{new.service.path if new.service else '/v2.0'}/"
        self.path = below if below.startswith("/") else above + below
        self.parent = new.parent
        self.alias = new.alias
        part = new.parent and not (new.service or new.name.startswith(new.parent))
        self.rule = new.rule or (f"{new.parent}_{new.name}" if part else new.name)
        """What policies call it."""
        self.internal = new.internal
        self.quota = None if new.internal else new.quota
        self.limit = UNLIMITED
        """How many a project may have that has no quota of its own."""
        self.actions = new.actions
        self.not_found = new.not_found
        self.rules: list[ResourceHooks] = [
            e.rules[new.name] for e in extensions if new.name in e.rules
        ]
        # A list calls these for each item: what says nothing is left out.
        self._presenting = [r.present for r in self.rules if _overrides(r, "present")]
        self._owning = [r.owns for r in self.rules if _overrides(r, "owns")]
        self._showing = [r.may_see for r in self.rules if _overrides(r, "may_see")]
        self.overridden = _OBSERVED.union(*(rules.overrides for rules in self.rules))
        """The stored attributes that may be shown otherwise than they are stored."""
        self.attributes: dict[str, Mapping[str, Any]] = standard.attributes(new.standard)
        for name, spec in new.attributes.items():
            self.attributes[name] = {**self.attributes.get(name, {}), **spec}
        of_neutron = [] if new.service else [d for e in extensions for d in e.definitions]
        for definition in of_neutron:
            for name, spec in definition.RESOURCE_ATTRIBUTE_MAP.get(self.collection, {}).items():
                self.attributes[name] = {**self.attributes.get(name, {}), **spec}
        # Neutron's maps know the older name only; a body has the newer name only.
        self.attributes["project_id"] = self.attributes["tenant_id"]
        self.visible = [name for name, spec in self.attributes.items() if spec.get("is_visible")]
        self._whole = AttributeInfo(self.attributes)
        self._single = {name: AttributeInfo({name: s}) for name, s in self.attributes.items()}
        self._keys, self._key_space = new.keys, new.key_space or new.name
        self.named_by, self._blank = new.named_by, new.blank
        self._last_key: int | None = None

    def make(
        self, draft: Draft, context: Context, attributes: Body, whole: Body | None = None
    ) -> Body:
        """A new resource of these attributes, in the draft: a part of ``whole``, if it has a
        parent. Neutron's errors."""
        body = self.new_body(self.parse_new(context, attributes))
        if whole is not None:
            body |= {f"{self.parent}_id": whole["id"], "project_id": whole["project_id"]}
        body["project_id"] = self.project(draft, body)
        self.create(draft, context, body)
        return body

    def rule_to(self, verb: str) -> str:
        """The rule of who may do something: ``create``, ``get``, ``update``, ``delete``."""
        return self.service.rule(verb, self.rule) if self.service else f"{verb}_{self.rule}"

    @staticmethod
    def new_body(attributes: Body) -> Body:
        """Attributes of :meth:`parse_new` with those that every resource gets."""
        now = timestamp()
        version = {"created_at": now, "updated_at": now, "revision_number": 1}
        return {"id": str(uuid.uuid4()), "tags": [], **attributes, **version}

    def limit_of(self, reader: Reader, project_id: str) -> int:
        """How many a project may have."""
        body = claimant(reader, QUOTA, quota_of(project_id))
        limit: int = body["limits"].get(self.name, self.limit) if body else self.limit
        return limit

    def check_quota(self, draft: Draft, project_id: str, more: int = 1) -> None:
        """Whether a project may have so many more. Errors: OverQuota. What belongs to no project
        has no limit."""
        limit = self.limit_of(draft, project_id) if project_id else UNLIMITED
        if limit >= 0 and draft.count(self.name, project_id) + more > limit:
            if self.service is not None:
                raise self.service.over_quota(self.name)
            raise exceptions.OverQuota(overs=[self.name])

    def owns(self, reader: Reader, context: Context, body: Body) -> bool:
        """Whether the caller may change it: their own, or one that a rule counts as theirs."""
        return context.owns(body) or any(owns(reader, context, body) for owns in self._owning)

    def may_see(self, reader: Reader, context: Context, body: Body) -> bool:
        """Whether the caller may change it, or is shown it by a rule. Of other services' kinds,
        policies alone say that."""
        return (
            self.service is not None
            or self.owns(reader, context, body)
            or any(may_see(reader, context, body) for may_see in self._showing)
        )

    def project(self, reader: Reader, body: Body) -> str:
        """Whose a new one will be."""
        found = (rules.project(reader, body) for rules in self.rules)
        return next(filter(None, found), None) or body["project_id"]

    def shown(self, reader: Reader, context: Context, body: Body) -> Body:
        """Every attribute that is not hidden, the stored and the computed, but for the observed."""
        shown = self.presented(reader, context, {**body, "tenant_id": body["project_id"]}, body)
        return {name: shown[name] for name in self.visible if name in shown}

    def presented(self, reader: Reader, context: Context, shown: Body, body: Body) -> Body:
        """``shown``, with what the rules add for ``body``."""
        for present in self._presenting:
            present(reader, context, body, shown)
        return shown

    def parse_new(self, context: Context, request: Body) -> Body:
        """A body for :meth:`create`, of the attributes in a POST. Neutron's 400s, but that no
        project is the caller's own: a client with a password knows none, and some say so. Where
        null has a meaning (for all projects), it has. Other services leave it to their policies for
        whom one may ask, and take null for what is not said."""
        if self.service is not None:
            request = {name: value for name, value in request.items() if value is not None}
            context = replace(context, is_admin=True)
        of_all = "type:string_or_none" in self.attributes["project_id"].get("validate", ())
        owners = () if of_all else ("project_id", "tenant_id")
        body = {n: value for n, value in request.items() if value is not None or n not in owners}
        self._whole.populate_project_id(context, body, True)
        self._whole.verify_attributes(body)
        self._whole.fill_post_defaults(body, exc_cls=HTTPBadRequest)
        self._convert(body)
        del body["tenant_id"]
        return body

    def parse_update(self, context: Context, request: Body) -> Body:
        """The attributes of a PUT, converted. Neutron's 400s."""
        changes = dict(request or self._blank)
        unset = {}
        if self.service is not None:  # null asks for what is so if nothing is said
            unset = {n: self._unset(n) for n, value in changes.items() if value is None}
        for name in changes:
            if name in self.attributes and not self.attributes[name]["allow_put"]:
                raise HTTPBadRequest(f"Cannot update read-only attribute {name}")
        self._whole.verify_attributes(changes)
        for name in unset:
            if "default" not in self.attributes[name]:
                raise HTTPBadRequest(f"None is not a valid option for {name}")
        changes = {name: value for name, value in changes.items() if name not in unset}
        self._convert(changes)
        return changes | unset

    def _unset(self, name: str) -> Any:
        value = self.attributes.get(name, {}).get("default")
        return None if value is ATTR_NOT_SPECIFIED else value

    def _convert(self, values: Body) -> None:
        for name in values:
            try:
                self._single[name].convert_values(values, exc_cls=HTTPBadRequest)
            except MALFORMED as error:
                raise HTTPBadRequest(
                    f"Invalid input for {name}. Reason: '{values[name]}' is malformed."
                ) from error

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        """Put ``body``, completed by all rules, into the draft."""
        for rules in self.rules:
            rules.create(draft, context, body)
        for name, value in body.items():
            if value is ATTR_NOT_SPECIFIED:
                body[name] = None
        if self._keys is not None:
            body["key"] = self._next_key(draft)
        self._put(draft, body)
        for rules in self.rules:
            rules.created(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, changes: Body) -> Body:
        """Put a new version, checked by all rules, in the place of ``before``; the new body, or
        ``before`` if nothing differs."""
        body = {**before, **changes}
        for rules in self.rules:
            rules.update(draft, context, before, body)
        if body == before:
            return before
        body = changed(body)
        self._put(draft, body)
        return body

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        """Take it out of the draft, when all rules have let go of it, the last first."""
        for rules in reversed(self.rules):
            rules.delete(draft, context, body)
        draft.delete(self.name, body["id"])

    def _put(self, draft: Draft, body: Body) -> None:
        try:
            draft.put(self.name, body)
        except ClaimTaken as taken:
            for rules in self.rules:
                error = rules.taken(taken.claim, body)
                if error is not None:
                    raise error from taken
            raise

    def _next_key(self, draft: Draft) -> int:
        """The first free key after the last one given out: a freed key rests for a while."""
        assert self._keys is not None
        if self._last_key is None:
            self._last_key = max(map(int, draft.claimed("key", self._key_space)), default=0)
        for _ in self._keys:
            self._last_key += 1
            if self._last_key not in self._keys:
                self._last_key = self._keys.start
            if draft.owner(self._key_claim(self._last_key)) is None:
                return self._last_key
        raise NoMoreOfThese(count=len(self._keys), collection=self.collection)

    def _key_claim(self, key: int) -> Claim:
        return Claim("key", self._key_space, str(key))

    def claims(self, body: Body) -> Iterator[Claim]:
        if self._keys is not None:
            yield self._key_claim(body["key"])
        if self.named_by:
            parent = body[f"{self.parent}_id"] if self.parent else ""
            yield self._name_claim(parent, body[self.named_by])
        for rules in self.rules:
            yield from rules.claims(body)

    def wholes(self, body: Body) -> Iterator[tuple[str, str]]:
        if self.parent:
            yield self.parent, body[f"{self.parent}_id"]
        for rules in self.rules:
            yield from rules.wholes(body)

    def revised(self, body: Body) -> Body:
        return changed(body)

    def named(self, reader: Reader, parent: str, name: str) -> str:
        """The id of what is called so in a URL."""
        named = reader.owner(self._name_claim(parent, name)) if self.named_by else None
        return named or name

    def _name_claim(self, parent: str, name: str) -> Claim:
        return Claim(self.name, parent, name)

    def links(self, body: Body) -> Iterator[Link]:
        """Each once: a firewall group may have one policy for both directions."""
        yield from dict.fromkeys(link for rules in self.rules for link in rules.links(body))


def _overrides(rules: ResourceHooks, method: str) -> bool:
    return getattr(type(rules), method) is not getattr(ResourceHooks, method)


class Kinds(Mapping[str, ResourceType]):
    """All kinds by name: the schema to open a store with; and the policies of all features, with
    those of the operator's ``policy_file`` on top. Errors: PolicyFileError."""

    def __init__(self, extensions: Iterable[Extension], policy_file: str = "") -> None:
        self.extensions = (standard.EXTENSION, *extensions)
        self.policy = Policy((p for e in self.extensions for p in e.policies), policy_file)
        self._kinds = {
            new.name: ResourceType(new, self.extensions)
            for extension in self.extensions
            for new in extension.kinds
        }
        self.services = tuple({kind.service: None for kind in self._kinds.values() if kind.service})
        """Those that there are beside Neutron's."""
        for kind in self._kinds.values():
            if kind.parent:
                whole = self._kinds[kind.parent]
                kind.path = f"{whole.path}/{{parent}}/{kind.collection}"
        for kind in self._kinds.values():
            for rules in kind.rules:
                rules.kinds = self._kinds

    def __getitem__(self, name: str) -> ResourceType:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)
