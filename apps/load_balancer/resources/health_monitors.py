# SPDX-License-Identifier: Apache-2.0

"""Health monitors in the API: how the members of a pool are asked whether they are alive."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from neutron_lib import exceptions

from tenantry.apps.load_balancer.records import SCTP, UDP
from tenantry.apps.load_balancer.resources.attributes import (
    COMMON,
    MOST,
    REQUIRED,
    SHOWN,
    STANDARD,
    OctaviaHooks,
    Spec,
    Wrong,
    choice,
    declared,
    number,
    reference,
    spec,
)
from tenantry.apps.load_balancer.resources.errors import NotFound, invalid
from tenantry.apps.load_balancer.resources.parents import POOL, find
from tenantry.apps.load_balancer.resources.pools import MONITOR
from tenantry.apps.load_balancer.resources.service import OCTAVIA
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceSpec
from tenantry.controller.store import Body, Claim, Draft, Link

UDP_CONNECT, TLS_HELLO = "UDP-CONNECT", "TLS-HELLO"
TYPES = ("HTTP", "HTTPS", "PING", "TCP", TLS_HELLO, UDP_CONNECT, SCTP)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "TRACE", "OPTIONS", "CONNECT", "PATCH")
VERSIONS = (1.0, 1.1)
"""Of HTTP."""

MIN_UDP_DELAY = 3
"""Seconds between two UDP-CONNECTs: as many as a host may take to refuse one (Octavia's)."""

HTTP_ONLY = {"http_method": "GET", "url_path": "/", "expected_codes": "200"}
"""What only monitors of HTTP and HTTPS have, and what it is unasked."""

_OVER_DATAGRAMS = (UDP_CONNECT, SCTP, "TCP", "HTTP")
"""Which types pools of UDP and SCTP may have."""

_CODES = re.compile(r"\d{3}(\s*,\s*\d{3})*|\d{3}-\d{3}")
_PATH = re.compile(r"/[^\s?#\x00-\x1f\x7f]*(\?[^\s#\x00-\x1f\x7f]*)?")
_DOMAIN = re.compile(
    r"(?=.{1,253}\.?$)(?:(?!-|[^.]+_)[A-Za-z0-9-_]{1,63}(?<!-)(?:\.|$))+", re.ASCII
)


class AlreadyMonitored(exceptions.Conflict):
    message = "This pool already has a health monitor"


def _matching(pattern: re.Pattern[str], what: str) -> Spec:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Wrong(f"'{value}' is not {what}")
        return value

    return spec(read, None)


ATTRIBUTES = declared(
    {
        **COMMON,
        "pool_id": reference(REQUIRED, fixed=True, is_visible=False),
        "type": choice(TYPES, fixed=True),
        "delay": number(0, MOST),
        "timeout": number(0, MOST),
        "max_retries": number(1, 10),
        "max_retries_down": number(1, 10, 3),
        "http_method": choice(METHODS, None),
        "url_path": _matching(_PATH, "the path of a URL: it begins with a slash"),
        "expected_codes": _matching(_CODES, "of the form 200, 200,202 or 200-204"),
        "http_version": choice(VERSIONS, None),
        "domain_name": _matching(_DOMAIN, "a domain name"),
        "pools": SHOWN,
    }
)


class HealthMonitorHooks(OctaviaHooks):
    def project(self, reader: Reader, body: Body) -> str:
        return str(find(reader, POOL, body["pool_id"])["project_id"])

    def create(self, draft: Draft, context: Context, body: Body) -> None:
        pool = find(draft, POOL, body["pool_id"])
        _check(body, pool)
        _complete(body)

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        pool = draft.get(POOL, body["pool_id"])
        assert pool is not None  # it is linked to
        _check(body, pool)
        _complete(body)

    def claims(self, body: Body) -> Iterable[Claim]:
        yield Claim(MONITOR, body["pool_id"], "")

    def taken(self, claim: Claim, body: Body) -> Exception | None:
        return AlreadyMonitored()

    def links(self, body: Body) -> Iterable[Link]:
        yield Link(body["pool_id"], MONITOR)

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        super().present(reader, context, body, shown)
        shown["pools"] = [{"id": body["pool_id"]}]


def _check(body: Body, pool: Body) -> None:
    """What is said fits together, and the pool. Errors: Octavia's 400."""
    type, protocol = body["type"], pool["protocol"]
    if protocol in (UDP, SCTP):
        if type not in _OVER_DATAGRAMS:
            raise invalid(
                f"The associated pool protocol is {protocol}, so only a "
                f"{'/'.join(_OVER_DATAGRAMS)} health monitor is supported."
            )
        if type == UDP_CONNECT and body["delay"] < MIN_UDP_DELAY:
            raise invalid(
                f"The request delay value {body['delay']} should be larger than {MIN_UDP_DELAY} "
                f"for {type} health monitor type."
            )
    elif type in (UDP_CONNECT, SCTP):
        raise invalid(f"The {type} type is only supported for pools of type {UDP}/{SCTP}.")
    if not _speaks_http(body):
        for name in HTTP_ONLY:
            if body[name] is not None:
                raise invalid(f"{name} is not a valid option for health monitors of type {type}")
    if body["domain_name"]:
        if not body["http_version"]:
            raise invalid("'http_version' must be specified when 'domain_name' is provided.")
        if body["http_version"] < 1.1:
            raise invalid("domain_name goes with http_version 1.1: 1.0 has no header for it")


def _complete(body: Body) -> None:
    if _speaks_http(body):
        body |= {name: body[name] or usual for name, usual in HTTP_ONLY.items()}


def _speaks_http(body: Body) -> bool:
    return body["type"] in ("HTTP", "HTTPS")


SPEC = ResourceSpec(
    name=MONITOR,
    collection="healthmonitors",
    attributes=ATTRIBUTES,
    not_found=lambda id: NotFound(resource="Health Monitor", id=id),
    standard=STANDARD,
    service=OCTAVIA,
)

RULES = {MONITOR: HealthMonitorHooks()}
