# SPDX-License-Identifier: Apache-2.0

"""RBAC policies: who is given access to what, and how it looks to whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.controller.api import application as neutron
from tenantry.controller.api.core import rbac
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller, extensions, path
from tests.api.one_of_each import one_of_each

POLICIES = "/v2.0/rbac-policies"
RED, BLUE, ADMIN = ("1" * 32, "2" * 32, "a" * 32)
"""Projects as Keystone names them."""


KINDS = ["policy" if t == "qos_policy" else t for t in sorted(rbac.OBJECT_TYPES)]
"""What can be shared."""


class Cloud:
    """An API of which each request is some project's."""

    def __init__(self, make_api: Callable[..., Api]) -> None:
        def authenticate(request: Any) -> Context:
            project = request.headers["X-Project-Id"]
            return caller(project, "admin" if project == ADMIN else "manager")

        self.api = make_api(authenticate=authenticate)

    def ask(self, project: str, method: str, url: str, body: object = None) -> tuple[int, Any]:
        status, answer = self.api.request(method, url, body, X_Project_Id=project)
        return status, answer["NeutronError"]["type"] if status >= 400 else answer

    def make(self, project: str, kind: str, **attributes: Any) -> Any:
        url = self.api.kinds[kind].path
        status, answer = self.ask(project, "POST", url, {kind: attributes})
        assert status == 201, answer
        return answer[kind]

    def see(self, project: str, kind: str, id: str) -> Any:
        """What a project sees of a resource; None if it sees none."""
        status, answer = self.ask(project, "GET", f"{self.api.kinds[kind].path}/{id}")
        assert status == 200 or status == 404, answer
        return answer[kind] if status == 200 else None

    def ids(self, project: str, kind: str, query: str = "") -> set[str]:
        url, collection = self.api.kinds[kind].path, self.api.kinds[kind].collection
        status, answer = self.ask(project, "GET", f"{url}?{query}")
        assert status == 200, answer
        return {item["id"] for item in answer[collection]}

    def share(self, by: str, kind: str, id: str, target: str, external: bool = False) -> Any:
        """What comes of making a policy."""
        action = "access_as_external" if external else "access_as_shared"
        object_type = "qos_policy" if kind == "policy" else kind
        what = {"object_type": object_type, "object_id": id, "target_tenant": target}
        return self.ask(by, "POST", POLICIES, {"rbac_policy": {**what, "action": action}})

    def policies(self, id: str, external: bool = False) -> dict[str, str]:
        """Ids of the policies of a resource, by target."""
        action = "access_as_external" if external else "access_as_shared"
        _, answer = self.ask(ADMIN, "GET", f"{POLICIES}?object_id={id}&action={action}")
        return {policy["target_tenant"]: policy["id"] for policy in answer["rbac_policies"]}


@pytest.fixture
def cloud(make_api: Callable[..., Api]) -> Cloud:
    return Cloud(make_api)


def make_shareable(cloud: Cloud, kind: str) -> str:
    """One of red's."""
    attributes: dict[str, Any] = {"name": "mine"}
    if kind == "subnetpool":
        attributes["prefixes"] = ["10.0.0.0/8"]
    elif kind == "address_scope":
        attributes["ip_version"] = 4
    id: str = cloud.make(RED, kind, **attributes)["id"]
    return id


@pytest.mark.parametrize("kind", KINDS)
def test_shared_is_as_the_caller_sees_it(cloud: Cloud, kind: str) -> None:
    id = make_shareable(cloud, kind)
    assert cloud.see(RED, kind, id)["shared"] is False
    assert cloud.see(BLUE, kind, id) is None
    status, answer = cloud.share(RED, kind, id, BLUE)
    assert status == 201, answer
    assert cloud.see(BLUE, kind, id)["shared"] is True
    assert cloud.see(RED, kind, id)["shared"] is False, "with another"
    for project, shared in ((BLUE, "true"), (RED, "false"), (ADMIN, "false")):
        other = {"true": "false", "false": "true"}[shared]
        assert id in cloud.ids(project, kind, f"shared={shared}")
        assert id not in cloud.ids(project, kind, f"shared={other}")
    assert cloud.share(ADMIN, kind, id, "*")[0] == 201
    for project in (RED, BLUE, ADMIN, "3" * 32):
        assert cloud.see(project, kind, id)["shared"] is True
        assert id in cloud.ids(project, kind, "shared=true")
    for policy in cloud.policies(id).values():
        assert cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{policy}")[0] == 204
    assert cloud.see(RED, kind, id)["shared"] is False
    assert cloud.see(BLUE, kind, id) is None


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_ones_own_may_be_given_away(cloud: Cloud, kind: str) -> None:
    id = make_shareable(cloud, kind)
    hidden = cloud.share(BLUE, kind, id, "3" * 32)
    assert hidden[0] == 404
    cloud.share(RED, kind, id, BLUE)
    assert cloud.share(BLUE, kind, id, "3" * 32) == (400, "InvalidInput")
    assert cloud.share(RED, kind, id, BLUE) == (409, "DuplicateRbacPolicy")
    assert cloud.share(RED, kind, id, "*")[0] == 403
    other = cloud.share(RED, kind, id, "3" * 32)[1]["rbac_policy"]["id"]
    change = {"rbac_policy": {"target_tenant": BLUE}}
    refused = cloud.ask(RED, "PUT", f"{POLICIES}/{other}", change)
    assert refused == (409, "DuplicateRbacPolicy")


def test_a_pool_is_shared_with_whom_its_scope_is(cloud: Cloud) -> None:
    scope = make_shareable(cloud, "address_scope")
    net = {"name": "p", "prefixes": ["10.0.0.0/8"], "address_scope_id": scope}
    pool = cloud.make(RED, "subnetpool", **net)["id"]
    assert cloud.share(RED, "subnetpool", pool, BLUE) == (400, "InvalidInput")
    assert cloud.share(ADMIN, "subnetpool", pool, "*") == (400, "InvalidInput")
    assert cloud.share(RED, "address_scope", scope, BLUE)[0] == 201
    assert cloud.share(RED, "subnetpool", pool, BLUE)[0] == 201
    assert cloud.share(ADMIN, "subnetpool", pool, "*") == (400, "InvalidInput")
    change = {"rbac_policy": {"target_tenant": "3" * 32}}
    policy = f"{POLICIES}/{cloud.policies(pool)[BLUE]}"
    assert cloud.ask(RED, "PUT", policy, change) == (400, "InvalidInput")


def test_a_target_is_a_uuid_where_projects_have_one(cloud: Cloud) -> None:
    id = make_shareable(cloud, "network")
    assert cloud.share(RED, "network", id, "blue") == (400, "InvalidInput")
    policy = cloud.share(RED, "network", id, BLUE)[1]["rbac_policy"]["id"]
    change = {"rbac_policy": {"target_tenant": "blue"}}
    refused = cloud.ask(RED, "PUT", f"{POLICIES}/{policy}", change)
    assert refused == (400, "InvalidInput")
    mine = cloud.make("red", "network")["id"]
    assert cloud.share("red", "network", mine, "blue")[0] == 201, "a lab's have names"


def test_who_sees_a_network_sees_its_subnets(cloud: Cloud) -> None:
    network = make_shareable(cloud, "network")
    net = {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}
    subnet = cloud.make(RED, "subnet", **net)["id"]
    assert cloud.see(BLUE, "subnet", subnet) is None
    cloud.share(RED, "network", network, BLUE)
    assert cloud.see(BLUE, "network", network)["subnets"] == [subnet]
    assert cloud.see(BLUE, "subnet", subnet)["cidr"] == "10.0.0.0/24"
    assert cloud.ids(BLUE, "subnet", "shared=true") == {subnet}
    assert cloud.ids(BLUE, "subnet", "shared=false") == set()
    assert cloud.ids(RED, "subnet", "shared=false") == {subnet}
    outside = cloud.make(ADMIN, "network", **{"router:external": True})["id"]
    net = {"network_id": outside, "ip_version": 6, "cidr": "2001:db8::/64"}
    public = cloud.make(ADMIN, "subnet", **net)["id"]
    assert cloud.see(BLUE, "subnet", public)["network_id"] == outside
    assert cloud.ids(BLUE, "subnet") == {subnet, public}
    assert cloud.ids(RED, "subnet", "shared=true") == set()


@pytest.mark.parametrize("kind", ["network", "subnetpool", "address_scope"])
def test_shared_with_all_by_its_attribute_or_by_a_policy(cloud: Cloud, kind: str) -> None:
    more = {"subnetpool": {"prefixes": ["10.0.0.0/8"]}, "address_scope": {"ip_version": 4}}
    made = cloud.make(ADMIN, kind, name="ours", shared=True, **more.get(kind, {}))
    assert made["shared"] is True
    assert list(cloud.policies(made["id"])) == ["*"]
    assert cloud.share(ADMIN, kind, made["id"], "*") == (409, "DuplicateRbacPolicy")
    policy = cloud.policies(made["id"])["*"]
    assert cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{policy}")[0] == 204
    assert cloud.see(ADMIN, kind, made["id"])["shared"] is False
    assert cloud.see(RED, kind, made["id"]) is None


def test_a_network_is_shared_and_unshared(cloud: Cloud) -> None:
    network = cloud.make(ADMIN, "network")["id"]

    def put(shared: bool) -> tuple[int, Any]:
        body = {"network": {"shared": shared}}
        return cloud.ask(ADMIN, "PUT", f"/v2.0/networks/{network}", body)

    assert put(True)[1]["network"]["shared"] is True
    assert list(cloud.policies(network)) == ["*"]
    assert put(False)[1]["network"]["shared"] is False
    assert cloud.policies(network) == {}
    put(True)
    cloud.make(RED, "port", network_id=network)
    assert put(False) == (409, "InvalidSharedSetting")
    everybody = cloud.policies(network)["*"]
    assert cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{everybody}") == (409, "RbacPolicyInUse")
    cloud.share(ADMIN, "network", network, RED)
    assert put(False)[0] == 200, "red has access of its own"
    assert list(cloud.policies(network)) == [RED]
    policy = cloud.policies(network)[RED]
    change = {"rbac_policy": {"target_tenant": "*"}}
    assert cloud.ask(ADMIN, "PUT", f"{POLICIES}/{policy}", change)[0] == 200
    assert cloud.see(BLUE, "network", network)["shared"] is True
    assert cloud.ask(ADMIN, "PUT", f"/v2.0/networks/{network}", {"network": {"shared": True}})
    assert cloud.policies(network) == {"*": policy}


def outside(cloud: Cloud, **attributes: Any) -> str:
    id: str = cloud.make(ADMIN, "network", **attributes)["id"]
    net = {"network_id": id, "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": False}
    cloud.make(ADMIN, "subnet", **net)
    return id


def test_external_by_its_attribute_is_for_all(cloud: Cloud) -> None:
    network = outside(cloud, **{"router:external": True})
    assert list(cloud.policies(network, external=True)) == ["*"]
    seen = cloud.see(RED, "network", network)
    assert (seen["router:external"], seen["shared"]) == (True, False)
    url = f"/v2.0/networks/{network}"
    cloud.ask(ADMIN, "PUT", url, {"network": {"router:external": False}})
    assert cloud.policies(network, external=True) == {}
    assert cloud.see(RED, "network", network) is None
    cloud.ask(ADMIN, "PUT", url, {"network": {"router:external": True}})
    policy = cloud.policies(network, external=True)["*"]
    shared = cloud.share(ADMIN, "network", network, "*")[1]["rbac_policy"]["id"]
    cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{shared}")
    assert cloud.see(RED, "network", network)["router:external"] is True
    assert cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{policy}")[0] == 204
    assert cloud.see(ADMIN, "network", network)["router:external"] is False


def test_the_default_network_is_for_all(cloud: Cloud) -> None:
    network = outside(cloud, **{"router:external": True, "is_default": True})
    policy = f"{POLICIES}/{cloud.policies(network, external=True)['*']}"
    cloud.share(ADMIN, "network", network, RED, external=True)
    assert cloud.ask(ADMIN, "DELETE", policy) == (409, "RbacPolicyInUse")
    change = {"rbac_policy": {"target_tenant": BLUE}}
    assert cloud.ask(ADMIN, "PUT", policy, change) == (409, "RbacPolicyInUse")
    change = {"network": {"is_default": False}}
    assert cloud.ask(ADMIN, "PUT", f"/v2.0/networks/{network}", change)[0] == 200
    assert cloud.ask(ADMIN, "DELETE", policy)[0] == 204
    assert cloud.see(RED, "network", network)["router:external"] is True
    assert cloud.see(BLUE, "network", network) is None


def test_external_for_some(cloud: Cloud) -> None:
    network = outside(cloud)
    gateway = {"external_gateway_info": {"network_id": network}}
    for project in (ADMIN, RED):
        assert cloud.share(ADMIN, "network", network, project, external=True)[0] == 201
    assert cloud.see(ADMIN, "network", network)["router:external"] is True
    assert cloud.see(BLUE, "network", network) is None
    floating = {"floatingip": {"floating_network_id": network}}
    assert cloud.ask(BLUE, "POST", "/v2.0/floatingips", floating) == (404, "NetworkNotFound")
    refused = cloud.ask(BLUE, "POST", "/v2.0/routers", {"router": gateway})
    assert refused == (404, "NetworkNotFound")
    _, pools = cloud.ask(BLUE, "GET", "/v2.0/floatingip_pools")
    assert pools == {"floatingip_pools": []}
    assert cloud.make(RED, "floatingip", floating_network_id=network)["floating_ip_address"]
    router = cloud.make(RED, "router", **gateway)["id"]
    assert cloud.see(RED, "network", network)["shared"] is False
    refused = cloud.ask(RED, "POST", "/v2.0/ports", {"port": {"network_id": network}})
    assert refused == (403, "PolicyNotAuthorized"), "a gateway's access is none for ports"

    policies = cloud.policies(network, external=True)
    url = f"{POLICIES}/{policies[RED]}"
    assert cloud.ask(ADMIN, "DELETE", url) == (409, "RbacPolicyInUse")
    change = {"rbac_policy": {"target_tenant": BLUE}}
    assert cloud.ask(ADMIN, "PUT", url, change) == (409, "RbacPolicyInUse")
    cloud.share(ADMIN, "network", network, "*", external=True)
    assert cloud.ask(ADMIN, "DELETE", url)[0] == 204, "everybody has access"
    everybody = f"{POLICIES}/{cloud.policies(network, external=True)['*']}"
    assert cloud.ask(ADMIN, "DELETE", everybody) == (409, "RbacPolicyInUse")
    change = {"rbac_policy": {"target_tenant": RED}}
    assert cloud.ask(ADMIN, "PUT", everybody, change)[0] == 200
    cloud.ask(RED, "DELETE", f"/v2.0/routers/{router}")
    assert cloud.ask(ADMIN, "DELETE", everybody)[0] == 204
    assert cloud.see(ADMIN, "network", network)["router:external"] is True, "the admin has access"
    policies = cloud.policies(network, external=True)
    assert cloud.ask(ADMIN, "DELETE", f"{POLICIES}/{policies[ADMIN]}")[0] == 204
    assert cloud.see(ADMIN, "network", network)["router:external"] is False


def test_only_networks_are_external(cloud: Cloud) -> None:
    pool = make_shareable(cloud, "subnetpool")
    refused = cloud.share(RED, "subnetpool", pool, BLUE, external=True)
    assert refused == (400, "InvalidActionForType")


def test_policies_go_with_what_they_are_about(cloud: Cloud) -> None:
    network = cloud.make(ADMIN, "network", shared=True, **{"router:external": True})["id"]
    cloud.share(ADMIN, "network", network, RED)
    assert cloud.ask(ADMIN, "DELETE", f"/v2.0/networks/{network}")[0] == 204
    assert cloud.ids(ADMIN, "rbac_policy") == set()


def test_what_an_earlier_version_shared_gets_its_policies(make_api: Callable[..., Api]) -> None:
    """As it was in the database before there were policies for it."""
    before = make_api()
    network = before.create("network", shared=True, **{"router:external": True})["id"]
    pool = before.create("subnetpool", name="p", prefixes=["10.0.0.0/8"], shared=True)["id"]

    def forget(draft: Any) -> None:
        for id in before.store.read("rbac_policy"):
            draft.delete("rbac_policy", id)

    before.store.write(forget, "an earlier version")
    before.store.close()
    cloud = Cloud(make_api)
    assert list(cloud.policies(network)) == ["*"]
    assert list(cloud.policies(network, external=True)) == ["*"]
    assert list(cloud.policies(pool)) == ["*"]
    assert cloud.see(RED, "network", network)["router:external"] is True
    head = cloud.api.store.head
    assert Cloud(make_api).api.store.head == head, "once"


def test_nothing_is_to_be_brought_up_to_date_in_a_new_database(make_api: Any) -> None:
    api = make_api()
    one_of_each(api)
    head = api.store.head
    again = make_api()
    assert again.store.head == head


def test_rules_of_a_group_are_its_owners(cloud: Cloud) -> None:
    """Whoever made them."""
    group = cloud.make(RED, "security_group", name="web")["id"]
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    made = cloud.make(ADMIN, "security_group_rule", **rule)["id"]
    assert cloud.see(RED, "security_group_rule", made)["security_group_id"] == group
    assert made in cloud.ids(RED, "security_group_rule")
    assert cloud.see(BLUE, "security_group_rule", made) is None
    assert cloud.ask(RED, "DELETE", path("security_group_rule", made))[0] == 204


def test_every_kind_that_can_be_shared_is_there() -> None:
    assert neutron.kinds(extensions()).keys() >= set(KINDS)
