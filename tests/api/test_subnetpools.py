# SPDX-License-Identifier: Apache-2.0

"""Subnet pools and address scopes, and subnets out of them, IPv4 and IPv6."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry.controller.api.core.prefixes import first_free
from tenantry.controller.feature.context import Context
from tests.api.conftest import Api, caller, path

NOBODY = str(uuid.uuid4())
POOL = {4: "10.0.0.0/8", 6: "2001:db8::/32"}
LENGTH = {4: 24, 6: 64}

both = pytest.mark.parametrize("version", [4, 6])


def pool(api: Api, version: int, **attributes: Any) -> Any:
    defaults = {"prefixes": [POOL[version]], "default_prefixlen": LENGTH[version]}
    return api.create("subnetpool", **{"name": "pool", **defaults, **attributes})


def subnet(api: Api, version: int, network: str | None = None, **attributes: Any) -> Any:
    network = network or api.create("network")["id"]
    return api.create("subnet", network_id=network, ip_version=version, **attributes)


def refused_subnet(api: Api, status: int, error: str, version: int, **attributes: Any) -> str:
    attributes.setdefault("network_id", api.create("network")["id"])
    body = {"subnet": {"ip_version": version, **attributes}}
    return api.refused(status, error, "POST", path("subnet"), body)


def test_a_new_pool_has_neutrons_defaults(api: Api) -> None:
    made = api.create(
        "subnetpool", name="p", prefixes=["10.0.128.0/17", "10.0.0.0/17", "10.2.0.0/16"]
    )
    assert made == {
        **made,
        "prefixes": ["10.0.0.0/16", "10.2.0.0/16"],
        "ip_version": 4,
        "min_prefixlen": "8",
        "default_prefixlen": "8",
        "max_prefixlen": "32",
        "default_quota": None,
        "address_scope_id": None,
        "shared": False,
        "is_default": False,
        "project_id": "default",
    }
    six = api.create("subnetpool", name="p", prefixes=["2001:DB8::/33", "2001:db8:8000::/33"])
    assert six["prefixes"] == ["2001:db8::/32"]
    lengths = [six[f"{which}_prefixlen"] for which in ("min", "default", "max")]
    assert lengths == ["64", "64", "128"], "in quotes, as Neutron's"
    assert api.list("subnetpool", "ip_version=6") == [six]


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        ({"prefixes": []}, 400, "EmptySubnetPoolPrefixList", "Empty subnet pool prefix list"),
        ({"prefixes": None}, 400, "HTTPBadRequest", "prefixes"),
        ({"prefixes": ["10.0.0.1"]}, 400, "HTTPBadRequest", "not a valid IP subnet"),
        ({"prefixes": ["10.0.0.0/8", "2001:db8::/32"]}, 400, "PrefixVersionMismatch", "Cannot mix"),
        ({"max_prefixlen": 33}, 400, "IllegalSubnetPoolPrefixBounds", "ip_version_max=32"),
        ({"min_prefixlen": 25, "max_prefixlen": 24}, 400, "IllegalSubnetPoolPrefixBounds", "=24"),
        ({"default_prefixlen": 7}, 400, "IllegalSubnetPoolPrefixBounds", "min_prefixlen=8"),
        (
            {"default_prefixlen": 29, "max_prefixlen": 28},
            400,
            "IllegalSubnetPoolPrefixBounds",
            "default_prefixlen=29, max_prefixlen=28",
        ),
        ({"default_quota": -1}, 400, "HTTPBadRequest", "default_quota"),
        ({"name": ""}, 400, "HTTPBadRequest", "name"),
        ({"ip_version": 4}, 400, "HTTPBadRequest", "'ip_version' not allowed in POST"),
        ({"address_scope_id": NOBODY}, 404, "AddressScopeNotFound", NOBODY),
    ],
)
def test_what_is_wrong_with_a_pool_is_refused(
    api: Api, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    body = {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"], **attributes}}
    assert message in api.refused(status, error, "POST", path("subnetpool"), body)


def test_prefixes_may_be_added_by_update_and_taken_away_by_an_action(api: Api) -> None:
    id = api.create("subnetpool", name="p", prefixes=["10.0.0.0/16"])["id"]
    wider = api.update("subnetpool", id, prefixes=["10.0.0.0/15", "10.9.0.0/16"])
    assert wider["prefixes"] == ["10.0.0.0/15", "10.9.0.0/16"]
    body: dict[str, Any] = {"subnetpool": {"prefixes": ["10.0.0.0/16"]}}
    refused = api.refused(400, "IllegalSubnetPoolPrefixUpdate", "PUT", path("subnetpool", id), body)
    assert "Existing prefixes must be a subset of the new prefixes" in refused
    body = {"subnetpool": {"prefixes": ["2001:db8::/32"]}}
    api.refused(400, "IllegalSubnetPoolPrefixUpdate", "PUT", path("subnetpool", id), body)
    assert api.update("subnetpool", id, name="q", default_quota=700)["default_quota"] == 700

    add, remove = path("subnetpool", id, "add_prefixes"), path("subnetpool", id, "remove_prefixes")
    answer = api.request("PUT", add, {"prefixes": ["10.8.0.0/16", "10.0.0.0/24"]})
    assert answer == (200, {"prefixes": ["10.0.0.0/15", "10.8.0.0/15"]})
    used = subnet(api, 4, subnetpool_id=id, cidr="10.8.0.0/24")
    refused = api.refused(
        400, "IllegalSubnetPoolPrefixUpdate", "PUT", remove, {"prefixes": ["10.8.0.128/25"]}
    )
    assert "existing subnets" in refused
    answer = api.request("PUT", remove, {"prefixes": ["10.0.0.0/15", "10.9.0.0/16"]})
    assert answer == (200, {"prefixes": ["10.8.0.0/16"]})
    assert api.show("subnetpool", id)["prefixes"] == ["10.8.0.0/16"]
    api.delete("subnet", used["id"])
    api.refused(400, "EmptySubnetPoolPrefixList", "PUT", remove, {"prefixes": ["10.8.0.0/16"]})
    api.refused(400, "HTTPBadRequest", "PUT", remove, {"prefixes": "10.8.0.0/16"})
    api.refused(400, "HTTPBadRequest", "PUT", add, [])
    gone = path("subnetpool", NOBODY, "add_prefixes")
    api.refused(404, "SubnetPoolNotFound", "PUT", gone, {"prefixes": ["10.8.0.0/16"]})


@both
def test_one_default_pool_of_each_family(api: Api, version: int) -> None:
    first = pool(api, version, is_default=True)
    body = {"subnetpool": {"name": "p", "prefixes": [POOL[version]], "is_default": True}}
    message = api.refused(400, "InvalidInput", "POST", path("subnetpool"), body)
    assert "Only one default may exist per IP family" in message
    pool(api, 10 - version, is_default=True)
    second = pool(api, version)
    update = path("subnetpool", second["id"]), {"subnetpool": {"is_default": True}}
    api.refused(400, "InvalidInput", "PUT", *update)
    api.update("subnetpool", first["id"], is_default=False)
    assert api.update("subnetpool", second["id"], is_default=True)["is_default"] is True
    made = subnet(api, version, use_default_subnetpool=True)
    assert made["subnetpool_id"] == second["id"]


@both
def test_subnets_get_the_first_free_prefix(api: Api, version: int) -> None:
    id = pool(api, version)["id"]
    made = [subnet(api, version, subnetpool_id=id) for _ in range(3)]
    cidrs = [s["cidr"] for s in made]
    assert (
        cidrs
        == {
            4: ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"],
            6: ["2001:db8::/64", "2001:db8:0:1::/64", "2001:db8:0:2::/64"],
        }[version]
    )
    assert made[0]["gateway_ip"] == {4: "10.0.0.1", 6: "2001:db8::1"}[version]
    api.delete("subnet", made[1]["id"])
    larger = subnet(api, version, subnetpool_id=id, prefixlen=LENGTH[version] + 1)
    assert larger["cidr"] == {4: "10.0.1.0/25", 6: "2001:db8:0:1::/65"}[version]
    assert (
        subnet(api, version, subnetpool_id=id)["cidr"]
        == {
            4: "10.0.3.0/24",
            6: "2001:db8:0:3::/64",
        }[version]
    )
    assert "prefixlen" not in larger and "use_default_subnetpool" not in larger


@both
def test_a_subnet_may_name_its_prefix_in_a_pool(api: Api, version: int) -> None:
    id = pool(api, version)["id"]
    cidr, wider, outside = {
        4: ("10.0.0.0/24", "10.0.0.0/23", "192.0.2.0/24"),
        6: ("2001:db8::/64", "2001:db8::/63", "2001:db9::/64"),
    }[version]
    assert subnet(api, version, subnetpool_id=id, cidr=cidr)["subnetpool_id"] == id
    for taken in (cidr, wider, outside):
        if version == 6 and taken == wider:
            continue  # shorter than the pool's min_prefixlen
        message = refused_subnet(
            api, 409, "SubnetAllocationError", version, subnetpool_id=id, cidr=taken
        )
        assert "Cannot allocate requested subnet from the available set of prefixes" in message
    assert subnet(api, version, cidr=cidr)["subnetpool_id"] is None, "elsewhere is another matter"


def test_a_pool_says_how_large_its_subnets_are(api: Api) -> None:
    id = pool(api, 4, min_prefixlen=24, max_prefixlen=28)["id"]
    message = refused_subnet(
        api, 400, "MinPrefixSubnetAllocationError", 4, subnetpool_id=id, prefixlen=23
    )
    assert "minimum allowed prefix is 24" in message
    for size in ({"prefixlen": 29}, {"cidr": "10.0.0.0/29"}):
        message = refused_subnet(
            api, 400, "MaxPrefixSubnetAllocationError", 4, subnetpool_id=id, **size
        )
        assert "maximum allowed prefix is 28" in message
    assert subnet(api, 4, subnetpool_id=id, prefixlen=28)["cidr"] == "10.0.0.0/28"


@pytest.mark.parametrize(
    ("attributes", "status", "error", "message"),
    [
        ({"use_default_subnetpool": True}, 400, "BadRequest", "No default subnetpool found"),
        ({"subnetpool_id": NOBODY}, 404, "SubnetPoolNotFound", NOBODY),
        ({"subnetpool_id": "POOL", "use_default_subnetpool": True}, 400, "BadRequest", "both"),
        ({"subnetpool_id": "POOL", "ip_version": 6}, 400, "BadRequest", "IPv6 subnet from IPv4"),
        ({"subnetpool_id": "prefix_delegation"}, 400, "BadRequest", "not supported"),
        (
            {"subnetpool_id": "POOL", "cidr": "10.0.0.0/24", "prefixlen": 24},
            400,
            "BadRequest",
            "must not be supplied together",
        ),
        ({"prefixlen": 24}, 400, "BadRequest", "in the absence of a cidr"),
        (
            {
                "subnetpool_id": "POOL",
                "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}],
            },
            400,
            "BadRequest",
            "only for specific subnet requests",
        ),
        (
            {"subnetpool_id": "POOL", "gateway_ip": "10.0.0.0"},
            400,
            "InvalidInput",
            "Gateway is not valid",
        ),
    ],
)
def test_what_is_wrong_with_a_subnet_is_refused(
    api: Api, attributes: dict[str, Any], status: int, error: str, message: str
) -> None:
    if attributes.get("subnetpool_id") == "POOL":
        attributes = {**attributes, "subnetpool_id": pool(api, 4)["id"]}
    version = attributes.pop("ip_version", 4)
    assert message in refused_subnet(api, status, error, version, **attributes)


@both
def test_a_pool_that_is_empty_says_so(api: Api, version: int) -> None:
    prefix = {4: "10.0.0.0/23", 6: "2001:db8::/63"}[version]
    id = pool(api, version, prefixes=[prefix])["id"]
    made = [subnet(api, version, subnetpool_id=id) for _ in range(2)]
    message = refused_subnet(api, 409, "SubnetAllocationError", version, subnetpool_id=id)
    assert f"Insufficient prefix space to allocate subnet size /{LENGTH[version]}" in message
    message = api.refused(400, "SubnetPoolDeleteError", "DELETE", path("subnetpool", id))
    assert "existing allocations" in message
    api.delete("subnet", made[0]["id"])
    assert subnet(api, version, subnetpool_id=id)["cidr"] == made[0]["cidr"]
    for network in api.list("network"):
        api.delete("network", network["id"])
    api.delete("subnetpool", id)
    assert api.list("subnetpool") == []


@both
def test_the_quota_counts_addresses_in_ipv4_and_64s_in_ipv6(api: Api, version: int) -> None:
    id = pool(api, version, default_quota={4: 512 + 128, 6: 2}[version])["id"]
    for _ in range(2):
        subnet(api, version, subnetpool_id=id)
    message = refused_subnet(api, 409, "SubnetPoolQuotaExceeded", version, subnetpool_id=id)
    assert message == "Per-project subnet pool prefix quota exceeded."
    if version == 4:
        subnet(api, version, subnetpool_id=id, prefixlen=25)
    else:
        refused_subnet(api, 409, "SubnetPoolQuotaExceeded", version, subnetpool_id=id, prefixlen=65)
    subnet(api, version, subnetpool_id=id, project_id="red")
    for made in api.list("subnet", "project_id=default"):
        api.delete("subnet", made["id"])
    subnet(api, version, subnetpool_id=id)


@both
def test_subnets_of_a_family_on_a_network_come_from_one_pool(api: Api, version: int) -> None:
    one, other = (pool(api, version)["id"] for _ in range(2))
    network = api.create("network")["id"]
    subnet(api, version, network, subnetpool_id=one)
    subnet(api, version, network, subnetpool_id=one)
    elsewhere = {4: "192.0.2.0/24", 6: "2001:db9::/64"}[version]
    for wrong in ({"subnetpool_id": other}, {"cidr": elsewhere}):
        message = refused_subnet(
            api, 400, "NetworkSubnetPoolAffinityError", version, network_id=network, **wrong
        )
        assert "the same subnet pool" in message
    subnet(api, 10 - version, network, subnetpool_id=pool(api, 10 - version)["id"])


# Address scopes


@both
def test_pools_in_a_scope_do_not_overlap(api: Api, version: int) -> None:
    scope = api.create("address_scope", name="s", ip_version=version)
    assert scope == {**scope, "shared": False, "ip_version": version, "project_id": "default"}
    one = pool(api, version, address_scope_id=scope["id"])
    inside = {4: "10.1.0.0/16", 6: "2001:db8:1::/48"}[version]
    body = {"name": "p", "prefixes": [inside], "address_scope_id": scope["id"]}
    api.refused(409, "AddressScopePrefixConflict", "POST", path("subnetpool"), {"subnetpool": body})
    other = pool(api, version)
    update = path("subnetpool", other["id"]), {"subnetpool": {"address_scope_id": scope["id"]}}
    api.refused(409, "AddressScopePrefixConflict", "PUT", *update)
    far = {4: "192.0.2.0/24", 6: "2001:db9::/32"}[version]
    third = api.create("subnetpool", name="p", prefixes=[far], address_scope_id=scope["id"])["id"]
    add = path("subnetpool", third, "add_prefixes")
    api.refused(409, "AddressScopePrefixConflict", "PUT", add, {"prefixes": [inside]})
    message = api.refused(409, "AddressScopeInUse", "DELETE", path("address_scope", scope["id"]))
    assert "subnet pools in use" in message
    for id in (one["id"], third):
        assert api.update("subnetpool", id, address_scope_id=None)["address_scope_id"] is None
    api.delete("address_scope", scope["id"])


def test_a_scope_is_of_one_family(api: Api) -> None:
    scope = api.create("address_scope", name="s", ip_version=6)["id"]
    body = {"name": "p", "prefixes": ["10.0.0.0/8"], "address_scope_id": scope}
    api.refused(
        400,
        "IllegalSubnetPoolIpVersionAssociationToAddressScope",
        "POST",
        path("subnetpool"),
        {"subnetpool": body},
    )
    body = {"address_scope": {"name": "s", "ip_version": 5}}
    api.refused(400, "HTTPBadRequest", "POST", path("address_scope"), body)
    body = {"address_scope": {"ip_version": 4}}
    message = api.refused(400, "HTTPBadRequest", "PUT", path("address_scope", scope), body)
    assert message == "Cannot update read-only attribute ip_version"


def test_networks_show_their_scopes(api: Api) -> None:
    network = api.create("network")
    assert (network["ipv4_address_scope"], network["ipv6_address_scope"]) == (None, None)
    scopes = {v: api.create("address_scope", name="s", ip_version=v)["id"] for v in (4, 6)}
    for version in (4, 6):
        id = pool(api, version, address_scope_id=scopes[version])["id"]
        subnet(api, version, network["id"], subnetpool_id=id)
    shown = api.show("network", network["id"])
    assert (shown["ipv4_address_scope"], shown["ipv6_address_scope"]) == (scopes[4], scopes[6])


def test_a_shared_scope_stays_shared(api: Api) -> None:
    id = api.create("address_scope", name="s", ip_version=4)["id"]
    assert api.update("address_scope", id, shared=True)["shared"] is True
    body = {"address_scope": {"shared": False}}
    message = api.refused(400, "AddressScopeUpdateError", "PUT", path("address_scope", id), body)
    assert "can't be unshared" in message


def test_whose_pools_and_scopes_one_may_use(make_api: Callable[..., Api]) -> None:
    def authenticate(request: object) -> Context:
        project = request.headers["X-Project-Id"]  # type: ignore[attr-defined]
        return caller(project, "admin" if project == "admin" else "member")

    api = make_api(authenticate=authenticate)

    def post(kind: str, project: str, **attributes: Any) -> tuple[int, str]:
        status, answer = api.request("POST", path(kind), {kind: attributes}, X_Project_Id=project)
        return status, answer["NeutronError"]["type"] if status >= 400 else answer[kind]["id"]

    prefixes = {"name": "p", "prefixes": ["10.0.0.0/8"]}
    scope = {"name": "s", "ip_version": 4}
    assert post("subnetpool", "red", **prefixes, shared=True) == (403, "PolicyNotAuthorized")
    assert post("subnetpool", "red", **prefixes, is_default=True) == (403, "PolicyNotAuthorized")
    assert post("address_scope", "red", **scope, shared=True) == (403, "PolicyNotAuthorized")

    _, hidden = post("subnetpool", "admin", **prefixes)
    _, shared = post("subnetpool", "admin", **prefixes, shared=True)
    _, network = post("network", "red")
    out_of = {"network_id": network, "ip_version": 4, "prefixlen": 24}
    assert post("subnet", "red", **out_of, subnetpool_id=hidden) == (404, "SubnetPoolNotFound")
    assert post("subnet", "red", **out_of, use_default_subnetpool=True) == (400, "BadRequest")
    assert post("subnet", "red", **out_of, subnetpool_id=shared)[0] == 201
    status, _ = api.request("GET", path("subnetpool", hidden), X_Project_Id="red")
    assert status == 404
    status, _ = api.request(
        "PUT", path("subnetpool", shared, "add_prefixes"), {"prefixes": []}, X_Project_Id="red"
    )
    assert status == 403

    _, mine = post("address_scope", "admin", **scope)
    _, ours = post("address_scope", "admin", **scope, shared=True)
    refusal = 404, "AddressScopeNotFound"
    assert post("subnetpool", "red", **prefixes, address_scope_id=mine) == refusal
    status, joined = post("subnetpool", "red", **prefixes, address_scope_id=ours)
    assert status == 201
    status, answer = api.request(
        "PUT", path("subnetpool", joined), {"subnetpool": {"name": "x"}}, X_Project_Id="red"
    )
    assert (status, answer["NeutronError"]["type"]) == (400, "IllegalSubnetPoolUpdate")


def test_a_pool_takes_its_subnets_along_into_another_scope(api: Api) -> None:
    scope = api.create("address_scope", name="s", ip_version=4)["id"]
    id = pool(api, 4)["id"]
    network = api.create("network")["id"]
    subnet(api, 4, network, subnetpool_id=id)
    subnet(api, 4, network, subnetpool_id=id)
    api.update("subnetpool", id, address_scope_id=scope)
    assert api.show("network", network)["ipv4_address_scope"] == scope


# The search for a free prefix


@given(
    st.lists(st.integers(0, 15), max_size=12),
    st.integers(26, 32),
    st.lists(st.sampled_from(["10.0.0.0/28", "10.0.0.32/27", "10.0.0.128/28"]), min_size=1),
)
def test_the_first_free_prefix_is_what_trying_all_would_find(
    numbers: list[int], length: int, prefixes: list[str]
) -> None:
    taken = {ip_network((0x0A000000 + number * 5, 32)) for number in numbers}
    nets = {ip_network(prefix) for prefix in prefixes}
    candidates = (
        candidate
        for net in sorted(nets)
        if net.prefixlen <= length
        for candidate in net.subnets(new_prefix=length)
    )
    expected = next((c for c in candidates if not any(c.overlaps(t) for t in taken)), None)
    assert first_free(nets, taken, length) == expected


def test_a_large_pool_costs_no_more_than_its_subnets() -> None:
    """Trying all of a /32's 2**32 prefixes would never end."""
    taken = [ip_network((0x20010DB8 << 96 | number << 64, 64)) for number in range(2000)]
    taken.append(ip_network("2001:db8:8000::/33"))
    assert first_free([ip_network("2001:db8::/32")], taken, 64) == ip_network("2001:db8:0:7d0::/64")
    assert first_free([ip_network("2001:db8::/32")], taken, 33) is None


@both
def test_a_networks_subnets_are_onboarded(api: Api, version: int) -> None:
    """They are as if they had been out of the pool from the start; those of the other family, and
    of other networks, stay as they are."""
    cidrs = {4: ["192.0.2.0/25", "192.0.2.128/25"], 6: ["fd00::/64", "fd00:0:0:1::/64"]}
    network = api.create("network")["id"]
    made = [subnet(api, version, network, cidr=cidr)["id"] for cidr in cidrs[version]]
    other = subnet(api, 10 - version, network, cidr=cidrs[10 - version][0])["id"]
    apart = subnet(api, version, cidr="198.51.100.0/24" if version == 4 else "fd09::/64")["id"]
    of = pool(api, version)["id"]
    act = path("subnetpool", of, "onboard_network_subnets")
    status, answer = api.request("PUT", act, {"network_id": network})
    told = [{"id": id, "cidr": cidr} for id, cidr in zip(made, cidrs[version], strict=True)]
    assert (status, answer) == (200, told)
    assert [api.show("subnet", id)["subnetpool_id"] for id in made] == [of, of]
    assert [api.show("subnet", id)["subnetpool_id"] for id in (other, apart)] == [None, None]
    whole = {4: "192.0.2.0/24", 6: "fd00::/63"}
    assert api.show("subnetpool", of)["prefixes"] == sorted([POOL[version], whole[version]])
    refused_subnet(
        api, 409, "SubnetAllocationError", version, subnetpool_id=of, cidr=cidrs[version][0]
    )
    assert subnet(api, version, network, subnetpool_id=of)["subnetpool_id"] == of
    error = "IllegalSubnetPoolUpdate"
    assert made[0] in api.refused(400, error, "PUT", act, {"network_id": network})
    api.refused(400, "SubnetPoolDeleteError", "DELETE", path("subnetpool", of))


def test_what_cannot_be_onboarded(api: Api) -> None:
    of = pool(api, 4, prefixes=["10.0.0.0/16"], default_quota=300)
    act = path("subnetpool", of["id"], "onboard_network_subnets")
    for network_id, status, error in (
        (NOBODY, 404, "NetworkNotFound"),
        ([], 400, "InvalidInput"),
        (None, 400, "InvalidInput"),
    ):
        api.refused(status, error, "PUT", act, {"network_id": network_id})
    network = api.create("network")["id"]
    subnet(api, 4, network, cidr="192.0.2.0/24")
    subnet(api, 4, network, cidr="192.0.3.0/24")
    api.refused(409, "SubnetPoolQuotaExceeded", "PUT", act, {"network_id": network})
    scope = api.create("address_scope", name="s", ip_version=4)["id"]
    scoped = pool(api, 4, prefixes=["10.0.0.0/16"], address_scope_id=scope)["id"]
    pool(api, 4, prefixes=["192.0.3.0/24"], address_scope_id=scope)
    act = path("subnetpool", scoped, "onboard_network_subnets")
    api.refused(409, "AddressScopePrefixConflict", "PUT", act, {"network_id": network})
    assert api.request("GET", "/v2.0/extensions/subnet_onboard")[0] == 200


def test_only_ones_own_network_is_onboarded(make_api: Callable[..., Api]) -> None:
    now = {"who": caller("red", "admin")}
    api = make_api(authenticate=lambda request: now["who"])
    hidden, shared = (api.create("network", shared=shared)["id"] for shared in (False, True))
    now["who"] = caller("green")
    act = path("subnetpool", pool(api, 4)["id"], "onboard_network_subnets")
    api.refused(404, "NetworkNotFound", "PUT", act, {"network_id": hidden})
    api.refused(403, "NotAuthorized", "PUT", act, {"network_id": shared})
