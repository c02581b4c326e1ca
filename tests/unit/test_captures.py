# SPDX-License-Identifier: Apache-2.0

"""Captures without switches: the terms of filters, and what becomes of what nobody reads."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.apps.tap import captures
from tenantry.apps.tap.captures import Captured, Captures, Limits
from tenantry.apps.tap.records import IN, OUT, Capture
from tenantry.apps.tap.terms import alternatives
from tenantry.controller.openflow.oxm import match_text


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", {""}),
        ("arp", {"dl_type=0x806"}),
        ("ICMP6", {"dl_type=0x86dd,nw_proto=58"}),
        ("src port 53 and udp", {
            "dl_type=0x800,nw_proto=17,tp_src=53", "dl_type=0x86dd,nw_proto=17,tp_src=53"
        }),
        ("dst host fd00::1", {"dl_type=0x86dd,ipv6_dst=fd00::1"}),
        ("src net 10.1.2.3/8", {
            "dl_type=0x800,nw_src=10.0.0.0/8", "dl_type=0x806,arp_spa=10.0.0.0/8"
        }),
        ("ip host 10.0.0.1", {"dl_type=0x800,nw_src=10.0.0.1", "dl_type=0x800,nw_dst=10.0.0.1"}),
        ("ether src host fa:16:3e:00:00:01", {"dl_src=fa:16:3e:00:00:01"}),
    ],
)  # fmt: skip
def test_terms(text: str, matches: set[str]) -> None:
    assert {match_text(dict(one)) for one in alternatives(text)} == matches


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tcp udp", "no packet is all of"),
        ("host", "needs a value"),
        ("tcp port", "needs a value after it: port 80"),
        ("ether host", "needs a value after it: ether host"),
        ("src", "no term"),
        ("ether", "no term"),
        ("ether net 10.0.0.0/8", "no term"),
        ("or", "no term"),
        ("port http", "no port"),
        ("port 0", "no port"),
        ("port ²", "no port"),
        ("host somewhere", "no IP address"),
        ("host 10.0.0.1/33", "no IP address"),
        ("net 0.0.0.0/0", "any address"),
        ("net 10.0.0.0/0", "any address"),
        ("ether host 10.0.0.1.9", "no MAC"),
        ("port 1 " * 90, "characters"),
    ],
)
def test_what_is_no_filter(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        alternatives(text)


class Running:
    """What a capture sees of a controller."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def learn(self, change: Any) -> None:
        self.records.append(change.record)


def test_what_nobody_reads_is_dropped_and_counted() -> None:
    """No more than so much waits, however long the reader takes; and the end says what is lost."""
    open_now, running = Captures(1), Running()
    record = Capture("one", 1, "port", frozenset({IN, OUT}), ((),), 100)
    stream = open_now.read(
        running,  # type: ignore[arg-type]
        lambda: False,
        lambda key: record,
        Limits(3600.0, None, 2 * captures.QUEUED),
    )
    assert next(stream)[:4] == b"\n\r\r\n"
    assert open_now.full() and running.records == [record]
    packets = [Captured(1, IN, bytes(1000))] * 3000
    for packet in packets:
        open_now.take(packet, None)  # type: ignore[arg-type]
    block = next(stream)
    assert len(block) <= captures.QUEUED
    (shown,) = open_now.shown(lambda kind, id: True)
    assert shown["packets"] + shown["dropped"] == len(packets)
    assert shown["dropped"] > 1900
    for packet in packets:  # until it is as large as one may be: the switch is asked for no more
        open_now.take(packet, None)  # type: ignore[arg-type]
    assert running.records == [record]
    next(stream)
    open_now.take(packets[0], None)  # type: ignore[arg-type]
    assert running.records == [record, None]
    assert b"as large as one may be" in b"".join(stream)
    assert not open_now.full()


def test_its_time_ends_it_though_nobody_reads() -> None:
    open_now, running = Captures(1), Running()
    record = Capture("one", 1, "port", frozenset({IN}), ((),), 100)
    stream = open_now.read(
        running,  # type: ignore[arg-type]
        lambda: False,
        lambda key: record,
        Limits(0.0, None, captures.QUEUED),
    )
    next(stream)
    open_now.take(Captured(1, IN, b"late"), None)  # type: ignore[arg-type]
    assert running.records == [record, None]
    stream.close()  # type: ignore[attr-defined]
    assert not open_now.full()
