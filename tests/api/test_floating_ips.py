# SPDX-License-Identifier: Apache-2.0

"""Floating IPs, port forwardings, conntrack helpers and NDP proxies."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api, path
from tests.api.test_routers import World


class Site(World):
    """A router with a gateway and interfaces, a port behind it."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        for subnet in (self.four, self.six):
            self.act("add_router_interface", subnet_id=subnet)
        self.gateway()
        self.port = api.create("port", network_id=self.one, name="web")

    def floating(self, **more: Any) -> Any:
        return self.api.create("floatingip", floating_network_id=self.outside, **more)

    def no_floating(self, status: int, error: str, **more: Any) -> str:
        body = {"floatingip": {"floating_network_id": self.outside, **more}}
        return self.api.refused(status, error, "POST", path("floatingip"), body)


@pytest.fixture
def site(api: Api) -> Site:
    return Site(api)


def test_from_birth_to_death(site: Site) -> None:
    api = site.api
    made = site.floating(port_id=site.port["id"], description="public")
    assert made["status"] == "ACTIVE"
    assert made["router_id"] == site.router
    assert made["fixed_ip_address"] == "10.1.0.2"
    assert made["port_details"]["name"] == "web"
    assert made["port_details"]["status"] == "DOWN"  # it is plugged in nowhere
    (holder,) = api.list("port", f"device_id={made['id']}")
    assert holder["device_owner"] == "network:floatingip"
    assert holder["fixed_ips"][0]["ip_address"] == made["floating_ip_address"]
    api.refused(409, "ServicePortInUse", "DELETE", path("port", holder["id"]))
    free = api.update("floatingip", made["id"], port_id=None)
    assert (free["status"], free["router_id"], free["fixed_ip_address"]) == ("DOWN", None, None)
    assert free["port_details"] is None
    api.delete("floatingip", made["id"])
    assert api.list("port", f"device_id={made['id']}") == []


def test_it_moves_from_port_to_port(site: Site) -> None:
    api = site.api
    made = site.floating(port_id=site.port["id"])
    other = api.create("port", network_id=site.one)
    moved = api.update("floatingip", made["id"], port_id=other["id"])
    assert moved["fixed_ip_address"] == other["fixed_ips"][0]["ip_address"]
    named = api.update("floatingip", made["id"], description="as it was")
    assert named["port_id"] == other["id"]
    assert api.update("floatingip", made["id"])["port_id"] is None, "a PUT of nothing lets it go"
    api.update("floatingip", made["id"], port_id=other["id"])
    api.delete("port", other["id"])
    assert api.show("floatingip", made["id"])["port_id"] is None


def indirect(site: Site) -> tuple[str, str]:
    """A port behind a router without a gateway, and a router further out that has one."""
    api = site.api
    network, middle = api.create("network")["id"], api.create("network")["id"]
    inside = site.subnet(network, "10.5.0.0/24")
    site.subnet(middle, "10.6.0.0/24")
    near, far = (api.create("router")["id"] for _ in range(2))
    info = {"network_id": site.outside}
    api.update("router", far, external_gateway_info=info)
    leg = {"subnet_id": inside}
    assert api.request("PUT", path("router", near, "add_router_interface"), leg)[0] == 200
    for router in (near, far):
        leg = {"port_id": api.create("port", network_id=middle)["id"]}
        assert api.request("PUT", path("router", router, "add_router_interface"), leg)[0] == 200
    return api.create("port", network_id=network)["id"], far


def test_a_router_of_ones_choice(site: Site) -> None:
    """It may be further out than the one that the port's network has."""
    api = site.api
    port, far = indirect(site)
    site.no_floating(404, "ExternalGatewayForFloatingIPNotFound", port_id=port)
    made = site.floating(port_id=port, router_id=far)
    assert (made["router_id"], made["status"]) == (far, "ACTIVE")
    assert api.update("floatingip", made["id"], description="x")["router_id"] == far
    gone = {"router": {"external_gateway_info": None}}
    error = "RouterExternalGatewayInUseByFloatingIp"
    api.refused(409, error, "PUT", path("router", far), gone)
    back = {"floatingip": {"router_id": None}}
    error = "ExternalGatewayForFloatingIPNotFound"
    api.refused(404, error, "PUT", path("floatingip", made["id"]), back)
    moved = api.update("floatingip", made["id"], port_id=site.port["id"])
    assert moved["router_id"] == site.router, "who asks for none gets the one between"
    again = api.update("floatingip", made["id"], port_id=port, router_id=far)
    assert again["router_id"] == far
    assert api.update("floatingip", made["id"], port_id=None)["router_id"] is None
    assert api.request("GET", "/v2.0/extensions/floating-ip-router-writable")[0] == 200


def test_no_router_of_ones_choice(site: Site) -> None:
    api, port = site.api, site.port["id"]
    bare = api.create("router")["id"]
    for router, status, error in (
        (bare, 409, "RouterHasNoGateway"),
        ("6f2b3a52-8a3a-4a4f-9a57-3f6d0a8f7c11", 404, "RouterNotFound"),
        ("x", 400, "HTTPBadRequest"),
    ):
        site.no_floating(status, error, port_id=port, router_id=router)
    site.no_floating(400, "BadRequest", router_id=site.router)
    free = site.floating()["id"]
    body = {"floatingip": {"router_id": site.router}}
    api.refused(400, "BadRequest", "PUT", path("floatingip", free), body)
    forwarding = {"port_forwarding": {"internal_port_id": port, "protocol": "tcp"}}
    forwarding["port_forwarding"] |= {
        "external_port": 80,
        "internal_port": 80,
        "internal_ip_address": "10.1.0.2",
    }
    url = path("floatingip", free, "port_forwardings")
    assert api.request("POST", url, forwarding)[0] == 201
    body = {"floatingip": {"router_id": None}}
    api.refused(409, "FipInUseByPortForwarding", "PUT", path("floatingip", free), body)


def test_an_address_of_ones_choice(site: Site) -> None:
    made = site.floating(floating_ip_address="203.0.113.99")
    assert made["floating_ip_address"] == "203.0.113.99"
    again = {"floating_ip_address": "203.0.113.99"}
    site.no_floating(409, "IpAddressAlreadyAllocated", **again)
    site.no_floating(400, "InvalidIpForNetwork", floating_ip_address="198.51.100.1")
    site.no_floating(400, "BadRequest", floating_ip_address="2001:db8::9")


def test_a_port_with_several_addresses(site: Site) -> None:
    fixed = [{"ip_address": f"10.1.0.{n}"} for n in (50, 51)]
    port = site.api.create("port", network_id=site.one, fixed_ips=fixed)["id"]
    message = site.no_floating(400, "BadRequest", port_id=port)
    assert "multiple fixed IPv4 addresses" in message
    made = site.floating(port_id=port, fixed_ip_address="10.1.0.51")
    taken = {"port_id": port, "fixed_ip_address": "10.1.0.51"}
    site.no_floating(409, "FloatingIPPortAlreadyAssociated", **taken)
    site.floating(port_id=port, fixed_ip_address="10.1.0.50")
    site.api.update("port", port, fixed_ips=[{"ip_address": "10.1.0.50"}])
    assert site.api.show("floatingip", made["id"])["port_id"] is None


def test_what_cannot_have_a_floating_ip(site: Site) -> None:
    api = site.api
    lonely = api.create("port", network_id=site.two)["id"]  # no router leads there
    six = [{"subnet_id": site.six}]
    only_six = api.create("port", network_id=site.one, fixed_ips=six)["id"]
    for status, error, body, words in (
        (404, "ExternalGatewayForFloatingIPNotFound", {"port_id": lonely}, "not reachable"),
        (400, "BadRequest", {"port_id": only_six}, "no fixed IPv4 addresses"),
        (400, "BadRequest", {"fixed_ip_address": "10.1.0.2"}, "without a port_id"),
        (
            *(400, "BadRequest"),
            *({"port_id": site.port["id"], "fixed_ip_address": "10.1.0.77"}, "does not have fixed"),
        ),
        (
            *(400, "BadRequest"),
            *({"port_id": site.port["id"], "fixed_ip_address": "fd01::2"}, "not an IPv4 address"),
        ),
        (404, "PortNotFound", {"port_id": "00000000-0000-4000-8000-000000000000"}, "00000000"),
        (400, "BadRequest", {"floating_network_id": site.one}, "not a valid external network"),
    ):
        assert words in site.no_floating(status, error, **body)


def test_what_floating_ips_hold_together(site: Site) -> None:
    site.floating(port_id=site.port["id"])
    url = path("router", site.router)
    body = {"router": {"external_gateway_info": {}}}
    site.api.refused(409, "RouterExternalGatewayInUseByFloatingIp", "PUT", url, body)
    remove = "remove_router_interface"
    site.refused("RouterInterfaceInUseByFloatingIP", remove, 409, subnet_id=site.four)


def test_pools(site: Site) -> None:
    status, answer = site.api.request("GET", "/v2.0/floatingip_pools")
    assert status == 200
    (pool,) = answer["floatingip_pools"]
    assert (pool["network_id"], pool["cidr"]) == (site.outside, "203.0.113.0/24")
    _, none = site.api.request("GET", f"/v2.0/floatingip_pools?network_id={site.one}")
    assert none["floatingip_pools"] == []


class Forwarding:
    def __init__(self, site: Site) -> None:
        self.site = site
        self.floating = site.floating()
        self.url = path("floatingip", self.floating["id"], "port_forwardings")

    def body(self, **more: Any) -> dict[str, Any]:
        attributes = {
            "protocol": "tcp",
            "internal_port_id": self.site.port["id"],
            "internal_ip_address": "10.1.0.2",
            **more,
        }
        return {"port_forwarding": attributes}

    def make(self, **more: Any) -> Any:
        status, answer = self.site.api.request("POST", self.url, self.body(**more))
        assert status == 201, answer
        return answer["port_forwarding"]

    def refused(self, status: int, error: str, **more: Any) -> str:
        return self.site.api.refused(status, error, "POST", self.url, self.body(**more))


@pytest.fixture
def forwarding(site: Site) -> Forwarding:
    return Forwarding(site)


def test_port_forwarding_from_birth_to_death(forwarding: Forwarding) -> None:
    api, url = forwarding.site.api, forwarding.url
    made = forwarding.make(external_port=2222, internal_port=22, description="ssh")
    assert (made["external_port"], made["external_port_range"]) == (2222, "2222:2222")
    assert (made["internal_port"], made["description"]) == (22, "ssh")
    shown = api.show("floatingip", forwarding.floating["id"])
    assert shown["router_id"] == forwarding.site.router
    assert shown["port_forwardings"] == [
        {
            "id": made["id"],
            "protocol": "tcp",
            "internal_port_id": made["internal_port_id"],
            "internal_ip_address": "10.1.0.2",
            "internal_port": 22,
            "external_port": 2222,
        }
    ]
    one = f"{url}/{made['id']}"
    status, answer = api.request("PUT", one, {"port_forwarding": {"external_port": 2223}})
    assert (status, answer["port_forwarding"]["external_port_range"]) == (200, "2223:2223")
    _, listed = api.request("GET", f"{url}?protocol=tcp")
    assert [f["id"] for f in listed["port_forwardings"]] == [made["id"]]
    assert api.request("GET", one)[0] == 200
    other = path("floatingip", forwarding.site.floating()["id"], "port_forwardings", made["id"])
    api.refused(404, "PortForwardingNotFound", "GET", other)
    assert api.request("DELETE", one)[0] == 204
    assert api.show("floatingip", forwarding.floating["id"])["router_id"] is None


def test_ranges(forwarding: Forwarding) -> None:
    made = forwarding.make(external_port_range="8000:8009", internal_port_range="9000:9009")
    assert made["external_port"] is None
    forwarding.make(external_port_range="8010:8019", internal_port=80)
    taken = {"external_port": 8005, "internal_port": 1}
    message = forwarding.refused(400, "BadRequest", **taken)
    assert "external_port_range" in message and "8000:8009" in message
    forwarding.make(protocol="udp", **taken)
    back = {"external_port": 9999, "internal_port": 9005}
    assert "internal_port_range" in forwarding.refused(400, "BadRequest", **back)
    again = Forwarding(forwarding.site)
    assert "internal_port_range" in again.refused(400, "BadRequest", **back)
    wrong = {"external_port_range": "1:10", "internal_port_range": "1:9"}
    assert "as many ports" in forwarding.refused(400, "BadRequest", **wrong)
    number = forwarding.make(external_port_range=7000, internal_port_range=70)
    assert (number["external_port"], number["internal_port_range"]) == (7000, "70:70")


def test_an_interface_that_port_forwardings_need_stays(forwarding: Forwarding) -> None:
    forwarding.make(external_port=2222, internal_port=22)
    subnet = forwarding.site.four
    remove = ("RouterInterfaceInUse", "remove_router_interface", 409)
    assert "port forwardings" in forwarding.site.refused(*remove, subnet_id=subnet)


def test_a_port_with_a_routers_device_id_is_no_interface(site: Site) -> None:
    """It would make a way to the outside of a network that the router is not on."""
    lone = site.api.create("port", network_id=site.two)
    site.api.create("port", network_id=site.two, device_id=site.router)
    site.no_floating(404, "ExternalGatewayForFloatingIPNotFound", port_id=lone["id"])


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        ({"external_port": 1}, "BadRequest", "internal_port"),
        ({"external_port": 0, "internal_port": 1}, "HTTPBadRequest", "external_port"),
        ({"external_port": 1, "internal_port": 1, "protocol": "icmp"}, "BadRequest", "no ports"),
        (
            {"external_port": 1, "internal_port": 1, "internal_ip_address": "10.1.0.99"},
            *("BadRequest", "does not have"),
        ),
    ],
)
def test_port_forwardings_that_cannot_be(
    forwarding: Forwarding, body: dict[str, Any], error: str, words: str
) -> None:
    assert words in forwarding.refused(400, error, **body)


def test_a_floating_ip_is_one_thing_or_the_other(forwarding: Forwarding) -> None:
    site = forwarding.site
    forwarding.make(external_port=1, internal_port=1)
    url = path("floatingip", forwarding.floating["id"])
    body = {"floatingip": {"port_id": site.port["id"]}}
    site.api.refused(409, "FipInUseByPortForwarding", "PUT", url, body)
    site.api.refused(409, "FipInUseByPortForwarding", "DELETE", url)
    other = site.api.create("port", network_id=site.one)
    whole = site.floating(port_id=other["id"])
    its = {"external_port": 2, "internal_port": 2, "internal_port_id": other["id"]}
    its["internal_ip_address"] = other["fixed_ips"][0]["ip_address"]
    message = forwarding.refused(409, "PortHasBindingFloatingIP", **its)
    assert whole["floating_ip_address"] in message
    forwarding.url = path("floatingip", whole["id"], "port_forwardings")
    forwarding.refused(409, "FloatingIPPortAlreadyAssociated", external_port=1, internal_port=1)


def test_forwardings_go_with_their_port(forwarding: Forwarding) -> None:
    api = forwarding.site.api
    forwarding.make(external_port=1, internal_port=1)
    api.delete("port", forwarding.site.port["id"])
    assert api.show("floatingip", forwarding.floating["id"])["port_forwardings"] == []
    api.delete("floatingip", forwarding.floating["id"])


def test_conntrack_helpers(site: Site) -> None:
    api, url = site.api, path("router", site.router, "conntrack_helpers")
    ftp = {"conntrack_helper": {"protocol": "tcp", "port": 21, "helper": "ftp"}}
    status, made = api.request("POST", url, ftp)
    assert status == 201, made
    api.refused(409, "ConntrackHelperTaken", "POST", url, ftp)
    for helper, protocol in (("ftp", "udp"), ("sip", "udp")):
        body = {"conntrack_helper": {"protocol": protocol, "port": 9, "helper": helper}}
        api.refused(400, "ConntrackHelperNotAllowed", "POST", url, body)
    expected = [{"protocol": "tcp", "port": 21, "helper": "ftp"}]
    assert api.show("router", site.router)["conntrack_helpers"] == expected
    one = f"{url}/{made['conntrack_helper']['id']}"
    assert api.request("DELETE", one)[0] == 204
    api.refused(404, "ConntrackHelperNotFound", "DELETE", one)


class Proxied(Site):
    """A site whose IPv6 subnets, outside and on the router's second network, are of one scope."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self.scope = api.create("address_scope", name="six", ip_version=6)["id"]
        self.pool = self.new_pool("2001:db8:1000::/36", self.scope)
        self.outside = api.create("network", **{"router:external": True})["id"]
        self.known, self.far = self.two, self.subnet_of(self.two, self.pool)
        self.subnet_of(self.outside, self.pool)
        self.act("add_router_interface", subnet_id=self.far)
        self.gateway()
        self.port = api.create("port", network_id=self.known)
        self.router_url = path("router", self.router)

    def new_pool(self, prefix: str, scope: str | None) -> str:
        attributes = {"name": "p", "prefixes": [prefix], "default_prefixlen": 64}
        pool = self.api.create("subnetpool", address_scope_id=scope, **attributes)
        return str(pool["id"])

    def subnet_of(self, network: str, pool: str) -> str:
        made = self.api.create("subnet", network_id=network, ip_version=6, subnetpool_id=pool)
        return str(made["id"])

    def enable(self, value: bool = True) -> Any:
        return self.api.update("router", self.router, enable_ndp_proxy=value)

    def proxied(self, **more: Any) -> dict[str, Any]:
        return {"ndp_proxy": {"router_id": self.router, "port_id": self.port["id"], **more}}

    def no_proxy(self, status: int, error: str, **more: Any) -> str:
        body = self.proxied(**more)
        return self.api.refused(status, error, "POST", "/v2.0/ndp_proxies", body)


@pytest.fixture
def proxied(api: Api) -> Proxied:
    return Proxied(api)


def test_ndp_proxies(proxied: Proxied) -> None:
    api, url = proxied.api, proxied.router_url
    proxied.no_proxy(409, "RouterNdpProxyNotEnabled")
    proxied.enable()
    status, made = api.request("POST", "/v2.0/ndp_proxies", proxied.proxied())
    assert status == 201, made
    assert made["ndp_proxy"]["ip_address"] == proxied.port["fixed_ips"][-1]["ip_address"]
    proxied.no_proxy(409, "AddressIsProxied")
    disabled = {"router": {"enable_ndp_proxy": False}}
    api.refused(409, "RouterInUseByNdpProxy", "PUT", url, disabled)
    assert "does not belong" in proxied.no_proxy(400, "InvalidAddress", ip_address="fd01::99")
    cleared = {"router": {"external_gateway_info": {}}}
    api.refused(409, "RouterInUseByNdpProxy", "PUT", url, cleared)
    remove = ("RouterInterfaceInUse", "remove_router_interface", 409)
    assert "ndp proxies" in proxied.refused(*remove, subnet_id=proxied.far)
    assert api.request("DELETE", f"/v2.0/ndp_proxies/{made['ndp_proxy']['id']}")[0] == 204
    assert api.update("router", proxied.router, **cleared["router"])["enable_ndp_proxy"] is False


def test_ports_that_no_router_can_proxy(proxied: Proxied) -> None:
    """Of one's networks, not on the router; of IPv4; on a subnet that the router is not on; of
    another address scope."""
    api = proxied.api
    proxied.enable()
    apart = api.create("network")["id"]
    proxied.subnet_of(apart, proxied.pool)
    lone = api.create("port", network_id=apart)["id"]
    proxied.no_proxy(409, "PortUnreachableRouter", port_id=lone)
    four = proxied.subnet(proxied.known, "10.9.0.0/24")
    fixed_ips = [{"subnet_id": four}]
    only_four = api.create("port", network_id=proxied.known, fixed_ips=fixed_ips)["id"]
    assert "IPv6 address" in proxied.no_proxy(400, "BadRequest", port_id=only_four)
    beside = [{"subnet_id": proxied.subnet_of(proxied.known, proxied.pool)}]
    other = api.create("port", network_id=proxied.known, fixed_ips=beside)
    proxied.no_proxy(409, "PortUnreachableRouter", port_id=other["id"])
    address = {"ip_address": other["fixed_ips"][0]["ip_address"]}
    message = proxied.no_proxy(400, "InvalidAddress", port_id=other["id"], **address)
    assert "cannot reach" in message
    unscoped = api.create("port", network_id=proxied.one)["id"]
    message = proxied.no_proxy(409, "AddressScopeConflict", port_id=unscoped)
    assert proxied.scope in message


def test_routers_that_cannot_have_proxies(proxied: Proxied) -> None:
    """They need a gateway, with IPv6, on a network of an address scope."""
    api, enable = proxied.api, {"enable_ndp_proxy": True}
    unscoped = api.create("network", **{"router:external": True})["id"]
    proxied.subnet(unscoped, "2001:db8:2000::/64")
    only_four = api.create("network", **{"router:external": True})["id"]
    proxied.subnet(only_four, "198.51.100.0/24")
    error = (409, "RouterGatewayNotValid")
    for outside, words in (
        (None, "no external gateway"),
        (unscoped, "no IPv6 address scope"),
        (only_four, "no IPv6 address"),
    ):
        gateway = {"external_gateway_info": {"network_id": outside}} if outside else {}
        new = {"router": {**gateway, **enable}}
        assert words in api.refused(*error, "POST", path("router"), new)
        made = api.create("router", **gateway)
        changes = {"router": enable}
        assert words in api.refused(*error, "PUT", path("router", made["id"]), changes)
    gateway = {"external_gateway_info": {"network_id": proxied.outside}}
    made = api.create("router", **gateway)
    both = {"router": {"external_gateway_info": {}, **enable}}
    assert "no external gateway" in api.refused(*error, "PUT", path("router", made["id"]), both)
    assert api.create("router", **gateway, **enable)["enable_ndp_proxy"] is True


def test_a_network_takes_unused_floating_ips_along(api: Api) -> None:
    network = api.create("network", **{"router:external": True})["id"]
    api.create("subnet", network_id=network, ip_version=4, cidr="203.0.113.0/24")
    inside = api.create("network")["id"]
    subnet = api.create("subnet", network_id=inside, ip_version=4, cidr="10.0.0.0/24")["id"]
    gateway = {"network_id": network}
    router = api.create("router", name="r", external_gateway_info=gateway)["id"]
    url = f"/v2.0/routers/{router}"
    assert api.request("PUT", f"{url}/add_router_interface", {"subnet_id": subnet})[0] == 200
    port = api.create("port", network_id=inside)["id"]
    free = api.create("floatingip", floating_network_id=network)["id"]
    used = api.create("floatingip", floating_network_id=network, port_id=port)["id"]
    api.refused(409, "NetworkInUse", "DELETE", f"/v2.0/networks/{network}")
    assert {free, used} == {floating["id"] for floating in api.list("floatingip")}
    api.update("floatingip", used, port_id=None)
    assert api.request("PUT", f"{url}/remove_router_interface", {"subnet_id": subnet})[0] == 200
    api.delete("router", router)
    api.delete("network", network)
    assert api.list("floatingip") == []
    assert [one["id"] for one in api.list("port")] == [port]
