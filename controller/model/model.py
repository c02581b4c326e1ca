# SPDX-License-Identifier: Apache-2.0

"""The model: all records of all types, with indexes, and what a change touches.

It changes only through :meth:`Model.apply`, which answers with the *reads* the change invalidates:
exactly the keys a view records when somebody reads. That is all that the engine needs in order to
re-run what had read what changed, and nothing else. The model never calls anybody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from itertools import product
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

Indexes: TypeAlias = tuple[tuple[str, ...], ...]


class Record(Protocol):
    """A frozen value with an id, and the tuples of fields by which it is found."""

    INDEXES: ClassVar[Indexes]

    @property
    def id(self) -> Hashable: ...


class Stored(Record, Protocol):
    """A record that comes from the store, of the kind of resource that it names."""

    KIND: ClassVar[str]


R = TypeVar("R", bound=Record)

Read: TypeAlias = Hashable
"""What somebody read, as a key: see :class:`Model`; or a derived query."""


class Change(NamedTuple):
    """A record that is new (``record``), different, or gone (None)."""

    type: type[Record]
    id: Hashable
    record: Record | None


class Index:
    """Ids by the values of some fields, and (one level up) which last values occur at all. Who has
    a frozenset in one of the fields is found by each of its members."""

    __slots__ = ("buckets", "distinct", "fields")

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self.buckets: dict[tuple[Any, ...], set[Any]] = {}
        self.distinct: dict[tuple[Any, ...], set[Any]] = {}

    def keys(self, record: Record) -> frozenset[tuple[Any, ...]]:
        values = [getattr(record, field) for field in self.fields]
        if frozenset not in map(type, values):
            return frozenset([tuple(values)])
        each = [value if type(value) is frozenset else (value,) for value in values]
        return frozenset(product(*each))

    def add(self, key: tuple[Any, ...], id: Hashable) -> bool:
        """True if the key did not occur before."""
        bucket = self.buckets.get(key)
        if bucket is not None:
            bucket.add(id)
            return False
        self.buckets[key] = {id}
        if key:
            self.distinct.setdefault(key[:-1], set()).add(key[-1])
        return True

    def remove(self, key: tuple[Any, ...], id: Hashable) -> bool:
        """True if the key no longer occurs."""
        bucket = self.buckets[key]
        bucket.discard(id)
        if bucket:
            return False
        del self.buckets[key]
        if key:
            values = self.distinct[key[:-1]]
            values.discard(key[-1])
            if not values:
                del self.distinct[key[:-1]]
        return True


_NO_KEYS: frozenset[tuple[Any, ...]] = frozenset()


class Model:
    """Records by type and id.

    Reads are these tuples: ``(type, id)`` for one record; ``(type, fields, values)`` for the
    records that have these values; ``(type, fields, values, "ids")`` for which those are, whatever
    else is in them; ``(type, fields, values, "distinct")`` for the values of the last of
    ``fields`` that occur where the others have ``values``.
    """

    def __init__(self) -> None:
        self._records: dict[type[Record], dict[Hashable, Record]] = {}
        self._indexes: dict[type[Record], dict[tuple[str, ...], Index]] = {}

    def apply(self, changes: Iterable[Change]) -> set[Read]:
        """Apply changes in order; the reads whose answers may now differ."""
        touched: set[Read] = set()
        for change in changes:
            self._apply(change, touched)
        return touched

    def _apply(self, change: Change, touched: set[Read]) -> None:
        kind, id, new = change
        records = self._table(kind)
        old = records.get(id)
        if old == new:
            return
        if new is None:
            del records[id]
        else:
            records[id] = new
        touched.add((kind, id))
        for fields, index in self._indexes[kind].items():
            before = _NO_KEYS if old is None else index.keys(old)
            after = _NO_KEYS if new is None else index.keys(new)
            for key in before | after:
                touched.add((kind, fields, key))
            if before == after:
                continue
            for key in before - after:
                touched.add((kind, fields, key, "ids"))
                if index.remove(key, id):
                    touched.add((kind, fields, key[:-1], "distinct"))
            for key in after - before:
                touched.add((kind, fields, key, "ids"))
                if index.add(key, id):
                    touched.add((kind, fields, key[:-1], "distinct"))

    def _table(self, kind: type[Record]) -> dict[Hashable, Record]:
        records = self._records.get(kind)
        if records is None:
            records = self._records[kind] = {}
            # The empty tuple of fields is the index of everything: its one bucket is ().
            self._indexes[kind] = {fields: Index(fields) for fields in ((), *kind.INDEXES)}
        return records

    def get(self, kind: type[R], id: Hashable) -> R | None:
        return self._table(kind).get(id)  # type: ignore[return-value]

    def all(self, kind: type[R]) -> Mapping[Hashable, R]:
        return self._table(kind)  # type: ignore[return-value]

    def some(self, kind: type[R], ids: frozenset[Any]) -> list[R]:
        """The records with these ids, which are there, in the order of the ids."""
        records = self._table(kind)
        return [records[id] for id in sorted(ids)]  # type: ignore[misc]

    def ids(
        self, kind: type[R], fields: tuple[str, ...], values: tuple[Any, ...]
    ) -> frozenset[Any]:
        return frozenset(self._index(kind, fields).buckets.get(values, ()))

    def distinct(
        self, kind: type[R], fields: tuple[str, ...], values: tuple[Any, ...]
    ) -> frozenset[Any]:
        return frozenset(self._index(kind, fields).distinct.get(values, ()))

    def _index(self, kind: type[R], fields: tuple[str, ...]) -> Index:
        self._table(kind)
        try:
            return self._indexes[kind][fields]
        except KeyError:
            raise LookupError(
                f"{kind.__name__} has no index {fields}; add it to its INDEXES"
            ) from None
