# SPDX-License-Identifier: Apache-2.0

"""What a guest does to the services that it may ask: a program that runs inside the guest.

    python -m tests.attack.guests KIND ADDRESS SECONDS SEED

KIND is one of KINDS, ADDRESS whom it asks (or, for frames, a file with what to send). It says
"attacking" when it begins, and ends by itself.
"""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from contextlib import suppress

from tests.attack.frames import Ends, hostile

CONNECTIONS = 16


def _metadata(address: str, end: float, seed: int) -> None:
    """Connections that never finish their request, or ask without pause."""
    requests = (
        b"GET /openstack/latest/meta_data.json HTTP/1.1\r\nX-Slow: ",
        b"GET /openstack/latest/meta_data.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100,
        b"A" * 100_000,
        b"",
    )
    chance = random.Random(seed)

    def ask() -> None:
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection((address, 80), 5) as peer:
                peer.settimeout(0.2)
                peer.sendall(chance.choice(requests))
                while peer.recv(1 << 16) and time.monotonic() < end:
                    pass

    _together(ask)


def _frames(file: str, end: float, seed: int) -> None:
    """Hostile frames, some 2,000 a second."""
    with open(file) as text:
        ends = Ends.read(text.read())
    frames = hostile(ends, seed)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as wire:
        wire.bind(("eth0", 0))
        while time.monotonic() < end:
            for _ in range(20):
                with suppress(OSError):  # longer than the interface takes
                    wire.send(next(frames))
            time.sleep(0.01)


def _connections(address: str, end: float, seed: int) -> None:
    """New connections of UDP, 10,000 a second: each is one more for the switch to remember."""
    chance = random.Random(seed)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    started, sent = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            for _ in range(max(0, min(500, int((now - started) * 10_000) - sent))):
                with suppress(OSError):
                    peer.sendto(b"x", (address, chance.randrange(1, 65536)))
                sent += 1
        time.sleep(0.001)


def _together(work: object) -> None:
    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


KINDS = {
    "metadata": _metadata,
    "frames": _frames,
    "connections": _connections,
}


def main() -> None:
    kind, address, seconds, seed = sys.argv[1:]
    print("attacking", flush=True)
    KINDS[kind](address, time.monotonic() + float(seconds), int(seed))


if __name__ == "__main__":
    main()
