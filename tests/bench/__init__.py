# SPDX-License-Identifier: Apache-2.0

"""Figures beside their bars: ``make bench``, or ``make bench ONLY=name``.

Trust ratios measured in one run, not seconds: every figure that has a peer is measured in turns
with it (A B A B ...), and medians are compared. A benchmark is a function in one of the modules of
this package that yields :class:`Figure`; its module is named in ``__main__.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

ROUNDS = 5


@dataclass(frozen=True)
class Figure:
    """A measured value, and the bar that it must not exceed (or, if ``at_least``, must reach)."""

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def held(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, by the wall."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(*works: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The median seconds of each, in turns, so that a noisy neighbour disturbs all alike."""
    times = [[seconds(work) for work in works] for _ in range(rounds)]
    return [median(column) for column in zip(*times, strict=True)]
