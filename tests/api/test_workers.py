# SPDX-License-Identifier: Apache-2.0

"""What workers, and people, are told of workers; and who is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from tenantry.controller.api.auth.none import none
from tenantry.controller.api.auth.own_worker import OWN_WORKER, own_worker
from tenantry.controller.model import Worker
from tenantry.controller.service import workers
from tenantry.controller.worker import talk
from tests.lab import Lab, Refused, eventually, lab
from tests.openvswitch import OpenVSwitch

PATH = "/tenantry/v1/workers"


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setattr(workers, "POLL_SECONDS", 0.05)
    with lab(dummy_ovs, tmp_path) as running:
        yield running


def test_a_worker_comes_and_is_missed(net: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert net.api("GET", PATH) == []
    first = net.api("GET", f"{PATH}/test-host/processes")
    assert (first["processes"], first["store"]) == ({}, net.controller.store.id)
    net.settle()
    told = net.api("GET", f"{PATH}/test-host/processes")
    assert (told["whole"], told["processes"]) == (True, {})
    again = net.api("GET", f"{PATH}/test-host/processes?generation={told['generation']}")
    assert (again["whole"], again["generation"]) == (False, told["generation"])
    (shown,) = net.api("GET", PATH)
    assert (shown["name"], shown["alive"], shown["processes"]) == ("test-host", True, [])
    with pytest.raises(Refused, match="is alive"):
        net.api("DELETE", f"{PATH}/test-host")

    monkeypatch.setattr(workers, "DEAD_SECONDS", -10.0)
    record = lambda: net.controller.model.get(Worker, "test-host")  # noqa: E731
    assert eventually(lambda: record() == Worker("test-host", alive=False))
    (warning,) = net.api("GET", "/tenantry/v1/status")["warnings"]
    assert "test-host is silent" in warning
    net.api("DELETE", f"{PATH}/test-host")
    assert eventually(lambda: record() is None)
    with pytest.raises(Refused, match="no worker test-host"):
        net.api("DELETE", f"{PATH}/test-host")
    assert net.api("GET", PATH) == []


def test_who_is_no_host_of_ours_is_told(net: Lab) -> None:
    with pytest.raises(Refused, match=r"no host other .*known: test-host"):
        net.api("GET", f"{PATH}/other/processes")
    assert net.api("GET", PATH) == []


@pytest.mark.parametrize(
    "body", [[], {"states": []}, {"states": {"x": 1}}, {"answers": ["x"]}, {"missing": 3}]
)
def test_what_makes_no_sense_is_refused(net: Lab, body: Any) -> None:
    net.api("GET", f"{PATH}/test-host/processes")
    net.settle()
    with pytest.raises(Refused) as refused:
        net.api("PUT", f"{PATH}/test-host", body)
    assert refused.value.status == 400


def test_what_a_worker_says_of_what_is_not_its_own_is_nothing(net: Lab) -> None:
    net.api("GET", f"{PATH}/test-host/processes")
    net.settle()
    states = {"x": {"state": "ready", "confirmed": "0"}}
    said = {"states": states, "missing": ["br-int"], "answers": {"0": {"text": "x"}}}
    net.api("PUT", f"{PATH}/test-host", said)
    net.settle()
    assert net.api("GET", PATH)[0]["processes"] == []


@pytest.mark.parametrize(
    ("rule", "roles", "may"),
    [
        ("get_tenantry_worker_processes", "service", True),
        ("get_tenantry_worker_processes", "admin", True),
        ("get_tenantry_worker_processes", "manager", False),
        ("update_tenantry_worker", "service", True),
        ("update_tenantry_worker", "member", False),
        ("get_tenantry_workers", "service", False),
        ("get_tenantry_workers", "member", False),
        ("delete_tenantry_worker", "service", False),
        ("delete_tenantry_worker", "admin", True),
    ],
)
def test_who_may(net: Lab, rule: str, roles: str, may: bool) -> None:
    query = f"rule={rule}&roles={roles}&project=p"
    assert net.api("GET", f"/tenantry/v1/policy-check?{query}")["allowed"] is may


def test_an_own_worker_needs_no_account() -> None:
    door = own_worker("secret", none("somebody"))

    def roles(**headers: str) -> frozenset[str]:
        return door(Request.blank("/", headers=headers)).roles

    assert roles(**{OWN_WORKER: "secret"}) == {"service"}
    assert "admin" in roles()
    assert "admin" in roles(**{OWN_WORKER: "secre\N{LATIN SMALL LETTER T WITH CARON}"})
    assert talk.OWN_WORKER == OWN_WORKER
