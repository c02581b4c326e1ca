# SPDX-License-Identifier: Apache-2.0

"""Guests at their worst: one asks as much as it can, and nobody else pays for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.attack.stage import SECONDS, SEED, Stage, stage
from tests.namespace import Guest
from tests.netns.test_flood import FLOOD, FLOOD_RATE, floods
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Stage]:
    with stage(ovs, tmp_path) as running:
        running.open_default_groups()
        yield running
        running.whole()


class Street:
    """A network with an attacker, a newcomer that wants an address, and two that never met."""

    def __init__(self, net: Stage) -> None:
        self.network = net.network("10.0.0.0/24", "fd00:a::/64")
        self.ports = [net.port(self.network) for _ in range(4)]
        attacker, self.newcomer, a, b = self.ports
        self.attacker, self.one, self.other = net.guest(attacker), net.guest(a), net.guest(b)
        self.meeting = (self.one, b["fixed_ips"][0]["ip_address"])

    def reach_metadata(self, guest: Guest) -> None:
        guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")


def words(guest: Guest, kind: str, address: str) -> list[str]:
    program = (sys.executable, "-m", "tests.attack.guests", kind, address)
    return guest.command(*program, str(SECONDS), str(SEED))


def test_metadata_asked_in_every_bad_way(net: Stage) -> None:
    street = Street(net)
    street.reach_metadata(street.attacker)
    attack = words(street.attacker, "metadata", "169.254.169.254")
    net.withstand([attack], [street.newcomer], [street.meeting])


@pytest.mark.parametrize("kind", ["DHCP", "ND"])
def test_a_flood_of_questions(net: Stage, kind: str) -> None:
    street = Street(net)
    frame = floods(street.ports[0])[kind].hex()
    flood = f"import threading, os; threading.Timer({SECONDS}, os._exit, (0,)).start()\n{FLOOD}"
    flood = flood.replace('"flooding"', '"attacking"')
    attack = street.attacker.command(sys.executable, "-c", flood, frame, FLOOD_RATE)
    net.withstand([attack], [street.newcomer], [street.meeting])


@pytest.mark.parametrize("version", [4, 6])
def test_new_connections_without_end(net: Stage, version: int) -> None:
    """One guest's connections are its own: others may still begin theirs."""
    street = Street(net)
    fixed: list[dict[str, Any]] = street.ports[2]["fixed_ips"]
    address = next(f["ip_address"] for f in fixed if (":" in f["ip_address"]) == (version == 6))
    attack = words(street.attacker, "connections", address)
    net.withstand([attack], [street.newcomer], [street.meeting])
