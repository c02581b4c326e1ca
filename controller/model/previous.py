# SPDX-License-Identifier: Apache-2.0

"""What was: a model as it was at a time, to be compared with what is."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, TypeAlias

from tenantry.controller.model.model import Change, Index, Model, R, Record
from tenantry.controller.model.observed import Former
from tenantry.controller.model.records import Network, Port

Changed: TypeAlias = Mapping[tuple[type[Record], Hashable], Record | None]
"""The records that were changed, by type and id, as they were before: None if there was none."""


class Before(Model):
    """A model as it was before the changes that it was told of; of those it keeps the records that
    they replaced, and all else is read from the model itself."""

    def __init__(self, now: Model) -> None:
        super().__init__()
        self._now = now
        self._old: dict[type[Record], dict[Hashable, Record | None]] = {}
        self._not_indexed: dict[type[Record], list[Change]] = {}  # few ask for more than get

    def undo(self, changed: Changed) -> None:
        """Leave these changes away, too: they came after those that are left away already."""
        for (kind, id), record in changed.items():
            old = self._old.setdefault(kind, {})
            if id not in old:
                old[id] = record
                if record is not None:
                    self._not_indexed.setdefault(kind, []).append(Change(kind, id, record))

    def get(self, kind: type[R], id: Hashable) -> R | None:
        old = self._old.get(kind)
        if old is not None and id in old:
            return old[id]  # type: ignore[return-value]
        return self._now.get(kind, id)

    def all(self, kind: type[R]) -> Mapping[Hashable, R]:
        whole = {**self._now.all(kind), **self._old.get(kind, {})}
        return {id: record for id, record in whole.items() if record is not None}  # type: ignore[misc]

    def some(self, kind: type[R], ids: frozenset[Any]) -> list[R]:
        return [record for id in sorted(ids) if (record := self.get(kind, id))]

    def ids(
        self, kind: type[R], fields: tuple[str, ...], values: tuple[Any, ...]
    ) -> frozenset[Any]:
        same = self._now.ids(kind, fields, values) - self._old.get(kind, {}).keys()
        return same | super().ids(kind, fields, values)

    def distinct(
        self, kind: type[R], fields: tuple[str, ...], values: tuple[Any, ...]
    ) -> frozenset[Any]:
        found = self._now.distinct(kind, fields, values) | super().distinct(kind, fields, values)
        return frozenset(one for one in found if self.ids(kind, fields, (*values, one)))

    def _index(self, kind: type[R], fields: tuple[str, ...]) -> Index:
        self.apply(self._not_indexed.pop(kind, ()))
        return super()._index(kind, fields)


MOST_FORMER = 1 << 16
"""Addresses whose former MAC address is remembered: the oldest are forgotten."""


def formers(model: Model, changed: Changed) -> Iterator[Change]:
    """The changes of what is remembered of addresses that are no longer where they were."""
    room = MOST_FORMER - len(model.all(Former))
    for (kind, id), old in changed.items():
        if kind is Network and model.get(Network, id) is None:
            for gone in model.ids(Former, ("network_id",), (id,)):
                yield Change(Former, gone, None)
        if not isinstance(old, Port):
            continue
        new = model.get(Port, id)
        kept = new.fixed_ips if new is not None and new.mac == old.mac else ()
        for ip in old.fixed_ips:
            if ip not in kept:
                at = (old.network_id, ip.version, ip.address)
                room -= 1
                yield Change(Former, at, Former(at, old.network_id, old.mac))
    for oldest, _ in zip(model.all(Former), range(-room), strict=False):
        yield Change(Former, oldest, None)
