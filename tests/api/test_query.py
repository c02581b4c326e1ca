# SPDX-License-Identifier: Apache-2.0

"""Lists: filters, sorting, paging, fields; and tags."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.conftest import Api


@pytest.fixture
def ports(api: Api, network: str) -> dict[str, Any]:
    """By name: a, b, c with addresses 10.0.0.2 to .4, and d on a network of its own."""
    made = {name: api.create("port", network_id=network, name=name) for name in "abc"}
    made["b"] = api.update("port", made["b"]["id"], admin_state_up=False)
    other = api.create("network", name="other")["id"]
    made["d"] = api.create("port", network_id=other, name="d", project_id="red", device_id="vm")
    return made


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", "abcd"),
        ("name=a", "a"),
        ("name=a&name=c", "ac"),
        ("name=a&admin_state_up=false", ""),
        ("admin_state_up=False", "b"),
        ("admin_state_up=0", "b"),
        ("project_id=red", "d"),
        ("tenant_id=red", "d"),
        ("device_id=", "abc"),
        ("status=DOWN", "abcd"),
        ("status=ACTIVE", ""),
        ("revision_number=2", "b"),
        ("fixed_ips=ip_address%3D10.0.0.3", "b"),
        ("fixed_ips=ip_address=10.0.0.3&fixed_ips=ip_address=10.0.0.4", "bc"),
        ("fixed_ips=ip_address_substr=.0.4", "c"),
        ("changed_since=2000-01-01T00:00:00Z", "abcd"),
        ("changed_since=2200-01-01T00:00:00", ""),
        ("sort_key=name&sort_dir=desc", "dcba"),
        ("sort_key=admin_state_up&sort_dir=asc&sort_key=name&sort_dir=desc", "bdca"),
    ],
)
def test_filters_and_sorting(api: Api, ports: dict[str, Any], query: str, names: str) -> None:
    assert "".join(port["name"] for port in api.list("port", query)) == names


def test_filters_by_reference(api: Api, ports: dict[str, Any], network: str) -> None:
    port = ports["b"]
    (four,) = api.list("subnet", "name=four")
    assert api.list("port", f"id={port['id']}") == [port]
    assert api.list("port", f"mac_address={port['mac_address'].upper()}") == [port]
    assert len(api.list("port", f"network_id={network}")) == 3
    query = f"fixed_ips=subnet_id={four['id']}&fixed_ips=ip_address=2001:db8::3"
    assert api.list("port", query) == [], "both must hold for one and the same address"
    assert api.list("subnet", "ip_version=6&shared=False&cidr=2001:DB8::/64")[0]["name"] == "six"


def test_filters_by_what_is_in_a_list(api: Api, network: str) -> None:
    groups = [api.create("security_group", name=name)["id"] for name in "gh"]
    for name, chosen in (("one", groups[:1]), ("both", groups), ("none", [])):
        api.create("port", network_id=network, name=name, security_groups=chosen)
    for query, names in (
        (f"security_groups={groups[0]}", ["one", "both"]),
        (f"security_groups={groups[1]}", ["both"]),
        (f"security_groups={groups[0]}&security_groups={groups[1]}", ["one", "both"]),
        (f"security_groups={network}", []),
    ):
        assert [port["name"] for port in api.list("port", query)] == names


def test_addresses_are_compared_as_such(api: Api, ports: dict[str, Any], network: str) -> None:
    (b,) = (p for p in api.list("port") if p["name"] == "b")
    (six,) = (ip["ip_address"] for ip in b["fixed_ips"] if ":" in ip["ip_address"])
    spelled = six.replace("::", ":0:0:0:0:0:").upper()
    assert api.list("port", f"fixed_ips=ip_address={spelled}") == [b]
    assert api.list("port", "fixed_ips=ip_address_substr=2001:DB8")[0]["name"] == "a"


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        ("mac_address=256.1.1.1", "HTTPBadRequest", "'256.1.1.1' is malformed"),
        ("changed_since=2026-13-01T00:00:00", "InvalidInput", "YYYY-MM-DD"),
        ("colour=red", "HTTPBadRequest", "['colour'] is invalid attribute for filtering"),
        ("key=1", "HTTPBadRequest", "['key'] is invalid attribute for filtering"),
        ("admin_state_up=perhaps", "InvalidInput", "cannot be converted to boolean"),
        ("project_id=a&tenant_id=a", "TenantIdProjectIdFilterConflict", "Both"),
        ("fixed_ips=colour=red", "HTTPBadRequest", "['colour']"),
        ("fixed_ips=red", "InvalidInput", "is not of the form"),
        ("changed_since=yesterday", "InvalidInput", "YYYY-MM-DD"),
        ("sort_key=name", "HTTPBadRequest", "must be same"),
        ("sort_key=colour&sort_dir=asc", "HTTPBadRequest", "invalid attribute for sort_keys"),
        ("sort_key=fixed_ips&sort_dir=asc", "HTTPBadRequest", "invalid attribute for sort_keys"),
        ("sort_key=name&sort_dir=up", "HTTPBadRequest", "invalid value for sort_dirs"),
        ("limit=-1", "BadRequest", "Limit must be an integer 0 or greater"),
        ("limit=many", "BadRequest", "Limit must be an integer 0 or greater"),
        ("name=%ff", "HTTPBadRequest", "not UTF-8"),
    ],
)
def test_wrong_queries(api: Api, query: str, error: str, message: str) -> None:
    assert message in api.refused(400, error, "GET", f"/v2.0/ports?{query}")


def test_fields(api: Api, ports: dict[str, Any]) -> None:
    port = ports["a"]
    assert api.list("port", "name=a&fields=name&fields=status&fields=key") == [
        {"name": "a", "status": "DOWN"}
    ]
    _, answer = api.request("GET", f"/v2.0/ports/{port['id']}?fields=id")
    assert answer == {"port": {"id": port["id"]}}


def follow(api: Api, path: str, rel: str) -> list[str]:
    """The names on each page from ``path`` on."""
    pages = []
    while path:
        _, answer = api.request("GET", path)
        if answer["ports"]:
            pages.append("".join(port["name"] for port in answer["ports"]))
        links = {link["rel"]: link["href"] for link in answer["ports_links"]}
        path = links.get(rel, "") if answer["ports"] else ""
        path = path and path.removeprefix("http://localhost")
    return pages


def test_pages_follow_each_other(api: Api, ports: dict[str, Any]) -> None:
    start = "/v2.0/ports?limit=3&sort_key=name&sort_dir=asc"
    assert follow(api, start, "next") == ["abc", "d"]
    assert follow(api, f"{start}&marker={ports['d']['id']}&page_reverse=True", "previous") == [
        "abc"
    ]
    assert follow(api, f"{start}&page_reverse=True", "previous") == ["bcd", "a"]
    by_id = "".join(sorted("abcd", key=lambda name: str(ports[name]["id"])))
    assert "".join(follow(api, "/v2.0/ports?limit=1", "next")) == by_id


def test_a_page_link_repeats_the_query(api: Api, ports: dict[str, Any]) -> None:
    _, answer = api.request("GET", "/v2.0/ports?limit=1&fields=id&name=a&name=b")
    (following, _) = answer["ports_links"]
    query = urlsplit(following["href"]).query
    marker = answer["ports"][0]["id"]
    assert query == f"limit=1&fields=id&name=a&name=b&marker={marker}"


def test_a_marker_that_is_gone_is_not_found(api: Api, ports: dict[str, Any]) -> None:
    api.delete("port", ports["a"]["id"])
    path = f"/v2.0/ports?limit=1&marker={ports['a']['id']}"
    api.refused(404, "PortNotFound", "GET", path)


def test_tags(api: Api, network: str) -> None:
    path = f"/v2.0/networks/{network}/tags"
    before = api.show("network", network)["revision_number"]
    assert api.request("PUT", path, {"tags": ["a", "b"]}) == (200, {"tags": ["a", "b"]})
    assert api.request("PUT", f"{path}/c") == (201, None)
    assert api.request("PUT", f"{path}/c") == (201, None)
    assert api.request("GET", f"{path}/c") == (204, None)
    assert api.request("DELETE", f"{path}/a") == (204, None)
    assert api.request("GET", path) == (200, {"tags": ["b", "c"]})
    assert api.show("network", network)["tags"] == ["b", "c"]
    assert api.show("network", network)["revision_number"] == before + 3
    api.refused(404, "TagNotFound", "GET", f"{path}/a")
    api.refused(404, "TagNotFound", "DELETE", f"{path}/a")
    api.refused(400, "InvalidInput", "PUT", f"{path}/{'x' * 256}")
    for wrong in ({}, {"tags": "a"}, {"tags": ["a", "a"]}, {"tags": [1]}, ["a"]):
        api.refused(400, "InvalidInput", "PUT", path, wrong)
    assert api.request("POST", path, {"tags": ["c", "d"]}) == (200, {"tags": ["c", "d"]})
    assert api.request("GET", path) == (200, {"tags": ["b", "c", "d"]})
    api.refused(400, "InvalidInput", "POST", path, {"tags": ["e", "e"]})
    assert api.request("DELETE", path) == (204, None)
    assert api.request("GET", path) == (200, {"tags": []})


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tags=x", "xy x"),
        ("tags=x,y", "xy"),
        ("tags-any=x,y", "xy x"),
        ("not-tags=x,y", "x none"),
        ("not-tags-any=x,y", "none"),
        ("tags=x&not-tags=y", "x"),
    ],
)
def test_tag_filters(api: Api, network: str, query: str, names: str) -> None:
    for name, tags in (("xy", ["x", "y"]), ("x", ["x"]), ("none", [])):
        api.create("port", network_id=network, name=name, tags=tags)
    assert [port["name"] for port in api.list("port", query)] == names.split()
