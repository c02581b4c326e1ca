# SPDX-License-Identifier: Apache-2.0

"""Trunks in the API, and by the ``openstack`` client."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, caller, path
from tests.api.openstack import Client

UNKNOWN = "00000000-0000-4000-8000-000000000000"
TRUNKS = path("trunk")


def port(api: Api, network: str, **attributes: Any) -> str:
    id: str = api.create("port", network_id=network, **attributes)["id"]
    return id


def sub(port_id: str, vlan: object) -> dict[str, object]:
    return {"port_id": port_id, "segmentation_type": "vlan", "segmentation_id": vlan}


def act(api: Api, id: str, action: str, *sub_ports: object) -> Any:
    status, answer = api.request("PUT", path("trunk", id, action), {"sub_ports": sub_ports})
    assert status == 200, answer
    return answer


def owner(api: Api, id: str) -> tuple[str, str]:
    shown = api.show("port", id)
    return shown["device_owner"], shown["device_id"]


def test_a_trunk_from_birth_to_death(api: Api, network: str) -> None:
    parent, one, two = (port(api, network) for _ in range(3))
    made = api.create("trunk", port_id=parent, name="t", sub_ports=[sub(one, "1")])
    id = made["id"]
    assert made["sub_ports"] == [sub(one, 1)]
    assert (made["status"], made["admin_state_up"], made["description"]) == ("ACTIVE", True, "")
    assert owner(api, one) == ("trunk:subport", id)
    assert owner(api, parent) == owner(api, two) == ("", "")

    assert act(api, id, "add_subports", sub(two, 4094))["sub_ports"] == [
        sub(one, 1),
        sub(two, 4094),
    ]
    assert owner(api, two) == ("trunk:subport", id)
    listed = api.request("GET", path("trunk", id, "get_subports"))
    assert listed == (200, {"sub_ports": [sub(one, 1), sub(two, 4094)]})
    left = act(api, id, "remove_subports", {"port_id": one})
    assert left == api.show("trunk", id)
    assert left["sub_ports"] == [sub(two, 4094)]
    assert owner(api, one) == ("", "")

    after = api.update("trunk", id, name="u", description="d")
    assert (after["name"], after["description"]) == ("u", "d")
    for query, expected in (
        (f"port_id={parent}", [id]),
        (f"port_id={one}", []),
        ("name=u&status=ACTIVE&admin_state_up=true", [id]),
        ("status=DOWN", []),
    ):
        assert [shown["id"] for shown in api.list("trunk", query)] == expected
    api.delete("trunk", id)
    assert owner(api, two) == ("", "")
    for free in (parent, one, two):
        api.delete("port", free)


def test_a_parent_shows_its_subports(api: Api, network: str) -> None:
    parent, child, other = (port(api, network) for _ in range(3))
    id = api.create("trunk", port_id=parent, sub_ports=[sub(child, 7)])["id"]
    mac = api.show("port", child)["mac_address"]
    shown = {"trunk_id": id, "sub_ports": [{**sub(child, 7), "mac_address": mac}]}
    assert api.show("port", parent)["trunk_details"] == shown
    assert {port["id"] for port in api.list("port") if "trunk_details" in port} == {parent}
    assert "trunk_details" not in api.show("port", other)
    act(api, id, "remove_subports", {"port_id": child})
    assert api.show("port", parent)["trunk_details"] == {"trunk_id": id, "sub_ports": []}


def test_a_subport_may_inherit_the_vlan_of_its_network(api: Api, network: str) -> None:
    wire = {"provider:network_type": "vlan", "provider:physical_network": "p"}
    vlan = api.create("network", **wire, **{"provider:segmentation_id": 33})["id"]
    parent, child, local, free = (port(api, on) for on in (network, vlan, network, network))
    inherits = {"segmentation_type": "inherit"}
    made = api.create("trunk", port_id=parent, sub_ports=[{"port_id": child, **inherits}])
    assert made["sub_ports"] == [sub(child, 33)]
    body = {"sub_ports": [{"port_id": local, **inherits}]}
    url = path("trunk", made["id"], "add_subports")
    assert "not of type vlan" in api.refused(400, "InvalidInput", "PUT", url, body)
    # neutron-lib's validator looks no further than the first that inherits.
    again = {"port_id": port(api, vlan), **inherits}
    for second in ("nonsense", {}, sub(local, "x"), sub(local, [1])):
        body = {"sub_ports": [again, second]}
        api.refused(400, "InvalidInput", "POST", TRUNKS, {"trunk": {"port_id": free, **body}})
    api.refused(409, "DuplicateSubPort", "PUT", url, {"sub_ports": [again]})


@pytest.mark.parametrize(
    ("status", "error", "sub_ports"),
    [
        (400, "InvalidInput", None),
        (400, "InvalidInput", "nonsense"),
        (400, "InvalidInput", ["nonsense"]),
        (400, "InvalidInput", [{}]),
        (400, "InvalidInput", [sub("nonsense", 7)]),
        (400, "InvalidInput", [{"port_id": "FREE"}]),
        (400, "InvalidInput", [{"port_id": "FREE", "segmentation_type": "vlan"}]),
        (400, "InvalidInput", [{"port_id": "FREE", "segmentation_id": 7}]),
        (400, "InvalidInput", [{**sub("FREE", 7), "segmentation_type": "vxlan"}]),
        (400, "InvalidInput", [{**sub("FREE", 7), "segmentation_type": ["vlan"]}]),
        (400, "InvalidInput", [sub("FREE", "seven")]),
        (400, "InvalidInput", [sub("FREE", [7])]),
        (400, "InvalidInput", [sub("FREE", 0)]),
        (400, "InvalidInput", [sub("FREE", 4095)]),
        (400, "InvalidInput", [sub("FREE", 7), sub("FREE", 8)]),
        (400, "InvalidInput", [sub("FREE", 7), sub("OTHER", 7)]),
        (404, "PortNotFound", [sub(UNKNOWN, 7)]),
        (409, "DuplicateSubPort", [sub("FREE", 1)]),
        (409, "ParentPortInUse", [sub("PARENT", 7)]),
        (409, "ParentPortInUse", [sub("PARENT2", 7)]),
        (409, "TrunkPortInUse", [sub("CHILD", 7)]),
        (409, "TrunkPortInUse", [sub("CHILD2", 7)]),
        (409, "PortInUse", [sub("MACHINE", 7)]),
        (409, "SubPortMtuGreaterThanTrunkPortMtu", [sub("FREE", 7), sub("JUMBO", 8)]),
    ],
)
def test_subports_that_cannot_be(
    make_api: Any, status: int, error: str, sub_ports: list[Any] | None
) -> None:
    api: Api = make_api(physical_mtu=9000)
    small, jumbo = (api.create("network", mtu=mtu)["id"] for mtu in (1500, 9000))
    names = ("PARENT", "CHILD", "PARENT2", "CHILD2", "FREE", "OTHER")
    ids = {name: port(api, small) for name in names}
    ids |= {"MACHINE": port(api, small, device_id="a machine"), "JUMBO": port(api, jumbo)}
    id = api.create("trunk", port_id=ids["PARENT"], sub_ports=[sub(ids["CHILD"], 1)])["id"]
    api.create("trunk", port_id=ids["PARENT2"], sub_ports=[sub(ids["CHILD2"], 1)])
    for entry in sub_ports if isinstance(sub_ports, list) else ():
        if isinstance(entry, dict) and "port_id" in entry:
            entry["port_id"] = ids.get(entry["port_id"], entry["port_id"])
    body = {"sub_ports": sub_ports}
    api.refused(status, error, "PUT", path("trunk", id, "add_subports"), body)
    assert owner(api, ids["FREE"]) == ("", "")


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (400, "HTTPBadRequest", {}),
        (400, "HTTPBadRequest", {"port_id": "nonsense"}),
        (400, "HTTPBadRequest", {"port_id": "FREE", "status": "ACTIVE"}),
        (400, "HTTPBadRequest", {"port_id": "FREE", "sub_ports": None}),
        (400, "HTTPBadRequest", {"port_id": "FREE", "sub_ports": [{}]}),
        (400, "HTTPBadRequest", {"port_id": "FREE", "sub_ports": [sub(UNKNOWN, [7])]}),
        (404, "PortNotFound", {"port_id": UNKNOWN}),
        (409, "ParentPortInUse", {"port_id": "PARENT"}),
        (409, "TrunkPortInUse", {"port_id": "CHILD"}),
        (409, "ParentPortInUse", {"port_id": "DHCP"}),
    ],
)
def test_trunks_that_cannot_be(
    api: Api, network: str, status: int, error: str, said: dict[str, Any]
) -> None:
    ids = {name: port(api, network) for name in ("PARENT", "CHILD", "FREE")}
    ids["DHCP"] = port(api, network, device_owner="network:dhcp")
    api.create("trunk", port_id=ids["PARENT"], sub_ports=[sub(ids["CHILD"], 1)])
    if "port_id" in said:
        said = {**said, "port_id": ids.get(said["port_id"], said["port_id"])}
    api.refused(status, error, "POST", TRUNKS, {"trunk": said})


def test_ports_stay_while_they_are_in_a_trunk(api: Api, network: str) -> None:
    parent, child = (port(api, network) for _ in range(2))
    id = api.create("trunk", port_id=parent, sub_ports=[sub(child, 7)])["id"]
    assert id in api.refused(409, "PortInUseAsTrunkParent", "DELETE", path("port", parent))
    assert id in api.refused(409, "PortInUseAsSubPort", "DELETE", path("port", child))
    act(api, id, "remove_subports", {"port_id": child})
    api.delete("port", child)


def test_what_is_fixed_and_what_is_not_there(api: Api, network: str) -> None:
    parent, free = (port(api, network) for _ in range(2))
    id = api.create("trunk", port_id=parent)["id"]
    for said in ({"port_id": free}, {"sub_ports": []}, {"status": "DOWN"}):
        api.refused(400, "HTTPBadRequest", "PUT", path("trunk", id), {"trunk": said})
    gone = {"sub_ports": [{"port_id": free}]}
    api.refused(404, "SubPortNotFound", "PUT", path("trunk", id, "remove_subports"), gone)
    for below in ((), ("get_subports",)):
        api.refused(404, "TrunkNotFound", "GET", path("trunk", UNKNOWN, *below))


def test_a_disabled_trunk_stays_as_it_is(api: Api, network: str) -> None:
    parent, child, free = (port(api, network) for _ in range(3))
    sub_ports = [sub(child, 7)]
    made = api.create("trunk", port_id=parent, sub_ports=sub_ports, admin_state_up=False)
    id = made["id"]
    assert made["status"] == "DOWN"
    for method, below, body in (
        ("PUT", ("add_subports",), {"sub_ports": [sub(free, 8)]}),
        ("PUT", ("remove_subports",), {"sub_ports": [{"port_id": child}]}),
        ("DELETE", (), None),
    ):
        said = api.refused(409, "TrunkDisabled", method, path("trunk", id, *below), body)
        assert "Set its admin_state_up to true" in said
    assert api.request("GET", path("trunk", id, "get_subports")) == (200, {"sub_ports": sub_ports})
    assert api.update("trunk", id, admin_state_up=True)["status"] == "ACTIVE"
    act(api, id, "add_subports", sub(free, 8))
    api.delete("trunk", id)


def test_trunks_are_of_ones_own_ports(make_api: Any) -> None:
    owner, other = (caller(p) for p in ("owner", "other"))
    contexts = {"now": owner}
    api: Api = make_api(authenticate=lambda request: contexts["now"])
    theirs = port(api, api.create("network")["id"])
    contexts["now"] = other
    mine = port(api, api.create("network")["id"])
    id = api.create("trunk", port_id=mine)["id"]
    body = {"sub_ports": [sub(theirs, 7)]}
    api.refused(404, "PortNotFound", "PUT", path("trunk", id, "add_subports"), body)
    api.refused(404, "PortNotFound", "POST", TRUNKS, {"trunk": {"port_id": theirs}})
    contexts["now"] = owner
    for method, below in (("GET", ()), ("DELETE", ()), ("GET", ("get_subports",))):
        api.refused(404, "TrunkNotFound", method, path("trunk", id, *below))


def test_the_client(client: Client, api: Api, network: str) -> None:
    ids = {name: port(api, network, name=name) for name in ("parent", "one", "two", "three")}
    made, trunks, subports, detailed = client.run(
        "network trunk create --parent-port parent --description d "
        "--subport port=one,segmentation-type=vlan,segmentation-id=101 t -f json",
        "network trunk list --long -f json",
        "network trunk set --name u --description e "
        "--subport port=two,segmentation-type=vlan,segmentation-id=102 "
        "--subport port=three,segmentation-type=vlan,segmentation-id=103 t",
        "network subport list --trunk u -f json",
        "port show parent -f json",
    )
    assert (made["name"], made["is_admin_state_up"], made["status"]) == ("t", True, "ACTIVE")
    assert made["sub_ports"] == [sub(ids["one"], 101)]
    assert [(row["Name"], row["Parent Port"]) for row in trunks] == [("t", ids["parent"])]
    listed = [(row["Port"], row["Segmentation Type"], row["Segmentation ID"]) for row in subports]
    numbered = zip(("one", "two", "three"), (101, 102, 103), strict=True)
    assert listed == [(ids[name], "vlan", vlan) for name, vlan in numbered]
    assert len(detailed["trunk_details"]["sub_ports"]) == 3

    shown, left = client.run(
        "network trunk unset --subport one --subport two u",
        "network trunk unset --subport three u",
        "network trunk set --disable u",
        "network trunk show u -f json",
        "network trunk set --enable u",
        "network trunk delete u",
        "network trunk list -f json",
    )
    assert (shown["name"], shown["description"], shown["sub_ports"]) == ("u", "e", [])
    assert (shown["is_admin_state_up"], shown["status"]) == (False, "DOWN")
    assert left == []
