# SPDX-License-Identifier: Apache-2.0

"""Reading from anybody: time is shared fairly, and what is sent is bounded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import Account, Reader, TooMuch, Turns


@pytest.fixture
def ends() -> Iterator[tuple[Any, Any]]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Busy:
    """Takes turns for as long as it lives."""

    def __init__(self, turns: Turns, seconds: float, account: Account | None = None) -> None:
        self.account, self.turns, self.had = account or Account(), turns, 0
        self._seconds = seconds
        self._greenlet = runtime.spawn(self._run)

    def _run(self) -> None:
        while True:
            self.turns.take(self.account)
            work(self._seconds)
            self.turns.settle(self.account, self._seconds)
            self.had += 1

    def end(self) -> None:
        self._greenlet.kill()


@pytest.fixture
def busy() -> Iterator[Any]:
    made: list[Busy] = []

    def start(turns: Turns, seconds: float, account: Account | None = None) -> Busy:
        made.append(Busy(turns, seconds, account))
        return made[-1]

    yield start
    for one in made:
        one.end()


def test_who_has_had_less_goes_first(busy: Any) -> None:
    turns = Turns(1.0)
    others = [busy(turns, 0.001) for _ in range(50)]
    while min(other.had for other in others) < 3:
        runtime.yield_now()
    had = sum(other.had for other in others)
    turns.take(Account())  # a newcomer
    # Those that were due at that moment, and no whole round of all.
    assert sum(other.had for other in others) - had < 20


def test_turns_are_dealt_by_time_and_not_by_number(busy: Any) -> None:
    turns = Turns(1.0)
    short, long = busy(turns, 0.001), busy(turns, 0.004)
    while short.had < 200:
        runtime.yield_now()
    assert 30 < long.had < 80


def test_many_connections_of_one_are_one(busy: Any) -> None:
    turns, many = Turns(1.0), Account()
    one, others = busy(turns, 0.001), [busy(turns, 0.001, many) for _ in range(16)]
    while one.had < 100:
        runtime.yield_now()
    assert sum(other.had for other in others) < 200


def test_all_together_have_a_part_of_the_time(busy: Any) -> None:
    turns = Turns(0.25)
    some = [busy(turns, 0.001) for _ in range(20)]
    began = time.monotonic()
    while sum(one.had for one in some) < 200:
        runtime.sleep(0.001)
    assert time.monotonic() - began > 0.2 / 0.25 * 0.9


def test_one_that_is_known_and_never_silent_lets_others_work(ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    reader, beats = Reader(ours), 0
    longest = [0.0]

    def beat() -> None:
        before = time.thread_time()
        while True:
            runtime.yield_now()
            longest[0] = max(longest[0], time.thread_time() - before)
            before = time.thread_time()

    def send() -> None:
        while True:
            theirs.sendall(b"x" * 65536)

    beating, sending = runtime.spawn(beat), runtime.spawn(send)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for _ in reader.receive():
            beats += 1
            if beats % 100 == 0:
                work(0.0001)
                reader.rest()
    beating.kill()
    sending.kill()
    assert 0 < longest[0] < 0.05


def test_a_stranger_may_send_so_much_and_no_more(ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    reader = Reader(ours, turns=Turns(1.0))
    reader.expect(1000, 5)
    theirs.sendall(b"x" * 600)
    assert len(reader.receive()) == 600
    theirs.sendall(b"x" * 600)
    with pytest.raises(TooMuch):
        reader.receive()
    reader.named()
    theirs.sendall(b"x" * 60000)
    assert reader.receive()


@pytest.mark.parametrize("trickle", [False, True])
def test_a_stranger_has_so_long_and_no_longer(ends: tuple[Any, Any], trickle: bool) -> None:
    ours, theirs = ends
    reader = Reader(ours, turns=Turns(1.0))
    reader.expect(1 << 20, 0.2)

    def send() -> None:
        while trickle:
            theirs.sendall(b"x")
            runtime.yield_now()

    sending = runtime.spawn(send)
    with pytest.raises(TimeoutError), runtime.Timeout(10):
        while True:
            reader.receive()
    sending.kill()


def test_pieces_by_their_length(ends: tuple[Any, Any]) -> None:
    ours, theirs = ends
    reader = Reader(ours)
    theirs.sendall(b"abcde")
    assert (reader.exactly(2), reader.exactly(1)) == (b"ab", b"c")
    theirs.sendall(b"fg")
    assert reader.exactly(4) == b"defg"
    theirs.sendall(b"h")
    theirs.shutdown(socket.SHUT_WR)
    assert reader.exactly(2) == b""


def test_who_has_hung_up_is_noticed_also_if_there_is_something_to_read() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    theirs = socket.create_connection(listening.getsockname())
    ours, address = listening.accept()
    reader = Reader(ours, address)
    assert not reader.hung_up
    theirs.sendall(b"x")
    theirs.close()
    with runtime.Timeout(5):
        while not reader.hung_up:
            runtime.yield_now()
    assert reader.receive() == b"x"
    listening.close()
    ours.close()
