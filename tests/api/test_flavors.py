# SPDX-License-Identifier: Apache-2.0

"""Flavors of routers, and who stands behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.conftest import Api, caller, path
from tests.api.openstack import Client

UNKNOWN = "6f2b3a52-8a3a-4a4f-9a57-3f6d0a8f7c11"
DRIVER = "tenantry.routing"
L3 = "L3_ROUTER_NAT"


def profile(api: Api, **more: Any) -> str:
    id: str = api.create("service_profile", **{"driver": DRIVER, **more})["id"]
    return id


def flavor(api: Api, *profiles: str, **more: Any) -> str:
    said = {"service_type": L3, "service_profiles": list(profiles), **more}
    id: str = api.create("flavor", name="fast", **said)["id"]
    return id


def of(flavor: str, *profile: str) -> str:
    return path("flavor", flavor, "service_profiles", *profile)


def test_a_router_has_a_flavor(api: Api) -> None:
    fast = flavor(api, profile(api))
    router = api.create("router", flavor_id=fast)
    assert router["flavor_id"] == fast
    assert api.show("router", api.create("router")["id"])["flavor_id"] is None
    api.refused(409, "FlavorInUse", "DELETE", path("flavor", fast))
    changed = {"router": {"flavor_id": None}}
    api.refused(400, "HTTPBadRequest", "PUT", path("router", router["id"]), changed)
    api.delete("router", router["id"])
    api.delete("flavor", fast)


def test_what_gives_no_router(api: Api) -> None:
    ours, off = profile(api), profile(api, enabled=False)
    note = profile(api, driver="", metainfo="{}")
    for id, status, error in (
        (UNKNOWN, 404, "FlavorNotFound"),
        (flavor(api), 404, "FlavorServiceProfileBindingNotFound"),
        (flavor(api, off), 503, "ServiceProfileDisabled"),
        (flavor(api, note), 404, "ServiceProfileDriverNotFound"),
        (flavor(api, ours, enabled=False), 503, "FlavorDisabled"),
        (flavor(api, ours, service_type="FLAVORS"), 400, "InvalidInput"),
    ):
        body = {"router": {"flavor_id": id}}
        api.refused(status, error, "POST", path("router"), body)
    for said in ({"distributed": True}, {"ha": False}):
        body = {"router": {"flavor_id": flavor(api, ours), **said}}
        api.refused(400, "BadRequest", "POST", path("router"), body)


def test_profiles_come_and_go(api: Api) -> None:
    fast, one, two = flavor(api), profile(api), profile(api, driver="", metainfo="slow")
    for id in (one, two):
        status, answer = api.request("POST", of(fast), {"service_profile": {"id": id}})
        assert status == 201, answer
    assert answer["service_profile"]["service_profiles"] == [one, two]
    assert api.show("flavor", fast)["service_profiles"] == [one, two]
    assert api.show("service_profile", one)["flavors"] == [fast]
    assert api.request("GET", of(fast))[1] == {"service_profiles": [{"id": one}, {"id": two}]}
    assert api.request("GET", of(fast, one))[1]["service_profile"]["flavor_id"] == fast
    status, answer = api.request("GET", path("flavor", fast, "next_providers"))
    assert answer == {"next_providers": [{"driver": DRIVER, "provider": "tenantry"}]}
    again = {"service_profile": {"id": one}}
    api.refused(409, "FlavorServiceProfileBindingExists", "POST", of(fast), again)
    for wrong in ({"service_profile": {"id": UNKNOWN}}, {"service_profile": []}, {}):
        api.refused(404, "ServiceProfileNotFound", "POST", of(fast), wrong)
    api.refused(409, "ServiceProfileInUse", "DELETE", path("service_profile", one))
    change = {"service_profile": {"enabled": False}}
    api.refused(409, "ServiceProfileInUse", "PUT", path("service_profile", one), change)
    assert api.request("DELETE", of(fast, one))[0] == 204
    api.refused(404, "FlavorServiceProfileBindingNotFound", "DELETE", of(fast, one))
    api.refused(404, "FlavorNotFound", "GET", of(UNKNOWN))
    api.delete("service_profile", one)
    assert api.update("flavor", fast, enabled=False, service_profiles=[])["service_profiles"] == []


@pytest.mark.parametrize(
    ("kind", "attributes", "status", "error"),
    [
        ("service_profile", {"driver": "elsewhere"}, 404, "ServiceProfileDriverNotFound"),
        ("service_profile", {}, 400, "ServiceProfileEmpty"),
        ("flavor", {"service_type": "LOADBALANCER"}, 400, "InvalidInput"),
        ("flavor", {"service_type": ""}, 400, "HTTPBadRequest"),
        ("flavor", {}, 400, "HTTPBadRequest"),
        (
            "flavor",
            {"service_type": L3, "service_profiles": [UNKNOWN]},
            *(404, "ServiceProfileNotFound"),
        ),
    ],
)
def test_what_is_wrong_is_refused(
    api: Api, kind: str, attributes: dict[str, Any], status: int, error: str
) -> None:
    api.refused(status, error, "POST", path(kind), {kind: attributes})


def test_who_provides_is_listed(api: Api) -> None:
    status, answer = api.request("GET", "/v2.0/service-providers")
    provider = {"service_type": L3, "name": "tenantry", "default": True}
    assert (status, answer) == (200, {"service_providers": [provider]})
    status, answer = api.request("GET", "/v2.0/service-providers?service_type=VPN")
    assert answer == {"service_providers": []}
    for alias in ("flavors", "l3-flavors", "service-type"):
        assert api.request("GET", f"/v2.0/extensions/{alias}")[0] == 200


def test_admins_make_flavors_and_all_choose(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("admin", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    of_it = profile(api)
    fast = flavor(api, of_it)
    now["who"] = caller("red")
    assert [one["id"] for one in api.list("flavor")] == [fast]
    assert api.create("router", flavor_id=fast)["flavor_id"] == fast
    assert api.list("service_profile") == []
    body = {"flavor": {"service_type": L3}}
    bound = {"service_profile": {"id": of_it}}
    for method, url, sent in (
        ("POST", path("flavor"), body),
        ("PUT", path("flavor", fast), {"flavor": {"name": "x"}}),
        ("DELETE", path("flavor", fast), None),
        ("POST", of(fast), bound),
        ("DELETE", of(fast, of_it), None),
        ("POST", path("service_profile"), {"service_profile": {"driver": DRIVER}}),
    ):
        assert api.request(method, url, sent)[0] == 403, (method, url)


def test_the_openstack_client_has_words_for_them(client: Client, api: Api) -> None:
    made, of_it = client.run(
        "network flavor create --service-type L3_ROUTER_NAT --description all fast -f json",
        f"network flavor profile create --driver {DRIVER} -f json",
    )
    assert made["service_type"] == L3
    router, listed, providers = client.run(
        f"network flavor add profile fast {of_it['id']}",
        "router create --flavor fast r -f json",
        "network flavor list -f json",
        "network service provider list -f json",
    )
    assert router["flavor_id"] == made["id"]
    assert [row["Name"] for row in listed] == ["fast"]
    assert [row["Name"] for row in providers] == ["tenantry"]
    client.run(
        "router delete r",
        f"network flavor remove profile fast {of_it['id']}",
        f"network flavor profile delete {of_it['id']}",
        "network flavor delete fast",
    )
    assert api.list("flavor") == []
