# SPDX-License-Identifier: Apache-2.0

"""What is announced is the way from what hosts were told to what holds, however many changes and
passes lie between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tenantry.controller import runtime
from tenantry.controller.feature.effects import PacketOut, to_port
from tenantry.controller.model import Change, FixedIp, Model, Network, Port, View
from tenantry.controller.service.announcements import AGAIN_SECONDS, Announcements
from tenantry.controller.service.follower import Passed
from tenantry.controller.service.progress import Progress

SWITCH = 1
NETWORK = Network("net", 1, "project", "", True, 1500, "local", None, None)
ADDRESS = FixedIp("v4", 4, 0x0A000001)
PORT = Port(*("p", 7, "net", "project", "", 0xA), (ADDRESS,), *(True, True, "", ""))


def mac(view: View) -> bytes:
    port = view.get(Port, "p")
    return b"%x" % port.mac if port else b"-"


def announce(was: View, now: View, change: Change) -> Iterator[tuple[int, PacketOut]]:
    """A port's MAC address: of what, and to what; the record as the change has it, too."""
    if change.type is Port and mac(was) != mac(now):
        own = b"%x" % change.record.mac if isinstance(change.record, Port) else b"-"
        yield SWITCH, to_port(1, 7, b">".join((mac(was), mac(now), own)))


class Spoken:
    """Announcements whose clock stands still, and what they have sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.model = Model()
        self.model.apply([Change(Network, "net", NETWORK), Change(Port, "p", PORT)])
        progress = Progress(self.model)
        self._sent: list[bytes] = []
        self._later: list[tuple[object, ...]] = []
        monkeypatch.setattr(progress, "send", lambda _, packet: self._sent.append(packet.data))
        monkeypatch.setattr(runtime, "spawn_after", lambda _, *call: self._later.append(call))
        self.of = Announcements(self.model, progress, [announce])

    def change(self, port: Port | None) -> Passed:
        before = {(Port, "p"): self.model.get(Port, "p")}
        change = Change(Port, "p", port)
        self.model.apply([change])
        self.generation = getattr(self, "generation", 0) + 1
        return Passed([change], [change], before, self.generation)

    def said(self) -> list[bytes]:
        """By all that is due until everything has been said."""
        for function, *arguments in self._later:
            function(*arguments)  # type: ignore[operator]
        said, self._sent, self._later = self._sent, [], []
        return said


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Spoken:
    return Spoken(monkeypatch)


def test_nothing_before_the_switch_has_confirmed(spoken: Spoken) -> None:
    spoken.of.passed(spoken.change(replace(PORT, mac=0xB)))
    assert spoken.said() == []
    spoken.of.confirmed(SWITCH, 1)
    assert spoken.said() == [b"a>b>b"] * len(AGAIN_SECONDS)


def test_what_was_changed_once_more_is_told_from_where_it_began(spoken: Spoken) -> None:
    """The second change is in the model when the first is confirmed; what hosts know is older than
    both, and the second alone would say nothing of that."""
    spoken.of.passed(spoken.change(replace(PORT, mac=0xB)))
    second = spoken.change(replace(PORT, mac=0xC))
    spoken.of.confirmed(SWITCH, 1)
    assert set(spoken.said()) == {b"a>c>c"}
    spoken.of.passed(second)
    spoken.of.confirmed(SWITCH, 2)
    assert set(spoken.said()) == {b"b>c>c"}


def test_what_is_gone_or_as_it_was(spoken: Spoken) -> None:
    spoken.of.passed(spoken.change(replace(PORT, mac=0xB)))
    gone = spoken.change(None)
    spoken.of.confirmed(SWITCH, 1)
    assert set(spoken.said()) == {b"a>->-"}
    spoken.of.passed(gone)
    spoken.change(PORT)
    spoken.of.confirmed(SWITCH, 2)
    assert set(spoken.said()) == {b"b>a>a"}
