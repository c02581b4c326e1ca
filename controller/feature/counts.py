# SPDX-License-Identifier: Apache-2.0

"""What is said of counts wherever they are answered: since when they hold, and whether they are
all; and of what there are none, for who asks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from tenantry.controller.feature.routes import Counted, Counts, Running
from tenantry.controller.model.binding import dpid_text


def check_seen(running: Running, kind: str, id: str) -> None:
    """Errors: LookupError, if who asks sees no such resource."""
    if not running.sees(kind, id):
        raise LookupError(f"there is no {kind.replace('_', ' ')} {id}")


def since(flows: Iterable[Counted]) -> str | None:
    """From when on all of the flows have counted; None if there are none."""
    youngest = min((flow.seconds for flow in flows), default=None)
    if youngest is None:
        return None
    begun = datetime.now(timezone.utc) - timedelta(seconds=youngest)
    return begun.isoformat(timespec="seconds")


def completeness(counts: Counts) -> dict[str, Any]:
    """Whether every switch has told, and which have not, and why."""
    return {
        "complete": not counts.silent,
        "silent": [
            {"switch": dpid_text(dpid), "why": why} for dpid, why in sorted(counts.silent.items())
        ],
    }
