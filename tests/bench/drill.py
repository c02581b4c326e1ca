# SPDX-License-Identifier: Apache-2.0

"""Packets lost through a restart, a cut, tampering and a new switch daemon: ``tenantry drill``."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from tenantry.controller.cli.drill import Result, drill
from tests.bench import Figure

PACKETS = 10_000  # each way
ROUNDS = 3


def bench() -> Iterator[Figure]:
    for event in ("restart", "reconnect", "tamper"):
        results = [drill(event, PACKETS) for _ in range(ROUNDS)]
        yield Figure(f"drill.{event}.lost", sum(r.lost for r in results), "packets", 0)
        yield from _forbidden_and_times(event, results)
    results = [drill("ovs-restart", PACKETS) for _ in range(ROUNDS)]
    yield Figure("drill.ovs-restart.lost", median(r.lost for r in results), "packets")
    afterwards = sum(r.lost_afterwards for r in results)
    yield Figure("drill.ovs-restart.lost-afterwards", afterwards, "packets", 0)
    yield from _forbidden_and_times("ovs-restart", results)


def _forbidden_and_times(event: str, results: list[Result]) -> Iterator[Figure]:
    yield Figure(f"drill.{event}.leaked", sum(r.leaked for r in results), "packets", 0)
    yield Figure(f"drill.{event}.whole", median(r.whole_seconds for r in results), "s")
    yield Figure(f"drill.{event}.gap", median(r.longest_gap_ms for r in results), "ms")
    delay = median(r.longest_way_ms - r.calm_way_ms for r in results)
    yield Figure(f"drill.{event}.delay", delay, "ms")
