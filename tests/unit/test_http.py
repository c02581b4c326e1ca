# SPDX-License-Identifier: Apache-2.0

"""HTTP over a connection: what can be read in two ways is refused, and what is slow ends."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from webob import Request, Response

from tenantry.controller import runtime
from tenantry.controller.sockets import http, listener
from tenantry.controller.sockets.listener import Clients, Listener, listen

Talk = Callable[[bytes], bytes]


def answer(environ: dict[str, Any], start_response: Any) -> Any:
    """Says what it was asked: the method, the path, the body."""
    request = Request(environ)
    body = request.body_file.read(1 << 20)
    said = [request.method, request.path_info, body.decode("latin-1")]
    return Response(json.dumps(said).encode(), content_type="application/json")(
        environ, start_response
    )


@contextmanager
def served(application: Any = answer, **options: Any) -> Iterator[Any]:
    listening = listen("127.0.0.1", 0)
    serve = http.Http(application, **options).serve
    clients = Clients("client at", 100, part=1.0)
    served = Listener(listening, clients, serve, first_words=http.first_words)
    try:
        yield listening.getsockname()
    finally:
        served.close()


@pytest.fixture
def talk() -> Iterator[Talk]:
    """Sends octets, and answers all that comes until the connection is idle or ends."""
    with served() as address:

        def sent(data: bytes) -> bytes:
            with socket.create_connection(address, 10) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: client.recv(1 << 16), b""))

        yield sent


def statuses(answered: bytes) -> list[int]:
    return [int(part[1:4]) for part in answered.split(b"HTTP/1.1")[1:]]


def head(*lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} /a HTTP/1.1", "Host: x", *lines, "", ""]).encode("latin-1")


INNER = head(method="DELETE")


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: +2",),
        ("Content-Length: 0_2",),
        ("Content-Length: -2",),
        ("Content-Length: 2, 2",),
        ("Content-Length: 0x2",),
        ("Content-Length: \u00b2",),
        ("Content-Length:",),
        ("Content-Length: 2", "Content-Length: 2"),
        ("Content-Length: 2", "Content-Length: 40"),
        ("Content-Length: 2", "content-length: 2"),
        ("Content-Length : 2",),
        (" Content-Length: 2",),
        ("X: y", " Content-Length: 2"),
        ("Content-Length: 2", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked\r\n : x",),
        ("X\x00: y",),
        ("no colon",),
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(talk: Talk, lines: tuple[str, ...]) -> None:
    for body in (b"{}", b"2\r\n{}\r\n0\r\n\r\n"):
        answered = talk(head(*lines) + body + INNER)
        assert [status >= 400 for status in statuses(answered)] == [True], answered
        assert b"NeutronError" in answered
        assert b"Connection: close" in answered


@pytest.mark.parametrize(
    "chunks",
    [
        b"+2\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"2_0\r\n{}\r\n0\r\n\r\n",
        b" 2\r\n{}\r\n0\r\n\r\n",
        b"2\n{}\r\n0\r\n\r\n",
        b"2\r\n{}0\r\n\r\n",
        b"2\r\n{}\n0\r\n\r\n",
        b"\r\n{}\r\n0\r\n\r\n",
        b"fffffffff\r\n{}\r\n0\r\n\r\n",
        b"2\r\n{}\r\n",
    ],
)
def test_chunks_that_can_be_read_in_two_ways_end_the_connection(talk: Talk, chunks: bytes) -> None:
    answered = talk(head("Transfer-Encoding: chunked") + chunks + INNER)
    assert b"DELETE" not in answered
    assert len(statuses(answered)) <= 1


@pytest.mark.parametrize(
    "chunks", [b"2\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n1;x=y\r\n}\r\n00\r\nTrailer: x\r\n\r\n"]
)
def test_chunks_are_read(talk: Talk, chunks: bytes) -> None:
    answered = talk(head("Transfer-Encoding: chunked") + chunks + INNER)
    assert statuses(answered) == [200, 200]
    assert b'["POST", "/a", "{}"]' in answered
    assert b'["DELETE", "/a", ""]' in answered


def test_many_requests_at_once_are_all_answered(talk: Talk) -> None:
    answered = talk((head("Content-Length: 2") + b"{}") * 300)
    assert statuses(answered) == [200] * 300


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"X" * 100, 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (head("X: " + "y" * 9000), 400),
        (head(*(f"X{n}: {'y' * 200}" for n in range(60))), 200),
        (head(*(f"X{n}: y" for n in range(200))), 431),
        (b"GET /" + b"y" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
    ],
)
def test_what_is_answered_to_what_is_too_much(talk: Talk, said: bytes, status: int) -> None:
    answered = talk(said)
    assert int(answered.split()[1]) == status, answered


def test_a_connection_is_kept_while_there_is_room() -> None:
    kept = iter([True, False])
    with (
        served(keep=lambda: next(kept)) as address,
        socket.create_connection(address, 10) as client,
    ):
        client.sendall(head() * 3)
        answered = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert statuses(answered) == [200, 200]
    assert answered.count(b"Connection: close") == 1


def test_a_body_that_is_announced_and_never_sent(talk: Talk) -> None:
    assert talk(head("Content-Length: 1000") + b"{}").count(b"HTTP/1.1 200") <= 1


def test_an_endless_head_ends(talk: Talk) -> None:
    with (
        served() as address,
        socket.create_connection(address, 10) as client,
        runtime.Timeout(20),
        pytest.raises(OSError),
    ):
        while True:
            client.sendall(b"X: y\r\n" * 1000)


@pytest.mark.parametrize("sent", [b"", b"GET / HT", head()[:-2], head("Content-Length: 9") + b"{"])
def test_who_says_nothing_whole_is_hung_up_on(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    for module in (http, listener):
        monkeypatch.setattr(module, "STRANGER_SECONDS", 0.2)
    monkeypatch.setattr(http, "BODY_SECONDS", 0.2)
    with served() as address, socket.create_connection(address, 10) as client:
        client.sendall(sent)
        while client.recv(1 << 16):  # the end, not the time-out
            pass


def test_the_application_is_told_who_has_hung_up() -> None:
    gone = runtime.Signal()

    def waits(environ: dict[str, Any], start_response: Any) -> Any:
        while not environ[http.HUNG_UP]():
            runtime.sleep(0.01)
        gone.set()
        return Response()(environ, start_response)

    with served(waits) as address:
        with socket.create_connection(address, 10) as client:
            client.sendall(head() + head())
        assert gone.wait(10)


def test_an_answer_that_nobody_reads_keeps_nobody_waiting() -> None:
    def much(environ: dict[str, Any], start_response: Any) -> Any:
        size = 5_000_000 if environ["PATH_INFO"] == "/much" else 10
        return Response(b"x" * size)(environ, start_response)

    with served(much) as address:
        lazy = [socket.create_connection(address, 10) for _ in range(100)]
        for one in lazy:
            one.sendall(b"GET /much HTTP/1.1\r\n\r\n")
        with socket.create_connection(address, 10) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert client.recv(100).startswith(b"HTTP/1.1 200")
        for one in lazy:
            one.close()
