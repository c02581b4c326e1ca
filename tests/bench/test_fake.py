# SPDX-License-Identifier: Apache-2.0

"""What the scale harness measures with must itself be true: fake hosts behave as real ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.bench.beside import Beside
from tests.bench.computing import WIRE, vlan
from tests.bench.fake import looked_after
from tests.bench.served import Served
from tests.conftest import need

HOSTS = 3


@pytest.fixture(scope="module")
def fake() -> Iterator[Beside]:
    need(shutil.which("ovsdb-server") is not None, "ovsdb-server")
    with Beside("tests.bench.fake") as hosts:
        yield hosts


@pytest.fixture(scope="module")
def hosts(fake: Beside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A controller with fake hosts, each of which has a wire and an empty interface."""
    remotes = fake.call("start", hosts=[{"p0": {}, **WIRE}] * HOSTS)
    directory = tmp_path_factory.mktemp("controller")
    with Served(directory, **looked_after(remotes)) as controller:
        host, port = controller.openflow
        fake.call("connect", host=host, port=port)
        controller.settled(switches=HOSTS)
        yield controller


def test_holds_what_is_wanted_and_is_left_alone_when_it_comes_back(
    fake: Beside, hosts: Served
) -> None:
    network = hosts.client.network(["10.0.0.0/24", "fd00::/64"], **vlan(7))
    ports = hosts.client.ports([{"network_id": network}] * HOSTS)
    for number, port in enumerate(ports):
        fake.call("plug", number=number, name="guest", ids={"iface-id": port})
        hosts.call("active", port=port)
    hosts.settled(switches=HOSTS)
    wanted = hosts.call("counts")
    held = fake.call("counts")
    assert wanted["active"] == HOSTS
    assert held["flows"] == wanted["flows"] > HOSTS * HOSTS
    assert held["flow_mods"] >= held["flows"]

    fake.call("leave")
    hosts.settled(switches=0)
    host, port = hosts.openflow
    fake.call("connect", host=host, port=port)
    hosts.settled(switches=HOSTS)
    assert fake.call("counts") == held

    hosts.client.api("DELETE", f"/v2.0/ports/{ports[0]}")
    hosts.settled(switches=HOSTS)
    assert fake.call("counts")["flows"] == hosts.call("counts")["flows"] < held["flows"]


def test_echoes_are_answered(fake: Beside, hosts: Served) -> None:
    fake.call("start_echoes", number=0, interval=0.001)
    echoes: list[float] = []
    while not echoes:
        echoes = fake.call("echoes", number=0)
    assert 0 < min(echoes) < 10
