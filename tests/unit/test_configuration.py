# SPDX-License-Identifier: Apache-2.0

"""What hosts are told, by whatever way: each of these subnets, in the words of each way."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, NamedTuple

import pytest

from tenantry.apps.dhcp import advertise, dhcp4, options
from tenantry.apps.metadata.instance import Instance
from tenantry.controller.cli.plug import _addresses_and_routes, resolv_conf
from tenantry.controller.model import Change, FixedIp, Model, Network, Port, Subnet, View
from tenantry.controller.model.record import parser
from tenantry.controller.network.records import Router


class Case(NamedTuple):
    """What a subnet says, and what its hosts are told: servers, and routes as (prefix, router)."""

    said: dict[str, Any]
    servers: list[str]
    routes: list[tuple[str, str]]


NET = {"version": 4, "cidr": "10.0.0.0/24", "own": "10.0.0.254"}
NET6 = {"version": 6, "cidr": "2001:db8::/64", "own": "2001:db8::fe"}
OTHER, OTHER6 = ("192.0.2.0/24", "10.0.0.9"), ("2001:db8:9::/48", "2001:db8::1")
DEFAULT = ("0.0.0.0/0", "10.0.0.1")
CASES = {
    "ordinary": Case({**NET, "gateway": "10.0.0.1"}, ["10.0.0.254"], [DEFAULT]),
    "ordinary, IPv6": Case(
        {**NET6, "gateway": "2001:db8::1"}, ["2001:db8::fe"], [("::/0", "2001:db8::1")]
    ),
    "servers": Case(
        {**NET, "gateway": "10.0.0.1", "servers": ["192.0.2.53"]}, ["192.0.2.53"], [DEFAULT]
    ),
    "no server": Case({**NET, "gateway": "10.0.0.1", "servers": ["0.0.0.0"]}, [], [DEFAULT]),
    "no server, IPv6": Case(
        {**NET6, "gateway": "2001:db8::1", "servers": ["::"]}, [], [("::/0", "2001:db8::1")]
    ),
    "no gateway": Case({**NET, "gateway": None, "routes": [OTHER]}, ["10.0.0.254"], [OTHER]),
    "a default route beside the gateway": Case(
        {**NET, "gateway": "10.0.0.1", "routes": [("0.0.0.0/0", "10.0.0.9"), OTHER]},
        *(["10.0.0.254"], [OTHER, DEFAULT]),
    ),
    "a default route without a gateway": Case(
        {**NET, "gateway": None, "routes": [("0.0.0.0/0", "10.0.0.9")]},
        *(["10.0.0.254"], [("0.0.0.0/0", "10.0.0.9")]),
    ),
    "a gateway outside of the subnet": Case(
        {**NET, "gateway": "192.0.2.1"},
        *(["10.0.0.254"], [("192.0.2.1/32", "0.0.0.0"), ("0.0.0.0/0", "192.0.2.1")]),
    ),
    "a gateway of the link": Case(
        {**NET6, "gateway": "fe80::1"}, ["2001:db8::fe"], [("::/0", "fe80::1")]
    ),
    "a route over the gateway": Case(
        {**NET6, "gateway": "2001:db8::1", "routes": [OTHER6]},
        *(["2001:db8::fe"], [OTHER6, ("::/0", "2001:db8::1")]),
    ),
    "a route over another": Case(
        {**NET6, "gateway": "2001:db8::1", "routes": [("2001:db8:9::/48", "2001:db8::9")]},
        *(["2001:db8::fe"], [("2001:db8:9::/48", "2001:db8::9"), ("::/0", "2001:db8::1")]),
    ),
}


def cases(*versions: int) -> pytest.MarkDecorator:
    some = {name: case for name, case in CASES.items() if case.said["version"] in versions}
    return pytest.mark.parametrize("case", some.values(), ids=some)


def body(case: Case) -> dict[str, Any]:
    """The subnet as the API shows it."""
    said = case.said
    version = said["version"]
    mode = "slaac" if version == 6 else None
    return {
        "id": "subnet",
        "network_id": "net",
        "cidr": said["cidr"],
        "ip_version": version,
        "gateway_ip": said["gateway"],
        "enable_dhcp": True,
        "service_address": said["own"],
        "ipv6_ra_mode": mode,
        "ipv6_address_mode": mode,
        "dns_nameservers": said.get("servers", []),
        "host_routes": [{"destination": d, "nexthop": n} for d, n in said.get("routes", [])],
    }


NETWORK = Network("net", 1, "project", "", True, 1400, "local", None, None)


def port(subnet: Subnet) -> Port:
    ip = FixedIp("subnet", subnet.version, subnet.first + 7)
    return Port(*("p", 7, "net", "project", "", 0xA), (ip,), *(True, True, "", ""))


@cases(4)
def test_dhcp(case: Case) -> None:
    subnet = parser(Subnet)(body(case))
    of = port(subnet)
    offer = dhcp4.Offer(of, subnet, of.fixed_ips[0], 1400, "h", "test.", 1000, ())
    told = dhcp4._configuration(offer)
    packed = b"".join(IPv4Address(server).packed for server in case.servers)
    assert told.get(options.DNS, b"") == packed
    router = [to for prefix, to in case.routes if prefix == "0.0.0.0/0"]
    assert told.get(options.ROUTER, b"") == b"".join(IPv4Address(r).packed for r in router)
    found = classless(told[options.ROUTES])
    assert ("169.254.169.254/32", "10.0.0.254") in found
    assert [route for route in found if route[0] != "169.254.169.254/32"] == case.routes
    assert told[options.WINDOWS_ROUTES] == told[options.ROUTES]


def classless(data: bytes) -> list[tuple[str, str]]:
    """RFC 3442."""
    found = []
    while data:
        octets = (data[0] + 7) // 8
        prefix = IPv4Address(data[1 : 1 + octets].ljust(4, b"\0"))
        found.append((f"{prefix}/{data[0]}", str(IPv4Address(data[1 + octets : 5 + octets]))))
        data = data[5 + octets :]
    return found


@cases(6)
def test_advertisements(case: Case) -> None:
    """They tell of the routes over the router that they come from."""
    subnet = parser(Subnet)(body(case))
    assert subnet.gateway is not None
    model = Model()
    gateway = Port(
        *("g", 8, "net", "project", "", 0xB, (FixedIp("subnet", 6, subnet.gateway),)),
        *(True, False, "", ""),
        device_id="router",
        device_owner="network:router_interface",
    )
    for record in (NETWORK, subnet, gateway, Router("router", 1, "project", "", True)):
        model.apply([Change(type(record), record.id, record)])
    told = advertise.advertised(View(model), "net", "test.")
    assert told is not None
    assert told.routes
    assert [str(IPv6Address(server)) for server in told.servers] == case.servers
    over = [prefix for prefix, to in case.routes if to == case.said["gateway"]]
    assert [f"{IPv6Address(first)}/{length}" for first, length in told.beyond] == over[:-1]
    assert over[-1] == "::/0"
    data = advertise.advertisement(told)
    assert (bytes((24, 3, 48, 0)) in data) == bool(over[:-1])


@cases(4, 6)
def test_metadata(case: Case) -> None:
    subnet = parser(Subnet)(body(case))
    machine = Instance(port(subnet), NETWORK, {"subnet": subnet}, {}, "test.")
    data = machine.network_data()
    assert [service["address"] for service in data["services"]] == case.servers
    (network,) = data["networks"]
    assert [service["address"] for service in network["services"]] == case.servers
    found = [(f"{r['network']}/{bits(r['netmask'])}", r["gateway"]) for r in network["routes"]]
    assert found == case.routes


def bits(netmask: str) -> int:
    return int(ip_address(netmask)).bit_count()


@cases(4, 6)
def test_plug(case: Case) -> None:
    """It gives each route as one on the link anyway, so a gateway needs none to itself."""
    of = {"fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.0.0.7"}]}
    shown = body(case)
    text = resolv_conf(of, [shown])
    assert [line.split()[1] for line in text.splitlines()] == case.servers
    _, routes = _addresses_and_routes(of, [shown])
    expected = {f"{prefix} via {to}" for prefix, to in case.routes if to != "0.0.0.0"}
    if case.said["version"] == 4:
        expected.add("169.254.169.254/32 via 10.0.0.254")
    assert set(routes) == expected
