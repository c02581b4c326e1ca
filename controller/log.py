# SPDX-License-Identifier: Apache-2.0

"""The log: what a person wants to know, a line each; and one line for what happens all the time."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

OURS = "tenantry"
"""The logger that tells what is done; others, only what goes wrong."""

MOST = 30
"""Lines alike (of one format) that are logged within WINDOW_SECONDS."""

WINDOW_SECONDS = 60.0


EACH = {"each": True}
"""The ``extra`` of lines each of which is logged, however many there are alike."""


def configure(verbose: bool) -> None:
    """Log to stderr; if ``verbose``, what the libraries do, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.addFilter(Repetitions(handler.handle))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler])
    logging.getLogger(OURS).setLevel(logging.DEBUG if verbose else logging.INFO)


def printable(text: str) -> str:
    """Somebody else's words, as part of a line: nothing in them begins another."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def called(kind: str, name: str, id: str) -> str:
    """Something that somebody has named, as part of a line."""
    return f"{kind} {printable(name)} ({id})" if name else f"{kind} {id}"


class Repetitions(logging.Filter):
    """Lets MOST lines alike through in WINDOW_SECONDS, and says afterwards how many more there
    were: as soon as anything else is logged."""

    def __init__(
        self,
        emit: Callable[[logging.LogRecord], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._emit = emit
        self._clock = clock
        self._seen: dict[tuple[str, int, str], _Alike] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        over = [key for key, alike in self._seen.items() if now - alike.since >= WINDOW_SECONDS]
        for alike in [self._seen.pop(key) for key in over]:
            if alike.left_out:
                self._emit(alike.summary())  # which comes by here, too
        if getattr(record, "each", False):
            return True
        key = (record.name, record.levelno, str(record.msg))
        alike = self._seen.setdefault(key, _Alike(now))
        alike.count += 1
        if alike.count <= MOST:
            return True
        alike.last = record
        return False


class _Alike:
    """Lines of one format since a moment."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.count = 0
        self.last: logging.LogRecord | None = None  # of those that were left out

    @property
    def left_out(self) -> int:
        return max(0, self.count - MOST)

    def summary(self) -> logging.LogRecord:
        assert self.last is not None
        text = f"{self.left_out:,} more like this within a minute, the last: %s"
        one = self.last
        told = (one.getMessage(),)
        return logging.LogRecord(one.name, one.levelno, one.pathname, one.lineno, text, told, None)
