# SPDX-License-Identifier: Apache-2.0

"""Quality of service: policies, their rules, and who has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry.apps.qos import records
from tenantry.apps.qos.records import NO_RULES, Rates, Rules
from tenantry.controller.api.core import agent
from tenantry.controller.feature.context import Context
from tenantry.controller.model import BANDWIDTHS, View
from tests.api.conftest import Api, caller
from tests.api.observed import modelled

POLICIES = "/v2.0/qos/policies"
RED, BLUE, ADMIN = "red", "blue", "operators"


class Qos:
    """Requests of projects, each as its manager unless another role is named."""

    def __init__(self, make_api: Callable[..., Api]) -> None:
        def authenticate(request: Any) -> Context:
            role = "admin" if request.headers["X-Project-Id"] == ADMIN else "manager"
            return caller(request.headers["X-Project-Id"], request.headers.get("X-Role", role))

        self.api = make_api(authenticate=authenticate)

    def ask(
        self, method: str, url: str, body: Any = None, project: str = RED, **headers: str
    ) -> tuple[int, Any]:
        status, answer = self.api.request(method, url, body, X_Project_Id=project, **headers)
        return status, answer["NeutronError"] if status >= 400 else answer

    def refused(self, *asked: Any, **how: Any) -> tuple[int, str]:
        """The status and the type of an error; and nothing was changed."""
        head = self.api.store.head
        status, answer = self.ask(*asked, **how)
        assert status >= 400, answer
        assert self.api.store.head == head
        return status, answer["type"]

    def done(self, *asked: Any, **how: Any) -> Any:
        status, answer = self.ask(*asked, **how)
        assert status < 400, answer
        return next(iter(answer.values())) if answer else None

    def make(self, kind: str, project: str = RED, **attributes: Any) -> Any:
        url = self.api.kinds[kind].path
        return self.done("POST", url, {kind: attributes}, project=project)

    def set(self, kind: str, id: str, project: str = RED, **attributes: Any) -> Any:
        url = f"{self.api.kinds[kind].path}/{id}"
        return self.done("PUT", url, {kind: attributes}, project=project)

    def see(self, kind: str, id: str, project: str = RED) -> Any:
        return self.done("GET", f"{self.api.kinds[kind].path}/{id}", project=project)

    def delete(self, kind: str, id: str, project: str = RED) -> None:
        self.done("DELETE", f"{self.api.kinds[kind].path}/{id}", project=project)

    def policy(self, project: str = RED, **attributes: Any) -> str:
        id: str = self.make("policy", project, name="p", **attributes)["id"]
        return id

    def rule(self, policy: str, type: str, project: str = RED, **attributes: Any) -> Any:
        return self.done("POST", *rule(policy, type, **attributes), project=project)

    def outside(self) -> Any:
        """An external network with a subnet."""
        network = self.make("network", ADMIN, **{"router:external": True})
        self.make("subnet", ADMIN, network_id=network["id"], ip_version=4, cidr="192.0.2.0/24")
        return network["id"]


def rule(policy: str, type: str, **attributes: Any) -> tuple[str, Any]:
    """What a POST of a rule is made of."""
    return f"{POLICIES}/{policy}/{type}_rules", {f"{type}_rule": attributes}


@pytest.fixture
def qos(make_api: Callable[..., Api]) -> Qos:
    return Qos(make_api)


# --- rules ---------------------------------------------------------------------------------------

SAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "bandwidth_limit": (
        {"max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"},
        {"max_kbps": 2000, "max_burst_kbps": 900, "direction": "ingress"},
    ),
    "packet_rate_limit": (
        {"max_kpps": 10, "max_burst_kpps": 0, "direction": "egress"},
        {"max_kpps": 20, "max_burst_kpps": 5, "direction": "ingress"},
    ),
    "dscp_marking": ({"dscp_mark": 26}, {"dscp_mark": 46}),
    "minimum_bandwidth": (
        {"min_kbps": 100, "direction": "egress"},
        {"min_kbps": 200, "direction": "ingress"},
    ),
    "minimum_packet_rate": (
        {"min_kpps": 1, "direction": "egress"},
        {"min_kpps": 2, "direction": "any"},
    ),
}
"""A rule of each type, and what to make of it."""


@pytest.mark.parametrize("type", SAMPLES)
def test_a_rule_is_made_seen_changed_and_deleted(qos: Qos, type: str) -> None:
    policy, (first, second) = qos.policy(), SAMPLES[type]
    made = qos.rule(policy, type, **first)
    assert made == {"id": made["id"], **first}
    url = f"{POLICIES}/{policy}/{type}_rules"
    assert qos.done("GET", url) == [made]
    before = qos.see("policy", policy)
    assert before["rules"] == [{**made, "qos_policy_id": policy, "type": type}]
    changed = qos.done("PUT", f"{url}/{made['id']}", {f"{type}_rule": second})
    assert changed == {"id": made["id"], **second} == qos.done("GET", f"{url}/{made['id']}")
    after = qos.see("policy", policy)
    assert after["rules"] == [{**changed, "qos_policy_id": policy, "type": type}]
    assert after["revision_number"] == before["revision_number"] + 1
    qos.done("DELETE", f"{url}/{made['id']}")
    assert qos.see("policy", policy)["rules"] == [] == qos.done("GET", url)
    assert qos.refused("GET", f"{url}/{made['id']}") == (404, "QosRuleNotFound")


@pytest.mark.parametrize("type", SAMPLES)
def test_a_policy_has_one_rule_of_a_type_and_direction(qos: Qos, type: str) -> None:
    policy, (first, second) = qos.policy(), SAMPLES[type]
    qos.rule(policy, type, **first)
    assert qos.refused("POST", *rule(policy, type, **first)) == (409, "QoSRulesConflict")
    if "direction" in first:
        other = qos.rule(policy, type, **{**second, "direction": "ingress"})
        url = f"{POLICIES}/{policy}/{type}_rules/{other['id']}"
        turned = {f"{type}_rule": {"direction": "egress"}}
        assert qos.refused("PUT", url, turned) == (409, "QoSRulesConflict")


def test_a_rule_of_both_directions_stands_alone(qos: Qos) -> None:
    for first, second in (("any", "egress"), ("ingress", "any")):
        policy = qos.policy()
        qos.rule(policy, "minimum_packet_rate", min_kpps=1, direction=first)
        more = rule(policy, "minimum_packet_rate", min_kpps=1, direction=second)
        assert qos.refused("POST", *more) == (409, "QoSRuleParameterConflict")


def test_no_limit_is_below_what_is_promised_in_its_direction(qos: Qos) -> None:
    policy = qos.policy()
    limit = qos.rule(policy, "bandwidth_limit", max_kbps=1000)
    qos.rule(policy, "minimum_bandwidth", min_kbps=9000, direction="ingress")
    more = rule(policy, "minimum_bandwidth", min_kbps=1001)
    assert qos.refused("POST", *more) == (409, "QoSRuleParameterConflict")
    qos.rule(policy, "minimum_bandwidth", min_kbps=1000)
    url = f"{POLICIES}/{policy}/bandwidth_limit_rules/{limit['id']}"
    for wrong in ({"max_kbps": 999}, {"direction": "ingress"}):
        refused = qos.refused("PUT", url, {"bandwidth_limit_rule": wrong})
        assert refused == (409, "QoSRuleParameterConflict")
    qos.done("PUT", url, {"bandwidth_limit_rule": {"max_kbps": 1500}})


@pytest.mark.parametrize(
    ("type", "attributes"),
    [
        ("bandwidth_limit", {}),
        ("bandwidth_limit", {"max_kbps": -1}),
        ("bandwidth_limit", {"max_kbps": 2**31}),
        ("bandwidth_limit", {"max_kbps": 1, "direction": "any"}),
        ("packet_rate_limit", {"max_kpps": "many"}),
        ("dscp_marking", {"dscp_mark": 1}),
        ("dscp_marking", {"dscp_mark": 64}),
        ("minimum_bandwidth", {"min_kbps": 1, "direction": "up"}),
        ("minimum_packet_rate", {}),
    ],
)
def test_what_is_no_rule_is_refused(qos: Qos, type: str, attributes: dict[str, Any]) -> None:
    assert qos.refused("POST", *rule(qos.policy(), type, **attributes))[0] == 400


def test_rules_are_their_policys(qos: Qos) -> None:
    policy, other = qos.policy(), qos.policy()
    made = qos.rule(policy, "dscp_marking", dscp_mark=26)
    url = f"{POLICIES}/{other}/dscp_marking_rules/{made['id']}"
    for method, body in (("GET", None), ("PUT", {"dscp_marking_rule": {}}), ("DELETE", None)):
        assert qos.refused(method, url, body)[0] == 404
    nowhere = rule("00000000-0000-4000-8000-000000000000", "dscp_marking", dscp_mark=26)
    assert qos.refused("POST", *nowhere) == (404, "QosPolicyNotFound")
    url = f"{POLICIES}/{policy}/dscp_marking_rules"
    assert qos.refused("GET", url, project=BLUE) == (404, "QosPolicyNotFound")
    assert qos.refused("POST", url, {"dscp_marking_rule": {"dscp_mark": 8}}, X_Role="member") == (
        403,
        "PolicyNotAuthorized",
    )


@pytest.mark.parametrize("type", sorted(SAMPLES.keys() - {"packet_rate_limit"}))
def test_a_rule_is_known_by_its_id_alone(qos: Qos, type: str) -> None:
    policy, (first, second) = qos.policy(), SAMPLES[type]
    made = qos.rule(policy, type, **first)
    url, name = f"/v2.0/qos/alias_{type}_rules/{made['id']}", f"alias_{type}_rule"
    assert qos.ask("GET", url) == (200, {name: made})
    assert qos.ask("PUT", url, {name: second}) == (200, {name: {**made, **second}})
    assert qos.refused("GET", url, project=BLUE) == (404, "QosRuleNotFound")
    assert qos.refused("PUT", url, {f"{type}_rule": first})[0] == 400
    for method, body in (("PUT", {name: first}), ("DELETE", None)):
        assert qos.refused(method, url, body, project=BLUE) == (404, "QosRuleNotFound")
        refused = qos.refused(method, url, body, X_Role="member")
        assert refused == (403, "PolicyNotAuthorized")
    assert qos.ask("DELETE", url)[0] == 204
    assert qos.refused("GET", url) == (404, "QosRuleNotFound")
    assert qos.see("policy", policy)["rules"] == []


# --- policies ------------------------------------------------------------------------------------


def test_who_makes_policies(qos: Qos) -> None:
    body = {"policy": {"name": "p"}}
    assert qos.refused("POST", POLICIES, body, X_Role="member") == (403, "PolicyNotAuthorized")
    policy = qos.policy()
    assert qos.refused("PUT", f"{POLICIES}/{policy}", body, X_Role="member")[0] == 403
    assert qos.refused("PUT", f"{POLICIES}/{policy}", body, project=BLUE)[0] == 404
    assert qos.see("policy", policy) == qos.done("GET", POLICIES, X_Role="member")[0]
    assert qos.done("GET", POLICIES, project=BLUE) == []


def test_a_policy_has_tags_by_both_of_its_urls(qos: Qos) -> None:
    """Neutron has tags outside of ``/v2.0/qos``, and its clients ask for them inside."""
    policy = qos.policy()
    inside, outside = f"{POLICIES}/{policy}/tags", f"/v2.0/policies/{policy}/tags"
    for url, tag in ((inside, "red"), (outside, "blue")):
        assert qos.done("PUT", url, {"tags": [tag]}) == [tag]
        assert qos.see("policy", policy)["tags"] == qos.done("GET", url) == [tag]
        assert qos.done("GET", f"{POLICIES}?tags={tag}")[0]["id"] == policy
        assert qos.refused("PUT", url, {"tags": []}, X_Role="member")[0] == 403


def test_a_shared_policy_is_everybodys_to_use(qos: Qos) -> None:
    policy = qos.policy(ADMIN, shared=True)
    qos.rule(policy, "dscp_marking", ADMIN, dscp_mark=26)
    assert qos.see("policy", policy)["rules"][0]["dscp_mark"] == 26
    network = qos.make("network", qos_policy_id=policy)["id"]
    assert qos.refused("PUT", f"{POLICIES}/{policy}", {"policy": {"name": "x"}})[0] == 404
    url, body = f"{POLICIES}/{policy}", {"policy": {"shared": False}}
    assert qos.refused("PUT", url, body, project=ADMIN) == (409, "RbacPolicyInUse")
    qos.set("network", network, qos_policy_id=None)
    assert qos.set("policy", policy, ADMIN, shared=False)["shared"] is False
    refused = qos.refused(
        "PUT", f"/v2.0/networks/{network}", {"network": {"qos_policy_id": policy}}
    )
    assert refused == (404, "QosPolicyNotFound")


def test_a_policy_is_shared_with_one_project(qos: Qos) -> None:
    policy = qos.policy()
    network = {"network": {"qos_policy_id": policy}}
    assert qos.refused("POST", "/v2.0/networks", network, project=BLUE)[0] == 404
    what = {"object_type": "qos_policy", "object_id": policy, "action": "access_as_shared"}
    given = qos.make("rbac_policy", **what, target_tenant=BLUE)["id"]
    made = qos.done("POST", "/v2.0/networks", network, project=BLUE)
    url = f"/v2.0/rbac-policies/{given}"
    assert qos.refused("DELETE", url) == (409, "RbacPolicyInUse")
    qos.delete("network", made["id"], BLUE)
    qos.done("DELETE", url)
    assert qos.refused("GET", f"{POLICIES}/{policy}", project=BLUE)[0] == 404


def test_who_may_not_use_a_policy_may_not_take_it_off(qos: Qos) -> None:
    policy = qos.policy(ADMIN)
    network = qos.make("network")["id"]
    qos.set("network", network, ADMIN, qos_policy_id=policy)
    body = {"network": {"qos_policy_id": None}}
    refused = qos.refused("PUT", f"/v2.0/networks/{network}", body)
    assert refused == (403, "PolicyRemoveAuthorizationError")
    assert qos.set("network", network, name="n")["qos_policy_id"] == policy
    assert qos.set("network", network, ADMIN, qos_policy_id=None)["qos_policy_id"] is None


def test_a_policy_in_use_stays(qos: Qos) -> None:
    policy, outside = qos.policy(), qos.outside()
    network = qos.make("network", qos_policy_id=policy)
    port = qos.make("port", network_id=qos.make("network")["id"], qos_policy_id=policy)
    floating = qos.make("floatingip", floating_network_id=outside, qos_policy_id=policy)
    gateway = {"network_id": outside, "qos_policy_id": policy}
    router = qos.make("router", external_gateway_info=gateway)
    users = [("network", network), ("port", port), ("floatingip", floating), ("router", router)]
    for kind, user in users:
        status, error = qos.ask("DELETE", f"{POLICIES}/{policy}")
        assert (status, error["type"]) == (409, "QosPolicyInUse")
        assert user["id"] in error["message"]
        qos.delete(kind, user["id"])
    qos.rule(policy, "dscp_marking", dscp_mark=26)
    qos.delete("policy", policy)
    assert not qos.api.store.read("dscp_marking_rule")


def test_a_project_has_one_default_policy_for_its_new_networks(qos: Qos) -> None:
    old = qos.make("network")
    policy = qos.policy(is_default=True)
    assert qos.see("policy", policy)["is_default"] is True
    again = {"policy": {"name": "again", "is_default": True}}
    assert qos.refused("POST", POLICIES, again) == (409, "QoSPolicyDefaultAlreadyExists")
    qos.policy(BLUE, is_default=True)
    other = qos.policy()
    url, body = f"{POLICIES}/{other}", {"policy": {"is_default": True}}
    assert qos.refused("PUT", url, body) == (409, "QoSPolicyDefaultAlreadyExists")
    assert qos.make("network")["qos_policy_id"] == policy
    assert qos.make("network", qos_policy_id=other)["qos_policy_id"] == other
    assert qos.make("network", ADMIN, project_id=RED)["qos_policy_id"] == policy
    assert qos.see("network", old["id"])["qos_policy_id"] is None
    qos.set("policy", policy, is_default=False)
    assert qos.make("network")["qos_policy_id"] is None
    qos.set("policy", other, is_default=True)
    assert qos.make("network")["qos_policy_id"] == other


# --- who has one ---------------------------------------------------------------------------------


def test_a_port_shows_its_own_policy_and_its_networks(qos: Qos) -> None:
    policy, other = qos.policy(), qos.policy()
    network = qos.make("network", qos_policy_id=policy)["id"]
    port = qos.make("port", network_id=network)
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (None, policy)
    port = qos.set("port", port["id"], qos_policy_id=other)
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (other, policy)
    body = {"port": {"qos_network_policy_id": other}}
    assert qos.refused("PUT", f"/v2.0/ports/{port['id']}", body)[0] == 400
    qos.set("network", network, qos_policy_id=None)
    assert qos.see("port", port["id"])["qos_network_policy_id"] is None


def test_a_floating_ip_shows_its_own_policy_and_its_networks(qos: Qos) -> None:
    policy, outside = qos.policy(), qos.outside()
    shared = qos.policy(ADMIN, shared=True)
    qos.set("network", outside, ADMIN, qos_policy_id=shared)
    floating = qos.make("floatingip", floating_network_id=outside)
    assert (floating["qos_policy_id"], floating["qos_network_policy_id"]) == (None, shared)
    floating = qos.set("floatingip", floating["id"], qos_policy_id=policy)
    assert (floating["qos_policy_id"], floating["qos_network_policy_id"]) == (policy, shared)
    assert qos.set("floatingip", floating["id"], qos_policy_id=None)["qos_policy_id"] is None


def test_a_gateways_policy_stays_until_it_is_taken_off_or_the_gateway_goes(qos: Qos) -> None:
    policy, outside, second = qos.policy(), qos.outside(), qos.outside()
    router = qos.make("router", external_gateway_info={"network_id": outside})
    assert "qos_policy_id" not in router["external_gateway_info"]

    def put(gateway: dict[str, Any]) -> Any:
        return qos.set("router", router["id"], external_gateway_info=gateway)[
            "external_gateway_info"
        ]

    assert put({"network_id": outside, "qos_policy_id": policy})["qos_policy_id"] == policy
    assert put({"network_id": outside})["qos_policy_id"] == policy
    assert put({"network_id": second})["qos_policy_id"] == policy
    assert "qos_policy_id" not in put({"network_id": second, "qos_policy_id": None})
    put({"network_id": second, "qos_policy_id": policy})
    assert put({}) is None
    assert "qos_policy_id" not in put({"network_id": second})
    qos.delete("policy", policy)
    nobodys = {"network_id": outside, "qos_policy_id": policy}
    body = {"router": {"external_gateway_info": nobodys}}
    assert qos.refused("PUT", f"/v2.0/routers/{router['id']}", body) == (404, "QosPolicyNotFound")
    body["router"]["external_gateway_info"]["qos_policy_id"] = "x"
    assert qos.refused("PUT", f"/v2.0/routers/{router['id']}", body)[0] == 400


def test_a_gateway_tells_of_its_networks_policy(qos: Qos) -> None:
    shared, outside = qos.policy(ADMIN, shared=True), qos.outside()
    qos.set("network", outside, ADMIN, qos_policy_id=shared)
    router = qos.make("router", external_gateway_info={"network_id": outside})
    assert router["external_gateway_info"]["qos_policy_id"] is None


# --- what the switches read ----------------------------------------------------------------------


def test_whose_policy_holds(qos: Qos) -> None:
    """For guests, for the network's own ports, for who is outside."""
    own, networks, outsides = qos.policy(), qos.policy(), qos.policy(ADMIN, shared=True)
    outside = qos.outside()
    qos.set("network", outside, ADMIN, qos_policy_id=outsides)
    network = qos.make("network", qos_policy_id=networks)["id"]
    bare = qos.make("network")["id"]
    policy = {"qos_policy_id": own}
    ports = {
        qos.make("port", network_id=network)["id"]: networks,
        qos.make("port", network_id=network, **policy)["id"]: own,
        qos.make("port", network_id=network, device_owner="network:dhcp")["id"]: "",
        qos.make("port", network_id=network, device_owner="network:dhcp", **policy)["id"]: own,
        qos.make("port", network_id=bare)["id"]: "",
    }
    gateway = {"network_id": outside}
    routers = {
        qos.make("router")["id"]: "",
        qos.make("router", external_gateway_info=gateway)["id"]: outsides,
        qos.make("router", external_gateway_info={**gateway, **policy})["id"]: own,
    }
    floating = {
        qos.make("floatingip", floating_network_id=outside)["id"]: outsides,
        qos.make("floatingip", floating_network_id=outside, **policy)["id"]: own,
    }
    view = View(modelled(qos.api))
    assert {id: records.policy_of_port(view, id) for id in ports} == ports
    assert {id: records.policy_of_gateway(view, id) for id in routers} == routers
    assert {id: records.policy_of_floating_ip(view, id) for id in floating} == floating


def test_what_a_policy_says(qos: Qos) -> None:
    policy, network = qos.policy(), qos.make("network")["id"]
    port = qos.make("port", network_id=network, qos_policy_id=policy)["id"]
    assert records.rules_of_port(View(modelled(qos.api)), port) == NO_RULES
    qos.rule(policy, "bandwidth_limit", max_kbps=1000, max_burst_kbps=900)
    qos.rule(policy, "bandwidth_limit", max_kbps=0, direction="ingress")
    qos.rule(policy, "packet_rate_limit", max_kpps=2, max_burst_kpps=1, direction="ingress")
    qos.rule(policy, "dscp_marking", dscp_mark=0)
    said = records.rules_of_port(View(modelled(qos.api)), port)
    egress = Rates(kbps=1000, burst=900)
    assert said == Rules(egress, Rates(pps=2000, packet_burst=1000), dscp=0)
    assert records.rules_of_port(View(modelled(qos.api)), "nobody's") == NO_RULES


# --- what cannot be kept -------------------------------------------------------------------------


def tell(qos: Qos, host: str = "host1", **carried: int) -> None:
    """A host says how much its wire carries."""
    agent.report(
        qos.api.store,
        qos.api.kinds,
        host=host,
        availability_zone="nova",
        configurations={"tunnel_address": None, BANDWIDTHS: {"wire": carried}},
    )


def wire(qos: Qos) -> Any:
    named = {"provider:network_type": "flat", "provider:physical_network": "wire"}
    return qos.make("network", ADMIN, project_id=RED, **named)


def test_a_minimum_is_kept_where_a_host_says_how_much_there_is(qos: Qos) -> None:
    policy = qos.policy()
    qos.rule(policy, "minimum_bandwidth", min_kbps=100)
    overlay, wired = qos.make("network")["id"], wire(qos)["id"]
    on_overlay, on_wire = (
        qos.make("port", network_id=network)["id"] for network in (overlay, wired)
    )
    given = {"port": {"qos_policy_id": policy}}
    for port in (on_overlay, on_wire):
        status, error = qos.ask("PUT", f"/v2.0/ports/{port}", given)
        assert (status, error["type"]) == (409, "QosRuleNotSupported")
        assert "tenantry-bandwidths" in error["message"]
    types = [each["type"] for each in qos.done("GET", "/v2.0/qos/rule-types")]
    assert "minimum_bandwidth" not in types
    tell(qos, egress=1000)
    qos.done("PUT", f"/v2.0/ports/{on_wire}", given)
    url = f"/v2.0/ports/{on_overlay}"
    assert qos.refused("PUT", url, given) == (409, "QosRuleNotSupported")
    assert qos.refused("PUT", f"/v2.0/networks/{overlay}", {"network": given["port"]}) == (
        409,
        "QosRuleNotSupportedByNetwork",
    )
    other_way = rule(policy, "minimum_bandwidth", min_kbps=100, direction="ingress")
    assert qos.refused("POST", *other_way) == (409, "QosRuleNotSupported")
    (least,) = qos.done("GET", other_way[0])
    refused = qos.refused("PUT", f"{other_way[0]}/{least['id']}", other_way[1])
    assert refused == (409, "QosRuleNotSupported")
    types = [each["type"] for each in qos.done("GET", "/v2.0/qos/rule-types")]
    assert "minimum_bandwidth" in types


def test_a_host_is_not_promised_more_than_it_carries(qos: Qos) -> None:
    tell(qos, egress=1000)
    tell(qos, "host2")
    wired = wire(qos)["id"]
    policies = {kbps: qos.policy() for kbps in (300, 600)}
    for kbps, policy in policies.items():
        qos.rule(policy, "minimum_bandwidth", min_kbps=kbps)

    def port(host: str, kbps: int) -> Any:
        given = {"network_id": wired, "binding:host_id": host, "qos_policy_id": policies[kbps]}
        return {"port": {**given, "project_id": RED}}

    def refused(verb: str, url: str, body: Any) -> str:
        status, error = qos.ask(verb, url, body, ADMIN)
        assert (status, error["type"]) == (409, "QosRuleNotSupported"), error
        return str(error["message"])

    first = qos.done("POST", "/v2.0/ports", port("host1", 600), ADMIN)["id"]
    second = qos.done("POST", "/v2.0/ports", port("host1", 300), ADMIN)["id"]
    message = refused("POST", "/v2.0/ports", port("host1", 300))
    assert "host host1 carries 1000 kbit/s to wire, and 1200 would be promised" in message
    assert "host host2 does not say" in refused("POST", "/v2.0/ports", port("host2", 300))
    nowhere = qos.done("POST", "/v2.0/ports", port("", 300), ADMIN)["id"]
    to_host = {"port": {"binding:host_id": "host1"}}
    assert "1200" in refused("PUT", f"/v2.0/ports/{nowhere}", to_host)
    more = {"port": {"qos_policy_id": policies[600]}}
    assert "1200" in refused("PUT", f"/v2.0/ports/{second}", more)
    url = f"/v2.0/qos/policies/{policies[300]}/minimum_bandwidth_rules"
    (least,) = qos.done("GET", url, project=ADMIN)
    assert "1001" in refused(
        "PUT", f"{url}/{least['id']}", {"minimum_bandwidth_rule": {"min_kbps": 401}}
    )
    qos.done("PUT", f"{url}/{least['id']}", {"minimum_bandwidth_rule": {"min_kbps": 400}}, ADMIN)
    assert "1400" in refused("PUT", f"/v2.0/ports/{nowhere}", to_host)
    qos.done("DELETE", f"/v2.0/ports/{first}", project=ADMIN)
    qos.done("PUT", f"/v2.0/ports/{nowhere}", to_host, ADMIN)


def test_the_ports_of_a_network_are_promised_what_its_policy_says(qos: Qos) -> None:
    tell(qos, egress=1000)
    wired = wire(qos)["id"]
    policy = qos.policy()
    qos.rule(policy, "minimum_bandwidth", min_kbps=400)
    at_host = {"network_id": wired, "binding:host_id": "host1", "project_id": RED}
    made = [qos.make("port", ADMIN, **at_host)["id"] for _ in range(3)]
    network = f"/v2.0/networks/{wired}", {"network": {"qos_policy_id": policy}}
    status, error = qos.ask("PUT", *network, ADMIN)
    assert (status, error["type"]) == (409, "QosRuleNotSupportedByNetwork")
    assert "1200 would be promised" in error["message"]
    qos.done("DELETE", f"/v2.0/ports/{made[0]}", project=ADMIN)
    qos.done("PUT", *network, ADMIN)
    status, error = qos.ask("POST", "/v2.0/ports", {"port": at_host}, ADMIN)
    assert (status, error["type"]) == (409, "QosRuleNotSupported")
    router = {"device_owner": "network:router_interface", **at_host}
    qos.make("port", ADMIN, **router)


def test_a_rule_that_somebody_cannot_have_is_refused(qos: Qos) -> None:
    policy = qos.policy()
    network = qos.make("network", qos_policy_id=policy)["id"]
    port = qos.make("port", network_id=network)["id"]
    for type, least in (("minimum_bandwidth", "min_kbps"), ("minimum_packet_rate", "min_kpps")):
        refused = qos.refused("POST", *rule(policy, type, **{least: 1}))
        assert refused == (409, "QosRuleNotSupportedByNetwork")
    qos.set("port", port, qos_policy_id=policy)
    qos.set("network", network, qos_policy_id=None)
    refused = qos.refused("POST", *rule(policy, "minimum_packet_rate", min_kpps=1))
    assert refused == (409, "QosRuleNotSupported")


def test_minima_are_for_ports(qos: Qos) -> None:
    tell(qos, egress=1000)
    policy, outside = qos.policy(), qos.outside()
    qos.rule(policy, "minimum_bandwidth", min_kbps=100)
    floating = {"floating_network_id": outside, "qos_policy_id": policy}
    refused = qos.refused("POST", "/v2.0/floatingips", {"floatingip": floating})
    assert refused == (409, "QosRuleNotSupported")
    gateway = {"external_gateway_info": {"network_id": outside, "qos_policy_id": policy}}
    assert qos.refused("POST", "/v2.0/routers", {"router": gateway})[0] == 409


# --- types of rules ------------------------------------------------------------------------------


def test_types_of_rules_are_those_that_can_be_kept(qos: Qos) -> None:
    def types(query: str = "") -> list[str]:
        answer = qos.done("GET", f"/v2.0/qos/rule-types{query}")
        assert all(each.keys() == {"type"} for each in answer)
        return sorted(each["type"] for each in answer)

    assert types() == ["bandwidth_limit", "dscp_marking", "packet_rate_limit"]
    assert types("?all_supported=true") == types()
    assert types("?all_rules=True") == sorted(SAMPLES)
    assert types("?type=dscp_marking") == ["dscp_marking"]
    assert qos.refused("GET", "/v2.0/qos/rule-types?colour=red") == (400, "InvalidInput")
    assert qos.refused("GET", "/v2.0/qos/rule-types?all_rules=perhaps") == (400, "InvalidInput")


def test_details_of_a_type_are_an_admins(qos: Qos) -> None:
    url = "/v2.0/qos/rule-types/dscp_marking"
    assert qos.refused("GET", url)[0] == 403
    details = qos.done("GET", url, project=ADMIN)
    (driver,) = details["drivers"]
    assert details["type"] == "dscp_marking"
    (parameter,) = driver["supported_parameters"]
    assert parameter["parameter_name"] == "dscp_mark"
    assert parameter["parameter_type"] == "choices"
    assert 46 in parameter["parameter_values"]
    url = "/v2.0/qos/rule-types/bandwidth_limit"
    (driver,) = qos.done("GET", url, project=ADMIN)["drivers"]
    assert {
        "parameter_name": "max_kbps",
        "parameter_type": "range",
        "parameter_values": {"start": 0, "end": 2147483647},
    } in driver["supported_parameters"]
    url = "/v2.0/qos/rule-types/minimum_packet_rate"
    assert qos.refused("GET", url, project=ADMIN) == (404, "QosRuleTypeNotFound")
