# SPDX-License-Identifier: Apache-2.0

"""Network segment ranges: which VLAN ids and VNIs networks get for which nobody names one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.apps.provider.resources import extension
from tests.api.conftest import Api, caller, path
from tests.api.openstack import Client
from tests.api.test_provider import wire

RANGES = path("network_segment_range")
UNKNOWN = "6f2b3a52-8a3a-4a4f-9a57-3f6d0a8f7c11"


def configured(
    vlans: tuple[tuple[int, int], ...] = ((5, 6),), type: str = "vxlan", vnis: int = 109
) -> Any:
    """VLANs of p1, and VNIs from 100 on."""
    return extension(
        tenant_network_type=type,
        vlan_ranges={"p1": vlans},
        vni_ranges=[(100, vnis)],
        physical_networks=["p1", "p2"],
    )


@pytest.fixture
def ranges(make_api: Callable[..., Api]) -> Api:
    return make_api(configured())


def body(type: str, minimum: Any, maximum: Any, **more: Any) -> dict[str, Any]:
    return {"network_type": type, "minimum": minimum, "maximum": maximum, **more}


def told(api: Api) -> list[tuple[Any, ...]]:
    """The type, physical network and ends of each default range."""
    names = ("network_type", "physical_network", "minimum", "maximum", "shared", "project_id")
    found = api.list("network_segment_range")
    return sorted(tuple(one[name] for name in names) for one in found if one["default"])


def test_those_of_the_configuration_are_there_and_stay(make_api: Callable[..., Api]) -> None:
    api = make_api(configured())
    expected = [
        *(("geneve", "", 100, 109, True, None), ("vlan", "p1", 5, 6, True, None)),
        ("vxlan", "", 100, 109, True, None),
    ]
    assert told(api) == expected
    first = api.list("network_segment_range")[0]["id"]
    for method, sent in (("PUT", {"network_segment_range": {"name": "x"}}), ("DELETE", None)):
        error = "NetworkSegmentRangeDefaultReadOnly"
        api.refused(400, error, method, f"{RANGES}/{first}", sent)
    api.create("network_segment_range", **body("vxlan", 1, 3))
    api.store.close()
    again = make_api(configured())
    assert told(again) == expected
    assert first in [one["id"] for one in again.list("network_segment_range")]
    again.store.close()
    other = make_api(configured(((7, 9), (11, 11)), vnis=119))
    assert ("vlan", "p1", 11, 11, True, None) in told(other)
    assert [one[3] for one in told(other) if one[0] == "vxlan"] == [119]
    assert len(told(other)) == 4
    assert len(other.list("network_segment_range")) == 5, "what people made stays"


def test_what_is_used_and_what_is_free(ranges: Api) -> None:
    red = ranges.create("network", project_id="red", **wire("vxlan", None, 103))["id"]
    ranges.create("network", project_id="red", **wire("vxlan", None, 90))
    (shown,) = ranges.list("network_segment_range", "network_type=vxlan")
    assert shown["used"] == {"103": "red"}
    assert shown["available"] == [*range(100, 103), *range(104, 110)]
    vlans = {"physical_network": "p2"}
    own = ranges.create("network_segment_range", **body("vlan", 7, 8, **vlans))
    assert (own["used"], own["available"], own["default"]) == ({}, [7, 8], False)
    ranges.create("network", **wire("vlan", "p1", 7))
    ranges.create("network", project_id="blue", **wire("vlan", "p2", 8))
    assert ranges.show("network_segment_range", own["id"])["used"] == {"8": "blue"}
    ranges.delete("network", red)
    (shown,) = ranges.list("network_segment_range", "network_type=vxlan")
    assert shown["used"] == {}


def test_of_millions_the_lowest_are_shown(make_api: Callable[..., Api]) -> None:
    api = make_api(configured(vnis=(1 << 24) - 1))
    api.create("network", **wire("vxlan", None, 101))
    (shown,) = api.list("network_segment_range", "network_type=vxlan")
    assert shown["available"] == [100, *range(102, 4197)]


def vni(api: Api, project: str, type: str = "vxlan") -> int:
    """What the next network of a project gets."""
    network = api.create("network", project_id=project, **wire(type))
    found: int = network["provider:segmentation_id"]
    return found


def test_a_project_has_its_own_first_and_no_other_gets_them(ranges: Api) -> None:
    mine = body("vxlan", 101, 102, shared=False, project_id="red")
    id = ranges.create("network_segment_range", **mine)["id"]
    assert ranges.show("network_segment_range", id)["project_id"] == "red"
    assert [vni(ranges, "blue") for _ in range(2)] == [100, 103]
    assert [vni(ranges, "red") for _ in range(3)] == [101, 102, 104]
    assert [vni(ranges, "red", "geneve") for _ in range(2)] == [100, 101], "another type"
    for _ in range(105, 110):
        vni(ranges, "blue")
    wanted = {"network": {"project_id": "blue", **wire("vxlan")}}
    ranges.refused(503, "NoNetworkAvailable", "POST", "/v2.0/networks", wanted)
    ranges.create("network_segment_range", **body("vxlan", 300, 301))
    assert [vni(ranges, project) for project in ("blue", "red")] == [300, 301]


def test_a_range_outside_the_configuration_may_be_a_projects(ranges: Api) -> None:
    """An administrator may name it in any case; others get it only if it is theirs."""
    mine = body("vlan", 50, 50, physical_network="p2", shared=False, project_id="red")
    id = ranges.create("network_segment_range", **mine)["id"]
    network = ranges.create("network", project_id="red", **wire("vlan"))
    assert network["provider:physical_network"] == "p2"
    assert vni(ranges, "red", "vlan") == 5
    assert vni(ranges, "blue", "vlan") == 6
    wanted = {"network": {"project_id": "blue", **wire("vlan", "p2")}}
    ranges.refused(503, "NoNetworkAvailable", "POST", "/v2.0/networks", wanted)
    url = f"{RANGES}/{id}"
    ranges.refused(409, "NetworkSegmentRangeReferencedByProject", "DELETE", url)
    ranges.delete("network", network["id"])
    ranges.delete("network_segment_range", id)


def test_tenants_networks_follow_at_once(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("admin", "admin")}
    api = make_api(configured(type="vlan"), authenticate=lambda request: now["who"])
    mine = body("vlan", 70, 71, physical_network="p2", shared=False, project_id="red")
    api.create("network_segment_range", **mine)
    now["who"] = caller("red")
    for _ in range(3):
        api.create("network")
    sent = {"network_segment_range": body("vlan", 80, 81, physical_network="p2")}
    assert api.request("POST", RANGES, sent)[0] == 403
    now["who"] = caller("admin", "admin")
    given = sorted(one["provider:segmentation_id"] for one in api.list("network"))
    assert given == [5, 70, 71]


def test_a_range_changes_but_not_from_under_a_network(ranges: Api) -> None:
    id = ranges.create("network_segment_range", **body("vxlan", 200, 209, name="a"))["id"]
    ranges.create("network", **wire("vxlan", None, 204))
    url, error = f"{RANGES}/{id}", "NetworkSegmentRangeReferencedByProject"
    for ends in ({"minimum": 205}, {"maximum": 203}):
        ranges.refused(409, error, "PUT", url, {"network_segment_range": ends})
    ranges.refused(409, error, "DELETE", url)
    changed = ranges.update("network_segment_range", id, minimum=204, maximum=220, name="b")
    assert (changed["minimum"], changed["maximum"], changed["name"]) == (204, 220, "b")
    assert changed["available"] == [*range(205, 221)]
    ranges.create("network_segment_range", **body("vxlan", 221, 229))
    overlap = {"network_segment_range": {"maximum": 221}}
    ranges.refused(409, "NetworkSegmentRangeOverlaps", "PUT", url, overlap)


@pytest.mark.parametrize(
    ("attributes", "status", "error", "words"),
    [
        (body("vxlan", 205, 215), 409, "NetworkSegmentRangeOverlaps", "overlaps"),
        (body("vxlan", 9, 8), 400, "InvalidInput", "minimum 9 and maximum 8"),
        (body("vxlan", 0, 8), 400, "HTTPBadRequest", "minimum"),
        (body("vxlan", 1, 1 << 24), 400, "InvalidInput", "16777215"),
        (body("vlan", 1, 4095, physical_network="p1"), 400, "InvalidInput", "4094"),
        (body("vlan", 1, 2), 400, "InvalidInput", "physical_network required"),
        (body("vlan", 1, 2, physical_network="p9"), 400, "InvalidInput", "Unknown"),
        (body("geneve", 1, 2, physical_network="p1"), 400, "InvalidInput", "prohibited"),
        (body("gre", 1, 2), 400, "NetworkSegmentRangeNetTypeNotSupported", "gre"),
        (body("flat", 1, 2), 400, "HTTPBadRequest", "flat"),
        (
            {"minimum": 1, "maximum": 2},
            *(400, "NetworkSegmentRangeNetTypeNotSupported", "''"),
        ),
        (body("vxlan", 1, 2, shared=False, project_id=""), 400, "InvalidInput", "project_id"),
        (body("vxlan", "x", 2), 400, "InvalidInput", "not an integer"),
        (body("vxlan", 1, 2, default=True), 400, "HTTPBadRequest", "default"),
    ],
)
def test_what_is_wrong_is_refused(
    ranges: Api, attributes: dict[str, Any], status: int, error: str, words: str
) -> None:
    ranges.create("network_segment_range", **body("vxlan", 200, 209))
    sent = {"network_segment_range": attributes}
    assert words in ranges.refused(status, error, "POST", RANGES, sent)


def test_one_request_does_not_overlap_itself(ranges: Api) -> None:
    sent = {"network_segment_ranges": [body("vxlan", 200, 209), body("vxlan", 209, 210)]}
    ranges.refused(409, "NetworkSegmentRangeOverlaps", "POST", RANGES, sent)


def test_the_openstack_client_has_words_for_them(client: Client, api: Api) -> None:
    made, listed, shown = client.run(
        "network segment range create --shared --network-type geneve --minimum 70 --maximum 79 "
        "mine -f json",
        "network segment range set --minimum 70 --maximum 89 --name ours mine",
        "network create --provider-network-type geneve --provider-segment 75 blue",
        "network segment range list --available -f json",
        "network segment range show ours -f json",
    )[:3]
    assert (made["network_type"], made["shared"], made["default"]) == ("geneve", True, False)
    assert {row["Name"] for row in listed} >= {"ours"}
    assert (shown["maximum"], shown["available"]) == (89, ["70-74", "76-89"])
    client.run("network delete blue", "network segment range delete ours")
    assert [one["name"] for one in api.list("network_segment_range") if one["name"]] == []
