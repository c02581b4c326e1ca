"""Packets as values: what an app gets when its flows send one to the controller, and what it sends.

Handlers are pure functions like everything in an app: bytes and a view in, packets and learned
records out. Which packets get here, and how many, is for ``switch/packets.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

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


Handler: TypeAlias = Callable[[View, PacketIn], Iterable[PacketOut | Change]]
"""What an app does with a packet: answers it, learns from it, or neither."""
