# SPDX-License-Identifier: Apache-2.0

"""Networks of several segments, and segments as resources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.apps import APPS
from tenantry.apps.provider.resources import extension
from tenantry.apps.provider.segments import PHYSICAL_NETWORK, SEGMENTATION_ID, SEGMENTS, TYPE
from tenantry.controller.feature.app import stored_records
from tenantry.controller.model import Network
from tenantry.controller.network.records import Segment
from tests.api.conftest import Api, caller
from tests.api.openstack import Client
from tests.api.test_provider import seen, wire

RECORDS = stored_records(APPS)

UNKNOWN = "6f2b3a52-8a3a-4a4f-9a57-3f6d0a8f7c11"


@pytest.fixture
def wires(make_api: Callable[..., Api]) -> Api:
    """p1 has VLANs 5 to 9 for who names none, p2 carries jumbo frames; VNIs begin with 100."""
    return make_api(
        extension(
            vlan_ranges={"p1": [(5, 9)]},
            vni_ranges=[(100, 200)],
            physical_networks=["p1", "p2"],
        ),
        physical_mtus={"p2": 9000},
    )


def whole(type: str, physical: str | None = None, id: int | None = None) -> dict[str, Any]:
    return {TYPE: type, PHYSICAL_NETWORK: physical, SEGMENTATION_ID: id}


def resources(api: Api, network: str) -> list[dict[str, Any]]:
    """The segments that are stored for a network, oldest first."""
    listed = {segment["id"] for segment in api.list("segment", f"network_id={network}")}
    ids = list(api.store.linked(network, "segment"))
    assert listed == set(ids)
    return [api.show("segment", id) for id in ids]


def segments(api: Api, network: str) -> list[tuple[Any, ...]]:
    names = ("network_type", "physical_network", "segmentation_id")
    return [tuple(one[name] for name in names) for one in resources(api, network)]


def add(api: Api, network: str, type: str, **attributes: Any) -> dict[str, Any]:
    segment: dict[str, Any] = api.create(
        "segment", network_id=network, network_type=type, **attributes
    )
    return segment


def test_a_network_of_several_segments(wires: Api) -> None:
    network = wires.create(
        "network",
        segments=[
            wire("vlan", "p1", "7"),
            wire("vlan"),
            wire("vlan"),
            wire("vxlan"),
            wire("local"),
        ],
    )
    expected = [
        whole("vlan", "p1", 7),
        whole("vlan", "p1", 5),
        whole("vlan", "p1", 6),
        whole("vxlan", None, 100),
        whole("local"),
    ]
    assert network[SEGMENTS] == expected
    assert TYPE not in network, "as in Neutron"
    assert wires.show("network", network["id"])[SEGMENTS] == expected
    assert wires.list("network")[0][SEGMENTS] == expected
    assert segments(wires, network["id"]) == [tuple(one.values()) for one in expected]
    assert seen(wires.create("network", **wire("vlan"))) == ("vlan", "p1", 8)


def test_a_list_of_one_segment_is_a_network_like_any_other(wires: Api) -> None:
    network = wires.create("network", segments=[wire("flat", "p1")])
    assert seen(network) == ("flat", "p1", None)
    assert SEGMENTS not in network
    (one,) = resources(wires, network["id"])
    assert (one["network_type"], one["physical_network"]) == ("flat", "p1")
    assert resources(wires, network["id"]) == [one], "it is made once"
    assert seen(wires.create("network", segments=[])) == ("local", None, None)


def test_the_model_has_all_segments_and_the_first_in_the_network(wires: Api) -> None:
    id = wires.create("network", segments=[wire("vxlan"), wire("vlan", "p1", 7)])["id"]
    network = wires.store.get("network", id)
    stored = wires.store.read("segment").values()
    assert network is not None
    record = RECORDS["network"][1](network)
    assert isinstance(record, Network)
    assert (record.network_type, record.segmentation_id) == ("vxlan", 100)
    kind, from_body = RECORDS["segment"]
    assert kind is Segment
    assert [from_body(body) for body in stored] == [
        Segment(body["id"], id, *kept)
        for body, kept in zip(stored, [("vxlan", None, 100), ("vlan", "p1", 7)], strict=True)
    ]


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        (
            {SEGMENTS: [wire("local")], **wire("local")},
            *(400, "SegmentsSetInConjunctionWithProviders", "cannot both be set"),
        ),
        (
            {SEGMENTS: [wire("vlan", "p1", 8)] * 2},
            *(400, "SegmentsContainDuplicateEntry", "Duplicate segment entry"),
        ),
        (
            {SEGMENTS: [wire("local")] * 2},
            *(400, "SegmentsContainDuplicateEntry", "Duplicate segment entry"),
        ),
        (
            {SEGMENTS: [wire("local"), wire("vlan", "p1", 7)]},
            *(409, "VlanIdInUse", "VLAN 7 on physical network p1 is in use"),
        ),
        (
            {SEGMENTS: [wire("local"), wire("vxlan", vlan=150)]},
            *(409, "TunnelIdInUse", "tunnel ID 150 is in use"),
        ),
        (
            {SEGMENTS: [wire("local"), wire("vlan", "p2")]},
            *(503, "NoNetworkAvailable", "No project network"),
        ),
        ({SEGMENTS: [wire("local"), {}]}, 400, "InvalidInput", "network_type required"),
        ({SEGMENTS: [wire("local"), wire("gre")]}, 400, "InvalidInput", "'gre' not supported"),
        ({SEGMENTS: [wire("flat", "p9")]}, 400, "InvalidInput", "Unknown physical_network 'p9'"),
        ({SEGMENTS: [wire("vlan", "p1", "x")]}, 400, "InvalidInput", "'x' is not an integer"),
        ({SEGMENTS: [wire(["vlan"])]}, 400, "InvalidInput", "not a valid string"),
        ({SEGMENTS: [wire("vlan", ["p1"], 8)]}, 400, "InvalidInput", "not a valid string"),
        ({SEGMENTS: [wire("flat", "p" * 65)]}, 400, "InvalidInput", "exceeds maximum length"),
        ({SEGMENTS: [{"colour": "red"}]}, 400, "HTTPBadRequest", "'colour'"),
        ({SEGMENTS: ["vlan"]}, 400, "HTTPBadRequest", "malformed"),
        ({SEGMENTS: 7}, 400, "HTTPBadRequest", "malformed"),
        ({SEGMENTS: None}, 400, "HTTPBadRequest", "malformed"),
    ],
)
def test_what_is_wrong_in_a_list_is_refused(
    wires: Api, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    wires.create("network", segments=[wire("vxlan", vlan=150), wire("vlan", "p1", 7)])
    body = {"network": attributes}
    assert message in wires.refused(status, error, "POST", "/v2.0/networks", body)


def test_a_network_gets_more_segments_and_loses_them(wires: Api) -> None:
    network = wires.create("network", **wire("vlan", "p1", 7))["id"]
    added = add(wires, network, "vxlan", name="tunnels", description="between rooms")
    assert added == wires.show("segment", added["id"])
    assert (added["name"], added["description"]) == ("tunnels", "between rooms")
    assert (added["physical_network"], added["segmentation_id"]) == (None, 100)
    both = [("vlan", "p1", 7), ("vxlan", None, 100)]
    assert segments(wires, network) == both, "the first one, too"
    assert wires.show("network", network)[SEGMENTS] == [whole(*one) for one in both]

    first, _ = resources(wires, network)
    path = f"/v2.0/segments/{first['id']}"
    message = wires.refused(409, "SegmentInUse", "DELETE", path)
    assert "it is the network's first" in message

    wires.delete("segment", added["id"])
    assert seen(wires.show("network", network)) == both[0]
    assert SEGMENTS not in wires.show("network", network)
    assert wires.list("segment") == [first], "it keeps its id"
    add(wires, network, "vxlan", segmentation_id=100)
    assert segments(wires, network) == both
    add(wires, network, "local")
    assert len(segments(wires, network)) == 3


def test_the_segment_that_a_network_has_gets_an_id(wires: Api) -> None:
    network = wires.create("network", **wire("vlan", "p1", 7))["id"]
    named = add(wires, network, "vlan", physical_network="p1", segmentation_id=7, name="only")
    assert segments(wires, network) == [("vlan", "p1", 7)]
    assert seen(wires.show("network", network)) == ("vlan", "p1", 7)
    add(wires, network, "vxlan")
    assert [one["name"] for one in resources(wires, network)] == ["only", None]
    assert wires.show("segment", named["id"])["revision_number"] == 1


def test_a_segment_has_a_name_that_changes_and_nothing_else(wires: Api) -> None:
    network = wires.create("network")["id"]
    segment = add(wires, network, "vxlan")
    after = wires.update("segment", segment["id"], name="a", description="b")
    assert (after["name"], after["description"], after["segmentation_id"]) == ("a", "b", 100)
    for name in ("network_id", "network_type", "physical_network", "segmentation_id"):
        body = {"segment": {name: segment[name]}}
        path = f"/v2.0/segments/{segment['id']}"
        assert name in wires.refused(400, "HTTPBadRequest", "PUT", path, body)
    body = {"network": {SEGMENTS: [wire("local")]}}
    wires.refused(400, "HTTPBadRequest", "PUT", f"/v2.0/networks/{network}", body)


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        ({"network_type": "vlan", "segmentation_id": 8}, 400, "InvalidInput", "requires physical"),
        (
            {"network_type": "vxlan", "segmentation_id": 1 << 24},
            400,
            "InvalidInput",
            "out of range",
        ),
        ({"network_type": "vxlan", "physical_network": "p1"}, 400, "InvalidInput", "prohibited"),
        ({"network_type": "vxlan", "segmentation_id": 150}, 409, "TunnelIdInUse", "150 is in use"),
        ({"network_type": "vxlan", "segmentation_id": 151}, 409, "TunnelIdInUse", "151 is in use"),
        ({"network_type": "flat", "physical_network": "p2"}, 409, "FlatNetworkInUse", "p2 is in"),
        ({"network_type": "local"}, 400, "SegmentsContainDuplicateEntry", "Duplicate"),
        ({"network_type": "gre"}, 400, "InvalidInput", "'gre' not supported"),
        ({"network_type": ""}, 400, "InvalidInput", "network_type required"),
        ({}, 400, "HTTPBadRequest", "'network_type' not specified"),
        (
            {"network_type": "local", "network_id": UNKNOWN},
            *(404, "NetworkNotFound", UNKNOWN),
        ),
    ],
)
def test_what_is_wrong_of_a_segment_is_refused(
    wires: Api, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    network = wires.create("network", segments=[wire("vxlan", vlan=150), wire("local")])["id"]
    wires.create("network", segments=[wire("vxlan", vlan=151), wire("flat", "p2")])
    body = {"segment": {"network_id": network, **attributes}}
    assert message in wires.refused(status, error, "POST", "/v2.0/segments", body)


def test_what_a_segment_has_is_free_when_it_is_gone(wires: Api) -> None:
    network = wires.create("network")["id"]
    segment = add(wires, network, "vlan", physical_network="p1", segmentation_id=7)
    body = {"network": wire("vlan", "p1", 7)}
    wires.refused(409, "VlanIdInUse", "POST", "/v2.0/networks", body)
    wires.delete("segment", segment["id"])
    wires.delete("network", wires.create("network", **wire("vlan", "p1", 7))["id"])

    add(wires, network, "vlan", physical_network="p1", segmentation_id=7)
    wires.delete("network", network)
    assert wires.list("segment") == []
    wires.create("network", **wire("vlan", "p1", 7))


def test_the_mtu_is_that_of_the_smallest_segment(wires: Api) -> None:
    tunnels, jumbo = wire("vxlan"), wire("vlan", "p2", 7)
    assert wires.create("network", segments=[jumbo, tunnels])["mtu"] == 1450
    body = {"network": {SEGMENTS: [wire("vlan", "p2", 8), wire("geneve")], "mtu": 1443}}
    message = wires.refused(400, "InvalidInput", "POST", "/v2.0/networks", body)
    assert "maximum is 1442" in message

    network = wires.create("network", **wire("vlan", "p2", 9))
    assert network["mtu"] == 9000
    segment = add(wires, network["id"], "geneve")
    assert wires.show("network", network["id"])["mtu"] == 1442
    wires.delete("segment", segment["id"])
    assert wires.show("network", network["id"])["mtu"] == 1442, "hosts use it"
    assert wires.update("network", network["id"], mtu=0)["mtu"] == 9000


def test_a_segment_too_small_for_ipv6_is_refused(make_api: Callable[..., Api]) -> None:
    api = make_api(extension(), physical_mtu=1300)
    network = api.create("network", **wire("flat", "p1"))["id"]
    api.create("subnet", network_id=network, cidr="2001:db8::/64", ip_version=6)
    body = {"segment": {"network_id": network, "network_type": "vxlan"}}
    api.refused(409, "NetworkMTUSubnetConflict", "POST", "/v2.0/segments", body)


def test_subnets_may_be_on_segments(wires: Api) -> None:
    network = wires.create("network")["id"]
    segment = add(wires, network, "vxlan")["id"]
    elsewhere = add(wires, wires.create("network")["id"], "vxlan")["id"]
    subnet = {"network_id": network, "cidr": "10.0.0.0/24", "ip_version": 4}
    made = wires.create("subnet", **subnet, segment_id=segment)
    assert wires.show("subnet", made["id"])["segment_id"] == segment
    assert [s["id"] for s in wires.list("subnet", f"segment_id={segment}")] == [made["id"]]

    subnet["cidr"] = "10.0.1.0/24"
    for id, status, error in (
        (UNKNOWN, 404, "SegmentNotFound"),
        (elsewhere, 400, "NetworkIdsDontMatch"),
        ("x", 400, "HTTPBadRequest"),
        (None, 400, "SubnetsNotAllAssociatedWithSegments"),
    ):
        body = {"subnet": {**subnet, "segment_id": id}}
        wires.refused(status, error, "POST", "/v2.0/subnets", body)

    path = f"/v2.0/segments/{segment}"
    assert made["id"] in wires.refused(409, "SegmentInUse", "DELETE", path)
    wires.delete("subnet", made["id"])
    bare = wires.create("subnet", **subnet)
    assert bare["segment_id"] is None
    body = {"subnet": {**subnet, "cidr": "10.0.2.0/24", "segment_id": segment}}
    wires.refused(400, "SubnetsNotAllAssociatedWithSegments", "POST", "/v2.0/subnets", body)
    wires.delete("subnet", bare["id"])
    wires.create("subnet", **subnet, segment_id=segment)
    wires.delete("network", network)
    assert wires.list("subnet") == []


def test_a_subnet_is_put_on_the_segment_that_its_network_has(wires: Api) -> None:
    """So a network that was made without a thought of segments gets several."""
    network = wires.create("network", **wire("vxlan"))
    id = network["id"]
    vni = network["provider:segmentation_id"]
    segment = add(wires, id, "vxlan", segmentation_id=vni)["id"]
    subnet = {"network_id": id, "cidr": "10.0.0.0/24", "ip_version": 4}
    one = wires.create("subnet", **subnet)["id"]
    path = f"/v2.0/subnets/{one}"
    for wrong, status, error in ((UNKNOWN, 404, "SegmentNotFound"), ("x", 400, "HTTPBadRequest")):
        wires.refused(status, error, "PUT", path, {"subnet": {"segment_id": wrong}})
    assert wires.show("network", id)["l2_adjacency"] is True
    two = wires.create("subnet", **{**subnet, "cidr": "10.0.1.0/24"})["id"]
    body = {"subnet": {"segment_id": segment}}
    wires.refused(400, "SubnetsNotAllAssociatedWithSegments", "PUT", path, body)
    wires.delete("subnet", two)
    assert wires.update("subnet", one, segment_id=segment)["segment_id"] == segment
    assert wires.show("network", id)["l2_adjacency"] is False
    assert wires.update("subnet", one, segment_id=segment, name="x")["name"] == "x"
    for other in (None, add(wires, id, "geneve")["id"]):
        body = {"subnet": {"segment_id": other}}
        wires.refused(400, "SubnetSegmentAssociationChangeNotAllowed", "PUT", path, body)
    wires.refused(409, "SegmentInUse", "DELETE", f"/v2.0/segments/{segment}")


def test_of_several_segments_a_subnet_is_not_put_on_one_later(wires: Api) -> None:
    id = wires.create("network")["id"]
    body = {"network_id": id, "cidr": "10.0.0.0/24", "ip_version": 4}
    subnet = wires.create("subnet", **body)["id"]
    change = {"subnet": {"segment_id": add(wires, id, "vxlan")["id"]}}
    error = "NoUpdateSubnetWhenMultipleSegmentsOnNetwork"
    wires.refused(400, error, "PUT", f"/v2.0/subnets/{subnet}", change)


def test_segments_are_for_admins(make_api: Callable[..., Api]) -> None:
    now = admin = caller("red", "admin")
    tenant = caller("red")
    api = make_api(extension(), authenticate=lambda request: now)
    network = api.create("network")["id"]
    segment = add(api, network, "vxlan")["id"]
    now = tenant
    assert api.list("segment") == []
    body = {"segment": {"network_id": network, "network_type": "geneve"}}
    api.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/segments", body)
    for method in ("GET", "PUT", "DELETE"):
        api.refused(
            404, "SegmentNotFound", method, f"/v2.0/segments/{segment}", {"segment": {"name": "x"}}
        )
    listed = {"network": {SEGMENTS: [wire("local"), wire("vxlan")]}}
    api.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/networks", listed)
    subnet = {"network_id": network, "cidr": "10.0.0.0/24", "ip_version": 4, "segment_id": segment}
    # Neutron has a rule for it, and asks it of nobody: its map does not say enforce_policy.
    assert api.request("POST", "/v2.0/subnets", {"subnet": subnet})[0] == 201
    api.delete("network", network)
    now = admin
    assert api.list("segment") == []


@pytest.mark.parametrize(
    "alias",
    [
        *("provider", "multi-provider", "segment", "standard-attr-segment"),
        *("l2_adjacency", "subnet-segmentid-writable"),
    ],
)
def test_the_extensions_are_listed(api: Api, alias: str) -> None:
    status, answer = api.request("GET", f"/v2.0/extensions/{alias}")
    assert (status, answer["extension"]["alias"]) == (200, alias)


def test_the_openstack_client_drives_overlays_and_segments(client: Client, api: Api) -> None:
    overlay, named, geneve, added, listed, shown, renamed, subnet, network = client.run(
        "network create --provider-network-type vxlan blue -f json",
        "network create --provider-network-type vxlan --provider-segment 77 red -f json",
        "network create --provider-network-type geneve green -f json",
        "network segment create --network blue --network-type vlan --physical-network p1 "
        "--segment 7 --description wire room -f json",
        "network segment list --network blue --long -f json",
        "network segment show room -f json",
        "network segment set --name hall room",
        "network segment show hall -f json",
        "subnet create --network blue --subnet-range 10.0.0.0/24 --network-segment hall "
        "four -f json",
        "network show blue -f json",
    )
    assert (overlay["provider:network_type"], overlay["mtu"]) == ("vxlan", 1450)
    assert overlay["provider:segmentation_id"] == 1
    assert named["provider:segmentation_id"] == 77
    assert (geneve["provider:network_type"], geneve["mtu"]) == ("geneve", 1442)
    assert (added["physical_network"], added["segmentation_id"]) == ("p1", 7)
    assert {(row["Network Type"], row["Segment"], row["Physical Network"]) for row in listed} == {
        ("vxlan", 1, None),
        ("vlan", 7, "p1"),
    }
    assert (shown["id"], shown["description"]) == (added["id"], "wire")
    assert (renamed["id"], renamed["name"]) == (added["id"], "hall")
    assert subnet["segment_id"] == added["id"]
    assert network["provider:network_type"] is None
    assert network["segments"] == [whole("vxlan", None, 1), whole("vlan", "p1", 7)]
    client.run("subnet delete four", "network segment delete hall", "network delete blue red green")
    assert api.list("segment") == []
    assert api.list("network") == []
