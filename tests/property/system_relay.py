"""A way to OVSDB that a test can cut: a relay between two Unix sockets."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

from controller import runtime


class Relay:
    """Listens at ``path`` and leads to ``target``. It can be cut and mended any number of times."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._streams: list[Any] = []
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
        for stream in self._streams:
            _end(stream)
        self._streams.clear()

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._target))
            self._streams += (near, far)
            runtime.spawn(_copy, near, far)
            runtime.spawn(_copy, far, near)


def _copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _end(sink)


def _end(stream: Any) -> None:
    """Wakes whoever reads it; the file goes with the last of them."""
    with contextlib.suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)
