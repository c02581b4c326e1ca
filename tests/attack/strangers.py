# SPDX-License-Identifier: Apache-2.0

"""What a stranger makes up at a listener, who has no certificate and no name: a program of its own.

    python -m tests.attack.strangers KIND PORT SECONDS SEED

It says "attacking" when it begins, and ends by itself. Whatever the other side does about it, being
refused or hung up on, is fine with it: it begins again. Those who say one thing over and over are
in ``senders.py``.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

HOST = "127.0.0.1"
CROWD = 2000
FLOOD = 5000
"""Connections a second."""

_HEADER = struct.Struct("!BBHI")  # OpenFlow 1.4, 7.1.1
_POST = b"POST /v2.0/networks HTTP/1.1\r\nHost: x\r\n"
HELLO = _HEADER.pack(5, 0, 8, 1)


def message(kind: int, body: bytes = b"", xid: int = 1) -> bytes:
    return _HEADER.pack(5, kind, 8 + len(body), xid) + body


def features(dpid: int) -> bytes:
    """OpenFlow 1.4, 7.3.1."""
    return message(6, struct.pack("!QIBB2xII", dpid, 256, 254, 0, 0x4F, 0))


def multipart(kind: int, body: bytes, more: bool = True) -> bytes:
    """OpenFlow 1.4, 7.3.5."""
    return message(19, struct.pack("!HH4x", kind, more) + body)


def _stream(blocks: Callable[[random.Random], Iterator[bytes]]) -> Attack:
    """Send without pause what is never whole, or never asked for; wait for what the other side does
    about it, if it does something, and begin again."""

    def attack(port: int, end: float, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            with suppress(OSError), socket.create_connection((HOST, port), 5) as peer:
                for block in blocks(chance):
                    peer.sendall(block)
                    if time.monotonic() > end:
                        return
                peer.settimeout(0.1)
                while peer.recv(1 << 16):
                    pass

    return attack


def _again(block: bytes, head: bytes = b"") -> Callable[[random.Random], Iterator[bytes]]:
    def blocks(chance: random.Random) -> Iterator[bytes]:
        yield head
        while True:
            yield block

    return blocks


def _garbage(chance: random.Random) -> Iterator[bytes]:
    """A few octets, some of them looking like the beginning of something, and away."""
    heads = (b"", HELLO, HELLO + features(1), b'{"id":1,', b"GET / HTTP/1.1\r\n", b"\x16\x03\x01")
    yield chance.choice(heads) + chance.randbytes(chance.randrange(4000))


def _lie(chance: random.Random) -> Iterator[bytes]:
    """A switch that says hello and who it is, and then what no switch should."""
    yield HELLO + features(chance.choice([chance.getrandbits(64), chance.getrandbits(16), 0]))
    lies = (
        lambda: multipart(13, chance.randbytes(72) * 500),  # ports without end
        lambda: multipart(chance.choice([1, 3, 8, 10, 16]), chance.randbytes(2000)),
        lambda: message(12, chance.randbytes(80)),  # a port's status
        lambda: message(10, chance.randbytes(chance.randrange(200))),  # a packet-in
        lambda: message(1, struct.pack("!HH", 1, chance.randrange(20)) + bytes(64)),
        lambda: message(chance.randrange(40), chance.randbytes(chance.randrange(300))),
        lambda: message(2, bytes(60_000)),  # an echo request
        lambda: message(21, b"", chance.randrange(200)),
        lambda: _HEADER.pack(5, chance.randrange(40), chance.randrange(8), 1),
    )
    for _ in range(chance.randrange(1, 400)):
        yield chance.choice(lies)() * chance.randrange(1, 50)


def _database_lies(chance: random.Random) -> Iterator[bytes]:
    """A database that answers what was not asked, and asks what it should not."""
    name = {"external_ids": ["map", [["hostname", f"liar-{chance.randrange(50)}"]]]}
    rows = {"Bridge": {"x": {"new": {"name": 7}}}}
    deep = "[" * 500 + "]" * 500
    for number in range(chance.randrange(1, 300)):
        lies: tuple[Any, ...] = (
            {"id": number, "result": [{"rows": [name]}], "error": None},
            {"id": number, "result": [], "error": None},
            {"id": number, "result": {}, "error": "x"},
            {"id": "echo", "method": "echo", "params": ["x"] * 50},
            {"id": None, "method": "update", "params": [None, rows]},
            {"id": None, "method": "update", "params": "y" * 1000},
            {"id": number, "a": float("inf")},
        )
        yield chance.choice((json.dumps(chance.choice(lies)), deep)).encode()


def _crowd(port: int, end: float, seed: int) -> None:
    """Some thousand connections that say nothing or half a sentence, and stay."""
    chance = random.Random(seed)
    crowd: list[socket.socket] = []
    while time.monotonic() < end:
        with suppress(OSError):
            peer = socket.create_connection((HOST, port), 1)
            peer.setblocking(False)
            crowd.append(peer)
            peer.send(chance.choice([b"", HELLO, b"{", b"GET /v2.0/ports HTTP/1.1\r\nHost:"]))
        if len(crowd) > CROWD:
            crowd.pop(chance.randrange(len(crowd))).close()
        time.sleep(0.0005)
    for peer in crowd:
        peer.close()


def _requests(chance: random.Random) -> Iterator[bytes]:
    """Requests that are none, that are too much, and that try to hide another."""
    deep = b"[" * 100_000
    bodies = (
        _POST + b"Content-Length: +2\r\n\r\n{}",
        _POST + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        _POST + b"Content-Length: %d\r\n\r\n" % len(deep) + deep,
        _POST + b"Content-Length: 99999999999\r\n\r\n{",
        _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /v2.0/ports?" + b"a=b&" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v2.0/networks HTTP/1.1\r\nHost: x\r\n\r\n" * 50,
        b"\x00" * 5000,
    )
    yield chance.choice(bodies)


def _flood(port: int, end: float, seed: int) -> None:
    """Connect, say nothing or one thing, read no answer, away; however many have not been accepted
    yet, the next one comes."""
    chance = random.Random(seed)
    words = (b"", chance.randbytes(300), b"GET /v2.0/ports HTTP/1.1\r\nHost:", b"X\r\n\r\n", HELLO)
    few: deque[socket.socket] = deque()
    began, number = time.monotonic(), 0
    while (now := time.monotonic()) < end:
        if number > (now - began) * FLOOD:
            time.sleep(0.0005)
            continue
        number += 1
        with suppress(OSError):
            few.append(socket.socket())
            few[-1].setblocking(False)
            few[-1].connect_ex((HOST, port))
            few[-1].send(chance.choice(words))
        while len(few) > CROWD // 4:
            few.popleft().close()


Attack = Callable[[int, float, int], None]

KINDS: dict[str, Attack] = {
    "garbage": _stream(_garbage),
    "long message": _stream(_again(bytes(1 << 16), _HEADER.pack(5, 10, 0xFFFF, 1))),
    "lying switch": _stream(_lie),
    "lying database": _stream(_database_lies),
    "crowd": _crowd,
    "flood": _flood,
    "requests": _stream(_requests),
}


def main() -> None:
    kind, port, seconds, seed = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    print("attacking", flush=True)
    KINDS[kind](port, time.monotonic() + seconds, seed)


if __name__ == "__main__":
    main()
