# SPDX-License-Identifier: Apache-2.0

"""Listening: who connects, how many at a time, and what is said of those who only make trouble.

All listeners of the process are :class:`Listener`: OpenFlow's, OVSDB's, the API's, and those of the
service port. Each serves one kind of client (:class:`Clients`), which has a share of what there is.

The kernel's queue is first come, first served: behind somebody who connects thousands of times a
second, everybody waits in it. So whoever connects is accepted at once. Until its first words are
here and it is its turn, it is a newcomer, which costs microseconds, a descriptor, and no greenlet.
"""

from __future__ import annotations

import errno
import logging
import select
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import (
    STRANGER_OCTETS,
    STRANGER_SECONDS,
    Account,
    Reader,
    Turns,
    Unwelcome,
)

LOG = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10
"""How long a TLS handshake may take; others connect meanwhile."""

BACKLOG = 4096
"""Connections that the kernel keeps until we accept them; net.core.somaxconn may say fewer."""

STRANGERS = 1000
"""At a time, of one kind, of those who have not said who they are."""

CROWD = 16
"""Newcomers that have a greenlet, and wait for their first turn. While more are connected, who has
hung up before is not answered: it may be one of a flood."""

AT_ONCE = 64
"""Connections, before others are let work."""

PATIENCE_SECONDS = 0.25
"""Before somebody who is waited for may have to give way, if it has no crowd with it."""

PAUSE_SECONDS = 0.1
"""Until we try again where the system has nothing left for another connection."""

TOLD_SECONDS = 60.0
TOLD_AT_ONCE = 8
"""So many lines in so many seconds; one more line says how many there were besides."""

FirstWords = Callable[[bytes], bytes | None]
"""Given all that a newcomer has said so far: b"" if it is to be served, None if more must come
before, else what it is answered before it is hung up on."""

_OF_ONE = {errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO, errno.ETIMEDOUT}
"""What accepting says of a connection that is over already. All else is of ours (accept(2))."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Errors: OSError if the address is taken or not ours.

    What it accepts sends at once (RFC 1122, 4.2.3.4: Nagle's algorithm off): an answer of several
    pieces would wait 40 ms for the client's delayed acknowledgment.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening: socket.socket = runtime.listen((host, port), family, backlog=BACKLOG)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited: tcp(7)
    return listening


class Complaints:
    """What happens a thousand times a minute is not logged a thousand times."""

    def __init__(self, kind: str) -> None:
        """``kind``: what lines begin with."""
        self._kind = kind
        self._told: set[str] = set()
        self._more = 0

    def tell(self, who: str, what: object, *, traced: bool = False) -> None:
        """A line, if it is not one of many; with the traceback of the error being handled."""
        line = f"{self._kind} {who}: {what}"
        if not self._told:
            runtime.spawn_after(TOLD_SECONDS, self.sum_up)
        if line in self._told or len(self._told) >= TOLD_AT_ONCE:
            self._more += 1
        else:
            self._told.add(line)
            LOG.warning("%s", line, exc_info=traced)

    def sum_up(self) -> None:
        """Say how many more there were, and begin anew."""
        if self._more:
            LOG.warning("%s: %d more like these in the last minute", self._kind, self._more)
        self._told.clear()
        self._more = 0


class Clients:
    """One kind of client, by whatever listeners they come: how many may be here at a time."""

    def __init__(
        self,
        kind: str,
        most: int,
        *,
        most_of_one: int | None = None,
        one: Callable[[str], Hashable] = str,
        part: float = 0.25,
    ) -> None:
        """``kind`` is what the log calls them. ``one`` tells from an address whose connection it
        is. While they are strangers, all together take ``part`` of the process's time."""
        self.most = most
        self.turns = Turns(part)
        self.complaints = Complaints(kind)
        self.silent: dict[int, Reader] = {}
        """Newcomers whose first words are not here yet, by descriptor; who came first is first."""
        self._most_of_one = most_of_one
        self._one = one
        self._here: dict[Reader, Hashable] = {}
        self._of_one: Counter[Hashable] = Counter()
        self._accounts: dict[Hashable, Account] = {}  # kept: who comes again is no newcomer
        self._waiting: dict[Hashable, deque[tuple[Reader, Callable[[Reader], None]]]] = {}
        self._starting = 0
        self._room = 0  # for so many more, at least
        self._left = runtime.Signal()

    def __len__(self) -> int:
        return len(self._here)

    @property
    def are_many(self) -> bool:
        """Whether so many are here that who has been served had better leave."""
        return len(self) > min(self.most, STRANGERS) // 2

    def enter(self, reader: Reader) -> bool:
        """Let somebody in, unless its owner has as many connections as one may have.
        :meth:`leave` follows."""
        one = self._one(reader.address)
        if self._most_of_one is not None:
            if self._of_one[one] >= self._most_of_one:
                return False
            reader.account = self._accounts.setdefault(one, reader.account)
        self._here[reader] = one
        self._of_one[one] += 1
        self._room -= 1
        return True

    def leave(self, reader: Reader) -> None:
        one = self._here.pop(reader)
        self._of_one[one] -= 1
        if not self._of_one[one]:
            del self._of_one[one]
        self.silent.pop(reader.stream.fileno(), None)
        with suppress(OSError):
            reader.stream.close()
        self._left.set()

    def start(self, reader: Reader, serve: Callable[[Reader], None]) -> None:
        """Serve a newcomer in a greenlet; :meth:`take_first_turn` follows."""
        reader.waiting_since = None
        self._waiting.setdefault(self._here[reader], deque()).append((reader, serve))
        self._start_some()

    def take_first_turn(self, reader: Reader) -> None:
        try:
            reader.take_turn()
        finally:
            self._starting -= 1
            self._start_some()

    def _start_some(self) -> None:
        """One of each owner's, again and again: who has thousands keeps nobody else waiting."""
        while self._waiting and self._starting < CROWD:
            one = next(iter(self._waiting))
            line = self._waiting.pop(one)
            reader, serve = line.popleft()
            if line:
                self._waiting[one] = line
            if reader not in self._here:
                continue
            if len(self._here) > CROWD and reader.hung_up:
                self.leave(reader)
                continue
            self._starting += 1
            reader.stream = runtime.green(reader.stream)
            reader.greenlet = runtime.spawn(serve, reader)

    def hang_up_on_the_silent(self) -> float | None:
        """Those that have been for too long; in how many seconds the next one will have been."""
        now = time.monotonic()
        while self.silent:
            first = next(iter(self.silent.values()))
            left = (first.waiting_since or 0.0) + STRANGER_SECONDS - now
            if left > 0:
                return left
            self.complaints.tell(first.address, "nothing whole was said in time")
            self.leave(first)
        return None

    def make_room(self) -> None:
        """Wait until one more may be here."""
        while self._room <= 0:
            strangers = sum(not reader.is_named for reader in self._here)
            self._room = min(self.most - len(self._here), STRANGERS - strangers)
            if self._room <= 0:
                if not self._some_give_way():
                    self.complaints.tell("anybody", f"must wait: {len(self._here)} are connected")
                self._left.wait(PAUSE_SECONDS)
                runtime.pause()  # others leave with it

    def _some_give_way(self) -> bool:
        """Of whoever has the most, those that have been waited for the longest; and if it has many,
        those that wait for a turn. Several at once, as it takes a while to find them."""
        now = time.monotonic()
        groups: dict[Hashable, list[Reader]] = {}
        for reader, one in self._here.items():
            since = reader.waiting_since or now
            many = self._of_one[one] > CROWD and (reader.greenlet is None or reader.waiting_since)
            if many or since < now - PATIENCE_SECONDS:
                groups.setdefault(one, []).append(reader)
        if not groups:
            return False
        group = groups[max(groups, key=self._of_one.__getitem__)]
        group.sort(key=lambda reader: reader.waiting_since or now)
        for reader in group[: 1 + len(group) // 20]:
            self.complaints.tell(reader.address, "makes room for others")
            reader.waiting_since = None
            reader.close()
            if reader.greenlet is None:
                self.leave(reader)
        return True

    def close(self) -> None:
        for reader in list(self._here):
            reader.close()
            if reader.greenlet is None:
                self.leave(reader)


class Listener:
    """Accepts connections for as long as the process lives, and serves each in a greenlet."""

    def __init__(
        self,
        listening: socket.socket,
        clients: Clients,
        serve: Callable[[Reader], None],
        tls: Callable[[], ssl.SSLContext] | None = None,
        first_words: FirstWords | None = None,
    ) -> None:
        """``serve`` may end by OSError or Unwelcome, which is told, or by any other error of who
        has not said who it is. Without ``first_words`` and TLS, it may be us who speaks first.
        ``tls`` is asked at each connection."""
        self._listening = listening
        self._clients = clients
        self._serve = serve
        self._tls = tls
        self._first_words = first_words
        self._poll = runtime.epoll()
        self._poll.register(listening.fileno(), select.EPOLLIN)
        self._running = runtime.spawn(self._run)

    def close(self) -> None:
        # Killed first: whoever waits on a number that the system gives to another file would
        # wake for that one.
        self._running.kill()
        self._poll.close()
        self._listening.close()
        self._clients.close()

    def _run(self) -> None:
        while True:
            try:
                runtime.wait_readable(self._poll, self._clients.hang_up_on_the_silent())
                began = time.monotonic()
                for number, _ in self._poll.poll(0, AT_ONCE):
                    if number == self._listening.fileno():
                        self._accept()
                    elif number in self._clients.silent:
                        self._listen_to(self._clients.silent[number])
                self._clients.turns.rest(time.monotonic() - began)
            except Exception as error:
                if getattr(error, "errno", None) not in _OF_ONE:
                    self._clients.complaints.tell("anybody", f"cannot be accepted: {error}")
                    runtime.sleep(PAUSE_SECONDS)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            self._clients.make_room()
            try:
                stream, address = runtime.accept(self._listening)
            except BlockingIOError:
                return
            reader = Reader(stream, address[:2], self._clients.turns)
            reader.waiting_since = time.monotonic()
            if not self._clients.enter(reader):
                stream.close()
            elif self._first_words is None and self._tls is None:
                self._clients.start(reader, self._take)
            else:
                self._clients.silent[stream.fileno()] = reader
                self._poll.register(stream.fileno(), select.EPOLLIN)

    def _listen_to(self, reader: Reader) -> None:
        """To a newcomer, of whom something has come, or the end."""
        if self._first_words is not None:
            try:
                said = reader.stream.recv(STRANGER_OCTETS, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                said = b""
            reader.said += said
            answer = self._first_words(reader.said) if said else b""
            if answer is None and len(reader.said) < STRANGER_OCTETS:
                return
            if answer:
                self._clients.complaints.tell(reader.address, "sends what cannot be read")
                with suppress(OSError):
                    reader.stream.send(answer, socket.MSG_DONTWAIT)
            if answer or not reader.said:
                self._clients.leave(reader)
                return
        self._poll.unregister(reader.stream.fileno())
        del self._clients.silent[reader.stream.fileno()]
        self._clients.start(reader, self._take)

    def _take(self, reader: Reader) -> None:
        complaints = self._clients.complaints
        reader.waiting_since = time.monotonic()
        try:
            self._clients.take_first_turn(reader)
            if self._tls is not None:
                with runtime.Timeout(HANDSHAKE_SECONDS, TimeoutError("no TLS handshake in time")):
                    # Ours before it has shaken hands: who fails in that is hung up on, too.
                    reader.stream = self._tls().wrap_socket(
                        reader.stream, server_side=True, do_handshake_on_connect=False
                    )
                    reader.stream.do_handshake()
                reader.common_name = _common_name(reader.stream.getpeercert() or {})
            reader.expect(STRANGER_OCTETS, STRANGER_SECONDS)
            self._serve(reader)
        except (OSError, Unwelcome, runtime.Timeout) as error:
            complaints.tell(reader.address, error)
        except Exception as error:
            # Of a stranger it is what came; of anybody else it may be a mistake of ours.
            what = f"sends what cannot be read ({type(error).__name__})"
            complaints.tell(reader.address, what, traced=reader.is_named)
        finally:
            reader.settle()
            reader.close()
            self._clients.leave(reader)


def _common_name(certificate: Any) -> str:
    for names in certificate.get("subject", ()):
        for kind, value in names:
            if kind == "commonName":
                return str(value)
    return ""
