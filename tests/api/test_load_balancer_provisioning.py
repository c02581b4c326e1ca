# SPDX-License-Identifier: Apache-2.0

"""``provisioning_status``: whether what was asked for has come about, in switches and proxies. And
load balancers over a restart, and in two processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.haproxy.processes import process_name
from tenantry.apps.haproxy.provisioning import OBSERVED
from tenantry.apps.load_balancer import resources
from tenantry.apps.load_balancer.provisioning_status import Provisioning
from tenantry.controller.feature.processes import FAILED, READY, STARTING
from tenantry.controller.model import View
from tenantry.controller.store import Body
from tests.api.conftest import Api, extensions
from tests.api.observed import modelled
from tests.api.octavia import LBAAS, Octavia


class Slow:
    """A controller whose switches and workers confirm what the test says."""

    def __init__(self) -> None:
        self.revision = 0
        self.bad: set[str] = set()
        self.states: dict[str, str] = {}
        self.api: Api | None = None

    @property
    def view(self) -> View:
        assert self.api is not None
        return View(modelled(self.api))

    def realised(self) -> int:
        return self.revision

    def refused(self, id: str) -> bool:
        return id in self.bad

    def process_state(self, name: str) -> str:
        return self.states.get(name, "")

    def confirm(self) -> None:
        assert self.api is not None
        self.revision = self.api.store.head


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def api(make_api: Callable[..., Api], slow: Slow) -> Api:
    provisioning = Provisioning()
    observed = [provisioning.observed(), OBSERVED]

    def computed(kind: str, body: Body) -> Body:
        seen: Any = (each[kind](slow, body) for each in observed if kind in each)  # type: ignore[arg-type]
        return {name: value for one in seen for name, value in one.items()}

    others = [each for each in extensions() if not _is_octavias(each)]
    slow.api = make_api(*others, resources.extension(provisioning), computed=computed)
    return slow.api


@pytest.fixture
def octavia(api: Api) -> Octavia:
    return Octavia(api)


def _is_octavias(extension: Any) -> bool:
    return any(kind.service for kind in extension.kinds)


def statuses(octavia: Octavia, **ids: str) -> dict[str, str]:
    return {kind: octavia.show(kind, id)["provisioning_status"] for kind, id in ids.items()}


def test_it_is_pending_until_every_switch_has_confirmed(
    octavia: Octavia, slow: Slow, network: str
) -> None:
    balancer = octavia.create("loadbalancer", vip_network_id=network)
    assert balancer["provisioning_status"] == "PENDING_CREATE"
    lb = balancer["id"]
    slow.confirm()
    assert statuses(octavia, loadbalancer=lb) == {"loadbalancer": "ACTIVE"}
    of_it = {"loadbalancer_id": lb}
    pool = octavia.create("pool", **of_it, protocol="TCP", lb_algorithm="ROUND_ROBIN")["id"]
    of_it |= {"protocol": "TCP", "protocol_port": 80, "default_pool_id": pool}
    listener = octavia.create("listener", **of_it)["id"]
    ids = {"loadbalancer": lb, "listener": listener, "pool": pool}
    assert statuses(octavia, **ids) == {
        "loadbalancer": "PENDING_UPDATE",
        "listener": "PENDING_CREATE",
        "pool": "PENDING_CREATE",
    }
    slow.confirm()
    assert set(statuses(octavia, **ids).values()) == {"ACTIVE"}
    path = f"{LBAAS}/pools/{pool}/members"
    member = {"address": "10.0.0.9", "protocol_port": 80}
    status, answer = octavia.api.request("POST", path, {"member": member})
    assert (status, answer["member"]["provisioning_status"]) == (201, "PENDING_CREATE")
    assert statuses(octavia, **ids) == {
        "loadbalancer": "PENDING_UPDATE",
        "listener": "ACTIVE",
        "pool": "PENDING_UPDATE",
    }
    # What is pending refuses nothing.
    octavia.update("loadbalancer", lb, name="x")
    octavia.api.request("DELETE", f"{path}/{answer['member']['id']}")
    slow.confirm()
    assert set(statuses(octavia, **ids).values()) == {"ACTIVE"}
    octavia.api.create("network")  # of another, and not confirmed
    assert set(statuses(octavia, **ids).values()) == {"ACTIVE"}
    slow.bad.add(listener)
    assert statuses(octavia, listener=listener) == {"listener": "ERROR"}


def test_it_is_pending_until_its_proxy_has_confirmed(
    octavia: Octavia, slow: Slow, network: str
) -> None:
    lb = octavia.create("loadbalancer", vip_network_id=network)["id"]
    of_it = {"loadbalancer_id": lb, "protocol": "HTTP", "protocol_port": 80}
    listener = octavia.create("listener", **of_it)["id"]
    passed = octavia.create("listener", **{**of_it, "protocol": "UDP"})["id"]
    slow.confirm()
    name = process_name(lb)
    for state, expected in (
        ("", "PENDING_UPDATE"),
        (STARTING, "PENDING_UPDATE"),
        (FAILED, "ERROR"),
        (READY, "ACTIVE"),
    ):
        slow.states[name] = state
        found = statuses(octavia, loadbalancer=lb, listener=listener)
        assert found == {"loadbalancer": expected, "listener": expected}, state
        assert statuses(octavia, listener=passed) == {"listener": "ACTIVE"}  # by switches
    slow.states[name] = STARTING
    octavia.update("listener", listener, admin_state_up=False)
    slow.confirm()
    assert statuses(octavia, loadbalancer=lb) == {"loadbalancer": "ACTIVE"}


def test_all_of_it_in_one_request(octavia: Octavia, slow: Slow, network: str) -> None:
    web = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    members = [{"address": f"10.0.0.{n}", "protocol_port": 80} for n in (8, 9)]
    monitor = {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 2}
    rules = [{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"}]
    policy = {"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "api"}, "rules": rules}
    made = octavia.create(
        "loadbalancer",
        vip_network_id=network,
        name="web",
        pools=[{"name": "api", **web}],
        listeners=[
            {
                "protocol": "HTTP",
                "protocol_port": 80,
                "default_pool": {
                    "name": "web",
                    **web,
                    "members": members,
                    "healthmonitor": monitor,
                },
                "l7policies": [policy],
            }
        ],
    )
    (listener,) = made["listeners"]
    pools = {pool["name"]: pool for pool in made["pools"]}
    assert listener["default_pool_id"] == pools["web"]["id"]
    assert [member["address"] for member in pools["web"]["members"]] == ["10.0.0.8", "10.0.0.9"]
    assert pools["web"]["healthmonitor"]["type"] == "HTTP"
    (shown,) = listener["l7policies"]
    assert shown["redirect_pool_id"] == pools["api"]["id"]
    assert [rule["value"] for rule in shown["rules"]] == ["/api"]
    assert made["provisioning_status"] == "PENDING_CREATE"
    slow.confirm()
    slow.states[process_name(made["id"])] = READY
    path = f"{LBAAS}/loadbalancers/{made['id']}"
    for name in ("status", "statuses"):
        status, answer = octavia.api.request("GET", f"{path}/{name}")
        tree = answer["statuses"]["loadbalancer"]
        assert (status, tree["name"], tree["provisioning_status"]) == (200, "web", "ACTIVE")
        (below,) = tree["listeners"]
        assert {pool["name"] for pool in below["pools"]} == {"web", "api"}
        found = next(pool for pool in below["pools"] if pool["name"] == "web")
        assert [member["address"] for member in found["members"]] == ["10.0.0.8", "10.0.0.9"]
        assert found["healthmonitor"]["type"] == "HTTP"
    assert octavia.api.request("DELETE", path)[0] == 400
    assert octavia.api.request("DELETE", f"{path}?cascade=True")[0] == 204
    for kind in ("listener", "pool", "healthmonitor", "l7policy", "loadbalancer"):
        assert octavia.list(kind) == []


@pytest.mark.parametrize(
    ("listener", "pools", "words"),
    [
        ({"default_pool": {"protocol": "TCP"}}, [], "Pools must be named"),
        ({"default_pool": {"name": "a"}}, [], "Pool 'a' was referenced"),
        ({}, [{"name": "a"}], "missing required attribute: protocol"),
        ({}, [{"name": "a"}, {"name": "a"}], "must be unique"),
        ({"default_pool": "a"}, [], "Pools must be named"),
        ({"protocol": "QUIC"}, [], "QUIC"),
    ],
)
def test_half_of_it_is_never_made(
    octavia: Octavia, network: str, listener: Body, pools: list[Body], words: str
) -> None:
    said = {"protocol": "TCP", "protocol_port": 80, **listener}
    asked = {"vip_network_id": network, "listeners": [said], "pools": pools}
    assert words in octavia.refused(400, "loadbalancer", **asked)
    assert octavia.api.list("port") == []


def test_it_is_there_after_a_restart(make_api: Callable[..., Api], tmp_path: Path) -> None:
    api = make_api()
    octavia = Octavia(api)
    network = api.create("network")["id"]
    api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    made = octavia.create("loadbalancer", vip_network_id=network, tags=["a"])
    of_it = {"loadbalancer_id": made["id"], "protocol": "TCP", "protocol_port": 80}
    listener = octavia.create("listener", **of_it)
    made = octavia.show("loadbalancer", made["id"])
    api.store.close()
    again = Octavia(make_api())
    assert again.show("loadbalancer", made["id"]) == made
    assert again.show("listener", listener["id"]) == listener
    key = again.api.store.get("loadbalancer", made["id"])["key"]
    other = again.create("loadbalancer", vip_network_id=network)
    assert again.api.store.get("loadbalancer", other["id"])["key"] != key
    again.refused(409, "listener", **of_it)
    path = f"{LBAAS}/loadbalancers/{made['id']}?cascade=true"
    assert again.api.request("DELETE", path)[0] == 204


def test_two_processes_share_ports_and_quotas(make_api: Callable[..., Api]) -> None:
    """Each on the other's heels: what one has written, the other has not seen when it begins."""
    first, second = (Octavia(make_api()) for _ in range(2))
    network = first.api.create("network")["id"]
    first.api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)
    made = first.create("loadbalancer", vip_network_id=network)
    of_it = {"loadbalancer_id": made["id"], "protocol": "TCP", "protocol_port": 80}
    second.create("listener", **of_it)
    status, answer = first.api.request("POST", f"{LBAAS}/listeners", {"listener": of_it})
    assert (status, answer["faultcode"]) == (409, "Client")
    limit = {"quota": {"loadbalancer": 2}}
    assert first.api.request("PUT", f"{LBAAS}/quotas/default", limit)[0] == 202
    second.create("loadbalancer", vip_network_id=network)
    body = {"loadbalancer": {"vip_network_id": network}}
    assert first.api.request("POST", f"{LBAAS}/loadbalancers", body)[0] == 403
    assert second.show("loadbalancer", made["id"])["listeners"] != []
