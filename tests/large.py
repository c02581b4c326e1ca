# SPDX-License-Identifier: Apache-2.0

"""Datagrams larger than the MTU: who gets them whole, and as whom their sender is seen.

``python -m tests.large`` serves UDP at port 7778, both families: it answers with what it got, but
for the first octets, which say from where. ``python -m tests.large ADDRESS SIZE ...`` asks there,
and prints as whom it was seen, or ``-``.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.namespace import Guest

PORT = 7778
SECONDS, TRIES = 1.0, 3
SEEN = 40  # octets
SIZES = (4000, 9000)
"""Octets of three fragments, and of seven."""


@contextmanager
def serving(guest: Guest, port: int = PORT) -> Iterator[None]:
    """A server in a guest, for as long as the block lasts."""
    process = guest.start(sys.executable, "-u", "-m", "tests.large", "serve", port)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    yield
    process.terminate()
    process.communicate()


def asked(
    guest: Guest, address: str, *sizes: int, port: int = PORT, tries: int = TRIES
) -> list[str]:
    """As whom a server sees a guest that sends so many octets, each time from a port of its own;
    "-" if they, or those of the answer, do not all arrive."""
    words = (sys.executable, "-m", "tests.large", "ask", port, tries, address, *(sizes or SIZES))
    return guest.run(*words).split()


def pinged(guest: Guest, address: str, *sizes: int) -> list[bool]:
    """Whether pings with so many octets are answered."""
    words = ("ping", "-n", "-q", "-i", "0.2", "-c", "2", "-W", "1")
    pings = [guest.start(*words, "-s", size, address) for size in sizes or SIZES]
    for ping in pings:
        ping.communicate()
    return [ping.returncode == 0 for ping in pings]


def _serve(port: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO: answer as who was asked
        server.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO, likewise
        server.bind(("::", port))
        print("ready")
        while True:
            data, ancillary, _, peer = server.recvmsg(1 << 16, 200)
            seen = peer[0].removeprefix("::ffff:").encode().ljust(SEEN)
            with suppress(OSError):
                server.sendmsg([seen + data[SEEN:]], ancillary, 0, peer)


def _ask(port: int, tries: int, address: str, size: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    question = os.urandom(size)
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(SECONDS)
        asking.connect((address, port))
        for _ in range(tries):
            with suppress(OSError):
                asking.send(question)
                answer = asking.recv(1 << 16)
                if len(answer) == size and answer[SEEN:] == question[SEEN:]:
                    return answer[:SEEN].decode().strip()
    return "-"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]))
    port, tries, address = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    print(*(_ask(port, tries, address, int(size)) for size in sys.argv[5:]))
