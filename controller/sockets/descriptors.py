# SPDX-License-Identifier: Apache-2.0

"""Files that this process may have open at a time, and how many of them are for whom.

Every connection is one. Each kind of client has a share, so that guests, strangers, and clients
that wait cannot use up what switches need.
"""

from __future__ import annotations

import resource
from typing import NamedTuple

OWN = 128
"""Kept for ourselves: the database, the log, listeners, programs that are run."""

MANY = 1000
"""Enough of those who come and go."""


class Shares(NamedTuple):
    """Connections at a time, of each kind."""

    switches: int
    hosts: int
    guests: int
    questions: int  # of guests, to the resolvers
    clients: int  # of the API
    probes: int  # of ours, whether somebody is alive


def raise_limit() -> int:
    """Raise the soft limit to the hard one, which needs no privilege; how many there may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return limit()


def limit() -> int:
    """How many this process may have open."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def highest_limit() -> int:
    """How many it may have open once it has raised its limit."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _number(limit: int) -> int:
    return 1 << 20 if limit == resource.RLIM_INFINITY else limit


def shares(limit: int) -> Shares:
    """What is whose, of ``limit`` in all."""
    part = max(limit - OWN, 55) // 11
    return Shares(
        switches=3 * part,
        hosts=part,  # of two files each, with what wakes its greenlet
        guests=min(2 * part, MANY),
        questions=min(part, MANY),
        clients=min(2 * part, MANY),
        probes=min(part, MANY),
    )
