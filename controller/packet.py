"""Packets as values: what an app gets when its flows send one to the controller, and what it sends.

Handlers are pure functions like everything in an app: bytes and a view in, packets and learned
records out. Which packets get here, and how many, is for ``switch/packets.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeAlias, TypeVar

from webob import Request, Response

from controller.flow import CONTROLLER, Action
from controller.model import Change, View


class PacketIn(NamedTuple):
    """A packet, where it came in, and what the pipeline knew of it by then."""

    switch: int
    cookie: int
    ofport: int
    network: int  # NETWORK, or 0
    port: int  # IN_PORT, or 0
    data: bytes


class PacketOut(NamedTuple):
    """A packet to be sent by the same switch; ``actions`` say where to."""

    data: bytes
    actions: tuple[Action, ...]
    ofport: int = CONTROLLER  # as which port's it enters the pipeline


T = TypeVar("T", covariant=True)


class Ask(NamedTuple, Generic[T]):
    """A DNS message for the configured resolvers; ``then`` makes of their answer (None: there was
    none in time) what is to be sent."""

    data: bytes
    then: Callable[[bytes | None], T]


Result: TypeAlias = PacketOut | Change | Ask[PacketOut]

Handler: TypeAlias = Callable[[View, PacketIn], Iterable[Result]]
"""What an app does with a packet: answers it, asks or learns, or nothing. Errors: Malformed."""


class Http(NamedTuple):
    """A feature that answers HTTP at the service port: the id of the asking port, its request."""

    tcp_port: int
    answer: Callable[[View, str, Request], Response]


class Stream(NamedTuple):
    """A feature that answers DNS messages in TCP (RFC 7766) at the service port, likewise."""

    tcp_port: int
    answer: Callable[[View, str, bytes], bytes | Ask[bytes]]


Endpoint: TypeAlias = Http | Stream


class Malformed(Exception):
    """A packet that cannot be what it says: it is counted and dropped."""


class Every(NamedTuple):
    """Packets that are sent unasked: every so many seconds, ``packets(view, switch)``, pure."""

    seconds: float
    packets: Callable[[View, int], Iterable[PacketOut]]
