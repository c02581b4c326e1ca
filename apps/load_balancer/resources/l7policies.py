# SPDX-License-Identifier: Apache-2.0

"""L7 policies in the API: what is done with requests to a listener that all rules of one match.

The policies of a listener are in an order: their positions are 1, 2, 3, and so on. One that comes,
goes or moves pushes the others; a position behind the last is the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import HTTP, PROMETHEUS, TERMINATED_HTTPS
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    DESCRIPTION,
    REQUIRED,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    Wrong,
    choice,
    declared,
    number,
    reference,
    spec,
)
from tenantry.apps.load_balancer.resources.errors import ListenerNoChildren, NotFound, unsupported
from tenantry.apps.load_balancer.resources.listeners import LISTENER, check_fits
from tenantry.apps.load_balancer.resources.parents import (
    POOL,
    find,
)
from tenantry.apps.load_balancer.resources.pools import POLICY
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import (
    Reader,
    ResourceSpec,
    changed,
)
from tenantry.controller.store import Body, Draft, Link

RULE = "l7rule"
"""The kind, and the role in which a policy sees them."""

REJECT, TO_POOL = "REJECT", "REDIRECT_TO_POOL"
TO_URL, PREFIX = "REDIRECT_TO_URL", "REDIRECT_PREFIX"

TARGETS = {TO_POOL: "redirect_pool_id", TO_URL: "redirect_url", PREFIX: "redirect_prefix"}
"""By action: where it leads to."""

ACTIONS = (REJECT, *TARGETS)
CODES = (301, 302, 303, 307, 308)
USUAL_CODE = 302

LAST = (1 << 31) - 1
"""The position of one that is to be the last."""


class WrongPolicy(exceptions.BadRequest):
    message = "Invalid L7 Policy arguments: %(reason)s"


_URL = re.compile(r"https?://[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.IGNORECASE)
"""The characters of one (RFC 3986, 2)."""


def _url(value: Any) -> str:
    """An absolute URL of HTTP."""
    if isinstance(value, str) and _URL.fullmatch(value):
        try:
            parts = urlsplit(value)
            if parts.hostname and (parts.port is None or parts.port):
                return value
        except ValueError:
            pass
    raise Wrong(f"'{value}' is not a URL of http or https")


ATTRIBUTES = declared(
    {
        **COMMON,
        **DESCRIPTION,
        "listener_id": reference(REQUIRED, fixed=True),
        "action": choice(ACTIONS),
        "position": number(1, LAST, LAST),
        "redirect_pool_id": reference(),
        "redirect_url": spec(_url, None),
        "redirect_prefix": spec(_url, None),
        "redirect_http_code": choice(CODES, None),
        "rules": SHOWN,
    }
)


class L7PolicyHooks(OctaviaHooks):
    def project(self, reader: Reader, body: Body) -> str:
        return str(find(reader, LISTENER, body["listener_id"])["project_id"])

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        listener = find(draft, LISTENER, body["listener_id"])
        _check_read(listener)
        _complete(draft, body, body["action"], listener)
        _insert(draft, body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        listener = draft.get(LISTENER, body["listener_id"])
        assert listener is not None  # it is linked to
        _complete(draft, body, _meant(body, before), listener)
        if body["position"] != before["position"]:
            _insert(draft, body)

    def delete(self, draft: Draft, context: Context, body: Body) -> None:
        for id in draft.linked(body["id"], RULE):
            draft.delete(RULE, id)
        _number(draft, _others(draft, body), 1)

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["listener_id"], POLICY)
        if body["redirect_pool_id"]:
            yield Link(body["redirect_pool_id"], POLICY)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        shown["rules"] = [{"id": id} for id in reader.linked(body["id"], RULE)]


def _check_read(listener: Body) -> None:
    """Whether requests to a listener are read. Errors: Octavia's."""
    protocol = listener["protocol"]
    if protocol == PROMETHEUS:
        raise ListenerNoChildren(protocol=protocol)
    if protocol not in (HTTP, TERMINATED_HTTPS):
        raise unsupported(
            f"requests to a listener of protocol {protocol} are passed on unread: L7 policies need "
            f"one of protocol {HTTP} or {TERMINATED_HTTPS}"
        )


def _complete(draft: Draft, body: Body, action: str, listener: Body) -> None:
    """Make of ``body`` a policy of an action: it has that one's target, and no other. Errors:
    WrongPolicy, and what is wrong with the target."""
    target = TARGETS.get(action)
    if target is not None and not body[target]:
        raise WrongPolicy(reason=f"{target} must not be None")
    if target == TARGETS[TO_POOL]:
        pool = find(draft, POOL, body[target])
        if pool["loadbalancer_id"] != listener["loadbalancer_id"]:
            raise NotFound(resource="Pool", id=pool["id"])
        check_fits(listener["protocol"], pool["protocol"])
    code = body["redirect_http_code"] or USUAL_CODE if action in (TO_URL, PREFIX) else None
    nowhere = {name: None for name in TARGETS.values() if name != target}
    body |= {**nowhere, "action": action, "redirect_http_code": code}


def _meant(body: Body, before: Body) -> str:
    """The action of a policy that was changed: what is said, or where it is now said to lead."""
    given = [a for a, name in TARGETS.items() if body[name] and body[name] != before[name]]
    if body["action"] != before["action"] or not given:
        return str(body["action"])
    if len(given) > 1:
        raise WrongPolicy(reason=f"one of {', '.join(TARGETS.values())} at a time")
    return given[0]


def policies_of(reader: Reader, listener_id: str) -> list[Body]:
    """The policies of a listener, in their order."""
    found = (reader.get(POLICY, id) for id in reader.linked(listener_id, POLICY))
    return sorted((each for each in found if each), key=lambda policy: policy["position"])


def _others(draft: Draft, body: Body) -> list[Body]:
    return [each for each in policies_of(draft, body["listener_id"]) if each["id"] != body["id"]]


def _insert(draft: Draft, body: Body) -> None:
    """Put ``body`` at its position among the others, or last if there is no such."""
    others = _others(draft, body)
    at = min(body["position"], len(others) + 1)
    body["position"] = at
    _number(draft, others[: at - 1], 1)
    _number(draft, others[at - 1 :], at + 1)


def _number(draft: Draft, policies: Iterable[Body], first: int) -> None:
    for position, policy in enumerate(policies, first):
        if policy["position"] != position:
            draft.put(POLICY, changed(policy, position=position))


SPEC = ResourceSpec(
    name=POLICY,
    collection="l7policies",
    attributes=ATTRIBUTES,
    not_found=lambda id: NotFound(resource="L7Policy", id=id),
    standard=STANDARD,
    service=OCTAVIA,
)

RULES = {POLICY: L7PolicyHooks()}
