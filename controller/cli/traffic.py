# SPDX-License-Identifier: Apache-2.0

"""Packets between guests by a timetable, and who heard which: what the drill counts with.

Owns what runs inside a guest's network namespace, as a process of its own so that the guests keep
their pace whatever the others do. It knows nothing of switches and controllers.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time
from dataclasses import asdict, dataclass

PORT = 7777
BROADCAST_EVERY = 100  # packets: floods must not reach an intruder either
STRAGGLER_SECONDS = 0.5
READY = "ready\n"

# From asm-generic/socket.h, linux/if_ether.h, linux/if_packet.h: Python has no names for them.
SO_RCVBUFFORCE, SO_TIMESTAMPNS = 33, 35
ETH_P_ALL = 3
PACKET_OUTGOING = 4

_TIMESPEC = struct.Struct("@ll")
_PAYLOAD = struct.Struct("!Biq")  # the guest's number, the packet's (-1: broadcast), when sent


@dataclass(frozen=True, slots=True)
class Heard:
    """What a guest has to tell. Times are nanoseconds since the epoch."""

    number: int
    sent: int
    frames: int  # that reached an intruder's interface; 0 for others, who do not count them
    arrivals: list[tuple[int, int, int, int]]  # from whom, which packet, when sent, when come


def nanoseconds_between(per_second: int) -> int:
    """Packet ``n`` is due ``n`` times this after the start."""
    return 1_000_000_000 // per_second


class Talk:
    """A guest that sends to another one and listens, from :meth:`begin` to :meth:`end`.

    An intruder hears every frame that reaches its interface, others what is sent to their
    addresses. Raises ChildProcessError if it does not come up.
    """

    def __init__(
        self,
        number: int,
        netns: str,
        interface: str,
        to: list[str],
        per_second: int,
        intruder: bool = False,
    ) -> None:
        """``to``: an IPv4 and an IPv6 address."""
        words = [str(number), interface, *to, str(per_second), *(["intruder"] if intruder else [])]
        self._process = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                netns,
                sys.executable,
                "-m",
                "tenantry.controller.cli.traffic",
                *words,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin and self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        if self._stdout.readline() != READY:
            raise ChildProcessError(f"no traffic can be made in namespace {netns}")

    def begin(self, start: int) -> None:
        """The first packet is due at ``start``, nanoseconds since the epoch."""
        self._stdin.write(f"{start}\n")
        self._stdin.flush()

    def end(self) -> None:
        """Send no more; listen for stragglers."""
        self._stdin.close()

    def heard(self) -> Heard:
        """Waits for the stragglers."""
        with self._process:
            return Heard(**json.load(self._stdout))


def talk(
    number: int, interface: str, four: str, six: str, per_second: int, intruder: bool
) -> Heard:
    """Send to two addresses in turns, and hear what comes meanwhile: from when stdin says until
    stdin ends. Who is late sends what was due at once: no packet is left out."""
    senders = [
        (_udp(socket.AF_INET, interface), four, "255.255.255.255"),
        (_udp(socket.AF_INET6, interface), six, "ff02::1"),
    ]
    ears = [_wire(interface)] if intruder else [udp for udp, _, _ in senders]
    print(READY, end="", flush=True)
    start, period = int(sys.stdin.readline()), nanoseconds_between(per_second)
    sent, frames = 0, 0
    arrivals: list[tuple[int, int, int, int]] = []
    ending: float | None = None  # when to stop listening, once stdin has ended
    while ending is None or time.monotonic() < ending:
        wait = STRAGGLER_SECONDS
        if ending is None:
            wait = max(0.0, (start + sent * period - time.time_ns()) / 1e9)
            if not wait:
                udp, address, everybody = senders[sent % 2]
                udp.sendto(_PAYLOAD.pack(number, sent, time.time_ns()), (address, PORT))
                sent += 1
                if sent % BROADCAST_EVERY == 0:
                    udp.sendto(_PAYLOAD.pack(number, -1, time.time_ns()), (everybody, PORT))
        for ear in select.select([*ears, *([] if ending else [sys.stdin])], [], [], wait)[0]:
            if not isinstance(ear, socket.socket):
                ending = time.monotonic() + STRAGGLER_SECONDS
            elif intruder:
                frames += ear.recvfrom(64)[1][2] != PACKET_OUTGOING
            else:
                arrival = _receive(ear)
                if arrival[0] != number:  # the kernel lets us hear our own broadcasts
                    arrivals.append(arrival)
    return Heard(number, sent, frames, arrivals)


def _receive(udp: socket.socket) -> tuple[int, int, int, int]:
    """With the kernel's own time of arrival: ours would include how long we waited to run."""
    data, [(_, _, stamp)], _, _ = udp.recvmsg(64, 64)
    seconds, nanoseconds = _TIMESPEC.unpack(stamp)
    number, packet, when = _PAYLOAD.unpack(data)
    return number, packet, when, seconds * 1_000_000_000 + nanoseconds


def _wire(interface: str) -> socket.socket:
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    wire.bind((interface, 0))
    return wire


def _udp(family: int, interface: str) -> socket.socket:
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    # What the switch has delivered shall not be lost here.
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
    udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    udp.bind(("", PORT))
    return udp


if __name__ == "__main__":
    _number, _interface, _four, _six, _per_second, *_intruder = sys.argv[1:]
    _heard = talk(int(_number), _interface, _four, _six, int(_per_second), bool(_intruder))
    json.dump(asdict(_heard), sys.stdout)
