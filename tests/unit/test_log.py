# SPDX-License-Identifier: Apache-2.0

"""The log says once what happens a thousand times."""

from __future__ import annotations

import logging

from tenantry.controller.log import MOST, WINDOW_SECONDS, Repetitions, called


class Bench(logging.Handler):
    """A logger's handler with the filter, and a clock of the test's own."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.lines: list[str] = []
        self.addFilter(Repetitions(self.handle, lambda: self.now))
        self.logger = logging.Logger("tenantry")
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def test_a_thousand_lines_alike_are_a_few_and_one() -> None:
    bench = Bench()
    for number in range(1000):
        bench.logger.warning("connection from %s: nonsense", number)
    assert len(bench.lines) == MOST
    bench.logger.info("something else")
    assert bench.lines[MOST:] == ["something else"]
    bench.now += WINDOW_SECONDS
    bench.logger.info("something else")
    assert bench.lines[MOST + 1 :] == [
        f"{1000 - MOST} more like this within a minute, the last: connection from 999: nonsense",
        "something else",
    ]
    bench.logger.warning("connection from %s: nonsense", "again")
    assert bench.lines[-1] == "connection from again: nonsense"


def test_what_differs_is_not_alike() -> None:
    bench = Bench()
    for number in range(MOST):
        bench.logger.warning("one %s", number)
        bench.logger.error("one %s", number)
        bench.logger.warning("another %s", number)
    assert len(bench.lines) == 3 * MOST
    bench.now += WINDOW_SECONDS
    bench.logger.warning("one %s", 0)
    assert len(bench.lines) == 3 * MOST + 1, "nothing was left out"


def test_somebody_elses_name_begins_no_line() -> None:
    assert called("port", "web", "id") == "port web (id)"
    assert called("port", "", "id") == "port id"
    assert called("port", "a\n2026 INFO b", "id") == "port a?2026 INFO b (id)"
