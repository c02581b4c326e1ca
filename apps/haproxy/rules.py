# SPDX-License-Identifier: Apache-2.0

"""L7 policies and their rules, as lines of a frontend.

As in Octavia, a policy that refuses comes before those that send elsewhere, and these before those
that choose a pool, whatever their positions; among its like, the lowest position that matches is
the one. A policy without rules does nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tenantry.apps.haproxy.quoting import fetch, text_format, word
from tenantry.apps.load_balancer.records import L7Policy, L7Rule, Listener, Pool
from tenantry.controller.model import View

_REJECT, _TO_POOL = "REJECT", "REDIRECT_TO_POOL"
_TO_URL, _PREFIX = "REDIRECT_TO_URL", "REDIRECT_PREFIX"
_ORDER = {_REJECT: 0, _TO_URL: 1, _PREFIX: 1, _TO_POOL: 2}

USUAL_CODE = 302
"""Of a redirection, if nobody says which."""

_MATCHES = {
    "EQUAL_TO": "str",
    "STARTS_WITH": "beg",
    "ENDS_WITH": "end",
    "CONTAINS": "sub",
    "REGEX": "reg",
}

_MOST = 30
"""Conditions of one line: HAProxy reads no more than 64 words."""


def policies(view: View, listener: Listener) -> list[L7Policy]:
    """Those of a listener that are up, can do what they say, and have rules, as they are asked."""
    found = view.find(L7Policy, listener_id=listener.id)
    return sorted(
        (one for one in found if _is_able(view, one)),
        key=lambda one: (_ORDER[one.action], one.position, one.id),
    )


def _is_able(view: View, policy: L7Policy) -> bool:
    if policy.action == _TO_POOL:
        pool = view.get(Pool, policy.redirect_pool_id)
        if pool is None or not pool.admin_state_up:
            return False
    return policy.admin_state_up and bool(_rules(view, policy))


def _rules(view: View, policy: L7Policy) -> list[L7Rule]:
    return [rule for rule in view.find(L7Rule, l7policy_id=policy.id) if rule.admin_state_up]


def policy_lines(view: View, listener: Listener) -> Iterator[str]:
    """All that a frontend is told of its listener's policies. The choice of a backend comes last,
    as HAProxy asks for it last."""
    chosen = []
    for policy in policies(view, listener):
        conditions = []
        for rule in _rules(view, policy):
            for sample in _samples(rule):
                yield f"acl {rule.id} {sample}"
            conditions.append(f"!{rule.id}" if rule.invert else rule.id)
        while len(conditions) > _MOST:
            known = f"{policy.id}:{len(conditions)}"
            variable = f"txn.p{len(conditions)}.{policy.id.replace('-', '_')}"
            first = " ".join(conditions[:_MOST])
            yield f"http-request set-var({variable}) bool(true) if {first}"
            yield f"acl {known} var({variable}) -m bool"
            conditions = [known, *conditions[_MOST:]]
        line = f"{_done(policy, listener)} if {' '.join(conditions)}"
        if policy.action == _TO_POOL:
            chosen.append(line)
        else:
            yield line
    yield from chosen


def _done(policy: L7Policy, listener: Listener) -> str:
    if policy.action == _REJECT:
        return "http-request deny"
    if policy.action == _TO_POOL:
        return f"use_backend {backend_name(policy.redirect_pool_id, listener)}"
    code = policy.redirect_http_code or USUAL_CODE
    if policy.action == _TO_URL:
        return f"http-request redirect location {text_format(policy.redirect_url)} code {code}"
    return f"http-request redirect prefix {text_format(policy.redirect_prefix)} code {code}"


def backend_name(pool_id: str, listener: Listener) -> str:
    """A pool's, with what a listener says of it."""
    return f"{pool_id}:{listener.id}"


def _samples(rule: L7Rule) -> Iterator[str]:
    """What is looked at, and what it must be. Of several, any one will do."""
    match = f"-m {_MATCHES[rule.compare_type]} -- {word(_value(rule))}"
    if rule.type == "HOST_NAME":
        # With the port, if the client names it, and without.
        yield f"req.hdr(host) -i {match}"
        yield f"req.hdr(host),host_only -i {match}"
    elif rule.type == "PATH":
        yield f"path {match}"
    elif rule.type == "FILE_TYPE":
        if rule.compare_type == "EQUAL_TO":
            yield f"path -m end -- {word('.' + _value(rule).removeprefix('.'))}"
        else:
            yield f"path {match}"
    elif rule.type == "HEADER":
        # The whole of a header, and each of its parts between commas.
        yield f"{fetch('req.fhdr', rule.key)} {match}"
        yield f"{fetch('req.hdr', rule.key)} {match}"
    elif rule.type == "COOKIE":
        yield f"{fetch('req.cook', rule.key)} {match}"
    elif rule.type == "SSL_CONN_HAS_CERT":
        yield "ssl_c_used -m bool"
    elif rule.type == "SSL_VERIFY_RESULT":
        yield f"ssl_c_verify -m int -- {int(rule.value)}"
    elif rule.type == "SSL_DN_FIELD":
        yield f"{fetch('ssl_c_s_dn', rule.key)} {match}"
    else:
        raise ValueError(f"there is no rule of type {rule.type}")


_QUOTED = ("HOST_NAME", "PATH", "FILE_TYPE", "HEADER")


def _value(rule: L7Rule) -> str:
    """What is compared with. Octavia takes spaces only in double quotes, which mean no more than
    that; but in an expression all means itself."""
    value = rule.value
    is_quoted = len(value) > 2 and value[0] == value[-1] == '"'
    if rule.type not in _QUOTED or rule.compare_type == "REGEX" or not is_quoted:
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])
