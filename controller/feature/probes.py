# SPDX-License-Identifier: Apache-2.0

"""Who is asked again and again whether it is alive, and what was found: as values.

A feature says whom and how (:class:`Probing`, pure functions); the core asks, from the controller's
own host through the service port, and judges (``service/prober.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from tenantry.controller.model import Change, View
from tenantry.controller.model.model import Record

TCP, UDP, PING, SCTP = "TCP", "UDP-CONNECT", "PING", "SCTP"
HTTP, HTTPS, TLS = "HTTP", "HTTPS", "TLS-HELLO"
"""Kinds of questions, by Octavia's names."""


class Question(NamedTuple):
    """How somebody is asked. Of HTTP: ``codes`` are ranges of statuses, first and last, that mean
    well; ``host`` is the Host header, and the name in TLS, or ""."""

    kind: str
    port: int = 0
    method: str = "GET"
    path: str = "/"
    version: str = "1.0"
    host: str = ""
    codes: tuple[tuple[int, int], ...] = ((200, 200),)


class Probe(NamedTuple):
    """One who is asked, by the id that it is known by. ``address`` is one of the service port's
    range, which flows lead to whomever it stands for. ``delay`` and ``timeout`` are in seconds;
    after ``fall`` failures in a row it is dead, after ``rise`` successes it is alive."""

    id: str
    version: int
    address: int
    question: Question
    delay: float
    timeout: float
    rise: int
    fall: int


class Verdict(NamedTuple):
    """What was found: whether it is alive, and if not, why: "refused", "HTTP 503"."""

    id: str
    alive: bool
    reason: str = ""


class Probing(NamedTuple):
    """A feature that has somebody asked.

    Who is asked is said by ``wanted``, for one thing at a time that they are parts of: when a
    record of one of the types ``reads`` changes, ``whole`` tells the id of what it is about (None:
    of nothing that is there), and of that ``wanted`` is asked again. ``record`` makes of a verdict,
    or of the id of somebody who is asked no more (None), what becomes of the model. Who is dead is
    kept in ``file``, so that it holds over a restart; "" is nowhere.
    """

    reads: tuple[type[Record], ...]
    whole: Callable[[View, Record], str | None]
    wanted: Callable[[View, str], Iterable[Probe]]
    record: Callable[[str, Verdict | None], Change]
    file: str = ""


class Unreachable(NamedTuple):
    """An effect: an ICMP error has come about a datagram to this address (of the service port's
    range) and port."""

    version: int
    address: int
    port: int
