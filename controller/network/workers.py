# SPDX-License-Identifier: Apache-2.0

"""Which worker has what: each key is with the one of the workers alive that has the highest weight
for it (highest random weight, Thaler and Ravishankar 1998). So one that dies gives away what it
had, evenly, one that comes takes its share of each, and nothing else moves."""

from __future__ import annotations

from hashlib import blake2b

from tenantry.controller.feature.processes import READY, Process
from tenantry.controller.model import ProcessState, View, Worker, derived


@derived
def worker_of(view: View, key: str, turn: int = 0) -> str | None:
    """The host of the worker that has what this key stands for: the id of a load balancer, say.
    With each ``turn`` it is the next one's. While none is alive, it is as if all were, for what
    they have goes on. None if there is none."""
    workers = view.ids(Worker, alive=True) or view.ids(Worker)
    ranked = sorted(workers, key=lambda host: (_weight(host, key), host), reverse=True)
    return ranked[turn % len(ranked)] if ranked else None


def _weight(host: str, key: str) -> bytes:
    return blake2b(key.encode(), key=blake2b(host.encode()).digest(), digest_size=8).digest()


def is_ready(view: View, process: Process) -> bool:
    """Whether its worker has confirmed that it is there just as it is wanted."""
    state = view.get(ProcessState, process.name)
    return state is not None and state.state == READY and state.confirmed == process.digest
