# SPDX-License-Identifier: Apache-2.0

"""Pools: behind which listeners they may be, what they say of sessions and TLS, how they go."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.lbaas import Lbaas


@pytest.fixture
def lbaas(api: Api) -> Lbaas:
    return Lbaas(api)


@pytest.fixture
def balancer(lbaas: Lbaas) -> Any:
    return lbaas.balancer()


POOLS = ("HTTP", "HTTPS", "PROXY", "PROXYV2", "SCTP", "TCP", "UDP")

FITS = {
    "TCP": {"HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"},
    "HTTP": {"HTTP", "PROXY", "PROXYV2"},
    "HTTPS": {"HTTPS", "PROXY", "PROXYV2", "TCP"},
    "UDP": {"UDP"},
    "SCTP": {"SCTP"},
}
"""By protocol of a listener, as Octavia's API reference has it (Protocol Combinations)."""


def test_a_pool_of_a_listener_is_its_default(lbaas: Lbaas, balancer: Any) -> None:
    listener = lbaas.listener(balancer)
    assert listener["default_pool_id"] is None
    pool = lbaas.pool(listener, name="web", description="ours", tags=["b", "a"])
    assert lbaas.show("listener", listener["id"])["default_pool_id"] == pool["id"]
    assert pool["listeners"] == [{"id": listener["id"]}]
    assert pool["loadbalancers"] == [{"id": balancer["id"]}]
    assert (pool["members"], pool["healthmonitor_id"]) == ([], None)
    assert (pool["name"], pool["description"], pool["tags"]) == ("web", "ours", ["b", "a"])
    assert pool["project_id"] == balancer["project_id"]
    assert not {"key", "loadbalancer_id", "listener_id"} & pool.keys()
    assert lbaas.show("pool", pool["id"]) == pool
    of = {"listener_id": listener["id"], "lb_algorithm": "ROUND_ROBIN"}
    lbaas.not_created(409, "already has a default pool", "pool", protocol="HTTP", **of)


def test_a_pool_may_wait_for_a_listener(lbaas: Lbaas, balancer: Any) -> None:
    pool = lbaas.pool(balancer)
    assert (pool["listeners"], pool["loadbalancers"]) == ([], [{"id": balancer["id"]}])
    lbaas.listener(balancer)
    listed = lbaas.list("pool", f"loadbalancer_id={balancer['id']}")
    assert [each["id"] for each in listed] == [pool["id"]]


def test_a_pool_needs_a_load_balancer(lbaas: Lbaas, balancer: Any) -> None:
    said = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}
    nobody = "11111111-2222-3333-4444-555555555555"
    lbaas.not_created(400, "at least one of", "pool", **said)
    lbaas.not_created(404, "not found", "pool", loadbalancer_id=nobody, **said)
    lbaas.not_created(404, "not found", "pool", listener_id=nobody, **said)
    listener, other = lbaas.listener(balancer), lbaas.balancer("10.0.1.0/24")
    both = {"listener_id": listener["id"], "loadbalancer_id": other["id"]}
    lbaas.not_created(400, "is not of load balancer", "pool", **both, **said)


@pytest.mark.parametrize("protocol", FITS)
def test_protocols_that_go_together(lbaas: Lbaas, balancer: Any, protocol: str) -> None:
    found = set()
    for port, pool in enumerate(POOLS, 1):
        listener = lbaas.listener(balancer, protocol, port)
        of = {"listener_id": listener["id"], "lb_algorithm": "ROUND_ROBIN", "protocol": pool}
        status, answer = lbaas.request("POST", "pools", {"pool": of})
        assert status in (201, 400), answer
        if status == 201:
            found.add(pool)
        else:
            words = f"'{pool}' is invalid while the listener protocol is '{protocol}'"
            assert words in answer["faultstring"]
    assert found == FITS[protocol]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"protocol": "QUIC"}, "none of HTTP"),
        ({"protocol": "TERMINATED_HTTPS"}, "none of HTTP"),
        ({"lb_algorithm": "RANDOM"}, "none of LEAST_CONNECTIONS"),
        ({"name": "x" * 256}, "255"),
        ({"tags": "one"}, "not a list"),
        ({"nonsense": 1}, "nonsense"),
        ({"admin_state_up": "perhaps"}, "perhaps"),
        ({"tls_versions": []}, "Empty TLS version list"),
        ({"tls_versions": ["TLSv1.4"]}, "Invalid TLS versions"),
        ({"alpn_protocols": []}, "Empty ALPN"),
        ({"alpn_protocols": ["h3"]}, "h3"),
        ({"tls_ciphers": "AES\nbind *:1"}, "Invalid characters"),
        ({"crl_container_ref": "x"}, "CA certificate reference is required"),
    ],
)
def test_bad_pools(lbaas: Lbaas, balancer: Any, attributes: Any, words: str) -> None:
    said = {"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", **attributes}
    lbaas.not_created(400, words, "pool", loadbalancer_id=balancer["id"], **said)


def test_what_is_required(lbaas: Lbaas, balancer: Any) -> None:
    of = {"loadbalancer_id": balancer["id"]}
    lbaas.not_created(400, "protocol", "pool", lb_algorithm="ROUND_ROBIN", **of)
    lbaas.not_created(400, "lb_algorithm", "pool", protocol="HTTP", **of)
    lbaas.not_created(400, "protocol", "pool", lb_algorithm="ROUND_ROBIN", protocol=None, **of)


COOKIE = {"type": "APP_COOKIE", "cookie_name": "sid"}
SOURCE = {"type": "SOURCE_IP"}


@pytest.mark.parametrize(
    ("protocol", "said", "words"),
    [
        ("HTTP", {"type": "NOBODY"}, "none of SOURCE_IP"),
        ("HTTP", {"cookie_name": "sid"}, "needs a type"),
        ("HTTP", {"type": "APP_COOKIE"}, "needs a cookie_name"),
        ("HTTP", {"type": "HTTP_COOKIE", "cookie_name": "sid"}, "only for"),
        ("HTTP", {**SOURCE, "cookie_name": "sid"}, "only for"),
        ("HTTP", {**COOKIE, "cookie_name": "a b"}, "cannot be a cookie's name"),
        ("HTTP", {**COOKIE, "cookie_name": "a;b"}, "cannot be a cookie's name"),
        ("HTTP", {**COOKIE, "cookie_name": "x" * 256}, "cannot be a cookie's name"),
        ("HTTP", {**SOURCE, "persistence_timeout": 5}, "only for UDP and SCTP"),
        ("TCP", {**SOURCE, "persistence_granularity": "255.0.0.0"}, "only for UDP and SCTP"),
        ("UDP", COOKIE, "not supported for UDP"),
        ("SCTP", {"type": "HTTP_COOKIE"}, "not supported for SCTP"),
        ("UDP", {**SOURCE, "persistence_timeout": 0}, "0 is not 1"),
        ("UDP", {**SOURCE, "persistence_timeout": 1.5}, "whole number"),
        ("UDP", {**SOURCE, "persistence_granularity": "255.0.255.0"}, "not a netmask"),
        ("UDP", {**SOURCE, "nonsense": 1}, "does not consist of"),
        ("UDP", "SOURCE_IP", "does not consist of"),
    ],
)
def test_bad_sessions(lbaas: Lbaas, balancer: Any, protocol: str, said: Any, words: str) -> None:
    of = {"loadbalancer_id": balancer["id"], "lb_algorithm": "ROUND_ROBIN"}
    lbaas.not_created(400, words, "pool", protocol=protocol, session_persistence=said, **of)
    pool = lbaas.pool(balancer, protocol)
    lbaas.not_updated(400, words, "pool", pool["id"], session_persistence=said)


def test_what_neither_switches_nor_proxies_do(lbaas: Lbaas, balancer: Any) -> None:
    of = {"loadbalancer_id": balancer["id"], "lb_algorithm": "ROUND_ROBIN"}
    for protocol in ("TCP", "HTTPS"):
        said = {"protocol": protocol, "session_persistence": COOKIE}
        lbaas.not_created(501, "passed on unread", "pool", **of, **said)
    for protocol in ("UDP", "SCTP"):
        lbaas.not_created(501, "over TCP", "pool", **of, protocol=protocol, tls_enabled=True)
        # A pool that waits may have any members; behind a listener it may not.
        waiting = lbaas.pool(balancer, protocol)
        lbaas.member(waiting, "2001:db8::9")
        listener = lbaas.listener(balancer, protocol)
        leads = {"default_pool_id": waiting["id"]}
        lbaas.not_updated(501, "of an IP version", "listener", listener["id"], **leads)
        pool = lbaas.pool(listener, protocol)
        six = {"address": "2001:db8::9", "protocol_port": 80}
        lbaas.not_created(501, "of an IP version", "member", f"pools/{pool['id']}/", **six)


def test_sessions(lbaas: Lbaas, balancer: Any) -> None:
    empty = {"cookie_name": None, "persistence_timeout": None, "persistence_granularity": None}
    pool = lbaas.pool(balancer, session_persistence=COOKIE)
    assert pool["session_persistence"] == {**empty, **COOKIE}
    # Who leaves the type out means the one that there is.
    renamed = lbaas.update("pool", pool["id"], session_persistence={"cookie_name": "other"})
    assert renamed["session_persistence"] == {**empty, **COOKIE, "cookie_name": "other"}
    by_source = lbaas.update("pool", pool["id"], session_persistence=SOURCE)
    assert by_source["session_persistence"] == {**empty, **SOURCE}
    assert lbaas.update("pool", pool["id"], name="x")["session_persistence"] == {**empty, **SOURCE}
    assert lbaas.update("pool", pool["id"], session_persistence=None)["session_persistence"] is None
    lasting = {**SOURCE, "persistence_timeout": "60", "persistence_granularity": "255.255.255.0"}
    udp = lbaas.pool(balancer, "UDP", session_persistence=lasting)
    assert udp["session_persistence"] == {**empty, **lasting, "persistence_timeout": 60}


def test_tls_to_members(lbaas: Lbaas, balancer: Any) -> None:
    plain = lbaas.pool(balancer)
    assert not plain["tls_enabled"]
    assert [plain[name] for name in ("tls_versions", "alpn_protocols", "tls_ciphers")] == [None] * 3
    tls = lbaas.update("pool", plain["id"], tls_enabled=True)
    assert tls["tls_versions"] == ["TLSv1.2", "TLSv1.3"]
    assert tls["alpn_protocols"] == ["h2", "http/1.1", "http/1.0"]
    assert "ECDHE-RSA-AES256-GCM-SHA384" in tls["tls_ciphers"]
    own = {"tls_versions": ["TLSv1.3"], "alpn_protocols": ["h2"], "tls_ciphers": "AES256-SHA"}
    assert own.items() <= lbaas.update("pool", plain["id"], **own).items()
    usual = lbaas.update("pool", plain["id"], **dict.fromkeys(own))
    assert [usual[name] for name in own] == [tls[name] for name in own]


def test_what_of_a_pool_may_change(lbaas: Lbaas, balancer: Any) -> None:
    pool = lbaas.pool(balancer, name="web", lb_algorithm="LEAST_CONNECTIONS")
    for name, value in (("protocol", "TCP"), ("loadbalancer_id", balancer["id"]), ("members", [])):
        lbaas.not_updated(400, name, "pool", pool["id"], **{name: value})
    after = lbaas.update("pool", pool["id"], lb_algorithm="SOURCE_IP", admin_state_up=False)
    assert (after["lb_algorithm"], after["admin_state_up"]) == ("SOURCE_IP", False)
    assert after["name"] == "web"
    assert lbaas.update("pool", pool["id"], name=None, admin_state_up=None)["admin_state_up"]
    assert lbaas.show("pool", pool["id"])["name"] == ""


def test_a_pool_goes_with_what_is_its_own(lbaas: Lbaas, balancer: Any) -> None:
    listener = lbaas.listener(balancer)
    pool = lbaas.pool(listener)
    member = lbaas.member(pool, "10.0.0.9")
    of = {"pool_id": pool["id"], "delay": 1, "timeout": 1, "max_retries": 1}
    monitor = lbaas.create("healthmonitor", type="TCP", **of)
    shown = lbaas.show("pool", pool["id"])
    assert shown["members"] == [{"id": member["id"]}]
    assert shown["healthmonitor_id"] == monitor["id"]
    lbaas.delete("pool", pool["id"])
    for path in ("pools", f"pools/{pool['id']}/members", "healthmonitors"):
        id = monitor["id"] if path == "healthmonitors" else pool["id"]
        lbaas.answer(404, "GET", path if "members" in path else f"{path}/{id}")
    assert lbaas.show("listener", listener["id"])["default_pool_id"] is None
    assert not lbaas.api.store.read("member")


def test_a_pool_that_a_policy_leads_to_stays(lbaas: Lbaas, balancer: Any) -> None:
    listener, pool = lbaas.listener(balancer), lbaas.pool(balancer)
    leads = {"listener_id": listener["id"], "redirect_pool_id": pool["id"]}
    policy = lbaas.create("l7policy", action="REDIRECT_TO_POOL", **leads)
    assert lbaas.show("pool", pool["id"])["listeners"] == [{"id": listener["id"]}]
    lbaas.refused(409, policy["id"], "DELETE", f"pools/{pool['id']}")
    lbaas.delete("l7policy", policy["id"])
    lbaas.delete("pool", pool["id"])
