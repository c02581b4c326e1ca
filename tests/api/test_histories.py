# SPDX-License-Identifier: Apache-2.0

"""Whatever people ask for, in whatever order: memory, database and log say the same, and the
promises of the API hold."""

from __future__ import annotations

import ipaddress
import tempfile
from collections import Counter
from typing import Any

import netaddr
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.controller.api import application as neutron
from tenantry.controller.store import Store
from tenantry.controller.store.replica import Replica
from tests.api.conftest import Api, extensions, path

CIDRS = ["10.0.0.0/29", "10.0.0.8/29", "10.0.0.0/28", "2001:db8::/125", "2001:db8:1::/64"]
MACS = ["fa:16:3e:00:00:01", "fa:16:3e:00:00:02"]
PREFIXES = ["10.1.0.0/28", "10.1.0.16/28", "10.1.0.0/26", "2001:db8:4::/63", "2001:db8:4:2::/63"]
LENGTHS = {4: 29, 6: 64}
ADDRESSES = ["10.0.0.2", "10.0.0.10", "2001:db8::2", "192.0.2.1"]

RULES = [
    *(("bandwidth_limit", "max_kbps"), ("dscp_marking", "dscp_mark")),
    *(("minimum_bandwidth", "min_kbps"), ("minimum_packet_rate", "min_kpps")),
]

STEP = st.tuples(
    st.sampled_from(
        [
            "network",
            "subnet",
            "slaac",
            "scope",
            "pool",
            "pooled",
            "pooled",
            "widen",
            "dhcp",
            "port",
            "port",
            "ports",
            "move",
            "pairs",
            "rename",
            "share",
            "give",
            "give",
            "take",
            "tag",
            "quota",
            "policy",
            "rule",
            "limit",
            "limit",
            "delete",
            "delete",
        ]
    ),
    st.integers(0, 7),
    st.integers(0, 7),
)

BEGINNING = [
    ("network", 0, 0),
    ("scope", 0, 0),
    ("pool", 1, 2),
    ("pool", 0, 3),
    ("give", 0, 1),
    ("policy", 1, 0),
]
"""Random steps seldom get as far as this by themselves."""


def step(api: Api, action: str, one: int, two: int) -> None:
    """Do something, whether it succeeds or not."""

    def some(kind: str) -> str:
        ids = list(api.store.read(kind))
        return ids[one % len(ids)] if ids else "nothing"

    kind = ("network", "subnet", "port", "subnetpool", "address_scope")[two % 5]
    if action == "network":
        wire = {"provider:network_type": "vlan", "provider:physical_network": "p1"}
        body: Any = {**wire, "provider:segmentation_id": one} if two % 2 else {}
        api.request("POST", "/v2.0/networks", {"network": body})
    elif action in ("subnet", "slaac"):
        cidr = CIDRS[two % len(CIDRS)]
        body = {"network_id": some("network"), "cidr": cidr, "ip_version": 6 if ":" in cidr else 4}
        if action == "slaac":
            body = {**body, "cidr": "2001:db8:2::/64", "ip_version": 6, "ipv6_ra_mode": "slaac"}
        api.request("POST", "/v2.0/subnets", {"subnet": body})
    elif action == "scope":
        body = {"name": "s", "ip_version": 4 + two % 2 * 2}
        api.request("POST", path("address_scope"), {"address_scope": body})
    elif action == "pool":
        prefix = PREFIXES[two % len(PREFIXES)]
        version = 6 if ":" in prefix else 4
        body = {"name": "p", "prefixes": [prefix], "default_prefixlen": LENGTHS[version]}
        body["is_default"] = one == 0
        if one == 1:
            body["default_quota"] = 16
        if one % 2 and api.store.read("address_scope"):
            body["address_scope_id"] = some("address_scope")
        api.request("POST", path("subnetpool"), {"subnetpool": body})
    elif action == "pooled":
        pool = api.store.get("subnetpool", some("subnetpool")) or {"id": "", "ip_version": 4}
        body = {"network_id": some("network"), "ip_version": pool["ip_version"]}
        body |= {"use_default_subnetpool": True} if two == 7 else {"subnetpool_id": pool["id"]}
        if two < 3:
            body["prefixlen"] = LENGTHS[pool["ip_version"]] - two + 1
        api.request("POST", path("subnet"), {"subnet": body})
    elif action == "widen":
        id, prefix = some("subnetpool"), PREFIXES[two % len(PREFIXES)]
        if two < 4:
            act = "remove_prefixes" if two % 2 else "add_prefixes"
            api.request("PUT", path("subnetpool", id, act), {"prefixes": [prefix]})
        else:
            body = {"address_scope_id": some("address_scope") if two % 2 else None}
            api.request("PUT", path("subnetpool", id), {"subnetpool": body})
    elif action == "dhcp":
        body = {"enable_dhcp": bool(two % 2)}
        api.request("PUT", path("subnet", some("subnet")), {"subnet": body})
    elif action == "pairs":
        body = {"allowed_address_pairs": [{"ip_address": ADDRESSES[two % 4]}] * (one % 2)}
        body["port_security_enabled"] = two < 6
        api.request("PUT", path("port", some("port")), {"port": body})
    elif action == "port":
        body = {"network_id": some("network")}
        if two < len(MACS):
            body["mac_address"] = MACS[two]
        elif two < 6:
            body["fixed_ips"] = [{"ip_address": ADDRESSES[two % 4]}]
        api.request("POST", "/v2.0/ports", {"port": body})
    elif action == "ports":
        api.request("POST", "/v2.0/ports", {"ports": [{"network_id": some("network")}] * (two + 1)})
    elif action == "move":
        fixed_ips = [{"subnet_id": some("subnet")}] * (two % 3)
        body = {"fixed_ips": fixed_ips, "mac_address": MACS[two % 2]}
        api.request("PUT", f"/v2.0/ports/{some('port')}", {"port": body})
    elif action == "share":
        name = ("shared", "router:external")[two // 2 % 2]
        body = {name: bool(two % 2)}
        api.request("PUT", path("network", some("network")), {"network": body})
    elif action == "give":
        shareable = ("network", "subnetpool", "address_scope", "policy")[one % 4]
        object_type = "qos_policy" if shareable == "policy" else shareable
        body = {"object_type": object_type, "object_id": some(shareable)}
        body["action"] = ("access_as_shared", "access_as_external")[two % 2]
        body["target_tenant"] = ("*", "red")[two // 2 % 2]
        policy = some("rbac_policy")
        if two < 6:
            api.request("POST", "/v2.0/rbac-policies", {"rbac_policy": body})
        else:
            change = {"rbac_policy": {"target_tenant": ("*", "blue")[one % 2]}}
            api.request("PUT", f"/v2.0/rbac-policies/{policy}", change)
    elif action == "take":
        api.request("DELETE", f"/v2.0/rbac-policies/{some('rbac_policy')}")
    elif action == "rename":
        api.request("PUT", path(kind, some(kind)), {kind: {"name": str(one)}})
    elif action == "tag":
        api.request("PUT", path(kind, some(kind), "tags", str(one)))
    elif action == "policy":
        body = {"name": "p", "shared": two % 2 == 1, "is_default": one == 0}
        api.request("POST", "/v2.0/qos/policies", {"policy": body})
    elif action == "rule":
        type, value = RULES[two % len(RULES)]
        url = f"/v2.0/qos/policies/{some('policy')}/{type}_rules"
        api.request("POST", url, {f"{type}_rule": {value: 8 * (one + 1)}})
    elif action == "limit":
        limited = ("network", "port", "policy")[two % 3]
        if limited == "policy":
            api.request("DELETE", f"/v2.0/qos/policies/{some('policy')}")
        else:
            body = {"qos_policy_id": some("policy") if two < 6 else None}
            api.request("PUT", path(limited, some(limited)), {limited: body})
    elif action == "quota":
        limits = {kind: one, "network": two}
        if two == 7:
            api.request("DELETE", "/v2.0/quotas/default")
        else:
            api.request("PUT", "/v2.0/quotas/default", {"quota": limits})
    else:
        api.request("DELETE", path(kind, some(kind)))


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, min_size=5, max_size=30))
def test_memory_database_and_log_agree(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{directory}/tenantry.db"
        api = Api(url, neutron.kinds(extensions()))
        for action, one, two in [*BEGINNING, *steps]:
            step(api, action, one, two)
        reloaded = Store(url, api.kinds)
        assert reloaded._replica == api.store._replica
        assert reloaded.head == api.store.head
        replayed = Replica(api.kinds)
        for commit in api.store.history(0):
            replayed.apply(commit.changes)
        assert replayed == api.store._replica
        assert_rows_follow_from_bodies(api)
        assert_promises(api)
        assert_quotas_hold(api)
        assert_pools_keep_their_promises(api)
        assert_policies_say_what_is_shared(api)
        assert_no_policy_promises_too_much(api)
        api.store.close()
        reloaded.close()


def assert_rows_follow_from_bodies(api: Api) -> None:
    claims, links = set(), set()
    for kind in api.kinds.values():
        for id, body in api.store.read(kind.name).items():
            claims |= {(*claim, id) for claim in kind.claims(body)}
            links |= {(id, *link) for link in kind.links(body)}
    with api.store._engine.connect() as connection:
        assert {*map(tuple, connection.execute(sa.text("SELECT * FROM claim")))} == claims
        assert {*map(tuple, connection.execute(sa.text("SELECT * FROM link")))} == links


def assert_promises(api: Api) -> None:
    subnets = api.store.read("subnet")
    seen: Counter[object] = Counter()
    for port in api.store.read("port").values():
        seen[port["network_id"], port["mac_address"]] += 1
        seen["key", port["key"]] += 1
        for ip in port["fixed_ips"]:
            subnet = subnets[ip["subnet_id"]]
            assert subnet["network_id"] == port["network_id"]
            address = ipaddress.ip_address(ip["ip_address"])
            assert address in ipaddress.ip_network(subnet["cidr"])
            seen[port["network_id"], address] += 1
        assert port["port_security_enabled"] or not port["allowed_address_pairs"]
    for subnet in subnets.values():
        if subnet["service_address"]:
            address = ipaddress.ip_address(subnet["service_address"])
            assert address in ipaddress.ip_network(subnet["cidr"])
            seen[subnet["network_id"], address] += 1
    assert not [what for what, count in seen.items() if count > 1]


def assert_quotas_hold(api: Api) -> None:
    """Nobody was forced below what they had, so nobody has more than they may."""
    for quota in api.store.read("quota").values():
        for kind, limit in quota["limits"].items():
            bodies = api.store.read(kind).values()
            used = sum(body["project_id"] == quota["project_id"] for body in bodies)
            assert used == api.store.count(kind, quota["project_id"]) <= limit


def assert_pools_keep_their_promises(api: Api) -> None:
    subnets, pools = api.store.read("subnet").values(), api.store.read("subnetpool")
    of_network: dict[object, set[object]] = {}
    for subnet in subnets:
        key = subnet["network_id"], subnet["ip_version"]
        of_network.setdefault(key, set()).add(subnet["subnetpool_id"])
    assert all(len(ids) == 1 for ids in of_network.values())
    for id, pool in pools.items():
        prefixes = netaddr.IPSet(pool["prefixes"])
        given = [netaddr.IPNetwork(s["cidr"]) for s in subnets if s["subnetpool_id"] == id]
        assert netaddr.IPSet(given).issubset(prefixes)
        assert sum(net.size for net in given) == netaddr.IPSet(given).size, "none overlap"
        if pool["default_quota"]:
            assert sum(net.size for net in given) <= pool["default_quota"] << (
                64 if pool["ip_version"] == 6 else 0
            )
        for other in pools.values():
            if (
                other["id"] != id
                and pool["address_scope_id"]
                and (pool["address_scope_id"] == other["address_scope_id"])
            ):
                assert prefixes.isdisjoint(netaddr.IPSet(other["prefixes"]))


def assert_policies_say_what_is_shared(api: Api) -> None:
    """And the resources say the same of themselves."""
    targets: dict[tuple[str, str], set[str]] = {}
    for policy in api.store.read("rbac_policy").values():
        key = policy["object_id"], policy["action"]
        assert policy["target_tenant"] not in targets.setdefault(key, set()), "twice"
        targets[key].add(policy["target_tenant"])
        kind = "policy" if policy["object_type"] == "qos_policy" else policy["object_type"]
        assert api.store.get(kind, policy["object_id"]) is not None
    for kind in ("network", "subnetpool", "address_scope", "policy"):
        for id, body in api.store.read(kind).items():
            assert body["shared"] == ("*" in targets.get((id, "access_as_shared"), ()))
    for id, body in api.store.read("network").items():
        assert body["router:external"] == ((id, "access_as_external") in targets)


def assert_no_policy_promises_too_much(api: Api) -> None:
    """No host says what its wires carry: nobody has a policy with a minimum. What a policy says
    does not contradict itself, and a project has one by default."""
    said: dict[str, list[str]] = {id: [] for id in api.store.read("policy")}
    for type, _ in RULES:
        for rule in api.store.read(f"{type}_rule").values():
            said[rule["policy_id"]].append(type)
    assert all(len(types) == len(set(types)) for types in said.values())
    for kind in ("network", "port"):
        for body in api.store.read(kind).values():
            assert not {"minimum_bandwidth", "minimum_packet_rate"}.intersection(
                said[body["qos_policy_id"]] if body["qos_policy_id"] else ()
            )
    defaults = [p["project_id"] for p in api.store.read("policy").values() if p["is_default"]]
    assert len(defaults) == len(set(defaults))
