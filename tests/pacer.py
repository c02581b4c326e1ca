"""Questions by a timetable, to run inside guests: how long nobody answered.

``python -m tests.pacer reflect`` sends UDP back to whom it came from, both families. ``python -m
tests.pacer ADDRESS SECONDS PER_SECOND`` asks there, and prints as JSON how many questions it asked
and which of them were not answered.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from tests.namespace import Guest

PORT = 7788
STRAGGLER_SECONDS = 1.0
READY = "ready\n"


class Answered(NamedTuple):
    """What became of the questions."""

    asked: int
    lost: list[int]
    per_second: int

    @property
    def gap(self) -> float:
        """For how long nobody answered, at the longest: seconds."""
        longest = current = 0
        for before, number in itertools.pairwise([-2, *self.lost]):
            current = current + 1 if number == before + 1 else 1
            longest = max(longest, current)
        return longest / self.per_second


class Pacer:
    """Asks in the background, from a guest."""

    def __init__(self, guest: Guest, address: str, seconds: float, per_second: int = 1000) -> None:
        self.per_second = per_second
        words = guest.command(sys.executable, "-m", "tests.pacer", address, seconds, per_second)
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == READY
        self.began = time.monotonic()

    def result(self) -> Answered:
        """Wait for its end."""
        output, _ = self._process.communicate()
        told = json.loads(output)
        return Answered(told["asked"], told["lost"], self.per_second)


@contextmanager
def reflecting(guest: Guest) -> Iterator[None]:
    """A guest that answers, for as long as the block lasts."""
    process = guest.start(sys.executable, "-u", "-m", "tests.pacer", "reflect")
    assert process.stdout is not None
    assert process.stdout.readline() == READY, process.communicate()
    try:
        yield
    finally:
        process.terminate()
        process.communicate()


def _reflect() -> None:
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    udp.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO: answer as who was asked
    udp.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO, likewise
    udp.bind(("::", PORT))
    print(READY, end="")
    while True:
        data, ancillary, _, peer = udp.recvmsg(100, 200)
        with contextlib.suppress(OSError):
            udp.sendmsg([data], ancillary, 0, peer)


def _ask(address: str, seconds: float, per_second: int) -> dict[str, object]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.setblocking(False)
    udp.connect((address, PORT))
    count = int(seconds * per_second)
    answered: set[int] = set()
    print(READY, end="", flush=True)
    start, asked = time.monotonic(), 0
    while (now := time.monotonic() - start) < seconds + STRAGGLER_SECONDS:
        while asked < count and asked / per_second <= now:
            with contextlib.suppress(OSError):  # errors of questions before this one
                udp.send(asked.to_bytes(4, "big"))
            asked += 1
        due = asked / per_second - (time.monotonic() - start) if asked < count else 0.1
        if select.select([udp], [], [], max(0.0, due))[0]:
            with contextlib.suppress(OSError):
                while True:
                    answered.add(int.from_bytes(udp.recv(10), "big"))
        if asked == count == len(answered):
            break
    return {"asked": asked, "lost": sorted(set(range(asked)) - answered)}


if __name__ == "__main__":
    if sys.argv[1] == "reflect":
        _reflect()
    json.dump(_ask(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])), sys.stdout)
