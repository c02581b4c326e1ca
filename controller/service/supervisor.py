# SPDX-License-Identifier: Apache-2.0

"""Work that must go on for as long as the process lives."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tenantry.controller import runtime

LOG = logging.getLogger(__name__)

PAUSE_SECONDS = 0.5
TIMES, WITHIN_SECONDS = 10, 60.0
"""Work that ends so often in so short a time does not mend by being started again."""


def keep(what: str, work: Callable[[], None], give_up: Callable[[], None]) -> Any:
    """A greenlet that does ``work``, which does not end by itself: whatever ends it is logged, and
    it is started again. If that does not help, ``give_up`` is called: better no process, which the
    system starts again, than one that seems to work."""

    def kept() -> None:
        ends: deque[float] = deque(maxlen=TIMES)
        while True:
            try:
                work()
                LOG.error("%s has ended; starting it again", what)
            except Exception:
                LOG.exception("%s has failed; starting it again", what)
            ends.append(time.monotonic())
            if len(ends) == TIMES and ends[-1] - ends[0] < WITHIN_SECONDS:
                LOG.critical("%s fails again and again; giving up", what)
                give_up()
                return
            runtime.sleep(PAUSE_SECONDS)

    return runtime.spawn(kept)
