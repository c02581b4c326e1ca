# SPDX-License-Identifier: Apache-2.0

"""The engine's audit: now and then all that is wanted is computed from nothing, and must be what
the engine keeps up."""

from __future__ import annotations

import logging

from tenantry.controller import runtime
from tenantry.controller.engine.engine import Engine
from tenantry.controller.service.inbox import Inbox
from tenantry.controller.service.loop import SLICE_SECONDS, Loop, run_in_slices

LOG = logging.getLogger(__name__)


class Audit:
    """``seconds``: between two."""

    def __init__(self, loop: Loop, inbox: Inbox, seconds: float) -> None:
        self.audits = 0
        self.differences = 0
        """Flows about which the engine was wrong."""
        self._loop = loop
        self._inbox = inbox
        self._seconds = seconds

    def shadow(self) -> Engine:
        """An engine computed from nothing, in slices, while the other goes on: on return the two
        have seen the same changes, and must want the same."""
        engine = self._loop.engine
        shadow = Engine(engine.model, engine.apps, engine.wants_rows)
        self._loop.engines.append(shadow)
        try:
            run_in_slices(shadow, SLICE_SECONDS)
            with self._loop.passing:  # no pass until the last of it is computed
                run_in_slices(shadow)
        finally:
            self._loop.engines.remove(shadow)
        return shadow

    def compare(self) -> int:
        """Compare the engine with its shadow; if they differ, adopt the shadow, and say so. How
        many flows differed: any at all are a mistake of ours."""
        shadow, engine = self.shadow(), self._loop.engine
        different = 0
        for dpid, wanted in shadow.wanted.items():
            wrong = wanted.flows.keys() ^ engine.wanted[dpid].flows.keys()
            wanted.touched = wrong | engine.wanted[dpid].touched
            different += len(wrong)
        self.audits += 1
        if different:
            self.differences += different
            LOG.error(
                "the engine was wrong about %d flows; recomputed all, please report", different
            )
            engine.adopt(shadow)
            self._inbox.wake()
        return different

    def run(self) -> None:
        """For as long as the process lives."""
        while True:
            runtime.sleep(self._seconds)
            try:
                self.compare()
            except Exception:
                LOG.exception("the engine's audit failed")
