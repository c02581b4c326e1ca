# SPDX-License-Identifier: Apache-2.0

"""The whole store in memory, at one commit number: bodies, who owns what, who links to whom.

It is changed by :meth:`Replica.apply` only, which is atomic in a cooperative scheduler. It never
meets the database, so a test can hold it against one that was loaded afresh.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from tenantry.controller.store.change import Body, Change, Shape, project_of


class Replica:
    """Bodies by kind and id, with indexes of claims and links; every look-up is O(1)."""

    def __init__(self, schema: Mapping[str, Shape]) -> None:
        self.schema = schema
        self._bodies: dict[str, dict[str, Body]] = {kind: {} for kind in schema}
        self._owners: dict[tuple[str, str], dict[str, str]] = {}
        # target -> role -> sources; the innermost dict is an ordered set.
        self._sources: dict[str, dict[str, dict[str, None]]] = {}
        self._owned: dict[tuple[str, str], set[str]] = {}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Replica)
            and self._bodies == other._bodies
            and self._owners == other._owners
            and self._sources == other._sources
            and self._owned == other._owned
        )

    __hash__ = None  # type: ignore[assignment]

    def read(self, kind: str) -> Mapping[str, Body]:
        """All bodies of a kind, by id."""
        return self._bodies[kind]

    def get(self, kind: str, id: str) -> Body | None:
        return self._bodies[kind].get(id)

    def exists(self, id: str) -> bool:
        """Whether a resource of any kind has this id."""
        return any(id in bodies for bodies in self._bodies.values())

    def count(self, kind: str, project_id: str) -> int:
        """How many resources of a kind a project has."""
        return len(self._owned.get((kind, project_id), ()))

    def claimed(self, kind: str, scope: str) -> Mapping[str, str]:
        """The owner of each value that is claimed in a scope."""
        return self._owners.get((kind, scope), {})

    def linked(self, target: str, role: str) -> Collection[str]:
        """Ids of the resources that link to ``target`` in ``role``, oldest link first."""
        return self._sources.get(target, {}).get(role, {})

    def roles(self, target: str) -> Collection[str]:
        """The roles in which anything links to ``target``."""
        return self._sources.get(target, {})

    def apply(self, changes: Iterable[Change]) -> None:
        """Make each resource what ``after`` says."""
        for change in changes:
            shape, bodies = self.schema[change.kind], self._bodies[change.kind]
            before, after = bodies.get(change.id), change.after
            if before is not None:
                self._unindex(change.id, before, shape)
                owned = self._owned[change.kind, project_of(before)]
                owned.discard(change.id)
                if not owned:
                    del self._owned[change.kind, project_of(before)]
            if after is None:
                bodies.pop(change.id, None)
            else:
                bodies[change.id] = after
                self._index(change.id, after, shape)
                owned = self._owned.setdefault((change.kind, project_of(after)), set())
                owned.add(change.id)

    def _index(self, id: str, body: Body, shape: Shape) -> None:
        for kind, scope, value in shape.claims(body):
            self._owners.setdefault((kind, scope), {})[value] = id
        for target, role in shape.links(body):
            self._sources.setdefault(target, {}).setdefault(role, {})[id] = None

    def _unindex(self, id: str, body: Body, shape: Shape) -> None:
        for kind, scope, value in shape.claims(body):
            owners = self._owners[kind, scope]
            # An earlier change of the same commit may have given the value to someone else.
            if owners.get(value) == id:
                del owners[value]
                if not owners:
                    del self._owners[kind, scope]
        for target, role in shape.links(body):
            roles = self._sources[target]
            roles[role].pop(id, None)
            if not roles[role]:
                del roles[role]
                if not roles:
                    del self._sources[target]
