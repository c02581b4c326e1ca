# SPDX-License-Identifier: Apache-2.0

"""Asking other resolvers: only the answer to the very question is taken, and not for ever."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tenantry.controller import config, runtime
from tenantry.controller.config import Address, ConfigError
from tenantry.controller.feature.effects import DnsQuery
from tenantry.controller.service import resolvers
from tenantry.controller.service.resolvers import MOST_OF_A_PORT, Resolvers

QUERY = b"ab\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1"


def answered(question: bytes) -> bytes:
    return question[:2] + b"\x81\x80" + question[4:]


@contextmanager
def resolver(answers: Callable[[bytes], list[bytes]]) -> Iterator[Address]:
    """One on loopback that says what ``answers`` makes of a question."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                data, who = server.recvfrom(4096)
                for answer in answers(data):
                    server.sendto(answer, who)

        greenlet = runtime.spawn(serve)
        try:
            yield Address(*server.getsockname())
        finally:
            greenlet.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolvers, "SECONDS", 0.1)


def test_an_answer_comes_back_under_the_clients_id() -> None:
    with resolver(lambda question: [answered(question)]) as address:
        assert Resolvers([address]).resolve(QUERY) == answered(QUERY)


def test_forged_answers_are_not_taken(impatient: None) -> None:
    def forged(question: bytes) -> list[bytes]:
        other_id = bytes((question[0] ^ 1,)) + answered(question)[1:]
        other_question = answered(question).replace(b"\1x", b"\1y")
        return [other_id, other_question, question, b"", b"short"]

    with resolver(forged) as address:
        assert Resolvers([address]).resolve(QUERY) is None
    with resolver(lambda question: [*forged(question), answered(question)]) as address:
        assert Resolvers([address]).resolve(QUERY) == answered(QUERY)


def test_the_next_one_is_asked_when_one_is_silent(impatient: None) -> None:
    with resolver(lambda question: []) as silent, resolver(lambda q: [answered(q)]) as other:
        nobody = Address("127.0.0.1", 1)
        found = Resolvers([nobody, silent, other])
        assert found.resolve(QUERY) == answered(QUERY)
    assert Resolvers([]).resolve(QUERY) is None


def test_one_port_cannot_keep_all_busy(impatient: None) -> None:
    with resolver(lambda question: []) as silent:
        found = Resolvers([silent])
        done: list[bytes | None] = []
        for _ in range(MOST_OF_A_PORT + 5):
            found.ask(DnsQuery(QUERY, lambda reply: reply), 1, done.append)
        assert found.dropped == 5
        found.ask(DnsQuery(QUERY, lambda reply: reply), 2, done.append)
        with runtime.Timeout(5):
            while len(done) <= MOST_OF_A_PORT:
                runtime.yield_now()
        assert found.dropped == 5
        found.ask(DnsQuery(QUERY, lambda reply: reply), 1, done.append)
        assert found.dropped == 5


def test_options() -> None:
    assert config.resolvers(["192.0.2.1", "192.0.2.2:5353", "2001:db8::1", "[2001:db8::2]:54"]) == [
        ("192.0.2.1", 53),
        ("192.0.2.2", 5353),
        ("2001:db8::1", 53),
        ("2001:db8::2", 54),
    ]
    for wrong in ("resolver.example", "192.0.2.1:dns", "192.0.2.1:70000", ""):
        with pytest.raises(ConfigError):
            config.resolvers([wrong])
