# SPDX-License-Identifier: Apache-2.0

"""Who gets the multicast of a group, and how much of a storm others get."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tenantry.controller.packets import frames
from tests import namespace
from tests.bench import Figure
from tests.groups import GROUPS, OF_LINK, Listener, joined, members, say, settled
from tests.lab import Lab, lab
from tests.namespace import Guest
from tests.openvswitch import OpenVSwitch

PACKETS = 200
LIMIT, SECONDS = 1000, 5.0
STORM = """
import socket, sys, time
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
    wire.bind(("eth0", 0))
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        wire.send(bytes.fromhex(sys.argv[1]))
"""


def bench() -> Iterator[Figure]:
    """Four guests of one network: one speaks, one is a member, two are not."""
    with (
        namespace.entered(),
        OpenVSwitch() as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        lab(ovs, Path(directory), multicast__snooping="true") as net,
    ):
        network = net.network("10.0.0.0/24", "fd00::/64")
        ports = [net.port(network) for _ in range(4)]
        guests = [net.guest(port) for port in ports]
        settled(net)
        for version in (4, 6):
            got = _counts(net, guests, ports[1]["id"], version)
            name = f"multicast.ipv{version}"
            yield Figure(f"{name}.member", got[0] / PACKETS, "of the packets", 1, at_least=True)
            yield Figure(f"{name}.others", sum(got[1:]), "packets to who did not ask", 0)
        mac = int(ports[0]["mac_address"].replace(":", ""), 16)
        everybody = frames.Ends(mac, (1 << 48) - 1, 4, 0x0A000002, (1 << 32) - 1)
        yield _storm(guests, frames.udp(everybody, 9, 9, b"storm"))


def _counts(net: Lab, guests: list[Guest], member: str, version: int) -> list[int]:
    """How many packets of a group each of the others gets."""
    group = GROUPS[version]
    with joined(guests[1], group):
        net.until(lambda: members(net, group) == {member})
        net.take_effect()
        ears = [Listener(guest) for guest in guests[1:]]
        for _ in range(PACKETS):
            say(guests[0], group, b"to the group")
        say(guests[0], OF_LINK[version], b"to the link")
        got = [ear.count(b"to the group", b"to the link") for ear in ears]
        for ear in ears:
            ear.close()
    return got


def _storm(guests: list[Guest], frame: bytes) -> Figure:
    """Broadcasts as fast as a guest can, and what another gets of them beside the limit."""
    before, started = _received(guests[1]), time.monotonic()
    words = guests[0].command(sys.executable, "-c", STORM, frame.hex(), str(SECONDS))
    subprocess.run(words, check=True)
    got, took = _received(guests[1]) - before, time.monotonic() - started
    allowed = LIMIT * (took + 1)  # a second's worth may come at once
    return Figure("multicast.storm", got / allowed, "x the limit", 1.05)


def _received(guest: Guest) -> int:
    (link,) = json.loads(guest.run("ip", "-json", "-stats", "link", "show", "eth0"))
    packets: int = link["stats64"]["rx"]["packets"]
    return packets
