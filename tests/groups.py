# SPDX-License-Identifier: Apache-2.0

"""Guests that join multicast groups by their kernels' sockets, and who hears what is said there."""

from __future__ import annotations

import ipaddress
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tenantry.apps.multicast.records import Asked, Membership
from tenantry.controller.model import Address
from tests.capture import wire
from tests.lab import Lab
from tests.namespace import Guest

GROUPS = {4: "239.1.1.1", 6: "ff05::101"}
OTHER_GROUP = {4: "239.1.1.2", 6: "ff05::102"}
OF_LINK = {4: "224.0.0.251", 6: "ff02::fb"}
PORT = 5001


def settled(net: Lab) -> None:
    """Until every switch has been asked who wants what, and has its flows by that."""
    model = net.controller.model
    net.until(lambda: {*model.all(Asked)} >= {*net.controller.progress.connections})
    net.take_effect()


def members(net: Lab, group: str) -> set[str]:
    """The ports that are known to want a group."""
    address = ipaddress.ip_address(group)
    wanted = Address(address.version, int(address))
    return {m.port_id for m in net.controller.model.all(Membership).values() if m.group == wanted}


@contextmanager
def joined(guest: Guest, group: str) -> Iterator[None]:
    """For as long as the guest wants to hear a group."""
    address = ipaddress.ip_address(group)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with guest.socket(socket.SOCK_DGRAM, family) as ear:
        if address.version == 4:
            request = address.packed + bytes(4) + struct.pack("@i", index(guest))
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            request = address.packed + struct.pack("@i", index(guest))
            ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        yield


def index(guest: Guest) -> int:
    (link,) = json.loads(guest.run("ip", "-json", "link", "show", "eth0"))
    number: int = link["ifindex"]
    return number


class Listener:
    """Whatever comes to a guest by its wire, asked for or not."""

    def __init__(self, guest: Guest, interface: str = "eth0") -> None:
        kind = socket.htons(wire.ETH_P_ALL)
        self._socket = guest.socket(socket.SOCK_RAW, socket.AF_PACKET, kind)
        self._socket.bind((interface, 0))

    def close(self) -> None:
        self._socket.close()

    def count(self, words: bytes, last: bytes) -> int:
        """How often these words have come before the last ones, which everybody hears."""
        self._socket.settimeout(30)
        heard = 0
        while not (frame := self._socket.recv(1 << 16)).endswith(last):
            heard += frame.endswith(words)
        return heard


def say(guest: Guest, group: str, words: bytes) -> None:
    version = ipaddress.ip_address(group).version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with guest.socket(socket.SOCK_DGRAM, family) as mouth:
        if version == 4:
            mouth.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@8xi", index(guest))
            )
            mouth.sendto(words, (group, PORT))
        else:
            mouth.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index(guest))
            mouth.sendto(words, (group, PORT))


def hearers(
    speaker: Guest, guests: list[Guest], group: str, wires: list[tuple[Guest, str]] | None = None
) -> list[bool]:
    """Which guests get what one says to a group, and by which other interfaces it passes; all of
    them get what is of the link."""
    version = ipaddress.ip_address(group).version
    ears = [Listener(*one) for one in (*((guest, "eth0") for guest in guests), *(wires or []))]
    say(speaker, group, b"to the group")
    say(speaker, OF_LINK[version], b"to the link")
    heard = [ear.count(b"to the group", b"to the link") > 0 for ear in ears]
    for ear in ears:
        ear.close()
    return heard
