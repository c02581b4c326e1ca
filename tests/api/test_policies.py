# SPDX-License-Identifier: Apache-2.0

"""What people of a project may do, and what is an operator's, as Neutron answers it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller, path

REFUSED = (403, "PolicyNotAuthorized")
MAC = "fa:16:3e:00:00:99"


class Cloud:
    """An API, and who is asking."""

    def __init__(self, make_api: Callable[..., Api]) -> None:
        self.who = caller("operators", "admin")
        self.api = make_api(authenticate=lambda request: self.who)

    def be(self, project: str, *roles: str) -> Context:
        self.who = caller(project, *roles)
        return self.who

    def ask(self, method: str, url: str, body: object = None) -> tuple[int, Any]:
        head = self.api.store.head
        status, answer = self.api.request(method, url, body)
        if status >= 400:
            assert self.api.store.head == head
            return status, answer["NeutronError"]["type"]
        return status, answer

    def post(self, kind: str, **attributes: Any) -> tuple[int, Any]:
        return self.ask("POST", self.api.kinds[kind].path, {kind: attributes})

    def put(self, kind: str, id: str, **attributes: Any) -> tuple[int, Any]:
        return self.ask("PUT", f"{self.api.kinds[kind].path}/{id}", {kind: attributes})

    def make(self, kind: str, **attributes: Any) -> Any:
        status, answer = self.post(kind, **attributes)
        assert status == 201, answer
        return answer[kind]


@pytest.fixture
def cloud(make_api: Callable[..., Api]) -> Cloud:
    return Cloud(make_api)


@pytest.fixture
def shared(cloud: Cloud) -> str:
    """A network of blue's that all may use."""
    id: str = cloud.make("network", shared=True, project_id="blue")["id"]
    cloud.make("subnet", network_id=id, cidr="10.0.0.0/24", ip_version=4, project_id="blue")
    return id


def test_a_reader_writes_nothing(cloud: Cloud) -> None:
    network = cloud.make("network", project_id="red")["id"]
    cloud.be("red", "reader")
    assert cloud.api.show("network", network)["id"] == network
    assert cloud.post("network", name="x") == REFUSED
    assert cloud.put("network", network, name="x") == REFUSED
    assert cloud.put("network", network) == REFUSED, "not even nothing"
    assert cloud.ask("DELETE", path("network", network)) == REFUSED
    assert cloud.ask("PUT", path("network", network, "tags"), {"tags": []}) == REFUSED
    assert cloud.ask("PUT", path("network", network, "tags", "a")) == REFUSED


def test_who_has_no_role_sees_nothing_of_their_own(cloud: Cloud) -> None:
    network = cloud.make("network", project_id="red")["id"]
    cloud.be("red", "nothing")
    assert cloud.ask("GET", path("network", network)) == (404, "NetworkNotFound")
    assert cloud.ask("DELETE", path("network", network)) == (404, "NetworkNotFound")
    assert cloud.api.list("network") == []


@pytest.mark.parametrize("name", ["distributed", "ha"])
def test_how_a_router_is_built_is_an_operators(cloud: Cloud, name: str) -> None:
    router = cloud.make("router", project_id="red")
    assert name in router
    cloud.be("red")
    for value in (True, False):
        assert cloud.post("router", **{name: value}) == REFUSED
        assert cloud.put("router", router["id"], **{name: value}) == REFUSED
    assert name not in cloud.api.show("router", router["id"])
    assert name not in cloud.make("router")
    assert all(name not in shown for shown in cloud.api.list("router"))


SPOOFS: list[dict[str, Any]] = [
    {"port_security_enabled": False},
    {"allowed_address_pairs": [{"ip_address": "10.0.0.7"}]},
    {"mac_address": MAC},
    {"fixed_ips": [{"ip_address": "10.0.0.9"}]},
    {"device_owner": "network:dhcp"},
]


@pytest.mark.parametrize("attributes", SPOOFS, ids=lambda given: next(iter(given)))
def test_no_spoofing_on_what_is_shared(
    cloud: Cloud, shared: str, attributes: dict[str, Any]
) -> None:
    cloud.be("red")
    assert cloud.post("port", network_id=shared, **attributes) == REFUSED
    port = cloud.make("port", network_id=shared)["id"]
    assert cloud.put("port", port, **attributes) == REFUSED
    cloud.be("blue", "manager")  # whose the network is
    mine = cloud.make("port", network_id=shared, **attributes)["id"]
    assert cloud.put("port", mine, **attributes)[0] == 200


BINDING: list[dict[str, Any]] = [{"binding:host_id": "h"}, {"binding:profile": {"a": 1}}]


@pytest.mark.parametrize("attributes", BINDING, ids=lambda given: next(iter(given)))
def test_where_a_port_is_bound_is_an_operators(cloud: Cloud, attributes: dict[str, Any]) -> None:
    cloud.be("red")
    network = cloud.make("network")["id"]
    port = cloud.make("port", network_id=network)
    assert cloud.post("port", network_id=network, **attributes) == REFUSED
    assert cloud.put("port", port["id"], **attributes) == REFUSED
    assert cloud.put("port", port["id"], mac_address=MAC) == REFUSED, "a manager's"
    hidden = {f"binding:{name}" for name in ("host_id", "profile", "vif_type", "vif_details")}
    assert not hidden & port.keys()
    assert not hidden & cloud.api.show("port", port["id"]).keys()
    cloud.be("red", "manager")
    assert cloud.put("port", port["id"], mac_address=MAC)[0] == 200
    cloud.be("nova", "service")
    assert cloud.put("port", port["id"], **attributes)[0] == 200
    assert hidden <= cloud.api.show("port", port["id"]).keys()


def test_how_networks_are_carried_is_hidden(cloud: Cloud) -> None:
    names = [f"provider:{n}" for n in ("network_type", "physical_network", "segmentation_id")]
    network = cloud.make("network", project_id="red")
    assert {*names} <= network.keys()
    subnet = cloud.make(
        "subnet", network_id=network["id"], cidr="10.0.0.0/24", ip_version=4, project_id="red"
    )
    assert "segment_id" in subnet
    cloud.be("red")
    assert not {*names} & cloud.api.show("network", network["id"]).keys()
    assert cloud.post("network", **{names[0]: "vxlan"}) == REFUSED
    assert "segment_id" not in cloud.api.show("subnet", subnet["id"])


def test_what_is_hidden_cannot_be_found_by_asking_for_it(cloud: Cloud) -> None:
    network = cloud.make("network", project_id="red")
    value = network["provider:network_type"]
    query = f"provider:network_type={value}"
    assert cloud.api.list("network", query)
    cloud.be("red")
    assert cloud.api.list("network", query) == []
    assert cloud.api.list("network", "fields=provider:network_type") == [{}]


def test_a_networks_owner_and_foreign_ports_on_it(cloud: Cloud, shared: str) -> None:
    cloud.be("red")
    port = cloud.make("port", network_id=shared, name="red's")["id"]
    cloud.be("blue")
    assert cloud.api.show("port", port)["name"] == "red's"
    assert [shown["id"] for shown in cloud.api.list("port")] == [port]
    assert cloud.put("port", port, name="mine") == REFUSED
    cloud.be("green")
    assert cloud.ask("DELETE", path("port", port)) == (404, "PortNotFound")
    cloud.be("blue")
    assert cloud.ask("DELETE", path("port", port)) == (204, None)


@pytest.mark.parametrize("kind", ["network", "address_scope"])
def test_sharing_is_an_operators_even_if_nothing_changes(cloud: Cloud, kind: str) -> None:
    cloud.be("red")
    more = {"ip_version": 4} if kind == "address_scope" else {}
    one = cloud.make(kind, name="x", **more)["id"]
    for value in (False, True):
        assert cloud.put(kind, one, shared=value) == REFUSED


def test_which_floating_ip_one_gets_is_a_managers(cloud: Cloud) -> None:
    outside = cloud.make("network", **{"router:external": True})["id"]
    cloud.make("subnet", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
    wanted = {"floating_network_id": outside, "floating_ip_address": "203.0.113.9"}
    cloud.be("red")
    assert cloud.post("floatingip", **wanted) == REFUSED
    cloud.be("red", "manager")
    assert cloud.make("floatingip", **wanted)["floating_ip_address"] == "203.0.113.9"


def test_logs_are_a_managers(cloud: Cloud) -> None:
    cloud.be("red")
    group = cloud.make("security_group", name="g")["id"]
    wanted = {"name": "l", "resource_type": "security_group", "resource_id": group}
    assert cloud.post("log", **wanted) == REFUSED
    assert cloud.ask("GET", "/v2.0/log/loggable-resources") == (200, {"loggable_resources": []})
    cloud.be("red", "manager")
    log = cloud.make("log", **wanted)["id"]
    assert len(cloud.ask("GET", "/v2.0/log/loggable-resources")[1]["loggable_resources"]) == 1
    cloud.be("red")
    assert cloud.ask("GET", f"/v2.0/log/logs/{log}")[0] == 404
    assert cloud.ask("DELETE", f"/v2.0/log/logs/{log}")[0] == 404


@pytest.mark.parametrize("kind", ["address_group", "security_group"])
def test_what_is_shared_with_me_i_do_not_change(cloud: Cloud, kind: str) -> None:
    """Neutron tells of an address group that there is none, of others that one may not."""
    cloud.be("blue")
    one = cloud.make(kind, name="blue's")["id"]
    policy = {"object_type": kind, "object_id": one, "action": "access_as_shared"}
    cloud.make("rbac_policy", **policy, target_tenant="red")
    cloud.be("red")
    assert cloud.api.show(kind, one)["name"] == "blue's"
    expected = 404 if kind == "address_group" else 403
    assert cloud.put(kind, one, name="mine")[0] == expected
    assert cloud.ask("DELETE", path(kind, one)) == REFUSED


def test_how_many_addresses_are_left_is_an_operators(cloud: Cloud, shared: str) -> None:
    url = "/v2.0/network-ip-availabilities"
    assert cloud.ask("GET", f"{url}/{shared}")[0] == 200
    cloud.be("blue")
    assert cloud.ask("GET", f"{url}/{shared}") == (404, "NetworkNotFound")
    assert cloud.ask("GET", url) == (200, {"network_ip_availabilities": []})


def test_rules_are_the_groups_owners(cloud: Cloud) -> None:
    cloud.be("blue")
    group = cloud.make("security_group", name="g")["id"]
    wanted = {"security_group_id": group, "direction": "ingress"}
    rule = cloud.make("security_group_rule", **wanted)["id"]
    policy = {"object_type": "security_group", "object_id": group, "action": "access_as_shared"}
    cloud.make("rbac_policy", **policy, target_tenant="red")
    cloud.be("red")
    assert cloud.post("security_group_rule", **wanted) == REFUSED
    assert cloud.ask("DELETE", path("security_group_rule", rule))[0] == 404
    cloud.be("green")
    assert cloud.post("security_group_rule", **wanted) == (404, "SecurityGroupNotFound")


def test_parts_are_for_whoever_has_the_whole(cloud: Cloud) -> None:
    cloud.be("blue")
    router = cloud.make("router")["id"]
    url = path("router", router, "conntrack_helpers")
    body = {"conntrack_helper": {"protocol": "tcp", "port": 21, "helper": "ftp"}}
    status, answer = cloud.ask("POST", url, body)
    assert status == 201, answer
    one = f"{url}/{answer['conntrack_helper']['id']}"
    cloud.be("red")
    for method, at in (("GET", url), ("POST", url), ("GET", one), ("PUT", one), ("DELETE", one)):
        sent = body if method in ("POST", "PUT") else None
        assert cloud.ask(method, at, sent) == (404, "RouterNotFound")
    cloud.be("blue", "reader")
    assert cloud.ask("GET", one)[0] == 200
    assert cloud.ask("POST", url, body) == REFUSED
    assert cloud.ask("DELETE", one) == REFUSED


def test_parts_of_attributes_have_rules(cloud: Cloud) -> None:
    outside = cloud.make("network", **{"router:external": True})["id"]
    cloud.make("subnet", network_id=outside, cidr="203.0.113.0/24", ip_version=4)
    cloud.be("red")
    gateway: dict[str, Any] = {"network_id": outside}
    router = cloud.make("router", external_gateway_info=gateway)["id"]
    for part in ({"enable_snat": False}, {"external_fixed_ips": []}):
        asked = {"external_gateway_info": gateway | part}
        assert cloud.post("router", **asked) == REFUSED
        assert cloud.put("router", router, **asked) == REFUSED
    cloud.be("operators", "admin")
    assert cloud.put("router", router, external_gateway_info=gateway | {"enable_snat": False})


def test_what_is_refused_says_by_which_rule(cloud: Cloud) -> None:
    cloud.be("red")
    message = cloud.api.refused(
        *REFUSED, "POST", path("network"), {"network": {"router:external": True}}
    )
    assert message == "rule:create_network:router:external is disallowed by policy"


def test_an_operators_own_rules(make_api: Callable[..., Api], tmp_path: Path) -> None:
    """Those of docs/policies.md."""
    file = tmp_path / "policy.yaml"
    file.write_text(
        "create_router: rule:admin_only or role:architect and project_id:%(project_id)s\n"
        "get_port:binding:host_id: rule:admin_only or role:night\n"
        "create_port:description: rule:admin_only\n"
        "get_network: '@'\n"
    )
    cloud = Cloud(partial(make_api, policy_file=str(file)))
    hidden = cloud.make("network", project_id="blue")["id"]
    cloud.be("red")
    assert cloud.post("router") == REFUSED
    network = cloud.make("network")["id"]
    assert cloud.post("port", network_id=network, description="x") == REFUSED
    port = cloud.make("port", network_id=network)
    assert "binding:host_id" not in port
    cloud.be("red", "member", "night", "architect")
    assert cloud.make("router")
    assert "binding:host_id" in cloud.api.show("port", port["id"])
    assert cloud.ask("GET", path("network", hidden))[0] == 404, "it was not shared with them"
    file.write_text("create_router: '!'\n")
    assert cloud.post("router") == REFUSED
    cloud.be("operators", "admin")
    assert cloud.post("router") == REFUSED
