# SPDX-License-Identifier: Apache-2.0

"""How often somebody may be wrong: guessing passwords is slow, and shuts nobody out.

Buckets of wrong answers (a token bucket each): of an address for an account, of an address for all
accounts, of an account from everywhere. One that is empty has the next attempt wait, unanswered by
bcrypt, and such an attempt counts nowhere; so one address cannot empty an account's bucket. Who has
a right password that was seen before is never asked this (see ``basic.py``).
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import ceil
from typing import NamedTuple

from tenantry.controller.sockets.reader import unmapped

MOST = 10_000
"""Buckets at a time. Who was wrong the longest ago is forgotten first."""


_LONGEST = 255  # letters of an account's name


class Limit(NamedTuple):
    """``burst`` wrong answers at once, then one in so many ``seconds``."""

    burst: int
    seconds: float


OF_BOTH, OF_ADDRESS, OF_ACCOUNT = Limit(5, 10.0), Limit(30, 2.0), Limit(30, 1.0)


class Attempts:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()
        """Wrong answers that still count, as of when."""

    def begin(self, address: str, account: str) -> int:
        """One more attempt, which counts as wrong until it has :meth:`succeeded`: 0. Or it may not
        be made for so many seconds."""
        wait = 0.0
        for key, limit in _buckets(address, account):
            wait = max(wait, (self._left(key, limit) + 1 - limit.burst) * limit.seconds)
        if wait > 0:
            return ceil(wait)
        self._add(address, account, 1)
        return 0

    def succeeded(self, address: str, account: str) -> None:
        self._add(address, account, -1)

    def _left(self, key: tuple[str, str], limit: Limit) -> float:
        spent, since = self._spent.get(key, (0.0, 0.0))
        return max(0.0, spent - (self._clock() - since) / limit.seconds)

    def _add(self, address: str, account: str, number: int) -> None:
        for key, limit in _buckets(address, account):
            self._spent[key] = (max(0.0, self._left(key, limit) + number), self._clock())
            self._spent.move_to_end(key)
        while len(self._spent) > MOST:
            self._spent.popitem(last=False)


def _buckets(address: str, account: str) -> Iterator[tuple[tuple[str, str], Limit]]:
    whose, account = _owner(address), account[:_LONGEST]
    yield (whose, account), OF_BOTH
    yield (whose, ""), OF_ADDRESS
    yield ("", account), OF_ACCOUNT


def _owner(address: str) -> str:
    """Whoever has one IPv6 address has the other ones of its /64, too (RFC 6177)."""
    address = unmapped(address)
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
