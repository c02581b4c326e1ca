# SPDX-License-Identifier: Apache-2.0

"""What is said to a server to learn whether it is alive, without a socket.

A conversation is a generator: it yields octets to be sent, or None for what comes next, of which it
is given whatever there is (b"" is the end). What it returns is "" if all is well, else what is
wrong, in words. So an answer may be cut anywhere, and be any octets at all.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Generator, Iterable
from functools import cache, partial
from typing import Any, TypeAlias

from tenantry.controller import runtime

Conversation: TypeAlias = Generator[bytes | None, bytes, str]

MOST_OCTETS = 16384
"""Of an answer, before it is none."""

SILENT = "hung up without an answer"
NOT_HTTP = "no HTTP in the answer"

_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})(?=[ \r\n])")  # RFC 9112, 4
_BEGINNING = re.compile(
    rb"(?:H|HT|HTT|HTTP|HTTP/|HTTP/\d|HTTP/\d\.|HTTP/\d\.\d|HTTP/\d\.\d \d{0,3})?\Z"
)
_WITH_CONTENT = ("POST", "PUT", "PATCH")


def nothing() -> Conversation:
    """That somebody accepts the connection is enough."""
    return ""
    yield


def http(
    method: str, path: str, version: str, host: str, codes: Iterable[tuple[int, int]]
) -> Conversation:
    """A request of HTTP/1 (RFC 9112). Only the status of the answer is looked at."""
    yield request(method, path, version, host)
    answer = b""
    while True:
        more = yield None
        answer += more
        status = status_of(answer)
        if status is not None:
            good = any(first <= status <= last for first, last in codes)
            return "" if good else f"HTTP {status}"
        if not more:
            return NOT_HTTP if answer else SILENT
        if not _BEGINNING.match(answer):
            return NOT_HTTP


def request(method: str, path: str, version: str, host: str) -> bytes:
    """The head of a request. What could end a line, or a word, is left out."""
    lines = [f"{_word(method)} {_word(path)} HTTP/{_word(version)}"]
    lines += [f"Host: {_word(host)}"] if host else []
    lines += ["Content-Length: 0"] if method in _WITH_CONTENT else []
    lines += ["User-Agent: tenantry", "Accept: */*", "Connection: close", "", ""]
    return "\r\n".join(lines).encode()


def _word(text: str) -> str:
    return "".join(letter for letter in text if "!" <= letter <= "~")


def status_of(answer: bytes) -> int | None:
    """The status that an answer begins with, as soon as it is there."""
    found = _STATUS_LINE.match(answer)
    return int(found[1]) if found else None


@cache
def _context() -> ssl.SSLContext:
    """Who is asked may have any certificate: that it has one is all that is to be learnt."""
    context: ssl.SSLContext = runtime.native_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tls(inner: Conversation, name: str) -> Conversation:
    """A conversation in TLS (RFC 8446); ``name`` is the server's (RFC 6066, 3), or ""."""
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        stream = _context().wrap_bio(come, go, server_hostname=_word(name) or None)
        yield from _step(stream.do_handshake, come, go)
        given: bytes | None = None
        while True:
            try:
                said = inner.send(given) if given is not None else next(inner)
            except StopIteration as end:
                return str(end.value)
            if said is None:
                try:
                    given = yield from _step(partial(stream.read, MOST_OCTETS), come, go)
                except (_Ended, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    given = b""
            else:
                yield from _step(partial(stream.write, said), come, go)
                given = None
    except _Ended:
        return f"TLS: {SILENT}"
    except (ssl.SSLError, ValueError) as error:
        return f"TLS: {_words(error)}"


class _Ended(Exception):
    """The other end hung up in the middle."""


def _step(
    function: Callable[[], Any], come: ssl.MemoryBIO, go: ssl.MemoryBIO
) -> Generator[bytes | None, bytes, Any]:
    """Do one thing, with all that has to come and go for that."""
    while True:
        try:
            result = function()
        except ssl.SSLWantReadError:
            if go.pending:
                yield go.read()
            more = yield None
            if not more:
                raise _Ended from None
            come.write(more)
            continue
        except ssl.SSLError:
            if go.pending:  # an alert
                yield go.read()
            raise
        if go.pending:
            yield go.read()
        return result


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)
    return str(reason).replace("_", " ").lower() if reason else str(error)
