# SPDX-License-Identifier: Apache-2.0

"""What is said to everybody on a network by one guest, and how often another hears it."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections import Counter
from contextlib import suppress
from typing import Any

from tenantry.controller.packets import frames
from tenantry.controller.packets.neighbour_discovery import question
from tests.capture import wire
from tests.namespace import Guest

PORT = 9999
EVERYBODY = (1 << 48) - 1
VERSIONS = {
    4: (EVERYBODY, (1 << 32) - 1),
    6: (0x333300000001, 0xFF02 << 112 | 1),  # all nodes: RFC 4291, 2.7.1
}
PACKET_IGNORE_OUTGOING = 23  # linux/if_packet.h
LARGEST = 1 << 16


def say(guest: Guest, port: Any, words: bytes, *, version: int = 4, tag: int = 0) -> None:
    """A UDP broadcast as from a port's address of a family; with a VLAN tag, unless it is 0."""
    to = VERSIONS[version]
    source = _address(port, version)
    frame = frames.udp(frames.Ends(_mac(port), to[0], version, source, to[1]), PORT, PORT, words)
    tagged = struct.pack("!HH", 0x8100, tag) if tag else b""
    _send(guest, frame[:12] + tagged + frame[12:])


def ask(guest: Guest, port: Any, target: str) -> None:
    """An ARP request, heard as what :func:`asked` says."""
    address = int(ipaddress.ip_address(target))
    _send(guest, question(4, _mac(port), _address(port, 4), address))


def asked(port: Any, target: str) -> bytes:
    return f"{ipaddress.ip_address(_address(port, 4))} asks for {target}".encode()


class Ear:
    """Hears what is said to a guest from now on."""

    def __init__(self, guest: Guest) -> None:
        kind = socket.htons(wire.ETH_P_ALL)
        self._socket = guest.socket(socket.SOCK_RAW, socket.AF_PACKET, kind)
        self._socket.setsockopt(wire.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.bind(("eth0", 0))

    def __enter__(self) -> Ear:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def next(self, seconds: float = 2.0) -> bytes | None:
        """The next words; None if there are none for so long."""
        self._socket.settimeout(seconds)
        with suppress(TimeoutError):
            while True:
                words = _words(self._socket.recv(LARGEST))
                if words is not None:
                    return words
        return None

    def all(self) -> Counter[bytes]:
        """All that has arrived by now, and how often."""
        heard: Counter[bytes] = Counter()
        while (words := self.next(0.01)) is not None:
            heard[words] += 1
        return heard


def _words(frame: bytes) -> bytes | None:
    with suppress(frames.Malformed):
        if frame[:6] == b"\xff" * 6 and frame[12:14] == b"\x08\x06":
            arp = frames.parse_arp(frame)
            sender, target = map(ipaddress.IPv4Address, (arp.sender, arp.target))
            return f"{sender} asks for {target}".encode()
        parsed = frames.parse(frame)
        if parsed.dst_port == PORT:
            return parsed.data
    return None


def _send(guest: Guest, frame: bytes) -> None:
    with guest.socket(socket.SOCK_RAW, socket.AF_PACKET) as mouth:
        mouth.bind(("eth0", 0))
        mouth.send(frame)


def _mac(port: Any) -> int:
    return int(port["mac_address"].replace(":", ""), 16)


def _address(port: Any, version: int) -> int:
    of = (ipaddress.ip_address(ip["ip_address"]) for ip in port["fixed_ips"])
    return next(int(address) for address in of if address.version == version)
