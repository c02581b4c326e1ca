# SPDX-License-Identifier: Apache-2.0

"""What a guest may not send it may not hide behind extension headers either, so that flows see
none of it in a packet's first fragment, and whoever receives it all of it (RFC 7113)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from socket import AF_PACKET, SOCK_RAW, htons
from socket import socket as Socket
from typing import Any

import pytest

from tenantry.controller.packets import frames
from tenantry.controller.packets.addresses import link_local
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

ALL_NODES, ALL_NODES_MAC = int(IPv6Address("ff02::1")), 0x333300000001
PREFIX = "2001:db8:666::"
FRAGMENT, DESTINATION_OPTIONS = 44, 60
NUMBER = 0x4D4E4F50
FIRST = struct.pack("!BBHI", DESTINATION_OPTIONS, 0, 1, NUMBER)
"""The fragment header of a packet's first fragment, RFC 8200, 4.5."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    """Its groups track nothing: what is gathered to be tracked would be seen through there."""
    with lab(ovs, tmp_path, groups=True) as running:
        yield running
        running.verify()


def stateless(net: Lab) -> str:
    body = {"security_group": {"name": "open", "stateful": False}}
    id: str = net.api("POST", "/v2.0/security-groups", body)["security_group"]["id"]
    rule = {"security_group_id": id, "direction": "ingress", "ethertype": "IPv6"}
    net.api("POST", "/v2.0/security-group-rules", {"security_group_rule": rule})
    return id


def advertisement(mac: int) -> bytes:
    """A router's, of a prefix that no router here has."""
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xC0, 3600, 3600, 0, IPv6Address(PREFIX).packed)
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix
    return frames.icmpv6(mac, ALL_NODES_MAC, link_local(mac), ALL_NODES, message)


def hidden(frame: bytes, headers: int) -> list[bytes]:
    """In two fragments, the first of which has so many extension headers and nothing more."""
    ethernet, ip, message = frame[:14], frame[14:54], frame[54:]
    options = b""
    for number in range(headers):
        following = frames.ICMPV6 if number == headers - 1 else DESTINATION_OPTIONS
        options += struct.pack("!BBBB4x", following, 0, 1, 4)  # PadN, RFC 8200, 4.2
    found = []
    for at, more, part in ((0, 1, options), (len(options), 0, message)):
        header = struct.pack("!BBHI", DESTINATION_OPTIONS, 0, at | more, NUMBER)
        length = struct.pack("!H", len(header) + len(part))
        found.append(ethernet + ip[:4] + length + bytes([FRAGMENT]) + ip[7:] + header + part)
    return found


@pytest.mark.parametrize("headers", [1, 3])
@pytest.mark.parametrize("secured", [True, False])
def test_a_router_advertisement_in_hiding(net: Lab, headers: int, secured: bool) -> None:
    """Without port security a guest may be a router, in whatever words; else it may not."""
    network = net.network("fd01::/64")
    opened = stateless(net)
    free: dict[str, Any] = {"port_security_enabled": False, "security_groups": []}
    ports = [net.port(network, **({"security_groups": [opened]} if secured else free))]
    ports.append(net.port(network, security_groups=[opened]))
    sender, victim = (net.guest(port) for port in ports)
    net.take_effect()
    mac = int(ports[0]["mac_address"].replace(":", ""), 16)
    with (
        victim.socket(SOCK_RAW, AF_PACKET, htons(frames.IPV6)) as ear,
        sender.socket(SOCK_RAW, AF_PACKET) as wire,
    ):
        ear.bind(("eth0", frames.IPV6))
        wire.bind(("eth0", 0))
        for frame in hidden(advertisement(mac), headers):
            wire.send(frame)
        # What is sent after it arrives after it.
        assert sender.pings(next(ip["ip_address"] for ip in ports[1]["fixed_ips"]))
        ear.setblocking(False)
        heard = list(_received(ear))
    assert any(FIRST in frame for frame in heard) != secured, "without the first, it is nothing"


def _received(ear: Socket) -> Iterator[bytes]:
    with suppress(BlockingIOError):
        while True:
            yield ear.recv(2000)
