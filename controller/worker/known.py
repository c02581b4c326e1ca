# SPDX-License-Identifier: Apache-2.0

"""What a worker remembers of its processes, and what comes of looking after them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Rest(NamedTuple):
    """A process that has failed, with what was wanted of it then."""

    digest: str
    until: float
    tries: int
    state: str
    reason: str


@dataclass
class Known:
    """What is remembered of a process, for as long as it is wanted."""

    pid: int = 0
    since: float = 0.0  # on the monotonic clock: when it was started, or first seen
    restarts: int = 0
    confirmed: str = ""
    rest: Rest | None = None
    asked: int = 0  # how often in vain whether it is there


@dataclass
class Outcome:
    """What came of looking after a namespace."""

    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    pids: set[int] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    again: float | None = None  # seconds
    signature: object = None
