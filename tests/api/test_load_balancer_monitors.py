# SPDX-License-Identifier: Apache-2.0

"""Health monitors: which pools may have which, and what goes with each type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Api
from tests.api.lbaas import Lbaas

TIMES = {"delay": 5, "timeout": 3, "max_retries": 2}
HTTP = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
TYPES = ("HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP")


@pytest.fixture
def lbaas(api: Api) -> Lbaas:
    return Lbaas(api)


@pytest.fixture
def balancer(lbaas: Lbaas) -> Any:
    return lbaas.balancer()


@pytest.fixture
def pool(lbaas: Lbaas, balancer: Any) -> Any:
    return lbaas.pool(balancer)


def test_a_monitor(lbaas: Lbaas, pool: Any) -> None:
    made = lbaas.create("healthmonitor", pool_id=pool["id"], type="HTTP", name="m", **TIMES)
    assert {
        **HTTP,
        **TIMES,
        "max_retries_down": 3,
        "name": "m",
        "type": "HTTP",
    }.items() <= made.items()
    assert (made["http_version"], made["domain_name"]) == (None, None)
    assert made["pools"] == [{"id": pool["id"]}]
    assert made["admin_state_up"] is True
    assert "pool_id" not in made
    assert lbaas.show("healthmonitor", made["id"]) == made
    assert lbaas.list("healthmonitor", f"pool_id={pool['id']}") == [made]
    changes = {"delay": 9, "url_path": "/health?deep=1", "expected_codes": "200-299"}
    named = {"http_version": 1.1, "domain_name": "www.example.org", "http_method": "HEAD"}
    after = lbaas.update("healthmonitor", made["id"], **changes, **named)
    assert {**changes, **named}.items() <= after.items()
    back = lbaas.update("healthmonitor", made["id"], **dict.fromkeys([*HTTP, "max_retries_down"]))
    assert {**HTTP, "max_retries_down": 3}.items() <= back.items()
    lbaas.not_created(409, "already has a health monitor", "healthmonitor",
                      pool_id=pool["id"], type="TCP", **TIMES)  # fmt: skip
    lbaas.delete("healthmonitor", made["id"])
    assert lbaas.show("pool", pool["id"])["healthmonitor_id"] is None


STREAMS, DATAGRAMS = ("HTTP", "HTTPS", "PROXY", "PROXYV2", "TCP"), ("UDP", "SCTP")
ALLOWED = {
    **{each: {"HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO"} for each in STREAMS},
    **{each: {"HTTP", "SCTP", "TCP", "UDP-CONNECT"} for each in DATAGRAMS},
}
"""By protocol of a pool, as Octavia has it."""


@pytest.mark.parametrize("protocol", ALLOWED)
def test_types_of_pools(lbaas: Lbaas, balancer: Any, protocol: str) -> None:
    found = set()
    for type in TYPES:
        of = {"pool_id": lbaas.pool(balancer, protocol)["id"], "type": type, **TIMES}
        status, answer = lbaas.request("POST", "healthmonitors", {"healthmonitor": of})
        assert status in (201, 400), answer
        if status == 201:
            found.add(type)
    assert found == ALLOWED[protocol]


@pytest.mark.parametrize("type", sorted({*TYPES} - {"HTTP", "HTTPS", "UDP-CONNECT", "SCTP"}))
@pytest.mark.parametrize("name", HTTP)
def test_what_only_http_has(lbaas: Lbaas, pool: Any, type: str, name: str) -> None:
    said = {"pool_id": pool["id"], "type": type, **TIMES}
    words = f"{name} is not a valid option for health monitors of type {type}"
    lbaas.not_created(400, words, "healthmonitor", **said, **{name: HTTP[name]})
    made = lbaas.create("healthmonitor", **said)
    assert [made[each] for each in HTTP] == [None] * 3
    lbaas.not_updated(400, words, "healthmonitor", made["id"], **{name: HTTP[name]})


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"type": "GRPC"}, "none of HTTP"),
        ({"delay": -1}, "-1 is not 0 to 2147483647"),
        ({"delay": None}, "delay"),
        ({"timeout": "soon"}, "not a whole number"),
        ({"max_retries": 0}, "0 is not 1 to 10"),
        ({"max_retries": 11}, "11 is not 1 to 10"),
        ({"max_retries_down": 11}, "11 is not 1 to 10"),
        ({"http_method": "BREW"}, "none of GET"),
        ({"url_path": "health"}, "begins with a slash"),
        ({"url_path": "/a b"}, "begins with a slash"),
        ({"url_path": "/a\r\nHost: x"}, "begins with a slash"),
        ({"url_path": "http://x/"}, "begins with a slash"),
        ({"expected_codes": "2xx"}, "of the form"),
        ({"expected_codes": "200-"}, "of the form"),
        ({"expected_codes": "200\n"}, "of the form"),
        ({"http_version": 2.0}, "none of 1.0, 1.1"),
        ({"domain_name": "example.org"}, "'http_version' must be specified"),
        ({"domain_name": "example.org", "http_version": 1.0}, "1.1"),
        ({"domain_name": "-x", "http_version": 1.1}, "not a domain name"),
        ({"domain_name": "a\nb", "http_version": 1.1}, "not a domain name"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_bad_monitors(lbaas: Lbaas, pool: Any, attributes: Any, words: str) -> None:
    said = {"pool_id": pool["id"], "type": "HTTP", **TIMES, **attributes}
    lbaas.not_created(400, words, "healthmonitor", **said)


def test_bad_changes(lbaas: Lbaas, pool: Any) -> None:
    id = lbaas.create("healthmonitor", pool_id=pool["id"], type="HTTP", **TIMES)["id"]
    for name, value in (("type", "TCP"), ("pool_id", pool["id"])):
        lbaas.not_updated(400, name, "healthmonitor", id, **{name: value})
    for name in TIMES:
        lbaas.not_updated(400, name, "healthmonitor", id, **{name: None})
    lbaas.not_updated(400, "http_version", "healthmonitor", id, domain_name="example.org")


def test_a_monitor_needs_a_pool(lbaas: Lbaas) -> None:
    nobody = "11111111-2222-3333-4444-555555555555"
    lbaas.not_created(404, "not found", "healthmonitor", pool_id=nobody, type="TCP", **TIMES)
    lbaas.not_created(400, "pool_id", "healthmonitor", type="TCP", **TIMES)


def test_udp_connects_are_not_too_close(lbaas: Lbaas, balancer: Any) -> None:
    pool = lbaas.pool(balancer, "UDP")
    said = {"pool_id": pool["id"], "type": "UDP-CONNECT", **TIMES}
    lbaas.not_created(400, "larger than 3", "healthmonitor", **{**said, "delay": 2})
    id = lbaas.create("healthmonitor", **{**said, "delay": 3})["id"]
    lbaas.not_updated(400, "larger than 3", "healthmonitor", id, delay=1)
