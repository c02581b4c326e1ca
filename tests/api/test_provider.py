# SPDX-License-Identifier: Apache-2.0

"""Provider networks: which wire, said by an admin or allocated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenantry.apps.provider import PROVIDER
from tenantry.apps.provider.resources import extension
from tenantry.apps.provider.segments import PHYSICAL_NETWORK, SEGMENTATION_ID, TYPE
from tenantry.controller import config
from tenantry.controller.api import application as neutron
from tenantry.controller.api.core import mtu
from tenantry.controller.api.kind import Kinds
from tenantry.controller.cli import features
from tenantry.controller.store import Claim, Draft
from tests.api.conftest import Api, caller


def wire(type: object = None, physical: object = None, vlan: object = None) -> dict[str, Any]:
    named = {TYPE: type, PHYSICAL_NETWORK: physical, SEGMENTATION_ID: vlan}
    return {name: value for name, value in named.items() if value is not None}


def seen(network: dict[str, Any]) -> tuple[Any, ...]:
    return network[TYPE], network[PHYSICAL_NETWORK], network[SEGMENTATION_ID]


@pytest.fixture
def vlans(make_api: Callable[..., Api]) -> Api:
    """Tenant networks are VLANs 5 and 6 of p1, then 9 of p2; p3 has no ranges."""
    return make_api(
        extension(
            tenant_network_type="vlan",
            vlan_ranges={"p1": [(5, 6)], "p2": [(9, 9)]},
            physical_networks=["p1", "p2", "p3"],
        )
    )


def test_tenant_networks_get_the_first_free_vlan(vlans: Api) -> None:
    networks = [vlans.create("network") for _ in range(3)]
    assert [seen(n) for n in networks] == [("vlan", "p1", 5), ("vlan", "p1", 6), ("vlan", "p2", 9)]
    message = vlans.refused(503, "NoNetworkAvailable", "POST", "/v2.0/networks", {"network": {}})
    assert "No project network is available" in message
    vlans.delete("network", networks[1]["id"])
    assert seen(vlans.create("network")) == ("vlan", "p1", 6)


def test_without_ranges_tenant_networks_are_local(api: Api) -> None:
    assert seen(api.create("network")) == ("local", None, None)


def test_an_admin_says_which_wire(vlans: Api) -> None:
    assert seen(vlans.create("network", **wire("flat", "p1"))) == ("flat", "p1", None)
    assert seen(vlans.create("network", **wire("vlan", "p3", 4094))) == ("vlan", "p3", 4094)
    assert seen(vlans.create("network", **wire("vlan", "p1", "4094"))) == ("vlan", "p1", 4094)
    assert seen(vlans.create("network", **wire("vlan", "p2"))) == ("vlan", "p2", 9)
    assert seen(vlans.create("network", **wire("vlan"))) == ("vlan", "p1", 5)
    assert seen(vlans.create("network", **wire("local"))) == ("local", None, None)


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        (wire("vlan", "p1", 7), 409, "VlanIdInUse", "VLAN 7 on physical network p1 is in use"),
        (wire("flat", "p1"), 409, "FlatNetworkInUse", "Physical network p1 is in use"),
        (wire("vlan", "p1", 0), 400, "InvalidInput", "out of range (1 through 4094)"),
        (wire("vlan", "p1", 4095), 400, "InvalidInput", "out of range (1 through 4094)"),
        (wire("vlan", "p1", "x"), 400, "InvalidInput", "'x' is not an integer"),
        (wire("vlan", "p9", 1), 400, "InvalidInput", "Unknown physical_network 'p9'"),
        (wire("vlan", "p9"), 400, "InvalidInput", "Unknown physical_network 'p9'"),
        (wire("vlan", "p3"), 503, "NoNetworkAvailable", "No project network"),
        (wire("vlan", None, 7), 400, "InvalidInput", "requires physical_network"),
        (wire("flat"), 400, "InvalidInput", "physical_network required"),
        (wire("flat", "p9"), 400, "InvalidInput", "Unknown physical_network 'p9'"),
        (wire("flat", "p2", 1), 400, "InvalidInput", "segmentation_id prohibited for flat"),
        (wire("local", "p1"), 400, "InvalidInput", "physical_network prohibited for local"),
        (wire("token-ring"), 400, "InvalidInput", "'token-ring' not supported"),
        (wire(None, "p1", 9), 400, "InvalidInput", "network_type required"),
        (wire(["vlan"]), 400, "HTTPBadRequest", "network_type"),
    ],
)
def test_what_is_wrong_is_refused(
    vlans: Api, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    vlans.create("network", **wire("vlan", "p1", 7))
    vlans.create("network", **wire("flat", "p1"))
    body = {"network": attributes}
    assert message in vlans.refused(status, error, "POST", "/v2.0/networks", body)


def test_a_bulk_request_cannot_take_a_vlan_twice(vlans: Api) -> None:
    body = {"networks": [wire("vlan", "p1", 7)] * 2}
    vlans.refused(409, "VlanIdInUse", "POST", "/v2.0/networks", body)
    assert vlans.list("network") == []


def test_the_wire_never_changes_but_for_the_tag(vlans: Api) -> None:
    network = vlans.create("network", **wire("vlan", "p1", 7))
    path = f"/v2.0/networks/{network['id']}"
    for other in (wire("vlan", "p2", 7), wire("flat", "p1")):
        message = vlans.refused(400, "InvalidInput", "PUT", path, {"network": other})
        assert "does not support updating" in message
    (segment,) = vlans.list("segment")
    taken = vlans.create("network", **wire("vlan", "p1", 9))
    again = {"network": {SEGMENTATION_ID: 9}}
    vlans.refused(409, "VlanIdInUse", "PUT", path, again)
    vlans.refused(400, "InvalidInput", "PUT", path, {"network": {SEGMENTATION_ID: 4095}})
    assert seen(vlans.update("network", network["id"], **{SEGMENTATION_ID: 8}))[2] == 8
    assert vlans.show("segment", segment["id"])["segmentation_id"] == 8
    vlans.update("network", taken["id"], **{SEGMENTATION_ID: 7})
    vlans.update("network", network["id"], **{SEGMENTATION_ID: 9})
    vlans.delete("network", taken["id"])
    vlans.update("network", network["id"], **{SEGMENTATION_ID: 7})
    several = vlans.create("network", segments=[wire("vlan", "p1", 8), wire("local")])
    path = f"/v2.0/networks/{several['id']}"
    vlans.refused(400, "InvalidInput", "PUT", path, again)
    same = vlans.update("network", network["id"], name="x", **wire("vlan", "p1", 7))
    assert seen(same) == seen(network)


def test_only_admins_say_which_wire(make_api: Callable[..., Api]) -> None:
    tenant = caller("red")
    api = make_api(extension(), authenticate=lambda request: tenant)
    body = {"network": wire("flat", "p1")}
    api.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/networks", body)
    api.create("network")


@pytest.fixture
def overlays(make_api: Callable[..., Api]) -> Api:
    """Tenant networks are VXLAN with VNI 7, 8, or 20; Geneve networks have those of their own."""
    return make_api(
        extension(tenant_network_type="vxlan", vni_ranges=[(7, 8), (20, 20)], physical_networks=[])
    )


def test_each_overlay_has_vnis_of_its_own(overlays: Api) -> None:
    networks = [overlays.create("network") for _ in range(3)]
    assert [seen(n) for n in networks] == [("vxlan", None, vni) for vni in (7, 8, 20)]
    overlays.refused(503, "NoNetworkAvailable", "POST", "/v2.0/networks", {"network": {}})
    assert seen(overlays.create("network", **wire("geneve"))) == ("geneve", None, 7)
    assert seen(overlays.create("network", **wire("geneve", vlan=20))) == ("geneve", None, 20)
    assert seen(overlays.create("network", **wire("geneve", vlan=9))) == ("geneve", None, 9)
    assert seen(overlays.create("network", **wire("geneve"))) == ("geneve", None, 8)
    assert seen(overlays.create("network", **wire("vxlan", "", 0xFFFFFF)))[2] == 0xFFFFFF
    assert seen(overlays.create("network", **wire("vxlan", vlan="1")))[2] == 1


def test_a_freed_vni_rests_and_a_vni_of_what_failed_does_not(overlays: Api) -> None:
    first = overlays.create("network")
    overlays.delete("network", first["id"])
    bad = {"networks": [{}, {"mtu": 9000}]}
    overlays.refused(400, "InvalidInput", "POST", "/v2.0/networks", bad)
    assert [seen(overlays.create("network"))[2] for _ in range(3)] == [8, 20, 7]


def test_a_vni_is_found_without_asking_for_all_that_are_taken(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(extension(tenant_network_type="vxlan", vni_ranges=[(1, 1000)]))
    status, _ = api.request("POST", "/v2.0/networks", {"networks": [{}] * 200})
    assert status == 201
    again = make_api(extension(tenant_network_type="vxlan", vni_ranges=[(1, 1000)]))  # a restart
    asked = 0
    owner = Draft.owner

    def counted(draft: Draft, claim: Claim) -> str | None:
        nonlocal asked
        asked += claim.kind == "segment"
        return owner(draft, claim)

    monkeypatch.setattr(Draft, "owner", counted)
    assert [seen(again.create("network"))[2] for _ in range(3)] == [201, 202, 203]
    assert asked < 15


@pytest.mark.parametrize("network_type", ["vxlan", "geneve"])
@pytest.mark.parametrize(
    ("physical", "vni", "status", "error", "message"),
    [
        (None, 9, 409, "TunnelIdInUse", "tunnel ID 9 is in use"),
        (None, 0, 400, "InvalidInput", "out of range (1 through 16777215)"),
        (None, 1 << 24, 400, "InvalidInput", "out of range (1 through 16777215)"),
        (None, -1, 400, "InvalidInput", "out of range (1 through 16777215)"),
        (None, "x", 400, "InvalidInput", "'x' is not an integer"),
        ("p1", None, 400, "InvalidInput", "physical_network prohibited for"),
        ("p1", 10, 400, "InvalidInput", "physical_network prohibited for"),
    ],
)
def test_what_is_wrong_of_an_overlay_is_refused(
    overlays: Api,
    network_type: str,
    physical: object,
    vni: object,
    status: int,
    error: str,
    message: str,
) -> None:
    overlays.create("network", **wire(network_type, vlan=9))
    body = {"network": wire(network_type, physical, vni)}
    assert message in overlays.refused(status, error, "POST", "/v2.0/networks", body)


def test_who_names_nothing_needs_not_be_an_admin(make_api: Callable[..., Api]) -> None:
    now = tenant = caller("red")
    api = make_api(extension(tenant_network_type="geneve"), authenticate=lambda request: now)
    network = api.create("network")
    assert not {TYPE, PHYSICAL_NETWORK, SEGMENTATION_ID} & network.keys()
    now = caller("red", "admin")
    assert seen(api.show("network", network["id"])) == ("geneve", None, 1)
    now = tenant
    body = {"network": wire("vxlan", vlan=5)}
    api.refused(403, "PolicyNotAuthorized", "POST", "/v2.0/networks", body)


@pytest.mark.parametrize(
    ("ip_version", "network_type", "most"),
    [
        (4, "local", 1500),
        (4, "vxlan", 1450),
        (6, "vxlan", 1430),
        (4, "geneve", 1442),
        (6, "geneve", 1422),
    ],
)
def test_an_overlay_carries_less_than_its_underlay(
    tmp_path: Path, ip_version: int, network_type: str, most: int
) -> None:
    others = neutron.kinds([extension()]).extensions[1:-1]
    kinds = Kinds([*others, mtu.extension(1500, {}, ip_version)])
    api = Api(f"sqlite:///{tmp_path}/tenantry.db", kinds)
    network = api.create("network", **wire(network_type))
    assert network["mtu"] == most
    body = {"network": {"mtu": most + 1}}
    path = f"/v2.0/networks/{network['id']}"
    assert f"maximum is {most}" in api.refused(400, "InvalidInput", "PUT", path, body)
    api.store.close()


def configured(tmp_path: Path, *lines: str) -> neutron.Extension:
    """The extension of the app, as options have it."""
    file = tmp_path / "tenantry.conf"
    file.write_text("\n".join(("[networks]", *lines)))
    extension = PROVIDER.build(features.load([str(file)])).extension
    assert extension is not None
    return extension


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], ("vxlan", None, 4096)),
        (["vni_ranges ="], ("local", None, None)),
        (["vlan_ranges = p1:5:6"], ("vlan", "p1", 5)),
        (["vlan_ranges = p1:5:6", "tenant_network_type = local"], ("local", None, None)),
        (["vlan_ranges = p1:5:6", "tenant_network_type = geneve"], ("geneve", None, 4096)),
        (["tenant_network_type = vxlan", "vni_ranges = 9:9,5:6"], ("vxlan", None, 9)),
    ],
)
def test_what_tenants_get_is_an_option(
    make_api: Callable[..., Api], tmp_path: Path, lines: list[str], expected: tuple[Any, ...]
) -> None:
    assert seen(make_api(configured(tmp_path, *lines)).create("network")) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["tenant_network_type = vlan"], "needs vlan_ranges"),
        (["tenant_network_type = vxlan", "vni_ranges ="], "needs vni_ranges"),
        (["tenant_network_type = flat"], "tenant_network_type"),
        (["vni_ranges = 0:5"], "must be FIRST:LAST"),
        (["vni_ranges = 5:4"], "must be FIRST:LAST"),
        (["vni_ranges = 5"], "must be FIRST:LAST"),
        (["vni_ranges = 1:16777216"], "1 <= FIRST <= LAST <= 16777215"),
        (["vlan_ranges = p1:5"], "must be PHYSICAL_NETWORK:FIRST:LAST"),
        (["vlan_ranges = p1:5:6:7"], "must be PHYSICAL_NETWORK:FIRST:LAST"),
        (["overlay_ip_version = 5"], "overlay_ip_version"),
    ],
)
def test_options_that_make_no_sense_are_named(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(config.ConfigError, match=message):
        configured(tmp_path, *lines)
