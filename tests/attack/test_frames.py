# SPDX-License-Identifier: Apache-2.0

"""Frames made up to get where they must not. Who must hear nothing hears nothing, and what others
hear bears the sender's own addresses."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.network.routers import ROUTED_MAC
from tenantry.controller.packets.frames import ARP, ICMPV6, IPV4, IPV6
from tests.attack.frames import HOP_BY_HOP, MARK, End, Ends, end
from tests.attack.stage import Stage, stage
from tests.attack.test_guests import words
from tests.farm import farm, machines
from tests.lab import Lab
from tests.namespace import Guest, run
from tests.openvswitch import OpenVSwitch

ALL = socket.htons(3)
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
LINK_LOCAL = 0xFE80 >> 6  # its ten bits


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Stage]:
    with stage(ovs, tmp_path) as running:
        yield running
        running.whole()


class Ear:
    """Hears every marked frame that comes to a guest."""

    def __init__(self, guest: Guest) -> None:
        self._heard: set[bytes] = set()
        self._socket = guest.socket(socket.SOCK_RAW, socket.AF_PACKET, ALL)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
        self._socket.bind(("eth0", 3))
        self._socket.setblocking(False)
        self._listening = runtime.spawn(self._listen)

    def _listen(self) -> None:
        while True:
            self._take()
            runtime.sleep(0.01)

    def _take(self) -> None:
        with suppress(BlockingIOError):
            while True:
                frame, where = self._socket.recvfrom(1 << 16)
                if MARK in frame and where[2] != socket.PACKET_OUTGOING:
                    self._heard.add(frame)

    def heard(self) -> set[bytes]:
        self._listening.kill()
        self._take()
        self._socket.close()
        return self._heard


class Neighbourhood:
    """The attacker's: one without any rule, one behind a router without any rule, one that hears
    all, and another tenant's, whose addresses are the same."""

    def __init__(self, net: Lab, plug: Callable[[Any], Guest], *, secured: bool) -> None:
        here = net.network("10.0.0.0/24", "fd00:a::/64")
        behind = net.network("10.1.0.0/24", "fd00:b::/64")
        there = net.network("10.0.0.0/24", "fd00:a::/64", project="other")
        router = net.router(here, behind)
        body = {"security_group": {"name": "closed"}}
        closed = net.api("POST", "/v2.0/security-groups", body)["security_group"]
        for rule in closed["security_group_rules"]:
            net.delete("security-group-rule", rule["id"])
        nothing = {"security_groups": [closed["id"]]}
        free = {"port_security_enabled": False}
        self._secured = secured
        attacker = net.port(here, **({} if secured else free))
        ports = {
            "neighbour": net.port(here, **nothing),
            "behind": net.port(behind, **nothing),
            "all": net.port(here, **free),
            "stranger": net.port(there),
        }
        self.attacker = plug(attacker)
        self._ears = {name: Ear(plug(port)) for name, port in ports.items()}
        self._own = end(attacker)
        gates = _gateways(net, router, here)
        self._routers = {gate.mac for gate in gates}
        self._ends = Ends(self._own, tuple(end(port) for port in ports.values()), gates)

    def attack(self, directory: Path) -> list[str]:
        """The words that make the attacker attack."""
        file = directory / "ends.json"
        file.write_text(self._ends.text())
        return words(self.attacker, "frames", str(file))

    def check(self) -> None:
        """Nobody has heard what is not for them."""
        heard = {name: ear.heard() for name, ear in self._ears.items()}
        assert not shown(heard["stranger"])
        assert not shown(heard["behind"])
        assert not shown(frame for frame in heard["neighbour"] if not belongs_to_the_link(frame))
        if self._secured:
            strange = (f for f in heard["all"] if not is_from(f, self._own, self._routers))
            assert not shown(strange)
        assert heard["all"], "nothing was sent that may pass: the test proves nothing"


SECURED = pytest.mark.parametrize("secured", [True, False], ids=["secured", "not secured"])


@SECURED
def test_on_one_host(net: Stage, tmp_path: Path, secured: bool) -> None:
    neighbourhood = Neighbourhood(net, net.guest, secured=secured)
    net.withstand([neighbourhood.attack(tmp_path)], [], [])
    neighbourhood.check()


@SECURED
def test_through_tunnels(own_netns: None, tmp_path: Path, secured: bool) -> None:
    options = {"multicast__snooping": "true"}
    with machines(3) as started, farm(tmp_path, started, **options) as net:
        places = itertools.cycle(started)
        neighbourhood = Neighbourhood(
            net, lambda port: net.plug(next(places), port), secured=secured
        )
        net.settle()
        run(*neighbourhood.attack(tmp_path))
        neighbourhood.check()
        net.verify()


def _gateways(net: Lab, router: Any, network: Any) -> tuple[End, ...]:
    """A router's interfaces on a network, one for each of its subnets."""
    ports = net.api("GET", f"/v2.0/ports?device_id={router['id']}&network_id={network['id']}")
    return tuple(end(port) for port in ports["ports"])


def belongs_to_the_link(frame: bytes) -> bool:
    """What finds neighbours and multicast listeners, as only somebody on the link can send it
    (RFC 4861, 7.1: hop limit 255; RFC 2710, 3, and RFC 3810, 5: hop limit 1 from a link-local
    address), and not in fragments (RFC 6980)."""
    (eth_type,) = struct.unpack_from("!H", frame, 12)
    if eth_type == ARP:
        return True
    if eth_type != IPV6 or len(frame) < 56:
        return False
    protocol, hops, source = frame[20], frame[21], int.from_bytes(frame[22:38], "big")
    kind = frame[54]
    if protocol == HOP_BY_HOP and frame[54] == ICMPV6:  # MLD comes with an option
        protocol, kind = ICMPV6, frame[54 + 8 * (frame[55] + 1)]
    if protocol != ICMPV6:
        return False
    if kind in (130, 131, 132, 143):
        # Who has no address yet may report (RFC 3590).
        return hops == 1 and (source >> 118 == LINK_LOCAL or (source == 0 and kind != 130))
    return kind in (135, 136) and hops == 255


def is_from(frame: bytes, sender: End, router_macs: Collection[int]) -> bool:
    """Whether a frame bears its sender's own addresses and nobody else's; or the router's MAC
    address, or what stands for it, if it went to its own network by the router."""
    (eth_type,) = struct.unpack_from("!H", frame, 12)
    source = frame[6:12]
    if eth_type == ARP:
        own = sender.mac.to_bytes(6, "big")
        return source == own and frame[22:32] == own + sender.ipv4.to_bytes(4, "big")
    mac = int.from_bytes(source, "big")
    if mac not in (sender.mac, *router_macs) and mac >> 40 != ROUTED_MAC >> 40:
        return False
    if eth_type == IPV4:
        return frame[26:30] == sender.ipv4.to_bytes(4, "big")
    if eth_type == IPV6:
        return int.from_bytes(frame[22:38], "big") in (sender.ipv6, 0)
    return False


def shown(frames: Iterable[bytes]) -> str:
    """A few of the frames, for people; "" if there are none."""
    lines = (f"{f[:6].hex()} {f[6:12].hex()} {f[12:].hex()[:160]}" for f in frames)
    return "\n".join(itertools.islice(lines, 5))
