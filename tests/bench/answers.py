# SPDX-License-Identifier: Apache-2.0

"""How many questions of guests are answered a second: parsed, looked up, and made into a frame."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from tenantry.apps.dns import packets
from tenantry.controller.feature.effects import Handler, PacketIn
from tests.bench import Figure
from tests.property.test_guest_bytes import DHCP, RESOLVER, SOLICITATION, VIEW, discover, query
from tests.property.test_guest_bytes import solicit as dhcpv6_solicit

QUESTIONS = 1000
ROUNDS = 5


def bench() -> Iterator[Figure]:
    asked: dict[str, tuple[Handler, bytes]] = {
        "dhcp": (DHCP.handle, discover()),
        "dhcpv6": (DHCP.handle, dhcpv6_solicit()),
        "ra": (DHCP.handle, SOLICITATION),
        "dns": (packets.handler(RESOLVER), query()),
    }
    for name, (handler, frame) in asked.items():
        packet = PacketIn(1, 0, 5, 1, 7, frame)
        rates = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for _ in range(QUESTIONS):
                (_answer,) = handler(VIEW, packet)
            rates.append(QUESTIONS / (time.perf_counter() - started))
        rate = statistics.median(rates)
        yield Figure(f"answers.{name}", rate, "answers/s", 1000, at_least=True)
