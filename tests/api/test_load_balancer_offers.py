# SPDX-License-Identifier: Apache-2.0

"""Providers of load balancers, their flavors and availability zones; and that there are no
amphorae."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenantry.apps.load_balancer.resources import offers, providers
from tenantry.apps.load_balancer.resources.offers import FLAVOR, OFFERS, ZONE, Offer
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller
from tests.api.octavia import LBAAS, Octavia

BOTH = pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: offer.name)

DATA: dict[Offer, dict[str, Any]] = {
    FLAVOR: {"loadbalancer_topology": "SINGLE"},
    ZONE: {providers.VALID_VIP_NETWORKS: []},
}
NOTHING = "00000000-0000-4000-8000-000000000000"


class Admin(Octavia):
    """An administrator, who makes what is offered."""

    def profile(self, offer: Offer, **attributes: Any) -> Any:
        asked = {"name": "p", "provider_name": "tenantry", offer.data: json.dumps(DATA[offer])}
        return self.create(offer.profile_name, **{**asked, **attributes})

    def offer(self, offer: Offer, name: str = "o", **attributes: Any) -> Any:
        """One, and its profile."""
        profile = attributes.pop(offer.profile_id, None) or self.profile(offer)["id"]
        return self.create(offer.name, **{"name": name, offer.profile_id: profile, **attributes})

    @staticmethod
    def path(kind: str, *below: str) -> str:
        words = kind if kind == "loadbalancer" else kind.replace("_", "")
        return "/".join((f"{LBAAS}/{words}s", *below))


def id_of(offer: Offer, shown: Any) -> str:
    id: str = shown["name" if offer is ZONE else "id"]
    return id


@pytest.fixture
def admin(api: Api) -> Admin:
    return Admin(api)


@pytest.fixture
def subnet(api: Api) -> Any:
    network = api.create("network")["id"]
    return api.create("subnet", network_id=network, cidr="10.0.0.0/24", ip_version=4)


def test_providers_are_one_and_its_other_names(admin: Admin) -> None:
    found = admin.list("provider")
    assert {each["name"]: each["description"] for each in found} == providers.PROVIDERS
    assert admin.list("provider", "fields=name&name=octavia") == [{"name": "octavia"}]
    for kind, capabilities in (("flavor", FLAVOR), ("availability_zone", ZONE)):
        path = f"{LBAAS}/providers/octavia/{kind}_capabilities"
        status, answer = admin.api.request("GET", path)
        assert status == 200
        told = answer[f"{kind}_capabilities"]
        assert [each["name"] for each in told] == [*capabilities.capabilities]
        status, answer = admin.api.request("GET", path.replace("octavia", "ovn"))
        assert (status, answer["faultstring"]) == (400, "Provider 'ovn' is not enabled.")


def test_there_are_no_amphorae(admin: Admin) -> None:
    amphorae = "/load-balancer/v2/octavia/amphorae"
    assert admin.api.request("GET", amphorae) == (200, {"amphorae": [], "amphorae_links": []})
    for method, below in (
        *(("GET", ""), ("GET", "/stats"), ("DELETE", "")),
        *(("PUT", "/config"), ("PUT", "/failover")),
    ):
        status, answer = admin.api.request(method, f"{amphorae}/{NOTHING}{below}")
        assert (status, answer["faultstring"]) == (404, f"Amphora {NOTHING} not found.")


@BOTH
def test_from_birth_to_death(admin: Admin, offer: Offer) -> None:
    made = admin.offer(offer, description="d")
    assert made["enabled"] is True
    assert "project_id" not in made and ("id" in made) is (offer is FLAVOR)
    id = id_of(offer, made)
    assert admin.show(offer.name, id) == made
    assert admin.update(offer.name, id, enabled=False) == {**made, "enabled": False}
    _, answer = admin.api.request("GET", admin.path(offer.name) + "?enabled=False")
    assert [id_of(offer, each) for each in answer[f"{offer.name}s"]] == [id]
    assert "already exists" in admin.refused(409, offer.name, **{**made, "id": None})
    profile = made[offer.profile_id]
    shown = admin.show(offer.profile_name, profile)
    assert shown.keys() == {"id", "name", "provider_name", offer.data}
    admin.delete(offer.name, id)
    admin.delete(offer.profile_name, profile)
    assert admin.api.request("GET", admin.path(offer.name, id))[0] == 404
    assert admin.api.request("GET", admin.path(offer.profile_name, profile))[0] == 404


@BOTH
def test_what_a_profile_asks_is_checked(admin: Admin, offer: Offer) -> None:
    asked = {"name": "p", "provider_name": "tenantry", offer.data: "{}"}

    def refused(status: int, **wrong: Any) -> str:
        return admin.refused(status, offer.profile_name, **{**asked, **wrong})

    for words in ("{", "[]", '"x"', "7"):
        said = refused(400, **{offer.data: words})
        assert said == f"{words} is not a valid option for {offer.data}"
    assert "speed is none of" in refused(501, **{offer.data: '{"speed": 9}'})
    (name,) = DATA[offer]
    for value in ("FAST", 7, None, [7], {"a": "b"}):
        assert f"{name} cannot be" in refused(501, **{offer.data: json.dumps({name: value})})
    assert refused(400, provider_name="ovn") == "Provider 'ovn' is not enabled."
    made = admin.profile(offer)
    changed = admin.refused_change(501, offer.profile_name, made["id"], **{offer.data: '{"x": 1}'})
    assert "x is none of" in changed
    assert admin.update(offer.profile_name, made["id"], **{offer.data: "{}"})[offer.data] == "{}"
    missing = admin.refused(404, offer.name, name="n", **{offer.profile_id: NOTHING})
    assert missing == f"{offer.title} profile {NOTHING} not found."


@BOTH
def test_what_is_in_use_stays_as_it_is(admin: Admin, offer: Offer, subnet: Any) -> None:
    made = admin.offer(
        offer, **{offer.profile_id: admin.profile(offer, **{offer.data: "{}"})["id"]}
    )
    profile, id = made[offer.profile_id], id_of(offer, made)
    changed = {offer.data: json.dumps(DATA[offer])}
    admin.refused_change(409, offer.profile_name, profile, **changed)
    assert admin.update(offer.profile_name, profile, name="new")["name"] == "new"
    assert admin.api.request("DELETE", admin.path(offer.profile_name, profile))[0] == 409
    balancer = admin.create("loadbalancer", vip_subnet_id=subnet["id"], **{offer.asked_as: id})
    assert balancer[offer.asked_as] == id
    status, answer = admin.api.request("DELETE", admin.path(offer.name, id))
    assert (status, "is in use" in answer["faultstring"]) == (409, True)
    admin.delete("loadbalancer", balancer["id"])
    admin.delete(offer.name, id)


@BOTH
def test_load_balancers_get_what_is_offered(admin: Admin, offer: Offer, subnet: Any) -> None:
    vip = {"vip_subnet_id": subnet["id"]}
    no = admin.refused(400, "loadbalancer", **vip, **{offer.asked_as: NOTHING})
    assert no == f"Validation failure: Invalid {offer.asked_as}."
    profile = admin.profile(offer, **{offer.data: "{}"})["id"]
    made = admin.offer(offer, enabled=False, **{offer.profile_id: profile})
    asked = {**vip, offer.asked_as: id_of(offer, made)}
    assert "is not allowed in this deployment" in admin.refused(400, "loadbalancer", **asked)
    admin.update(offer.name, id_of(offer, made), enabled=True)
    assert admin.create("loadbalancer", **asked)["provider"] == "tenantry"


def test_a_flavor_says_of_which_provider(admin: Admin, subnet: Any) -> None:
    profile = admin.profile(FLAVOR, provider_name="octavia")["id"]
    flavor = admin.offer(FLAVOR, flavor_profile_id=profile)["id"]
    asked = {"vip_subnet_id": subnet["id"], "flavor_id": flavor}
    assert admin.create("loadbalancer", **asked)["provider"] == "octavia"
    assert admin.create("loadbalancer", **asked, provider="octavia")["provider"] == "octavia"
    no = admin.refused(400, "loadbalancer", **asked, provider="tenantry")
    assert no == f"Flavor '{flavor}' is not compatible with provider 'tenantry'"


def test_a_zone_says_in_which_networks(admin: Admin, subnet: Any) -> None:
    def zone(name: str, *networks: str) -> dict[str, str]:
        data = json.dumps({providers.VALID_VIP_NETWORKS: networks})
        profile = admin.profile(ZONE, availability_zone_data=data)["id"]
        admin.offer(ZONE, name, availability_zone_profile_id=profile)
        return {"vip_subnet_id": subnet["id"], "availability_zone": name}

    admin.create("loadbalancer", **zone("here", NOTHING, subnet["network_id"]))
    no = admin.refused(400, "loadbalancer", **zone("there", NOTHING))
    assert f"VIPs of availability zone there are in networks {NOTHING}" in no


@BOTH
def test_everybody_chooses_and_admins_make(api: Api, offer: Offer, tmp_path: Any) -> None:
    who: list[Context] = [caller("demo", "admin")]
    own = Admin(Api(f"sqlite:///{tmp_path}/own.db", api.kinds, authenticate=lambda _: who[-1]))
    made = own.offer(offer)
    id, profile = id_of(offer, made), made[offer.profile_id]
    new = {"name": "n", offer.profile_id: profile}
    asked = {"name": "p", "provider_name": "tenantry", offer.data: "{}"}
    for role in ("reader", "member"):
        who.append(caller("other", role))
        assert own.show(offer.name, id) == made
        answer = own.api.request("GET", own.path(offer.name))[1]
        assert answer[f"{offer.name}s"] == [made]
        own.refused(403, offer.name, **new)
        own.refused_change(403, offer.name, id, enabled=False)
        own.refused(403, offer.profile_name, **asked)
        own.refused_change(403, offer.profile_name, profile, name="x")
        for method, kind, below in (
            *(("DELETE", offer.name, [id]), ("DELETE", offer.profile_name, [profile])),
            *(("GET", offer.profile_name, [profile]), ("GET", offer.profile_name, [])),
        ):
            assert own.api.request(method, own.path(kind, *below))[0] == 403
        assert own.api.request("GET", "/load-balancer/v2/octavia/amphorae")[0] == 403
    assert offers.POLICIES
    own.api.store.close()
