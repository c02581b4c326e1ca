# SPDX-License-Identifier: Apache-2.0

"""Asks the configured resolvers what apps cannot answer themselves (RFC 1035, 7).

Each question goes out from a port and under an id of its own, so that nobody can guess an answer
(RFC 5452), and only the answer to that very question is taken.
"""

from __future__ import annotations

import logging
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from tenantry.controller import runtime
from tenantry.controller.config import Address
from tenantry.controller.feature.effects import DnsQuery

LOG = logging.getLogger(__name__)

T = TypeVar("T")

SECONDS = 2.0
"""How long each resolver is given."""

MOST, MOST_OF_A_PORT = 1000, 50
"""Questions under way, in all and on behalf of one port; more are dropped, and asked again."""

_LARGEST = 65535
_TRUNCATED = 0x02  # TC, in the third octet of a message: RFC 1035, 4.1.1


class Resolvers:
    """Those there are; the first that answers is believed."""

    def __init__(self, addresses: Iterable[Address], most: int = MOST) -> None:
        """``most``: questions under way."""
        self.addresses = tuple(addresses)
        self._most = most
        self.asked = self.dropped = self.unanswered = 0
        self._under_way: Counter[int] = Counter()

    def ask(self, ask: DnsQuery[T], port: int, done: Callable[[T], None]) -> None:
        """Ask on behalf of a port (its key), and tell when it is answered. Never waits."""
        if self._under_way[port] >= MOST_OF_A_PORT or self._under_way.total() >= self._most:
            self.dropped += 1
            return
        self._under_way[port] += 1
        runtime.spawn(self._ask, ask, port, done)

    def _ask(self, ask: DnsQuery[T], port: int, done: Callable[[T], None]) -> None:
        try:
            done(ask.then(self.resolve(ask.data)))
        except Exception:
            LOG.exception("an answer to port %d was lost", port)
        finally:
            self._under_way[port] -= 1
            if not self._under_way[port]:
                del self._under_way[port]

    def resolve(self, query: bytes, *, stream: bool = False) -> bytes | None:
        """The answer to a DNS message, under the message's own id; None if nobody answers. Waits.
        With ``stream``, an answer that was cut off is asked for again by TCP."""
        self.asked += 1
        for address in self.addresses:
            id = secrets.token_bytes(2)
            question = id + query[2:]
            try:
                answer = _by_udp(address, question)
                if answer and stream and answer[2] & _TRUNCATED:
                    answer = _by_tcp(address, question)
            except OSError as error:
                LOG.info("resolver %s: %s", address, error)
                continue
            if answer:
                return query[:2] + answer[2:]
        self.unanswered += 1
        return None


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET


def _by_udp(address: Address, question: bytes) -> bytes | None:
    with socket.socket(_family(address), socket.SOCK_DGRAM) as asking:
        asking.connect(tuple(address))  # takes datagrams of this resolver only
        asking.send(question)
        end = time.monotonic() + SECONDS
        while (left := end - time.monotonic()) > 0:
            asking.settimeout(left)
            answer = asking.recv(_LARGEST)
            if _answers(answer, question):
                return answer
    return None


def _by_tcp(address: Address, question: bytes) -> bytes | None:
    with socket.create_connection((address.host, address.port), timeout=SECONDS) as asking:
        asking.sendall(len(question).to_bytes(2, "big") + question)
        answer = read_framed(asking)
    return answer if answer and _answers(answer, question) else None


def read_framed(stream: socket.socket) -> bytes | None:
    """A DNS message by its length (RFC 7766, 8); None if the stream ends first. Errors: OSError."""
    length = _read(stream, 2)
    return _read(stream, int.from_bytes(length, "big")) if length else None


def _read(stream: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            return None
        data += more
    return data


def _answers(answer: bytes, question: bytes) -> bool:
    """The same id and the same question, and it is an answer: RFC 5452, 9.1."""
    if len(answer) < 12 or answer[:2] != question[:2] or not answer[2] & 0x80:
        return False
    end = _question_end(question)
    # A server that cannot read the question may leave it out.
    return answer[4:6] == b"\0\0" or answer[12:end].lower() == question[12:end].lower()


def _question_end(message: bytes) -> int:
    at = 12
    while at < len(message) and message[at]:
        at += message[at] + 1
    return at + 5
