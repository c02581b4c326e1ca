# SPDX-License-Identifier: Apache-2.0

"""Whoever would stop the controller: connects, and sends without pause, or nothing at all.

``python -m tests.attack.senders KIND ADDRESS PORT CONNECTIONS`` prints a line once all are
connected, and goes on until it is ended. Whoever is hung up on connects again.
"""

from __future__ import annotations

import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.namespace import Guest

STARTED = "started\n"
LIAR = 0xABC
"""The switch that somebody says it is."""


def _openflow(kind: int, body: bytes = b"", xid: int = 1) -> bytes:
    return struct.pack("!BBHI", 5, kind, 8 + len(body), xid) + body


def _features(dpid: int) -> bytes:
    return _openflow(6, struct.pack("!QIBB2xII", dpid, 0, 254, 0, 0, 0))


_QUESTION = struct.pack("!6H", 7, 256, 1, 0, 0, 0) + b"\4web0\10tenantry\10internal\0\0\1\0\1"
_PORT = struct.pack("!IH2x6s2x16s2I", 1, 40, b"", b"eth", 0, 0)
_GET = b"GET /v2.0/networks HTTP/1.1\r\nHost: x\r\n\r\n"
_LISTS = b'{"network":[' + b"[]," * 300_000 + b"1]}"

FIRST = {
    "halves": b'{"method":"m","params":["',
    "string": b'{"method":"m","params":["',
    "deep": b'{"method":',
    "slow": b"GET / HTTP/1.1\r\n",
    # It says hello and who it is, and then that its ports change.
    "ports": _openflow(0) + _features(LIAR) + _openflow(19, struct.pack("!HHI", 13, 0, 0)),
}
AGAIN = {
    "nothing": b"",
    "hello": _openflow(0) * 1000,
    "error": _openflow(1, struct.pack("!HH", 1, 1)) * 1000,
    "ports": _openflow(12, b"\2" + bytes(7) + _PORT) * 500,
    "notes": b'{"method":"update","params":[]}' * 1000,
    "halves": (b"a" * 1023 + b"}") * 50,
    "string": b"a" * 50_000,
    "deep": b'{"a":' * 10_000,
    "pipelined": _GET * 50,
    "slow": b"X-A: b\r\n",
    "lists": b"POST /v2.0/networks HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(_LISTS) + _LISTS,
    "wait": b"GET /tenantry/v1/wait?revision=99999999&seconds=3600 HTTP/1.1\r\n\r\n",
    "garbage": bytes(range(256)) * 16,
    "questions": (struct.pack("!H", len(_QUESTION)) + _QUESTION) * 200,
}
PAUSES = {"nothing": 1000.0, "wait": 1000.0, "slow": 0.05}


@contextmanager
def hostile(
    kind: str, port: int, connections: int, address: str = "127.0.0.1", guest: Guest | None = None
) -> Iterator[None]:
    """Somebody hostile, for as long as the block runs."""
    words = [
        sys.executable,
        "-m",
        "tests.attack.senders",
        kind,
        address,
        str(port),
        str(connections),
    ]
    process = subprocess.Popen(
        guest.command(*words) if guest else words, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == STARTED
        yield
    finally:
        process.kill()
        process.communicate()


def _main(kind: str, address: str, port: int, connections: int) -> None:
    connected = itertools.count(1)

    def once(tell: Callable[[], None]) -> None:
        with socket.create_connection((address, port), timeout=30) as one:
            tell()
            drain = threading.Thread(target=_drain, args=(one,), daemon=True)
            drain.start()
            one.sendall(FIRST.get(kind, b""))
            while drain.is_alive():
                one.sendall(AGAIN[kind])
                drain.join(PAUSES.get(kind, 0.0))

    def tell() -> None:
        if next(connected) == connections:
            print(STARTED, end="", flush=True)

    def forever() -> None:
        while True:
            try:
                once(tell)
            except OSError:
                time.sleep(0.001)

    for _ in range(connections):
        threading.Thread(target=forever, daemon=True).start()
    time.sleep(1000)


def _drain(one: socket.socket) -> None:
    try:
        while one.recv(1 << 16):
            pass
    except OSError:
        pass


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
