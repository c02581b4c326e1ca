# SPDX-License-Identifier: Apache-2.0

"""DHCP options of ports."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry.apps.dhcp.resources import MAX_OPTIONS
from tests.api.conftest import Api, path


def option(name: object, value: object, version: int = 4) -> dict[str, Any]:
    return {"opt_name": name, "opt_value": value, "ip_version": version}


def test_options_by_name_and_number(api: Api, network: str) -> None:
    asked = [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
        {"opt_name": "150", "opt_value": "10.0.0.5", "ip_version": "4"},
        option("59", "tftp://[2001:db8::5]/x", 6),
        option("router", ""),
        option("mtu", None),
        {"opt_name": "server-ip-address", "opt_value": "2015::badd"},
        {"opt_name": "tag:!ipxe,tag:!ipxe6,67", "opt_value": "undionly.kpxe"},
        {"opt_name": "tag:ipxe,67", "opt_value": "http://10.0.0.5/boot.ipxe"},
    ]
    port = api.create("port", network_id=network, extra_dhcp_opts=asked)
    assert port["extra_dhcp_opts"] == [
        option("bootfile-name", "pxelinux.0"),
        option("150", "10.0.0.5"),
        option("59", "tftp://[2001:db8::5]/x", 6),
        option("router", ""),
        option("server-ip-address", "2015::badd"),
        option("tag:!ipxe,tag:!ipxe6,67", "undionly.kpxe"),
        option("tag:ipxe,67", "http://10.0.0.5/boot.ipxe"),
    ]
    assert api.create("port", network_id=network)["extra_dhcp_opts"] == []


def test_an_update_changes_what_it_names_and_null_removes(api: Api, network: str) -> None:
    before = [option("mtu", "1400"), option("67", "a"), option("67", "b", 6)]
    id = api.create("port", network_id=network, extra_dhcp_opts=before)["id"]

    def update(value: object) -> Any:
        return api.update("port", id, extra_dhcp_opts=value)["extra_dhcp_opts"]

    assert update([option("67", "c"), option("ntp-server", "10.0.0.9")]) == [
        option("mtu", "1400"),
        option("67", "c"),
        option("67", "b", 6),
        option("ntp-server", "10.0.0.9"),
    ]
    assert update([option("67", None), option("tftp-server", None)]) == [
        option("mtu", "1400"),
        option("67", "b", 6),
        option("ntp-server", "10.0.0.9"),
    ]
    head = api.store.head
    for nothing in ([], None, [option("mtu", "1400")]):
        assert len(update(nothing)) == 3
    assert api.update("port", id)["extra_dhcp_opts"] == update([])
    assert api.store.head == head


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([option("0", "x")], "neither the name nor the number"),
        ([option("067", "x")], "neither the name nor the number"),
        ([option("255", "x")], "255 is not in 1..254 (IPv4)"),
        ([option("65536", "x", 6)], "65536 is not in 1..65535 (IPv6)"),
        ([option("Router Name", "x")], "neither the name nor the number"),
        ([option("option:mtu", "x")], "has a prefix"),
        ([option("tag:ipxe,option:67", "x")], "has a prefix"),
        ([option("tag:red,67", "x")], "'tag:red'"),
        ([option("ipxe,67", "x")], "tag:ipxe and tag:!ipxe"),
        ([option("tag:,67", "x")], "no condition"),
        ([option("tag:ipxe,", "x")], "neither the name nor the number"),
        ([option("tag:ipxe,53", "x")], "for the protocol alone"),
        ([option("mtu", "")], "No valid key specs"),
        ([option("mtu", "1\n2")], "No valid key specs"),
        ([option("mtu", "1\x1b")], "not printable"),
        ([option("router", "1\n")], "not printable"),
        ([option("bootfile-name", "é")], "not printable"),
        ([option("mtu", "1" * 256)], "No valid key specs"),
        ([option("m" * 65, "1")], "No valid key specs"),
        ([option(67, "1")], "No valid key specs"),
        ([option("mtu", 1400)], "No valid key specs"),
        ([option("mtu", "1400", 5)], "No valid key specs"),
        ([{"opt_name": "mtu"}], "No valid key specs"),
        (["mtu"], "No valid key specs"),
        ({"mtu": "1400"}, "not a list"),
        ([option("mtu", "x")], "'x' is no value of DHCP option 'mtu'"),
        ([option("server-ip-address", "boot.example")], "no value of DHCP option"),
        ([option("server-ip-address", "10.0.0.1", 6)], "no value of DHCP option"),
        ([option("dns-server", "10.0.0.1", 6)], "no value of DHCP option"),
        ([option("53", "1")], "for the protocol alone"),
        ([option("unheard-of", "1")], "neither the name nor the number"),
        ([option("bootfile-url", "x")], "neither the name nor the number"),
        ([option(str(n), "x") for n in range(176, MAX_OPTIONS + 177)], f"at most {MAX_OPTIONS}"),
    ],
)
def test_what_is_wrong_is_refused(api: Api, network: str, options: object, message: str) -> None:
    body = {"port": {"network_id": network, "extra_dhcp_opts": options}}
    assert message in api.refused(400, "InvalidInput", "POST", path("port"), body)
    id = api.create("port", network_id=network)["id"]
    body = {"port": {"extra_dhcp_opts": options}}
    assert message in api.refused(400, "InvalidInput", "PUT", path("port", id), body)
