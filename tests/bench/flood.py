# SPDX-License-Identifier: Apache-2.0

"""How much longer a client of the API waits while a stranger at its own address connects 5,000
times a second: each request comes by a connection of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench import ROUNDS, Figure, p99, ratio, seconds, turns
from tests.bench.served import Client, Served

REQUESTS = 200
SECONDS = 60.0  # it is ended before


def bench() -> Iterator[Figure]:
    calm, flooded = [], []
    with tempfile.TemporaryDirectory(dir="build") as name, Served(Path(name)) as controller:
        for _ in turns(ROUNDS):
            calm.append(_slowest(controller))
            flooded.append(_beside_a_flood(controller))
    yield ratio("flood.get.p99", flooded, calm, "without a flood", 10)


def _slowest(controller: Served) -> float:
    """The 99th percentile of how long an answer takes, in seconds."""

    def ask() -> None:
        client = Client(controller.api, controller.pid)
        client.send("GET", "/v2.0/networks?fields=id")
        client.close()

    return p99([seconds(ask) for _ in range(REQUESTS)])


def _beside_a_flood(controller: Served) -> float:
    port = urlsplit(controller.api).port
    words = ["-m", "tests.attack.strangers", "flood", str(port), str(SECONDS), "1"]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None and flood.stdout.readline()
        slowest = _slowest(controller)
        assert flood.poll() is None, f"{REQUESTS} answers took more than {SECONDS} s"
        flood.kill()
    return slowest
