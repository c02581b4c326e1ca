# SPDX-License-Identifier: Apache-2.0

"""How long things take, as histograms of this process for Prometheus.

Each process that serves the API has its own; who adds them up is Prometheus.
"""

from __future__ import annotations

import time
from collections import deque

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.process_collector import ProcessCollector

from tenantry.controller.service.follower import Follower, Passed
from tenantry.controller.service.progress import Progress
from tenantry.controller.store import Commit
from tenantry.controller.switch.reconcile import Push

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

MOST_COMMITS = 1000
"""Of which the time to be realised is taken, at once."""


class Timings(Follower):
    """Comes last of the followers: a pass is over when all have heard of it."""

    def __init__(self, progress: Progress) -> None:
        self.registry = CollectorRegistry()
        self._progress = progress
        self._commits: deque[tuple[int, float]] = deque(maxlen=MOST_COMMITS)
        self._awaited = -1  # a switch that has not confirmed the oldest of them
        self._requests = Histogram(
            "tenantry_api_request_seconds",
            "Time until a request's answer is ready, by the route that it took.",
            ("method", "route"),
            registry=self.registry,
            buckets=SECONDS,
        )
        self._answers = Counter(
            "tenantry_api_answers",
            "Answers, by route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._passes, self._pushes, self._realised = (
            Histogram(f"tenantry_{name}_seconds", words, registry=self.registry, buckets=SECONDS)
            for name, words in (
                ("pass", "Time of a pass: from what happened to what is wanted of switches."),
                ("push", "Time of a push: what is wanted of one switch is sent and confirmed."),
                (
                    "realised",
                    "Time from a commit until every connected switch has confirmed it.",
                ),
            )
        )
        ProcessCollector(registry=self.registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was; ``route`` is its pattern, or "" if it took none."""
        self._requests.labels(method, route).observe(seconds)
        self._answers.labels(method, route, str(status)).inc()

    def committed(self, commit: Commit) -> None:
        self._commits.append((commit.number, time.monotonic()))

    def passed(self, passed: Passed) -> None:
        self._passes.observe(time.monotonic() - passed.started)

    def pushed(self, dpid: int, push: Push) -> None:
        if push.added or push.deleted:
            self._pushes.observe(push.seconds)

    def confirmed(self, dpid: int, generation: int) -> None:
        self._look(dpid)

    def disconnected(self, dpid: int) -> None:
        self._look(dpid)

    def _look(self, dpid: int) -> None:
        """Whether the oldest commits are realised: not while a switch is known that is behind."""
        progress = self._progress
        if dpid != self._awaited and self._awaited in progress.connections:
            return
        self._awaited = -1
        while self._commits and self._commits[0][0] <= progress.target.revision:
            number, since = self._commits[0]
            for other in progress.connections:
                if progress.confirmed(other).revision < number:
                    self._awaited = other
                    return
            self._commits.popleft()
            self._realised.observe(time.monotonic() - since)
