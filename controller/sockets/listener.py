"""Listening: who connects, how many at a time, and what is said of those who only make trouble.

All listeners of the process are :class:`Listener`: OpenFlow's, OVSDB's, the API's, and those of the
service port. Each serves one kind of client (:class:`Clients`), which has a share of what there is.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import Account, Reader, Turns, Unwelcome

LOG = logging.getLogger(__name__)

HANDSHAKE_SECONDS = 10
"""How long a TLS handshake may take; others connect meanwhile."""

BACKLOG = 4096
"""Connections that the kernel keeps until we accept them; net.core.somaxconn may say fewer."""

STRANGERS = 1000
"""At a time, at a listener, of those who have not said who they are."""

CROWD = 16
"""While more are here, who has hung up by its turn is not answered: it may be one of a flood."""

PATIENCE_SECONDS = 0.25
"""Before somebody who is waited for may have to give way."""

PAUSE_SECONDS = 0.1
"""Until we try again where the system has nothing left for another connection."""

TOLD_SECONDS = 60.0
TOLD_AT_ONCE = 8
"""So many lines in so many seconds; one more line says how many there were besides."""

_OF_ONE = {errno.ECONNABORTED, errno.ECONNRESET, errno.EPROTO, errno.ETIMEDOUT}
"""What accepting says of a connection that is over already. All else is of ours (accept(2))."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Errors: OSError if the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening: socket.socket = runtime.listen((host, port), family, backlog=BACKLOG)
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
        self._most_of_one = most_of_one
        self._one = one
        self._here: dict[Reader, Hashable] = {}
        self._of_one: Counter[Hashable] = Counter()
        self._accounts: dict[Hashable, Account] = {}  # kept: who comes again is no newcomer
        self._left = runtime.Signal()

    def __len__(self) -> int:
        return len(self._here)

    def enter(self, reader: Reader) -> bool:
        """Let somebody in, unless its owner has as many connections as one may have.
        :meth:`leave` follows."""
        one = self._one(reader.address)
        if self._most_of_one is not None and self._of_one[one] >= self._most_of_one:
            return False
        self._here[reader] = one
        self._of_one[one] += 1
        if self._most_of_one is not None:
            reader.account = self._accounts.setdefault(one, reader.account)
        return True

    def leave(self, reader: Reader) -> None:
        one = self._here.pop(reader)
        self._of_one[one] -= 1
        if not self._of_one[one]:
            del self._of_one[one]
        self._left.set()

    def make_room(self) -> None:
        """Wait until one more may be here. Who is only waited for gives way: of those who have the
        most connections, the one that has been for the longest."""
        while self._full():
            now = time.monotonic()
            idle = [r for r in self._here if now - (r.waiting_since or now) > PATIENCE_SECONDS]
            if idle:
                many = Counter(self._here[reader] for reader in idle)
                first = max(idle, key=lambda r: (many[self._here[r]], -(r.waiting_since or now)))
                self.complaints.tell(first.address, "makes room for others")
                first.waiting_since = None  # if its end takes a while
                first.greenlet.kill()
            else:
                self.complaints.tell("anybody", f"must wait: {len(self._here)} are connected")
                self._left.wait(PAUSE_SECONDS)

    def _full(self) -> bool:
        return len(self._here) >= self.most or (
            len(self._here) >= STRANGERS
            and sum(not reader.is_named for reader in self._here) >= STRANGERS
        )

    def close(self) -> None:
        for reader in list(self._here):
            reader.close()


class Listener:
    """Accepts connections for as long as the process lives, and serves each in a greenlet."""

    def __init__(
        self,
        listening: socket.socket,
        clients: Clients,
        serve: Callable[[Reader], None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """``serve`` may end by OSError or Unwelcome, which is told, or by any other error of who
        has not said who it is."""
        self._listening = listening
        self._clients = clients
        self._serve = serve
        self._tls = tls
        self._accepting = runtime.spawn(self._accept)

    def close(self) -> None:
        # Killed first: whoever waits on a number that the system gives to another file would
        # wake for that one.
        self._accepting.kill()
        self._listening.close()
        self._clients.close()

    def _accept(self) -> None:
        began = time.monotonic()
        while True:
            if time.monotonic() - began > Turns.SECONDS:
                runtime.breathe()
                began = time.monotonic()
            try:
                self._clients.make_room()
                self._accept_one()
            except Exception as error:
                if getattr(error, "errno", None) not in _OF_ONE:
                    self._clients.complaints.tell("anybody", f"cannot be accepted: {error}")
                    runtime.sleep(PAUSE_SECONDS)

    def _accept_one(self) -> None:
        stream, address = self._listening.accept()
        reader = Reader(stream, address[:2], self._clients.turns)
        if self._clients.enter(reader):
            reader.greenlet = runtime.spawn(self._take, reader)
        else:
            stream.close()

    def _take(self, reader: Reader) -> None:
        complaints = self._clients.complaints
        reader.waiting_since = time.monotonic()
        try:
            reader.take_turn()
            if len(self._clients) > CROWD and reader.hung_up:
                return
            if self._tls is not None:
                self._shake_hands(reader, self._tls)
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
            with suppress(OSError):
                reader.stream.close()
            self._clients.leave(reader)

    def _shake_hands(self, reader: Reader, context: ssl.SSLContext) -> None:
        with runtime.Timeout(HANDSHAKE_SECONDS, TimeoutError("no TLS handshake in time")):
            reader.stream.recv(1, socket.MSG_PEEK)
            reader.take_turn()  # what costs is our answer to the first words
            reader.stream = context.wrap_socket(reader.stream, server_side=True)
        reader.common_name = _common_name(reader.stream.getpeercert() or {})


def _common_name(certificate: Any) -> str:
    for names in certificate.get("subject", ()):
        for kind, value in names:
            if kind == "commonName":
                return str(value)
    return ""
