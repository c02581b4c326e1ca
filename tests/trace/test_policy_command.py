# SPDX-License-Identifier: Apache-2.0

"""``tenantry policy``, of a running controller whose operator has rules of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tenantry.controller.cli.main import main
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    file = tmp_path / "policy.yaml"
    file.write_text('create_subnetpool: "role:architect"\n')
    with lab(dummy_ovs, tmp_path, oslo_policy__policy_file=str(file)) as running:
        yield running


def run(net: Lab, *words: str) -> Result:
    return CliRunner().invoke(main, ["--url", net.controller.api_url, "policy", *words])


def answer(net: Lab, *words: str) -> Any:
    result = run(net, *words, "--json")
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


def test_the_rules_are_listed(net: Lab) -> None:
    rules = {rule["name"]: rule for rule in answer(net, "list")}
    assert len(rules) > 250
    assert rules["create_network:shared"]["check"] == "rule:admin_only"
    assert rules["create_network"]["operations"] == [{"method": "POST", "path": "/networks"}]
    changed = answer(net, "list", "--changed")
    assert [(rule["name"], rule["check"]) for rule in changed] == [
        ("create_subnetpool", "role:architect")
    ]
    assert "role:member" in changed[0]["default"]
    shown = run(net, "list", "create_router").output
    assert "create_router:ha" in shown and "create_port" not in shown


def test_a_rule_is_checked(net: Lab) -> None:
    member = ("--project", "red", "--role", "member")
    assert answer(net, "check", "create_network", *member)["allowed"] is True
    refused = answer(net, "check", "create_subnetpool", *member)
    assert (refused["allowed"], refused["check"]) == (False, "role:architect")
    assert run(net, "check", "create_subnetpool", *member).exit_code == 1
    network = net.network(project="red")["id"]
    for project, allowed in (("red", True), ("blue", False)):
        who = ("--project", project, "--role", "member", "--id", network)
        assert answer(net, "check", "update_network", *who)["allowed"] is allowed
    assert "did you mean create_network?" in run(net, "check", "create_netwrk").output


@pytest.mark.parametrize(
    ("project", "role", "method", "below", "body", "status", "rule"),
    [
        ("red", "member", "PUT", "", {"name": "x"}, 200, "update_network"),
        ("red", "reader", "PUT", "", {"name": "x"}, 403, "update_network"),
        ("red", "member", "PUT", "", {"shared": True}, 403, "update_network:shared"),
        ("red", "admin", "PUT", "", {"shared": True}, 200, "update_network"),
        ("blue", "member", "DELETE", "", None, 404, "get_network"),
        ("red", "member", "DELETE", "", None, 200, "delete_network"),
        ("red", "reader", "PUT", "/tags/a", None, 403, "update_network:tags"),
        ("red", "reader", "GET", "", None, 200, "get_network"),
    ],
)
def test_a_request_is_checked_and_not_made(
    net: Lab,
    project: str,
    role: str,
    method: str,
    below: str,
    body: Any,
    status: int,
    rule: str,
) -> None:
    id = net.network(project="red")["id"]
    head = net.controller.store.head
    sent = ("--body", json.dumps({"network": body})) if body else ()
    who = ("--project", project, "--role", role)
    told = answer(net, "check", method, f"/v2.0/networks/{id}{below}", *who, *sent)
    assert (told["status"], told["rule"]) == (status, rule)
    assert net.controller.store.head == head


def test_what_would_be_made_is_checked(net: Lab) -> None:
    member = ("--project", "red", "--role", "member")
    wire = ("--body", '{"network": {"provider:network_type": "vlan"}}')
    told = answer(net, "check", "POST", "/v2.0/networks", *member, *wire)
    assert (told["status"], told["rule"]) == (403, "create_network:provider:network_type")
    assert answer(net, "check", "POST", "/v2.0/networks", *member)["allowed"] is True
    router = net.router(project="red")["id"]
    act = f"/v2.0/routers/{router}/add_router_interface"
    assert answer(net, "check", "PUT", act, *member)["rule"] == "add_router_interface"
    for path, message in (("/v2.0/netwrks", "no kind"), (f"{act}s", "no kind")):
        assert message in run(net, "check", "PUT", path, *member).output
    colour = ("--body", '{"network": {"colour": 1}}')
    assert "colour" in run(net, "check", "POST", "/v2.0/networks", *member, *colour).output
