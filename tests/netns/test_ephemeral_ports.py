# SPDX-License-Identifier: Apache-2.0

"""The ports that Linux gives to those who ask for none are even, by the bits that tell members
apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from socket import AF_INET, AF_INET6, SOCK_STREAM
from socket import socket as Socket

import pytest

from tenantry.apps.load_balancer.split import cut
from tests.namespace import allowed, entered, run

CONNECTIONS = 10_000
CLIENTS = 4

pytestmark = pytest.mark.skipif(not allowed(), reason="needs root")


@pytest.fixture(scope="module", params=[AF_INET, AF_INET6], ids=["4", "6"])
def ports(request: pytest.FixtureRequest) -> list[int]:
    """The ports of as many connections of each client with one server, one after another."""
    return [port for _ in range(CLIENTS) for port in _ports(request.param)]


def _ports(family: int) -> Iterator[int]:
    """A client's: ports are not free again while it waits (TIME-WAIT), as it has ended first."""
    address, length = ("fd00::1", 128) if family == AF_INET6 else ("192.0.2.1", 32)
    with entered(), ExitStack() as stack:
        run("sysctl", "-qw", "net.ipv4.tcp_tw_reuse=0")
        run("ip", "address", "add", f"{address}/{length}", "dev", "lo", *NODAD[family])
        # Of IPv6 the kernel makes the route to an address a moment after the address.
        run("sh", "-c", f"until ip route get {address}; do sleep 0.01; done")
        server = stack.enter_context(closing(Socket(family, SOCK_STREAM)))
        server.bind((address, 80))
        server.listen()
        for _ in range(CONNECTIONS):
            with closing(Socket(family, SOCK_STREAM)) as client:
                client.connect((address, 80))
                yield client.getsockname()[1]
            server.accept()[0].close()


NODAD = {AF_INET: (), AF_INET6: ("nodad",)}


def shares(wanted: tuple[int, ...], ports: list[int]) -> Counter[int]:
    rows = cut(wanted)  # from the highest rung down
    return Counter(next(row.part for row in rows if port & row.mask == row.value) for port in ports)


def test_connections_are_even(ports: list[int]) -> None:
    for n in (2, 3, 7, 10, 16):
        found = shares((1,) * n, ports)
        for part in range(n):
            assert found[part] * n == pytest.approx(len(ports), rel=0.05)


def test_the_first_few_go_round(ports: list[int]) -> None:
    found = [shares((1,) * 10, ports[at : at + 10]) for at in range(0, 1000, 10)]
    assert sum(len(some) for some in found) >= 5 * len(found)


def test_weights_are_kept(ports: list[int]) -> None:
    weights = (2, 3, 5, 10, 10, 20, 20, 30, 100)
    found = shares(weights, ports)
    for part, weight in enumerate(weights):
        assert found[part] / len(ports) == pytest.approx(weight / sum(weights), rel=0.1)
