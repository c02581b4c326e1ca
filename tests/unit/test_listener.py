# SPDX-License-Identifier: Apache-2.0

"""Who connects: how many at a time, what is said of those who make trouble, and what goes on."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.service import supervisor
from tenantry.controller.sockets import descriptors
from tenantry.controller.sockets.listener import Clients, FirstWords, Listener, listen
from tenantry.controller.sockets.reader import Reader, Unwelcome


def echo(reader: Reader) -> None:
    """Who says its name, which is a line, gets it back, again and again."""
    while line := reader.receive():
        if line.startswith(b"?"):
            raise Unwelcome("nonsense")
        if line.startswith(b"!"):
            raise ValueError(line.decode())
        reader.named()
        reader.stream.sendall(line)


@contextmanager
def served(
    most: int,
    serve: Callable[[Reader], None] = echo,
    first_words: FirstWords | None = None,
    **options: Any,
) -> Iterator[tuple[Clients, Callable[..., Any]]]:
    """The clients, and what makes one more."""
    listening = listen("127.0.0.1", 0)
    clients = Clients("client at", most, **options)
    listener = Listener(listening, clients, serve, first_words=first_words)
    made = []

    def connect(host: str = "127.0.0.1") -> Any:
        made.append(socket.create_connection(listening.getsockname(), 10, (host, 0)))
        return made[-1]

    try:
        yield clients, connect
    finally:
        listener.close()
        for one in made:
            one.close()


def asks(client: Any) -> bool:
    """Whether it is answered."""
    try:
        client.sendall(b"me")
        return bool(client.recv(10) == b"me")
    except OSError:
        return False


def until(condition: Callable[[], bool]) -> None:
    with runtime.Timeout(20):
        while not condition():
            runtime.sleep(0.005)


def test_strangers_make_room_and_who_is_known_does_not() -> None:
    with served(20) as (clients, connect):
        known = [connect() for _ in range(10)]
        assert all(asks(one) for one in known)
        strangers = [connect() for _ in range(100)]
        latest = connect()
        assert asks(latest)
        assert len(clients) <= 20
        assert all(asks(one) for one in known)
        assert strangers[0].recv(1) == b""


def test_of_whoever_has_the_most_some_make_room() -> None:
    def first_words(said: bytes) -> bytes | None:
        return b""

    with served(40, first_words=first_words) as (clients, connect):
        other = connect("127.0.0.2")
        many = [connect() for _ in range(200)]
        assert asks(many[-1])
        assert asks(other)
        assert len(clients) <= 40


def test_where_nobody_can_make_room_one_waits() -> None:
    with served(3) as (clients, connect):
        known = [connect() for _ in range(3)]
        assert all(asks(one) for one in known)
        waiting = connect()
        waiting.sendall(b"me")
        until(lambda: len(clients) == 3)
        known[0].close()
        assert waiting.recv(10) == b"me"


def test_pieces_of_an_answer_do_not_wait_for_each_other() -> None:
    seen = []

    def look(reader: Reader) -> None:
        seen.append(reader.stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        echo(reader)

    with served(2, look) as (_, connect):
        assert asks(connect())
    assert seen == [1]


def test_first_words_decide() -> None:
    def first_words(said: bytes) -> bytes | None:
        return b"no" if b"?" in said else b"" if said.endswith(b"me") else None

    with served(100, first_words=first_words) as (clients, connect):
        slow, wrong, silent = (connect() for _ in range(3))
        slow.sendall(b"m")
        wrong.sendall(b"m?" + bytes(1000))
        assert wrong.recv(10) == b"no"
        assert wrong.recv(10) == b""
        assert len(clients) == 2
        slow.sendall(b"e")
        assert slow.recv(10) == b"me"
        assert asks(silent)


def test_newcomers_of_one_address_keep_those_of_another_waiting_for_a_few() -> None:
    order: list[str] = []

    def serve(reader: Reader) -> None:
        reader.receive()
        order.append(reader.address)

    with listen("127.0.0.1", 0) as listening, ExitStack() as stack:
        for number in range(401):  # they wait in the kernel's queue, one after the other
            host = "127.0.0.2" if number == 400 else "127.0.0.1"
            one = socket.create_connection(listening.getsockname(), 10, (host, 0))
            stack.enter_context(one).sendall(b"me")
        clients = Clients("client at", 1000, part=1.0)
        listener = Listener(listening, clients, serve, first_words=lambda said: b"")
        until(lambda: "127.0.0.2" in order)
        assert order.index("127.0.0.2") < 200
        listener.close()


def test_one_may_have_so_many() -> None:
    with served(100, most_of_one=2) as (_, connect):
        first, second, third = connect(), connect(), connect()
        assert asks(first)
        assert asks(second)
        assert not asks(third)
        first.close()
        until(lambda: asks(connect()))


def test_accepting_outlives_the_end_of_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with served(1000) as (clients, connect), connect() as one:
        address = one.getpeername()
        assert asks(one)
        ready = [socket.socket() for _ in range(3)]
        try:
            with socket.socket() as probe:
                resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
            with pytest.raises(OSError, match="Too many open files"):
                socket.socket()
            for other in ready:
                other.connect(address)
                other.sendall(b"me")
            until(lambda: "cannot be accepted" in caplog.text)
            assert len(clients) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert [other.recv(10) for other in ready] == [b"me"] * 3
        assert caplog.text.count("cannot be accepted") == 1
        for other in ready:
            other.close()


@pytest.mark.parametrize("said", [b"?", b"!"])
def test_garbage_a_thousand_times_is_one_line(
    said: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with served(100) as (clients, connect):
        for _ in range(1000):
            with connect() as one:
                one.sendall(said)
                assert one.recv(1) == b""
        until(lambda: not len(clients))
        clients.complaints.sum_up()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "999 more like these" in lines[1]
    assert not any(record.exc_info for record in caplog.records)
    assert capfd.readouterr() == ("", "")


def test_shares_leave_switches_what_they_need() -> None:
    for limit in (256, 1024, 4096, 1 << 20):
        shares = descriptors.shares(limit)
        assert sum(shares) <= limit - descriptors.OWN
        assert shares.switches >= shares.guests
        assert min(shares) > 0


def test_the_soft_limit_is_raised() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert descriptors.raise_limit() == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- what must go on -------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "PAUSE_SECONDS", 0.0)


def test_work_that_ends_is_started_again(at_once: None, caplog: pytest.LogCaptureFixture) -> None:
    ends, over = iter([ValueError("a mistake"), None]), runtime.Signal()

    def work() -> None:
        try:
            error = next(ends)
        except StopIteration:
            over.set()
            runtime.sleep(1000)
        else:
            if error:
                raise error

    kept = supervisor.keep("the work", work, give_up=lambda: None)
    assert over.wait(5)
    kept.kill()
    assert "the work has failed" in caplog.text
    assert "the work has ended" in caplog.text


def test_work_that_ends_again_and_again_is_given_up(at_once: None) -> None:
    given_up = runtime.Signal()
    supervisor.keep("the work", lambda: None, given_up.set)
    assert given_up.wait(5)
