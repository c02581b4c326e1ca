# SPDX-License-Identifier: Apache-2.0

"""What callers may do to resources: which rules a request is asked about, and what those read.

Who is refused learns no more than they may see: that something is there is told only to those who
may get it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from neutron_lib.constants import ATTR_NOT_SPECIFIED

from tenantry.controller.api.kind import Kinds, ResourceType
from tenantry.controller.api.policy import PolicyNotAuthorized, Read, nothing
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, granted
from tenantry.controller.store import Body

_NETWORK, _SHARED = "network", "shared"


class Access:
    """The rules of all kinds, as requests ask for them."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.policy = kinds.policy

    def may_get(self, reader: Reader, context: Context, kind: ResourceType, body: Body) -> bool:
        """Whether the caller may know that it exists: it is theirs or was given to them, and the
        rules let them get such things."""
        if not kind.may_see(reader, context, body):
            return False
        read = self.reads(reader, context, kind, body)
        return self.policy.allows(context, kind.rule_to("get"), read)

    def find(self, reader: Reader, context: Context, kind: str, id: str) -> Body:
        """The resource, if the caller may know that it exists; Neutron's 404 if not. Errors of
        other services: PolicyNotAuthorized."""
        body, found = reader.get(kind, id), self.kinds[kind]
        if body is None:
            raise found.not_found(id)
        if not self.may_get(reader, context, found, body):
            raise (
                PolicyNotAuthorized(found.rule_to("get")) if found.service else found.not_found(id)
            )
        return body

    def sees(self, reader: Reader, context: Context, kind: str, id: str) -> bool:
        """Whether the caller may get the resource of an id, if there is one. What is no kind of
        resource is an administrator's."""
        found = self.kinds.get(kind)
        if found is None or found.internal:
            return context.is_admin
        body = reader.get(kind, id)
        return body is not None and self.may_get(reader, context, found, body)

    def check_one(self, reader: Reader, context: Context, rule: str, kind: str, id: str) -> None:
        """A rule about a resource that the caller sees. Errors: PolicyNotAuthorized."""
        body = reader.get(kind, id) or {}
        self.policy.check(context, rule, self.reads(reader, context, self.kinds[kind], body))

    def hidden(
        self, reader: Reader, context: Context, kind: ResourceType, body: Body
    ) -> frozenset[str]:
        """The attributes that the caller may not see."""
        rules = self.policy.attributes(kind.rule_to("get"))
        read = self.reads(reader, context, kind, body)
        return frozenset(map(rules.__getitem__, self.policy.refused(context, (*rules,), read)))

    def hideable(self, kind: ResourceType) -> Collection[str]:
        """The attributes that not everybody may see."""
        return self.policy.attributes(kind.rule_to("get")).values()

    def hidden_of_route(self, context: Context, rule: str) -> frozenset[str]:
        """What the caller is not told of the answer that ``rule`` is about."""
        rules = self.policy.attributes(rule)
        return frozenset(map(rules.__getitem__, self.policy.refused(context, (*rules,), nothing)))

    def check_create(
        self, reader: Reader, context: Context, kind: ResourceType, body: Body
    ) -> None:
        """``body`` may be created, with every attribute that is not as it would be unasked.
        Errors: PolicyNotAuthorized; Neutron's 404 if it is to be on what the caller may not see."""
        given = {
            name: value
            for name, value in body.items()
            if name in kind.attributes and value != kind.attributes[name].get("default")
        }
        try:
            self._check(reader, context, kind, "create", body, given)
        except PolicyNotAuthorized:
            for parent in {_NETWORK, "security_group", kind.parent} & self.kinds.keys():
                if body.get(f"{parent}_id"):
                    self.find(reader, context, parent, body[f"{parent}_id"])
            raise

    def check_update(
        self, reader: Reader, context: Context, kind: ResourceType, before: Body, changes: Body
    ) -> None:
        """These attributes of ``before`` may be changed to these values. Errors:
        PolicyNotAuthorized, or that there is no such thing."""
        try:
            self._check(reader, context, kind, "update", {**before, **changes}, changes)
        except PolicyNotAuthorized:
            if kind.service is not None:
                raise
            # Neutron knows nothing here that its maps do not mark: of an address group, not whether
            # it is shared.
            shared = kind.attributes.get(_SHARED, {"required_by_policy": True})
            unmarked = {} if shared.get("required_by_policy") else {_SHARED: None}
            read = self.reads(reader, context, kind, before)
            if not self.policy.allows(
                context, kind.rule_to("get"), lambda name: unmarked.get(name, read(name))
            ):
                raise kind.not_found(before["id"]) from None
            raise

    def check(
        self, reader: Reader, context: Context, kind: ResourceType, rule: str, body: Body
    ) -> None:
        """What ``rule`` is about may be done to ``body``. Errors: PolicyNotAuthorized, or that
        there is no such thing."""
        try:
            self.policy.check(context, rule, self.reads(reader, context, kind, body))
        except PolicyNotAuthorized:
            self.find(reader, context, kind.name, body["id"])
            raise

    def tag_rule(self, verb: str, kind: ResourceType) -> str:
        """The rule about tags; of kinds that have none, that about the whole."""
        rules = f"{verb}_{kind.rule}:tags", f"{verb}_{kind.collection}_tags"  # segments
        whole = "get" if verb == "get" else "update"
        return next(filter(self.policy.knows, rules), kind.rule_to(whole))

    def _check(
        self,
        reader: Reader,
        context: Context,
        kind: ResourceType,
        verb: str,
        target: Body,
        given: Body,
    ) -> None:
        read, rule = self.reads(reader, context, kind, target), kind.rule_to(verb)
        self.policy.check(context, rule, read)
        for name, attribute in self.policy.attributes(rule).items():
            if _is_given(kind, attribute, given, name in self.policy.overridden):
                self.policy.check(context, name, read)

    def reads(
        self, reader: Reader, context: Context, kind: ResourceType, body: Mapping[str, Any]
    ) -> Read:
        """What rules may ask of a resource: its attributes; ``KIND:NAME`` is an attribute of the
        KIND that it names as KIND_id (``ext_parent``: of the one that it is a part of); what it
        has not got itself is its network's. ``shared`` is whether it is with the caller."""

        def of(parent: str, name: str) -> Any:
            parent = kind.parent if parent == "ext_parent" else parent
            id = body.get(f"{parent}_id")
            found = reader.get(parent, id) if parent in self.kinds and id else None
            if found is None:
                return None
            return is_shared(reader, context, found) if name == _SHARED else found.get(name)

        def read(name: str) -> Any:
            if name == _SHARED and _NETWORK + "_id" not in body:
                return is_shared(reader, context, body)
            if name in body and name != _SHARED:
                value = body[name]
                if kind.service is not None and name == "project_id" and not value:
                    return context.project_id  # what is nobody's is like one's own
                return None if value is ATTR_NOT_SPECIFIED else value
            parent, colon, below = name.partition(":")
            found = of(parent, below) if colon else None
            return of(_NETWORK, name) if found is None else found

        return read


def is_shared(reader: Reader, context: Context, body: Mapping[str, Any]) -> bool:
    """Whether something is shared with the caller, by itself or by a policy."""
    return bool(body.get(_SHARED)) or granted(reader, context.project_id, body["id"])


def _is_given(kind: ResourceType, name: str, values: Body, own: bool) -> bool:
    """Whether ``values`` set an attribute (NAME), or a part of one (NAME:PART), and its map says
    that policies are asked (``enforce_policy``): of others Neutron asks nobody, whatever its rules.
    One of the operator's ``own`` is asked in any case."""
    whole, _, part = (name, "", "") if name in kind.attributes else name.rpartition(":")
    if not own and not kind.attributes.get(whole, {}).get("enforce_policy"):
        return False
    if not part:
        return values.get(name, ATTR_NOT_SPECIFIED) is not ATTR_NOT_SPECIFIED
    value = values.get(whole)
    parts = value if isinstance(value, list) else [value]
    return any(isinstance(each, dict) and part in each for each in parts)
