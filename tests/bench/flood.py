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
from statistics import median, quantiles
from urllib.parse import urlsplit

from tests.bench import ROUNDS, Figure, seconds
from tests.bench.served import Client, Served

REQUESTS = 200
SECONDS = 10.0


def bench() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(dir="build") as name:
        controller = Served(Path(name))
        pairs = [(_slowest(controller.api), _beside_a_flood(controller.api)) for _ in range(ROUNDS)]
        controller.close()
    yield Figure("flood.get.p99", median(b / a for a, b in pairs), "x without a flood", 10)


def _slowest(api: str) -> float:
    """The 99th percentile of how long an answer takes, in seconds."""

    def ask() -> None:
        client = Client(api)
        client.send("GET", "/v2.0/networks?fields=id")
        client.close()

    return quantiles([seconds(ask) for _ in range(REQUESTS)], n=100)[98]


def _beside_a_flood(api: str) -> float:
    port = urlsplit(api).port
    words = ["-m", "tests.attack.strangers", "flood", str(port), str(SECONDS), "1"]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdout is not None and flood.stdout.readline()
        slowest = _slowest(api)
        assert flood.poll() is None, f"{REQUESTS} answers took more than {SECONDS} s"
        flood.kill()
    return slowest
