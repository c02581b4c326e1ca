# SPDX-License-Identifier: Apache-2.0

"""Whether members are alive: what is said, when, and what follows from answers. Over loopback, in
a namespace in which the service port's addresses are ours."""

from __future__ import annotations

import itertools
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.apps.health.monitored import codes
from tenantry.apps.load_balancer.records import Member, MemberHealth
from tenantry.controller.feature.probes import (
    TCP,
    Probe,
    Probing,
    Question,
    Verdict,
)
from tenantry.controller.model import Change, Model
from tenantry.controller.packets.own_addresses import probed
from tenantry.controller.service import prober as probers
from tenantry.controller.service.echoes import crc32c
from tenantry.controller.service.follower import Passed
from tenantry.controller.service.judging import Judge, Kept
from tenantry.controller.service.prober import Prober
from tenantry.controller.sockets import certificates, conversations
from tenantry.controller.sockets.conversations import Conversation

# --- conversations -----------------------------------------------------------------------------


def talked(conversation: Conversation, answers: list[bytes]) -> tuple[bytes, str | None]:
    """What was said, and what came of it, with these answers and then the end; None: it still
    wants to hear more."""
    said, left = b"", [*answers, b""]
    try:
        wants = next(conversation)
        while True:
            if wants is not None:
                said += wants
                wants = next(conversation)
            elif left:
                wants = conversation.send(left.pop(0))
            else:
                return said, None
    except StopIteration as end:
        return said, end.value


def asked(*ranges: tuple[int, int], host: str = "", version: str = "1.0") -> Conversation:
    return conversations.http("GET", "/up", version, host, ranges or ((200, 200),))


@given(
    status=st.integers(100, 599),
    cuts=st.lists(st.integers(0, 40)),
    rest=st.binary(max_size=20),
    first=st.integers(100, 599),
    last=st.integers(100, 599),
)
def test_an_answer_may_be_cut_anywhere(
    status: int, cuts: list[int], rest: bytes, first: int, last: int
) -> None:
    answer = b"HTTP/1.1 %d Whatever\r\n" % status + rest
    places = [0, *sorted(cuts), len(answer)]
    parts = [answer[a:b] for a, b in itertools.pairwise(places) if a < b]
    _, reason = talked(asked((first, last)), parts)
    assert reason == ("" if first <= status <= last else f"HTTP {status}")


@given(st.lists(st.binary(min_size=1, max_size=64)))
def test_any_octets_are_an_answer_or_none(answers: list[bytes]) -> None:
    for conversation in (
        asked(),
        conversations.tls(asked(), "x"),
        conversations.tls(conversations.nothing(), ""),
    ):
        _, reason = talked(conversation, list(answers))
        assert isinstance(reason, str)
        assert reason


@given(st.text(), st.text(), st.text())
def test_a_request_is_one(method: str, path: str, host: str) -> None:
    """Whatever somebody has written into a monitor, it ends no line and begins no header."""
    head, _, body = conversations.request(method, path, "1.1", host).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert body == b""
    assert lines[0].count(" ") == 2
    assert [line.partition(":")[0] for line in lines[1:]] in (
        [*(["Host"] if host else []), *length, "User-Agent", "Accept", "Connection"]
        for length in ([], ["Content-Length"])
    )


def test_what_is_wrong_is_said() -> None:
    assert talked(asked(), [b"SSH-2.0-OpenSSH\r\n"])[1] == conversations.NOT_HTTP
    assert talked(asked(), [b"HTTP/1.1 2"])[1] == conversations.NOT_HTTP
    assert talked(asked(), [])[1] == conversations.SILENT
    assert talked(conversations.tls(asked(), ""), [])[1] == f"TLS: {conversations.SILENT}"
    said, _ = talked(asked(host="web.example", version="1.1"), [])
    assert said.startswith(b"GET /up HTTP/1.1\r\nHost: web.example\r\n")


def test_tls_names_the_server_and_reads_what_comes_within(tmp_path: Path) -> None:
    certificates.create(tmp_path / "pki", ["web.example"])
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made = sorted((tmp_path / "pki").iterdir())
    pem = tmp_path / "both.pem"
    pem.write_text("".join(p.read_text() for p in made if "controller" in p.name))
    context.load_cert_chain(pem)
    context.sni_callback = lambda stream, name, context: names.append(name)
    come, go = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(come, go, server_side=True)
    conversation = conversations.tls(asked(), "web.example")
    answered = False
    wants, reason = next(conversation), None
    try:
        while True:
            if wants is not None:
                come.write(wants)
                wants = next(conversation)
                continue
            try:
                if not answered:
                    server.do_handshake()
                    if b"\r\n\r\n" in server.read(4096):
                        server.write(b"HTTP/1.1 503 no\r\n\r\n")
                        answered = True
            except ssl.SSLWantReadError:
                pass
            data = go.read()
            for n in range(len(data)):
                wants = conversation.send(data[n : n + 1])
                if wants is not None:
                    break
            if wants is not None and n + 1 < len(data):
                go.write(data[n + 1 :])
    except StopIteration as end:
        reason = end.value
    assert reason == "HTTP 503"
    assert names == ["web.example"]


def test_codes() -> None:
    assert codes("") == ((200, 200),)
    assert codes("200, 202,400-404") == ((200, 200), (202, 202), (400, 404))
    assert codes("x,-,2-y,201") == ((201, 201),)


def test_checksum_of_sctp() -> None:
    assert crc32c(b"123456789") == 0xE3069283  # RFC 3720, B.4, has more


# --- judging -----------------------------------------------------------------------------------


@given(
    rise=st.integers(1, 4),
    fall=st.integers(1, 4),
    before=st.sampled_from([None, "refused"]),
    reasons=st.lists(st.sampled_from(["", "", "refused", "HTTP 503"]), max_size=40),
)
def test_verdicts_follow_from_what_was_heard_in_a_row(
    rise: int, fall: int, before: str | None, reasons: list[str]
) -> None:
    judge = Judge(rise, fall, before)
    alive: bool | None = None if before is None else False
    for n, reason in enumerate(reasons):
        judge.heard(reason)
        heard = reasons[: n + 1]

        def all_in_row(count: int, good: bool, heard: list[str] = heard) -> bool:
            return len(heard) >= count and all((r == "") is good for r in heard[-count:])

        if (alive is None and reason == "") or (alive is False and all_in_row(rise, True)):
            alive = True
        elif alive is not False and all_in_row(fall, False):
            alive = False
        assert judge.alive is alive
        assert bool(judge.reason) is (alive is False)


def test_a_reason_changes_when_it_is_sure() -> None:
    judge = Judge(2, 2)
    assert [judge.heard(r) for r in ("refused", "refused", "HTTP 503", "refused", "HTTP 503")] == [
        *(False, True, False, False, False)
    ]
    assert judge.reason == "refused"
    assert judge.heard("HTTP 503")
    assert (judge.alive, judge.reason) == (False, "HTTP 503")
    assert [judge.heard(""), judge.heard("")] == [False, True]
    assert (judge.alive, judge.reason) == (True, "")


def test_the_dead_are_kept(tmp_path: Path) -> None:
    file = tmp_path / "some" / "health.json"
    kept = Kept(str(file))
    kept.note("a", "refused")
    kept.note("b", "HTTP 503")
    kept.note("b", None)
    kept.write()
    assert Kept(str(file)).dead == {"a": "refused"}
    for broken in ("[1]", "{", '{"a": {}'):
        file.write_text(broken)
        assert Kept(str(file)).dead == {}
    kept = Kept("")
    kept.note("a", "refused")
    kept.write()
    assert kept.dead == {"a": "refused"}


# --- the loop ----------------------------------------------------------------------------------


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asker:
    """A prober whose questions go nowhere: they are answered by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: str = "", **options: Any) -> None:
        self.clock = Clock()
        self.asked: list[tuple[float, Any]] = []
        self.changes: list[Change] = []
        self.wanted: list[Probe] = []
        self.ready = True
        self.answer: Callable[[Probe], str | None] = lambda probe: ""
        asker = self

        class Questions:
            def __init__(self, interface: str) -> None: ...
            def wake(self) -> None: ...
            def close(self) -> None: ...
            def forget(self, asking: Any) -> None: ...
            def wait(self, seconds: float | None) -> None: ...

            def begin(self, asking: Any) -> None:
                asker.asked.append((asker.clock.now, asking))
                answer = asker.answer(asking.probe)
                if answer is not None:
                    asking.ended(asking, answer)

        monkeypatch.setattr(probers, "Questions", Questions)
        monkeypatch.setattr(probers, "monotonic", self.clock)
        monkeypatch.setattr(probers, "SLICE_SECONDS", 60)  # no real time counts
        probing = Probing((Member,), lambda *_: "all", lambda *_: self.wanted, _record, file)
        self.prober = Prober(
            Model(),
            [probing],
            self.changes.extend,
            interface="",
            most=options.pop("most", 1000),
            ready=lambda: self.ready,
        )

    def want(self, *probes: Probe) -> None:
        self.wanted = list(probes)
        change = Change(Member, "m", MemberHealth("m", True, ""))
        self.prober.passed(Passed([], [change], {}, 1))
        self.prober.turn()

    def run(self, seconds: float, step: float = 0.05) -> None:
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += step
            self.prober.turn()

    def times(self, id: str) -> list[float]:
        return [when for when, asking in self.asked if asking.probe.id == id]

    def said(self) -> list[tuple[str, bool | None, str]]:
        return [
            (str(c.id), c.record and c.record.alive, c.record and c.record.reason)  # type: ignore[attr-defined]
            for c in self.changes
        ]


def _record(id: str, verdict: Verdict | None) -> Change:
    record = MemberHealth(id, verdict.alive, verdict.reason) if verdict else None
    return Change(MemberHealth, id, record)


def probe(id: str, kind: str = TCP, **changes: Any) -> Probe:
    plan = {"delay": 5.0, "timeout": 2.0, "rise": 2, "fall": 3}
    return Probe(id, 4, probed(4, 1), Question(kind, 80), **{**plan, **changes})


@pytest.fixture
def asker(monkeypatch: pytest.MonkeyPatch) -> Asker:
    return Asker(monkeypatch)


def test_many_are_asked_at_times_of_their_own(asker: Asker) -> None:
    asker.want(*(probe(str(n)) for n in range(1000)))
    asker.run(20)
    for n in range(1000):
        times = asker.times(str(n))
        assert len(times) in (3, 4, 5)
        assert all(4.9 < b - a < 5.1 for a, b in itertools.pairwise(times))
    begun = [when for when, _ in asker.asked]
    each_second = [sum(s <= when - 1000 < s + 1 for when in begun) for s in range(20)]
    assert min(each_second[1:]) > 140
    assert max(each_second) < 260


def test_one_that_dies_is_out_within_delay_times_retries(asker: Asker) -> None:
    alive = True
    asker.answer = lambda probe: "" if alive else "refused"
    asker.want(probe("a"))
    asker.run(7)
    assert asker.said() == [("a", True, "")]
    alive, died = False, asker.clock.now
    while len(asker.changes) == 1:
        asker.run(0.05)
    assert asker.clock.now - died <= 3 * 5 + 0.2
    alive, back = True, asker.clock.now
    while len(asker.changes) == 2:
        asker.run(0.05)
    assert asker.clock.now - back <= 2 * 5 + 0.2
    assert asker.said() == [("a", True, ""), ("a", False, "refused"), ("a", True, "")]


def test_silence_is_no_answer_when_time_is_up_and_never_two_questions(asker: Asker) -> None:
    asker.answer = lambda probe: None
    asker.want(probe("a", timeout=5.0, fall=1), probe("u", "UDP-CONNECT", timeout=5.0))
    asker.run(30)
    assert asker.said()[:2] in (
        [("a", False, "no answer"), ("u", True, "")],
        [("u", True, ""), ("a", False, "no answer")],
    )
    for id in "au":
        times = asker.times(id)
        assert len(times) >= 5
        assert all(5 <= b - a < 5.2 for a, b in itertools.pairwise(times))
    assert asker.prober.under_way <= 2


def test_no_more_questions_at_a_time_than_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asker = Asker(monkeypatch, most=10)
    asker.answer = lambda probe: None
    asker.want(*(probe(str(n), timeout=1.0, fall=1) for n in range(100)))
    for _ in range(400):
        asker.run(0.1)
        assert asker.prober.under_way <= 10
    assert asker.prober.late
    assert {id for id, *_ in asker.said()} == {str(n) for n in range(100)}


def test_nobody_is_judged_while_we_cannot_ask(asker: Asker) -> None:
    asker.want(probe("a", fall=1))
    asker.run(7)
    asker.ready, asker.answer = False, lambda probe: "no answer"
    asker.run(30)
    assert asker.said() == [("a", True, "")]
    asker.ready, asker.answer = True, lambda probe: None
    begun = len(asker.asked)
    while len(asker.asked) == begun:
        asker.run(0.05)
    asker.ready = False  # in the middle of a question
    asker.run(10)
    assert asker.said() == [("a", True, "")]


def test_who_is_asked_no_more_has_no_verdict(asker: Asker) -> None:
    asker.want(probe("a"), probe("b"))
    asker.run(6)
    asker.want(probe("b", delay=1.0))
    assert asker.said()[-1] == ("a", None, None)
    before = len(asker.times("a"))
    asker.run(6)
    assert len(asker.times("a")) == before
    assert len(asker.times("b")) >= 6


def test_a_restart_knows_the_dead_until_they_are_judged_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(tmp_path / "health.json")
    asker = Asker(monkeypatch, file)
    asker.answer = lambda probe: "refused" if probe.id == "a" else ""
    asker.want(probe("a"), probe("b"), probe("gone", fall=1))
    asker.run(20)
    asker.answer = lambda probe: "refused"
    asker.run(16)
    assert json.loads(Path(file).read_text()) == {"a": "refused", "b": "refused", "gone": "refused"}
    again = Asker(monkeypatch, file)
    assert {id: alive for id, alive, _ in again.said()} == dict.fromkeys(["a", "b", "gone"], False)
    again.changes.clear()
    again.answer = lambda probe: "refused" if probe.id == "a" else ""
    again.want(probe("a"), probe("b"))
    assert again.said() == [("gone", None, None)]
    again.run(30)
    assert again.said() == [("gone", None, None), ("b", True, "")]
    assert json.loads(Path(file).read_text()) == {"a": "refused"}
