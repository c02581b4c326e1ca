# SPDX-License-Identifier: Apache-2.0

"""Who is asked for MAC addresses, how often, and what becomes of what waits. The clock is ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tenantry.controller.feature.effects import (
    Neighbour,
    Neighbourhood,
    NeighbourReply,
    PacketOut,
    ResolveNeighbour,
)
from tenantry.controller.model import Change, Model
from tenantry.controller.service.neighbours import (
    ATTEMPTS,
    IDLE_SECONDS,
    MOST_WAITING,
    REACHABLE_SECONDS,
    RETRANSMIT_SECONDS,
    Neighbours,
)

SOMEBODY, OTHER = Neighbour("network", 4, 1), Neighbour("network", 4, 2)
MAC = 0x020000000001


class Street:
    """Neighbours with a clock that stands still, and what they say and learn."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wanted: set[Neighbour] = set()
        self.asked: list[bytes] = []
        self.learned: list[Change] = []
        self.sent: list[bytes] = []
        hood = Neighbourhood(lambda view: self.wanted, lambda view, who: self._questions(who))
        self.them = Neighbours(
            Model(), [hood], self.learned.extend, self._send, clock=lambda: self.now
        )

    def _questions(self, who: Neighbour) -> Iterator[tuple[int, PacketOut]]:
        yield 1, PacketOut(b"who has %d" % who.address, ())

    def _send(self, switch: int, packet: PacketOut) -> None:
        self.asked.append(packet.data)

    def seek(self, who: Neighbour = SOMEBODY, name: bytes = b"packet") -> None:
        def then(mac: int | None) -> Iterator[PacketOut]:
            yield PacketOut(name + (b" on" if mac else b" lost"), ())

        self.them.seek(ResolveNeighbour(who, then), lambda packet: self.sent.append(packet.data))

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds / RETRANSMIT_SECONDS)):
            self.now += RETRANSMIT_SECONDS
            self.them.tick()


@pytest.fixture
def street() -> Street:
    return Street()


def test_what_waits_goes_on_when_there_is_an_answer(street: Street) -> None:
    street.seek(name=b"one")
    street.seek(name=b"two")
    assert (street.asked, street.sent) == ([b"who has 1"], [])
    street.them.heard(NeighbourReply(SOMEBODY, MAC))
    assert street.sent == [b"one on", b"two on"]
    assert [change.record.mac for change in street.learned] == [MAC]  # type: ignore[union-attr]
    street.seek(name=b"three")
    assert street.sent[-1] == b"three on"
    assert len(street.asked) == 1


def test_who_does_not_answer_is_asked_three_times(street: Street) -> None:
    street.seek()
    street.wait(ATTEMPTS - 1)
    assert len(street.asked) == ATTEMPTS
    assert street.sent == []
    street.wait(1)
    assert street.sent == [b"packet lost"]
    assert street.learned == []
    street.seek()
    assert len(street.asked) == ATTEMPTS + 1, "the next packet tries again"


def test_only_who_was_asked_is_believed(street: Street) -> None:
    street.them.heard(NeighbourReply(OTHER, MAC))
    assert street.learned == []


def test_an_answer_is_asked_for_again_before_it_is_old(street: Street) -> None:
    street.seek()
    street.them.heard(NeighbourReply(SOMEBODY, MAC))
    street.wait(REACHABLE_SECONDS + 1)
    assert len(street.asked) == 2
    street.them.heard(NeighbourReply(SOMEBODY, MAC + 1))
    assert [change.record.mac for change in street.learned] == [MAC, MAC + 1]  # type: ignore[union-attr]
    street.wait(REACHABLE_SECONDS + ATTEMPTS + 2)
    assert street.learned[-1].record is None, "nobody answers any more"


def test_who_is_wanted_is_known_before_packets_come(street: Street) -> None:
    street.wanted = {SOMEBODY}
    street.them.look()
    assert street.asked == [b"who has 1"]
    assert street.them.missing()
    street.them.heard(NeighbourReply(SOMEBODY, MAC))
    assert not street.them.missing()


def test_who_nobody_seeks_is_forgotten_and_who_is_wanted_is_not(street: Street) -> None:
    street.wanted = {SOMEBODY}
    for who in (SOMEBODY, OTHER):
        street.seek(who)
        street.them.heard(NeighbourReply(who, MAC))
    end = street.now + IDLE_SECONDS + 2 * REACHABLE_SECONDS
    while street.now < end:
        street.wait(1)
        for who in (SOMEBODY, OTHER):
            if b"who has %d" % who.address in street.asked:
                street.them.heard(NeighbourReply(who, MAC))
        street.asked.clear()
    gone = {change.id for change in street.learned if change.record is None}
    assert gone == {tuple(OTHER)}


def test_few_packets_wait(street: Street) -> None:
    for _ in range(MOST_WAITING + 5):
        street.seek()
    assert street.them.dropped == 5


def test_questions_from_before_do_not_count_for_who_waits(street: Street) -> None:
    """A next hop is asked as soon as a router has it, perhaps before any wire is there."""
    street.wanted.add(SOMEBODY)
    street.them.look()
    street.wait(ATTEMPTS - 1)
    assert len(street.asked) == ATTEMPTS
    street.seek()
    assert len(street.asked) == ATTEMPTS + 1
    street.wait(ATTEMPTS - 1)
    assert street.sent == []
    street.them.heard(NeighbourReply(SOMEBODY, MAC))
    assert street.sent == [b"packet on"]
