# SPDX-License-Identifier: Apache-2.0

"""Captures: what becomes of packets between a switch and whoever asked for them.

A capture is an observed record of the model for as long as somebody reads, so that its flows follow
from it as any others do. It ends with the connection, with its time or size, or with the
controller. What is not read in time is dropped and counted: never more than QUEUED octets wait.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tenantry.apps.tap import pcapng
from tenantry.apps.tap.records import IN, Capture
from tenantry.controller import runtime
from tenantry.controller.feature.effects import Origin
from tenantry.controller.feature.routes import Running, UnitName
from tenantry.controller.model import Change, Port

QUEUED = 1 << 20

LOOK_SECONDS = 1.0
"""How long it may take to notice that a reader is gone."""

KEYS = range(1, 1 << 16)


class Captured(NamedTuple):
    """An effect: a packet, for the capture of a key."""

    key: int
    direction: str
    data: bytes


class Limits(NamedTuple):
    """What a capture may come to; a ``snaplen`` of 0 is the whole packet."""

    seconds: float
    packets: int | None
    octets: int
    snaplen: int = 0


class _Reading:
    """A capture that somebody reads."""

    def __init__(self, running: Running, record: Capture, limits: Limits) -> None:
        self.record, self.limits, self.running = record, limits, running
        self.began = time.time()
        self.ends = time.monotonic() + limits.seconds
        self.taken = self.octets = self.dropped = 0
        self.why = ""  # it has ended; the switch copies no more
        self.woken = runtime.Signal()
        self._waiting: deque[bytes] = deque()
        self._octets_waiting = 0

    def take(self, packet: Captured) -> None:
        if self.why:
            return
        if time.monotonic() >= self.ends:  # also where the reader does not take what there is
            self.end("its time is over")
            return
        direction = pcapng.INBOUND if packet.direction == IN else pcapng.OUTBOUND
        block = pcapng.packet(time.time(), packet.data, direction, self.limits.snaplen)
        if self._octets_waiting + len(block) > QUEUED:
            self.dropped += 1
            return
        self._waiting.append(block)
        self._octets_waiting += len(block)
        self.taken += 1
        self.octets += len(block)
        if self.taken == self.limits.packets:
            self.end("all packets that were asked for are here")
        elif self.octets >= self.limits.octets:
            self.end("it is as large as one may be ([tap] capture_octets)")
        self.woken.set()

    def given(self) -> bytes:
        """What waits, for the reader."""
        blocks = b"".join(self._waiting)
        self._waiting.clear()
        self._octets_waiting = 0
        return blocks

    def end(self, why: str) -> None:
        """Ask the switch for no more."""
        if not self.why:
            self.why = why
            self.running.learn(Change(Capture, self.record.id, None))
            self.woken.set()

    def shown(self) -> dict[str, Any]:
        return {
            "port_id": self.record.port_id,
            "seconds": round(time.time() - self.began, 3),
            "packets": self.taken,
            "octets": self.octets,
            "dropped": self.dropped,
        }


class Captures:
    """All that are read now, by key. ``most``: how many there may be."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[int, _Reading] = {}
        self._keys = itertools.cycle(KEYS)

    def full(self) -> bool:
        return len(self._open) >= self.most

    def take(self, packet: Captured, origin: Origin) -> None:
        """A packet has come. Never waits."""
        reading = self._open.get(packet.key)
        if reading is not None:
            reading.take(packet)

    def shown(self, sees: Callable[[str, str], bool]) -> list[dict[str, Any]]:
        readings = self._open.values()
        return [one.shown() for one in readings if sees("port", one.record.port_id)]

    def read(
        self,
        running: Running,
        gone: Callable[[], bool],
        wanted: Callable[[int], Capture],
        limits: Limits,
    ) -> Iterator[bytes]:
        """The capture that ``wanted`` makes of a key, as pcapng, for as long as somebody reads."""
        key = next(key for key in self._keys if key not in self._open)
        reading = _Reading(running, wanted(key), limits)
        self._open[key] = reading
        running.learn(Change(Capture, reading.record.id, reading.record))
        try:
            yield pcapng.head(reading.record.port_id, limits.snaplen)
            while not reading.why:
                left = reading.ends - time.monotonic()
                if left <= 0:
                    # Before its meter goes: how many packets were beyond the rate.
                    reading.dropped += _beyond_rate(running, reading.record)
                    reading.end("its time is over")
                elif not reading.woken.wait(min(left, LOOK_SECONDS)):
                    if gone():
                        return
                    if running.view.get(Port, reading.record.port_id) is None:
                        reading.end("the port is gone")
                if blocks := reading.given():
                    yield blocks
            yield reading.given() + pcapng.statistics(
                time.time(), reading.taken + reading.dropped, reading.dropped, reading.why
            )
        finally:
            reading.end("nobody reads it")
            del self._open[key]


def _beyond_rate(running: Running, capture: Capture) -> int:
    counts = running.counts([UnitName("tap", "capture", capture.id)])
    return sum(meter.dropped_packets for meter in counts.meters)
