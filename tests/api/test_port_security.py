# SPDX-License-Identifier: Apache-2.0

"""Allowed address pairs: what else a port may say it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, path

MAC = "fa:16:3e:00:00:01"


def pair(ip: object, mac: object = None) -> dict[str, Any]:
    return {"ip_address": ip} if mac is None else {"ip_address": ip, "mac_address": mac}


def test_pairs_get_the_ports_mac_address(api: Api, network: str) -> None:
    pairs = [
        pair("10.0.0.77"),
        pair("10.9.0.0/16", "FA-16-3E-00-00-02"),
        pair("2001:db8::77", "fa:16:3e:00:00:02"),
        pair("2001:db8:1::/48"),
    ]
    port = api.create("port", network_id=network, mac_address=MAC, allowed_address_pairs=pairs)
    assert port["allowed_address_pairs"] == [
        pair("10.0.0.77", MAC),
        pair("10.9.0.0/16", "fa:16:3e:00:00:02"),
        pair("2001:db8::77", "fa:16:3e:00:00:02"),
        pair("2001:db8:1::/48", MAC),
    ]
    assert (
        api.update("port", port["id"], name="x")["allowed_address_pairs"]
        == (port["allowed_address_pairs"])
    )
    replaced = api.update("port", port["id"], allowed_address_pairs=[pair("10.0.0.78")])
    assert replaced["allowed_address_pairs"] == [pair("10.0.0.78", MAC)]
    assert api.update("port", port["id"], allowed_address_pairs=None)["allowed_address_pairs"] == []
    assert api.create("port", network_id=network)["allowed_address_pairs"] == []


@pytest.mark.parametrize(
    "of_group",
    [
        pair("10.0.0.77", "01:00:5e:00:00:01"),
        pair("10.0.0.77", "ff:ff:ff:ff:ff:ff"),
        pair("2001:db8::77", "33:33:00:00:00:01"),
        pair("224.0.0.5"),
        pair("239.0.0.0/8"),
        pair("ff02::5"),
        pair("ff00::/8"),
    ],
)
def test_a_group_is_nobodys_address(api: Api, network: str, of_group: dict[str, Any]) -> None:
    """aap-reject-multicast: nobody sends from a multicast address."""
    body = {"port": {"network_id": network, "allowed_address_pairs": [of_group]}}
    api.refused(400, "HTTPBadRequest", "POST", path("port"), body)
    port = api.create("port", network_id=network)["id"]
    change = {"port": {"allowed_address_pairs": [of_group]}}
    api.refused(400, "HTTPBadRequest", "PUT", path("port", port), change)
    _, offered = api.request("GET", "/v2.0/extensions")
    assert "aap-reject-multicast" in {one["alias"] for one in offered["extensions"]}


def test_pairs_need_port_security(api: Api, network: str) -> None:
    pairs = [pair("10.0.0.77")]
    attributes = {"allowed_address_pairs": pairs, "port_security_enabled": False}
    body = {"port": {"network_id": network, **attributes}}
    message = api.refused(409, "AddressPairAndPortSecurityRequired", "POST", path("port"), body)
    assert "Port Security must be enabled" in message
    port = api.create("port", network_id=network, allowed_address_pairs=pairs)["id"]
    refusal = 409, "AddressPairAndPortSecurityRequired", "PUT", path("port", port)
    api.refused(*refusal, {"port": {"port_security_enabled": False}})
    without = {"allowed_address_pairs": [], "security_groups": []}
    off = api.update("port", port, port_security_enabled=False, **without)
    assert off["allowed_address_pairs"] == []
    api.refused(*refusal, {"port": {"allowed_address_pairs": pairs}})
    api.update("port", port, port_security_enabled=True, allowed_address_pairs=pairs)

    insecure = api.create("network", port_security_enabled=False)["id"]
    body = {"port": {"network_id": insecure, "allowed_address_pairs": pairs}}
    api.refused(409, "AddressPairAndPortSecurityRequired", "POST", path("port"), body)


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ("10.0.0.77", "HTTPBadRequest", "must be a list"),
        ([{}], "AllowedAddressPairsMissingIP", "must contain ip_address"),
        ([{"mac_address": MAC}], "AllowedAddressPairsMissingIP", "must contain ip_address"),
        (["10.0.0.77"], "HTTPBadRequest", "not a dictionary"),
        ([pair("10.0.0.256")], "HTTPBadRequest", "not a valid IP address"),
        ([pair("10.0.0.0/33")], "HTTPBadRequest", "not a valid IP subnet"),
        ([pair("fe80::1%eth0")], "HTTPBadRequest", "not a valid IP address"),
        ([pair("224.0.0.1")], "HTTPBadRequest", "multicast"),
        ([pair("ff02::/16")], "HTTPBadRequest", "multicast"),
        ([pair(7)], "HTTPBadRequest", "malformed"),
        ([pair("10.0.0.77", "x")], "HTTPBadRequest", "not a valid MAC address"),
        ([pair("10.0.0.77", "01:00:5e:00:00:01")], "HTTPBadRequest", "multicast"),
        ([{**pair("10.0.0.77"), "port": 1}], "HTTPBadRequest", "Unrecognized attribute(s) 'port'"),
        ([pair("10.0.0.77")] * 2, "DuplicateAddressPairInRequest", "10.0.0.77"),
        ([pair("10.0.0.77"), pair("10.0.0.77", MAC)], "DuplicateAddressPairInRequest", MAC),
        ([pair("2001:db8::1"), pair("2001:DB8::0:1")], "DuplicateAddressPairInRequest", "0:1"),
        ([pair(f"10.0.0.{n}") for n in range(11)], "AllowedAddressPairExhausted", "maximum 10"),
    ],
)
def test_what_is_wrong_is_refused(
    api: Api, network: str, pairs: object, error: str, message: str
) -> None:
    port = {"network_id": network, "mac_address": MAC, "allowed_address_pairs": pairs}
    assert message in api.refused(400, error, "POST", path("port"), {"port": port})
    id = api.create("port", network_id=network, mac_address=MAC)["id"]
    body = {"port": {"allowed_address_pairs": pairs}}
    assert message in api.refused(400, error, "PUT", path("port", id), body)
