# SPDX-License-Identifier: Apache-2.0

"""Answers to DNS queries, case by case, read by dnspython."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest

from tenantry.apps.dns.answers import Resolver
from tenantry.controller.feature.effects import DnsQuery
from tenantry.controller.model import Port
from tenantry.controller.packets.malformed import Malformed
from tests.property.test_guest_bytes import VIEW

RESOLVER = Resolver("test.")
(PORT,) = VIEW.find(Port, key=7)


def ask(query: dns.message.Message | bytes, **options: bool) -> Any:
    wire = query if isinstance(query, bytes) else query.to_wire()
    answer = RESOLVER.answer(VIEW, PORT, wire, **options)
    return answer if isinstance(answer, DnsQuery) else dns.message.from_wire(answer)


def asked(name: str, type: str = "A", **options: Any) -> dns.message.Message:
    return dns.message.make_query(name, type, **options)


@pytest.mark.parametrize(
    ("name", "type", "rcode", "texts"),
    [
        ("web.test.", "A", "NOERROR", ["10.0.0.2"]),
        ("web.test.", "AAAA", "NOERROR", ["2001:db8::2"]),
        ("web.test.", "TXT", "NOERROR", []),
        ("web.test.", "ANY", "NOERROR", ["10.0.0.2"]),
        ("test.", "A", "NOERROR", []),
        ("other.test.", "A", "NXDOMAIN", []),
        ("a.web.test.", "A", "NXDOMAIN", []),
        ("2.0.0.10.in-addr.arpa.", "PTR", "NOERROR", ["web.test."]),
        ("3.0.0.10.in-addr.arpa.", "PTR", "NXDOMAIN", []),
        (f"2{'.0' * 23}.8.b.d.0.1.0.0.2.ip6.arpa.", "PTR", "NOERROR", ["web.test."]),
    ],
)
def test_what_the_network_says(name: str, type: str, rcode: str, texts: list[str]) -> None:
    answer = ask(asked(name, type))
    assert dns.rcode.to_text(answer.rcode()) == rcode
    assert [str(item) for rrset in answer.answer for item in rrset] == texts
    assert answer.flags & dns.flags.AA
    assert bool(answer.authority) == (not texts)  # the SOA, for how long to believe it


@pytest.mark.parametrize(
    ("name", "type"),
    [
        ("www.example.org.", "A"),
        ("web.", "A"),
        ("1.2.0.192.in-addr.arpa.", "PTR"),
        ("10.in-addr.arpa.", "NS"),
        ("webtest.", "A"),
    ],
)
def test_the_rest_is_asked_of_others(name: str, type: str) -> None:
    assert isinstance(ask(asked(name, type)), DnsQuery)


def test_the_question_comes_back_in_its_own_letters() -> None:
    answer = ask(asked("WeB.TeSt."))
    assert answer.question[0].name.to_text() == "WeB.TeSt."
    assert answer.answer


def test_edns() -> None:
    assert ask(asked("web.test.")).edns == -1  # who does not speak it is not spoken to in it
    answer = ask(asked("web.test.", use_edns=0, payload=4096))
    assert (answer.edns, answer.rcode()) == (0, dns.rcode.NOERROR)
    future = asked("web.test.")
    future.use_edns(1)
    assert ask(future).rcode() == dns.rcode.BADVERS
    option = dns.edns.GenericOption(65001, b"what")
    assert ask(asked("web.test.", use_edns=0, options=[option])).answer


def test_what_is_no_ordinary_query() -> None:
    update = asked("web.test.")
    update.set_opcode(dns.opcode.NOTIFY)
    assert ask(update).rcode() == dns.rcode.NOTIMP
    two = asked("web.test.")
    two.question += asked("x.test.").question
    assert ask(two).rcode() == dns.rcode.FORMERR
    assert ask(asked("web.test.").to_wire()[:-3]).rcode() == dns.rcode.FORMERR
    loop = b"ab\1\0\0\1\0\0\0\0\0\0\xc0\x0c\0\1\0\1"
    assert ask(loop).rcode() == dns.rcode.FORMERR
    assert ask(asked("web.test.", rdclass="CH")).rcode() == dns.rcode.REFUSED
    for junk in (b"", b"short", ask(asked("web.test.")).to_wire()):
        with pytest.raises(Malformed):
            ask(junk)


def test_what_others_answer_is_passed_on_or_cut_off() -> None:
    query = asked("www.example.org.", use_edns=0, payload=1232)
    small, large = b"x" * 1232, b"x" * 1233
    assert ask(query).then(small) == small
    cut = dns.message.from_wire(ask(query).then(large))
    assert cut.flags & dns.flags.TC
    assert ask(query, stream=True).then(large) == large
    assert dns.message.from_wire(ask(query).then(None)).rcode() == dns.rcode.SERVFAIL
