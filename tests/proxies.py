# SPDX-License-Identifier: Apache-2.0

"""Load balancers as records, and HAProxy as it is configured for them, without a controller."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tenantry.apps.haproxy.configuration import SOCKET, configuration
from tenantry.apps.load_balancer.records import (
    TIMEOUTS,
    UNLIMITED,
    Listener,
    LoadBalancer,
    Member,
    Pool,
)
from tenantry.controller.model import Change, Model, View
from tenantry.controller.model.values import FixedIp

BALANCER = "balancer"


def balancer(*addresses: str) -> LoadBalancer:
    vips = tuple(FixedIp("s", a.version, int(a)) for a in map(ip_address, addresses))
    return LoadBalancer(BALANCER, 1, "p", "lb", "port", "network", vips, True)


def listener(id: str, port: int, protocol: str = "HTTP", **values: Any) -> Listener:
    usual = {"default_pool_id": "", "connection_limit": UNLIMITED, **TIMEOUTS}
    own = {"load_balancer_id": BALANCER, "protocol": protocol, "port": port}
    return Listener(
        **{"id": id, "key": 1, "project_id": "p", "admin_state_up": True, **usual} | own | values
    )


def pool(id: str, protocol: str = "HTTP", **values: Any) -> Pool:
    own = {"load_balancer_id": BALANCER, "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}
    return Pool(**{"id": id, "key": 1, "project_id": "p", "admin_state_up": True} | own | values)


def member(id: str, pool_id: str, slot: int, address: str, port: int, **values: Any) -> Member:
    where = ip_address(address)
    own = {"pool_id": pool_id, "slot": slot, "version": where.version, "address": int(where)}
    usual = {"weight": 1, "backup": False, "admin_state_up": True, "project_id": "p", "name": id}
    return Member(**{"id": id, "key": slot, "port": port} | own | usual | values)


def view_of(*records: Any) -> View:
    model = Model()
    model.apply(Change(type(record), record.id, record) for record in records)
    return View(model)


def accepted(text: str, directory: Path, files: Mapping[str, str] = {}) -> str:
    """What HAProxy has to say against a configuration: "" if nothing at all."""
    _write({"haproxy.cfg": text, **files}, directory)
    done = subprocess.run(
        ["haproxy", "-c", "-f", "haproxy.cfg"], cwd=directory, capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("[NOTICE]")]
    assert done.returncode == 0 or complaints
    return "\n".join(complaints)


def _write(files: Mapping[str, str], directory: Path) -> None:
    for name, content in files.items():
        (directory / name).write_text(content)


class Proxy:
    """A HAProxy that runs in a directory, as a worker runs it."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / SOCKET
        self._directory = directory
        self._changes = 0
        self._process: subprocess.Popen[bytes] | None = None

    def tell(self, view: View, files: Mapping[str, str] = {}) -> None:
        """Start it, or give it other files; and wait until it goes by these."""
        self._changes += 1
        told = f"description {self._changes}"
        text = {"haproxy.cfg": configuration(view, BALANCER), "revision.cfg": f"global\n {told}\n"}
        _write({**text, **files}, self._directory)
        if self._process is None:
            with open(self._directory / "log", "w") as log:
                words = ["haproxy", "-W", "-f", "haproxy.cfg", "-f", "revision.cfg"]
                self._process = subprocess.Popen(words, cwd=self._directory, stdout=log, stderr=log)
        asked = 0
        while f"description: {self._changes}\n" not in self.ask("show info"):
            assert self._process.poll() is None, (self._directory / "log").read_text()
            # Once more now and then: while it begins, a signal may be lost.
            if self._changes > 1 and asked % 100 == 0:
                self._process.send_signal(signal.SIGUSR2)
            asked += 1
            time.sleep(0.01)

    def ask(self, line: str) -> str:
        """What it says to a line at its socket; "" while it is not there."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(line.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
        return ""

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


@contextmanager
def running(view: View, directory: Path, files: Mapping[str, str] = {}) -> Iterator[Proxy]:
    """HAProxy, until the block ends."""
    proxy = Proxy(directory)
    try:
        proxy.tell(view, files)
        yield proxy
    finally:
        proxy.close()


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet an answer: without, it waits for the first's acknowledgement

    def do_GET(self) -> None:
        """Which server this is, and what it was asked."""
        lines = [str(self.server.server_address[1]), self.requestline]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        said = "\n".join(lines).encode("latin-1")
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        _, asked, cookie = self.path.partition("?set-cookie=")
        if asked:
            self.send_header("Set-Cookie", unquote(cookie))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def answering(ports: Iterable[int], tls: ssl.SSLContext | None = None) -> Iterator[None]:
    """Web servers at these ports of all addresses here, which say which they are."""
    servers = [_Server(("::", port), _Answer) for port in ports]
    for server in servers if tls else ():
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
