# SPDX-License-Identifier: Apache-2.0

"""Neighbours that the model does not know: asks for their MAC addresses, and keeps the answers.

What waits for an answer is queued, and goes on as soon as there is one. An answer becomes a record
of the model, from which features compile flows; it is asked again before it is old, so that nobody
waits, and goes when nobody answers any more. Only who was asked is believed (RFC 826 and RFC 4861
know no better protection). How to ask is the features' own (Neighbourhood); all times are here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tenantry.controller import runtime
from tenantry.controller.feature.effects import (
    Neighbour,
    Neighbourhood,
    NeighbourReply,
    PacketOut,
    ResolveNeighbour,
)
from tenantry.controller.model import Change, Model, View
from tenantry.controller.network.records import Neighbour as Record

LOG = logging.getLogger(__name__)

RETRANSMIT_SECONDS = 1.0
ATTEMPTS = 3
"""Those of RFC 4861, 10 (RETRANS_TIMER, MAX_UNICAST_SOLICIT)."""
REACHABLE_SECONDS = 20.0
"""How old an answer gets before it is asked for again: RFC 4861 has 15 to 45."""
IDLE_SECONDS = 900.0
"""How long one is kept that nobody sought. Flows do not tell; the next packet asks anew."""
WANTED_SECONDS = 5.0
"""How often features are asked whom they need."""
MOST, MOST_WAITING = 4096, 32
"""Neighbours that are known or sought; packets that wait for one."""

Send = Callable[[PacketOut], None]


@dataclass
class _Entry:
    sought: float
    mac: int | None = None
    confirmed: float = 0.0
    asked: float = 0.0
    attempts: int = 0
    wanted: bool = False
    waiting: list[tuple[ResolveNeighbour, Send]] = field(default_factory=list)


class Neighbours:
    """Those of all networks."""

    def __init__(
        self,
        model: Model,
        neighbourhoods: Iterable[Neighbourhood],
        learn: Callable[[list[Change]], None],
        send: Callable[[int, PacketOut], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``learn`` is given the records; ``send`` sends by a switch."""
        self.dropped = 0
        self._model = model
        self._neighbourhoods = tuple(neighbourhoods)
        self._learn = learn
        self._send = send
        self._clock = clock
        self._entries: dict[Neighbour, _Entry] = {}
        self._looked = -WANTED_SECONDS

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            runtime.sleep(RETRANSMIT_SECONDS / 2)
            try:
                self.tick()
            except Exception:
                LOG.exception("looking after neighbours failed")

    def seek(self, seek: ResolveNeighbour, send: Send) -> None:
        """Have what waits for a neighbour sent when it is known. Never waits itself."""
        now = self._clock()
        entry = self._entry(seek.neighbour, now)
        if entry is None or len(entry.waiting) >= MOST_WAITING:
            self.dropped += 1
            return
        entry.sought = now
        if entry.mac is not None:
            self._go_on(seek, entry.mac, send)
            return
        if not entry.waiting:
            entry.attempts = (
                0  # who waits is not told so for questions from before, perhaps too early
            )
        entry.waiting.append((seek, send))
        if not entry.attempts:
            self._ask(seek.neighbour, entry, now)

    def heard(self, heard: NeighbourReply) -> None:
        """Take an answer from somebody who was asked."""
        entry = self._entries.get(heard.neighbour)
        if entry is None:
            return
        entry.confirmed, entry.attempts = self._clock(), 0
        if entry.mac != heard.mac:
            entry.mac = heard.mac
            network_id, version, address = heard.neighbour
            id = (network_id, version, address)
            record = Record(id, network_id, version, address, heard.mac)
            self._learn([Change(Record, id, record)])
        self._release(entry, heard.mac)

    def tick(self) -> None:
        """Ask again, and give up: what time brings about."""
        now = self._clock()
        if now - self._looked >= WANTED_SECONDS:
            self._looked = now
            self.look(now)
        for neighbour, entry in list(self._entries.items()):
            old = entry.mac is not None and now - entry.confirmed > REACHABLE_SECONDS
            if entry.mac is not None and not old:
                continue
            if (old and not entry.wanted and now - entry.sought > IDLE_SECONDS) or (
                entry.attempts >= ATTEMPTS and now - entry.asked >= RETRANSMIT_SECONDS
            ):
                self._forget(neighbour, entry)
            elif not entry.attempts or now - entry.asked >= RETRANSMIT_SECONDS:
                self._ask(neighbour, entry, now)

    def look(self, now: float | None = None) -> None:
        """See whom features need by now, and ask for those who are new."""
        view = View(self._model)
        wanted = {n for hood in self._neighbourhoods for n in hood.wanted(view)}
        at = self._clock() if now is None else now
        for neighbour in wanted:
            self._entry(neighbour, at)
        for neighbour, entry in list(self._entries.items()):
            entry.wanted = neighbour in wanted
            if entry.wanted and entry.mac is None and not entry.attempts:
                self._ask(neighbour, entry, at)

    def missing(self) -> bool:
        """Whether one that a feature needs was asked, and may yet answer."""
        return any(entry.mac is None and entry.wanted for entry in self._entries.values())

    def _entry(self, neighbour: Neighbour, now: float) -> _Entry | None:
        entry = self._entries.get(neighbour)
        if entry is None and len(self._entries) < MOST:
            entry = self._entries[neighbour] = _Entry(sought=now)
        return entry

    def _ask(self, neighbour: Neighbour, entry: _Entry, now: float) -> None:
        entry.attempts += 1
        entry.asked = now
        view = View(self._model)
        for hood in self._neighbourhoods:
            for switch, packet in hood.questions(view, neighbour):
                self._send(switch, packet)

    def _forget(self, neighbour: Neighbour, entry: _Entry) -> None:
        del self._entries[neighbour]
        if entry.mac is not None:
            self._learn([Change(Record, tuple(neighbour), None)])
        self._release(entry, None)

    def _release(self, entry: _Entry, mac: int | None) -> None:
        waiting, entry.waiting = entry.waiting, []
        for seek, send in waiting:
            self._go_on(seek, mac, send)

    @staticmethod
    def _go_on(seek: ResolveNeighbour, mac: int | None, send: Send) -> None:
        for packet in seek.then(mac):
            send(packet)
