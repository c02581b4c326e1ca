# SPDX-License-Identifier: Apache-2.0

"""What a feature says of a table: its job, its ladder of priorities, and what flows in it may do.

The owner of a table says it in ``apps/FEATURE/tables.py``, once for the table (:class:`About`);
others whose flows stand there say what theirs do (:class:`Adds`). Tests hold every flow that
features compile against it, for random histories, and no flow may do what is not said there: so
the page of a table tells all that a packet can meet in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import permutations

from tenantry.controller.openflow.pipeline import Table


class Priorities(IntEnum):
    """A ladder: the priorities of a table, read top down. The highest rung that matches decides.

    A priority that follows from data (the length of a prefix, a place in a list) is taken from a
    rung that is a range: ``PREFIX = range(100, 357, 2)``, and ``PREFIX[length]`` in a flow. No
    other rung may lie between the ends of a range, so no data can climb over a rung that stands
    above it; what a range does not have, it refuses (IndexError). Two ranges may be interleaved.
    Two names of one priority are for packets that cannot be the same.
    """

    def __new__(cls, rung: int | range) -> Priorities:
        self = int.__new__(cls, rung if isinstance(rung, int) else rung[0])
        vars(self)["_value_"] = rung
        return self

    @property
    def steps(self) -> range:
        """All priorities of a rung."""
        rung: object = self.value
        return rung if isinstance(rung, range) else range(self, self + 1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    def __getitem__(self, place: int) -> int:
        if not 0 <= place < len(self.steps):
            raise IndexError(f"{self!r} has no place {place}")
        return self.steps[place]

    @classmethod
    def check(cls) -> None:
        """Errors: ValueError, if a rung lies between the ends of a range, or two ranges have a
        priority in common."""
        for one, other in permutations(cls, 2):
            low, high = sorted((one.steps[0], one.steps[-1]))
            is_one = len(other.steps) == 1
            if (is_one and low <= other.steps[0] <= high) or {*one.steps} & {*other.steps}:
                raise ValueError(f"{other!r} lies within {one!r}")

    @classmethod
    def has(cls, priority: int) -> bool:
        """Whether a flow may have this priority."""
        return any(priority in rung.steps for rung in cls)


class OneRung(Priorities):
    """Of tables in which each packet matches one flow at most."""

    ORDINARY = 100


def fields(*names: str) -> frozenset[str]:
    """Fields of ours and words that name OpenFlow's: ``fields(IN_PORT, "eth_type ip_proto")``."""
    return frozenset(" ".join(names).split())


@dataclass(frozen=True, kw_only=True)
class Adds:
    """What a feature's flows in a table may match and set (also by ``move`` and ``learn``), and
    where they may lead besides the next table."""

    matches: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    leads_to: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True)
class About(Adds):
    """A table, as its owner sees it: its job in a sentence, and what the owner's flows do."""

    job: str
    priorities: type[Priorities]

    def __post_init__(self) -> None:
        self.priorities.check()


AboutTables = Mapping[Table, About]
AddsTo = Mapping[Table, Adds]


def ladder(priorities: type[Priorities]) -> Iterator[tuple[str, str]]:
    """A ladder for people, top down: names and priorities."""
    rungs = sorted(priorities.__members__.items(), key=lambda rung: -max(rung[1].steps))
    for name, rung in rungs:
        first, *more = sorted({rung.steps[0], rung.steps[-1]})
        yield name, f"{first} to {more[0]}" if more else str(first)
