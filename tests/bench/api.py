# SPDX-License-Identifier: Apache-2.0

"""The API over HTTP, as ``tenantry serve`` serves it: one client, one connection kept alive.

Every write is durable when it is answered: SQLite's file is on disk and synced.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from tenantry.controller import runtime
from tests.bench import ROUNDS, Figure, beside, in_turns, seconds
from tests.bench.beside import Beside
from tests.bench.fake import host_name
from tests.bench.served import Client, configuration

CREATES, GETS, LISTS = 500, 500, 20
MANY = 5000


@contextmanager
def tenantry(directory: Path, **options: str) -> Iterator[tuple[int, str, str]]:
    """``tenantry serve``: its process, and where its API and its OpenFlow listen."""
    file = configuration(directory, **options)
    words = [sys.executable, "-m", "tenantry.controller", "--config-file", str(file), "serve"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        for line in process.stderr:
            if where := re.search(r"API at (\S+), switches at (\S+)", line):
                break
        else:
            raise AssertionError("tenantry serve did not start")
        yield process.pid, where[1], where[2]
    finally:
        process.terminate()
        process.wait()


def times(count: int, work: Any) -> float:
    """The median of so many runs, in milliseconds."""
    return median(seconds(work) for _ in range(count)) * 1000


def settle(client: Client) -> None:
    while not client.api("GET", "/tenantry/v1/status")["settled"]:
        runtime.sleep(0.5)


def bench() -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory(dir="build") as name,
        Beside("tests.bench.fake") as fake,
    ):
        interfaces: dict[str, dict[str, str]] = {f"p{number}": {} for number in range(MANY)}
        remotes = fake.call("start", hosts=[interfaces])
        with tenantry(Path(name), ovsdb__connections=",".join(remotes)) as (pid, api, openflow):
            host, _, port = openflow.rpartition(":")
            fake.call("connect", host=host, port=int(port))
            client = Client(api)
            yield from _figures(client, pid)
            client.close()


def _figures(client: Client, pid: int) -> Iterator[Figure]:
    network = client.network(["10.0.0.0/16", "fd00::/64"])

    def wanted(numbers: range) -> list[dict[str, Any]]:
        return [
            {
                "network_id": network,
                "binding:host_id": host_name(0),
                "binding:profile": {"interface_name": f"p{number}"},
            }
            for number in numbers
        ]

    def create() -> None:
        for _ in range(CREATES // ROUNDS):
            client.api("POST", "/v2.0/ports", {"port": {"network_id": network}})

    (took,) = in_turns(create)
    yield Figure("api.create", CREATES / ROUNDS / took, "ports/s", 200, True)
    path = f"/v2.0/ports/{client.api('GET', '/v2.0/ports?limit=1')['ports'][0]['id']}"
    yield Figure("api.get", times(GETS, lambda: client.send("GET", path)), "ms", 3)
    yield Figure("api.list.500", times(LISTS, lambda: client.send("GET", "/v2.0/ports")), "ms", 40)

    client.ports(wanted(range(MANY - CREATES)))
    settle(client)
    yield Figure("api.resident.5000", beside.resident(pid), "MiB", 300)

    client.ports([{"network_id": network} for _ in range(5000)])
    settle(client)
    listing = times(5, lambda: client.send("GET", "/v2.0/ports"))
    yield Figure("api.list.10000", listing / 1000, "s", 1)
