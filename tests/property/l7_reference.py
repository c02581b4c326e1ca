# SPDX-License-Identifier: Apache-2.0

"""L7 policies in plain Python: what becomes of a request. Nothing of it is from the product, but
for the records that are judged by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tenantry.apps.load_balancer.records import L7Policy, L7Rule


@dataclass(frozen=True)
class Request:
    path: str
    query: str
    host: str
    headers: tuple[tuple[str, str], ...]
    cookies: tuple[tuple[str, str], ...]

    @property
    def target(self) -> str:
        return self.path + (f"?{self.query}" if self.query else "")


class Outcome(NamedTuple):
    """403; or a redirection, and where to; or a pool."""

    status: int
    where: str = ""


def judge(
    policies: Iterable[tuple[L7Policy, list[L7Rule]]], default_pool: str, request: Request
) -> Outcome:
    """The first policy that matches, in this order: those that refuse, those that redirect, those
    that choose a pool; and of these, by position."""
    found = [(policy, [r for r in rules if r.admin_state_up]) for policy, rules in policies]
    for actions in (("REJECT",), ("REDIRECT_TO_URL", "REDIRECT_PREFIX"), ("REDIRECT_TO_POOL",)):
        for policy, rules in sorted(found, key=lambda one: one[0].position):
            if policy.action not in actions or not policy.admin_state_up or not rules:
                continue
            if all(matches(rule, request) for rule in rules):
                return _outcome(policy, request)
    return Outcome(200, default_pool)


def _outcome(policy: L7Policy, request: Request) -> Outcome:
    if policy.action == "REJECT":
        return Outcome(403)
    code = policy.redirect_http_code or 302
    if policy.action == "REDIRECT_TO_URL":
        return Outcome(code, policy.redirect_url)
    if policy.action == "REDIRECT_PREFIX":
        return Outcome(code, policy.redirect_prefix + request.target)
    return Outcome(200, policy.redirect_pool_id)


def matches(rule: L7Rule, request: Request) -> bool:
    return any(_compares(rule, value) for value in _looked_at(rule, request)) != rule.invert


def _looked_at(rule: L7Rule, request: Request) -> Iterator[str]:
    if rule.type == "HOST_NAME":
        yield request.host
        yield request.host.partition(":")[0]
    elif rule.type == "PATH" or (rule.type == "FILE_TYPE" and rule.compare_type == "REGEX"):
        yield request.path
    elif rule.type == "FILE_TYPE":
        name, dot, extension = request.path.rpartition(".")
        yield from [extension] if dot else []
    elif rule.type == "HEADER":
        for name, value in request.headers:
            if name.lower() == rule.key.lower():
                yield value
                yield from parts(value)
    elif rule.type == "COOKIE":
        yield from (value for name, value in request.cookies if name == rule.key)
    # And nobody shows a certificate without TLS.


def parts(value: str) -> list[str]:
    """A header's, between commas that are not in quotes (RFC 9110, 5.6.1 and 5.6.4)."""
    found, quoted, escaped = [""], False, False
    for character in value:
        if character == "," and not quoted:
            found.append("")
            continue
        if quoted and not escaped and character == "\\":
            escaped = True
        elif character == '"' and not escaped:
            quoted, escaped = not quoted, False
        else:
            escaped = False
        found[-1] += character
    return [part.strip() for part in found]


def _compares(rule: L7Rule, found: str) -> bool:
    wanted = rule.value
    by_quotes = rule.type in ("HOST_NAME", "PATH", "FILE_TYPE", "HEADER")
    if by_quotes and rule.compare_type != "REGEX" and re.fullmatch('".+"', wanted):
        wanted = _unquoted(wanted)
    if rule.type == "FILE_TYPE" and rule.compare_type == "EQUAL_TO":
        wanted = wanted.removeprefix(".")
    if rule.type == "HOST_NAME":
        if rule.compare_type == "REGEX":
            return _search(wanted, found, re.IGNORECASE)
        wanted, found = wanted.lower(), found.lower()
    return {
        "EQUAL_TO": lambda: found == wanted,
        "STARTS_WITH": lambda: found.startswith(wanted),
        "ENDS_WITH": lambda: found.endswith(wanted),
        "CONTAINS": lambda: wanted in found,
        "REGEX": lambda: _search(wanted, found),
    }[rule.compare_type]()


def _search(expression: str, found: str, flags: int = 0) -> bool:
    """Of octets, as there is no telling in which encoding clients write."""
    return re.search(expression.encode(), found.encode(), flags) is not None


def _unquoted(text: str) -> str:
    """What stands between quotes; a backslash takes the next character as it is."""
    found, characters = "", iter(text[1:-1])
    for character in characters:
        found += next(characters, "\\") if character == "\\" else character
    return found
