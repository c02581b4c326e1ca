# SPDX-License-Identifier: Apache-2.0

"""JSON-RPC with daemons of Open vSwitch: messages in any pieces, errors, and who hangs up."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import Reader
from tenantry.controller.switch.jsonrpc import Peer, Refused, Unreachable, connected


@pytest.fixture
def ends() -> Iterator[tuple[Peer, Any]]:
    """Ours, and a socket that is the daemon's."""
    ours, theirs = socket.socketpair()
    peer = Peer(Reader(ours))
    yield peer, theirs
    peer.close()
    theirs.close()


def heard(theirs: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(theirs.recv(1 << 16))
    return message


def test_answers_find_their_questions_in_any_order(ends: tuple[Peer, Any]) -> None:
    peer, theirs = ends
    asking = [runtime.spawn(peer.call, "transact", [n]) for n in range(3)]
    runtime.yield_now()
    data = b""
    while data.count(b'"method"') < 3:
        data += theirs.recv(1 << 16)
    ids = [m["id"] for m in decoded(data)]
    answers = [{"id": id, "result": n, "error": None} for n, id in enumerate(ids)]
    whole = "".join(json.dumps(answer) for answer in reversed(answers)).encode()
    for at in range(0, len(whole), 7):  # in pieces that end anywhere
        theirs.sendall(whole[at : at + 7])
        runtime.yield_now()
    assert [greenlet.wait() for greenlet in asking] == [0, 1, 2]


def decoded(data: bytes) -> list[dict[str, Any]]:
    text, at, found = data.decode(), 0, []
    while at < len(text):
        message, at = json.JSONDecoder().raw_decode(text, at)
        found.append(message)
    return found


def test_echoes_are_answered_and_notifications_kept(ends: tuple[Peer, Any]) -> None:
    peer, theirs = ends
    theirs.sendall(b'{"method":"echo","params":["x"],"id":"e"}')
    assert heard(theirs) == {"id": "e", "result": ["x"], "error": None}
    theirs.sendall(b'{"method":"update","params":["a",{}],"id":null}')
    assert peer.notifications.get(timeout=5) == ("update", ["a", {}])


def test_an_error_is_raised_with_the_daemons_words(ends: tuple[Peer, Any]) -> None:
    peer, theirs = ends
    asking = runtime.spawn(peer.call, "monitor", [])
    runtime.yield_now()
    id = heard(theirs)["id"]
    error = {"error": "syntax error", "details": "no such table"}
    theirs.sendall(json.dumps({"id": id, "result": None, "error": error}).encode())
    with pytest.raises(Refused, match="monitor: syntax error: no such table"):
        asking.wait()


@pytest.mark.parametrize("end", [b"", b"[]", b"nonsense}"])
def test_who_hangs_up_or_talks_nonsense_is_gone(ends: tuple[Peer, Any], end: bytes) -> None:
    peer, theirs = ends
    asking = runtime.spawn(peer.call, "transact", [])
    runtime.yield_now()
    theirs.recv(1 << 16)
    theirs.sendall(end)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(Unreachable):
        asking.wait()
    assert peer.notifications.get(timeout=5) is None
    assert not peer.alive
    with pytest.raises(Unreachable):
        peer.call("transact", [])


@pytest.mark.parametrize(
    "remote", ["unix:/nowhere/db.sock", "tcp:127.0.0.1:1", "ssl:127.0.0.1:1", "tcp:", "nonsense"]
)
def test_who_cannot_be_reached(remote: str) -> None:
    with pytest.raises(Unreachable), connected(remote):
        raise AssertionError("it was reached")


def test_a_large_answer_is_read_in_pieces_and_lets_others_work(ends: tuple[Peer, Any]) -> None:
    """What a monitor answers first is all that a large host has."""
    peer, theirs = ends
    row = {"new": {"name": 'a"b\\"c}{', "external_ids": ["map", [["iface-id", "x" * 36]]]}}
    rows = {f"row{number}": row for number in range(100_000)}
    asking = runtime.spawn(peer.call, "monitor", [])
    runtime.yield_now()
    id = heard(theirs)["id"]
    whole = json.dumps({"id": id, "result": rows, "error": None}).encode()
    kept, before = [0.0], [time.process_time()]

    def beat() -> None:
        while True:
            runtime.yield_now()
            now = time.process_time()
            kept[0], before[0] = max(kept[0], now - before[0]), now

    sending = runtime.spawn(theirs.sendall, whole)
    before[0] = time.process_time()
    beating = runtime.spawn(beat)
    assert asking.wait() == rows
    beating.kill()
    sending.wait()
    assert len(whole) > 10_000_000
    assert kept[0] < 0.25


@pytest.mark.parametrize(
    "endless",
    [b'{"a":"' + b"x" * 65536, b"x" * 65536, b'{"a":[' + b"[]," * 30000, b'"' * 65536, b"[" * 9999],
)
def test_what_never_ends_is_ended(ends: tuple[Peer, Any], endless: bytes) -> None:
    peer, theirs = ends
    with runtime.Timeout(20), pytest.raises(OSError):
        theirs.sendall(endless)
        while True:
            theirs.sendall(endless[-30000:])
    assert not peer.alive
    assert peer.why


def test_each_octet_is_looked_at_once(ends: tuple[Peer, Any]) -> None:
    """A message that comes in many pieces, each of which might be its end."""
    peer, theirs = ends
    piece = b'{"b":"}"},' * 6000
    theirs_sends = runtime.spawn(
        lambda: [theirs.sendall(part) for part in (b'{"method":"m","params":[', *[piece] * 50)]
    )
    before = time.process_time()
    theirs_sends.wait()
    theirs.sendall(b"0]}")
    method, params = peer.notifications.get()
    assert (method, len(params)) == ("m", 300_001)
    assert time.process_time() - before < 5


def test_who_does_not_take_what_it_sends_for_is_waited_for(ends: tuple[Peer, Any]) -> None:
    """Notifications that nobody follows yet do not fill the memory."""
    peer, theirs = ends
    theirs.settimeout(0.5)
    with pytest.raises(TimeoutError):
        while True:
            theirs.sendall(b'{"method":"update","params":[]}' * 1000)
    for _ in range(1000):
        assert peer.notifications.get() == ("update", [])


def test_an_answer_is_heard_behind_many_notifications(ends: tuple[Peer, Any]) -> None:
    """Who follows them may be the one who waits for it."""
    peer, theirs = ends
    calling = runtime.spawn(peer.call, "transact", [])
    asked = heard(theirs)
    theirs.sendall(b'{"method":"update","params":[]}' * 5000)
    theirs.sendall(json.dumps({"id": asked["id"], "result": "done", "error": None}).encode())
    with runtime.Timeout(20):
        assert calling.wait() == "done"
    for _ in range(5000):
        assert peer.notifications.get() == ("update", [])
