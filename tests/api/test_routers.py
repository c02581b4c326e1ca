# SPDX-License-Identifier: Apache-2.0

"""Routers, their interfaces, gateways and routes, and external networks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, path


class World:
    """An external network, two networks of a tenant, and a router."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.outside = api.create("network", **{"router:external": True})["id"]
        self.subnet(self.outside, "203.0.113.0/24")
        self.subnet(self.outside, "2001:db8::/64")
        self.one, self.two = (api.create("network")["id"] for _ in range(2))
        self.four = self.subnet(self.one, "10.1.0.0/24")
        self.six = self.subnet(self.one, "fd01::/64")
        self.other = self.subnet(self.two, "10.2.0.0/24")
        self.router = api.create("router", name="r")["id"]

    def subnet(self, network: str, cidr: str, **more: Any) -> str:
        version = 6 if ":" in cidr else 4
        made = self.api.create("subnet", network_id=network, cidr=cidr, ip_version=version, **more)
        return str(made["id"])

    def act(self, action: str, status: int = 200, **body: Any) -> Any:
        url = path("router", self.router, action)
        seen, answer = self.api.request("PUT", url, body)
        assert seen == status, answer
        return answer

    def refused(self, error: str, action: str, status: int = 400, **body: Any) -> str:
        url = path("router", self.router, action)
        return self.api.refused(status, error, "PUT", url, body)

    def gateway(self, **more: Any) -> Any:
        info = {"network_id": self.outside, **more}
        return self.api.update("router", self.router, external_gateway_info=info)

    def ports(self) -> list[Any]:
        found: list[Any] = self.api.list("port", f"device_id={self.router}")
        return found


@pytest.fixture
def world(api: Api) -> World:
    return World(api)


def test_a_subnet_says_whether_it_is_outside(world: World) -> None:
    api = world.api
    outside = {s["id"] for s in api.list("subnet", "router:external=true")}
    inside = {s["id"] for s in api.list("subnet", "router:external=false")}
    assert inside == {world.four, world.six, world.other}
    assert outside == set(api.show("network", world.outside)["subnets"])
    assert api.show("subnet", world.four)["router:external"] is False
    assert api.request("GET", "/v2.0/extensions/subnet-external-network")[0] == 200
    change = {"subnet": {"router:external": True}}
    assert api.request("PUT", path("subnet", world.four), change)[0] == 400


def test_a_router_is_made_shown_and_deleted(world: World) -> None:
    api = world.api
    shown = api.show("router", world.router)
    assert shown["status"] == "ACTIVE"
    assert (shown["distributed"], shown["ha"], shown["admin_state_up"]) == (True, True, True)
    assert shown["external_gateway_info"] is None
    assert shown["routes"] == []
    assert shown["conntrack_helpers"] == []
    assert "key" not in shown
    api.delete("router", world.router)
    api.refused(404, "RouterNotFound", "GET", path("router", world.router))


def test_an_interface_by_subnet_has_the_gateways_address(world: World) -> None:
    answer = world.act("add_router_interface", subnet_id=world.four)
    assert answer["subnet_ids"] == [world.four]
    (port,) = world.ports()
    assert port["id"] == answer["port_id"]
    assert port["fixed_ips"] == [{"subnet_id": world.four, "ip_address": "10.1.0.1"}]
    assert port["device_owner"] == "network:router_interface"
    assert set(answer) == {
        *("id", "project_id", "port_id", "network_id", "subnet_id", "subnet_ids"),
    }
    assert not port["port_security_enabled"]


def test_several_ipv6_subnets_of_a_network_share_a_port(world: World) -> None:
    more = world.subnet(world.one, "fd02::/64")
    first = world.act("add_router_interface", subnet_id=world.six)
    second = world.act("add_router_interface", subnet_id=more)
    assert first["port_id"] == second["port_id"]
    world.act("remove_router_interface", subnet_id=world.six)
    (port,) = world.ports()
    assert [ip["subnet_id"] for ip in port["fixed_ips"]] == [more]
    world.act("remove_router_interface", subnet_id=more)
    assert world.ports() == []


def test_an_interface_by_port(world: World) -> None:
    port = world.api.create("port", network_id=world.one)["id"]
    answer = world.act("add_router_interface", port_id=port)
    assert sorted(answer["subnet_ids"]) == sorted([world.four, world.six])
    message = world.refused("PortInUse", "add_router_interface", 409, port_id=port)
    assert port in message
    world.act("remove_router_interface", port_id=port)
    assert world.ports() == []


def test_what_cannot_be_added(world: World) -> None:
    none = world.subnet(world.two, "10.3.0.0/24", gateway_ip=None)
    apart = world.subnet(world.two, "10.4.0.0/24", gateway_ip="192.0.2.1")
    overlap = world.subnet(world.api.create("network")["id"], "10.1.0.0/16")
    bare = world.api.create("port", network_id=world.api.create("network")["id"])["id"]
    world.act("add_router_interface", subnet_id=world.four)
    unknown = "00000000-0000-4000-8000-000000000000"
    for error, status, body, words in (
        ("BadRequest", 400, {}, "Either subnet_id or port_id"),
        ("BadRequest", 400, {"subnet_id": none, "port_id": bare}, "Cannot specify both"),
        ("BadRequest", 400, {"subnet_id": none}, "must have a gateway IP"),
        ("BadRequest", 400, {"subnet_id": apart}, "set another gateway_ip, or add a port"),
        ("BadRequest", 400, {"subnet_id": world.four}, "already has a port on subnet"),
        ("BadRequest", 400, {"subnet_id": overlap}, "overlaps with cidr"),
        ("BadRequest", 400, {"port_id": bare}, "at least one fixed IP"),
        ("InvalidInput", 400, {"subnet_id": "x"}, "not a valid UUID"),
        ("SubnetNotFound", 404, {"subnet_id": unknown}, unknown),
        ("PortNotFound", 404, {"port_id": unknown}, unknown),
    ):
        assert words in world.refused(error, "add_router_interface", status, **body)


def test_what_cannot_be_removed(world: World) -> None:
    world.act("add_router_interface", subnet_id=world.four)
    other = world.api.create("port", network_id=world.two)["id"]
    remove = "remove_router_interface"
    world.refused("RouterInterfaceNotFoundForSubnet", remove, 404, subnet_id=world.other)
    world.refused("RouterInterfaceNotFound", remove, 404, port_id=other)
    (port,) = world.ports()
    both = {"port_id": port["id"], "subnet_id": world.other}
    world.refused("SubnetMismatchForPort", remove, 400, **both)
    routes = [{"destination": "172.16.0.0/12", "nexthop": "10.1.0.9"}]
    world.api.update("router", world.router, routes=routes)
    world.refused("RouterInterfaceInUseByRoute", remove, 409, subnet_id=world.four)


def test_what_a_router_has_is_in_use(world: World) -> None:
    api = world.api
    world.act("add_router_interface", subnet_id=world.four)
    world.gateway()
    for port in world.ports():
        url = path("port", port["id"])
        assert "device owner" in api.refused(409, "ServicePortInUse", "DELETE", url)
        changes = {"port": {"device_owner": "compute:nova"}}
        api.refused(409, "UnsupportedPortDeviceOwner", "PUT", url, changes)
    api.refused(409, "RouterInUse", "DELETE", path("router", world.router))
    api.refused(409, "SubnetInUse", "DELETE", path("subnet", world.four))
    api.refused(409, "NetworkInUse", "DELETE", path("network", world.one))
    changes = {"subnet": {"gateway_ip": None}}
    api.refused(409, "GatewayIpInUse", "PUT", path("subnet", world.four), changes)
    changes = {"network": {"router:external": False}}
    api.refused(409, "ExternalNetworkInUse", "PUT", path("network", world.outside), changes)
    world.act("remove_router_interface", subnet_id=world.four)
    api.delete("router", world.router)
    assert api.list("port", f"network_id={world.outside}") == [], "the gateway's port went along"


def test_nobody_gives_a_port_to_a_router_but_the_router(world: World) -> None:
    """By its owner and device a port would connect its network with somebody else's router."""
    api = world.api
    theirs = {"device_owner": "network:router_interface", "device_id": world.router}
    ports = path("port")
    of_another = {"port": {"network_id": world.two, "project_id": "another", **theirs}}
    api.refused(409, "DeviceIDNotOwnedByTenant", "POST", ports, of_another)
    own = {"port": {"network_id": world.two, **theirs}}
    assert "add_router_interface" in api.refused(400, "BadRequest", "POST", ports, own)
    port = api.create("port", network_id=world.two, project_id="another")
    url = path("port", port["id"])
    api.refused(409, "DeviceIDNotOwnedByTenant", "PUT", url, {"port": theirs})
    assert api.show("port", port["id"])["device_id"] == ""
    world.act("add_router_interface", subnet_id=world.four)


def test_a_routers_port_keeps_its_subnets(world: World) -> None:
    api = world.api
    world.act("add_router_interface", subnet_id=world.four)
    (port,) = world.ports()
    url = path("port", port["id"])
    for fixed_ips in ([], [{"subnet_id": world.six}]):
        wrong = {"port": {"fixed_ips": fixed_ips}}
        assert "add_router_interface" in api.refused(400, "BadRequest", "PUT", url, wrong)
    moved = api.update("port", port["id"], fixed_ips=[{"ip_address": "10.1.0.77"}])
    assert moved["fixed_ips"][0]["ip_address"] == "10.1.0.77"


def test_a_gateway_is_set_moved_and_cleared(world: World) -> None:
    shown = world.gateway()
    info = shown["external_gateway_info"]
    assert info["enable_snat"] is True
    assert [ip["ip_address"] for ip in info["external_fixed_ips"]] == [
        "203.0.113.2",
        "2001:db8::2",
    ]
    (port,) = world.ports()
    assert (port["device_owner"], port["project_id"]) == ("network:router_gateway", "")
    moved = world.gateway(external_fixed_ips=[{"ip_address": "203.0.113.77"}], enable_snat=False)
    info = moved["external_gateway_info"]
    assert [ip["ip_address"] for ip in info["external_fixed_ips"]] == ["203.0.113.77"]
    assert info["enable_snat"] is False
    assert [p["id"] for p in world.ports()] == [port["id"]], "it is the same port"
    info = world.gateway()["external_gateway_info"]
    assert info["enable_snat"] is True, "what a PUT leaves out is as in a new one"
    assert [ip["ip_address"] for ip in info["external_fixed_ips"]] == ["203.0.113.77"]
    cleared = world.api.update("router", world.router, external_gateway_info={})
    assert cleared["external_gateway_info"] is None
    assert world.ports() == []


@pytest.mark.parametrize("name", ["distributed", "ha"])
def test_a_router_becomes_another_kind_only_while_it_is_down(world: World, name: str) -> None:
    api, url = world.api, path("router", world.router)
    other = {"router": {name: False}}
    assert f"'{name}'" in api.refused(400, "BadRequest", "PUT", url, other)
    assert api.update("router", world.router, **{name: True})[name] is True, "it was before"
    api.update("router", world.router, admin_state_up=False)
    assert api.update("router", world.router, **{name: False})[name] is False
    up = {"router": {"admin_state_up": True, name: True}}
    api.refused(400, "BadRequest", "PUT", url, up)
    assert api.update("router", world.router, admin_state_up=True)[name] is False
    assert api.create("router", **{name: False})[name] is False


def test_a_gateway_made_with_the_router_and_one_that_cannot_be(world: World) -> None:
    info = {"network_id": world.outside}
    made = world.api.create("router", external_gateway_info=info)
    assert made["external_gateway_info"]["network_id"] == world.outside
    body = {"router": {"external_gateway_info": {"network_id": world.one}}}
    message = world.api.refused(400, "BadRequest", "POST", path("router"), body)
    assert "is not an external network" in message
    inside = world.subnet(world.two, "203.0.113.128/25")
    world.act("add_router_interface", subnet_id=inside)
    body = {"router": {"external_gateway_info": info}}
    url = path("router", world.router)
    assert "overlaps" in world.api.refused(400, "BadRequest", "PUT", url, body)


@pytest.mark.parametrize(
    ("error", "route", "words"),
    [
        ("InvalidRoutes", ("172.16.0.0/12", "10.9.0.1"), "not connected with router"),
        ("InvalidRoutes", ("172.16.0.0/12", "10.1.0.1"), "used by router"),
        ("InvalidRoutes", ("2001:db8:1::/48", "10.1.0.9"), "families"),
        ("HTTPBadRequest", ("172.16.0.0/12", "x"), "not a valid IP address"),
    ],
)
def test_routes_that_cannot_be(
    world: World, error: str, route: tuple[str, str], words: str
) -> None:
    world.act("add_router_interface", subnet_id=world.four)
    routes = [{"destination": route[0], "nexthop": route[1]}]
    body = {"router": {"routes": routes}}
    url = path("router", world.router)
    assert words in world.api.refused(400, error, "PUT", url, body)


def test_routes_are_added_and_removed_atomically(world: World) -> None:
    world.act("add_router_interface", subnet_id=world.four)
    ecmp = [{"destination": "172.16.0.0/12", "nexthop": f"10.1.0.{n}"} for n in (8, 9)]
    for _ in range(2):  # what is there already stays
        answer = world.act("add_extraroutes", router={"routes": ecmp})
        assert answer["router"]["routes"] == ecmp
    answer = world.act(
        "remove_extraroutes", router={"routes": [ecmp[0], {**ecmp[0], "nexthop": "10.1.0.7"}]}
    )
    assert answer["router"]["routes"] == [ecmp[1]]
    wrong = {"routes": [{"destination": "172.16.0.0/12"}]}
    world.refused("InvalidInput", "add_extraroutes", 400, router=wrong)
    world.refused("BadRequest", "add_extraroutes", 400, router={})
    many = [{"destination": f"172.16.{n}.0/24", "nexthop": "10.1.0.9"} for n in range(31)]
    world.refused("RoutesExhausted", "add_extraroutes", 400, router={"routes": many})


def test_external_networks_are_everybodys_to_see(world: World) -> None:
    shown = world.api.list("network", "router:external=True")
    assert [network["id"] for network in shown] == [world.outside]
    assert world.api.show("network", world.one)["router:external"] is False


def test_extensions_are_listed(api: Api) -> None:
    _, answer = api.request("GET", "/v2.0/extensions")
    listed = {extension["alias"] for extension in answer["extensions"]}
    assert {"router", "extraroute", "extraroute-atomic", "external-net", "dvr", "l3-ha"} <= listed
    assert {"floating-ip-port-forwarding", "l3-conntrack-helper", "l3-ndp-proxy"} <= listed
