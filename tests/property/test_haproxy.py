# SPDX-License-Identifier: Apache-2.0

"""Random L7 policies: HAProxy accepts what we tell it of them, and judges real requests as a plain
reference does, whatever a tenant has written."""

from __future__ import annotations

import http.client
import itertools
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tenantry.apps.haproxy.configuration import configuration
from tenantry.apps.load_balancer.records import L7Policy, L7Rule
from tests import namespace, proxies
from tests.property.l7_reference import Outcome, Request, judge

pytestmark = pytest.mark.skipif(not namespace.allowed(), reason="needs root for a namespace")

RULES = 10_000
REQUESTS = 24
"""To each listener."""

FIRST_PORT, SERVERS = 11_000, {"pool-0": 9000, "pool-1": 9001, "pool-2": 9002}

SEED = random.SystemRandom().random() if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 18

HOSTILE = ("'", '"', "\\", "%[src]", "%", "$HOME", "${HOME}", "{", "}", "(", ")", "-f", "-i", "--")
"""What could mean something to HAProxy; requests may have all of it. A word of it is a value, too:
what looks like a flag, above all."""

WORDS = (*HOSTILE, "a", "b", "api", ".jpg", ".", "/", "x=1", "^", "$", "*", "!", "|")
HEADER_WORDS = (*WORDS, "#", " ", ", ", "#!", "\\,", "é")
KEYS = ("X-It's", "X-a#b", "X-%s", "X-$HOME", "User-Agent", "x|`~^_+*.&!")
IMPOSSIBLE_KEYS = ("a,b", "a)", 'a"', "a\\", "%[src]", "a b")
"""Octavia's expression for a header's name has some of these, and no request can."""

COOKIES = ("a'b", "a#b", "x$HOME", "%s", "session")
HOSTS = ("a", "b", "example", ".com", ".", "-", "1")


class Policies(NamedTuple):
    """Of one listener."""

    id: str
    port: int
    default_pool: str
    policies: list[tuple[L7Policy, list[L7Rule]]]


def _text(rng: random.Random, words: tuple[str, ...], most: int = 4) -> str:
    return "".join(rng.choice(words) for _ in range(rng.randint(1, most)))


def _regex(rng: random.Random, words: tuple[str, ...]) -> str:
    """Of what Python and PCRE read alike."""
    literal = re.escape(_text(rng, words, 2))
    return (
        rng.choice(
            (
                literal,
                f"^{literal}",
                f"{literal}$",
                f"({literal}|{re.escape(_text(rng, words, 2))})",
                f"[a-c]+.*{literal}",
                f"{literal}?x{{0,2}}",
                f"^[^/{re.escape(rng.choice(words)[-1])}]*{literal}",
                r"\.(jpe?g|png)$",
                r"^/\w+/[^/]+$",
                "",
            )
        )
        or "a*"
    )


def _rule(rng: random.Random, id: str, policy: str) -> L7Rule:
    type, words, keys = rng.choice(
        (
            ("HOST_NAME", HOSTS, ("",)),
            ("PATH", WORDS, ("",)),
            ("FILE_TYPE", WORDS, ("",)),
            ("HEADER", HEADER_WORDS, KEYS + IMPOSSIBLE_KEYS[: rng.randint(0, 1) * 6]),
            ("COOKIE", WORDS, COOKIES),
            ("SSL_CONN_HAS_CERT", ("True",), ("",)),
            ("SSL_VERIFY_RESULT", ("0", "18"), ("",)),
            ("SSL_DN_FIELD", WORDS, ("CN", "emailAddress")),
        )
    )
    compare = rng.choice(("EQUAL_TO", "STARTS_WITH", "ENDS_WITH", "CONTAINS", "REGEX"))
    if type in ("SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT"):
        compare = "EQUAL_TO"
    elif type == "FILE_TYPE":
        compare = rng.choice(("EQUAL_TO", "REGEX"))
    if compare == "REGEX":
        value = _regex(rng, words)
    else:
        value = _text(rng, words, 1 if type.startswith("SSL") else 2)
    if type == "HEADER" and compare != "REGEX" and rng.random() < 0.3:
        value = f'"{value}"'
    if type == "PATH" and compare in ("EQUAL_TO", "STARTS_WITH"):
        value = f"/{value}"
    if type == "FILE_TYPE" and compare == "EQUAL_TO":
        value = rng.choice(("jpg", ".jpg", "b", "it's", "%", "a"))
    invert, up = rng.random() < 0.3, rng.random() < 0.95
    return L7Rule(id, "p", policy, type, compare, value, up, rng.choice(keys), invert)


def _policy(rng: random.Random, id: str, listener: str, position: int) -> L7Policy:
    action = rng.choice(("REJECT", "REDIRECT_TO_URL", "REDIRECT_PREFIX", *["REDIRECT_TO_POOL"] * 3))
    code = rng.choice((None, 301, 302, 303, 307, 308))
    url = "https://example.com/" + rng.choice(
        ("", "it's", "%20a", "%[src]", "a#b", '"', "\\", "$A")
    )
    return L7Policy(
        *(id, "p", listener, action, position, rng.random() < 0.95),
        redirect_pool_id=rng.choice([*SERVERS]) if action == "REDIRECT_TO_POOL" else "",
        redirect_url=url if action == "REDIRECT_TO_URL" else "",
        redirect_prefix=url if action == "REDIRECT_PREFIX" else "",
        redirect_http_code=code if action in ("REDIRECT_TO_URL", "REDIRECT_PREFIX") else None,
    )


def _listeners(rng: random.Random) -> Iterator[Policies]:
    made = 0
    for port in itertools.count(FIRST_PORT):
        if made >= RULES:
            return
        listener = f"listener-{port}"
        positions = [*range(1, rng.randint(2, 8))]
        rng.shuffle(positions)
        policies = []
        for position in positions:
            policy = _policy(rng, f"policy-{port}-{position}", listener, position)
            # A few are longer than a line of HAProxy's can be.
            count = 70 if rng.random() < 0.01 else rng.choice((0, 1, 1, 1, 2, 2, 3))
            rules = [_rule(rng, f"rule-{made + n}", policy.id) for n in range(count)]
            policies.append((policy, rules))
            made += count
        yield Policies(listener, port, rng.choice([*SERVERS]), policies)


def _requests(rng: random.Random, policies: Policies) -> Iterator[Request]:
    """Half of them are made to match a rule."""
    rules = [rule for _, rules in policies.policies for rule in rules]
    for _ in range(REQUESTS):
        path, host, headers, cookies = "/" + _text(rng, WORDS), _text(rng, HOSTS), {}, {}
        for rule in rng.sample(rules, min(len(rules), 2)) if rng.random() < 0.7 else ():
            text = rule.value if rule.compare_type != "REGEX" else _text(rng, WORDS)
            if text[0] == text[-1] == '"' and rng.random() < 0.8:
                text = text[1:-1] or "a"
            if rng.random() < 0.3:
                text += rng.choice(("a", "'", "%"))
            if rule.type == "PATH":
                path = text if text.startswith("/") else f"/{text}"
            elif rule.type == "FILE_TYPE":
                path = f"/a/it's.{text.lstrip('.')}"
            elif rule.type == "HOST_NAME" and rule.compare_type != "REGEX":
                host = rule.value.upper() if rng.random() < 0.5 else rule.value
            elif rule.type == "HEADER" and rule.key in KEYS:
                headers[rule.key] = text
            elif rule.type == "COOKIE":
                cookies[rule.key] = text
        for key in rng.sample(KEYS, rng.randint(0, 2)):
            headers.setdefault(key, _text(rng, HEADER_WORDS))
        host += rng.choice(("", "", ":8080"))
        yield Request(
            *(path, rng.choice(("", "a=b", "q='")), host),
            tuple((name, value.strip()) for name, value in headers.items() if value.strip()),
            tuple(
                (name, value) for name, value in cookies.items() if not set(value) & set(' ",;\\')
            ),
        )


def _ask(connection: http.client.HTTPConnection, request: Request) -> Outcome:
    connection.putrequest("GET", request.target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", request.host)
    for name, value in request.headers:
        connection.putheader(name, value.encode())
    if request.cookies:
        connection.putheader("Cookie", "; ".join(f"{n}={v}" for n, v in request.cookies))
    connection.endheaders()
    answer = connection.getresponse()
    said = answer.read().decode("latin-1")
    if answer.status == 200:
        asked = int(said.partition("\n")[0])
        return Outcome(200, next(pool for pool, port in SERVERS.items() if port == asked))
    return Outcome(answer.status, answer.headers.get("Location") or "")


def test_random_policies_are_accepted_and_judge_as_the_reference_does(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    listeners = [*_listeners(rng)]
    records: list[object] = [proxies.balancer("127.0.0.1")]
    for pool, port in SERVERS.items():
        records += [proxies.pool(pool), proxies.member(f"m-{pool}", pool, 0, "127.0.0.1", port)]
    for one in listeners:
        records.append(proxies.listener(one.id, one.port, default_pool_id=one.default_pool))
        for policy, rules in one.policies:
            records += [policy, *rules]
    view = proxies.view_of(*records)
    assert proxies.accepted(configuration(view, proxies.BALANCER), tmp_path) == ""
    outcomes: dict[int, int] = {}
    with (
        namespace.entered(),
        proxies.answering(SERVERS.values()),
        proxies.running(view, tmp_path),
    ):
        for one in listeners:
            connection = http.client.HTTPConnection("127.0.0.1", one.port, timeout=60)
            for request in _requests(rng, one):
                expected = judge(one.policies, one.default_pool, request)
                assert _ask(connection, request) == expected, (SEED, request, one)
                outcomes[expected.status] = outcomes.get(expected.status, 0) + 1
            connection.close()
    assert min(outcomes[status] for status in (200, 301, 302, 303, 307, 308, 403)) > 50, outcomes
