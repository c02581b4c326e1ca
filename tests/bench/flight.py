# SPDX-License-Identifier: Apache-2.0

"""Sends packets between namespaces and takes the time: a process without any scheduler of ours.

The argument is JSON: ``control``, the switch daemon's control socket; ``flights``, by name the
process ids of two namespaces and the second's address. Prints what it measured, likewise.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from statistics import median
from typing import Any

from tests import namespace
from tests.bench import seconds, turns

ROUNDS, TRIES, CONNECTIONS = 60, 5, 15
"""Short turns, so that a noisy moment disturbs all alike; and in each the median of a few tries, of
which most are over before the scheduler takes the processor away."""
UDP_PORT, TCP_PORT = 7001, 7002
SECONDS = 3.0


def inside(pid: int, kind: int) -> socket.socket:
    made = namespace.inside(pid, kind)
    made.settimeout(SECONDS)
    return made


class Flight:
    def __init__(self, client: int, server: int, address: str) -> None:
        self.client, self.address = client, address
        self.asking = inside(client, socket.SOCK_DGRAM)
        self.answering = inside(server, socket.SOCK_DGRAM)
        self.listening = inside(server, socket.SOCK_STREAM)
        for made, kind in ((self.answering, UDP_PORT), (self.listening, TCP_PORT)):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("", kind))
        self.listening.listen(64)

    def there_and_back(self) -> None:
        self.asking.sendto(b"?", (self.address, UDP_PORT))
        _, peer = self.answering.recvfrom(10)
        self.answering.sendto(b"!", peer)
        self.asking.recvfrom(10)

    def connections(self) -> None:
        """One after the other, each with a byte that is answered."""
        for _ in range(CONNECTIONS):
            with inside(self.client, socket.SOCK_STREAM) as client:
                client.connect((self.address, TCP_PORT))
                server, _ = self.listening.accept()
                with server:
                    client.sendall(b"?")
                    server.recv(1)
                    server.sendall(b"!")
                    client.recv(1)

    def close(self) -> None:
        for made in (self.asking, self.answering, self.listening):
            made.close()


def main() -> None:
    words: dict[str, Any] = json.loads(sys.argv[1])
    purge = ["ovs-appctl", "-t", words["control"], "revalidator/purge"]
    first: dict[str, list[float]] = {name: [] for name in words["flights"]}
    rates: dict[str, list[float]] = {name: [] for name in words["flights"]}
    for _ in turns(ROUNDS):
        for name, where in words["flights"].items():
            flight = Flight(*where)
            flight.there_and_back()  # neighbours are known now
            firsts = []
            for _ in range(TRIES):
                subprocess.run(purge, check=True, stdout=subprocess.DEVNULL)
                firsts.append(seconds(flight.there_and_back))
            first[name].append(median(firsts))
            tries = [seconds(flight.connections) for _ in range(TRIES)]
            rates[name].append(CONNECTIONS / median(tries))
            flight.close()
    print(json.dumps([first, rates]))


if __name__ == "__main__":
    main()
