# SPDX-License-Identifier: Apache-2.0

"""A client that asks a web server at a steady rate, in a process of its own, until its standard
input ends; then it says what came of it, as JSON: ``python -m tests.steady HOST PORT RATE``."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

CLIENTS = 2
"""One keeps its connection, the other makes a new one for each request."""


class Steady:
    def __init__(self, host: str, port: int, rate: float) -> None:
        self._to = host, port
        self._apart = CLIENTS / rate
        self.over = threading.Event()
        self.asked = 0
        self.lost: list[str] = []

    def ask(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection(*self._to, timeout=20)
        due = time.monotonic()
        while not self.over.is_set():
            due += self._apart
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.status != 200 or not answer.read():
                    self.lost.append(f"status {answer.status}")
                if not keeps:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(f"{'kept' if keeps else 'new'}: {error!r}")
                connection.close()
            self.asked += 1


def main() -> None:
    steady = Steady(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
    clients = [threading.Thread(target=steady.ask, args=(keeps,)) for keeps in (True, False)]
    for client in clients:
        client.start()
    sys.stdin.read()
    steady.over.set()
    for client in clients:
        client.join()
    print(json.dumps({"asked": steady.asked, "lost": steady.lost}))


if __name__ == "__main__":
    main()
