# SPDX-License-Identifier: Apache-2.0

"""Long lists: all of it, a page of it, and how long somebody else waits beside a client that lists
all, over and over, from a process of its own (:func:`main`).
"""

from __future__ import annotations

import http.client
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from itertools import count
from urllib.parse import urlsplit

from tests.bench import ROUNDS, Figure, in_turns, p99, ratio, seconds, turns
from tests.bench.peers import Plain
from tests.bench.served import Client

PATH = "/v2.0/ports"
PAGE, PAGES, LISTS = 100, 50, 10
GETS = 150


def figures(client: Client, plain: Plain) -> Iterator[Figure]:
    """Of the ports that there are; the plain controller is given them."""
    ports = client.api("GET", PATH)["ports"]
    one, page = f"{PATH}/{ports[0]['id']}", f"{PATH}?limit={PAGE}"
    works = (partial(client.send, "GET", path) for path in (page, one))
    times = in_turns(*works, rounds=PAGES)
    yield ratio("api.page", *times, "a GET of one port", 12, reference="9 ms")
    plain.call("hold", ports=ports)
    works = (partial(server.send, "GET", PATH) for server in (client, plain.client))
    times = in_turns(*works, rounds=LISTS)
    yield ratio("api.list.5000", *times, Plain.NAME, 4, reference="130 ms")
    ours, plains = [], []
    for _ in turns(ROUNDS):
        ours.append(_slowest(client, one))
        plains.append(_slowest(plain.client, one))
    yield ratio("api.beside.p99", ours, plains, Plain.NAME, 0.75, reference="60 ms")


def _slowest(client: Client, path: str) -> float:
    """The 99th percentile of how long a GET takes while somebody lists all, in seconds."""
    words = [sys.executable, "-m", "tests.bench.lists", client.url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as lister:
        assert lister.stdout is not None and lister.stdout.readline()
        slowest = p99([seconds(lambda: client.send("GET", path)) for _ in range(GETS)])
        assert lister.poll() is None, "whoever lists has ended"
        lister.kill()
    return slowest


def main() -> None:
    """List all, or ask for the path that is named, over and over; a line when that has begun."""
    where = urlsplit(sys.argv[1])
    assert where.hostname
    connection = http.client.HTTPConnection(where.hostname, where.port)
    for turn in count():
        connection.request("GET", sys.argv[2] if sys.argv[2:] else PATH)
        connection.getresponse().read()
        if not turn:
            print(flush=True)


if __name__ == "__main__":
    main()
