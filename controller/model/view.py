# SPDX-License-Identifier: Apache-2.0

"""How apps read the model: a view records every read, so that the engine knows who must run again.

Derived queries are functions of the view and of plain arguments::

    @derived
    def networks_on(view: View, switch: int) -> frozenset[str]:
        return view.distinct(Binding, "network_id", switch=switch)

They are computed once and shared by all that read them; when one is computed again and comes to
the same value, whoever had read it is left in peace.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from tenantry.controller.model.model import Model, R, Read

P = ParamSpec("P")
T = TypeVar("T")


class Query(Hashable, Protocol):
    """A derived query that was computed; as a read, it stands for itself."""

    def result(self) -> Any:
        """What it came to; raises what it raised."""


class Memo(Protocol):
    """Keeps derived queries; the engine is one."""

    def derive(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Query:
        """``function(view, *args)``, computed if it must be."""


class View:
    """Read access to a model. ``reads`` fills with what was read through this view."""

    __slots__ = ("_memo", "_model", "reads")

    def __init__(self, model: Model, memo: Memo | None = None) -> None:
        self._model = model
        self._memo = memo
        self.reads: set[Read] = set()

    def get(self, kind: type[R], id: Hashable) -> R | None:
        """The record of this id, or None."""
        self.reads.add((kind, id))
        return self._model.get(kind, id)

    def find(self, kind: type[R], **equal: Any) -> list[R]:
        """The records whose fields equal these values, in the order of their ids.

        The fields must be an index of the record, in its order.
        """
        fields, values = tuple(equal), tuple(equal.values())
        self.reads.add((kind, fields, values))
        return self._model.some(kind, self._model.ids(kind, fields, values))

    def ids(self, kind: type[R], **equal: Any) -> frozenset[Any]:
        """The ids of those records only: a change inside one of them is no change here."""
        fields, values = tuple(equal), tuple(equal.values())
        self.reads.add((kind, fields, values, "ids"))
        return self._model.ids(kind, fields, values)

    def distinct(self, kind: type[R], field: str, **equal: Any) -> frozenset[Any]:
        """The values of ``field`` that occur where the other fields equal these values."""
        fields, values = (*equal, field), tuple(equal.values())
        self.reads.add((kind, fields, values, "distinct"))
        return self._model.distinct(kind, fields, values)

    def derive(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        if self._memo is None:
            return function(self, *args)
        query = self._memo.derive(function, args)
        self.reads.add(query)  # also if it raises: its reader must run again when it recovers
        return query.result()


def derived(function: Callable[Concatenate[View, P], T]) -> Callable[Concatenate[View, P], T]:
    """Make a pure function of the view and hashable arguments a shared, memoised query."""

    @wraps(function)
    def query(view: View, /, *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = view.derive(function, args)
        return result

    return query
