# SPDX-License-Identifier: Apache-2.0

"""Whether new security groups are stateful, if nobody says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Api, caller
from tests.api.openstack import Client

URL = "/v2.0/security-groups-default-statefulness"
KIND = "security_groups_default_statefulness"


def setting(api: Api, project: str | None, stateful: bool) -> str:
    body = {KIND: {"project_id": project, "stateful": stateful}}
    status, answer = api.request("POST", URL, body)
    assert status == 201, answer
    assert (answer[KIND]["project_id"], answer[KIND]["stateful"]) == (project, stateful)
    id: str = answer[KIND]["id"]
    return id


def is_stateful(api: Api, project: str, **more: Any) -> bool:
    group = api.create("security_group", name="web", project_id=project, **more)
    found: bool = group["stateful"]
    return found


def test_a_projects_own_goes_before_everybodys(api: Api) -> None:
    assert is_stateful(api, "red")
    everybodys = setting(api, None, False)
    assert not is_stateful(api, "red")
    reds = setting(api, "red", True)
    assert (is_stateful(api, "red"), is_stateful(api, "blue")) == (True, False)
    assert is_stateful(api, "blue", stateful=True), "who says so gets it"
    assert api.request("PUT", f"{URL}/{everybodys}", {KIND: {"stateful": True}})[0] == 200
    assert is_stateful(api, "blue")
    assert api.request("PUT", f"{URL}/{reds}", {KIND: {"stateful": False}})[0] == 200
    assert not is_stateful(api, "red")
    assert api.request("DELETE", f"{URL}/{reds}")[0] == 204
    assert is_stateful(api, "red")


def test_a_projects_default_group_is_as_it_says(api: Api) -> None:
    setting(api, "red", False)
    network = api.create("network", project_id="red")["id"]
    port = api.create("port", network_id=network, project_id="red")
    (group,) = port["security_groups"]
    assert not api.show("security_group", group)["stateful"]


@pytest.mark.parametrize("project", ["red", None])
def test_there_is_one_a_project(api: Api, project: str | None) -> None:
    setting(api, project, True)
    body = {KIND: {"project_id": project, "stateful": False}}
    words = api.refused(409, "SettingExists", "POST", URL, body)
    assert (project or "system-wide") in words


def test_who_may_say(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("admin", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    everybodys = setting(api, None, False)
    now["who"] = caller("red", "member")
    assert api.request("POST", URL, {KIND: {"stateful": False}})[0] == 403
    now["who"] = caller("red", "manager")
    reds = setting(api, "red", False)
    assert api.request("GET", f"{URL}/{everybodys}")[0] == 404
    assert api.request("DELETE", f"{URL}/{everybodys}")[0] == 404
    now["who"] = caller("blue", "manager")
    assert api.request("DELETE", f"{URL}/{reds}")[0] == 404
    assert api.request("POST", URL, {KIND: {"project_id": "red", "stateful": True}})[0] == 400


def test_the_openstack_client_lists_and_follows(client: Client, api: Api) -> None:
    """To make one it has another word (security_group_default_statefulness) than Neutron."""
    id = setting(api, None, False)
    listed, group = client.run(
        "security group default statefulness list -f json",
        "security group create web -f json",
    )
    assert [row["ID"] for row in listed] == [id]
    assert group["stateful"] is False
