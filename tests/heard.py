# SPDX-License-Identifier: Apache-2.0

"""What a machine hears on an interface, frame by frame. The kernel keeps it: nothing is missed."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.capture import wire
from tests.namespace import Guest

SECONDS = 20  # for a busy machine; frames end it


class Heard:
    """Frames as they were on the wire, tags included."""

    def __init__(self, tap: socket.socket) -> None:
        self._socket = tap
        self._found: list[bytes] = []

    def frames(self, least: int, of: Callable[[bytes], bool]) -> list[bytes]:
        """Those of a kind, by now; waits for at least so many."""
        end = time.monotonic() + SECONDS
        self._take()
        while len(found := list(filter(of, self._found))) < least:
            left = end - time.monotonic()
            assert left > 0, f"{len(found)} of {least} were heard"
            select.select([self._socket], [], [], left)
            self._take()
        return found

    def pings(self, least: int) -> list[bytes]:
        """The questions and the answers of pings."""
        return self.frames(least, is_echo)

    def _take(self) -> None:
        space = socket.CMSG_SPACE(wire.AUXDATA.size)
        while True:
            try:
                frame, ancillary, _, _ = self._socket.recvmsg(65535, space, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            tag = wire.vlan(frame, ancillary)
            if tag is not None and frame[12:14] != b"\x81\x00":  # the kernel has taken it off
                frame = frame[:12] + struct.pack("!HH", 0x8100, tag) + frame[12:]
            self._found.append(frame)


def tag(frame: bytes) -> int | None:
    return int.from_bytes(frame[14:16], "big") & 0xFFF if frame[12:14] == b"\x81\x00" else None


def is_echo(frame: bytes) -> bool:
    """Whether it is a ping's question or answer, of either family."""
    start = 18 if tag(frame) is not None else 14
    kind = frame[start - 2 : start]
    if kind == b"\x08\x00":
        return frame[start + 9] == 1 and frame[start + 20] in (0, 8)
    return kind == b"\x86\xdd" and frame[start + 6] == 58 and frame[start + 40] in (128, 129)


def ends(frame: bytes) -> tuple[str, str]:
    """From which MAC address to which."""
    return frame[6:12].hex(":"), frame[:6].hex(":")


@contextmanager
def hearing(guest: Guest, interface: str = "eth0") -> Iterator[Heard]:
    """From here on. What the guest itself sends is heard, too."""
    everything = socket.htons(wire.ETH_P_ALL)
    with guest.socket(socket.SOCK_RAW, socket.AF_PACKET, everything) as tap:
        tap.setsockopt(wire.SOL_PACKET, wire.PACKET_AUXDATA, 1)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        tap.bind((interface, 0))
        yield Heard(tap)
