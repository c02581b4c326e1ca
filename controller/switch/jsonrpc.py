# SPDX-License-Identifier: Apache-2.0

"""JSON-RPC as Open vSwitch's daemons speak it: OVSDB servers, and control sockets (RFC 7047, 4).

One :class:`Peer` a connection, whoever made it. Any number of greenlets may call; one reads.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import Reader, TooMuch
from tenantry.controller.switch.channel import Tls

REPLY_SECONDS = 30.0
"""How long an answer may take."""

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 5.0
"""How often a silent peer is asked whether it is there; three unanswered end the connection."""

LOOK_SECONDS = 0.01
"""How often we look whether there is room for another notification."""

PORT = 6640  # IANA's for OVSDB

LARGEST = 64 << 20
"""Octets of a message: what a monitor answers first is all that is in a database."""

LARGEST_WITHOUT_OBJECT = 2 << 20
"""Octets between two braces: the decoder lets others work at each object, and nowhere else."""

WAITING, WAITING_MEANWHILE = 100, 10_000
"""Notifications that wait for who follows them; the peer waits, too, while there are more. While an
answer is awaited, perhaps by who follows them, there may be many before it."""


class Unreachable(OSError):
    """The peer is gone, or never was there."""


class Refused(Exception):
    """The peer answered a request with an error, which is the message."""


class Peer:
    """A connection, until :meth:`close` or until the other side hangs up."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.notifications = runtime.Queue()
        """What the peer tells unasked, as (method, params); None when it is gone."""
        self.alive = True
        self.why = ""
        """What has ended the connection, if it was not that the peer hung up."""
        self._ids = count(1)
        self._replies: dict[int, runtime.Queue] = {}
        self._sending = runtime.Lock()
        self._unanswered = 0
        self._reading = runtime.spawn(self._read)

    def call(self, method: str, params: list[Any]) -> Any:
        """Send a request and wait for its result. Errors: Unreachable, Refused."""
        number = next(self._ids)
        replies = self._replies[number] = runtime.Queue()
        try:
            self._send({"method": method, "params": params, "id": number})
            with runtime.Timeout(REPLY_SECONDS, False):
                answer = replies.get()
                if answer is None:
                    raise Unreachable(self.why or f"hung up during {method}")
                if answer.get("error") is not None:
                    raise Refused(f"{method}: {_words(answer['error'])}")
                return answer.get("result")
            raise Unreachable(f"{method} was not answered for {REPLY_SECONDS:g} s")
        finally:
            del self._replies[number]

    def probe(self) -> None:
        """Ask now and then whether the peer is there, for as long as it is."""
        while self.alive:
            runtime.sleep(PROBE_SECONDS)
            if self._unanswered == 3:
                self.close()
                return
            self._unanswered += 1
            with suppress(Unreachable):
                self._send({"method": "echo", "params": [], "id": "probe"})

    def close(self) -> None:
        """Hang up."""
        self.alive = False
        self.reader.close()

    def stop(self) -> None:
        """Hang up, and read no more from this moment on."""
        self.close()
        self._reading.kill()

    def _send(self, message: dict[str, Any]) -> None:
        if not self.alive:
            raise Unreachable("the connection is closed")
        slow = TimeoutError(f"did not read for {REPLY_SECONDS:g} s")
        try:
            with runtime.Timeout(REPLY_SECONDS, slow), self._sending:
                self.reader.stream.sendall(json.dumps(message).encode())
        except (OSError, ValueError) as error:  # the latter of TLS, if it was we who hung up
            self.close()
            raise Unreachable(str(error)) from error

    def _read(self) -> None:
        try:
            for message in messages(self.reader):
                self._unanswered = 0
                self._take(message)
        except (OSError, ValueError) as error:
            self.why = str(error)
        finally:
            self.close()
            self.reader.stream.close()
            for replies in list(self._replies.values()):
                replies.put(None)
            self.notifications.put(None)

    def _take(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), message.get("id")
        if method == "echo":
            with suppress(Unreachable):
                self._send({"result": message.get("params"), "error": None, "id": id})
        elif method is not None:
            while self.alive and self.notifications.qsize() >= (
                WAITING_MEANWHILE if self._replies else WAITING
            ):
                runtime.sleep(LOOK_SECONDS)
            self.notifications.put((method, message.get("params")))
        elif id in self._replies:
            self._replies[id].put(message)


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}]', re.DOTALL)
"""A string, perhaps without its end, or a brace that is in none."""

_STRING_END = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)


class _End:
    """Looks for where a JSON object ends, through more and more octets, each looked at once."""

    def __init__(self) -> None:
        self.at = 0  # how far we have looked
        self.brace = 0  # where the last brace was
        self._depth = 0
        self._in_string = False

    def found(self, buffer: bytearray) -> bool:
        """Whether the object that ``buffer`` begins with ends, at ``at``."""
        if self._in_string:
            match = _STRING_END.match(buffer, self.at)
            assert match is not None  # it matches anything
            self.at = match.end()
            self._in_string = not match[1]
            if self._in_string:  # what is left is at most a backslash, without what it precedes
                return False
        for match in _TOKEN.finditer(buffer, self.at):
            self.at = match.end()
            token = match[0]
            if token in (b"{", b"}"):
                self.brace = self.at
                self._depth += 1 if token == b"{" else -1
                if self._depth <= 0:
                    return True
            elif not match[1]:
                self._in_string = True
                return False
        self.at = len(buffer)
        return False


def messages(reader: Reader) -> Iterator[dict[str, Any]]:
    """JSON objects that follow each other. Errors: OSError, ValueError."""
    buffer, end = bytearray(), _End()
    while received := reader.receive():
        buffer += received
        while end.found(buffer):
            text = bytes(buffer[: end.at])
            del buffer[: end.at]
            end = _End()
            yield _decoded(text, reader)
            reader.rest()
        if len(buffer) > LARGEST or end.at - end.brace > LARGEST_WITHOUT_OBJECT:
            raise TooMuch("a message that is too large")


def _decoded(text: bytes, reader: Reader) -> dict[str, Any]:
    def work_goes_on(value: dict[str, Any]) -> dict[str, Any]:
        reader.rest()
        return value

    try:
        with runtime.collections_paused():
            message = json.loads(text, object_hook=work_goes_on)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("not a JSON-RPC message")
    return message


def _words(error: object) -> str:
    if isinstance(error, dict):
        return f"{error.get('error')}: {error.get('details', '')}".strip(": ")
    return str(error).strip()


@contextmanager
def connected(remote: str, tls: Tls | None = None) -> Iterator[Peer]:
    """A connection to ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``, for as long as the
    block runs. Errors: Unreachable."""
    peer = Peer(Reader(_connect(remote, tls)))
    try:
        yield peer
    finally:
        peer.close()


def _connect(remote: str, tls: Tls | None) -> Any:
    scheme, _, where = remote.partition(":")
    try:
        with runtime.Timeout(CONNECT_SECONDS, TimeoutError("no answer")):
            if scheme == "unix":
                stream = socket.socket(socket.AF_UNIX)
                stream.connect(where)
                return stream
            host, _, port = where.rpartition(":") if ":" in where else (where, "", "")
            stream = socket.create_connection((host.strip("[]"), int(port or PORT)))
            return _context(tls).wrap_socket(stream) if scheme == "ssl" else stream
    except (OSError, ValueError) as error:
        raise Unreachable(str(error)) from error


def _context(tls: Tls | None) -> ssl.SSLContext:
    """Open vSwitch knows no names in certificates: whoever has one of our CA's is trusted."""
    if tls is None:
        raise ValueError("ssl: needs [openflow] tls_private_key and its companions")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.load_cert_chain(tls.certificate, tls.private_key)
    context.load_verify_locations(tls.ca_certificates)
    return context
