# SPDX-License-Identifier: Apache-2.0

"""The API over HTTP, as ``tenantry serve`` serves it: one client, one connection kept alive.

Every write is durable when it is answered: SQLite's file is on disk and synced. The peer is a plain
controller, with which the same client speaks in turns.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tenantry.controller import runtime
from tests.bench import Figure, in_turns, lists, peers, progress, ratio
from tests.bench.beside import Beside, resident
from tests.bench.fake import host_name, looked_after
from tests.bench.peers import Plain
from tests.bench.served import Client, configuration

CREATES, GETS, LISTS = 500, 500, 20
MANY = 5000


@contextmanager
def tenantry(directory: Path, **options: str) -> Iterator[tuple[int, str, str]]:
    """``tenantry serve``: its process, and where its API and its OpenFlow listen."""
    file = configuration(directory, **options)
    words = [sys.executable, "-m", "tenantry.controller", "--config-file", str(file), "serve"]
    log = directory / "log"
    with log.open("w") as file:  # a pipe that nobody reads any more would hold it up
        process = subprocess.Popen(words, stderr=file)
    try:
        while not (where := re.search(r"API at (\S+), switches at (\S+)\n", log.read_text())):
            assert process.poll() is None, log.read_text()
            runtime.sleep(0.05)
        yield process.pid, where[1], where[2]
    finally:
        process.terminate()
        process.wait()


def settle(client: Client) -> None:
    while not client.api("GET", "/tenantry/v1/status")["settled"]:
        progress("api: until all is wired")
        runtime.sleep(0.5)


def bench() -> Iterator[Figure]:
    with (
        tempfile.TemporaryDirectory(dir="build") as name,
        Beside("tests.bench.fake") as fake,
        peers.plain() as plain,
    ):
        interfaces: dict[str, dict[str, str]] = {f"p{number}": {} for number in range(MANY)}
        remotes = fake.call("start", hosts=[interfaces])
        with tenantry(Path(name), **looked_after(remotes)) as (pid, api, openflow):
            host, _, port = openflow.rpartition(":")
            fake.call("connect", host=host, port=int(port))
            client = Client(api, pid)
            yield from _figures(client, plain, pid)
            client.close()


def _figures(client: Client, plain: Plain, pid: int) -> Iterator[Figure]:
    network = client.network(["10.0.0.0/16", "fd00::/64"])

    def beside(rounds: int, count: int, *words: Any) -> list[list[float]]:
        """A request so often in a turn, to us and to the plain server."""

        def asked(server: Client) -> None:
            for _ in range(count):
                server.api(*words)

        return in_turns(lambda: asked(client), lambda: asked(plain.client), rounds=rounds)

    def wanted(numbers: range) -> list[dict[str, Any]]:
        return [
            {
                "network_id": network,
                "binding:host_id": host_name(0),
                "binding:profile": {"interface_name": f"p{number}"},
            }
            for number in numbers
        ]

    body = {"port": {"network_id": network}}
    times = beside(CREATES // 20, 20, "POST", "/v2.0/ports", body)
    yield ratio("api.create", *times, Plain.NAME, 8, reference="220 ports/s")
    ports = client.api("GET", "/v2.0/ports")["ports"]
    plain.call("hold", ports=ports)
    times = beside(GETS // 20, 20, "GET", f"/v2.0/ports/{ports[0]['id']}")
    yield ratio("api.get", *times, Plain.NAME, 20, reference="2.8 ms")
    times = beside(LISTS, 1, "GET", "/v2.0/ports")
    yield ratio("api.list.500", *times, Plain.NAME, 5, reference="27 ms")

    client.ports(wanted(range(MANY - CREATES)))
    settle(client)
    kib = resident(pid) * 1024 / MANY
    yield Figure("api.memory", kib, "KiB a port, the whole process", 60, reference="290 MiB")
    yield from lists.figures(client, plain)

    client.ports([{"network_id": network} for _ in range(MANY)])
    settle(client)
    plain.call("hold", ports=client.api("GET", "/v2.0/ports")["ports"])
    times = beside(5, 1, "GET", "/v2.0/ports")
    yield ratio("api.list.10000", *times, Plain.NAME, 5, reference="0.7 s")
