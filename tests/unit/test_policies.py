# SPDX-License-Identifier: Apache-2.0

"""The policies of all features: nothing is without one, and what Neutron has is as it has it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from oslo_policy import policy as oslo

from tenantry.apps import APPS
from tenantry.controller import config
from tenantry.controller.api import application
from tenantry.controller.api.access import Access
from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.policy import Policy, PolicyFileError, _creds, _who
from tenantry.controller.api.tenantry import operations, permissions
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.policies import route_rule

FACTS = Path(__file__).parent / "neutron_policies.txt"
OCTAVIAS = Path(__file__).parent / "octavia_policies.txt"
BUILT = [app.build(config.load([], (app.options for app in APPS))) for app in APPS]
KINDS = application.kinds(parts.extension for parts in BUILT if parts.extension)

OURS = {
    *("update_port_binding", "update_security_group_rule", "update_default_security_group_rule"),
    *("delete_tenantry_worker", "update_tenantry_worker"),
    *("delete_tenantry_host", "adopt_tenantry_host", "create_metering_label:shared"),
    *("create_certificate", "get_certificate", "update_certificate", "delete_certificate"),
}
"""Rules for what Neutron asks no rule of that name."""


def facts(file: Path) -> Iterator[tuple[str, str]]:
    """Names have colons, but none is followed by a space."""
    for line in file.read_text().splitlines():
        if not line.startswith("#"):
            name, _, check = f"{line} ".partition(": ")
            yield name, check.strip()


NEUTRON = dict(facts(FACTS))
OCTAVIA = dict(facts(OCTAVIAS))


def alternatives(check: Any) -> frozenset[frozenset[str]]:
    """What is enough for a check: the order of words does not matter."""
    if isinstance(check, oslo.OrCheck):
        return frozenset().union(*map(alternatives, check.rules))
    if isinstance(check, oslo.AndCheck):
        return frozenset(
            frozenset().union(*combined) for combined in product(*map(alternatives, check.rules))
        )
    return frozenset([frozenset([str(check)])])


def test_there_are_facts() -> None:
    assert len(NEUTRON) > 300
    assert NEUTRON["create_network:shared"] == "rule:admin_only"
    assert NEUTRON["regular_user"] == ""
    assert len(OCTAVIA) > 70
    assert OCTAVIA["os_load-balancer_api:loadbalancer:post"] == "rule:load-balancer:write"


@pytest.mark.parametrize("name", sorted(KINDS.policy.defaults))
def test_what_others_have_is_as_they_have_it(name: str) -> None:
    rule = KINDS.policy.defaults[name]
    if name in OCTAVIA:
        theirs = oslo.RuleDefault(name, OCTAVIA[name])
        assert alternatives(rule.check) == alternatives(theirs.check)
        return
    if name not in NEUTRON:
        assert name in OURS or name.startswith("get_tenantry_"), "Neutron has no such rule"
        return
    theirs = oslo.RuleDefault(name, NEUTRON[name])
    assert alternatives(rule.check) == alternatives(theirs.check)
    if name.partition("_")[0] in ("create", "get", "update", "delete"):
        assert rule.scope_types == ["project"]
        assert isinstance(rule, oslo.DocumentedRuleDefault)


def test_every_kind_and_action_has_rules(kinds: Kinds = KINDS) -> None:
    missing = []
    for kind in kinds.values():
        if kind.internal:
            continue
        puts = any(spec.get("allow_put") for spec in kind.attributes.values())
        verbs = ["create", "get", "delete", *(["update"] if puts else [])]
        below = [*kind.actions, *kind.spec.views]
        below = [*map(kind.rule_to, below)] if kind.service else below
        wanted = [*map(kind.rule_to, verbs), *below]
        wanted += [kind.rule_to("list")] if kind.service else []
        missing += [rule for rule in wanted if rule not in kinds.policy.defaults]
    assert not missing


def test_every_attribute_that_neutron_has_a_rule_for_has_it() -> None:
    """Of those that are here."""
    wanted = set()
    for name in NEUTRON:
        verb, _, rest = name.partition("_")
        rule, colon, attribute = rest.partition(":")
        for kind in KINDS.values():
            if kind.rule == rule and colon and not kind.internal:
                whole = attribute if attribute in kind.attributes else attribute.rpartition(":")[0]
                if whole in kind.attributes and verb in ("create", "get", "update", "delete"):
                    wanted.add(name)
    assert "create_port:fixed_ips:ip_address" in wanted
    assert wanted <= KINDS.policy.defaults.keys()


def test_every_route_and_list_has_a_rule() -> None:
    features = [route for parts in BUILT for route in parts.routes]
    for route in (*operations.ROUTES, *permissions.routes(Access(KINDS)), *features):
        assert route_rule(route.path) in KINDS.policy.defaults
    for extension in KINDS.extensions:
        for path in extension.lists:
            name = path.rpartition("/")[2].replace("-", "_").removesuffix("s")
            assert f"get_{name}" in KINDS.policy.defaults
        assert all(route.rule in KINDS.policy.defaults for route in extension.routes)


def test_tags_have_rules_of_their_own_or_that_of_the_whole() -> None:
    access = Access(KINDS)
    assert access.tag_rule("update", KINDS["network"]) == "update_network:tags"
    assert access.tag_rule("delete", KINDS["segment"]) == "delete_segments_tags"
    assert access.tag_rule("delete", KINDS["firewall_group"]) == "update_firewall_group"


# --- the operator's file -------------------------------------------------------------------------

MEMBER = Context("red", "red", False, "mary", frozenset({"member", "reader"}))
OWN = {"project_id": "red"}.get


def test_what_a_rule_need_not_know_of_its_target_changes_nothing() -> None:
    """Of every rule and caller: asked with all that the target has, oslo.policy says the same."""
    callers = [
        Context(project, "x", "admin" in roles, user, frozenset(roles))
        for project in ("red", "blue", "")
        for user in ("mary", "")
        for roles in ((), ("reader",), ("member", "reader"), ("service",), ("admin", "reader"))
    ]
    targets: list[dict[str, Any]] = [
        {"project_id": "red", "network:project_id": "blue", "shared": False},
        {"project_id": "blue", "network:project_id": "red", "shared": True, "user_id": "mary"},
        {"project_id": "blue", "ext_parent:project_id": "red", "device_owner": "network:dhcp"},
        {"device_owner": "compute:nova", "router:external": True, "target_tenant": "*"},
        {},
    ]
    policy = KINDS.policy
    for rule, who, target in product(policy.defaults, callers, targets):
        wanted = oslo.RuleCheck("rule", rule)(target, _creds(_who(who)), policy._enforcer)
        assert policy.allows(who, rule, target.get) is wanted, (rule, who, target)
    (_, reader, *_, admin) = map(_who, callers[:5])
    assert policy._reads(("get_port",), admin) == ()
    assert "project_id" in policy._reads(("get_port",), reader)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_the_operators_file_is_on_top_and_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    defaults = KINDS.policy.defaults.values()
    policy = Policy(defaults, write(file, "create_network: rule:admin_only\n"))
    assert not policy.allows(MEMBER, "create_network", OWN)
    assert policy.allows(MEMBER, "create_port", {"network:project_id": "red"}.get)
    file.write_text('create_network: "rule:nets"\nnets: "role:member and user_id:mary"\n')
    policy.recognised(MEMBER)
    assert policy.allows(MEMBER, "create_network", {}.get)
    file.write_text("create_network: 'rule:nowhere'\n")
    policy.recognised(MEMBER)  # said in the log
    assert policy.allows(MEMBER, "create_network", {}.get)
    file.unlink()
    policy.recognised(MEMBER)
    assert policy.allows(MEMBER, "create_network", {}.get)
    file.write_text("")
    policy.recognised(MEMBER)
    assert not policy.allows(MEMBER, "create_network", {}.get)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("create_network: rule:admin_onyl", "did you mean admin_only?"),
        ("create_network: everybody", "'everybody' is not a check"),
        ("create_network: [role:admin]", "a check is a text"),
        ("- create_network", "NAME: CHECK"),
        ("a: rule:b\nb: rule:a", "a: the rule refers to itself"),
        ("create_network: 'field:networks'", "field:networks"),
        ("create_network: 'field:networks:name=~('", "create_network"),
        ("create_network: 'role:a", "policy_file"),
    ],
)
def test_what_is_wrong_with_the_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PolicyFileError, match=message.replace("(", r"\(").replace("?", r"\?")):
        Policy(KINDS.policy.defaults.values(), write(tmp_path / "policy.yaml", text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match="No such file"):
        Policy((), str(tmp_path / "policy.yaml"))


def test_who_is_an_admin_is_for_the_rules_to_say(tmp_path: Path) -> None:
    file = write(tmp_path / "policy.yaml", "context_is_admin: role:boss")
    policy = Policy(KINDS.policy.defaults.values(), file)
    boss = Context("red", "red", False, "", frozenset({"boss"}))
    admin = Context("red", "red", True, "", frozenset({"admin"}))
    assert policy.recognised(boss).is_admin
    assert not policy.recognised(admin).is_admin


def test_a_rule_is_evaluated_once_for_the_same_values() -> None:
    asked: list[str] = []

    def read(name: str) -> str | None:
        asked.append(name)
        return {"project_id": "red"}.get(name)

    policy = Policy(KINDS.policy.defaults.values())
    for _ in range(5000):
        assert policy.allows(MEMBER, "get_port", read)
    assert set(asked) == {"project_id", "network:project_id"}
    assert policy.decisions() == 1


def test_who_is_of_no_project_owns_nothing() -> None:
    nobody = Context("", "nobody", False, "x", frozenset({"member", "reader"}))
    assert not KINDS.policy.allows(nobody, "get_network", {"project_id": ""}.get)
