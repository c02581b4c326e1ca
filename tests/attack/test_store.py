# SPDX-License-Identifier: Apache-2.0

"""A database that is locked, full or gone, and a controller that is killed: what was acknowledged
is there, and what cannot be done is said."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tenantry.controller import runtime
from tests.attack.stage import SECONDS, SEED, Stage, stage
from tests.namespace import run
from tests.openvswitch import OpenVSwitch

SMALL = 2 << 20


@pytest.fixture
def net(ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Stage]:
    with stage(ovs, tmp_path) as running:
        yield running
        running.whole()


def refused_with_words(net: Stage) -> bool:
    """Whether a write is refused as one that may be tried again, in words; reading goes on."""
    status, answer = net.ask("POST", "/v2.0/networks", {"network": {"name": "no"}}, seconds=90)
    assert net.ask("GET", "/v2.0/networks")[0] == 200
    assert status in (201, 503), answer
    if status == 503:
        assert answer["NeutronError"]["message"]
    return status == 503


def test_a_locked_database(net: Stage) -> None:
    network = net.network("10.0.0.0/24")
    with sqlite3.connect(net.directory / "tenantry.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert refused_with_words(net)
        other.rollback()
    assert not refused_with_words(net)
    assert net.port(network)


def test_a_full_disk(ovs: OpenVSwitch, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", disk)
    try:
        with stage(ovs, tmp_path, store__url=f"sqlite:///{disk}/tenantry.db") as net:
            with suppress(OSError), open(disk / "rest", "wb") as rest:
                while True:
                    rest.write(bytes(4096))
                    rest.flush()
            made = 0
            while not refused_with_words(net):
                made += 1
                assert made < 10_000
            (disk / "rest").unlink()
            assert not refused_with_words(net)
            net.whole()
    finally:
        run("umount", "--lazy", disk)


def test_a_database_that_is_gone(net: Stage) -> None:
    """What nobody can read again is not acknowledged."""
    before = len(net.api("GET", "/v2.0/networks")["networks"])
    kept = [file.rename(f"{file}.kept") for file in net.directory.glob("tenantry.db*")]
    assert refused_with_words(net)
    for file in kept:
        file.rename(str(file).removesuffix(".kept"))
    assert not refused_with_words(net)
    assert len(net.api("GET", "/v2.0/networks")["networks"]) == before + 1


def test_kills_at_any_moment(net: Stage) -> None:
    """It dies in the middle of writes, again and again. Each write that it has acknowledged is
    there, and the switches are brought up to date."""
    chance = random.Random(SEED)
    network = net.network("10.0.0.0/16")
    acknowledged: set[str] = set()
    lost: set[str] = set()
    port = {"port": {"network_id": network["id"]}}

    def write() -> None:
        while True:
            runtime.sleep(0)
            with suppress(OSError):
                status, answer = net.ask("POST", "/v2.0/ports", port)
                assert status == 201, answer
                acknowledged.add(answer["port"]["id"])

    rounds = max(2, int(SECONDS / 4))
    for _ in range(rounds):
        writing = runtime.spawn(write)
        enough = len(acknowledged) + chance.randrange(1, 30)
        net.until(lambda enough=enough: len(acknowledged) > enough)  # type: ignore[misc]
        runtime.sleep(chance.random() * 0.02)
        net.kill()
        writing.kill()
        net.start()
        there = {port["id"] for port in net.api("GET", "/v2.0/ports?fields=id")["ports"]}
        lost |= acknowledged - there
    assert not lost
