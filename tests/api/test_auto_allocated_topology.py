# SPDX-License-Identifier: Apache-2.0

"""A network that leads outside, for a project that asks for no more."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from eventlet.green import subprocess

from tests.api.conftest import Api, caller
from tests.api.openstack import Client

URL = "/v2.0/auto-allocated-topology"
KINDS = ("network", "subnet", "router")


def outside(api: Api) -> str:
    id: str = api.create("network", is_default=True, **{"router:external": True})["id"]
    api.create("subnet", network_id=id, cidr="203.0.113.0/24", ip_version=4)
    api.create("subnet", network_id=id, cidr="2001:db8:ffff::/64", ip_version=6)
    return id


def pool(api: Api, prefix: str, length: int, **more: Any) -> None:
    said = {"name": "p", "prefixes": [prefix], "default_prefixlen": length, "is_default": True}
    api.create("subnetpool", **{**said, "shared": True, **more})


@pytest.fixture
def ready(api: Api) -> Api:
    outside(api)
    pool(api, "10.0.0.0/16", 24)
    pool(api, "fd00::/48", 64)
    return api


def asked(api: Api, project: str, query: str = "") -> Any:
    status, answer = api.request("GET", f"{URL}/{project}{query}")
    assert status == 200, answer
    return answer["auto_allocated_topology"]


def of(api: Api, project: str) -> dict[str, list[Any]]:
    return {kind: api.list(kind, f"project_id={project}") for kind in KINDS}


def test_it_is_made_when_it_is_asked_for_and_once(ready: Api) -> None:
    told = asked(ready, "red")
    assert (told["project_id"], told["tenant_id"]) == ("red", "red")
    made = of(ready, "red")
    (network,), (router,) = made["network"], made["router"]
    assert told["id"] == network["id"]
    assert network["admin_state_up"]
    assert sorted(s["cidr"] for s in made["subnet"]) == ["10.0.0.0/24", "fd00::/64"]
    assert {s["name"] for s in made["subnet"]} == {f"auto_allocated_subnet_v{n}" for n in (4, 6)}
    assert (
        router["external_gateway_info"]["network_id"]
        == ready.list("network", "is_default=true")[0]["id"]
    )
    ports = ready.list("port", f"device_id={router['id']}&network_id={network['id']}")
    legs = {ip["subnet_id"] for port in ports for ip in port["fixed_ips"]}
    assert legs == {subnet["id"] for subnet in made["subnet"]}
    assert asked(ready, "red") == told
    assert of(ready, "red") == made
    other = asked(ready, "blue")
    assert other["id"] != told["id"]


def test_it_goes_as_a_whole_or_stays(ready: Api) -> None:
    network = asked(ready, "red")["id"]
    port = ready.create("port", network_id=network, project_id="red")["id"]
    ready.refused(409, "NetworkInUse", "DELETE", f"{URL}/red")
    ready.delete("port", port)
    for _ in range(2):
        assert ready.request("DELETE", f"{URL}/red")[0] == 204
        assert of(ready, "red") == {kind: [] for kind in KINDS}
    assert asked(ready, "red")["id"] != network


def test_what_was_deleted_by_hand_is_made_anew(ready: Api) -> None:
    first = asked(ready, "red")["id"]
    (router,) = of(ready, "red")["router"]
    for subnet in of(ready, "red")["subnet"]:
        url = f"/v2.0/routers/{router['id']}/remove_router_interface"
        assert ready.request("PUT", url, {"subnet_id": subnet["id"]})[0] == 200
    ready.delete("router", router["id"])
    assert asked(ready, "red")["id"] == first, "the network is there"
    ready.delete("network", first)
    assert asked(ready, "red")["id"] != first
    assert ready.request("DELETE", f"{URL}/red")[0] == 204
    assert of(ready, "red") == {kind: [] for kind in KINDS}


def test_what_is_missing_is_said_and_nothing_is_made(api: Api) -> None:
    for query in ("", "?fields=dry-run"):
        words = api.refused(409, "AutoAllocationFailure", "GET", f"{URL}/red{query}")
        assert "No default router:external network" in words
    outside(api)
    for query in ("", "?fields=dry-run"):
        words = api.refused(409, "AutoAllocationFailure", "GET", f"{URL}/red{query}")
        assert "No default subnetpools" in words
    pool(api, "10.0.0.0/24", 24)
    assert asked(api, "red", "?fields=dry-run") == {
        "id": "dry-run=pass",
        "project_id": "red",
        "tenant_id": "red",
    }
    assert of(api, "red") == {kind: [] for kind in KINDS}
    asked(api, "red")
    words = api.refused(409, "AutoAllocationFailure", "GET", f"{URL}/blue")
    assert "Insufficient prefix space" in words
    assert of(api, "blue") == {kind: [] for kind in KINDS}
    api.refused(400, "BadRequest", "GET", f"{URL}/red?fields=colour")


def test_a_project_has_its_own(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("admin", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    outside(api)
    pool(api, "10.0.0.0/16", 24)
    now["who"] = caller("red")
    made = asked(api, "None")
    assert made["project_id"] == "red"
    assert asked(api, "red") == made
    assert api.show("network", made["id"])["name"] == "auto_allocated_network"
    for method in ("GET", "DELETE"):
        assert api.request(method, f"{URL}/blue")[0] == 403
    assert api.request("DELETE", f"{URL}/None")[0] == 204
    assert api.list("router") == []


def test_one_external_network_is_the_default(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("admin", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    first = outside(api)
    second = api.create("network", **{"router:external": True})["id"]
    inside = api.create("network")["id"]
    body = {"network": {"is_default": True}}
    for id, status, error in (
        (second, 409, "DefaultExternalNetworkExists"),
        (inside, 400, "InvalidInput"),
    ):
        api.refused(status, error, "PUT", f"/v2.0/networks/{id}", body)
    new = {"network": {"is_default": True, "router:external": True}}
    api.refused(409, "DefaultExternalNetworkExists", "POST", "/v2.0/networks", new)
    api.update("network", first, description="gman")
    assert api.show("network", first)["is_default"]
    assert not api.update("network", first, **{"router:external": False})["is_default"]
    assert api.update("network", second, is_default=True)["is_default"]
    assert [one["id"] for one in api.list("network", "is_default=true")] == [second]
    mine = api.create("network", project_id="red")["id"]
    now["who"] = caller("red")
    assert api.request("PUT", f"/v2.0/networks/{mine}", body)[0] == 403
    assert api.request("GET", "/v2.0/extensions/auto-allocated-topology")[0] == 200


SDK = """
import json, sys
import openstack
network = openstack.connect(auth_type="none", endpoint=sys.argv[1]).network
said = [network.validate_auto_allocated_topology("red").id]
said += [network.get_auto_allocated_topology("red").id for _ in range(2)]
said.append([one.id for one in network.networks(name="auto_allocated_network")])
network.delete_auto_allocated_topology("red")
said.append([one.id for one in network.routers()])
print(json.dumps(said))
"""
"""The command line insists on a Keystone that knows the project."""


def test_the_library_has_words_for_it(client: Client, ready: Api) -> None:
    endpoint = client._environment["OS_ENDPOINT"]
    done = subprocess.run([sys.executable, "-c", SDK, endpoint], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    checked, made, again, found, left = json.loads(done.stdout)
    assert checked == "dry-run=pass"
    assert [made] == [again] == found
    assert left == []
    assert not ready.list("router")
