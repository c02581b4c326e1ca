# SPDX-License-Identifier: Apache-2.0

"""Subnets: the address plan, IPv4 and IPv6."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api


@pytest.fixture
def blue(api: Api) -> str:
    return str(api.create("network")["id"])


def pools(*ranges: str) -> list[dict[str, str]]:
    return [dict(zip(("start", "end"), text.split("-"), strict=True)) for text in ranges]


@pytest.mark.parametrize(
    ("request_", "cidr", "gateway", "expected"),
    [
        ({"cidr": "10.0.0.0/24"}, "10.0.0.0/24", "10.0.0.1", ["10.0.0.2-10.0.0.254"]),
        ({"cidr": "10.0.0.77/24"}, "10.0.0.0/24", "10.0.0.1", ["10.0.0.2-10.0.0.254"]),
        (
            {"cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.100"},
            "10.0.0.0/24",
            "10.0.0.100",
            ["10.0.0.1-10.0.0.99", "10.0.0.101-10.0.0.254"],
        ),
        (
            {"cidr": "10.0.0.0/24", "gateway_ip": None},
            "10.0.0.0/24",
            None,
            ["10.0.0.1-10.0.0.254"],
        ),
        (
            {"cidr": "10.0.0.0/24", "gateway_ip": "192.0.2.1"},
            "10.0.0.0/24",
            "192.0.2.1",
            ["10.0.0.1-10.0.0.254"],
        ),
        ({"cidr": "10.0.0.0/30"}, "10.0.0.0/30", "10.0.0.1", ["10.0.0.2-10.0.0.2"]),
        ({"cidr": "10.0.0.0/31"}, "10.0.0.0/31", "10.0.0.1", ["10.0.0.0-10.0.0.0"]),
        ({"cidr": "10.0.0.9/32"}, "10.0.0.9/32", None, ["10.0.0.9-10.0.0.9"]),
        (
            {"cidr": "2001:DB8:0::1/64"},
            "2001:db8::/64",
            "2001:db8::1",
            ["2001:db8::2-2001:db8::ffff:ffff:ffff:ffff"],
        ),
        (
            {"cidr": "2001:db8::/64", "gateway_ip": "fe80::1"},
            "2001:db8::/64",
            "fe80::1",
            ["2001:db8::1-2001:db8::ffff:ffff:ffff:ffff"],
        ),
        ({"cidr": "2001:db8::/127"}, "2001:db8::/127", "2001:db8::1", ["2001:db8::-2001:db8::"]),
        ({"cidr": "2001:db8::9/128"}, "2001:db8::9/128", None, ["2001:db8::9-2001:db8::9"]),
    ],
)
def test_gateway_and_pools_follow_from_the_cidr(
    api: Api, blue: str, request_: dict[str, Any], cidr: str, gateway: str, expected: list[str]
) -> None:
    version = 6 if ":" in cidr else 4
    subnet = api.create(
        "subnet", network_id=blue, ip_version=version, enable_dhcp=False, **request_
    )
    assert (subnet["cidr"], subnet["gateway_ip"]) == (cidr, gateway)
    assert subnet["allocation_pools"] == pools(*expected)


FOUR = {"cidr": "10.0.0.0/24", "ip_version": 4}
SIX = {"cidr": "2001:db8::/64", "ip_version": 6}


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        ({"ip_version": 4}, 400, "BadRequest", "in the absence of a cidr"),
        ({**FOUR, "ip_version": 6}, 400, "InvalidInput", "does not match the ip_version '6'"),
        ({**FOUR, "ip_version": 5}, 400, "HTTPBadRequest", "ip_version"),
        ({**FOUR, "cidr": "10.0.0.0/33"}, 400, "InvalidInput", "not in a CIDR format"),
        ({**FOUR, "cidr": "0.0.0.0/0"}, 400, "InvalidInput", "0 is not allowed"),
        ({**FOUR, "cidr": 7}, 400, "HTTPBadRequest", "'7' is malformed"),
        ({**FOUR, "cidr": "10.0.0.0/31"}, 400, "InvalidInput", "incompatible with DHCP"),
        ({**SIX, "cidr": "2001:db8::/127"}, 400, "InvalidInput", "incompatible with DHCP"),
        ({**FOUR, "cidr": "224.0.0.0/24"}, 400, "InvalidInput", "Multicast"),
        ({**FOUR, "cidr": "127.0.0.0/8"}, 400, "InvalidInput", "Loopback"),
        ({**FOUR, "cidr": "0.0.0.0/8"}, 400, "InvalidInput", "First IP"),
        ({**FOUR, "prefixlen": 24}, 400, "BadRequest", "must not be supplied together"),
        ({**FOUR, "gateway_ip": "10.0.0.0"}, 400, "InvalidInput", "Gateway is not valid"),
        ({**FOUR, "gateway_ip": "10.0.0.255"}, 400, "InvalidInput", "Gateway is not valid"),
        ({**FOUR, "gateway_ip": "2001:db8::1"}, 400, "InvalidInput", "does not match"),
        ({**FOUR, "gateway_ip": "ten"}, 400, "HTTPBadRequest", "not a valid IP address"),
        (
            {**FOUR, "allocation_pools": pools("10.0.0.1-10.0.0.9")},
            409,
            "GatewayConflictWithAllocationPools",
            "Gateway ip 10.0.0.1 conflicts with allocation pool 10.0.0.1-10.0.0.9",
        ),
        (
            {**FOUR, "allocation_pools": pools("10.0.0.2-10.0.1.9")},
            400,
            "OutOfBoundsAllocationPool",
            "spans beyond the subnet cidr 10.0.0.0/24",
        ),
        (
            {**FOUR, "allocation_pools": pools("10.0.0.2-10.0.0.9", "10.0.0.9-10.0.0.10")},
            409,
            "OverlappingAllocationPools",
            "Found overlapping allocation pools",
        ),
        (
            {**FOUR, "allocation_pools": pools("10.0.0.9-10.0.0.2")},
            400,
            "InvalidAllocationPool",
            "10.0.0.9-10.0.0.2 is not valid",
        ),
        (
            {**FOUR, "allocation_pools": pools("2001:db8::2-2001:db8::3")},
            400,
            "InvalidAllocationPool",
            "is not valid",
        ),
        ({**FOUR, "allocation_pools": ["x"]}, 400, "InvalidInput", "allocation pools"),
        (
            {**FOUR, "dns_nameservers": ["10.0.0.5", "10.0.0.5"]},
            400,
            "HTTPBadRequest",
            "Duplicate nameserver",
        ),
        ({**FOUR, "dns_nameservers": ["2001:db8::5"]}, 400, "InvalidInput", "does not match"),
        ({**FOUR, "dns_nameservers": {"10.0.0.5": 1}}, 400, "InvalidInput", "Invalid data format"),
        (
            {**FOUR, "dns_nameservers": [f"10.0.0.{n}" for n in range(6)]},
            400,
            "DNSNameServersExhausted",
            "exceeds the limit 5",
        ),
        (
            {**FOUR, "host_routes": [{"destination": "10.1.0.0/16", "nexthop": "2001:db8::1"}]},
            400,
            "InvalidInput",
            "nexthop '2001:db8::1' does not match",
        ),
        (
            {**FOUR, "host_routes": [{"destination": "10.1.0.0/16", "nexthop": "10.0.0.9"}] * 2},
            400,
            "HTTPBadRequest",
            "Duplicate hostroute",
        ),
        ({**FOUR, "ipv6_ra_mode": "slaac"}, 400, "InvalidInput", "not valid when ip_version is 4"),
        (
            {**SIX, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "dhcpv6-stateful"},
            400,
            "InvalidInput",
            "they must be the same value",
        ),
        (
            {**SIX, "ipv6_ra_mode": "slaac", "enable_dhcp": False},
            400,
            "InvalidInput",
            "cannot be set when enable_dhcp",
        ),
        (
            {**SIX, "cidr": "2001:db8::/80", "ipv6_address_mode": "slaac"},
            400,
            "InvalidInput",
            "requires the prefix to be /64",
        ),
        (
            {**FOUR, "subnetpool_id": "4b0c3d5a-0f2b-4a53-a3d9-d1f0a6bb2b60"},
            404,
            "SubnetPoolNotFound",
            "could not be found",
        ),
    ],
)
def test_what_is_wrong_is_refused(
    api: Api, blue: str, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    body = {"subnet": {"network_id": blue, **attributes}}
    assert message in api.refused(status, error, "POST", "/v2.0/subnets", body)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("10.0.0.0/24", "10.0.0.128/25"),
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("2001:db8::/64", "2001:db8::/32"),
    ],
)
def test_subnets_of_a_network_do_not_overlap(api: Api, blue: str, one: str, other: str) -> None:
    version = 6 if ":" in one else 4
    api.create("subnet", network_id=blue, cidr=one, ip_version=version)
    body = {"subnet": {"network_id": blue, "cidr": other, "ip_version": version}}
    message = api.refused(400, "InvalidInput", "POST", "/v2.0/subnets", body)
    assert "overlaps with another subnet" in message
    elsewhere = api.create("network")["id"]
    api.create("subnet", network_id=elsewhere, cidr=other, ip_version=version)


def test_update_checks_as_create_does(api: Api, network: str) -> None:
    (four,) = api.list("subnet", "name=four")
    path = f"/v2.0/subnets/{four['id']}"
    updated = api.update(
        "subnet",
        four["id"],
        gateway_ip="10.0.0.253",
        allocation_pools=pools("10.0.0.20-10.0.0.30"),
        dns_nameservers=["10.0.0.53"],
        host_routes=[{"destination": "10.1.0.0/16", "nexthop": "10.0.0.9"}],
    )
    assert updated["gateway_ip"] == "10.0.0.253"
    assert api.create("port", network_id=network)["fixed_ips"][0]["ip_address"] == "10.0.0.20"
    body: dict[str, Any] = {"subnet": {"gateway_ip": "10.0.0.25"}}
    api.refused(409, "GatewayConflictWithAllocationPools", "PUT", path, body)
    body = {"subnet": {"cidr": "10.0.0.0/16"}}
    message = api.refused(400, "HTTPBadRequest", "PUT", path, body)
    assert message == "Cannot update read-only attribute cidr"


def test_a_subnet_with_addresses_in_use_cannot_go(api: Api, network: str) -> None:
    (four,) = api.list("subnet", "name=four")
    port = api.create("port", network_id=network, fixed_ips=[{"subnet_id": four["id"]}])
    message = api.refused(409, "SubnetInUse", "DELETE", f"/v2.0/subnets/{four['id']}")
    assert port["id"] in message
    api.delete("port", port["id"])
    api.delete("subnet", four["id"])


def test_hosts_configure_themselves_on_a_slaac_subnet(api: Api, network: str) -> None:
    mac, address = "fa:16:3e:01:02:03", "2001:db8:1:0:f816:3eff:fe01:203"
    port = api.create("port", network_id=network, mac_address=mac)
    router = api.create("port", network_id=network, device_owner="network:router_interface")
    slaac = api.create(
        "subnet",
        network_id=network,
        cidr="2001:db8:1::/64",
        ip_version=6,
        ipv6_ra_mode="slaac",
        ipv6_address_mode="slaac",
    )["id"]
    fixed_ip = {"subnet_id": slaac, "ip_address": address}
    after = api.show("port", port["id"])
    assert after["fixed_ips"] == [*port["fixed_ips"], fixed_ip]
    assert after["revision_number"] == port["revision_number"] + 1
    assert api.show("port", router["id"]) == router

    moved = api.update("port", port["id"], mac_address="fa:16:3e:01:02:04")["fixed_ips"]
    assert moved == [*port["fixed_ips"], {**fixed_ip, "ip_address": address[:-1] + "4"}]
    body = {"port": {"fixed_ips": [{"subnet_id": slaac, "ip_address": "2001:db8:1::5"}]}}
    path = f"/v2.0/ports/{port['id']}"
    api.refused(400, "AllocationOnAutoAddressSubnet", "PUT", path, body)
    only = api.update("port", port["id"], fixed_ips=[])["fixed_ips"]
    assert [ip["subnet_id"] for ip in only] == [slaac]
    api.delete("subnet", slaac)
    assert api.show("port", port["id"])["fixed_ips"] == []
