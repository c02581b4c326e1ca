# SPDX-License-Identifier: Apache-2.0

"""A change being made: a replica seen through the changes so far, of which nothing is written yet.

Throwing a draft away leaves no trace. It never blocks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from tenantry.controller.store.change import (
    Body,
    Change,
    Claim,
    ClaimTaken,
    LinkBroken,
    project_of,
)
from tenantry.controller.store.replica import Replica


class Draft:
    """Reads like the replica, with this draft's own changes on top."""

    def __init__(self, replica: Replica, head: int) -> None:
        self.head = head  # the commit number that the draft was made on
        self.undo: list[Callable[[], object]] = []
        """What to call if this draft never gets written: for anything that a caller has taken
        outside the store on its behalf."""
        self._replica = replica
        self._bodies: dict[tuple[str, str], Body | None] = {}
        self._owners: dict[Claim, str | None] = {}
        self._sources: dict[tuple[str, str], dict[str, bool]] = {}
        self._targets: set[str] = set()  # to be checked: must exist in the end
        self._more: Counter[tuple[str, str]] = Counter()  # resources of a kind and project

    def get(self, kind: str, id: str) -> Body | None:
        try:
            return self._bodies[kind, id]
        except KeyError:
            return self._replica.get(kind, id)

    def owner(self, claim: Claim) -> str | None:
        """Who owns what ``claim`` stands for."""
        try:
            return self._owners[claim]
        except KeyError:
            return self._replica.claimed(claim.kind, claim.scope).get(claim.value)

    def count(self, kind: str, project_id: str) -> int:
        """How many resources of a kind a project has."""
        return self._replica.count(kind, project_id) + self._more[kind, project_id]

    def claimed(self, kind: str, scope: str) -> Mapping[str, str]:
        """The owner of each value that is claimed in a scope, before this draft."""
        return self._replica.claimed(kind, scope)

    def linked(self, target: str, role: str) -> list[str]:
        """Ids of the resources that link to ``target`` in ``role``, oldest link first."""
        sources = self._replica.linked(target, role)
        changed = self._sources.get((target, role))
        if not changed:
            return list(sources)
        kept = [id for id in sources if changed.get(id, True)]
        return kept + [id for id, there in changed.items() if there and id not in sources]

    def put(self, kind: str, body: Body) -> None:
        """Create or replace the resource ``body["id"]``. ClaimTaken if a claim is another's."""
        id, shape = body["id"], self._replica.schema[kind]
        claims = set(shape.claims(body))
        for claim in claims:
            owner = self.owner(claim)
            if owner is not None and owner != id:
                raise ClaimTaken(claim, owner)
        self._release(kind, id)
        self._owners.update(dict.fromkeys(claims, id))
        for target, role in shape.links(body):
            self._sources.setdefault((target, role), {})[id] = True
            self._targets.add(target)
        self._bodies[kind, id] = body
        self._more[kind, project_of(body)] += 1

    def delete(self, kind: str, id: str) -> None:
        """Delete a resource. That nothing links to it any more is checked in the end."""
        self._release(kind, id)
        self._bodies[kind, id] = None
        self._targets.add(id)

    def changes(self) -> tuple[Change, ...]:
        """What this draft changes, in the order of first touch. LinkBroken if it does not fit."""
        self._revise_wholes()
        for target in self._targets:
            if not self._exists(target):
                users = list(self._users(target))
                if users:
                    raise LinkBroken(target, users if self._replica.exists(target) else ())
        return tuple(
            Change(kind, id, before, after)
            for (kind, id), after in self._bodies.items()
            if (before := self._replica.get(kind, id)) != after
        )

    def _revise_wholes(self) -> None:
        """A change of a part is one of its whole: once, and not if that is new or goes."""
        for (kind, id), after in [*self._bodies.items()]:
            before, shape = self._replica.get(kind, id), self._replica.schema[kind]
            found = [*shape.wholes(before)] if before is not None else []
            found += shape.wholes(after) if after is not None else ()
            for whole_kind, whole_id in found if before != after else ():
                whole = self._replica.get(whole_kind, whole_id)
                if whole is not None and self.get(whole_kind, whole_id) is whole:
                    self.put(whole_kind, self._replica.schema[whole_kind].revised(whole))

    def _release(self, kind: str, id: str) -> None:
        before, shape = self.get(kind, id), self._replica.schema[kind]
        if before is not None:
            self._more[kind, project_of(before)] -= 1
            self._owners.update(dict.fromkeys(shape.claims(before)))
            for target, role in shape.links(before):
                self._sources.setdefault((target, role), {})[id] = False

    def _exists(self, id: str) -> bool:
        return any(self.get(kind, id) is not None for kind in self._replica.schema)

    def _users(self, target: str) -> Iterator[str]:
        roles = {role for id, role in self._sources if id == target}
        for role in sorted(roles.union(self._replica.roles(target))):
            for id in self.linked(target, role):
                yield f"{role} {id}"
