# SPDX-License-Identifier: Apache-2.0

"""What a client is told when the database cannot be used, and what a second controller is."""

from __future__ import annotations

import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from eventlet.green import subprocess
from webob import Request

from tests.api.conftest import Api, path
from tests.lab import written


def _asked(api: Api, method: str = "POST") -> object:
    request = Request.blank(path("network"), method=method)
    if method == "POST":
        request.json = {"network": {"name": "n"}}
    return request.get_response(api.app)


def test_a_locked_database_is_a_503_with_its_own_words(api: Api, tmp_path: Path) -> None:
    (file,) = tmp_path.glob("*.db")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    answer = _asked(api)
    assert answer.status_int == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "database is locked" in answer.json["NeutronError"]["message"]
    assert _asked(api, "GET").json == {"networks": []}
    other.execute("ROLLBACK")
    other.close()
    assert _asked(api).status_int == 201


def test_nothing_is_acknowledged_into_a_file_that_is_gone(api: Api, tmp_path: Path) -> None:
    api.create("network", name="before")
    (file,) = tmp_path.glob("*.db")
    file.unlink()
    for _ in range(2):
        answer = _asked(api)
        assert answer.status_int == 503
        assert file.name in answer.json["NeutronError"]["message"]
        assert [network["name"] for network in _asked(api, "GET").json["networks"]] == ["before"]


# --- a second controller ---------------------------------------------------------------------


@contextmanager
def _serving(directory: Path, **options: str) -> Iterator[subprocess.Popen]:
    """`tenantry serve` without a switch."""
    values = {"openflow__listen": "127.0.0.1:0", "ovsdb__connections": "", **options}
    file = written(directory, values)
    with open(directory / "log", "w") as log:
        words = [sys.executable, "-m", "tenantry.controller", "--config-file", str(file), "serve"]
        process = subprocess.Popen(
            words, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": os.getcwd()}
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _said(directory: Path, process: subprocess.Popen, words: str) -> bool:
    """Whether it says something before it ends."""
    while words not in (directory / "log").read_text():
        if process.poll() is not None:
            return words in (directory / "log").read_text()
        time.sleep(0.02)
    return True


@pytest.fixture
def places(tmp_path: Path) -> SimpleNamespace:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    return SimpleNamespace(one=tmp_path / "one", two=tmp_path / "two")


def test_a_second_controller_on_the_same_database_ends(places: SimpleNamespace) -> None:
    """Also if all of its ports are others."""
    url = f"sqlite:///{places.one}/tenantry.db"
    with _serving(places.one, store__url=url) as first:
        assert _said(places.one, first, "API at")
        with _serving(places.two, store__url=url) as second:
            assert _said(places.two, second, f"another controller (process {first.pid})")
            assert second.wait() == 1
        first.kill()
        first.wait()
        with _serving(places.two, store__url=url) as third:  # at once
            assert _said(places.two, third, "API at")


def test_of_two_that_start_at_the_same_moment_one_ends(places: SimpleNamespace) -> None:
    url = f"sqlite:///{places.one}/tenantry.db"
    with _serving(places.one, store__url=url) as one, _serving(places.two, store__url=url) as two:
        serving = [
            _said(directory, process, "API at")
            for directory, process in ((places.one, one), (places.two, two))
        ]
        assert sorted(serving) == [False, True]


@pytest.mark.parametrize("option", ["api__listen", "openflow__listen", "ovsdb__listen"])
def test_an_address_is_one_controllers(places: SimpleNamespace, option: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with _serving(places.one, **{option: address}) as first:
        assert _said(places.one, first, "API at")
        with _serving(places.two, **{option: address}) as second:
            assert _said(places.two, second, f"cannot listen at {address}")
            assert second.wait() == 1
