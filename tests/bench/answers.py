# SPDX-License-Identifier: Apache-2.0

"""What it takes to answer questions of guests: to parse, look up, and make a frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from tenantry.apps.dns import packets
from tenantry.controller.feature.effects import Handler, PacketIn
from tests.bench import Figure, in_turns, ratio
from tests.bench.peers import WORK_NAME, work
from tests.property.test_guest_bytes import DHCP, RESOLVER, SOLICITATION, VIEW, discover, query
from tests.property.test_guest_bytes import solicit as dhcpv6_solicit

QUESTIONS = 200
BAR = 18


def bench() -> Iterator[Figure]:
    asked: dict[str, tuple[Handler, bytes]] = {
        "dhcp": (DHCP.handle, discover()),
        "dhcpv6": (DHCP.handle, dhcpv6_solicit()),
        "ra": (DHCP.handle, SOLICITATION),
        "dns": (packets.handler(RESOLVER), query()),
    }
    for name, (handler, frame) in asked.items():
        times, peers = in_turns(partial(_answer, handler, frame), work, rounds=15)
        yield ratio(
            f"answers.{name}",
            times,
            peers,
            f"{WORK_NAME}, for {QUESTIONS} answers",
            BAR,
            reference="1,050 answers/s",
        )


def _answer(handler: Handler, frame: bytes) -> None:
    packet = PacketIn(1, 0, 5, 1, 7, frame)
    for _ in range(QUESTIONS):
        (_answer,) = handler(VIEW, packet)
