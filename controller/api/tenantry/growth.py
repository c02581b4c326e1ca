# SPDX-License-Identifier: Apache-2.0

"""What more was counted since the last reading, whatever begins anew meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from tenantry.controller import runtime


class Sum(NamedTuple):
    packets: int = 0
    octets: int = 0

    def plus(self, packets: int, octets: int) -> Sum:
        return Sum(self.packets + packets, self.octets + octets)

    def minus(self, before: Sum) -> Sum:
        return Sum(self.packets - before.packets, self.octets - before.octets)


Key = TypeVar("Key", bound=tuple[Any, ...])


class Growth(Generic[Key]):
    """By keys, of which the first element is the switch that has counted."""

    def __init__(self) -> None:
        self._before: dict[Key, Sum] = {}
        self._known: set[int] = set()

    def since(
        self, now: Mapping[Key, Sum], told: Collection[int], goes_on: Callable[[Key], bool]
    ) -> dict[Key, Sum]:
        """What is more ``now``, on the switches that have ``told``: nothing with the first reading
        of a switch, for what was before is nobody's. What is not there now is forgotten, unless it
        ``goes_on`` where it was."""
        more = dict[Key, Sum]()
        for key, total in runtime.paced(now.items()):
            before = self._before.get(key, Sum() if key[0] in self._known else total)
            begun_anew = total.packets < before.packets
            more[key] = total if begun_anew else total.minus(before)
        silent = {key: sum for key, sum in self._before.items() if goes_on(key)}
        self._before = silent | dict(now)
        self._known |= {*told}
        return more
