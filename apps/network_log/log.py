# SPDX-License-Identifier: Apache-2.0

"""The network log: lines of JSON, in a file and for whoever follows.

A line is an object with the time, and what an app has put into it. The file is begun anew when it
has grown to MOST_OCTETS; KEPT older ones stay beside it.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, NamedTuple

from tenantry.controller import runtime

LOG = logging.getLogger(__name__)

MOST_OCTETS, KEPT = 16 << 20, 4
REMEMBERED = 1000
"""Lines that whoever comes later still gets to see."""

LOOK_SECONDS = 1.0
"""How long it may take to notice that a follower is gone."""


class LogLine(NamedTuple):
    """An effect: a line to be logged."""

    fields: dict[str, Any]


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:
        raise  # what this is called about: whoever writes a line says it once


class LogWriter:
    """``file``: "" for none."""

    def __init__(self, file: str) -> None:
        self.recent: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self.written = 0
        self._followers: set[runtime.Signal] = set()
        self._file = file
        self._handler: _File | None = None

    def write(self, fields: dict[str, Any]) -> None:
        """Log a line. A file that cannot be written is said once, and the line goes on."""
        line = {"time": datetime.now(timezone.utc).isoformat(timespec="milliseconds"), **fields}
        self.recent.append(line)
        self.written += 1
        for follower in self._followers:
            follower.set()
        if self._file:
            self._append(json.dumps(line))

    def _append(self, text: str) -> None:
        try:
            if self._handler is None:
                Path(self._file).parent.mkdir(parents=True, exist_ok=True)
                self._handler = _File(
                    self._file, maxBytes=MOST_OCTETS, backupCount=KEPT, delay=True
                )
            self._handler.emit(logging.LogRecord("", 0, "", 0, text, None, None))
            self._handler.close()  # until the next line: what somebody moves away is made anew
        except OSError as error:
            LOG.error("[network_log] file = %s: %s; the lines go on without it", self._file, error)
            self._file = ""

    def follow(
        self,
        seen_as: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda line: line,
        gone: Callable[[], bool] = lambda: False,
    ) -> Iterator[bytes]:
        """Lines as they come, as whoever reads may see them, if at all, for as long as they read,
        and are not ``gone``; an empty one first, with which the answer begins."""
        seen, woken = self.written, runtime.Signal()
        self._followers.add(woken)
        try:
            yield b"\n"
            while True:
                new, seen = min(self.written - seen, len(self.recent)), self.written
                for line in list(self.recent)[len(self.recent) - new :]:
                    if shown := seen_as(line):
                        yield json.dumps(shown).encode() + b"\n"
                while not woken.wait(LOOK_SECONDS):
                    if gone():
                        return
        finally:
            self._followers.discard(woken)
