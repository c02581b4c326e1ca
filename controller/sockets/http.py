# SPDX-License-Identifier: Apache-2.0

"""HTTP for whoever connects: eventlet's WSGI server, behind a listener of ours, and stricter.

A request comes whole within some seconds, or its connection ends. What could be read in two ways
is refused (RFC 9112, 6.3 and 11.2): a proxy in front of us may read it in the other.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import STRANGER_OCTETS, STRANGER_SECONDS, Reader

IDLE_SECONDS = 60.0
"""How long a connection may be kept for another request."""

BODY_OCTETS, BODY_SECONDS = 2 << 20, 30.0
"""What may follow the head of a request. The application may want less."""

SEND_SECONDS = 30.0
"""How long a client may take none of an answer."""

HUNG_UP = "tenantry.hung_up"
"""The key of a WSGI environment under which a function tells whether the client is gone."""

_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n]*)?\r\n")
_LINE = 1024  # octets, where nobody needs more
_LONGEST_METHOD = 20
_BEGIN = re.compile(rb"[A-Z]*( .*)?", re.DOTALL)
_END = re.compile(rb"\n\r?\n")
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_NAME = re.compile(_TOKEN)
_HEAD = re.compile(
    rb"[A-Z]+ [^ \r\n]+ HTTP/[0-9]\.[0-9]\r\n(%b:[^\r\n]*\r\n)*\r\n" % _TOKEN.encode()
)


def _fault(code: int, message: str | None = None, explain: str | None = None) -> bytes:
    """A whole answer, as the API answers errors."""
    phrase = HTTPStatus(code).phrase
    fault = {"type": f"HTTP{phrase.title().replace(' ', '')}", "message": message or phrase}
    body = json.dumps({"NeutronError": {**fault, "detail": explain or ""}}).encode()
    head = f"HTTP/1.1 {code} {phrase}\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


_NO_REQUEST = _fault(400, "This is no HTTP request; https:// is not spoken here")
_NO_HEAD = _fault(400, "The head of the request is no HTTP")


def first_words(said: bytes) -> bytes | None:
    """What a connection begins with, see ``FirstWords``: the head of a request (RFC 9112, 2.1)."""
    if not _BEGIN.fullmatch(said[:_LONGEST_METHOD]):
        return _NO_REQUEST
    if not _END.search(said):
        return None
    return b"" if _HEAD.match(said) else _NO_HEAD


class Http:
    """Answers the requests of connections by a WSGI application."""

    def __init__(
        self, application: Callable[..., Any], *, keep: Callable[[], bool] = lambda: True
    ) -> None:
        """``keep``: whether connections are kept, for another request."""
        self._keep = keep
        self._server = runtime.HttpServer(None, None, application, log_output=False, debug=False)

    def serve(self, reader: Reader) -> None:
        """Until the connection ends."""
        reader.stream.settimeout(SEND_SECONDS)
        _Protocol(reader, self._server, self._keep)


class _Stream(io.RawIOBase):
    """A connection as a file. While we wait for the client, others may be preferred to it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._reader.receive(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        self._reader.waiting_since = time.monotonic()
        sent: int = self._reader.stream.send(data)
        self._reader.waiting_since = None
        return sent


class _Body(runtime.HttpInput):  # type: ignore[misc]
    """eventlet's, but chunks are read as RFC 9112, 7.1 has them and not otherwise."""

    _left = 0  # octets of a chunk
    _ended: str | None = None

    def _chunked_read(self, rfile: Any, length: int | None = None, *_: Any) -> bytes:
        if self.should_send_hundred_continue:
            self.send_hundred_continue_response()
            self.is_hundred_continue_response_sent = True
        if length is None or length < 0:
            length = BODY_OCTETS
        data = b""
        while len(data) < length and self._ended is None:
            if not self._left:
                self._next_chunk(rfile)
                continue
            some = rfile.read(min(self._left, length - len(data)))
            data += some
            self._left -= len(some)
            if not some or (not self._left and rfile.read(2) != b"\r\n"):
                self._ended = "a chunk does not end where it should"
        if self._ended:
            raise runtime.ChunkError(self._ended)
        return data

    def _next_chunk(self, rfile: Any) -> None:
        head = _CHUNK.fullmatch(rfile.readline(_LINE))
        if head is None:
            self._ended = "a chunk does not begin with its size"
        elif not (size := int(head[1], 16)):
            while (line := rfile.readline(_LINE)) != b"\r\n":
                if not line:
                    self._ended = "the last chunk is missing"
                    return
            self._ended = ""
        else:
            self._left = size


class _Protocol(runtime.HttpProtocol):  # type: ignore[misc]
    def __init__(self, reader: Reader, server: Any, keep: Callable[[], bool]) -> None:
        self._reader = reader
        self._keep = keep
        super().__init__([reader.peer, reader.stream, "idle"], server)

    def setup(self) -> None:
        self.connection = self.request
        self.rfile = io.BufferedReader(_Stream(self._reader))
        self.wfile = io.BufferedWriter(_Stream(self._reader), self.wbufsize)

    def handle(self) -> None:
        self.close_connection = False
        while True:
            self._reader.waiting_since = time.monotonic()
            self._reader.expect(STRANGER_OCTETS, STRANGER_SECONDS)
            self.handle_one_request()
            if self.close_connection:
                return
            self._reader.settle()
            self._reader.waiting_since = time.monotonic()
            self._reader.expect(STRANGER_OCTETS, IDLE_SECONDS)
            try:
                if not self.rfile.peek(1):
                    return
            except TimeoutError:
                return
            self._reader.take_turn()  # the request may have been here already

    def parse_request(self) -> bool:
        """The head of a request. False, and answered, if it is none that can mean but one thing."""
        if not super().parse_request():
            return False
        lengths = self.headers.get_all("Content-Length", [])
        codings = self.headers.get_all("Transfer-Encoding", [])
        if (
            self.headers.defects
            or self.headers.get_payload()
            or not all(_NAME.fullmatch(name) for name in self.headers)
            or any("\r" in value or "\n" in value for value in self.headers.values())
        ):
            return self._refuse(400, "The head of the request is no HTTP")
        if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
            return self._refuse(400, "Content-Length is not one number")
        if codings and (lengths or self.request_version == "HTTP/1.0"):
            return self._refuse(400, "Transfer-Encoding does not go with what is besides")
        if codings and [coding.lower() for coding in codings] != ["chunked"]:
            return self._refuse(501, "The only Transfer-Encoding that is understood is chunked")
        self.close_connection = self.close_connection or not self._keep()
        self._reader.waiting_since = None
        self._reader.expect(BODY_OCTETS, BODY_SECONDS)
        return True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        if hasattr(self._reader.stream, "do_handshake"):
            environ["wsgi.url_scheme"] = "https"
        environ[HUNG_UP] = lambda: self._reader.hung_up
        environ["wsgi.input"].__class__ = _Body
        environ["wsgi.input_terminated"] = True  # it ends where the body does, also in chunks
        return environ

    def _refuse(self, status: int, words: str) -> bool:
        self.send_error(status, words)
        self.close_connection = True
        return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.wfile.write(_fault(code, message, explain))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def finish(self) -> None:
        """The listener closes the connection."""
        with suppress(OSError, ValueError):
            self.wfile.flush()
