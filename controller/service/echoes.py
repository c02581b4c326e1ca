# SPDX-License-Identifier: Apache-2.0

"""Questions of one packet, by raw sockets that all of them share: ping, and SCTP's INIT.

A raw socket for each family and protocol is two descriptors for any number of questions. The
kernel need not know SCTP, whose handshake is not finished: whoever answers INIT is there, and is
told at once (ABORT) that nobody comes.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.feature.probes import SCTP, Probe
from tenantry.controller.network.dns_names import address_text
from tenantry.controller.packets.frames import ICMP, ICMPV6, checksum
from tenantry.controller.packets.frames import SCTP as SCTP_PROTOCOL
from tenantry.controller.packets.own_addresses import OWN_PROBE_PORTS, SERVICE_PORT_ADDRESSES

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_REQUEST = {4: 8, 6: 128}
_REPLY = {4: 0, 6: 129}
_ICMP_PROTOCOL = {4: ICMP, 6: ICMPV6}
_HEADER = struct.Struct("!BBHHH")  # RFC 792; RFC 4443, 4.1
_SCTP = struct.Struct("!HHIIBBH")  # common header and the first chunk's: RFC 9260, 3
_INIT = struct.Struct("!IIHHI")
_INIT_CHUNK, _INIT_ACK, _ABORT = 1, 2, 6
_LARGEST = 2048

Key = tuple[int, int, int]
"""IP version and protocol, and the address; what tells questions to it apart is beside it."""


class Echoes:
    """``answered`` is given the question (whatever was handed in for it) and what is wrong, or
    "". ``poll`` tells of sockets that have something to :meth:`receive`."""

    def __init__(self, interface: str, poll: Any, answered: Callable[[Any, str], None]) -> None:
        self._interface = interface
        self._poll = poll
        self._answered = answered
        self._sockets: dict[tuple[int, int], socket.socket] = {}
        self._by_file: dict[int, tuple[int, int]] = {}
        self._waiting: dict[tuple[Key, int], Any] = {}
        self._keys: dict[Any, tuple[Key, int]] = {}
        self._number = 0
        self._id = os.getpid() & 0xFFFF

    def send(self, probe: Probe, question: Any) -> None:
        """Errors: OSError, of what is wrong here."""
        sctp = probe.question.kind == SCTP
        protocol = SCTP_PROTOCOL if sctp else _ICMP_PROTOCOL[probe.version]
        self._number += 1
        number = self._number & 0xFFFF
        if sctp:
            number = self._number << 16 & 0xFFFFFFFF | self._id or 1  # a tag is not 0
            here = OWN_PROBE_PORTS[self._number % len(OWN_PROBE_PORTS)]
            data = _init(here, probe.question.port, number)
        else:
            data = _request(probe.version, self._id, number)
        key = (probe.version, protocol, probe.address)
        self._waiting[key, number] = question
        self._keys[question] = key, number
        stream = self._socket(probe.version, protocol)
        try:
            stream.sendto(data, (address_text(probe.version, probe.address), 0))
        except OSError:
            self._close(probe.version, protocol)  # it may be of an interface that was there before
            raise

    def forget(self, question: Any) -> None:
        key = self._keys.pop(question, None)
        if key is not None:
            self._waiting.pop(key, None)

    def receive(self, number: int) -> None:
        """What a socket has."""
        of = self._by_file.get(number)
        if of is None:
            return
        stream = self._sockets[of]
        with suppress(BlockingIOError):
            while True:
                try:
                    data, sender = stream.recvfrom(_LARGEST)
                except BlockingIOError:
                    raise
                except OSError:
                    self._close(*of)
                    return
                self._heard(*of, data, sender[0])

    def close(self) -> None:
        for of in list(self._sockets):
            self._close(*of)

    def _heard(self, version: int, protocol: int, data: bytes, sender: str) -> None:
        """Octets are whatever somebody sends: what is no answer is nothing."""
        if version == 4:  # raw sockets of IPv4 have the header (raw(7))
            data = data[(data[0] & 15) * 4 :] if data else b""
        key: Key = (version, protocol, int(ip_address(sender.partition("%")[0])))
        if protocol != SCTP_PROTOCOL:
            if len(data) >= _HEADER.size:
                kind, _, _, id, number = _HEADER.unpack_from(data)
                question = self._waiting.get((key, number))
                if (kind, id) == (_REPLY[version], self._id) and question is not None:
                    self._answered(question, "")
            return
        if len(data) < _SCTP.size:
            return
        there, here, tag, _, chunk, _, _ = _SCTP.unpack_from(data)
        question = self._waiting.get((key, tag))
        if question is None or chunk not in (_INIT_ACK, _ABORT):
            return
        if chunk == _INIT_ACK and len(data) >= _SCTP.size + 4:
            theirs = int.from_bytes(data[_SCTP.size : _SCTP.size + 4], "big")
            with suppress(OSError):
                abort = summed(_SCTP.pack(here, there, theirs, 0, _ABORT, 0, 4))
                self._sockets[version, protocol].sendto(abort, (sender, 0))
        self._answered(question, "" if chunk == _INIT_ACK else "refused")

    def _socket(self, version: int, protocol: int) -> socket.socket:
        stream = self._sockets.get((version, protocol))
        if stream is None:
            stream = runtime.native_socket(_FAMILIES[version], socket.SOCK_RAW, protocol)
            try:
                stream.setblocking(False)
                if self._interface:
                    device = self._interface.encode()
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device)
                stream.bind((address_text(version, SERVICE_PORT_ADDRESSES[version]), 0))
            except OSError:
                stream.close()
                raise
            self._sockets[version, protocol] = stream
            self._by_file[stream.fileno()] = (version, protocol)
            self._poll.register(stream.fileno(), select.EPOLLIN)
        return stream

    def _close(self, version: int, protocol: int) -> None:
        stream = self._sockets.pop((version, protocol), None)
        if stream is not None:
            del self._by_file[stream.fileno()]
            self._poll.unregister(stream.fileno())
            stream.close()


def _request(version: int, id: int, number: int) -> bytes:
    head = _HEADER.pack(_REQUEST[version], 0, 0, id, number)
    sum = checksum(head) if version == 4 else 0  # the kernel's, of ICMPv6 (RFC 3542, 3.1)
    return _HEADER.pack(_REQUEST[version], 0, sum, id, number)


def _init(here: int, there: int, tag: int) -> bytes:
    chunk = _INIT.pack(tag, 1 << 16, 1, 1, tag)
    return summed(_SCTP.pack(here, there, 0, 0, _INIT_CHUNK, 0, 4 + _INIT.size) + chunk)


def summed(packet: bytes) -> bytes:
    """RFC 9260, 6.8: little-endian, of the packet with zeros there."""
    return packet[:8] + struct.pack("<I", crc32c(packet)) + packet[12:]


@cache
def _table() -> tuple[int, ...]:
    found = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        found.append(value)
    return tuple(found)


def crc32c(data: bytes) -> int:
    """RFC 9260, appendix A."""
    table, value = _table(), 0xFFFFFFFF
    for octet in data:
        value = value >> 8 ^ table[(value ^ octet) & 255]
    return value ^ 0xFFFFFFFF
