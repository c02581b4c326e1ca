# SPDX-License-Identifier: Apache-2.0

"""What is said of a port for others to read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Api, caller
from tests.api.openstack import Client

HINTS = {"openvswitch": {"other_config": {"tx-steering": "hash"}}}


@pytest.mark.parametrize(
    "alias",
    [
        *("data-plane-status", "port-hints", "port-hint-ovs-tx-steering"),
        *("port-numa-affinity-policy", "port-numa-affinity-policy-socket"),
        *("port-mac-address-regenerate", "port-trusted-vif"),
    ],
)
def test_the_extensions_are_listed(api: Api, alias: str) -> None:
    assert api.request("GET", f"/v2.0/extensions/{alias}")[0] == 200


def test_they_are_kept_and_may_be_taken_back(api: Api, network: str) -> None:
    said = {"hints": HINTS, "numa_affinity_policy": "socket"}
    port = api.create("port", network_id=network, **said)
    assert said.items() <= port.items()
    assert port["data_plane_status"] is None
    down = api.update("port", port["id"], data_plane_status="DOWN", numa_affinity_policy=None)
    assert (down["data_plane_status"], down["numa_affinity_policy"]) == ("DOWN", None)
    assert down["status"] == port["status"], "what is seen from outside is another matter"
    assert api.update("port", port["id"], hints=None, data_plane_status=None)["hints"] is None


@pytest.mark.parametrize(
    "attributes",
    [
        {"numa_affinity_policy": "perhaps"},
        {"data_plane_status": "ACTIVE"},
        {"hints": {"openvswitch": {"other_config": {"tx-steering": "none"}}}},
        {"hints": {"openvswitch": {"other_config": {"colour": "blue"}}}},
        {"hints": []},
    ],
)
def test_what_is_wrong_is_refused(api: Api, network: str, attributes: dict[str, Any]) -> None:
    body = {"port": {"network_id": network, **attributes}}
    api.refused(400, "HTTPBadRequest", "POST", "/v2.0/ports", body)


def test_hints_and_what_was_seen_are_for_those_who_know(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("green")}
    api = make_api(authenticate=lambda request: now["who"])
    network = api.create("network")["id"]
    port = api.create("port", network_id=network, numa_affinity_policy="required")["id"]
    for method, path in (("PUT", f"/v2.0/ports/{port}"), ("POST", "/v2.0/ports")):
        body = {"network_id": network} if method == "POST" else {}
        assert api.request(method, path, {"port": {**body, "hints": HINTS}})[0] == 403
    seen = {"port": {"data_plane_status": "DOWN"}}
    assert api.request("PUT", f"/v2.0/ports/{port}", seen)[0] == 403
    now["who"] = caller("green", "data_plane_integrator", "member")
    assert api.update("port", port, data_plane_status="DOWN")["data_plane_status"] == "DOWN"


def test_who_is_trusted_is_told_in_the_profile(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("blue", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    network = api.create("network", project_id="green")["id"]
    port = api.create("port", network_id=network, project_id="green")
    assert port["trusted"] is None
    assert "trusted" not in port["binding:profile"]
    for value in (True, False):
        shown = api.update("port", port["id"], trusted=value)
        assert (shown["trusted"], shown["binding:profile"]["trusted"]) == (value, value)
        made = api.create("port", network_id=network, trusted=value)
        assert (made["trusted"], made["binding:profile"]["trusted"]) == (value, value)
    for wrong in (None, "perhaps", 7):
        body = {"port": {"trusted": wrong}}
        assert api.request("PUT", f"/v2.0/ports/{port['id']}", body)[0] == 400
    now["who"] = caller("green")
    assert "trusted" not in api.show("port", port["id"])
    for method, path in (("PUT", f"/v2.0/ports/{port['id']}"), ("POST", "/v2.0/ports")):
        body = {"network_id": network} if method == "POST" else {}
        assert api.request(method, path, {"port": {**body, "trusted": True}})[0] == 403


def test_ports_of_before_have_none(api: Api, network: str) -> None:
    port = api.create("port", network_id=network)["id"]
    names = ("hints", "numa_affinity_policy", "data_plane_status")

    def forget(draft: Any) -> None:
        body = draft.get("port", port)
        draft.put("port", {name: body[name] for name in body if name not in names})

    api.store.write(forget, "test")
    assert [api.show("port", port)[name] for name in names] == [None] * 3
    assert api.update("port", port, name="web", hints=HINTS)["hints"] == HINTS


def test_the_openstack_client_has_words_for_them(client: Client, api: Api, network: str) -> None:
    port, changed = client.run(
        f"port create --network {network} --numa-policy-socket --hint ovs-tx-steering=hash "
        "web -f json",
        "port set --data-plane-status DOWN --hint ovs-tx-steering=thread web",
        "port show web -f json",
    )
    assert port["numa_affinity_policy"] == "socket"
    assert port["hints"] == HINTS
    assert changed["data_plane_status"] == "DOWN"
    assert changed["hints"]["openvswitch"]["other_config"]["tx-steering"] == "thread"
    client.run("port unset --data-plane-status --hints --numa-policy web")
    (bare,) = client.run("port show web -f json")
    names = ("data_plane_status", "hints", "numa_affinity_policy")
    assert [bare[name] for name in names] == [None] * 3
