# SPDX-License-Identifier: Apache-2.0

"""Sums of what flows have counted, as they are answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.feature.counts import completeness, since
from tenantry.controller.feature.routes import Counted, Counts, Rate, Silent


def tally(flows: Iterable[Counted]) -> dict[str, Any]:
    """Packets and octets of some flows together, and how many a second of late: None if none of
    them was read a little before."""
    packets = octets = 0
    rates: list[Rate] = []
    for flow in runtime.paced(flows):
        packets, octets = packets + flow.packets, octets + flow.octets
        rates += [flow.rate] if flow.rate else []
    return {
        "packets": packets,
        "octets": octets,
        "packets_per_second": _sum([rate.packets for rate in rates]),
        "octets_per_second": _sum([rate.octets for rate in rates]),
    }


def _sum(rates: list[float]) -> float | None:
    return round(sum(rates), 1) if rates else None


def told(kind: str, id: str, counts: Counts, answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer, with what it is about, since when it holds and whether it is all. Errors: Silent,
    if no switch has told anything that should have."""
    if counts.silent and not counts.flows:
        raise Silent("; ".join(counts.silent.values()))
    return {
        "kind": kind,
        "id": id,
        **answer,
        "since": since(counts.flows),
        **completeness(counts),
    }
