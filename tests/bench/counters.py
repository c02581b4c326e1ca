# SPDX-License-Identifier: Apache-2.0

"""Counters of one port among many, and of all of them: how long they take, what is asked of the
switch for it, and how long an echo waits meanwhile.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from tests.bench import ROUNDS, Figure, in_turns, ratio, turns
from tests.bench.ports import MANY, create, served, switch
from tests.bench.served import Served

ALL = "/tenantry/v1/counters"
PORTS = "/v2.0/ports"
ONES, ECHOES = 200, 100
A_QUESTION = 200
"""Octets of an answer about one flow, at the most."""


def bench() -> Iterator[Figure]:
    with switch(MANY) as ovs, served(ovs) as controller:
        create(controller, MANY)
        client = controller.client
        id = client.api("GET", f"{PORTS}?limit=1")["ports"][0]["id"]
        one = f"/tenantry/v1/ports/{id}/counters"
        assert client.api("GET", one)["complete"]
        before = controller.call("taken")
        client.send("GET", one)
        after = controller.call("taken")
        messages, octets = (now - then for now, then in zip(after, before, strict=True))
        yield Figure("counters.one.messages", messages, "from the switch", 25)
        yield Figure("counters.one.octets", octets, "from the switch", 25 * A_QUESTION)
        works = (partial(client.send, "GET", path) for path in (one, f"{PORTS}/{id}"))
        yield ratio(
            f"counters.one.{MANY}",
            *in_turns(*works, rounds=ONES),
            "a GET of the port",
            9,
            reference="20 ms",
        )
        works = (partial(client.send, "GET", path) for path in (ALL, PORTS))
        yield ratio(
            f"counters.all.{MANY}", *in_turns(*works, rounds=ROUNDS), "a GET of all ports", 12
        )
        echoes: list[list[float]] = [
            [slowest_echo(controller, path) for path in (one, f"{PORTS}/{id}", ALL, PORTS)]
            for _ in turns(ROUNDS)
        ]
        of_one, of_get, of_all, of_list = (list(column) for column in zip(*echoes, strict=True))
        peer = "while a port is asked for"
        yield ratio("counters.echo", of_one, of_get, peer, 5, reference="100 ms")
        yield ratio("counters.all.echo", of_all, of_list, "while all ports are listed")


def slowest_echo(controller: Served, path: str) -> float:
    """How long the switch takes to be answered to, at most, while somebody asks for this, over and
    over."""
    words = [sys.executable, "-m", "tests.bench.lists", controller.api, path]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None and asker.stdout.readline()
        slowest: float = controller.call("echo", count=ECHOES)
        assert asker.poll() is None, "whoever asks has ended"
        asker.kill()
    return slowest
