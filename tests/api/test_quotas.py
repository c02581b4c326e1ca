# SPDX-License-Identifier: Apache-2.0

"""Quotas: what a project may have, who may say so, and what is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from webob import Request

from tenantry.controller.api.core import quota
from tenantry.controller.cli import features
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller, path
from tests.api.one_of_each import one_of_each

QUOTAS = "/v2.0/quotas"


def limit(api: Api, project: str, **limits: Any) -> Any:
    status, answer = api.request("PUT", f"{QUOTAS}/{project}", {"quota": limits})
    assert status == 200, answer
    return answer["quota"]


def get(api: Api, *below: str, **headers: str) -> Any:
    status, answer = api.request("GET", "/".join((QUOTAS, *below)), **headers)
    assert status == 200, answer
    return answer


@pytest.fixture
def several(make_api: Callable[..., Api]) -> Api:
    """Whose caller has the project and the role that X-Project-Id and X-Role name: an admin's, if
    they name none."""

    def authenticate(request: Request) -> Context:
        return caller(
            request.headers.get("X-Project-Id", "ops"), request.headers.get("X-Role", "admin")
        )

    return make_api(authenticate=authenticate)


def test_a_project_has_no_more_than_its_quota(api: Api) -> None:
    assert limit(api, "red", network=2)["network"] == 2
    for _ in range(2):
        api.create("network", project_id="red")
    refused = (409, "OverQuota", "POST", path("network"))
    message = api.refused(*refused, {"network": {"project_id": "red"}})
    assert message == "Quota exceeded for resources: ['network']."
    other = api.create("network", project_id="blue")["id"]
    limit(api, "red", network=3)
    third = api.create("network", project_id="red")["id"]
    api.refused(*refused, {"network": {"project_id": "red"}})
    api.delete("network", other)
    api.refused(*refused, {"network": {"project_id": "red"}})
    api.delete("network", third)
    api.create("network", project_id="red")
    limit(api, "red", network=-1)
    api.create("network", project_id="red")


def test_what_is_made_together_is_counted_together(api: Api) -> None:
    limit(api, "red", network=3)
    many = [{"project_id": "red"}] * 3
    refused = (409, "OverQuota", "POST", path("network"))
    api.refused(*refused, {"networks": [*many, {"project_id": "red"}]})
    assert not api.list("network", "project_id=red")
    mixed = [{"project_id": "blue"}, *many]
    assert api.request("POST", path("network"), {"networks": mixed})[0] == 201
    api.refused(*refused, {"networks": [{"project_id": "blue"}, {"project_id": "red"}]})
    assert len(api.list("network")) == 4


def test_zero_is_none_at_all(api: Api, network: str) -> None:
    limit(api, "default", port=0)
    api.refused(409, "OverQuota", "POST", path("port"), {"port": {"network_id": network}})


def test_every_kind_that_a_project_can_have_is_limited(api: Api) -> None:
    """Of each there is one; one more is one too many."""
    world = one_of_each(api)
    wrong = []
    for kind, (url, body) in world.new.items():
        project = body.get("project_id", "default")
        if kind not in get(api, project)["quota"]:
            assert api.kinds[kind].quota is None, kind
            continue
        used = get(api, project, "details")["quota"][kind]["used"]
        assert used == sum(b["project_id"] == project for b in api.store.read(kind).values())
        limit(api, project, **{kind: used})
        head = api.store.head
        status, answer = api.request("POST", url, {kind: body})
        if status != 409 or answer["NeutronError"]["type"] != "OverQuota" or api.store.head != head:
            wrong.append((kind, status, answer))
        limit(api, project, **{kind: used + 1})
        status, answer = api.request("POST", url, {kind: body})
        if status != 201:
            wrong.append((kind, status, answer))
    assert not wrong


def test_what_is_used_is_told(api: Api, network: str) -> None:
    limit(api, "default", port=7)
    made = [api.create("port", network_id=network)["id"] for _ in range(3)]
    for ending in ("details", "details.json"):
        details = get(api, "default", ending)["quota"]
        assert details["port"] == {"limit": 7, "used": 3, "reserved": 0}
        assert details["subnet"] == {"limit": -1, "used": 2, "reserved": 0}
        assert details.keys() == get(api, "default")["quota"].keys()
    api.delete("port", made[0])
    assert get(api, "default", "details")["quota"]["port"]["used"] == 2
    assert get(api, "nobody", "details")["quota"]["port"] == {
        "limit": -1,
        "used": 0,
        "reserved": 0,
    }


def test_a_limit_below_what_is_used_is_refused_unless_forced(api: Api) -> None:
    for _ in range(2):
        api.create("network", project_id="red")
    url = f"{QUOTAS}/red"
    message = api.refused(400, "HTTPBadRequest", "PUT", url, {"quota": {"network": 1, "port": 9}})
    assert message == ("Quota limit 1 for network must be greater than or equal to already used 2")
    checked = {"network": 1, "check_limit": True, "force": False}
    api.refused(400, "HTTPBadRequest", "PUT", url, {"quota": checked})
    assert limit(api, "red", network=2, check_limit=True)["network"] == 2
    assert limit(api, "red", network=1, force=True)["network"] == 1
    assert limit(api, "red", port="9") == {**get(api, "red")["quota"], "network": 1, "port": 9}
    api.refused(409, "OverQuota", "POST", path("network"), {"network": {"project_id": "red"}})


def test_quotas_are_listed_and_reset(make_api: Callable[..., Api]) -> None:
    api = make_api(quotas={"network": 5})
    assert get(api) == {"quotas": []}
    assert get(api, "red") == get(api, "red", "default")
    assert get(api, "red")["quota"]["network"] == 5
    limit(api, "red", network=7, port=8)
    limit(api, "blue", subnet=9)
    listed = {each["project_id"]: each for each in get(api)["quotas"]}
    assert listed.keys() == {"red", "blue"}
    assert listed["red"] == {**get(api, "red")["quota"], "project_id": "red", "tenant_id": "red"}
    assert (listed["red"]["network"], listed["blue"]["network"]) == (7, 5)
    assert get(api, "red", "default")["quota"]["network"] == 5
    assert api.request("DELETE", f"{QUOTAS}/red") == (204, None)
    assert get(api, "red")["quota"]["network"] == 5
    assert [each["project_id"] for each in get(api)["quotas"]] == ["blue"]
    api.refused(404, "TenantQuotaNotFound", "DELETE", f"{QUOTAS}/red")


@pytest.mark.parametrize(
    "limits",
    [
        *({"network": value} for value in (-2, 2**31, "many", None, [], {}, 1.5, True, "1" * 5000)),
        *({name: 1} for name in ("colour", "agent", "project_id", "")),
    ],
)
def test_wrong_limits(api: Api, limits: Any) -> None:
    head = api.store.head
    status, answer = api.request("PUT", f"{QUOTAS}/red", {"quota": limits})
    assert status == 400 and api.store.head == head, answer
    assert "Traceback" not in answer["NeutronError"]["message"]


def test_wrong_requests(api: Api) -> None:
    for body in ({}, [], {"quota": []}, {"quotas": {}}, {"quota": None}, "x"):
        api.refused(400, "HTTPBadRequest", "PUT", f"{QUOTAS}/red", body)
    api.refused(400, "HTTPBadRequest", "PUT", f"{QUOTAS}/{'x' * 256}", {"quota": {"port": 1}})
    api.refused(405, "HTTPMethodNotAllowed", "POST", QUOTAS, {"quota": {}})


@pytest.mark.parametrize("role", ["reader", "member", "manager"])
def test_who_may(several: Api, role: str) -> None:
    api, red = several, {"X_Project_Id": "red", "X_Role": role}
    limit(api, "red", network=1)
    limit(api, "blue", network=1)
    assert get(api, "red", **red)["quota"]["network"] == 1
    assert get(api, "red", "default", **red)["quota"]["network"] == -1
    assert get(api, "red", "details", **red)["quota"]["network"]["limit"] == 1
    assert get(api, "tenant", **red) == {"tenant": {"tenant_id": "red"}}
    assert get(api, "project", **red) == {"project": {"project_id": "red"}}
    if role == "manager":
        assert [row["project_id"] for row in get(api, **red)["quotas"]] == ["red"]
    else:
        api.refused(403, "PolicyNotAuthorized", "GET", QUOTAS, **red)
    for below in ("/blue", "/blue/default", "/blue/details"):
        api.refused(403, "PolicyNotAuthorized", "GET", QUOTAS + below, **red)
    for project in ("red", "blue"):
        url, body = f"{QUOTAS}/{project}", {"quota": {"network": 9}}
        api.refused(403, "PolicyNotAuthorized", "PUT", url, body, **red)
        api.refused(403, "PolicyNotAuthorized", "DELETE", url, **red)
    if role != "reader":
        assert api.request("POST", path("network"), {"network": {}}, **red)[0] == 201
        api.refused(409, "OverQuota", "POST", path("network"), {"network": {}}, **red)


def test_quotas_outlive_the_controller(make_api: Callable[..., Api]) -> None:
    before = make_api()
    limit(before, "red", network=1)
    before.create("network", project_id="red")
    after = make_api()
    assert get(after, "red", "details")["quota"]["network"] == {
        "limit": 1,
        "used": 1,
        "reserved": 0,
    }
    after.refused(409, "OverQuota", "POST", path("network"), {"network": {"project_id": "red"}})
    limit(after, "red", network=2)
    before.create("network", project_id="red")  # it learns of what another has written
    before.refused(409, "OverQuota", "POST", path("network"), {"network": {"project_id": "red"}})


def test_what_comes_with_something_else_is_counted_but_not_refused(api: Api, network: str) -> None:
    limit(api, "default", port=0, security_group=0, security_group_rule=0)
    router = api.create("router")["id"]
    (subnet, _) = api.list("subnet")
    body = {"subnet_id": subnet["id"]}
    assert api.request("PUT", path("router", router, "add_router_interface"), body)[0] == 200
    assert get(api, "default", "details")["quota"]["port"]["used"] == 1
    assert api.list("security_group", "name=default")
    assert get(api, "default", "details")["quota"]["security_group_rule"]["used"] > 0


def test_the_rules_of_a_new_group_are_limited(api: Api) -> None:
    api.create("security_group", name="first")
    used = get(api, "default", "details")["quota"]["security_group_rule"]["used"]
    limit(api, "default", security_group_rule=used + 1)
    body = {"security_group": {"name": "second"}}  # it would get two
    message = api.refused(409, "OverQuota", "POST", path("security_group"), body)
    assert message == "Quota exceeded for resources: ['security_group_rule']."
    limit(api, "default", security_group_rule=used + 2)
    api.create("security_group", name="second")


def test_quota_extensions_are_offered(api: Api) -> None:
    _, answer = api.request("GET", "/v2.0/extensions")
    aliases = {extension["alias"] for extension in answer["extensions"]}
    assert {"quotas", "quota_details", "quota-check-limit", "quota-check-limit-default"} <= aliases


NEUTRONS = {
    "network": 100,
    "subnet": 100,
    "port": 500,
    "subnetpool": -1,
    "rbac_policy": 10,
    "router": 10,
    "floatingip": 50,
    "security_group": 10,
    "security_group_rule": 100,
    "trunk": -1,
    "firewall_group": 10,
    "firewall_policy": 10,
    "firewall_rule": 100,
}
"""Neutron's defaults: neutron/conf/quota.py, and neutron-fwaas' extensions/firewall_v2.py."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"port": -1, "network": -1}),
        ("[quotas]\nquota_port = 7\n", {"port": 7, "network": -1}),
        ("[quotas]\nquota_network = 100\n", {"port": -1, "network": 100}),
    ],
)
def test_a_lab_has_no_limits_but_those_it_asks_for(
    api: Api, tmp_path: Path, text: str, expected: dict[str, int]
) -> None:
    file = tmp_path / "tenantry.conf"
    file.write_text(text)
    conf = features.load([str(file)])
    found = quota.defaults(conf, api.kinds.values())
    assert expected.items() <= found.items()
    own = {kind.name for kind in api.kinds.values() if kind.service and kind.quota is not None}
    assert found.keys() == get(api, "default")["quota"].keys() | own


def test_the_defaults_are_neutrons(api: Api) -> None:
    conf = features.load([])
    assert {kind: conf.quotas[f"quota_{kind}"] for kind in NEUTRONS} == NEUTRONS
    without = [k for k in api.kinds.values() if k.quota is None and not k.internal]
    assert {k.name for k in without if k.service is None} == {
        *("agent", "segment", "default_security_group_rule"),
    }
