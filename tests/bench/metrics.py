# SPDX-License-Identifier: Apache-2.0

"""``/metrics`` of a thousand ports, whose counts are read anew each time: how long it takes, and
how long an echo of the switch waits meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.bench import ROUNDS, Figure, in_turns, ratio, turns
from tests.bench.counters import PORTS, slowest_echo
from tests.bench.ports import create, switch
from tests.bench.served import Served

METRICS = "/metrics"
COUNT = 1000


def bench() -> Iterator[Figure]:
    with (
        switch(COUNT) as ovs,
        tempfile.TemporaryDirectory(dir="build") as directory,
        Served(Path(directory), ovsdb__connections=ovs.remote, metrics__kept="0") as controller,
    ):
        controller.settled(switches=1)
        create(controller, COUNT)
        client = controller.client
        told = client.send("GET", METRICS)
        assert told.count(b"\ntenantry_port_packets_total{") == 2 * COUNT
        works = (partial(client.send, "GET", path) for path in (METRICS, PORTS))
        peer = f"a GET of {COUNT:,} ports"
        yield ratio(
            f"metrics.{COUNT}", *in_turns(*works, rounds=ROUNDS), peer, 4, reference="300 ms"
        )
        echoes = [
            [slowest_echo(controller, path) for path in (METRICS, PORTS)] for _ in turns(ROUNDS)
        ]
        of_metrics, of_list = (list(column) for column in zip(*echoes, strict=True))
        peer = "while all ports are listed"
        yield ratio("metrics.echo", of_metrics, of_list, peer, 4, reference="100 ms")
