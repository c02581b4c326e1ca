# SPDX-License-Identifier: Apache-2.0

"""What a real HAProxy says of its frontends, and what is made of it."""

from __future__ import annotations

import http.client
import socket
import time
from pathlib import Path

import pytest

from tenantry.apps.haproxy.statistics import COLUMNS, frontend
from tests import namespace, proxies

pytestmark = pytest.mark.skipif(not namespace.allowed(), reason="needs root for a namespace")

PORT, SERVER, REQUESTS = 8080, 9000, 5


def test_requests_are_counted_by_listener(tmp_path: Path) -> None:
    view = proxies.view_of(
        proxies.balancer("127.0.0.1"),
        proxies.listener("busy", PORT, default_pool_id="pool"),
        proxies.listener("idle", PORT + 1, default_pool_id="pool"),
        proxies.pool("pool"),
        proxies.member("m", "pool", 0, "127.0.0.1", SERVER),
    )
    with (
        namespace.entered(),
        proxies.answering([SERVER]),
        proxies.running(view, tmp_path) as proxy,
    ):
        sizes = [_ask() for _ in range(REQUESTS)]
        with socket.create_connection(("127.0.0.1", PORT)) as open_one:
            counted = _until(proxy, total_connections=REQUESTS + 1)
            assert counted["active_connections"] == 1
            open_one.sendall(b"what is this?\r\n\r\n")
            assert b" 400 " in open_one.recv(1000)
        counted = _until(proxy, request_errors=1, active_connections=0)
        assert counted["bytes_out"] > sum(sizes)
        assert counted["bytes_in"] > REQUESTS * len("GET / HTTP/1.1")
        assert counted["total_connections"] == REQUESTS + 1
        table = proxy.ask("show stat")
        assert frontend(table, "idle") == dict.fromkeys(COLUMNS, 0)
        assert frontend(table, "nobody") == {}


def _ask() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=60)
    connection.request("GET", "/", headers={"Connection": "close"})
    size = len(connection.getresponse().read())
    connection.close()
    return size


def _until(proxy: proxies.Proxy, **expected: int) -> dict[str, int]:
    """What is counted, once it is so: a thread of HAProxy closes what another has."""
    deadline = time.monotonic() + 60
    while True:
        counted = dict(frontend(proxy.ask("show stat"), "busy"))
        if expected.items() <= counted.items():
            return counted
        assert time.monotonic() < deadline, counted
