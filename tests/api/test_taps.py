# SPDX-License-Identifier: Apache-2.0

"""Taps and mirrors: by the unmodified ``openstack`` client, and who may have which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.openstack import Client

TAAS = "/v2.0/taas"


def test_taps_by_the_client(client: Client, api: Api) -> None:
    service, flow, flows, shown, _, _, after = client.run(
        "network create blue",
        "port create --network blue watcher",
        "port create --network blue web",
        "tap service create --name watch --port watcher -f json",
        "tap flow create --name of-web --port web --tap-service watch --direction BOTH "
        "--vlan-filter 7,9-10 -f json",
        "tap flow list -f json",
        "tap service show watch -f json",
        "tap service update --description ours watch -f json",
        "tap flow update --name of-the-web of-web -f json",
        "tap flow show of-the-web -f json",
    )
    web, watcher = (api.list("port", f"name={name}")[0]["id"] for name in ("web", "watcher"))
    assert (service["port_id"], shown["port_id"], shown["status"]) == (watcher, watcher, "DOWN")
    assert [row["id"] if "id" in row else row["ID"] for row in flows] == [flow["id"]]
    assert (after["source_port"], after["direction"]) == (web, "BOTH")
    assert after["name"] == "of-the-web"
    said = client.said("tap flow delete of-the-web", "tap service delete watch")
    assert f"Tap service {service['id']} deleted" in said[1]
    assert "Failed" not in said[1]
    assert all(listed(api, kind) == [] for kind in ("tap_flows", "tap_services"))


def test_mirrors_by_the_client(client: Client, api: Api) -> None:
    made, mirrors, _, shown = client.run(
        "network create blue",
        "port create --network blue web",
        "tap mirror create --name far --port web --directions IN=101 --directions OUT=102 "
        "--remote-ip 2001:db8::9 --mirror-type erspanv1 -f json",
        "tap mirror list -f json",
        "tap mirror update --name farther far -f json",
        "tap mirror show farther -f json",
    )
    assert len(mirrors) == 1
    assert shown["directions"] == made["directions"] == {"IN": 101, "OUT": 102}
    assert (shown["remote_ip"], shown["mirror_type"]) == ("2001:db8::9", "erspanv1")
    _, said = client.said("tap mirror delete farther")
    assert said == f"Tap Mirror {made['id']} deleted"
    assert listed(api, "tap_mirrors") == []


def listed(api: Api, collection: str) -> list[Any]:
    status, answer = api.request("GET", f"{TAAS}/{collection}")
    assert status == 200
    found: list[Any] = answer[collection]
    return found


def post(
    api: Api, kind: str, project: str = "red", roles: str = "member", **body: Any
) -> tuple[int, Any]:
    return api.request("POST", f"{TAAS}/{kind}s", {kind: body}, X_Project_Id=project, X_Roles=roles)


@pytest.fixture
def ports(api: Api) -> dict[str, str]:
    """A port each of two projects, on a network that is one's, and is shared with all."""
    network = api.create("network", project_id="red", shared=True)["id"]
    make = lambda project: api.create("port", project_id=project, network_id=network)["id"]  # noqa: E731
    return {"red": make("red"), "red too": make("red"), "green": make("green")}


def kind(answer: Any) -> str:
    found: str = answer["NeutronError"]["type"]
    return found


def test_each_taps_their_own(members: Any, ports: dict[str, str]) -> None:
    """404 of what one does not see, 403 of what one sees and has not."""
    red, green = members("red"), members("green")
    status, mine = red("tap_service", port_id=ports["red"])
    assert status == 201
    service = mine["tap_service"]["id"]
    assert green("tap_service", port_id=ports["red"])[0] == 404
    assert green("tap_flow", **of(service, ports["green"]))[0] == 404
    # The network's owner is shown what is on it, and has it not.
    status, answer = red("tap_flow", **of(service, ports["green"]))
    assert status in (403, 404), answer
    assert red("tap_service", port_id=ports["green"])[0] in (403, 404)
    mirror = {"remote_ip": "192.0.2.9", "mirror_type": "gre", "directions": {"IN": 1}}
    assert red("tap_mirror", port_id=ports["green"], **mirror)[0] in (403, 404)
    assert red("tap_flow", **of(service, ports["red too"]))[0] == 201


def of(service: str, source: str, direction: str = "BOTH") -> dict[str, str]:
    return {"tap_service_id": service, "source_port": source, "direction": direction}


@pytest.fixture
def members(api: Api) -> Any:
    """What members of a project ask."""
    from tenantry.controller.api import application as neutron
    from tests.api.conftest import caller

    def of_project(project: str) -> Any:
        inside = Api.__new__(Api)
        inside.kinds, inside.store = api.kinds, api.store
        inside.app = neutron.application(api.store, api.kinds, lambda request: caller(project))
        return lambda kind, **body: inside.request("POST", f"{TAAS}/{kind}s", {kind: body})

    return of_project


def test_an_admin_may_not_mix_projects_either(api: Api, ports: dict[str, str]) -> None:
    status, answer = post(api, "tap_service", project_id="green", port_id=ports["red"])
    assert (status, kind(answer)) == (403, "PortDoesNotBelongToTenant")
    _, made = post(api, "tap_service", project_id="red", port_id=ports["red"])
    flow = {"project_id": "green", **of(made["tap_service"]["id"], ports["green"])}
    status, answer = post(api, "tap_flow", **flow)
    assert (status, kind(answer)) == (403, "TapServiceNotBelongToTenant")
    flow = {"project_id": "red", **of(made["tap_service"]["id"], ports["green"])}
    status, answer = post(api, "tap_flow", **flow)
    assert (status, kind(answer)) == (403, "PortDoesNotBelongToTenant")


def test_what_goes_takes_its_taps_along(api: Api, ports: dict[str, str]) -> None:
    one, two = ports["red"], ports["red too"]
    _, made = post(api, "tap_service", project_id="red", port_id=one)
    service = made["tap_service"]["id"]
    mirror = {"remote_ip": "192.0.2.9", "mirror_type": "gre", "directions": {"BOTH": 1}}
    for _ in range(2):
        assert post(api, "tap_flow", project_id="red", **of(service, two))[0] == 201
    assert post(api, "tap_mirror", project_id="red", port_id=two, **mirror)[0] == 201
    assert api.request("DELETE", f"{TAAS}/tap_services/{service}")[0] == 204
    assert listed(api, "tap_flows") == []
    _, made = post(api, "tap_service", project_id="red", port_id=one)
    flow = of(made["tap_service"]["id"], two)
    assert post(api, "tap_flow", project_id="red", **flow)[0] == 201
    assert api.request("DELETE", f"/v2.0/ports/{two}")[0] == 204
    assert listed(api, "tap_flows") == listed(api, "tap_mirrors") == []
    assert api.request("DELETE", f"/v2.0/ports/{one}")[0] == 204
    assert listed(api, "tap_services") == []


def test_no_network_has_the_vni_of_a_tap(api: Api, ports: dict[str, str]) -> None:
    """They are of one space, from both ends of it."""
    vxlan = {"provider:network_type": "vxlan", "provider:segmentation_id": (1 << 24) - 1}
    taken = api.create("network", **vxlan)
    assert post(api, "tap_service", project_id="red", port_id=ports["red"])[0] == 201
    body = {"network": {**vxlan, "provider:segmentation_id": (1 << 24) - 2}}
    status, answer = api.request("POST", "/v2.0/networks", body)
    assert (status, kind(answer)) == (409, "TunnelIdInUse")
    assert api.request("DELETE", f"/v2.0/networks/{taken['id']}")[0] == 204


GRE = {"remote_ip": "192.0.2.9", "mirror_type": "gre"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"directions": {}}, "IN, OUT or BOTH"),
        ({"directions": {"IN": None}}, "None"),
        ({"directions": {"SIDEWAYS": 1}}, "SIDEWAYS"),
        ({"directions": {"IN": -1}}, "from 0 to 4294967295"),
        ({"directions": {"IN": 1 << 32}}, "from 0 to 4294967295"),
        ({"mirror_type": "erspanv1", "directions": {"IN": 1024}}, "from 0 to 1023"),
        ({"mirror_type": "erspanv2"}, "erspanv2"),
        ({"remote_ip": "224.0.0.1"}, "another machine"),
        ({"remote_ip": "ff02::1"}, "another machine"),
        ({"remote_ip": "127.0.0.1"}, "another machine"),
        ({"remote_ip": "::"}, "another machine"),
        ({"remote_ip": "0.0.0.0"}, "another machine"),
        ({"remote_ip": "fe80::1"}, "another machine"),
        ({"remote_ip": "somewhere"}, "somewhere"),
    ],
)
def test_a_mirror_that_could_not_be(
    api: Api, ports: dict[str, str], wrong: dict[str, Any], words: str
) -> None:
    whole = {**GRE, "directions": {"IN": 1}, "port_id": ports["red"], "project_id": "red", **wrong}
    status, answer = post(api, "tap_mirror", **whole)
    assert status == 400
    assert words in answer["NeutronError"]["message"]


def test_tunnels_of_mirrors_are_told_apart(api: Api, ports: dict[str, str]) -> None:
    """A project's by their ids, as Neutron has it; and those to one address."""
    first = {**GRE, "port_id": ports["red"], "project_id": "red"}
    assert post(api, "tap_mirror", **first, directions={"IN": 1, "OUT": 2})[0] == 201
    other = {**first, "remote_ip": "192.0.2.10"}
    status, answer = post(api, "tap_mirror", **other, directions={"BOTH": 2})
    assert (status, kind(answer)) == (409, "TapMirrorTunnelConflict")
    green = {**GRE, "port_id": ports["green"], "project_id": "green"}
    assert post(api, "tap_mirror", **green, directions={"IN": 2})[0] == 409
    assert post(api, "tap_mirror", **{**green, **to("192.0.2.10")}, directions={"IN": 2})[0] == 201


def to(address: str) -> dict[str, str]:
    return {"remote_ip": address}


@pytest.mark.parametrize("text", ["0", "4095", "1-4095", "9-7", "7,", "seven", "-"])
def test_a_filter_that_could_not_be(api: Api, ports: dict[str, str], text: str) -> None:
    _, made = post(api, "tap_service", project_id="red", port_id=ports["red"])
    flow = of(made["tap_service"]["id"], ports["red too"])
    assert post(api, "tap_flow", project_id="red", **flow, vlan_filter=text)[0] == 400


def test_a_port_is_not_tapped_into_itself(api: Api, ports: dict[str, str]) -> None:
    _, made = post(api, "tap_service", project_id="red", port_id=ports["red"])
    flow = of(made["tap_service"]["id"], ports["red"])
    assert post(api, "tap_flow", project_id="red", **flow)[0] == 400
