"""JSON-RPC as Open vSwitch's daemons speak it: OVSDB servers, and control sockets (RFC 7047, 4).

One :class:`Peer` a connection, whoever made it. Any number of greenlets may call; one reads.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from controller import runtime
from controller.switch.channel import Tls

REPLY_SECONDS = 30.0
"""How long an answer may take."""

CONNECT_SECONDS = 5.0
PROBE_SECONDS = 5.0
"""How often a silent peer is asked whether it is there; three unanswered end the connection."""

PORT = 6640  # IANA's for OVSDB


class Unreachable(OSError):
    """The peer is gone, or never was there."""


class Refused(Exception):
    """The peer answered a request with an error, which is the message."""


class Peer:
    """A connection, until :meth:`close` or until the other side hangs up."""

    def __init__(self, connected: Any) -> None:
        """``connected``: a stream socket."""
        self.notifications = runtime.Queue()
        """What the peer tells unasked, as (method, params); None when it is gone."""
        self.alive = True
        self._socket = connected
        self._ids = count(1)
        self._replies: dict[int, runtime.Queue] = {}
        self._sending = runtime.Lock()
        self._unanswered = 0
        self._reader = runtime.spawn(self._read)

    def call(self, method: str, params: list[Any]) -> Any:
        """Send a request and wait for its result. Errors: Unreachable, Refused."""
        number = next(self._ids)
        replies = self._replies[number] = runtime.Queue()
        try:
            self._send({"method": method, "params": params, "id": number})
            with runtime.Timeout(REPLY_SECONDS, False):
                answer = replies.get()
                if answer is None:
                    raise Unreachable(f"hung up during {method}")
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
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, message: dict[str, Any]) -> None:
        if not self.alive:
            raise Unreachable("the connection is closed")
        try:
            with self._sending:
                self._socket.sendall(json.dumps(message).encode())
        except OSError as error:
            self.close()
            raise Unreachable(str(error)) from error

    def _read(self) -> None:
        try:
            for message in _messages(self._socket):
                self._unanswered = 0
                self._take(message)
        except (OSError, ValueError):
            pass
        finally:
            self.alive = False
            self._socket.close()
            for replies in list(self._replies.values()):
                replies.put(None)
            self.notifications.put(None)

    def _take(self, message: dict[str, Any]) -> None:
        method, id = message.get("method"), message.get("id")
        if method == "echo":
            with suppress(Unreachable):
                self._send({"result": message.get("params"), "error": None, "id": id})
        elif method is not None:
            self.notifications.put((method, message.get("params")))
        elif id in self._replies:
            self._replies[id].put(message)


def _messages(connected: Any) -> Iterator[dict[str, Any]]:
    """JSON objects that follow each other with nothing between them. Errors: OSError, ValueError.

    A message can only be at its end where a ``}`` is the last that was received, so that is when
    it is worth trying.
    """
    decoder = json.JSONDecoder()
    buffer = b""
    while received := connected.recv(1 << 18):
        buffer += received
        if not buffer.endswith(b"}"):
            continue
        text = buffer.decode()
        at = 0
        while at < len(text):
            try:
                message, at = decoder.raw_decode(text, at)
            except ValueError:
                break
            if not isinstance(message, dict):
                raise ValueError("not a JSON-RPC message")
            yield message
        buffer = text[at:].encode()


def _words(error: object) -> str:
    if isinstance(error, dict):
        return f"{error.get('error')}: {error.get('details', '')}".strip(": ")
    return str(error).strip()


@contextmanager
def connected(remote: str, tls: Tls | None = None) -> Iterator[Peer]:
    """A connection to ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``, for as long as the
    block runs. Errors: Unreachable."""
    peer = Peer(_connect(remote, tls))
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
