# SPDX-License-Identifier: Apache-2.0

"""Members of pools: one by one, and all at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.lbaas import Lbaas


@pytest.fixture
def lbaas(api: Api) -> Lbaas:
    return Lbaas(api)


@pytest.fixture
def pool(lbaas: Lbaas) -> Any:
    return lbaas.pool(lbaas.balancer(), "TCP")


def of(pool: Any) -> str:
    return f"pools/{pool['id']}/"


def test_a_member(lbaas: Lbaas, pool: Any) -> None:
    made = lbaas.member(pool, "10.0.0.9", "8080", name="a")  # type: ignore[arg-type]
    usual = {"weight": 1, "backup": False, "admin_state_up": True, "vnic_type": "normal"}
    nothing = dict.fromkeys(("subnet_id", "monitor_address", "monitor_port"))
    said = {"name": "a", "address": "10.0.0.9", "protocol_port": 8080, "tags": []}
    assert {**usual, **nothing, **said}.items() <= made.items()
    assert not {"key", "slot", "pool_id", "request_sriov", "loadbalancer_id"} & made.keys()
    assert lbaas.show("member", made["id"], of(pool)) == made
    assert lbaas.members(pool) == [made]
    changes = {"weight": 0, "backup": True, "monitor_address": "10.0.0.8", "monitor_port": 99}
    after = lbaas.update("member", made["id"], of(pool), name="b", **changes)
    assert {**changes, "name": "b", "address": "10.0.0.9"}.items() <= after.items()
    back = lbaas.update("member", made["id"], of(pool), **dict.fromkeys([*changes, "name"]))
    assert {**usual, **nothing, "name": ""}.items() <= back.items()
    lbaas.delete("member", made["id"], of(pool))
    assert lbaas.members(pool) == []


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"address": "10.0.0.256"}, "not an IP address"),
        ({"address": "10.0.0.0/24"}, "not an IP address"),
        ({"address": None}, "address"),
        ({"protocol_port": 0}, "0 is not 1 to 65535"),
        ({"protocol_port": 65536}, "65536 is not"),
        ({"protocol_port": "http"}, "not a whole number"),
        ({"protocol_port": True}, "not a whole number"),
        ({"weight": -1}, "-1 is not 0 to 256"),
        ({"weight": 257}, "257 is not 0 to 256"),
        ({"monitor_port": 0}, "0 is not 1"),
        ({"monitor_address": "here"}, "not an IP address"),
        ({"subnet_id": "there"}, "not a UUID"),
        ({"subnet_id": "11111111-2222-3333-4444-555555555555"}, "not found"),
        ({"request_sriov": True}, "vnic_type direct"),
        ({"slot": 1}, "slot"),
    ],
)
def test_bad_members(lbaas: Lbaas, pool: Any, attributes: Any, words: str) -> None:
    said = {"address": "10.0.0.9", "protocol_port": 80, **attributes}
    lbaas.not_created(400, words, "member", of(pool), **said)
    lbaas.refused(400, words, "PUT", f"{of(pool)}members", {"members": [said]})


def test_what_of_a_member_stays(lbaas: Lbaas, pool: Any) -> None:
    member = lbaas.member(pool, "10.0.0.9")
    for name, value in (("address", "10.0.0.8"), ("protocol_port", 81), ("subnet_id", None)):
        lbaas.not_updated(400, name, "member", member["id"], of(pool), **{name: value})


def test_an_address_and_port_once(lbaas: Lbaas) -> None:
    """However it is written; in another pool, or at another port, it may be again."""
    pool, other = (lbaas.pool(lbaas.balancer(f"fd0{n}::/64"), "TCP") for n in (1, 2))
    lbaas.member(pool, "2001:db8::9")
    same = {"address": "2001:DB8:0::9", "protocol_port": 80}
    lbaas.not_created(409, "already using ip 2001:DB8:0::9", "member", of(pool), **same)
    path = f"{of(pool)}members"
    lbaas.answer(202, "PUT", path, {"members": [{**same, "name": "the same"}]})
    (only,) = lbaas.members(pool)
    assert (only["address"], only["name"]) == ("2001:db8::9", "the same")
    lbaas.delete("member", only["id"], of(pool))
    assert lbaas.member(pool, same["address"])["address"] == same["address"]
    lbaas.member(pool, "2001:db8::9", 81)
    lbaas.member(other, "2001:db8::9")


def test_a_member_is_of_its_pool(lbaas: Lbaas, pool: Any) -> None:
    member, other = lbaas.member(pool, "10.0.0.9"), lbaas.pool(lbaas.balancer("10.0.1.0/24"))
    lbaas.refused(404, "not found", "GET", f"{of(other)}members/{member['id']}")
    lbaas.refused(404, "not found", "DELETE", f"{of(other)}members/{member['id']}")
    nowhere = "pools/11111111-2222-3333-4444-555555555555/"
    lbaas.not_created(404, "not found", "member", nowhere, address="10.0.0.9", protocol_port=80)


def slots(api: Api) -> dict[str, int]:
    """By address: what flows know each member by, in its pool."""
    return {each["address"]: each["slot"] for each in api.store.read("member").values()}


def test_slots_stay(lbaas: Lbaas, pool: Any) -> None:
    """The lowest that is free; whoever comes or goes, the others keep theirs."""
    made = [lbaas.member(pool, f"10.0.0.{n}") for n in range(5)]
    assert slots(lbaas.api) == {f"10.0.0.{n}": n for n in range(5)}
    for gone in (1, 3):
        lbaas.delete("member", made[gone]["id"], of(pool))
    lbaas.member(pool, "10.0.0.11")
    assert slots(lbaas.api) == {
        "10.0.0.0": 0, "10.0.0.11": 1, "10.0.0.2": 2, "10.0.0.4": 4
    }  # fmt: skip


def test_a_subnet_with_members_stays(lbaas: Lbaas, pool: Any) -> None:
    network = lbaas.api.create("network")["id"]
    subnet = lbaas.api.create("subnet", network_id=network, cidr="10.7.0.0/24", ip_version=4)["id"]
    member = lbaas.member(pool, "10.7.0.9", subnet_id=subnet)
    lbaas.api.refused(409, "ResourceInUse", "DELETE", f"/v2.0/subnets/{subnet}")
    lbaas.delete("member", member["id"], of(pool))
    lbaas.api.delete("subnet", subnet)


# All at once


def put(lbaas: Lbaas, pool: Any, *members: Any, query: str = "") -> None:
    path = f"{of(pool)}members{query}"
    assert lbaas.answer(202, "PUT", path, {"members": members}) is None


def at(n: int, **more: Any) -> dict[str, Any]:
    return {"address": f"10.0.0.{n}", "protocol_port": 80, **more}


def test_all_members_at_once(lbaas: Lbaas, pool: Any) -> None:
    put(lbaas, pool, at(1, weight=5, name="a"), at(2))
    one, two = lbaas.members(pool)
    assert (one["weight"], one["name"], two["weight"]) == (5, "a", 1)
    # 1 stays who it is, with a weight that is usual and the name that it has; 2 goes; 3 comes.
    head = lbaas.api.store.head
    put(lbaas, pool, at(1), at(3))
    assert lbaas.api.store.head == head + 1  # in one commit
    after = {each["address"]: each for each in lbaas.members(pool)}
    assert after.keys() == {"10.0.0.1", "10.0.0.3"}
    assert after["10.0.0.1"]["id"] == one["id"]
    assert (after["10.0.0.1"]["weight"], after["10.0.0.1"]["name"]) == (1, "a")
    assert slots(lbaas.api) == {"10.0.0.1": 0, "10.0.0.3": 1}
    put(lbaas, pool)
    assert lbaas.members(pool) == []


def test_members_that_only_come(lbaas: Lbaas, pool: Any) -> None:
    put(lbaas, pool, at(1), at(2, weight=7))
    put(lbaas, pool, at(2, weight=9), at(3), query="?additive_only=true")
    weights = {each["address"]: each["weight"] for each in lbaas.members(pool)}
    assert weights == {"10.0.0.1": 1, "10.0.0.2": 9, "10.0.0.3": 1}


def test_what_changes_nothing_is_no_change(lbaas: Lbaas, pool: Any) -> None:
    put(lbaas, pool, at(1))
    head = lbaas.api.store.head
    put(lbaas, pool, at(1))
    assert lbaas.api.store.head == head


def test_bad_batches(lbaas: Lbaas, pool: Any) -> None:
    put(lbaas, pool, at(1))
    path = f"{of(pool)}members"
    twice = {"members": [at(1), at(1, weight=2)]}
    lbaas.refused(400, "only once", "PUT", path, twice)
    lbaas.refused(409, "already using", "PUT", path, {"members": [at(2), at(2)]})
    lbaas.refused(400, "weight", "PUT", path, {"members": [at(3), at(4, weight=999)]})
    for body in ({}, {"members": {}}, {"members": [1]}, {"members": None}):
        lbaas.refused(400, "members", "PUT", path, body)


def test_quota_of_members(make_api: Any) -> None:
    lbaas = Lbaas(make_api(quotas={"member": 2}))
    pool = lbaas.pool(lbaas.balancer(), "TCP")
    put(lbaas, pool, at(1), at(2))
    lbaas.not_created(403, "Quota has been met", "member", of(pool), **at(3))
    path = f"{of(pool)}members"
    lbaas.refused(403, "Quota has been met", "PUT", path, {"members": [at(1), at(2), at(3)]})
    put(lbaas, pool, at(2), at(3))  # one goes and one comes


def test_the_proxy_gets_an_address_of_the_version_of_each_member(lbaas: Lbaas) -> None:
    api, balancer = lbaas.api, lbaas.balancer("10.0.0.0/24")
    pool = lbaas.pool(balancer, "HTTP")
    asked = {"address": "2001:db8::9", "protocol_port": 80}
    lbaas.not_created(501, "no such subnet", "member", of(pool), **asked)
    network, port = balancer["vip_network_id"], balancer["vip_port_id"]
    six = api.create("subnet", network_id=network, cidr="2001:db8::/64", ip_version=6)["id"]
    lbaas.member(pool, "10.0.0.9", 80)
    assert len(api.show("port", port)["fixed_ips"]) == 1
    for last in (9, 10):
        lbaas.member(pool, f"2001:db8::{last}", 80)
        before, more = api.show("port", port)["fixed_ips"]
        assert before["ip_address"] == balancer["vip_address"] and more["subnet_id"] == six
    assert lbaas.show("loadbalancer", balancer["id"])["additional_vips"] == []
    lbaas.delete("loadbalancer", f"{balancer['id']}?cascade=true")
    api.delete("subnet", six)
