# SPDX-License-Identifier: Apache-2.0

"""What ``ovs`` is given: JSON in any parts, a connection that keeps to bounds, and who hangs up."""

from __future__ import annotations

import gc
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import ovs.json
import ovs.jsonrpc
import ovs.vlog
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller import runtime
from tenantry.controller.sockets.reader import STRANGER_OCTETS, STRANGER_SECONDS, Reader, Turns
from tenantry.controller.switch import ovs_stream
from tenantry.controller.switch.hosts import connected
from tenantry.controller.switch.ovs_stream import Parser
from tenantry.controller.switch.ovsdb_replica import OvsdbError, Replica, Unreachable

TEXTS = st.text(st.sampled_from('ab"\\{}[]ü🏔\n'), max_size=12)
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=3), max_size=4), st.data())
def test_objects_are_found_in_text_that_comes_in_any_parts(
    objects: list[dict[str, Any]], data: st.DataObject
) -> None:
    plain = data.draw(st.booleans())
    text = " ".join(json.dumps(each, ensure_ascii=plain) for each in objects)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    found, parser = [], Parser()
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        part = text[start:end]
        while part:
            part = part[parser.feed(part) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
    assert found == objects


def test_ovs_uses_it() -> None:
    assert ovs.json.from_string('{"a":[1,{"b":"}"}]}') == {"a": [1, {"b": "}"}]}


@pytest.mark.parametrize(
    "text", ['{"a":}', "nonsense}", '{"a":' + '{"b":' * 3000 + "1" + "}" * 3001]
)
def test_what_is_no_json_is_an_error(text: str) -> None:
    parser = Parser()
    parser.feed(text)
    assert parser.is_done()
    with pytest.raises(ValueError, match=r"\w"):
        parser.finish()


@pytest.mark.parametrize(
    "endless",
    ['{"a":"' + "x" * 65536, "x" * 65536, '{"a":[' + "[]," * 30000, '"' * 65536, "[" * 9999],
)
def test_what_never_ends_is_ended(endless: str) -> None:
    parser = Parser()
    with pytest.raises(OSError, match="too large"):
        parser.feed(endless)
        for _ in range(ovs_stream.LARGEST // 30000 + 2):
            parser.feed(endless[-30000:])


def test_each_character_is_looked_at_once() -> None:
    """A message of many parts, each of which might be its end, takes as long as the same in one."""
    piece = '{"b":"}"},' * 6000
    times = []
    for parts in ([piece * 50], [piece] * 50, [piece[:600]] * 5000):
        parser, before = Parser(), time.process_time()
        parser.feed('{"params":[')
        for part in parts:
            parser.feed(part)
        parser.feed("0]}")
        times.append(time.process_time() - before)
        assert len(parser.finish()["params"]) == 300_001
    assert max(times) < 10 * min(times)


# --- over a connection ----------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[Replica, Any]]:
    """Ours, and a socket that is the daemon's."""
    ours, theirs = socket.socketpair()
    replica = Replica(Reader(ours))
    yield replica, theirs
    replica.stop()
    theirs.close()
    ours.close()


def answer(theirs: Any, *, error: Any = None, result: Any = None) -> None:
    asked = json.loads(theirs.recv(1 << 16))
    message = {"id": asked["id"], "result": result, "error": error}
    theirs.sendall(json.dumps(message).encode())


def test_an_answer_is_found_behind_what_was_not_asked(ends: tuple[Replica, Any]) -> None:
    replica, theirs = ends
    asking = runtime.spawn(replica.ask, "transact", [])
    runtime.pause()
    theirs.sendall(b'{"method":"update","params":[],"id":null}' * 1000)
    answer(theirs, result=["x"])
    theirs.sendall(b'{"method":"echo","params":[],"id":"echo"}')
    assert asking.wait() == ["x"]
    asking = runtime.spawn(replica.ask, "transact", [])  # what came too early is not lost
    runtime.pause()
    answer(theirs, result=["y"])
    assert asking.wait() == ["y"]


def test_an_error_is_raised_with_the_daemons_words(ends: tuple[Replica, Any]) -> None:
    replica, theirs = ends
    asking = runtime.spawn(replica.ask, "monitor", [])
    runtime.pause()
    answer(theirs, error={"error": "syntax error", "details": "no such table"})
    with pytest.raises(OvsdbError, match=r"monitor: .*no such table"):
        asking.wait()


@pytest.mark.parametrize("end", [b"", b"[]", b"nonsense}", b'{"id":[]}', b'{"a":"\xff"}'])
def test_who_hangs_up_or_talks_nonsense_is_gone(ends: tuple[Replica, Any], end: bytes) -> None:
    replica, theirs = ends
    asking = runtime.spawn(replica.ask, "transact", [])
    runtime.pause()
    theirs.recv(1 << 16)
    theirs.sendall(end)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(Unreachable):
        asking.wait()


def test_a_stranger_may_say_so_much_and_no_more() -> None:
    ours, theirs = socket.socketpair()
    reader = Reader(ours, turns=Turns(0.25))
    reader.expect(STRANGER_OCTETS, STRANGER_SECONDS)
    replica = Replica(reader)
    asking = runtime.spawn(replica.ask, "transact", [])
    theirs.setblocking(False)
    with pytest.raises(OSError):
        while True:
            theirs.sendall(b'{"method":"update","params":[],"id":null}' * 100)
            runtime.pause()
    with pytest.raises(Unreachable, match="more than may be sent at once"):
        asking.wait()
    replica.stop()
    ours.close()
    theirs.close()


def test_who_takes_nothing_is_hung_up_on(ends: tuple[Replica, Any]) -> None:
    replica, _ = ends
    wire = replica._wire
    wire.reader.stream.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            wire.send(b"x" * 65536)
    with pytest.raises(ConnectionAbortedError, match="does not read"):
        wire.send(bytes(ovs_stream.UNSENT + 1))


@pytest.mark.parametrize(
    "remote", ["unix:/nowhere/db.sock", "tcp:127.0.0.1:1", "ssl:127.0.0.1:1", "tcp:", "nonsense"]
)
def test_who_cannot_be_reached(remote: str) -> None:
    with pytest.raises(Unreachable), connected(remote):
        raise AssertionError("it was reached")


def test_a_large_answer_is_read_in_pieces_and_lets_others_work(ends: tuple[Replica, Any]) -> None:
    """What a monitor answers first is all that a large host has."""
    replica, theirs = ends
    row = {"new": {"name": 'a"b\\"c}{', "external_ids": ["map", [["iface-id", "x" * 36]]]}}
    rows = {f"row{number}": row for number in range(100_000)}
    asking = runtime.spawn(replica.ask, "monitor", [])
    runtime.pause()
    id = json.loads(theirs.recv(1 << 16))["id"]
    whole = json.dumps({"id": id, "result": rows, "error": None}).encode()
    gc.freeze()  # what thousands of other tests have made is not looked through
    kept, before = [0.0], [time.process_time()]

    def beat() -> None:
        while True:
            runtime.pause()
            now = time.process_time()
            kept[0], before[0] = max(kept[0], now - before[0]), now

    sending = runtime.spawn(theirs.sendall, whole)
    before[0] = time.process_time()
    beating = runtime.spawn(beat)
    told = asking.wait()
    beating.kill()
    gc.unfreeze()
    assert told == rows
    sending.wait()
    assert len(whole) > 10_000_000
    assert kept[0] < 0.25


def test_what_ovs_says_of_bad_data_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ovs.vlog.Vlog("idl").warn("unknown column x")
    ovs.vlog.Vlog("jsonrpc").warn("receive error")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "OVSDB of a host: unknown column x")
    ]
