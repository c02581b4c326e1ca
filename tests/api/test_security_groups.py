# SPDX-License-Identifier: Apache-2.0

"""Security groups, their rules and templates, address groups, firewalls and logs in the API."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import Api, caller, path

UNKNOWN = "00000000-0000-4000-8000-000000000000"
RULES = path("security_group_rule")
GROUPS = path("security_group")


def default(api: Api) -> Any:
    (group,) = api.list("security_group", "name=default")
    return group


def rule(api: Api, group: str, **said: Any) -> Any:
    return api.create("security_group_rule", security_group_id=group, direction="ingress", **said)


def test_every_project_has_a_default_group(api: Api, network: str) -> None:
    group = default(api)
    assert group["stateful"] is True
    said = {
        (rule["direction"], rule["ethertype"], rule["remote_group_id"])
        for rule in group["security_group_rules"]
    }
    assert said == {
        *(("egress", ethertype, None) for ethertype in ("IPv4", "IPv6")),
        *(("ingress", ethertype, group["id"]) for ethertype in ("IPv4", "IPv6")),
    }
    assert all(rule["belongs_to_default_sg"] for rule in group["security_group_rules"])
    port = api.create("port", network_id=network)
    assert port["security_groups"] == [group["id"]]
    other = api.create("port", network_id=network, project_id="another")["security_groups"]
    assert other != [group["id"]]
    assert len(api.list("security_group")) == 2


def test_which_ports_have_groups(api: Api, network: str) -> None:
    group = api.create("security_group", name="web")["id"]
    made = api.create("port", network_id=network, security_groups=[group])
    assert made["security_groups"] == [group]
    none = api.update("port", made["id"], security_groups=[])
    assert none["security_groups"] == []
    unsecured = api.create("port", network_id=network, port_security_enabled=False)
    assert unsecured["security_groups"] == []
    again = api.update("port", unsecured["id"], port_security_enabled=True)
    assert again["security_groups"] == [], "as in Neutron: nothing passes until it is in one"
    dhcp = api.create("port", network_id=network, device_owner="network:dhcp")
    assert dhcp["security_groups"] == []
    body = {"port": {"network_id": network, "port_security_enabled": False}}
    body["port"]["security_groups"] = [group]
    api.refused(400, "PortSecurityAndIPRequiredForSecurityGroups", "POST", path("port"), body)
    with_group = api.create("port", network_id=network)["id"]
    off = {"port": {"port_security_enabled": False}}
    api.refused(409, "PortSecurityPortHasSecurityGroup", "PUT", path("port", with_group), off)
    unknown = {"port": {"security_groups": [UNKNOWN]}}
    api.refused(404, "SecurityGroupNotFound", "PUT", path("port", with_group), unknown)
    stateless = api.create("security_group", name="plain", stateful=False)["id"]
    mixed = {"port": {"security_groups": [group, stateless]}}
    api.refused(409, "SecurityGroupConflict", "PUT", path("port", with_group), mixed)


def test_what_is_in_use_stays(api: Api, network: str) -> None:
    group = api.create("security_group", name="web")["id"]
    api.create("port", network_id=network, security_groups=[group])
    url = path("security_group", group)
    api.refused(409, "SecurityGroupInUse", "DELETE", url)
    api.refused(409, "SecurityGroupInUse", "PUT", url, {"security_group": {"stateful": False}})
    first = default(api)
    rename = {"security_group": {"name": "mine"}}
    url = path("security_group", first["id"])
    api.refused(409, "SecurityGroupCannotUpdateDefault", "PUT", url, rename)
    again = {"security_group": {"name": "Default"}}
    api.refused(409, "SecurityGroupDefaultAlreadyExists", "POST", path("security_group"), again)


def test_rules_go_with_the_groups_that_they_name(api: Api) -> None:
    web, db = (api.create("security_group", name=name)["id"] for name in ("web", "db"))
    named = rule(api, db, remote_group_id=web)["id"]
    assert rule(api, db, remote_ip_prefix="10.0.0.1/8")["normalized_cidr"] == "10.0.0.0/8"
    api.delete("security_group", web)
    url = path("security_group_rule", named)
    api.refused(404, "SecurityGroupRuleNotFound", "GET", url)
    assert len(api.show("security_group", db)["security_group_rules"]) == 3


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        ("SecurityGroupRuleInvalidProtocol", 400, {"protocol": "nonsense"}),
        ("SecurityGroupRuleInvalidProtocol", 400, {"protocol": "256"}),
        ("SecurityGroupRuleInvalidProtocol", 400, {"protocol": -1}),
        ("SecurityGroupRuleInvalidEtherType", 400, {"ethertype": "IPX"}),
        ("SecurityGroupProtocolRequiredWithPorts", 400, {"port_range_min": 1}),
        ("SecurityGroupInvalidPortRange", 400, {"protocol": "tcp", "port_range_min": 9}),
        (
            "SecurityGroupInvalidPortRange",
            400,
            {"protocol": "udp", "port_range_min": 9, "port_range_max": 8},
        ),
        ("SecurityGroupInvalidPortValue", 400, {"protocol": "tcp", "port_range_min": 65536}),
        (
            "SecurityGroupInvalidPortValue",
            400,
            {"protocol": "tcp", "port_range_min": 0, "port_range_max": 8},
        ),
        (
            "SecurityGroupInvalidProtocolForPort",
            400,
            {"protocol": "gre", "port_range_min": 1, "port_range_max": 2},
        ),
        ("SecurityGroupInvalidIcmpValue", 400, {"protocol": "icmp", "port_range_min": 256}),
        ("SecurityGroupMissingIcmpType", 400, {"protocol": "icmp", "port_range_max": 0}),
        ("SecurityGroupEthertypeConflictWithProtocol", 400, {"protocol": "ipv6-icmp"}),
        ("SecurityGroupRuleParameterConflict", 400, {"remote_ip_prefix": "2001:db8::/32"}),
        ("InvalidCIDR", 400, {"remote_ip_prefix": "10.0.0.0/33"}),
        (
            "SecurityGroupMultipleRemoteEntites",
            400,
            {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": UNKNOWN},
        ),
        ("SecurityGroupNotFound", 404, {"remote_group_id": UNKNOWN}),
        ("SecurityGroupNotFound", 404, {"security_group_id": UNKNOWN}),
        ("AddressGroupNotFound", 404, {"remote_address_group_id": UNKNOWN}),
    ],
)
def test_rules_that_cannot_be(api: Api, error: str, status: int, said: dict[str, Any]) -> None:
    group = default(api)["id"]
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", **said}}
    api.refused(status, error, "POST", RULES, body)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"remote_ip_prefix": "0.0.0.0/0"}),
        ({"protocol": "tcp"}, {"protocol": "6"}),
        ({"protocol": "any"}, {"protocol": None}),
        (
            {"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535},
            {"protocol": "tcp"},
        ),
        ({"ethertype": "IPv6", "protocol": "icmp"}, {"ethertype": "ipv6", "protocol": "58"}),
        ({"remote_ip_prefix": "10.0.0.1/8"}, {"remote_ip_prefix": "10.2.0.0/8"}),
    ],
)
def test_no_rule_is_there_twice(api: Api, one: dict[str, Any], other: dict[str, Any]) -> None:
    group = api.create("security_group", name="web")["id"]
    first = rule(api, group, **one)
    body = {"security_group_rule": {"security_group_id": group, "direction": "ingress", **other}}
    assert first["id"] in api.refused(409, "SecurityGroupRuleExists", "POST", RULES, body)
    api.delete("security_group_rule", first["id"])
    assert api.request("POST", RULES, body)[0] == 201


def test_templates_make_the_rules_of_new_groups(api: Api) -> None:
    templates = api.list("default_security_group_rule")
    assert len(templates) == 4
    ssh = {"direction": "ingress", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
    made = api.create("default_security_group_rule", **ssh, used_in_non_default_sg=True)
    body = {"default_security_group_rule": {**ssh, "used_in_non_default_sg": True}}
    url = path("default_security_group_rule")
    assert made["id"] in api.refused(409, "DefaultSecurityGroupRuleExists", "POST", url, body)
    group = api.create("security_group", name="web")
    assert 22 in {rule["port_range_min"] for rule in group["security_group_rules"]}
    for template in api.list("default_security_group_rule"):
        api.delete("default_security_group_rule", template["id"])
    assert api.list("default_security_group_rule") == [], "and they stay away"
    assert api.create("security_group", name="bare")["security_group_rules"] == []


def test_an_admin_sees_a_new_projects_default_group(make_api: Any) -> None:
    red, admin = "1" * 32, "a" * 32
    now = caller(admin, "admin")
    api: Api = make_api(authenticate=lambda request: now)
    (group,) = api.list("security_group", f"project_id={red}&name=default")
    assert (group["project_id"], len(group["security_group_rules"])) == (red, 4)
    assert api.list("security_group", f"tenant_id={red}") == [group]
    assert api.list("security_group", "project_id=red") == [], "no project is called so"
    assert len(api.list("security_group")) == 2, "and the admin's own"
    now = caller(red)
    assert api.list("security_group", f"project_id={'2' * 32}") == []
    assert api.list("security_group") == [group]


TEMPLATES = path("default_security_group_rule")


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ((True, True), (True, False), 409),
        ((True, False), (True, True), 409),
        ((False, True), (True, True), 409),
        ((True, False), (True, False), 409),
        ((False, False), (False, False), 409),
        ((True, False), (False, True), 201),
        ((False, True), (False, False), 201),
    ],
)
def test_no_group_is_given_a_rule_twice(
    api: Api, first: tuple[bool, bool], second: tuple[bool, bool], status: int
) -> None:
    def template(in_default: bool, in_others: bool) -> dict[str, Any]:
        ssh = {"direction": "ingress", "protocol": "tcp"}
        flags = {"used_in_default_sg": in_default, "used_in_non_default_sg": in_others}
        return {"default_security_group_rule": {**ssh, **flags}}

    assert api.request("POST", TEMPLATES, template(*first))[0] == 201
    seen, answer = api.request("POST", TEMPLATES, template(*second))
    assert seen == status, answer
    if status == 409:
        assert answer["NeutronError"]["type"] == "DefaultSecurityGroupRuleExists"
    for name in ("blue", "green"):
        assert api.request("GET", GROUPS, X_Project_Id=name)[0] == 200


def test_a_template_is_about_groups_that_are_there(api: Api) -> None:
    rule = {"direction": "ingress", "used_in_default_sg": True}
    for name, error in (
        ("remote_group_id", "SecurityGroupNotFound"),
        ("remote_address_group_id", "AddressGroupNotFound"),
    ):
        gone = {"default_security_group_rule": {**rule, name: str(uuid4())}}
        api.refused(404, error, "POST", TEMPLATES, gone)
    group = api.create("security_group", name="web")["id"]
    addresses = api.create("address_group", name="office")["id"]
    api.create("default_security_group_rule", **rule, remote_group_id=group)
    api.create("default_security_group_rule", **rule, remote_address_group_id=addresses)
    api.request("GET", GROUPS, X_Project_Id="blue")
    (made,) = api.list("security_group", "project_id=blue")
    remotes = [rule["remote_group_id"] for rule in made["security_group_rules"]]
    assert group in remotes
    api.delete("security_group", group)
    network = api.create("network")["id"]
    port = {"port": {"network_id": network, "project_id": "green"}}
    assert api.request("POST", "/v2.0/ports", port)[0] == 201, "no template keeps it from its group"


def test_templates_that_overlap_since_an_earlier_version(api: Api) -> None:
    """As it was in the database before overlaps were refused."""
    ssh = {"direction": "ingress", "protocol": "tcp", "used_in_default_sg": True}
    first = api.create("default_security_group_rule", **ssh, used_in_non_default_sg=True)["id"]
    double = {**api.store.read("default_security_group_rule")[first]}
    double |= {"id": str(uuid4()), "used_in_non_default_sg": False}
    api.store.write(lambda draft: draft.put("default_security_group_rule", double), "earlier")
    network = api.create("network")["id"]
    port = {"port": {"network_id": network, "project_id": "green"}}
    assert api.request("POST", "/v2.0/ports", port)[0] == 201
    (group,) = api.list("security_group", "project_id=green")
    assert [r["protocol"] for r in group["security_group_rules"]].count("tcp") == 1


def test_the_first_templates_are_described_as_neutrons_are(api: Api) -> None:
    said = {t["direction"]: t["description"] for t in api.list("default_security_group_rule")}
    for direction in ("egress", "ingress"):
        assert said[direction] == f"Legacy default SG rule for {direction} traffic"
    group = api.create("security_group", name="web")
    assert {rule["description"] for rule in group["security_group_rules"]} == {""}


def test_port_security_is_switched_off_and_on(api: Api, network: str) -> None:
    port = api.create("port", network_id=network, port_security_enabled=False)["id"]
    assert api.update("port", port, port_security_enabled=True)["security_groups"] == []
    assert api.update("port", port, port_security_enabled=False)["security_groups"] == []


def test_address_groups(api: Api) -> None:
    group = api.create("address_group", name="office", addresses=["10.1.0.7/16"])
    assert group["addresses"] == ["10.1.0.0/16"]
    url = path("address_group", group["id"], "add_addresses")
    status, answer = api.request("PUT", url, {"addresses": ["2001:db8::/32"]})
    assert (status, len(answer["address_group"]["addresses"])) == (200, 2)
    twice = {"addresses": ["10.1.0.0/16"]}
    api.refused(400, "AddressesAlreadyExist", "PUT", url, twice)
    api.refused(400, "InvalidInput", "PUT", url, {"addresses": ["nonsense"]})
    api.refused(400, "InvalidInput", "PUT", url, {})
    remove = path("address_group", group["id"], "remove_addresses")
    api.refused(404, "AddressesNotFound", "PUT", remove, {"addresses": ["10.2.0.0/16"]})
    assert api.request("PUT", remove, twice)[0] == 200
    for single, whole in (("10.200.200.200", "/32"), ("fd00::1", "/128")):
        api.refused(404, "AddressesNotFound", "PUT", remove, {"addresses": [single]})
        _, answer = api.request("PUT", url, {"addresses": [single]})
        assert single + whole in answer["address_group"]["addresses"]
        _, answer = api.request("PUT", remove, {"addresses": [single]})
        assert single + whole not in answer["address_group"]["addresses"]
    for wrong in (["10.2"], [5], [None], "10.0.0.1", [["10.0.0.1"]]):
        api.refused(400, "InvalidInput", "PUT", url, {"addresses": wrong})
    rule(api, default(api)["id"], remote_address_group_id=group["id"])
    api.refused(409, "AddressGroupInUse", "DELETE", path("address_group", group["id"]))


def test_what_is_shared_with_another_project(make_api: Any) -> None:
    """By RBAC: the other project sees and uses it, and may not change it."""
    asking = caller("owner", "admin")
    contexts = {"now": asking}
    api: Api = make_api(authenticate=lambda request: contexts["now"])
    group = api.create("security_group", name="web")["id"]
    other = caller("other")
    contexts["now"] = other
    url = path("security_group", group)
    api.refused(404, "SecurityGroupNotFound", "GET", url)
    network = api.create("network")["id"]
    wanted = {"port": {"network_id": network, "security_groups": [group]}}
    api.refused(404, "SecurityGroupNotFound", "POST", path("port"), wanted)
    contexts["now"] = asking
    said = {"object_type": "security_group", "object_id": group, "action": "access_as_shared"}
    status, answer = api.request(
        "POST", "/v2.0/rbac-policies", {"rbac_policy": {**said, "target_tenant": "other"}}
    )
    assert status == 201, answer
    policy = f"/v2.0/rbac-policies/{answer['rbac_policy']['id']}"
    contexts["now"] = other
    assert api.show("security_group", group)["name"] == "web"
    port = api.create("port", **wanted["port"])
    api.refused(403, "PolicyNotAuthorized", "DELETE", url)
    contexts["now"] = asking
    api.refused(409, "RbacPolicyInUse", "DELETE", policy)
    again = {"rbac_policy": {**said, "target_tenant": "other"}}
    api.refused(409, "DuplicateRbacPolicy", "POST", "/v2.0/rbac-policies", again)
    api.delete("port", port["id"])
    assert api.request("DELETE", policy)[0] == 204
    wrong = {"rbac_policy": {**said, "target_tenant": "*", "object_type": "router"}}
    api.refused(400, "InvalidInput", "POST", "/v2.0/rbac-policies", wrong)


def test_what_is_shared_is_used_like_ones_own(make_api: Any) -> None:
    """A subnet pool, an address scope, a network: as a security group is."""
    owner = caller("owner", "admin")
    contexts = {"now": owner}
    api: Api = make_api(authenticate=lambda request: contexts["now"])
    scope = api.create("address_scope", name="s", ip_version=4)["id"]
    pool = api.create("subnetpool", name="p", prefixes=["10.8.0.0/16"])["id"]
    network = api.create("network")["id"]
    subnet = api.create("subnet", network_id=network, cidr="10.9.0.0/24", ip_version=4)["id"]
    other = caller("other")

    def use() -> list[int]:
        contexts["now"] = other
        mine, router = (api.create(kind)["id"] for kind in ("network", "router"))
        of_pool = {"network_id": mine, "subnetpool_id": pool, "ip_version": 4, "prefixlen": 24}
        of_scope = {"name": "q", "prefixes": ["10.10.0.0/16"], "address_scope_id": scope}
        path_to = path("router", router, "add_router_interface")
        return [
            api.request("POST", path("subnet"), {"subnet": of_pool})[0],
            api.request("POST", path("subnetpool"), {"subnetpool": of_scope})[0],
            api.request("PUT", path_to, {"subnet_id": subnet})[0],
        ]

    assert all(status >= 400 for status in use())
    contexts["now"] = owner
    kinds = (("subnetpool", pool), ("address_scope", scope), ("network", network))
    policies = []
    for kind, id in kinds:
        said = {"object_type": kind, "object_id": id, "target_tenant": "other"}
        body = {"rbac_policy": {**said, "action": "access_as_shared"}}
        status, answer = api.request("POST", "/v2.0/rbac-policies", body)
        assert status == 201, answer
        policies.append(answer["rbac_policy"]["id"])
    assert use() == [201, 201, 200]
    contexts["now"] = owner
    for id in policies[:2]:
        api.refused(409, "RbacPolicyInUse", "DELETE", f"/v2.0/rbac-policies/{id}")


# --- firewalls ------------------------------------------------------------------------------------


def firewall(api: Api, kind: str, **attributes: Any) -> Any:
    url = f"/v2.0/fwaas/firewall_{kind.replace('policy', 'policie')}s"
    status, answer = api.request("POST", url, {f"firewall_{kind}": attributes})
    assert status == 201, answer
    return answer[f"firewall_{kind}"]


def test_the_rules_of_a_policy_keep_their_order(api: Api) -> None:
    first, second, third = (firewall(api, "rule", name=n)["id"] for n in ("a", "b", "c"))
    policy = firewall(api, "policy", firewall_rules=[first])
    url = f"/v2.0/fwaas/firewall_policies/{policy['id']}"
    for said, expected in (
        ({"firewall_rule_id": second}, [second, first]),
        ({"firewall_rule_id": third, "insert_after": second}, [second, third, first]),
    ):
        status, answer = api.request("PUT", f"{url}/insert_rule", said)
        assert (status, answer["firewall_rules"]) == (200, expected)
    twice = {"firewall_rule_id": third}
    api.refused(409, "FirewallRuleAlreadyAssociated", "PUT", f"{url}/insert_rule", twice)
    api.refused(400, "FirewallRuleInfoMissing", "PUT", f"{url}/insert_rule", {})
    status, answer = api.request("PUT", f"{url}/remove_rule", {"firewall_rule_id": third})
    assert answer["firewall_rules"] == [second, first]
    gone = {"firewall_rule_id": third}
    api.refused(400, "FirewallRuleNotAssociatedWithPolicy", "PUT", f"{url}/remove_rule", gone)
    in_use = f"/v2.0/fwaas/firewall_rules/{first}"
    api.refused(409, "FirewallRuleInUse", "DELETE", in_use)
    unknown = {"firewall_policy": {"firewall_rules": [UNKNOWN]}}
    api.refused(404, "FirewallRuleNotFound", "PUT", url, unknown)
    shared = {"firewall_policy": {"shared": True}}
    api.refused(409, "FirewallPolicySharingConflict", "PUT", url, shared)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("FirewallRuleWithPortWithoutProtocolInvalid", {"destination_port": "80"}),
        ("FirewallRuleInvalidICMPParameter", {"protocol": "icmp", "source_port": "80"}),
        ("FirewallIpAddressConflict", {"source_ip_address": "2001:db8::/32"}),
        ("FirewallIpAddressConflict", {"protocol": "ipv6-icmp"}),
        ("InvalidInput", {"protocol": "dccp", "destination_port": "80"}),
        ("HTTPBadRequest", {"action": "shrug"}),
        ("HTTPBadRequest", {"protocol": "tcp", "destination_port": "80:http"}),
    ],
)
def test_firewall_rules_that_cannot_be(api: Api, error: str, said: dict[str, Any]) -> None:
    api.refused(400, error, "POST", "/v2.0/fwaas/firewall_rules", {"firewall_rule": said})


def test_the_ports_of_firewall_groups(api: Api, network: str) -> None:
    groups = "/v2.0/fwaas/firewall_groups"
    status, listed = api.request("GET", groups)
    (first,) = listed["firewall_groups"]
    assert (status, first["name"], first["ports"]) == (200, "default", [])
    policy = firewall(api, "policy")["id"]
    port = api.create("port", network_id=network)["id"]
    wall = firewall(api, "group", ports=[port], ingress_firewall_policy_id=policy)
    assert (wall["ports"], wall["status"]) == ([port], "ACTIVE")
    taken = {"firewall_group": {"ports": [port]}}
    api.refused(409, "FirewallGroupPortInUse", "POST", groups, taken)
    api.refused(409, "FirewallPolicyInUse", "DELETE", f"/v2.0/fwaas/firewall_policies/{policy}")
    api.refused(409, "FirewallGroupInUse", "DELETE", f"{groups}/{wall['id']}")
    unsecured = api.create("port", network_id=network, port_security_enabled=False)["id"]
    theirs = api.create("port", network_id=network, project_id="another")["id"]
    dhcp = api.create("port", network_id=network, device_owner="network:dhcp")["id"]
    for error, status, id in (
        ("FirewallGroupPortNotSupported", 409, unsecured),
        ("FirewallGroupPortInvalidProject", 409, theirs),
        ("FirewallGroupPortInvalid", 409, dhcp),
        ("PortNotFound", 404, UNKNOWN),
    ):
        api.refused(status, error, "POST", groups, {"firewall_group": {"ports": [id]}})
    api.delete("port", port)
    _, shown = api.request("GET", f"{groups}/{wall['id']}")
    assert (shown["firewall_group"]["ports"], shown["firewall_group"]["status"]) == ([], "INACTIVE")
    assert api.request("DELETE", f"{groups}/{wall['id']}")[0] == 204


def test_logs(api: Api, network: str) -> None:
    logs = "/v2.0/log/logs"
    group = api.create("security_group", name="web")["id"]
    port = api.create("port", network_id=network)["id"]
    for error, status, said in (
        ("InvalidLogResourceType", 400, {"resource_type": "router"}),
        ("ResourceNotFound", 404, {"resource_id": UNKNOWN}),
        ("PortNotFound", 404, {"target_id": UNKNOWN}),
        ("InvalidResourceConstraint", 400, {"resource_id": group, "target_id": port}),
        ("HTTPBadRequest", 400, {"event": "SHRUG"}),
    ):
        body = {"log": {"resource_type": "security_group", **said}}
        api.refused(status, error, "POST", logs, body)
    body = {"log": {"resource_type": "security_group", "target_id": port, "event": "DROP"}}
    assert api.request("POST", logs, body)[0] == 201
    api.delete("port", port)
    assert api.request("GET", logs)[1]["logs"] == []
    _, types = api.request("GET", "/v2.0/log/loggable-resources")
    assert types["loggable_resources"] == [{"type": "security_group"}]
