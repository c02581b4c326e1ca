# SPDX-License-Identifier: Apache-2.0

"""A web service that says its name, and somebody who asks for it by a timetable.

``web.py serve NAME`` answers HTTP with its name, until its input ends. ``web.py ask ADDRESS PORT
PER_SECOND`` asks, each time by a connection of its own; when its input has ended it prints as JSON,
for each question, when it was asked (``time.monotonic``), for how long that took (milliseconds),
and who has answered: null is nobody. Both print a line when they have begun.

It needs nothing but Python's standard library: it runs under the system's Python, too.
"""

import contextlib
import http.client
import http.server
import json
import sys
import threading
import time
from typing import NamedTuple

from namespaces import inside
from pacer import READY, start

PORT = 8080  # where the service is
PATIENCE = 2.0  # seconds for an answer


class Answer(NamedTuple):
    """``asked``: on the clock ``time.monotonic``; ``waited``: milliseconds; ``name``: None if
    nobody has answered."""

    asked: float
    waited: float
    name: str | None


class Service:
    """One in a node's namespace, until it is stopped."""

    def __init__(self, node, name):
        self._process = start(node, __file__, "serve", name)

    def stop(self):
        """It dies: its connections are reset, and new ones are refused."""
        self._process.kill()
        self._process.communicate()


class Asker:
    """Asks in the background, until the result is wanted."""

    def __init__(self, node, address, port, per_second):
        self._process = start(node, __file__, "ask", address, port, per_second)

    def result(self):
        told, _ = self._process.communicate()
        return [Answer(*one) for one in json.loads(told)]


def asked(node, address, port, times):
    """Ask so many times, one after the other: who has answered."""
    return inside(node.pid, lambda: [question(address, port) for _ in range(times)]).result()


def question(address, port):
    """Ask once, by a connection of its own: who has answered, or None."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
    return None


def serve(name):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(name)))
            self.end_headers()
            self.wfile.write(name.encode())

        def log_message(self, *words):
            pass

    server = http.server.ThreadingHTTPServer(("", PORT), Handler)
    server.handle_error = lambda *_: None  # who asks may hang up
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(READY, end="", flush=True)
    sys.stdin.read()


def ask(address, port, per_second):
    answers, asking = [], []

    def one():
        asked = time.monotonic()
        name = question(address, port)
        answers.append((asked, 1000 * (time.monotonic() - asked), name))

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    print(READY, end="", flush=True)
    began, number = time.monotonic(), 0
    while not ended.wait(max(0.0, began + number / per_second - time.monotonic())):
        asking.append(threading.Thread(target=one))
        asking[-1].start()
        number += 1
    for thread in asking:
        thread.join()
    json.dump(sorted(answers), sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
