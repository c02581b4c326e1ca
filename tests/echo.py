# SPDX-License-Identifier: Apache-2.0

"""Servers and clients to run inside guests: who reaches whom, and as whom they are seen.

``python -m tests.echo`` serves TCP and UDP at port 7777, both families: it answers with the address
and port that it was asked from. ``python -m tests.echo ADDRESS ...`` asks there, by each protocol,
and prints the answers (or ``-``), in order.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from tests.namespace import Guest

PORT = 7777
SECONDS = 1.0
KINDS = (socket.SOCK_STREAM, socket.SOCK_DGRAM)


@contextmanager
def serving(guest: Guest, port: int = PORT) -> Iterator[None]:
    """A server in a guest, for as long as the block lasts."""
    process = guest.start(sys.executable, "-u", "-m", "tests.echo", "serve", port)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    yield
    process.terminate()
    process.communicate()


def asked(guest: Guest, *addresses: str, port: int = PORT) -> list[str]:
    """As whom the servers at these addresses see a guest: by TCP and UDP; "-" for no answer."""
    return guest.run(sys.executable, "-m", "tests.echo", "ask", port, *addresses).split()


def _serve(port: int) -> None:
    sockets = []
    for kind in KINDS:
        made = socket.socket(socket.AF_INET6, kind)
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.IPPROTO_IPV6, 49, 1)  # IPV6_RECVPKTINFO: answer as who was asked
        made.setsockopt(socket.IPPROTO_IP, 8, 1)  # IP_PKTINFO, likewise
        made.bind(("::", port))
        sockets.append(made)
    stream, datagram = sockets
    stream.listen(64)
    print("ready")
    while True:
        for ready in select.select(sockets, (), ())[0]:
            if ready is stream:
                client, peer = stream.accept()
                with client, suppress(OSError):
                    client.sendall(_seen(peer))
            else:
                _, ancillary, _, peer = datagram.recvmsg(100, 200)
                with suppress(OSError):
                    datagram.sendmsg([_seen(peer)], ancillary, 0, peer)


def _seen(peer: tuple[str, int]) -> bytes:
    return f"{peer[0].removeprefix('::ffff:')}".encode()


def _ask(port: int, address: str, kind: int) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as asking:
        asking.settimeout(SECONDS)
        try:
            asking.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                asking.send(b"?")
            return asking.recv(100).decode() or "-"
        except OSError:
            return "-"


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(int(sys.argv[2]))
    # All at once: nobody waits for those that get no answer.
    with ThreadPoolExecutor(16) as threads:
        asking = [
            threads.submit(_ask, int(sys.argv[2]), address, kind)
            for address in sys.argv[3:]
            for kind in KINDS
        ]
    print(*(one.result() for one in asking))
