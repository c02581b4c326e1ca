# SPDX-License-Identifier: Apache-2.0

"""What goes wrong on purpose: a way to OVSDB that can be cut, a controller that dies in the middle
of a push, and impatience, so that nobody waits for a second until he tries again."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from tenantry.controller import runtime
from tenantry.controller.openflow import codec
from tenantry.controller.switch import host, hosts
from tenantry.controller.switch.connection import Connection, Disconnected


class Relay:
    """Listens at ``path`` and leads to ``target``. It can be cut and mended any number of times."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._relaying: list[tuple[Any, Any, Any]] = []
        self._listening: Any = None
        self._accepting: Any = None
        self.mend()

    @property
    def whole(self) -> bool:
        return self._listening is not None

    def mend(self) -> None:
        """Connections are possible (again)."""
        if not self.whole:
            self._listening = runtime.listen(str(self.path), socket.AF_UNIX)
            self._accepting = runtime.spawn(self._accept)

    def cut(self) -> None:
        """All connections end, wherever they are in a message, and none is possible."""
        if self.whole:
            self._accepting.kill()
            self._listening.close()
            self._listening = None
            self.path.unlink()
        for near, far, greenlet in self._relaying:
            _end(near)
            _end(far)
            greenlet.wait()
        self._relaying.clear()

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._target))
            self._relaying.append((near, far, runtime.spawn(_relay, near, far)))


def _relay(near: Any, far: Any) -> None:
    with near, far:
        back = runtime.spawn(_copy, far, near)
        _copy(near, far)
        back.wait()


def _copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _end(sink)


def _end(stream: Any) -> None:
    """Wakes whoever reads it."""
    with contextlib.suppress(OSError):  # it has ended
        stream.shutdown(socket.SHUT_RDWR)


@contextmanager
def dying_after(messages: int) -> Iterator[Callable[[], bool]]:
    """Connections end when so many more messages have gone to switches; whether they have."""
    left = messages
    send = Connection.send

    def die(self: Connection, data: bytes) -> None:
        nonlocal left
        end = 0
        while left and end < len(data):
            end += codec.read_header(data[end:]).length
            left -= 1
        if end < len(data):
            self._datapath.send(data[:end], close_socket=True)
            raise Disconnected("this is the fault that was asked for")
        send(self, data)

    with mock.patch.object(Connection, "send", die):
        yield lambda: not left


@contextmanager
def impatience() -> Iterator[None]:
    """Whoever lost a connection tries again at once, not after a second or two."""
    with (
        mock.patch("tests.lab.SETTLE_SECONDS", 5),
        mock.patch.object(hosts, "RETRY_SECONDS", 0.02),
        mock.patch.object(host, "RETRY_SECONDS", 0.02),
        mock.patch.object(host, "MEND_SECONDS", 0.02),
    ):
        yield
