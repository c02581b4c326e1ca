# SPDX-License-Identifier: Apache-2.0

"""Reading from somebody who may be anybody: with a part of our time, and of our memory.

eventlet changes to another greenlet only where one would have to wait. Who always finds more to
read never does: so every loop that reads from a connection reads through a :class:`Reader`, which
lets others work after a while, however much has come. Who has not said who it is (no features
reply, no name of a host, no whole HTTP request) and guests, who may be hostile, take turns: all of
one kind together get a part of the process's time, however many they are.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import Any

from tenantry.controller import runtime

SLICE_SECONDS = 0.002
"""How long somebody who is known may keep us busy before others are let work."""

STRANGER_OCTETS, STRANGER_SECONDS = 1 << 14, 10.0
"""What somebody may send, and how long it may take, to say who it is."""

_AT_ONCE, _AHEAD = 1 << 16, 1 << 12
_ESTABLISHED = 1  # TCP_ESTABLISHED, linux/tcp_states.h


class Unwelcome(Exception):
    """Whoever is connected is to be hung up on; the message says why."""


class TooMuch(OSError):
    """More was sent than may be. An OSError, as whatever ends a connection."""


class Turns:
    """A part of the process's time, for all who read in turns: one works at a time, until it would
    have to wait. Next is who has had the least of late (start-time fair queueing: P. Goyal et al.,
    SIGCOMM 1996); a newcomer, and who has been silent, need not wait for those who never are."""

    SECONDS = 0.0005
    """How long a turn is, about."""

    _LONGEST = 0.02  # that one turn is charged for: who waited for something meanwhile did not work

    _AT_ONCE = 16  # turns, while they are short
    _AHEAD = 0.01  # seconds of work that who was silent has before those who never are

    def __init__(self, part: float) -> None:
        """``part``: of one processor, e.g. 0.25."""
        self._rest = 1 / part - 1  # seconds of others for each second of work
        self._waiting: list[tuple[float, int, runtime.Signal]] = []
        self._numbers = count()
        self._now = 0.0  # in seconds of work
        self._worked = self._owed = 0.0  # in all; seconds of rest that are still to be taken
        self._dealing = False

    def take(self, account: Account) -> None:
        """Wait for a turn."""
        account.begins = max(self._now - self._AHEAD, account.ends)
        turn = runtime.Signal()
        heappush(self._waiting, (account.begins, next(self._numbers), turn))
        if not self._dealing:
            self._dealing = True
            runtime.spawn(self._deal)
        turn.wait()

    def settle(self, account: Account, seconds: float) -> None:
        """How long the work of a turn has taken."""
        seconds = min(seconds, self._LONGEST)
        account.ends = max(account.ends, account.begins) + seconds
        self._worked += seconds

    def rest(self, seconds: float) -> None:
        """After as much work for all of them, which is no one's turn."""
        runtime.sleep(min(seconds, self._LONGEST) * self._rest)

    def _deal(self) -> None:
        at_once = 1
        while self._waiting:
            worked = self._worked
            due = self._waiting[0][0] + self.SECONDS
            for _ in range(at_once):
                if self._waiting and self._waiting[0][0] <= due:
                    begins, _, turn = heappop(self._waiting)
                    self._now = max(self._now, begins)
                    turn.set()
            runtime.pause()  # now they work
            worked = self._worked - worked
            at_once = 1 if worked > SLICE_SECONDS else min(at_once + 1, self._AT_ONCE)
            self._owed += worked * self._rest
            if self._owed >= self.SECONDS:
                owed, self._owed = self._owed, 0.0
                runtime.sleep(owed)
        self._dealing = False


class Account:
    """What somebody has had of the time that is dealt out, by one connection or by several."""

    def __init__(self) -> None:
        self.begins = self.ends = 0.0


class Reader:
    """A connection, as seen by the one greenlet that reads from it."""

    def __init__(
        self, stream: Any, peer: tuple[str, int] = ("", 0), turns: Turns | None = None
    ) -> None:
        """``stream``: a connected socket, to ``peer``. With ``turns``, it is a stranger's until
        :meth:`named`; without, we have connected to somebody whom we know."""
        self.stream = stream
        self.peer = peer
        self.address = unmapped(peer[0])
        self.common_name = ""
        """The name in its certificate, if it has shown one that we trust."""
        self.account = Account()
        self.greenlet: Any = None
        """That serves it."""
        self.waiting_since: float | None = None
        """Since when we wait for the other side; None while it does not depend on it, or is known.
        Who has been waited for the longest gives way when there are too many."""
        self.said = b""
        """What has come before it was served, and was not asked for yet."""
        self._turns = turns
        self._octets: int | None = None
        self._deadline: float | None = None
        self._ahead = bytearray()  # received, and not asked for yet
        self._began = time.monotonic()  # the work on what was received last
        self._worked = 0.0
        self._in_turn = False

    def expect(self, octets: int | None, seconds: float) -> None:
        """From now on no more than this (None: no matter how much), and no later than then."""
        self._octets, self._deadline = octets, time.monotonic() + seconds

    def named(self) -> None:
        """It has said who it is: it may say as much as it likes, and be silent."""
        self.settle()
        self._turns = self._octets = self._deadline = self.waiting_since = None

    def receive(self, most: int = _AT_ONCE) -> bytes:
        """What has come, or what comes next; b"" at the end. Errors: OSError, of which TimeoutError
        and TooMuch are those who do not keep to what is expected."""
        if before := self.said[:most]:
            self.said = self.said[most:]
            self._octets = self._octets and self._octets - len(before)
            return before
        self._let_others_work()
        data = self._receive(most)
        if self._octets is not None:
            self._octets -= len(data)
            if self._octets < 0:
                raise TooMuch("more than may be sent at once")
        self.take_turn()
        return data

    def exactly(self, size: int) -> bytes:
        """So many octets; b"" if the end comes first. Not to be mixed with :meth:`receive`."""
        while len(self._ahead) < size:
            more = self.receive(_AHEAD)
            if not more:
                return b""
            self._ahead += more
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    def rest(self) -> None:
        """To be called between two pieces of work, however short. Lets others work, in time."""
        if self._turns is None:
            self._let_others_work()
        elif time.monotonic() - self._began >= Turns.SECONDS:
            self.take_turn()

    @property
    def is_named(self) -> bool:
        return self._turns is None

    @property
    def hung_up(self) -> bool:
        """Whether the other side has ended its connection, also if there is something left to read
        (tcp(7), TCP_INFO: the first octet is the state)."""
        with suppress(OSError):
            state = self.stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
            return bool(state[0] != _ESTABLISHED)
        return True

    def close(self) -> None:
        """Hang up: whoever reads or writes is woken. Any number of times."""
        with suppress(OSError, ValueError):
            self.stream.shutdown(socket.SHUT_RDWR)

    def _receive(self, most: int) -> bytes:
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError("nothing whole was said in time")
            try:
                with runtime.Timeout(left, TimeoutError):
                    received: bytes = self.stream.recv(most)
                return received
            except TimeoutError:
                pass  # which may be the socket's own, for sending
            except (ValueError, EOFError):  # of a stream that was closed meanwhile
                return b""

    def settle(self) -> None:
        """The work of this turn is done; what follows is not charged to those who take turns."""
        if self._in_turn and self._turns is not None:
            self._in_turn = False
            self._turns.settle(self.account, time.monotonic() - self._began)

    def _let_others_work(self) -> None:
        if self._turns is not None:
            self.settle()
            return
        now = time.monotonic()
        self._worked += now - self._began
        self._began = now
        if self._worked >= SLICE_SECONDS:
            self._worked = 0.0
            runtime.pause()  # not in line with who has much to do: an echo is to be answered
            self._began = time.monotonic()

    def take_turn(self) -> None:
        """Wait for another turn, if it is one of those who work in turns."""
        self.settle()
        asked = time.monotonic()
        if self._turns is not None:
            waited_for, self.waiting_since = self.waiting_since, None
            self._turns.take(self.account)
            self._in_turn = True
            self.waiting_since = waited_for and time.monotonic()
        self._began = time.monotonic()
        if self._deadline is not None:
            self._deadline += self._began - asked  # it is we who let it wait


def unmapped(address: str) -> str:
    """An IPv4 address as such, where a socket of both families has it as IPv6; without a zone."""
    return address.removeprefix("::ffff:").partition("%")[0]
