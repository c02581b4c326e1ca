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
from itertools import permutations

from tenantry.controller.openflow.drops import Cause
from tenantry.controller.openflow.pipeline import Table


class Priorities:
    """A ladder: the priorities of a table, read top down. The highest rung that matches counts.

    A priority that follows from data (the length of a prefix, a place in a list) is taken from a
    rung that is a range: ``PREFIX = range(100, 357, 2)``, and ``PREFIX[length]`` in a flow. No
    other rung may lie between the ends of a range, so no data can climb over a rung that stands
    above it; what a range does not have, it refuses (IndexError). Two ranges may be interleaved.
    Two names of one priority are for packets that cannot be the same.
    """

    def __init_subclass__(cls) -> None:
        """Errors: ValueError, if a rung lies between the ends of a range, or two ranges have a
        priority in common."""
        for (name, one), (other_name, other) in permutations(cls.rungs(), 2):
            if len(one) > 1:
                low, high = sorted((one[0], one[-1]))
                between = len(other) == 1 and low <= other[0] <= high
                if between or {*one} & {*other}:
                    raise ValueError(f"{cls.__name__}: {other_name} lies within {name}")

    @classmethod
    def rungs(cls) -> list[tuple[str, range]]:
        """Names and priorities, top down."""
        found = [(name, value) for name, value in vars(cls).items() if name.isupper()]
        rungs = [(n, v if isinstance(v, range) else range(v, v + 1)) for n, v in found]
        return sorted(rungs, key=lambda rung: -max(rung[1]))

    @classmethod
    def has(cls, priority: int) -> bool:
        """Whether a flow may have this priority."""
        return any(priority in rung for _, rung in cls.rungs())


class OneRung(Priorities):
    """Of tables in which each packet matches one flow at most."""

    ORDINARY = 100


def fields(*names: str) -> frozenset[str]:
    """Fields of ours and words that name OpenFlow's: ``fields(IN_PORT, "eth_type ip_proto")``."""
    return frozenset(" ".join(names).split())


@dataclass(frozen=True, kw_only=True)
class Adds:
    """What a feature's flows in a table may match and set (also by ``move`` and ``learn``), where
    they may lead besides the next table, and the causes that they may name when they drop."""

    matches: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    leads_to: tuple[Table, ...] = ()
    drops: tuple[Cause, ...] = ()


@dataclass(frozen=True, kw_only=True)
class About(Adds):
    """A table, as its owner sees it: its job in a sentence, and what the owner's flows do."""

    job: str
    priorities: type[Priorities]


AboutTables = Mapping[Table, About]
AddsTo = Mapping[Table, Adds]


def ladder(priorities: type[Priorities]) -> Iterator[tuple[str, str]]:
    """A ladder for people, top down."""
    for name, rung in priorities.rungs():
        yield name, f"{rung[0]} to {rung[-1]}" if len(rung) > 1 else str(rung[0])
