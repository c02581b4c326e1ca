# SPDX-License-Identifier: Apache-2.0

"""Which addresses a port gets: service types, service addresses, changes, exhaustion; and how many
there are left. Both families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller, path

CIDR = {4: "10.0.0.0/24", 6: "2001:db8::/64"}
LAST = {4: "10.0.0.254", 6: "2001:db8::ffff:ffff:ffff:ffff"}
SMALL = {4: "10.0.0.0/29", 6: "2001:db8::/125"}

both = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture
def blue(api: Api) -> str:
    return str(api.create("network", name="blue")["id"])


def subnet(api: Api, network: str, version: int, **attributes: Any) -> Any:
    attributes = {"cidr": CIDR[version], **attributes}
    return api.create("subnet", network_id=network, ip_version=version, **attributes)


def addresses(port: dict[str, Any]) -> list[str]:
    return [ip["ip_address"] for ip in port["fixed_ips"]]


def pools(*ranges: str) -> list[dict[str, str]]:
    return [dict(zip(("start", "end"), text.split("-"), strict=True)) for text in ranges]


# Service addresses


@both
def test_a_subnet_with_dhcp_keeps_its_last_address_for_services(
    api: Api, blue: str, version: int
) -> None:
    made = subnet(api, blue, version)
    assert made["service_address"] == LAST[version]
    body = {"port": {"network_id": blue, "fixed_ips": [{"ip_address": LAST[version]}]}}
    message = api.refused(409, "IpAddressAlreadyAllocated", "POST", path("port"), body)
    assert LAST[version] in message
    assert api.list("subnet", f"service_address={LAST[version]}") == [made]
    body = {"subnet": {"service_address": None}}
    api.refused(400, "HTTPBadRequest", "PUT", path("subnet", made["id"]), body)
    body = {"subnet": {"gateway_ip": LAST[version], "allocation_pools": []}}
    api.refused(409, "IpAddressAlreadyAllocated", "PUT", path("subnet", made["id"]), body)
    off = api.update("subnet", made["id"], enable_dhcp=False, allocation_pools=[])
    assert off["service_address"] == LAST[version], "it stays"
    api.delete("subnet", made["id"])
    subnet(api, blue, version, enable_dhcp=False)
    body = {"port": {"network_id": blue, "fixed_ips": [{"ip_address": LAST[version]}]}}
    assert api.request("POST", path("port"), body)[0] == 201


@both
def test_no_port_gets_the_service_address(api: Api, blue: str, version: int) -> None:
    made = subnet(api, blue, version, cidr=SMALL[version])
    free = {4: 5, 6: 6}[version] - 1
    given = [addresses(api.create("port", network_id=blue))[0] for _ in range(free)]
    assert made["service_address"] not in given
    body = {"port": {"network_id": blue}}
    api.refused(409, "IpAddressGenerationFailure", "POST", path("port"), body)


@both
def test_a_service_address_when_dhcp_is_switched_on(api: Api, blue: str, version: int) -> None:
    made = subnet(api, blue, version, enable_dhcp=False)
    assert made["service_address"] is None
    api.create("port", network_id=blue, fixed_ips=[{"ip_address": LAST[version]}])
    on = api.update("subnet", made["id"], enable_dhcp=True)
    assert on["service_address"] == {4: "10.0.0.253", 6: "2001:db8::ffff:ffff:ffff:fffe"}[version]


@both
def test_a_service_address_of_ones_own_choosing(api: Api, version: int) -> None:
    chosen, gateway = {4: ("10.0.0.77", "10.0.0.1"), 6: ("2001:db8::77", "2001:db8::1")}[version]
    for dhcp in (True, False):
        network = api.create("network")["id"]
        made = subnet(api, network, version, service_address=chosen, enable_dhcp=dhcp)
        assert made["service_address"] == chosen
    network = api.create("network")["id"]
    without = subnet(api, network, version, service_address=None)
    assert without["service_address"] is None
    network = api.create("network")["id"]
    for wrong, status, error in (
        (gateway, 409, "IpAddressAlreadyAllocated"),
        ({4: "10.0.0.255", 6: "2001:db8::"}[version], 400, "InvalidIpForSubnet"),
        ("192.0.2.1", 400, "InvalidIpForSubnet"),
        ("2001:db9::1", 400, "InvalidIpForSubnet"),
        ("x", 400, "HTTPBadRequest"),
    ):
        body = {
            "network_id": network,
            "cidr": CIDR[version],
            "ip_version": version,
            "service_address": wrong,
        }
        api.refused(status, error, "POST", path("subnet"), {"subnet": body})


def test_small_subnets_have_none_to_give_away(api: Api, blue: str) -> None:
    three = subnet(api, blue, 4, allocation_pools=pools("10.0.0.9-10.0.0.9", "10.0.0.4-10.0.0.5"))
    assert three["service_address"] is None
    four = subnet(
        api, blue, 6, allocation_pools=pools("2001:db8::9-2001:db8::9", "2001:db8::2-2001:db8::4")
    )
    assert four["service_address"] == "2001:db8::9"


def test_a_service_address_that_a_host_would_make_itself(api: Api, blue: str) -> None:
    api.create("port", network_id=blue, mac_address="fa:16:3e:01:02:03")
    body = {
        "network_id": blue,
        "cidr": CIDR[6],
        "ip_version": 6,
        "ipv6_address_mode": "slaac",
        "service_address": "2001:db8::f816:3eff:fe01:203",
    }
    api.refused(409, "AlreadyTaken", "POST", path("subnet"), {"subnet": body})


# Service types


@both
def test_subnets_serve_ports_of_their_owners(api: Api, blue: str, version: int) -> None:
    first, second, third = {
        4: ("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"),
        6: ("2001:db8::/64", "2001:db8:1::/64", "2001:db8:2::/64"),
    }[version]
    compute = subnet(api, blue, version, cidr=first, service_types=["compute:nova"] * 2)
    assert compute["service_types"] == ["compute:nova"]

    def where(owner: str, **attributes: Any) -> list[str]:
        port = api.create("port", network_id=blue, device_owner=owner, **attributes)
        return [ip["subnet_id"] for ip in port["fixed_ips"]]

    body = {"port": {"network_id": blue}}
    message = api.refused(
        409, "IpAddressGenerationFailureNoMatchingSubnet", "POST", path("port"), body
    )
    assert message.startswith("No valid service subnet for the given device owner")
    assert where("", fixed_ips=[]) == []
    assert where("compute:nova") == [compute["id"]]
    assert where("network:dhcp") == [compute["id"]], "DHCP is for all"

    anybody = subnet(api, blue, version, cidr=second)
    routers = subnet(
        api, blue, version, cidr=third, service_types=["network:router_gateway"], enable_dhcp=False
    )
    assert where("") == [anybody["id"]]
    assert where("compute:nova") == [compute["id"]]
    assert where("network:router_gateway") == [routers["id"]]
    for wrong in ({"subnet_id": compute["id"]}, {"ip_address": compute["gateway_ip"]}):
        status = 400, "InvalidInput" if "subnet_id" in wrong else "InvalidIpForNetwork"
        api.refused(*status, "POST", path("port"), {"port": {**body["port"], "fixed_ips": [wrong]}})
    assert api.update("subnet", compute["id"], service_types=[])["service_types"] == []
    assert where("") in ([compute["id"]], [anybody["id"]]), "both are made in the same second"


def test_a_port_keeps_its_address_when_its_owner_changes(api: Api, blue: str) -> None:
    subnet(api, blue, 4)
    special = subnet(api, blue, 6, service_types=["compute:nova"])
    port = api.create("port", network_id=blue, device_owner="compute:nova")
    kept = api.update("port", port["id"], device_owner="baremetal:none", name="x")
    assert kept["fixed_ips"] == port["fixed_ips"]
    again = api.update("port", port["id"], fixed_ips=[{"subnet_id": special["id"]}])
    assert again["fixed_ips"] == [
        ip for ip in port["fixed_ips"] if ip["subnet_id"] == special["id"]
    ]


@pytest.mark.parametrize(
    ("types", "error"),
    [
        (["x-men"], "InvalidSubnetServiceType"),
        ([7], "InvalidInputSubnetServiceType"),
        ("compute:nova", "HTTPBadRequest"),
    ],
)
def test_what_is_wrong_with_service_types_is_refused(
    api: Api, blue: str, types: object, error: str
) -> None:
    body = {"network_id": blue, "cidr": CIDR[4], "ip_version": 4, "service_types": types}
    api.refused(400, error, "POST", path("subnet"), {"subnet": body})


# What ports have and what is left


@both
def test_an_address_changes_and_is_free_again(api: Api, blue: str, version: int) -> None:
    subnet(api, blue, version)
    other = {4: "10.0.0.9", 6: "2001:db8::9"}[version]
    port = api.create("port", network_id=blue)
    (first,) = addresses(port)
    moved = api.update("port", port["id"], fixed_ips=[{"ip_address": other}])
    assert addresses(moved) == [other]
    assert addresses(api.create("port", network_id=blue)) == [first]
    api.delete("port", port["id"])
    assert addresses(api.create("port", network_id=blue, fixed_ips=[{"ip_address": other}])) == [
        other
    ]


@both
def test_a_subnet_without_a_gateway(api: Api, blue: str, version: int) -> None:
    made = subnet(api, blue, version, gateway_ip=None)
    assert made["gateway_ip"] is None
    first = {4: "10.0.0.1", 6: "2001:db8::1"}[version]
    assert addresses(api.create("port", network_id=blue)) == [first]
    body = {"subnet": {"gateway_ip": first}}
    api.refused(409, "GatewayConflictWithAllocationPools", "PUT", path("subnet", made["id"]), body)


@both
def test_when_all_addresses_are_taken(api: Api, blue: str, version: int) -> None:
    span = {4: "10.0.0.5-10.0.0.6", 6: "2001:db8::5-2001:db8::6"}[version]
    made = subnet(api, blue, version, allocation_pools=pools(span))
    ports = [api.create("port", network_id=blue) for _ in range(2)]
    for attributes in ({}, {"fixed_ips": [{"subnet_id": made["id"]}]}):
        body = {"port": {"network_id": blue, **attributes}}
        message = api.refused(409, "IpAddressGenerationFailure", "POST", path("port"), body)
        assert message == f"No more IP addresses available on network {blue}."
    api.delete("port", ports[0]["id"])
    assert addresses(api.create("port", network_id=blue)) == addresses(ports[0])


# How many are left

AVAILABILITY = "/v2.0/network-ip-availabilities"


def details(subnet: int, pool: int, used: int, used_of_pool: int) -> dict[str, int]:
    return {
        "total_ips_in_subnet": subnet,
        "total_ips_in_allocation_pool": pool,
        "used_ips_in_subnet": used,
        "used_ips_in_allocation_pool": used_of_pool,
    }


def test_availability_of_a_network(api: Api, network: str) -> None:
    api.create("port", network_id=network)
    status, answer = api.request("GET", f"{AVAILABILITY}/{network}")
    shown = answer["network_ip_availability"]
    four, six = api.list("subnet", "name=four") + api.list("subnet", "name=six")
    assert status == 200
    assert shown == {
        "network_id": network,
        "network_name": "blue",
        "project_id": "default",
        "tenant_id": "default",
        "total_ips": 253 + 2**64 - 2,
        "used_ips": 4,
        "ip_availability_details": details(254 + 2**64, 253 + 2**64 - 2, 4, 4),
        "subnet_ip_availability": [
            {
                "subnet_id": four["id"],
                "subnet_name": "four",
                "cidr": "10.0.0.0/24",
                "ip_version": 4,
                "total_ips": 253,
                "used_ips": 2,
                "ip_availability_details": details(254, 253, 2, 2),
            },
            {
                "subnet_id": six["id"],
                "subnet_name": "six",
                "cidr": "2001:db8::/64",
                "ip_version": 6,
                "total_ips": 2**64 - 2,
                "used_ips": 2,
                "ip_availability_details": details(2**64, 2**64 - 2, 2, 2),
            },
        ],
    }
    status, answer = api.request("GET", f"{AVAILABILITY}/{network}?fields=used_ips")
    assert answer["network_ip_availability"] == {"used_ips": 4}
    api.refused(404, "NetworkNotFound", "GET", f"{AVAILABILITY}/{network[:-1]}x")
    api.refused(405, "HTTPMethodNotAllowed", "POST", AVAILABILITY, {})


def test_availability_of_all_networks(api: Api, network: str) -> None:
    bare = api.create("network", name="bare", project_id="red")["id"]

    def listed(query: str) -> list[Any]:
        status, answer = api.request("GET", f"{AVAILABILITY}?{query}")
        assert status == 200, answer
        found: list[Any] = answer["network_ip_availabilities"]
        return found

    assert {item["network_id"] for item in listed("")} == {network, bare}
    for query, expected in {
        "network_name=bare": [bare],
        f"network_id={network}": [network],
        "tenant_id=red": [bare],
        "project_id=default": [network],
        "ip_version=4": [network],
        "network_name=bare&ip_version=6": [],
    }.items():
        assert [item["network_id"] for item in listed(query)] == expected, query
    (six,) = listed("ip_version=6")
    assert [subnet["ip_version"] for subnet in six["subnet_ip_availability"]] == [6]
    assert six["total_ips"] == 2**64 - 2
    (page,) = listed("limit=1")
    (rest,) = listed(f"limit=1&marker={page['network_id']}")
    assert {page["network_id"], rest["network_id"]} == {network, bare}
    api.refused(400, "HTTPBadRequest", "GET", f"{AVAILABILITY}?colour=red")


def test_only_operators_count_addresses(make_api: Callable[..., Api]) -> None:
    def authenticate(request: object) -> Context:
        project = request.headers["X-Project-Id"]  # type: ignore[attr-defined]
        return caller(project, "admin" if project == "operator" else "member")

    api = make_api(authenticate=authenticate)
    ids = {}
    for project in ("red", "green"):
        _, answer = api.request("POST", path("network"), {"network": {}}, X_Project_Id=project)
        ids[project] = answer["network"]["id"]
    _, answer = api.request("GET", AVAILABILITY, X_Project_Id="red")
    assert answer["network_ip_availabilities"] == []
    url = f"{AVAILABILITY}/{ids['green']}"
    for project in ("red", "green"):
        assert api.request("GET", url, X_Project_Id=project)[0] == 404
    assert api.request("GET", url, X_Project_Id="operator")[0] == 200


def test_availability_tells_what_is_inside_the_pools(api: Api) -> None:
    network = api.create("network")["id"]
    pools = [{"start": "10.0.0.10", "end": "10.0.0.19"}]
    named = {"network_id": network, "ip_version": 4}
    subnet = api.create("subnet", **named, cidr="10.0.0.0/28", allocation_pools=pools[:0])["id"]
    api.update("subnet", subnet, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.12"}])
    for address in ("10.0.0.9", "10.0.0.10", "10.0.0.12", "10.0.0.13"):
        api.create("port", network_id=network, fixed_ips=[{"ip_address": address}])
    api.create("subnet", **named, cidr="10.0.1.0/31", enable_dhcp=False, gateway_ip=None)
    _, answer = api.request("GET", f"{AVAILABILITY}/{network}")
    shown = answer["network_ip_availability"]
    others = len(api.store.claimed("address", subnet)) - 4  # the service address
    first, second = shown["subnet_ip_availability"]
    assert first["ip_availability_details"] == details(14, 3, 4 + others, 2)
    assert second["ip_availability_details"] == details(2, 2, 0, 0)
    assert shown["ip_availability_details"] == details(16, 5, 4 + others, 2)
