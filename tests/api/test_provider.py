"""Provider networks: which wire, said by an admin or allocated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.provider.resources import PHYSICAL_NETWORK, SEGMENTATION_ID, TYPE, extension
from controller.api.auth import Context
from tests.api.conftest import Api


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


def test_the_wire_never_changes(vlans: Api) -> None:
    network = vlans.create("network", **wire("vlan", "p1", 7))
    path = f"/v2.0/networks/{network['id']}"
    message = vlans.refused(400, "InvalidInput", "PUT", path, {"network": wire("vlan", "p1", 8)})
    assert "does not support updating" in message
    same = vlans.update("network", network["id"], name="x", **wire("vlan", "p1", 7))
    assert seen(same) == seen(network)


def test_only_admins_say_which_wire(make_api: Callable[..., Api]) -> None:
    tenant = Context(project_id="red", actor="red", is_admin=False)
    api = make_api(extension(), authenticate=lambda request: tenant)
    body = {"network": wire("flat", "p1")}
    api.refused(403, "AdminRequired", "POST", "/v2.0/networks", body)
    api.create("network")
