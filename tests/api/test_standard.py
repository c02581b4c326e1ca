# SPDX-License-Identifier: Apache-2.0

"""The attributes that many kinds have: which have which, and what revises a resource."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.one_of_each import World, one_of_each

TAGGED = {
    *("network", "subnet", "port", "subnetpool", "router", "floatingip", "security_group"),
    *("trunk", "network_segment_range"),
}
"""Of Neutron's tag_support."""

BARE = {"rbac_policy", "conntrack_helper", "address_scope", "agent", "port_forwarding"}
"""Those of Neutron's kinds that are no HasStandardAttributes."""

NEUTRONS = {
    *TAGGED,
    *BARE,
    *("security_group_rule", "default_security_group_rule", "address_group", "segment", "log"),
    *("ndp_proxy", "firewall_rule", "firewall_policy", "firewall_group"),
}


@pytest.fixture
def world(api: Api) -> World:
    return one_of_each(api)


def test_kinds_have_the_standard_attributes_that_neutrons_have(world: World) -> None:
    for kind in NEUTRONS & world.urls.keys():
        shown = world.shown(kind)
        assert ("tags" in shown) == (kind in TAGGED), kind
        for name in ("updated_at", "revision_number"):
            assert (name in shown) == (kind not in BARE), (kind, name)


def test_tags_are_where_there_are_tags(world: World) -> None:
    for kind, url in world.urls.items():
        for method in ("GET", "PUT", "POST", "DELETE"):
            body = {"tags": ["x"]} if method in ("PUT", "POST") else None
            status, _ = world.api.request(method, f"{url}/tags", body)
            tagged = "tags" in world.api.kinds[kind].attributes
            assert status == (404 if not tagged else 204 if method == "DELETE" else 200), kind


def test_if_match_is_for_what_has_revisions(world: World) -> None:
    scope = world.urls["address_scope"]
    body = {"address_scope": {"name": "x"}}
    if_match = {"If_Match": "revision_number=1"}
    world.api.refused(400, "BadRequest", "PUT", scope, body, **if_match)
    group = world.urls["address_group"]
    revision = world.shown("address_group")["revision_number"]
    body = {"address_group": {"name": "x"}}
    if_match = {"If_Match": f"revision_number={revision}"}
    assert world.api.request("PUT", group, body, **if_match)[0] == 200
    assert world.api.request("PUT", group, body, **if_match)[0] == 412


def test_everything_that_has_a_description_is_found_by_it(world: World) -> None:
    for kind, url in world.urls.items():
        if "description" in world.shown(kind):
            collection = url.rpartition("/")[0]
            status, answer = world.api.request("GET", f"{collection}?description=nobody's")
            assert (status, answer[world.api.kinds[kind].collection]) == (200, []), kind


PARTS = {
    "subnet": ("network",),
    "security_group_rule": ("security_group",),
    "rbac_policy": ("network",),
    "port_forwarding": ("port", "floatingip"),
}
"""Kinds, and those of which they are parts."""


@pytest.mark.parametrize("part", PARTS)
def test_a_part_revises_its_whole(world: World, part: str) -> None:
    def revisions() -> dict[str, int]:
        return {kind: revision(kind) for kind in PARTS[part]}

    def revision(kind: str) -> int:
        if part == "port_forwarding":
            forwarding = world.shown(part)
            url = {
                "port": f"/v2.0/ports/{forwarding['internal_port_id']}",
                "floatingip": world.urls[part].partition("/port_forwardings")[0],
            }[kind]
            _, answer = world.api.request("GET", url)
            number: int = answer[kind]["revision_number"]
            return number
        return int(world.shown(kind)["revision_number"])

    before = revisions()
    url, body = world.new[part]
    status, answer = world.api.request("POST", url, {part: body})
    assert status == 201, answer
    for kind, number in revisions().items():
        assert number == before[kind] + 1, kind
    before = revisions()
    assert world.api.request("DELETE", f"{url}/{answer[part]['id']}")[0] == 204
    for kind, number in revisions().items():
        assert number == before[kind] + 1, kind


def test_interfaces_and_helpers_revise_their_router(api: Api) -> None:
    router = api.create("router", name="r")["id"]
    network = api.create("network")["id"]
    subnet = api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)["id"]

    def revision() -> Any:
        return api.show("router", router)["revision_number"]

    seen = [revision()]
    url = f"/v2.0/routers/{router}"
    for ask in (
        lambda: api.request("PUT", f"{url}/add_router_interface", {"subnet_id": subnet}),
        lambda: api.request("PUT", f"{url}/remove_router_interface", {"subnet_id": subnet}),
        lambda: api.request(
            "POST",
            f"{url}/conntrack_helpers",
            {"conntrack_helper": {"protocol": "tcp", "port": 21, "helper": "ftp"}},
        ),
    ):
        assert ask()[0] in (200, 201)
        seen.append(revision())
    assert seen == sorted(set(seen)), "each moved it"


def test_what_is_new_is_not_revised_by_its_parts(api: Api) -> None:
    group = api.create("security_group", name="web")
    assert len(group["security_group_rules"]) == 2
    assert group["revision_number"] == 1
    network = api.create("network", shared=True, **{"router:external": True})
    assert network["revision_number"] == api.show("network", network["id"])["revision_number"] == 1


def test_many_parts_at_once_are_one_revision(api: Api) -> None:
    network = api.create("network")["id"]
    nets = [
        {"network_id": network, "ip_version": 4, "cidr": f"10.0.{n}.0/24", "name": str(n)}
        for n in range(3)
    ]
    assert api.request("POST", "/v2.0/subnets", {"subnets": nets})[0] == 201
    assert api.show("network", network)["revision_number"] == 2


def test_an_answer_has_the_revision_that_a_get_has(api: Api) -> None:
    network = api.create("network")["id"]
    for shared in (True, False):
        for name in ("shared", "router:external"):
            after = api.update("network", network, **{name: shared})
            seen = api.show("network", network)
            assert after["revision_number"] == seen["revision_number"]
