# SPDX-License-Identifier: Apache-2.0

"""One guest, one stranger, or one client at its worst: the controller serves all others.

How long others are kept waiting is measured in the process's own time, so that it does not depend
on what else the machine does.
"""

from __future__ import annotations

import gc
import http.client
import json
import os
import resource
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller import runtime
from tenantry.controller.api.tenantry import operations
from tenantry.controller.config import Address
from tests import dhcp_client
from tests.attack.senders import LIAR, hostile
from tests.conftest import need
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

LONGEST = 0.25
"""Seconds of the process's time."""

ASKED = 15
"""Questions to the API meanwhile, at least."""

SECONDS = float(os.environ.get("ATTACK_SECONDS", 0))
"""How long it goes on, at least."""


WRONG = ("error", "missing", "modified", "foreign", "stale", "conflicts")
"""What verify tells of a switch."""


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(ovs, tmp_path, ovsdb__listen="127.0.0.1:0") as running:
        yield running
        answer = operations.verify(running.controller.running)
        # Who has said that it is a switch, and is gone, is missed; all else is as it should be.
        assert set(answer["absent"]) <= {f"{LIAR:016x}"}, answer
        assert answer["settled"] and not answer["differences"] and not answer["failed"], answer
        for switch in answer["switches"]:
            wrong = {what: switch[what] for what in WRONG if switch[what]}
            assert switch["id"] in answer["absent"] or not wrong, answer


def api(net: Lab) -> Address:
    host, _, port = net.controller.api_url.removeprefix("http://").rpartition(":")
    return Address(host, int(port))


def client(net: Lab) -> http.client.HTTPConnection:
    """One that is not at the address of whoever is hostile: among those of one address, nothing
    tells the honest newcomer from the others."""
    return http.client.HTTPConnection(*api(net), source_address=("127.0.0.2", 0))


def ask(net: Lab, path: str = "/v2.0/networks") -> tuple[int, Any]:
    """A question as clients ask it; its status, and what is answered."""
    connection = client(net)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def connected(net: Lab) -> list[dict[str, int]]:
    return list(ask(net, "/tenantry/v1/status")[1]["connections"].values())


class Watch:
    """What others notice while the block runs."""

    def __init__(self, net: Lab) -> None:
        self.net = net
        self.kept = 0.0  # at the longest, by one
        self.answers: list[float] = []  # how long the API took, of the process's time
        self._greenlets: list[Any] = []

    def _beat(self) -> None:
        before = time.process_time()
        while True:
            runtime.yield_now()
            now = time.process_time()
            self.kept, before = max(self.kept, now - before), now

    def _ask(self) -> None:
        while True:
            before = time.process_time()
            assert ask(self.net)[0] == 200
            self.answers.append(time.process_time() - before)

    def __enter__(self) -> Watch:
        # What earlier tests have left in memory would be looked at meanwhile, all of it at once.
        gc.collect()
        gc.freeze()
        self.connections = dict(self.net.controller.progress.connections)
        self._greenlets = [runtime.spawn(work) for work in (self._beat, self._ask)]
        return self

    def __exit__(self, *exception: object) -> None:
        for greenlet in self._greenlets:
            greenlet.kill()
        gc.unfreeze()

    def until_asked(self) -> None:
        began = time.monotonic()
        while len(self.answers) < ASKED or time.monotonic() < began + SECONDS:
            runtime.sleep(0.01)

    def good(self) -> None:
        assert self.kept < LONGEST
        assert sorted(self.answers)[-2] < LONGEST, self.answers
        now = self.net.controller.progress.connections
        assert all(now.get(dpid) is one for dpid, one in self.connections.items())


@pytest.mark.parametrize(
    ("where", "kind", "connections"),
    [
        *(("openflow", kind, 8) for kind in ("hello", "error", "garbage")),
        ("openflow", "ports", 1),
        *(("ovsdb", kind, 8) for kind in ("notes", "halves", "string", "deep", "garbage")),
        *(("api", kind, 8) for kind in ("pipelined", "lists")),
        ("api", "slow", 100),
        ("api", "wait", 100),
    ],
)
def test_others_are_served_beside_a_stranger(
    net: Lab, where: str, kind: str, connections: int
) -> None:
    ports = {
        "openflow": net.controller.openflow.port,
        "ovsdb": net.controller.joining.port if net.controller.joining else 0,
        "api": api(net).port,
    }
    with hostile(kind, ports[where], connections), Watch(net) as watch:
        watch.until_asked()
    watch.good()


def test_others_are_served_beside_a_guest(net: Lab, tmp_path: Path) -> None:
    need(shutil.which("busybox") is not None, "busybox")
    network = net.network("10.0.0.0/24")
    guest = net.guest(net.port(network))
    other = net.guest(net.port(network), bare=True)
    (subnet,) = net.subnets(network)
    resolver = subnet["service_address"]
    other.run("ip", "link", "set", "eth0", "up")
    with (
        hostile("questions", 53, 16, resolver, guest),
        Watch(net) as watch,
        dhcp_client.running(dhcp_client.udhcpc(other, dhcp_client.write(tmp_path))) as client,
    ):
        while client.told()["EVENT"] != "bound":
            pass
        watch.until_asked()
    watch.good()


@contextmanager
def stranger(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), 20) as one:
        yield one


def test_thousands_of_connections_and_then_none(net: Lab) -> None:
    assert net.controller.joining is not None
    openflow, ovsdb = net.controller.openflow.port, net.controller.joining.port
    for port in (openflow, ovsdb, api(net).port):
        with hostile("nothing", port, 2000):
            assert ask(net)[0] == 200
        assert ask(net)[0] == 200
    while any(kind["connected"] > 5 for kind in connected(net)):
        runtime.sleep(0.05)
    with stranger(openflow) as one:
        assert one.recv(8)[:2] == bytes([5, 0])  # hello
    with stranger(ovsdb) as one:
        assert b"external_ids" in one.recv(1000)
    assert net.controller.progress.connections


def test_guests_do_not_take_what_switches_need(ovs: OpenVSwitch, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        with lab(ovs, tmp_path) as net:
            network = net.network("10.0.0.0/24")
            guests = [net.guest(net.port(network)) for _ in range(6)]
            for guest in guests:
                guest.run("ip", "route", "add", "169.254.169.254", "dev", "eth0")
            before = net.flows("br-int")
            with ExitStack() as stack:
                for guest in guests:
                    stack.enter_context(hostile("nothing", 80, 16, "169.254.169.254", guest))
                ovs.crash_switch()
                net.until(lambda: not net.controller.progress.connections)
                ovs.start_switch()
                net.until(lambda: bool(net.controller.progress.connections))
                net.settle()
                assert net.flows("br-int") == before
                assert ask(net)[0] == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- those who wait --------------------------------------------------------------------------


def test_who_waits_and_hangs_up_is_let_go(net: Lab) -> None:
    """So many that no place would be left, if they were not."""
    for _ in range(2):
        with hostile("wait", api(net).port, 700):
            while ask(net, "/tenantry/v1/wait?seconds=0")[0] != 503:
                runtime.sleep(0.05)
            assert ask(net)[0] == 200
        while ask(net, "/tenantry/v1/wait?seconds=0")[0] == 503:
            runtime.sleep(0.05)


def test_who_finds_no_place_to_wait_is_told_when_to_come_again(net: Lab) -> None:
    with hostile("wait", api(net).port, 700):
        while True:
            connection = client(net)
            connection.request("GET", "/tenantry/v1/wait?seconds=0")
            answer = connection.getresponse()
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
                break
            connection.close()
            runtime.sleep(0.05)
