# SPDX-License-Identifier: Apache-2.0

"""What the ``ovs`` package is given of ours: connections that are there already, a faster reader of
JSON that keeps to bounds, and our log.

``ovs`` connects, reads and logs by itself. Here others have accepted a connection and say how much
may come (``sockets/reader.py``); once this module is imported, ``ovs`` uses that.
"""

from __future__ import annotations

import codecs
import errno
import json
import logging
import re
import ssl
import time
from collections.abc import Callable
from typing import Any, ClassVar

import ovs.json
import ovs.poller
import ovs.stream
import ovs.vlog

from tenantry.controller import runtime
from tenantry.controller.sockets.listener import Complaints
from tenantry.controller.sockets.reader import SLICE_SECONDS, Reader, TooMuch

LARGEST = 64 << 20
"""Characters of a message: what a monitor answers first is all that is in a database."""

LARGEST_WITHOUT_OBJECT = 2 << 20
"""Characters between two braces: decoding lets others work at each object, and nowhere else."""

UNSENT = 16 << 20
"""Octets that a peer has not taken yet, before it is hung up on."""

_AT_ONCE = 1 << 16
_LATER = errno.EAGAIN, "later"


class Parser:
    """Finds where a JSON object ends, in text that comes in parts, each character looked at once,
    and has the standard library read it: twenty times as fast as the parser of ``ovs``, whose place
    it takes. Errors: TooMuch, ValueError."""

    _TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("?)|[{}]', re.DOTALL)
    """A string, perhaps without its end, or a brace that is in none."""

    _STRING_END = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)

    def __init__(self, check_trailer: bool = False) -> None:
        """``check_trailer``: as ``ovs`` has it; what follows an object is another here."""
        self._parts: list[str] = []
        self._size = self._brace = self._depth = 0  # characters; where the last brace was
        self._in_string = self._done = False
        self._cut = ""  # a backslash, without what it precedes

    def feed(self, text: str) -> int:
        """Take another part; how much of it belongs to this object."""
        text, cut = self._cut + text, len(self._cut)
        end = self._end(text)
        self._cut = text[end:] if self._in_string else ""
        self._parts.append(text[:end])
        self._size += end
        if self._size > LARGEST or self._size - self._brace > LARGEST_WITHOUT_OBJECT:
            raise TooMuch("a message that is too large")
        return end + len(self._cut) - cut

    def _end(self, text: str) -> int:
        """Where the object ends, or what can be looked at now."""
        at = 0
        if self._in_string and (match := self._STRING_END.match(text)):
            at, self._in_string = match.end(), not match[1]
        while not self._in_string and (match := self._TOKEN.search(text, at)):
            at = match.end()
            if match[0] in "{}":
                self._brace = self._size + at
                self._depth += 1 if match[0] == "{" else -1
                if self._depth <= 0:
                    self._done = True
                    return at
            else:
                self._in_string = not match[1]
        return at if self._in_string else len(text)

    def is_done(self) -> bool:
        return self._done

    def finish(self) -> Any:
        began = time.monotonic()

        def work_goes_on(value: dict[str, Any]) -> dict[str, Any]:
            nonlocal began
            if time.monotonic() - began > SLICE_SECONDS:
                runtime.pause()
                began = time.monotonic()
            return value

        try:
            with runtime.collections_paused():
                return json.loads("".join(self._parts), object_hook=work_goes_on)
        except RecursionError as error:
            raise ValueError("JSON that is nested too deeply") from error


class Wire:
    """A connection, as the socket of a stream of ``ovs``."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.is_open = True
        self.why = "it has ended"
        """What has ended it."""
        self.heard = 0
        """How often something came."""
        self.ahead = b""
        """What was received, and not asked for yet."""
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def recv(self, size: int) -> bytes:
        """What has come, in whole characters: ``ovs`` would forget the beginning of one. Errors:
        OSError, as of a socket that does not block."""
        whole, self.ahead = self.ahead, b""
        while not whole:
            try:
                received = self.reader.receive()
                whole = self._decoder.decode(received).encode()
            except (BlockingIOError, ssl.SSLWantReadError):
                raise BlockingIOError(*_LATER) from None
            except (OSError, ValueError) as error:
                self.why = str(error)
                raise ConnectionAbortedError(errno.ECONNABORTED, self.why) from error
            if not received:
                break
            self.heard += 1
        return whole

    def send(self, data: bytes) -> int:
        """How much of it the other side takes. Errors: likewise."""
        try:
            if len(data) > UNSENT:
                raise TooMuch("it does not read")
            return int(self.reader.stream.send(data[:_AT_ONCE]))
        except (BlockingIOError, ssl.SSLWantWriteError):
            raise BlockingIOError(*_LATER) from None
        except (OSError, ValueError) as error:  # the latter of TLS, if it was we who hung up
            self.why = str(error)
            raise ConnectionAbortedError(errno.ECONNABORTED, self.why) from error

    def close(self) -> None:
        self.is_open = False
        self.reader.close()


class Stream(ovs.stream.Stream):  # type: ignore[misc]
    """A stream of ``ovs`` whose ``socket`` is a :class:`Wire`; ``handed:NAME``, as ``ovs`` calls
    it."""

    wires: ClassVar[dict[str, Wire]] = {}
    """Those that wait for ``ovs``, each for once, by name."""

    @staticmethod
    def needs_probes() -> bool:
        return True

    @staticmethod
    def check_connection_completion(sock: object) -> int:
        return 0

    @classmethod
    def _open(cls, suffix: str, dscp: int) -> tuple[int, Wire | None]:
        wire = cls.wires.pop(suffix, None)
        return (0 if wire else errno.ENOTCONN), wire

    def wait(self, poller: Any, wait: int) -> None:
        stream, said = self.socket.reader.stream, self.socket.reader.said
        if isinstance(stream, ssl.SSLSocket):
            said = said or stream.pending()
        if said and wait == self.W_RECV:
            poller.immediate_wake()
        elif self.socket.is_open:
            events = ovs.poller.POLLIN if wait == self.W_RECV else ovs.poller.POLLOUT
            poller.fd_wait(stream.fileno(), events)


_COMPLAINTS = Complaints("OVSDB")


def _log(level: str) -> Callable[..., None]:
    """What ``ovs`` logs at a level. Why a connection ended is said by who followed it."""

    def log(self: Any, message: str, **more: Any) -> None:
        if self.name == "idl" and level in ("warn", "err", "emer"):
            _COMPLAINTS.tell("of a host", message)
        else:
            logging.getLogger(f"ovs.{self.name}").debug("%s", message, **more)

    return log


for _level in ("emer", "err", "warn", "info", "dbg"):
    setattr(ovs.vlog.Vlog, _level, _log(_level))
ovs.json.Parser, ovs.json.PARSER = Parser, ovs.json.PARSER_PY
ovs.stream.Stream.register_method("handed", Stream)
