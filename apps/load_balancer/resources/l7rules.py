# SPDX-License-Identifier: Apache-2.0

"""Rules of L7 policies in the API: what a request must have for the policy to be about it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions

from tenantry.apps.load_balancer.resources import expressions
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    MAX_TEXT,
    STANDARD,
    OctaviaHooks,
    Wrong,
    choice,
    declared,
    flag,
    spec,
)
from tenantry.apps.load_balancer.resources.errors import NotFound
from tenantry.apps.load_balancer.resources.l7policies import RULE
from tenantry.apps.load_balancer.resources.pools import POLICY
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import ResourceSpec
from tenantry.controller.store import Body, Draft, Link

HOST_NAME, PATH, FILE_TYPE, HEADER, COOKIE = "HOST_NAME", "PATH", "FILE_TYPE", "HEADER", "COOKIE"
HAS_CERT, VERIFY_RESULT, DN_FIELD = "SSL_CONN_HAS_CERT", "SSL_VERIFY_RESULT", "SSL_DN_FIELD"
TYPES = (HOST_NAME, PATH, FILE_TYPE, HEADER, COOKIE, HAS_CERT, VERIFY_RESULT, DN_FIELD)

REGEX, EQUAL_TO = "REGEX", "EQUAL_TO"
COMPARISONS = (REGEX, "STARTS_WITH", "ENDS_WITH", "CONTAINS", EQUAL_TO)

_FEWER = {
    FILE_TYPE: (REGEX, EQUAL_TO),
    HAS_CERT: (EQUAL_TO,),
    VERIFY_RESULT: (EQUAL_TO,),
}
"""By type: how it can be compared, if not in every way."""

KEYED = (HEADER, COOKIE, DN_FIELD)
"""Types of which one names a part."""

MAX_RULES = 50
"""Of a policy."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_DN_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+|\"[\x20-\x7e\t]*\"")
"""RFC 9110, 5.5: visible characters; with blanks, if in quotes."""

_COOKIE_VALUE = re.compile(r"[A-Za-z0-9!#$%&'()*+\-./:<=>?@\[\]^_`{|}~]+")
"""RFC 6265, 4.1.1."""


class WrongRule(exceptions.BadRequest):
    message = "Error parsing L7Rule: Invalid L7 Rule: %(reason)s"


class TooManyRules(exceptions.Conflict):
    message = "Too many rules on L7 policy %(id)s"


def _line(value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT or re.search(r"[\r\n\0]", value):
        raise Wrong(f"'{value}' is not a text of one line and at most {MAX_TEXT} characters")
    return value


ATTRIBUTES = declared(
    {
        **COMMON,
        "type": choice(TYPES),
        "compare_type": choice(COMPARISONS),
        "key": spec(_line, None),
        "value": spec(_line),
        "invert": flag(False),
    }
)


class L7RuleHooks(OctaviaHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        policy = draft.get(POLICY, body["l7policy_id"])
        assert policy is not None  # it is the parent
        if len(draft.linked(policy["id"], RULE)) >= MAX_RULES:
            raise TooManyRules(id=policy["id"])
        check(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        check(body)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["l7policy_id"], RULE)


def check(rule: Body) -> None:
    """Whether a rule means something. Errors: WrongRule."""
    type, compare, key, value = (rule[n] for n in ("type", "compare_type", "key", "value"))
    if not value:
        raise WrongRule(reason="L7 rule type requires a value")
    if compare not in _FEWER.get(type, COMPARISONS):
        raise WrongRule(
            reason=f"invalid comparison type for rule type: {type} is compared by "
            + " or ".join(_FEWER[type])
        )
    if type in KEYED and not key:
        raise WrongRule(reason="L7 rule type requires a key")
    if type not in KEYED and key:
        raise WrongRule(reason=f'L7rule type {type} does not use the "key" field.')
    if key and not (_DN_FIELD if type == DN_FIELD else _TOKEN).fullmatch(key):
        raise WrongRule(reason=f"'{key}' cannot be a key of type {type}")
    if type == HAS_CERT:
        if value.lower() != "true":
            raise WrongRule(reason=f"L7rule value {value} is not a boolean True string.")
    elif type == VERIFY_RESULT:
        if not (value.isascii() and value.isdigit()):
            raise WrongRule(reason=f"L7rule type {type} needs a int value, which is >= 0")
    elif compare == REGEX:
        try:
            re.compile(value)
        except (re.error, RecursionError, OverflowError) as error:
            raise WrongRule(reason=f"'{value}' is not a regular expression: {error}") from error
        if words := expressions.fault(value):
            raise WrongRule(reason=f"'{value}' is not a regular expression: {words}")
    elif not (_COOKIE_VALUE if type == COOKIE else _HEADER_VALUE).fullmatch(value):
        raise WrongRule(reason=f"'{value}' cannot be in a request as {type}")


SPEC = ResourceSpec(
    name=RULE,
    collection="rules",
    attributes=ATTRIBUTES,
    not_found=lambda id: NotFound(resource="L7Rule", id=id),
    parent=POLICY,
    standard=STANDARD,
    service=OCTAVIA,
    singular="rule",
    rule=RULE,
)

RULES = {RULE: L7RuleHooks()}
