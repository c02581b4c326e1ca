# SPDX-License-Identifier: Apache-2.0

"""Networks, and what all kinds have in common."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tenantry.controller import config
from tenantry.controller.api.core.mtu import MtuHooks
from tenantry.controller.cli import features
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller

NOBODY = str(uuid.uuid4())


def test_a_new_network_has_neutrons_defaults(api: Api) -> None:
    network = api.create("network", name="blue")
    assert network == {
        **network,
        "name": "blue",
        "description": "",
        "admin_state_up": True,
        "shared": False,
        "mtu": 1500,
        "port_security_enabled": True,
        "status": "ACTIVE",
        "subnets": [],
        "tags": [],
        "revision_number": 1,
        "project_id": "default",
        "tenant_id": "default",
    }
    assert network["created_at"] == network["updated_at"]
    assert "key" not in network
    assert api.show("network", network["id"]) == network
    assert api.list("network") == [network]


def test_the_project_is_the_bodys_or_the_headers_or_the_default(api: Api) -> None:
    def project(body: dict[str, str], **headers: str) -> str:
        _, answer = api.request("POST", "/v2.0/networks", {"network": body}, **headers)
        return str(answer["network"]["project_id"])

    assert project({}) == "default"
    assert project({}, X_Project_Id="red") == "red"
    assert project({"project_id": "green"}, X_Project_Id="red") == "green"
    assert project({"tenant_id": "green"}) == "green"


@pytest.mark.parametrize("name", ["project_id", "tenant_id"])
def test_no_project_is_the_callers_own(api: Api, name: str) -> None:
    """Ansible says so, when it has a password and no token."""
    body = {"network": {name: None}}
    status, answer = api.request("POST", "/v2.0/networks", body, X_Project_Id="red")
    assert (status, answer["network"]["project_id"]) == (201, "red")


def test_update_changes_what_it_names_and_counts_revisions(api: Api) -> None:
    network = api.create("network", name="blue", description="old")
    updated = api.update("network", network["id"], description="new", admin_state_up=False)
    assert (updated["name"], updated["description"]) == ("blue", "new")
    assert updated["admin_state_up"] is False
    assert updated["revision_number"] == 2
    head = api.store.head
    assert api.update("network", network["id"], description="new") == updated
    assert api.store.head == head, "nothing changed, so nothing is written"


def test_if_match_refuses_other_revisions(api: Api) -> None:
    path = f"/v2.0/networks/{api.create('network')['id']}"
    body = {"network": {"name": "x"}}
    for method in ("PUT", "DELETE"):
        message = api.refused(
            412,
            "RevisionNumberConstraintFailed",
            method,
            path,
            body if method == "PUT" else None,
            If_Match="revision_number=7",
        )
        assert message == "Constrained to 7, but current revision is 1"
        api.refused(400, "BadRequest", method, path, body, If_Match="etag")
    assert api.request("PUT", path, body, If_Match="revision_number=1")[0] == 200
    assert api.request("DELETE", path, If_Match="revision_number=2")[0] == 204


def test_bulk_create_is_all_or_nothing(api: Api) -> None:
    path = "/v2.0/networks"
    status, answer = api.request(
        "POST", path, {"networks": [{"name": "a"}, {"network": {"name": "b"}}]}
    )
    assert status == 201
    assert [network["name"] for network in answer["networks"]] == ["a", "b"]
    bad = {"networks": [{"name": "c"}, {"name": "d", "mtu": 9000}]}
    message = api.refused(400, "InvalidInput", "POST", path, bad)
    assert "maximum is 1500" in message
    assert len(api.list("network")) == 2


def test_a_network_with_ports_cannot_go_and_takes_its_subnets_along(api: Api, network: str) -> None:
    port = api.create("port", network_id=network)
    message = api.refused(409, "NetworkInUse", "DELETE", f"/v2.0/networks/{network}")
    assert port["id"] in message
    api.delete("port", port["id"])
    api.create("port", network_id=network, device_owner="network:dhcp")
    api.delete("network", network)
    assert api.list("subnet") == api.list("port") == []
    api.refused(404, "NetworkNotFound", "GET", f"/v2.0/networks/{network}")


def test_subnets_of_a_network_are_shown_in_order_of_creation(api: Api, network: str) -> None:
    subnets = {subnet["name"]: subnet["id"] for subnet in api.list("subnet")}
    assert api.show("network", network)["subnets"] == [subnets["four"], subnets["six"]]


def test_mtu_is_bounded_by_the_physical_network_and_the_subnets(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(physical_mtu=9000)
    network = api.create("network", mtu=1280)
    path, body = f"/v2.0/networks/{network['id']}", {"network": {"mtu": 9001}}
    assert "maximum is 9000" in api.refused(400, "InvalidInput", "PUT", path, body)
    api.create("subnet", network_id=network["id"], cidr="2001:db8::/64", ip_version=6)
    body = {"network": {"mtu": 1279}}
    api.refused(409, "NetworkMTUSubnetConflict", "PUT", path, body)
    assert api.update("network", network["id"], mtu=0)["mtu"] == 9000

    small = api.create("network", mtu=1000)["id"]
    subnet = {"network_id": small, "cidr": "2001:db8::/64", "ip_version": 6}
    api.refused(409, "NetworkMTUSubnetConflict", "POST", "/v2.0/subnets", {"subnet": subnet})


def test_mtu_follows_the_wire(make_api: Callable[..., Api]) -> None:
    api = make_api(physical_mtu=1500, physical_mtus={"jumbo": 9000, "thin": 1400})

    def flat(physical_network: str, **attributes: int) -> int:
        wire = {
            "provider:network_type": "flat",
            "provider:physical_network": physical_network,
        }
        return int(api.create("network", **wire, **attributes)["mtu"])

    assert [flat("jumbo"), flat("thin"), flat("other")] == [9000, 1400, 1500]
    body = {
        "network": {
            "provider:network_type": "vlan",
            "provider:physical_network": "thin",
            "provider:segmentation_id": 7,
            "mtu": 1401,
        }
    }
    message = api.refused(400, "InvalidInput", "POST", "/v2.0/networks", body)
    assert message == "Invalid input for operation: Requested MTU is too big, maximum is 1400."
    assert api.create("network", **{**body["network"], "mtu": 1300})["mtu"] == 1300
    for wrong, error in ((-1, "HTTPBadRequest"), ("x", "InvalidInput"), (None, "InvalidInput")):
        api.refused(400, error, "POST", "/v2.0/networks", {"network": {"mtu": wrong}})


@pytest.mark.parametrize(
    ("network_type", "tunnel_ip_version", "expected"),
    [
        ("local", 4, 1500),
        ("flat", 4, 1500),
        ("vlan", 6, 1500),
        ("vxlan", 4, 1450),
        ("vxlan", 6, 1430),
        ("geneve", 4, 1442),
        ("geneve", 6, 1422),
    ],
)
def test_mtu_is_less_what_the_encapsulation_takes(
    network_type: str, tunnel_ip_version: int, expected: int
) -> None:
    body = {"provider:network_type": network_type, "provider:physical_network": None}
    assert MtuHooks(1500, {}).most(body, tunnel_ip_version) == expected


def test_a_network_that_others_use_stays_shared(api: Api) -> None:
    network = api.create("network", shared=True)["id"]
    port = api.create("port", network_id=network, project_id="red")["id"]
    body = {"network": {"shared": False}}
    api.refused(409, "InvalidSharedSetting", "PUT", f"/v2.0/networks/{network}", body)
    api.delete("port", port)
    assert api.update("network", network, shared=False)["shared"] is False


def test_keys_are_small_unique_and_not_reused_at_once(api: Api) -> None:
    def key(id: str) -> int:
        body = api.store.get("network", id)
        assert body is not None
        return int(body["key"])

    first, second = (api.create("network")["id"] for _ in range(2))
    assert (key(first), key(second)) == (1, 2)
    api.delete("network", second)
    assert key(api.create("network")["id"]) == 3


def test_a_project_sees_its_own_and_what_is_shared(make_api: Callable[..., Api]) -> None:
    def authenticate(request: object) -> Context:
        project = request.headers["X-Project-Id"]  # type: ignore[attr-defined]
        return caller(project, "admin" if project == "admin" else "member")

    api = make_api(authenticate=authenticate)

    def names(project: str, kind: str = "network") -> list[str]:
        _, answer = api.request("GET", f"/v2.0/{kind}s", X_Project_Id=project)
        return [item["name"] for item in answer[f"{kind}s"]]

    def create(project: str, kind: str, **attributes: object) -> str:
        status, answer = api.request(
            "POST", f"/v2.0/{kind}s", {kind: attributes}, X_Project_Id=project
        )
        assert status == 201, answer
        return str(answer[kind]["id"])

    own = create("red", "network", name="own")
    shared = create("admin", "network", name="shared", shared=True)
    create("admin", "network", name="hidden")
    create("admin", "subnet", network_id=shared, cidr="10.0.0.0/24", ip_version=4, name="s")
    assert names("red") == ["own", "shared"]
    assert names("blue") == ["shared"]
    assert names("admin") == ["own", "shared", "hidden"]
    assert names("red", "subnet") == ["s"]
    create("blue", "port", network_id=shared)

    blue, red = {"X_Project_Id": "blue"}, {"X_Project_Id": "red"}
    path, body = f"/v2.0/networks/{own}", {"network": {"name": "x"}}
    api.refused(404, "NetworkNotFound", "GET", path, **blue)
    api.refused(404, "NetworkNotFound", "PUT", path, body, **blue)
    api.refused(
        404, "NetworkNotFound", "POST", "/v2.0/ports", {"port": {"network_id": own}}, **blue
    )
    api.refused(403, "PolicyNotAuthorized", "DELETE", f"/v2.0/networks/{shared}", **red)
    subnet = {"network_id": shared, "cidr": "10.1.0.0/24", "ip_version": 4}
    api.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/subnets", {"subnet": subnet}, **red)
    body = {"network": {"shared": True}}
    api.refused(403, "PolicyNotAuthorized", "PUT", path, body, **red)
    body = {"network": {"project_id": "blue"}}
    api.refused(400, "HTTPBadRequest", "POST", "/v2.0/networks", body, **red)


def test_observed_attributes_are_shown_and_filtered_by(make_api: Callable[..., Api]) -> None:
    api = make_api(
        computed=lambda kind, body: (
            {"status": "ACTIVE", "binding:host_id": "seen", "binding:vif_type": "ovs"}
            if body["name"] == "up"
            else {}
        )
    )
    network = api.create("network")["id"]
    up, down = (api.create("port", network_id=network, name=name) for name in ("up", "down"))
    assert (up["status"], up["binding:host_id"], up["binding:vif_type"]) == (
        "ACTIVE",
        "seen",
        "ovs",
    )
    assert (down["status"], down["binding:vif_type"]) == ("DOWN", "unbound")
    assert api.list("port", "status=ACTIVE") == api.list("port", "binding:host_id=seen") == [up]


@pytest.mark.parametrize("kind", ["network", "subnet", "port"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_is_not_there_is_not_found(api: Api, kind: str, method: str) -> None:
    body = {kind: {"name": "x"}} if method == "PUT" else None
    path = f"/v2.0/{kind}s/{NOBODY}"
    message = api.refused(404, f"{kind.capitalize()}NotFound", method, path, body)
    assert message == f"{kind.capitalize()} {NOBODY} could not be found."


def test_the_mtus_of_physical_networks_are_options(tmp_path: Path) -> None:
    file = tmp_path / "tenantry.conf"
    file.write_text("[networks]\nphysical_mtus = jumbo:9000,thin:1400\n")
    assert features.load([str(file)]).networks.physical_mtus == {"jumbo": 9000, "thin": 1400}
    for wrong in ("jumbo:many", "jumbo:70000", "jumbo"):
        file.write_text(f"[networks]\nphysical_mtus = {wrong}\n")
        with pytest.raises(config.ConfigError, match="physical_mtus"):
            features.load([str(file)])
    assert "#physical_mtus =\n" in config.sample(features.options())


def test_no_more_networks_than_switches_can_tell_apart(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.kinds["network"], "_keys", range(1, 3))
    first, _ = api.create("network"), api.create("network")
    told = api.refused(503, "NoMoreOfThese", "POST", "/v2.0/networks", {"network": {}})
    assert told.startswith("All 2 networks that there can be are there: delete one")
    api.delete("network", first["id"])
    api.create("network")
