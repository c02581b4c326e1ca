# SPDX-License-Identifier: Apache-2.0

"""Figures beside their bars: ``make bench``, or ``make bench ONLY=name``.

A bar must mean the same on a slow day. So it is on a ratio to a peer that was measured in turns
with the figure (A B A B ...) in the same run, or on a count; seconds are shown beside it and judge
nothing. The peers are in ``peers.py``. A benchmark is a function in one of the modules of this
package that yields :class:`Figure`; it is named in ``__main__.py``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import quantiles

ROUNDS = 5
PROGRESS_SECONDS = 5.0


@dataclass(frozen=True)
class Figure:
    """A measured value, and the bar that it must not exceed (or, if ``at_least``, must reach).

    ``today`` is what it was in absolute terms, ours and the peer's; ``reference`` what the bar
    comes to in such terms on the machine for which docs/performance.md gives the figures.

    Raises ValueError for a bar on seconds or on anything a second.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    at_least: bool = False
    today: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        first = self.unit.partition(" ")[0].rstrip(",")
        if self.bar is not None and (first in _TIMES or first.endswith("/s")):
            raise ValueError(
                f"{self.name}: a bar in {first} says little on a slow day; see ratio()"
            )

    @property
    def held(self) -> bool:
        if self.bar is None:
            return True
        return self.value >= self.bar if self.at_least else self.value <= self.bar


_TIMES = {"s", "ms", "us", "ns", "seconds"}


def ratio(
    name: str,
    ours: Sequence[float],
    peers: Sequence[float],
    peer: str,
    bar: float | None = None,
    *,
    rate: bool = False,
    reference: str = "",
) -> Figure:
    """What we took beside the peer, in the median turn: a slow minute slows both.

    Both are seconds; or, if ``rate``, how many a second, of which the bar is to be reached."""
    pairs = sorted(zip(ours, peers, strict=True), key=lambda pair: pair[0] / pair[1])
    our, their = pairs[(len(pairs) - 1) // 2]
    show = number if rate else duration
    today = f"{show(our)} : {show(their)}{'/s' if rate else ''}"
    return Figure(name, our / their, f"x {peer}", bar, rate, today, reference)


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, by the wall."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(*works: Callable[[], object], rounds: int = ROUNDS) -> list[list[float]]:
    """The seconds of each, in turns, so that a noisy neighbour disturbs all alike."""
    times = [[seconds(work) for work in works] for _ in turns(rounds)]
    return [list(column) for column in zip(*times, strict=True)]


def turns(count: int) -> Iterator[int]:
    """``range(count)``, which tells how far it is."""
    for turn in range(count):
        progress(f"turn {turn + 1} of {count}")
        yield turn


def p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100)[98]


_told = time.monotonic()


def progress(text: str) -> None:
    """Say on stderr how far long work is, every few seconds at most."""
    global _told
    if time.monotonic() - _told >= PROGRESS_SECONDS:
        _told = time.monotonic()
        print(f"    {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def number(value: float) -> str:
    """Three figures that mean something, and no exponents."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(value: float) -> str:
    """Seconds in the unit that is read most easily."""
    for unit, scale in (("s", 1.0), ("ms", 1e3)):
        if value * scale >= 1:
            return f"{number(value * scale)} {unit}"
    return f"{number(value * 1e6)} us"
