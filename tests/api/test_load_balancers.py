# SPDX-License-Identifier: Apache-2.0

"""Octavia's API: its service, and load balancers themselves."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from tenantry.controller.api.access import Access
from tenantry.controller.api.tenantry import permissions
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller
from tests.api.octavia import LBAAS, Octavia


@pytest.fixture
def octavia(api: Api) -> Octavia:
    return Octavia(api)


@pytest.fixture
def network(api: Api) -> str:
    """One without subnets."""
    id: str = api.create("network")["id"]
    return id


@pytest.fixture
def anybody() -> list[Context]:
    """Who asks: the last one."""
    return []


@pytest.fixture
def subnet(api: Api, network: str) -> Any:
    return api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)


# --- the service ---------------------------------------------------------------------------------


def test_the_root_lists_octavias_versions(api: Api) -> None:
    status, answer = api.request("GET", "/load-balancer")
    assert status == 200
    versions = answer["versions"]
    assert [each["id"] for each in versions] == [f"v2.{n}" for n in range(31)]
    assert {each["status"] for each in versions[:-1]} == {"SUPPORTED"}
    assert versions[-1]["status"] == "CURRENT"
    assert versions[0]["links"] == [
        {"href": "http://localhost/load-balancer/v2", "rel": "self"},
    ]
    assert api.request("GET", "/load-balancer/") == (status, answer)
    assert "loadbalancer" not in str(api.request("GET", "/v2.0")[1])


def test_both_paths_lead_there(api: Api, octavia: Octavia, subnet: Any) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    for version in ("v2", "v2.0"):
        path = f"/load-balancer/{version}/lbaas/loadbalancers/{made['id']}"
        assert api.request("GET", path) == (200, {"loadbalancer": made})
    assert api.request("GET", f"/load-balancer/v2.1/lbaas/loadbalancers/{made['id']}")[0] == 404
    assert api.request("GET", f"/v2.0/lbaas/loadbalancers/{made['id']}")[0] == 404


def test_errors_are_as_wsme_has_them(api: Api) -> None:
    status, answer = api.request("GET", f"{LBAAS}/loadbalancers/nowhere")
    assert status == 404
    assert answer == {
        "faultcode": "Client",
        "faultstring": "Load Balancer nowhere not found.",
        "debuginfo": None,
    }
    for method, path in (("GET", f"{LBAAS}/nothing"), ("PUT", f"{LBAAS}/loadbalancers")):
        status, answer = api.request(method, path)
        assert status in (404, 405)
        assert answer["faultcode"] == "Client"
    status, answer = api.request("POST", f"{LBAAS}/loadbalancers", b"{")
    assert (status, answer["faultcode"]) == (400, "Client")


def test_who_may(make_api: Callable[..., Api], anybody: list[Context]) -> None:
    """Octavia's default policy: by the roles of Keystone, and by its own."""
    api = make_api(authenticate=lambda request: anybody[-1])
    octavia = Octavia(api)
    anybody.append(caller("red"))
    network = api.create("network")["id"]
    subnet = api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"]
    made = octavia.create("loadbalancer", vip_subnet_id=subnet)
    path, body = f"{LBAAS}/loadbalancers/{made['id']}", {"loadbalancer": {"name": "x"}}
    new = {"loadbalancer": {"vip_subnet_id": subnet, "project_id": "red"}}
    able = {
        # who, besides admins: whether they may list, list all, see, change, and fail over
        ("red", "member"): (1, 0, 1, 1, 0),
        ("red", "reader"): (1, 0, 1, 0, 0),
        ("red", "load-balancer_member"): (1, 0, 1, 1, 0),
        ("red", "load-balancer_observer"): (1, 0, 1, 0, 0),
        ("red", "nothing"): (0, 0, 0, 0, 0),
        ("blue", "member"): (1, 0, 0, 0, 0),
        ("blue", "load-balancer_global_observer"): (1, 1, 1, 0, 0),
        ("blue", "load-balancer_admin"): (1, 1, 1, 1, 1),
        ("blue", "admin"): (1, 1, 1, 1, 1),
    }
    for (project, role), (lists, lists_all, sees, changes, fails_over) in able.items():
        anybody.append(caller(project, role))
        for method, url, said, may in (
            ("GET", f"{LBAAS}/loadbalancers", None, lists),
            ("GET", f"{LBAAS}/loadbalancers?project_id=green", None, lists_all),
            ("GET", path, None, sees),
            ("GET", f"{path}/status", None, sees),
            ("GET", f"{path}/stats", None, sees),
            ("PUT", path, body, changes),
            ("PUT", f"{path}/failover", None, fails_over),
            ("POST", f"{LBAAS}/loadbalancers", new, changes),
        ):
            status, answer = api.request(method, url, said)
            seen = (status, (project, role), method, url, answer)
            assert (status == 403) is not bool(may), seen
            foreign = (
                role == "load-balancer_admin" and method == "POST"
            )  # Neutron knows no such role
            assert status == 400 if foreign else status == 403 or status < 300, seen
        count = len(octavia.list("loadbalancer")) if lists else 0
        assert (count > 0) is bool(sees), (project, role)
    anybody.append(caller("blue"))
    assert api.request("DELETE", path)[0] == 403
    assert api.request("GET", f"{LBAAS}/loadbalancers/nowhere")[0] == 404


def test_who_may_is_told(api: Api, octavia: Octavia, subnet: Any) -> None:
    """``tenantry policy check``, by what is asked of the API."""
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])["id"]
    running: Any = SimpleNamespace(store=api.store)
    one, of_it = f"{LBAAS}/loadbalancers/{made}", f'{{"loadbalancer_id": "{made}"}}'
    required = of_it.replace("}", ', "protocol": "TCP", "protocol_port": 80}')
    for method, path, body, rule, allowed in (
        ("GET", f"{LBAAS}/loadbalancers", "", "loadbalancer:get_all", True),
        ("GET", one, "", "loadbalancer:get_one", True),
        ("GET", f"{one}/status", "", "loadbalancer:get_status", True),
        ("PUT", one, "{}", "loadbalancer:put", False),
        ("PUT", one, '{"vip_sg_ids": []}', "loadbalancer:put", False),
        ("PUT", f"{one}/failover", "", "loadbalancer:put_failover", False),
        ("DELETE", one, "", "loadbalancer:delete", False),
        ("POST", f"{LBAAS}/listeners", required, "listener:post", False),
    ):
        asked = {"method": method, "path": path, "body": body or None}
        said = permissions.check(
            Access(api.kinds), running, project="default", roles="reader", **asked
        )
        expected = (allowed, f"os_load-balancer_api:{rule}")
        assert (said["allowed"], said["rule"]) == expected, (method, path, said)


# --- load balancers ------------------------------------------------------------------------------


def test_it_is_shown_as_octavia_shows_it(api: Api, octavia: Octavia, subnet: Any) -> None:
    made = octavia.create(
        "loadbalancer", name="web", description="d", vip_subnet_id=subnet["id"], tags=["a", "b"]
    )
    assert made.keys() == {
        *("id", "name", "description", "provisioning_status", "operating_status", "tags"),
        *("admin_state_up", "project_id", "tenant_id", "created_at", "updated_at", "provider"),
        *("vip_address", "vip_port_id", "vip_subnet_id", "vip_network_id", "vip_qos_policy_id"),
        *("vip_sg_ids", "vip_vnic_type", "additional_vips", "listeners", "pools", "flavor_id"),
        "availability_zone",
    }
    assert made["vip_network_id"] == subnet["network_id"]
    assert (made["provider"], made["vip_vnic_type"]) == ("tenantry", "normal")
    assert made["listeners"] == made["pools"] == made["additional_vips"] == made["vip_sg_ids"] == []
    assert len(made["created_at"]) == len("2026-01-01T00:00:00")
    assert octavia.show("loadbalancer", made["id"]) == made


def test_its_port_is_neutrons(api: Api, octavia: Octavia, subnet: Any) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"], vip_address="10.0.0.77")
    port = api.show("port", made["vip_port_id"])
    assert port["name"] == f"octavia-lb-{made['id']}"
    assert (port["device_id"], port["device_owner"]) == (f"lb-{made['id']}", "Octavia")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.77"}]
    assert port["project_id"] == made["project_id"]
    path = f"/v2.0/ports/{port['id']}"
    said = api.refused(409, "ServicePortInUse", "DELETE", path)
    assert made["id"] in said
    elsewhere = {"port": {"fixed_ips": [{"ip_address": "10.0.0.78"}]}}
    api.refused(409, "ServicePortInUse", "PUT", path, elsewhere)
    api.refused(409, "NetworkInUse", "DELETE", f"/v2.0/networks/{subnet['network_id']}")
    octavia.delete("loadbalancer", made["id"])
    assert api.request("GET", path)[0] == 404


def test_an_address_that_is_taken_is_refused(octavia: Octavia, api: Api, subnet: Any) -> None:
    first = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    again = {"vip_subnet_id": subnet["id"], "vip_address": first["vip_address"]}
    assert "already" in octavia.refused(409, "loadbalancer", **again)


def test_a_port_that_is_given_stays(api: Api, octavia: Octavia, subnet: Any) -> None:
    port = api.create("port", network_id=subnet["network_id"], name="mine")
    made = octavia.create("loadbalancer", vip_port_id=port["id"])
    assert made["vip_address"] == port["fixed_ips"][0]["ip_address"]
    assert (made["vip_port_id"], made["vip_subnet_id"]) == (port["id"], subnet["id"])
    taken = api.show("port", port["id"])
    assert (taken["name"], taken["device_id"]) == ("mine", f"lb-{made['id']}")
    said = octavia.refused(400, "loadbalancer", vip_port_id=port["id"])
    assert "already used by device" in said
    api.refused(409, "ServicePortInUse", "DELETE", f"/v2.0/ports/{port['id']}")
    octavia.delete("loadbalancer", made["id"])
    left = api.show("port", port["id"])
    changing = ("updated_at", "revision_number")
    assert {k: v for k, v in left.items() if k not in changing} == {
        k: v for k, v in port.items() if k not in changing
    }


def test_a_network_is_enough(api: Api, octavia: Octavia, network: str) -> None:
    api.create("subnet", network_id=network, cidr="fd00::/64", ip_version=6)
    four = api.create("subnet", network_id=network, cidr="10.1.0.0/30", ip_version=4)
    first = octavia.create("loadbalancer", vip_network_id=network)
    assert first["vip_subnet_id"] == four["id"]
    second = octavia.create("loadbalancer", vip_network_id=network)
    assert second["vip_address"].startswith("fd00:")
    chosen = octavia.create("loadbalancer", vip_network_id=network, vip_address="fd00::99")
    assert chosen["vip_address"] == "fd00::99"


def test_additional_vips(api: Api, octavia: Octavia, network: str, subnet: Any) -> None:
    six = api.create("subnet", network_id=network, cidr="fd00::/64", ip_version=6)
    more = [{"subnet_id": six["id"], "ip_address": "fd00::7"}]
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"], additional_vips=more)
    assert made["additional_vips"] == [{**more[0], "port_id": made["vip_port_id"]}]
    port = api.show("port", made["vip_port_id"])
    assert {ip["ip_address"] for ip in port["fixed_ips"]} == {made["vip_address"], "fd00::7"}
    both = {"vip_subnet_id": subnet["id"], "additional_vips": [{"subnet_id": subnet["id"]}]}
    assert "Only one IP" in octavia.refused(400, "loadbalancer", **both)
    other = api.create("network")["id"]
    far = api.create("subnet", network_id=other, cidr="10.9.0.0/24", ip_version=4)["id"]
    apart = {"vip_subnet_id": subnet["id"], "additional_vips": [{"subnet_id": far}]}
    assert "same network" in octavia.refused(400, "loadbalancer", **apart)


NOWHERE = "6f3c7d6e-7f6e-4a0e-9d0a-111111111111"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "VIP must contain one of"),
        ({"vip_subnet_id": NOWHERE}, f"Subnet {NOWHERE} not found."),
        ({"vip_network_id": NOWHERE}, f"Network {NOWHERE} not found."),
        ({"vip_port_id": NOWHERE}, f"Port {NOWHERE} not found."),
        ({"vip_subnet_id": "red"}, "vip_subnet_id"),
        ({"vip_subnet_id": 7}, "vip_subnet_id"),
        ({"vip_subnet_id": NOWHERE, "vip_address": "ten"}, "'ten'"),
        ({"vip_subnet_id": NOWHERE, "provider": "ovn"}, "Provider 'ovn' is not enabled."),
        ({"vip_subnet_id": NOWHERE, "flavor_id": NOWHERE}, "Invalid flavor_id."),
        ({"vip_subnet_id": NOWHERE, "color": "red"}, "color"),
        ({"vip_subnet_id": NOWHERE, "name": "x" * 256}, "name"),
        ({"vip_subnet_id": NOWHERE, "admin_state_up": "perhaps"}, "perhaps"),
        ({"vip_subnet_id": NOWHERE, "vip_sg_ids": [NOWHERE]}, "Security Group"),
        ({"vip_subnet_id": NOWHERE, "vip_qos_policy_id": NOWHERE}, "qos_policy"),
        ({"vip_subnet_id": NOWHERE, "additional_vips": ["x"]}, "additional_vips"),
        ({"vip_subnet_id": NOWHERE, "listeners": "all"}, "lists of objects"),
        ({"vip_subnet_id": NOWHERE, "id": NOWHERE}, "id"),
    ],
)
def test_bad_input_is_refused_in_words(octavia: Octavia, asked: dict[str, Any], words: str) -> None:
    assert words in octavia.refused(400, "loadbalancer", **asked)


def test_it_is_changed(octavia: Octavia, subnet: Any) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"], name="old", tags=["a"])
    new = octavia.update("loadbalancer", made["id"], name="new", tags=["b"], admin_state_up=False)
    assert (new["name"], new["tags"], new["admin_state_up"]) == ("new", ["b"], False)
    assert octavia.update("loadbalancer", made["id"], name=None)["name"] == ""
    for name in ("vip_address", "vip_subnet_id", "provider", "project_id"):
        octavia.refused_change(400, "loadbalancer", made["id"], **{name: "x"})


def test_lists_are_asked_for_in_octavias_words(api: Api, octavia: Octavia, subnet: Any) -> None:
    made = [
        octavia.create("loadbalancer", vip_subnet_id=subnet["id"], name=name, tags=[name, "all"])
        for name in ("b", "a", "c")
    ]

    def names(query: str) -> list[str]:
        return [each["name"] for each in octavia.list("loadbalancer", query)]

    assert names("") == ["b", "a", "c"]  # by age
    assert names("sort=name:desc") == ["c", "b", "a"]
    assert names("sort_key=name") == ["a", "b", "c"]
    assert names("sort_key=name&sort_dir=desc") == ["c", "b", "a"]
    assert names("name=a") == ["a"]
    assert names("admin_state_up=false") == []
    assert names(f"vip_port_id={made[2]['vip_port_id']}") == ["c"]
    assert names("tags=a,all") == ["a"]
    assert names("tags-any=a,b") == ["b", "a"]
    assert names("not-tags=a&sort=name") == ["b", "c"]
    assert names("not-tags-any=a,c") == ["b"]
    assert octavia.list("loadbalancer", "fields=id&fields=name&name=a") == [
        {"id": made[1]["id"], "name": "a"}
    ]
    path = f"{LBAAS}/loadbalancers"
    assert api.request("GET", path)[1]["loadbalancers_links"] == []
    page = api.request("GET", f"{path}?sort=name&limit=2")[1]
    assert [each["name"] for each in page["loadbalancers"]] == ["a", "b"]
    (link,) = page["loadbalancers_links"]
    assert link["rel"] == "next"
    page = api.request("GET", link["href"])[1]
    assert [each["name"] for each in page["loadbalancers"]] == ["c"]
    (link,) = page["loadbalancers_links"]
    assert link["rel"] == "previous"
    page = api.request("GET", link["href"])[1]
    assert [each["name"] for each in page["loadbalancers"]] == ["a", "b"]
    one = octavia.show("loadbalancer", made[0]["id"], "fields=name")
    assert one == {"name": "b"}
    for query in ("color=red", "name=a&name=b", "limit=x", "sort=color", "sort=name:up"):
        status, answer = api.request("GET", f"{path}?{query}")
        assert (status, answer["faultcode"]) == (400, "Client"), query
    assert api.request("GET", f"{path}?marker=nowhere&limit=1")[0] == 400


def test_deleting_what_has_children_asks_for_cascade(
    api: Api, octavia: Octavia, subnet: Any
) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    octavia.create("listener", loadbalancer_id=made["id"], protocol="TCP", protocol_port=80)
    path = f"{LBAAS}/loadbalancers/{made['id']}"
    status, answer = api.request("DELETE", path)
    assert status == 400
    assert "it has children" in answer["faultstring"]
    status, answer = api.request("DELETE", f"{path}?cascade=true")
    assert (status, answer) == (204, None)
    assert octavia.list("listener") == octavia.list("loadbalancer") == []
    assert api.request("GET", f"/v2.0/ports/{made['vip_port_id']}")[0] == 404


def test_a_failover_is_accepted(api: Api, octavia: Octavia, subnet: Any) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    path = f"{LBAAS}/loadbalancers/{made['id']}/failover"
    assert api.request("PUT", path) == (202, None)
    assert api.store.get("loadbalancer", made["id"])["failovers"] == 1


def test_groups_of_the_vip_judge_what_a_proxy_gets(api: Api, octavia: Octavia, subnet: Any) -> None:
    group = api.create("security_group", name="web")["id"]
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"], vip_sg_ids=[group])
    assert made["vip_sg_ids"] == [group]
    assert api.show("port", made["vip_port_id"])["security_groups"] == [group]
    udp = {"loadbalancer_id": made["id"], "protocol": "UDP", "protocol_port": 53}
    assert "vip_sg_ids" in octavia.refused(501, "listener", **udp)
    new = octavia.update("loadbalancer", made["id"], vip_sg_ids=None)
    assert new["vip_sg_ids"] == []
    port = api.show("port", made["vip_port_id"])
    assert (port["security_groups"], port["port_security_enabled"]) == ([], False)
    octavia.create("listener", **udp)
    octavia.refused_change(501, "loadbalancer", made["id"], vip_sg_ids=[group])


@pytest.mark.parametrize("protocol", ["UDP", "SCTP"])
def test_what_switches_can_do_of_limits(octavia: Octavia, subnet: Any, protocol: str) -> None:
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    asked = {"loadbalancer_id": made["id"], "protocol": protocol, "protocol_port": 53}
    times = {"timeout_client_data": 1000, "timeout_member_data": 60_000}
    least = {"timeout_member_connect": 1000, "timeout_tcp_inspect": 50}
    one = octavia.create("listener", **asked, connection_limit=200, **times, **least)
    assert one["connection_limit"] == 200
    id = one["id"]
    said = octavia.refused_change(501, "listener", id, timeout_client_data=60_001)
    assert "timeout_client_data" in said and "timeout_member_data" not in said
    assert "admin_state_up" in octavia.refused_change(501, "listener", id, connection_limit=0)


def test_a_floating_ip_leads_to_it(api: Api, octavia: Octavia, subnet: Any) -> None:
    outside = api.create("network", **{"router:external": True})["id"]
    api.create("subnet", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
    router = api.create("router", external_gateway_info={"network_id": outside})["id"]
    status, answer = api.request(
        "PUT", f"/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]}
    )
    assert status == 200, answer
    made = octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    floating = api.create("floatingip", floating_network_id=outside, port_id=made["vip_port_id"])
    assert floating["fixed_ip_address"] == made["vip_address"]
    assert floating["router_id"] == router
    octavia.delete("loadbalancer", made["id"])
    assert api.show("floatingip", floating["id"])["port_id"] is None


# --- quotas --------------------------------------------------------------------------------------


def test_quotas_are_octavias(api: Api, octavia: Octavia, subnet: Any) -> None:
    path = f"{LBAAS}/quotas/default"
    status, answer = api.request("GET", path)
    assert status == 200
    quota = answer["quota"]
    assert quota["project_id"] == "default"
    assert quota["loadbalancer"] == quota["load_balancer"] == -1
    assert "port" not in quota
    status, answer = api.request("PUT", path, {"quota": {"load_balancer": 1}})
    assert (status, answer["quota"]["loadbalancer"]) == (202, 1)
    assert "loadbalancer" not in api.request("GET", "/v2.0/quotas/default")[1]["quota"]
    assert api.request("GET", "/v2.0/quotas")[1] == {"quotas": []}
    octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    said = octavia.refused(403, "loadbalancer", vip_subnet_id=subnet["id"])
    assert said == "Quota has been met for resources: loadbalancer"
    api.request("PUT", "/v2.0/quotas/default", {"quota": {"port": 7}})
    assert len(api.request("GET", f"{LBAAS}/quotas")[1]["quotas"]) == 1
    assert api.request("GET", f"{path}/default")[1]["quota"]["loadbalancer"] == -1
    assert api.request("DELETE", path)[0] == 202
    assert api.request("GET", f"{LBAAS}/quotas")[1]["quotas"] == []
    assert api.request("GET", "/v2.0/quotas/default")[1]["quota"]["port"] == 7
    octavia.create("loadbalancer", vip_subnet_id=subnet["id"])
    api.request("PUT", path, {"quota": {"loadbalancer": 9}})
    assert api.request("PUT", path, {"quota": {"loadbalancer": None}})[0] == 202
    assert api.request("GET", path)[1]["quota"]["loadbalancer"] == -1
    for wrong in ({"color": 1}, {"loadbalancer": -2}, {"loadbalancer": "x"}, {"port": 1}):
        status, answer = api.request("PUT", path, {"quota": wrong})
        assert (status, answer["faultcode"]) == (400, "Client"), wrong


def test_quotas_are_for_admins_to_set(make_api: Callable[..., Api], anybody: list[Context]) -> None:
    api = make_api(authenticate=lambda request: anybody[-1])
    path = f"{LBAAS}/quotas/red"
    for role, sees, sets in (
        ("member", 200, 403),
        ("load-balancer_quota_admin", 200, 202),
        ("load-balancer_admin", 200, 202),
        ("admin", 200, 202),
    ):
        anybody.append(caller("red", role))
        assert api.request("GET", path)[0] == sees, role
        assert api.request("PUT", path, {"quota": {"listener": 5}})[0] == sets, role
    anybody.append(caller("blue"))
    assert api.request("GET", path)[0] == 403
