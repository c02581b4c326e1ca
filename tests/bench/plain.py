# SPDX-License-Identifier: Apache-2.0

"""The plainest server that does what is asked of a controller: the peer of one, in a process of its
own (``Beside("tests.bench.plain")``), on the same scheduler and the same libraries.

It answers GET from memory and POST after a synced write (WSGI, SQLite), at ``/change`` not before
its switch has confirmed the flows of a port; echoes and packet-ins of a switch (OpenFlow 1.4); and
when told so, it computes in slices and sends flows, as a pass does.
"""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import json
import socket
import sqlite3
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.openflow import codec
from tests.bench import beside, peers
from tests.bench.codec import flows
from tests.bench.openflow import Kind, Multipart, messages

SLICE_SECONDS = 0.02
"""As the engine's."""
FLOWS_A_UNIT, WORK_A_FLOW = 10, 300
"""40 us of Python a flow on the reference machine: a good controller's."""
FLOWS_A_BUNDLE = 2000
A_PORTS_FLOWS = 15
_DELETE_ALL = struct.pack("!QQBBHHHIIIHH", 0, 0, 255, 3, 0, 0, 0, *[0xFFFFFFFF] * 3, 0, 0) + (
    b"\x00\x01\x00\x04" + bytes(4)
)
"""OFPFC_DELETE for every table, with a match of everything (7.3.4)."""


class Server:
    def __init__(self, directory: Path) -> None:
        self._ports: list[Any] = []
        self._switches: list[Any] = []
        self._confirmed = runtime.Signal()
        self._bodies: list[bytes] = []
        self._of_a_port = bodies(A_PORTS_FLOWS)
        self._store = sqlite3.connect(directory / "plain.db", check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):  # as our store
            self._store.execute(f"PRAGMA {pragma}")
        self._store.execute("CREATE TABLE port (body TEXT)")
        self._api, self._openflow = (runtime.listen(("127.0.0.1", 0)) for _ in range(2))
        runtime.spawn(runtime.wsgi_server, self._api, self._answer, log_output=False)
        runtime.spawn(self._accept)

    def where(self) -> dict[str, Any]:
        host, port = self._api.getsockname()
        return {"api": f"http://{host}:{port}", "openflow": self._openflow.getsockname()}

    def await_switch(self) -> None:
        while not self._switches:
            runtime.sleep(0.01)

    def hold(self, ports: list[Any]) -> None:
        """What a GET of the list is answered."""
        self._ports = ports

    def prepare(self, flows: int) -> None:
        """What :meth:`push` is to send; meanwhile, others have their turn."""
        self._bodies = runtime.in_thread(bodies, flows)

    def push(self) -> None:
        """Compute and send the flows, as a pass does: in slices, between which others have their
        turn, and in bundles, of which the next is computed while the switch takes in one."""
        self._confirmed.set()  # as if there had been a bundle before
        ready: list[bytes] = []
        end = time.perf_counter() + SLICE_SECONDS
        for at in range(0, len(self._bodies), FLOWS_A_UNIT):
            peers.work(FLOWS_A_UNIT * WORK_A_FLOW)
            ready += self._bodies[at : at + FLOWS_A_UNIT]
            if len(ready) >= FLOWS_A_BUNDLE:
                self._await_confirmation()
                self._send(ready)
                ready = []
            if time.perf_counter() > end:
                runtime.yield_now()
                end = time.perf_counter() + SLICE_SECONDS
        self._await_confirmation()
        self._send(ready)
        self._await_confirmation()

    def clear(self) -> None:
        """All flows off the switch."""
        (switch,) = self._switches
        switch.sendall(
            codec.message(codec.FLOW_MOD, 1, _DELETE_ALL) + codec.message(codec.BARRIER_REQUEST, 1)
        )
        self._await_confirmation()

    def _send(self, ready: list[bytes]) -> None:
        (switch,) = self._switches
        switch.sendall(
            codec.bundle_control(1, 1, codec.BUNDLE_OPEN)
            + codec.bundle_flow_mods(1, 1, ready)
            + codec.bundle_control(1, 1, codec.BUNDLE_COMMIT)
            + codec.message(codec.BARRIER_REQUEST, 1)
        )

    def _await_confirmation(self) -> None:
        assert self._confirmed.wait(120)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            answer = json.loads(environ["wsgi.input"].read())
            with self._store:
                self._store.execute("INSERT INTO port VALUES (?)", (json.dumps(answer),))
            if environ["PATH_INFO"] == "/change":
                self._send(self._of_a_port)
                self._await_confirmation()
        elif environ["PATH_INFO"] == "/v2.0/ports":
            answer = {"ports": self._ports}
        else:
            answer = {"port": self._ports[0] if self._ports else None}
        body = json.dumps(answer).encode()
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start("200 OK", head)
        return [body]

    def _accept(self) -> None:
        while True:
            connection, _ = self._openflow.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            runtime.spawn(self._switch, connection)

    def _switch(self, connection: Any) -> None:
        ports = bytes([0, Multipart.PORT_DESC]) + bytes(6)
        for kind, body in (
            (Kind.HELLO, b""),
            (Kind.FEATURES_REQUEST, b""),
            (codec.MULTIPART_REQUEST, ports),
        ):
            connection.sendall(codec.message(kind, 1, body))
        self._switches.append(connection)
        try:
            for kind, xid, body in messages(connection):
                if kind == Kind.ECHO_REQUEST:
                    connection.sendall(codec.message(Kind.ECHO_REPLY, xid, bytes(body)))
                elif kind == codec.BARRIER_REPLY:
                    self._confirmed.set()
                elif kind == codec.PACKET_IN:
                    connection.sendall(codec.message(codec.PACKET_OUT, xid, bytes(body)))
        finally:
            self._switches.remove(connection)


def bodies(count: int) -> list[bytes]:
    """So many flows, as the bodies of flow-mods."""
    return [codec.encode_flow(flow, 1)[1] for flow in flows(count)]


def main() -> None:
    server = Server(Path(beside.arguments()["directory"]))
    calls = ("where", "await_switch", "hold", "prepare", "push", "clear")
    beside.answer({name: getattr(server, name) for name in calls})


if __name__ == "__main__":
    main()
