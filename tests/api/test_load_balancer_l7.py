# SPDX-License-Identifier: Apache-2.0

"""L7 policies and their rules: what they may say, and in which order policies are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.conftest import Api
from tests.api.lbaas import Lbaas

POOL, URL, PREFIX, CODE = (
    "redirect_pool_id", "redirect_url", "redirect_prefix", "redirect_http_code"
)  # fmt: skip
AT = "https://example.org/a?b=c"


@pytest.fixture
def lbaas(api: Api) -> Lbaas:
    return Lbaas(api)


@pytest.fixture
def balancer(lbaas: Lbaas) -> Any:
    return lbaas.balancer()


@pytest.fixture
def listener(lbaas: Lbaas, balancer: Any) -> Any:
    return lbaas.listener(balancer)


def told(policy: Any) -> tuple[Any, ...]:
    return tuple(policy[name] for name in ("action", POOL, URL, PREFIX, CODE))


def test_actions(lbaas: Lbaas, balancer: Any, listener: Any) -> None:
    """Each has its own target, and whoever changes the one changes the other."""
    pool = lbaas.pool(balancer)["id"]
    policy = lbaas.create("l7policy", listener_id=listener["id"], action="REJECT", name="a")
    assert told(policy) == ("REJECT", None, None, None, None)
    assert (policy["position"], policy["rules"]) == (1, [])
    assert lbaas.show("l7policy", policy["id"]) == policy
    after = [
        lbaas.update("l7policy", policy["id"], **changes)
        for changes in (
            {URL: AT},
            {"action": "REDIRECT_PREFIX", PREFIX: AT, CODE: 308},
            {"action": "REDIRECT_TO_POOL", POOL: pool},
            {"action": "REJECT"},
            {POOL: pool},
            {"name": "b"},
        )
    ]
    assert [told(each) for each in after] == [
        ("REDIRECT_TO_URL", None, AT, None, 302),
        ("REDIRECT_PREFIX", None, None, AT, 308),
        ("REDIRECT_TO_POOL", pool, None, None, None),
        ("REJECT", None, None, None, None),
        ("REDIRECT_TO_POOL", pool, None, None, None),
        ("REDIRECT_TO_POOL", pool, None, None, None),
    ]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"action": "DANCE"}, "none of REJECT"),
        ({"action": None}, "action"),
        ({"action": "REDIRECT_TO_URL"}, "redirect_url must not be None"),
        ({"action": "REDIRECT_PREFIX"}, "redirect_prefix must not be None"),
        ({"action": "REDIRECT_TO_POOL"}, "redirect_pool_id must not be None"),
        ({"action": "REDIRECT_TO_URL", URL: "example.org"}, "not a URL"),
        ({"action": "REDIRECT_TO_URL", URL: "ftp://example.org"}, "not a URL"),
        ({"action": "REDIRECT_TO_URL", URL: "http:///x"}, "not a URL"),
        ({"action": "REDIRECT_TO_URL", URL: "http://a/\nbind"}, "not a URL"),
        ({"action": "REDIRECT_TO_URL", URL: "http://a:99999/"}, "not a URL"),
        ({"action": "REDIRECT_TO_URL", URL: AT, CODE: 304}, "none of 301"),
        ({"action": "REJECT", "position": 0}, "0 is not 1"),
        ({"action": "REJECT", "position": 1 << 31}, "is not 1"),
    ],
)
def test_bad_policies(lbaas: Lbaas, listener: Any, attributes: Any, words: str) -> None:
    lbaas.not_created(400, words, "l7policy", listener_id=listener["id"], **attributes)


def test_where_a_policy_may_lead(lbaas: Lbaas, balancer: Any, listener: Any) -> None:
    def refused(status: int, words: str, pool: Any) -> None:
        said = {"listener_id": listener["id"], "action": "REDIRECT_TO_POOL", POOL: pool}
        lbaas.not_created(status, words, "l7policy", **said)

    refused(400, "invalid while the listener", lbaas.pool(balancer, "TCP")["id"])
    refused(404, "not found", lbaas.pool(lbaas.balancer("10.0.1.0/24"))["id"])
    refused(404, "not found", "11111111-2222-3333-4444-555555555555")
    nobody = {"listener_id": "11111111-2222-3333-4444-555555555555", "action": "REJECT"}
    lbaas.not_created(404, "not found", "l7policy", **nobody)
    lbaas.not_created(400, "listener_id", "l7policy", action="REJECT")
    policy = lbaas.create("l7policy", listener_id=listener["id"], action="REJECT")
    lbaas.not_updated(400, "must not be None", "l7policy", policy["id"], action="REDIRECT_TO_URL")
    both = {URL: AT, PREFIX: AT}
    lbaas.not_updated(400, "at a time", "l7policy", policy["id"], **both)
    lbaas.not_updated(400, "listener_id", "l7policy", policy["id"], listener_id=listener["id"])


@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP", "HTTPS"])
def test_policies_read_requests(lbaas: Lbaas, balancer: Any, protocol: str) -> None:
    """Of a listener that passes on what it cannot read there is nothing to be said."""
    listener = lbaas.listener(balancer, protocol, 99)
    said = {"listener_id": listener["id"], "action": "REJECT"}
    lbaas.not_created(501, "HTTP or TERMINATED_HTTPS", "l7policy", **said)


# Positions

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(1, 7) | st.none()),
        st.tuples(st.just("move"), st.integers(0, 6), st.integers(1, 7)),
        st.tuples(st.just("delete"), st.integers(0, 6)),
    ),
    max_size=12,
)


def test_positions(lbaas: Lbaas, balancer: Any) -> None:
    """Random policies come, move and go: they are in the order in which a list would have them."""
    ports = iter(range(1, 10_000))

    @settings(max_examples=25, deadline=None)
    @given(STEPS)
    def check(steps: list[tuple[Any, ...]]) -> None:
        listener = lbaas.listener(balancer, port=next(ports))["id"]
        reference: list[str] = []
        for verb, *arguments in steps:
            if verb == "create":
                said = {} if arguments[0] is None else {"position": arguments[0]}
                made = lbaas.create("l7policy", listener_id=listener, action="REJECT", **said)
                reference.insert((arguments[0] or 99) - 1, made["id"])
            elif reference:
                id = reference.pop(arguments[0] % len(reference))
                if verb == "delete":
                    lbaas.delete("l7policy", id)
                else:
                    lbaas.update("l7policy", id, position=arguments[1])
                    reference.insert(arguments[1] - 1, id)
            listed = lbaas.list("l7policy", f"listener_id={listener}")
            found = {each["id"]: each["position"] for each in listed}
            assert found == {id: n for n, id in enumerate(reference, 1)}

    check()


# Rules


@pytest.fixture
def policy(lbaas: Lbaas, listener: Any) -> str:
    made = lbaas.create("l7policy", listener_id=listener["id"], action="REJECT")
    return f"l7policies/{made['id']}/"


PATH = {"type": "PATH", "compare_type": "STARTS_WITH", "value": "/api"}


def test_a_rule(lbaas: Lbaas, policy: str) -> None:
    made = lbaas.create("rule", policy, **PATH, tags=["a"])
    assert {**PATH, "key": None, "invert": False, "tags": ["a"]}.items() <= made.items()
    assert lbaas.show("rule", made["id"], policy) == made
    assert lbaas.list("rule", of=policy) == [made]
    id = policy.split("/")[1]
    assert lbaas.show("l7policy", id)["rules"] == [{"id": made["id"]}]
    cookie = {"type": "COOKIE", "key": "sid", "value": "abc", "compare_type": "EQUAL_TO"}
    after = lbaas.update("rule", made["id"], policy, **cookie, invert=True)
    assert {**cookie, "invert": True}.items() <= after.items()
    assert lbaas.update("rule", made["id"], policy, invert=None)["invert"] is False
    lbaas.not_updated(400, "key", "rule", made["id"], policy, key=None)
    lbaas.delete("l7policy", id)
    assert not lbaas.api.store.read("l7rule")


GOOD: list[tuple[str, str, str | None, str]] = [
    *(("PATH", compare, None, "/a/b") for compare in ("STARTS_WITH", "ENDS_WITH", "CONTAINS")),
    ("HOST_NAME", "EQUAL_TO", None, "www.example.org"),
    ("HOST_NAME", "REGEX", None, r"^(www|api)\.example\.org$"),
    ("FILE_TYPE", "EQUAL_TO", None, "jpg"),
    ("FILE_TYPE", "REGEX", None, "jpe?g"),
    ("HEADER", "CONTAINS", "X-Some-Header", "value"),
    ("HEADER", "EQUAL_TO", "X-Quoted", '"two words"'),
    ("COOKIE", "STARTS_WITH", "session", "abc"),
    ("SSL_CONN_HAS_CERT", "EQUAL_TO", None, "True"),
    ("SSL_VERIFY_RESULT", "EQUAL_TO", None, "0"),
    ("SSL_DN_FIELD", "REGEX", "STREET", "Main .*"),
]

BAD: list[tuple[str, str, str | None, str | None, str]] = [
    ("METHOD", "EQUAL_TO", None, "GET", "none of HOST_NAME"),
    ("PATH", "IS", None, "/a", "none of REGEX"),
    ("PATH", "EQUAL_TO", None, "", "requires a value"),
    ("PATH", "EQUAL_TO", None, None, "value"),
    ("PATH", "EQUAL_TO", "k", "/a", 'does not use the "key" field'),
    ("PATH", "EQUAL_TO", None, "/a b", "cannot be in a request"),
    ("PATH", "EQUAL_TO", None, "/a\nbind *:1", "one line"),
    ("PATH", "REGEX", None, "(", "not a regular expression"),
    ("PATH", "REGEX", None, r"\u0041", "PCRE2 does not support"),
    ("PATH", "REGEX", None, "((a{1000}){1000}){9}", "expression is too large at 20"),
    ("PATH", "REGEX", None, "(?u)a", "unrecognized character after (?"),
    ("FILE_TYPE", "CONTAINS", None, "jp", "invalid comparison type"),
    ("HEADER", "EQUAL_TO", None, "x", "requires a key"),
    ("HEADER", "EQUAL_TO", "a b", "x", "cannot be a key"),
    ("COOKIE", "EQUAL_TO", "a;b", "x", "cannot be a key"),
    ("COOKIE", "EQUAL_TO", "a", "x;y", "cannot be in a request"),
    ("SSL_CONN_HAS_CERT", "EQUAL_TO", None, "no", "boolean True"),
    ("SSL_CONN_HAS_CERT", "REGEX", None, "true", "invalid comparison type"),
    ("SSL_VERIFY_RESULT", "EQUAL_TO", None, "-1", "needs a int value"),
    ("SSL_VERIFY_RESULT", "STARTS_WITH", None, "1", "invalid comparison type"),
    ("SSL_DN_FIELD", "EQUAL_TO", "1x", "y", "cannot be a key"),
    ("SSL_DN_FIELD", "EQUAL_TO", None, "y", "requires a key"),
]


def rule(type: str, compare: str, key: str | None, value: str | None) -> dict[str, Any]:
    return {"type": type, "compare_type": compare, "key": key, "value": value}


@pytest.mark.parametrize("said", GOOD)
def test_good_rules(lbaas: Lbaas, policy: str, said: tuple[str, str, str | None, str]) -> None:
    made = lbaas.create("rule", policy, **rule(*said))
    assert rule(*said).items() <= made.items()


@pytest.mark.parametrize("said", BAD)
def test_bad_rules(lbaas: Lbaas, policy: str, said: Any) -> None:
    *attributes, words = said
    lbaas.not_created(400, words, "rule", policy, **rule(*attributes))


def test_a_policy_has_so_many_rules(lbaas: Lbaas, policy: str) -> None:
    for n in range(50):
        lbaas.create("rule", policy, **{**PATH, "value": f"/{n}"})
    lbaas.not_created(409, "Too many rules", "rule", policy, **PATH)


@pytest.mark.parametrize("kind", ["pool", "l7policy", "rule", "healthmonitor"])
def test_quotas(make_api: Callable[..., Api], kind: str) -> None:
    quota = {"rule": "l7rule"}.get(kind, kind)
    lbaas = Lbaas(make_api(quotas={quota: 1}))
    balancer = lbaas.balancer()
    listener, pool = lbaas.listener(balancer), lbaas.pool(balancer)
    first = lbaas.create("l7policy", listener_id=listener["id"], action="REJECT")
    times = {"delay": 5, "timeout": 3, "max_retries": 2}
    lbaas.create("healthmonitor", pool_id=pool["id"], type="TCP", **times)
    of = f"l7policies/{first['id']}/" if kind == "rule" else ""
    more: dict[str, dict[str, Any]] = {
        "pool": {"loadbalancer_id": balancer["id"], "protocol": "TCP", "lb_algorithm": "SOURCE_IP"},
        "l7policy": {"listener_id": listener["id"], "action": "REJECT"},
        "rule": PATH,
        "healthmonitor": {"pool_id": pool["id"], "type": "TCP", **times},
    }
    if kind == "rule":
        lbaas.create("rule", of, **PATH)
    lbaas.not_created(403, "Quota has been met", kind, of, **more[kind])
