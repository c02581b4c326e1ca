# SPDX-License-Identifier: Apache-2.0

"""What a running controller tells of itself under ``/tenantry/v1``, and to whom."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from tenantry.controller.feature.context import Context
from tests.api.conftest import caller
from tests.lab import Lab, lab
from tests.openvswitch import OpenVSwitch

Ask = Callable[..., tuple[int, Any]]

FOR_OPERATORS = ["diff", "verify", "engine", "hosts", "hot"]
TOLD = ["status", "flows", "wait", "rules", "counters", "counters/networks", "routers"]
ROUTES = [*FOR_OPERATORS, *TOLD, "network-log"]


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, groups=True) as running:
        yield running


@pytest.fixture
def ask(net: Lab, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Asks the running controller as somebody."""
    controller, who = net.controller, {"now": caller("red")}
    door = lambda request: controller.kinds.policy.recognised(who["now"])  # noqa: E731

    def ask(now: Context, path: str, method: str = "GET") -> tuple[int, Any]:
        who["now"] = now
        with monkeypatch.context() as patch:
            patch.setattr(controller.application, "_authenticate", door)
            answer = Request.blank(path, method=method).get_response(controller.application)
        told = answer.content_type == "application/json"
        return answer.status_int, json.loads(answer.body) if told else answer.body.decode(
            errors="replace"
        )

    return ask


@pytest.fixture
def ports(net: Lab) -> dict[str, str]:
    """The id of a port of red's, and of one of blue's, plugged in; each on a network of its own,
    with a router and a group."""
    made = {}
    for project in ("red", "blue"):
        network = net.network("10.0.0.0/24", project=project)
        port = net.port(network, project_id=project, name=f"{project}-port")
        net.attach(port)
        for kind in ("router", "security-group"):
            body = {kind.replace("-", "_"): {"name": f"{project}-{kind}", "project_id": project}}
            net.api("POST", f"/v2.0/{kind}s", body)
        made[project] = port["id"]
    net.settle()
    return made


PLACE = {"host", "switch", "interface", "ofport"}


def test_a_tenant_is_told_of_their_own(ask: Ask, ports: dict[str, str]) -> None:
    red, v1 = caller("red", "manager"), "/tenantry/v1"
    status, told = ask(red, f"{v1}/status")
    assert (status, told.keys()) == (200, {"revision", "realised", "settled", "ports"})
    (port,) = told["ports"]
    assert (port["id"], port["status"]) == (ports["red"], "ACTIVE")
    assert not PLACE & port.keys()
    status, flows = ask(red, f"{v1}/flows")
    assert status == 200
    assert {flow["object"] for flow in flows} == {f"port {ports['red']}"}
    assert all("switch" not in flow and flow["installed"] for flow in flows)
    _, counters = ask(red, f"{v1}/counters")
    assert [one["id"] for one in counters] == [ports["red"]]
    assert not PLACE & counters[0].keys()
    _, rules = ask(red, f"{v1}/rules")
    assert {rule["of"].rpartition(" ")[2] for rule in rules} == {"red"}
    _, routers = ask(red, f"{v1}/routers")
    assert [router["name"] for router in routers] == ["red-router"]
    assert not {"home", "switches", "neighbours"} & routers[0].keys()
    assert ask(red, f"{v1}/wait?seconds=1")[1]["ok"] is True
    assert ask(red, f"{v1}/wait?port={ports['red']}")[1]["status"] == "ACTIVE"
    assert ask(red, f"{v1}/network-log") == (200, [])


def test_nobody_learns_of_others(ask: Ask, ports: dict[str, str]) -> None:
    """Neither by answers nor by what they say of what is not there."""
    red, v1 = caller("red"), "/tenantry/v1"
    for path in [*ROUTES, "flows?object=blue", f"flows?object={ports['blue']}", "flows?object=x"]:
        for who in (red, caller("red", "manager"), caller("red", "reader")):
            status, told = ask(who, f"{v1}/{path}")
            assert status in (200, 403, 404), path
            said = json.dumps(told).replace(path.partition("=")[2] or path, "")  # what was asked
            assert not any(word in said for word in (ports["blue"], "blue-", "br-int")), said
    assert ask(red, f"{v1}/wait?port={ports['blue']}")[0] == 404
    for path in ("flows?switch=x", "counters?switch=br-int"):
        status, told = ask(red, f"{v1}/{path}")
        assert (status, told["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


@pytest.mark.parametrize("path", FOR_OPERATORS)
def test_what_is_an_operators(ask: Ask, path: str) -> None:
    path = f"/tenantry/v1/{path}"
    for role in ("manager", "member", "reader", "service", "nothing"):
        status, told = ask(caller("red", role), path)
        assert (status, told["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")
    assert ask(caller("operators", "admin"), path)[0] == 200


@pytest.mark.parametrize("path", ROUTES)
def test_who_has_no_role_is_told_nothing(ask: Ask, path: str) -> None:
    status, told = ask(caller("red", "nothing"), f"/tenantry/v1/{path}")
    assert (status, told["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


def test_an_operator_is_told_all(ask: Ask, ports: dict[str, str]) -> None:
    admin, v1 = caller("operators", "admin"), "/tenantry/v1"
    _, status = ask(admin, f"{v1}/status")
    assert {port["id"] for port in status["ports"]} == {*ports.values()}
    assert status["switches"] and status["ports"][0].keys() >= PLACE
    _, flows = ask(admin, f"{v1}/flows?switch=br-int")
    assert {flow["app"] for flow in flows} > {"pipeline", "l2"}
    assert len(ask(admin, f"{v1}/counters")[1]) == len(ask(admin, f"{v1}/routers")[1]) == 2


def test_counters_of_one_thing(net: Lab, ask: Ask, ports: dict[str, str]) -> None:
    """Theirs, and nobody learns whether there is another's."""
    red, admin, v1 = caller("red"), caller("operators", "admin"), "/tenantry/v1"
    networks = {p["id"]: p["network_id"] for p in net.api("GET", "/v2.0/ports")["ports"]}
    for kind, mine, other in (
        ("ports", ports["red"], ports["blue"]),
        ("networks", networks[ports["red"]], networks[ports["blue"]]),
    ):
        status, told = ask(red, f"{v1}/{kind}/{mine}/counters")
        assert (status, told["id"], told["complete"]) == (200, mine, True)
        assert told["received"].keys() >= {"packets", "octets", "octets_per_second"}
        assert "silent" not in told
        assert ask(admin, f"{v1}/{kind}/{mine}/counters")[1]["silent"] == []
        nowhere = str(uuid.UUID(int=0))
        hidden, nothing = (ask(red, f"{v1}/{kind}/{id}/counters") for id in (other, nowhere))
        assert hidden[0] == nothing[0] == 404
        said = [json.dumps(answer) for _, answer in (hidden, nothing)]
        assert said[0].replace(other, "ID") == said[1].replace(nowhere, "ID")
        assert ask(caller("red", "nothing"), f"{v1}/{kind}/{mine}/counters")[0] == 403
    for kind in ("routers", "floatingips", "security-group-rules", "firewall-rules"):
        assert ask(red, f"{v1}/{kind}/{ports['red']}/counters")[0] == 404
    status, told = ask(red, f"{v1}/ports/{ports['red']}/counters?since=x")
    assert (status, "it takes none" in json.dumps(told)) == (400, True)


def test_captures_are_of_ones_own_ports(net: Lab, ask: Ask, ports: dict[str, str]) -> None:
    """Not of what others have on one's network, though one sees it; and by members, not readers."""
    (network,) = net.api("GET", f"/v2.0/ports?id={ports['red']}")["ports"]
    guest = net.create("port", "blue", network_id=network["network_id"], project_id="blue")["id"]
    capture = "/tenantry/v1/ports/{}/capture?seconds=1".format
    status, file = ask(caller("red"), capture(ports["red"]))
    assert (status, "its time is over" in file) == (200, True)
    refused = {
        status: answer["NeutronError"]["type"]
        for status, answer in (
            ask(caller("red"), capture(guest)),
            ask(caller("red", "reader"), capture(ports["red"])),
            ask(caller("red"), capture(ports["blue"])),
        )
    }
    assert refused == {403: "PolicyNotAuthorized", 404: "HTTPNotFound"}
    assert ask(caller("blue"), capture(guest))[0] == 200
    assert ask(caller("red"), "/tenantry/v1/captures") == (200, [])


def test_only_an_operator_touches_hosts(ask: Ask, ports: dict[str, str]) -> None:
    for role, expected in (("manager", 403), ("admin", 404)):
        who = caller("red", role)
        assert ask(who, "/tenantry/v1/hosts/nowhere", "DELETE")[0] == expected
        assert ask(who, "/tenantry/v1/hosts/nowhere/adopt", "POST")[0] == expected
