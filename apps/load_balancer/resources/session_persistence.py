# SPDX-License-Identifier: Apache-2.0

"""Which connections of a client a pool's same member gets: an attribute of pools."""

from __future__ import annotations

import re
from typing import Any

import netaddr

from tenantry.apps.load_balancer.records import (
    APP_COOKIE,
    HTTP_COOKIE,
    HTTPS,
    SCTP,
    SOURCE_IP,
    TCP,
    UDP,
)
from tenantry.apps.load_balancer.resources.attributes import Spec, Wrong, spec, whole
from tenantry.apps.load_balancer.resources.errors import invalid, unsupported
from tenantry.controller.store import Body

TYPES = (SOURCE_IP, HTTP_COOKIE, APP_COOKIE)
PARTS = ("type", "cookie_name", "persistence_timeout", "persistence_granularity")

MAX_TIMEOUT = 0xFFFF
"""Seconds: a learned flow lasts no longer (OpenFlow 1.4, 7.3.4.2, ``idle_timeout``)."""

_COOKIE = re.compile(r"[^\x00-\x20\"(),/:-@\[\\\]{}\x7f]{1,255}")
"""A cookie's name: a token (RFC 6265, 4.1.1)."""


def _read(value: Any) -> Body | None:
    """Each part of it by itself; what it says is for :func:`check`."""
    if not isinstance(value, dict) or not value.keys() <= {*PARTS}:
        raise Wrong(f"'{value}' does not consist of {', '.join(PARTS)}")
    if not value:
        return None
    said = {name: value[name] for name in PARTS if value.get(name) is not None}
    if said.get("type", SOURCE_IP) not in TYPES:
        raise Wrong(f"'{said['type']}' is none of {', '.join(TYPES)}")
    if "cookie_name" in said and not (
        isinstance(said["cookie_name"], str) and _COOKIE.fullmatch(said["cookie_name"])
    ):
        raise Wrong(f"'{said['cookie_name']}' cannot be a cookie's name")
    if "persistence_timeout" in said:
        said["persistence_timeout"] = whole(said["persistence_timeout"], 1, MAX_TIMEOUT)
    if "persistence_granularity" in said:
        said["persistence_granularity"] = _mask(said["persistence_granularity"])
    return {name: said.get(name) for name in PARTS}


def _mask(value: Any) -> str:
    """A netmask: 255.255.255.0, or ffff:ffff:: of IPv6."""
    try:
        mask = netaddr.IPAddress(value)
        if mask.is_netmask():
            return str(mask)
    except (netaddr.AddrFormatError, TypeError, ValueError):
        pass
    raise Wrong(f"'{value}' is not a netmask")


ATTRIBUTE: Spec = spec(_read, None, is_filter=False)


def completed(asked: Body | None, before: Body | None) -> Body | None:
    """What is asked for, with the type that there was if it names none. Errors: Octavia's 400."""
    if asked is None or asked["type"]:
        return asked
    if before is None:
        raise invalid(f"session_persistence needs a type, one of {', '.join(TYPES)}")
    return {**asked, "type": before["type"]}


def check(said: Body | None, protocol: str) -> None:
    """Whether a pool of a protocol may have it. Errors: Octavia's 400."""
    if said is None:
        return
    datagrams = protocol in (UDP, SCTP)
    if datagrams and said["type"] != SOURCE_IP:
        raise invalid(
            f"session persistence of type {said['type']} is not supported for {protocol} pools: "
            f"use {SOURCE_IP}"
        )
    if said["type"] != SOURCE_IP and protocol in (TCP, HTTPS):
        raise unsupported(
            f"session persistence of type {said['type']} of {protocol} pools: their requests are "
            f"passed on unread, and have no cookies that anybody sees. Use {SOURCE_IP}"
        )
    if said["cookie_name"] and said["type"] != APP_COOKIE:
        raise invalid(f"cookie_name is only for session persistence of type {APP_COOKIE}")
    if said["type"] == APP_COOKIE and not said["cookie_name"]:
        raise invalid(f"session persistence of type {APP_COOKIE} needs a cookie_name")
    for name in ("persistence_timeout", "persistence_granularity"):
        if said[name] is not None and not datagrams:
            raise invalid(f"{name} is only for UDP and SCTP pools")
