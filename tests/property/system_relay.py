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
        self._sockets: list[Any] = []
        self._accepting: Any = None
        self.mend()

    def mend(self) -> None:
        """Connections are possible (again)."""
        if self._accepting is None:
            self.path.unlink(missing_ok=True)
            listening = runtime.listen(str(self.path), socket.AF_UNIX)
            self._sockets.append(listening)
            self._accepting = runtime.spawn(self._accept, listening)

    def cut(self) -> None:
        """All connections end, also in the middle of a message, and none is possible."""
        if self._accepting is not None:
            self._accepting.kill()
            self._accepting = None
        self.path.unlink(missing_ok=True)
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._sockets.clear()

    def _accept(self, listening: Any) -> None:
        while True:
            near, _ = listening.accept()
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(self._target))
            self._sockets += (near, far)
            runtime.spawn(_copy, near, far)
            runtime.spawn(_copy, far, near)


def _copy(source: Any, sink: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
