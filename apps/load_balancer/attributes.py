# SPDX-License-Identifier: Apache-2.0

"""Attributes of Octavia's kinds, in neutron-lib's notation; and what is shown of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import netaddr
from neutron_lib import exceptions
from neutron_lib.api.converters import convert_to_boolean, convert_to_int_if_not_none

from tenantry.apps.load_balancer.records import PROXY_STATUS
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceHooks
from tenantry.controller.store import Body

Attribute = Mapping[str, Any]

NAME_LENGTH = 255
MOST = 2**31 - 1

SHOWN: Attribute = {
    "allow_post": False,
    "allow_put": False,
    "is_visible": True,
    "is_filter": True,
}
GIVEN: Attribute = {**SHOWN, "allow_post": True, "allow_put": True}
FIXED: Attribute = {**GIVEN, "allow_put": False}
"""What is seen, what is asked for, and what is asked for once."""


def text(most: int = NAME_LENGTH, *, default: str | None = None) -> Attribute:
    rule = "type:string_or_none" if default is None else "type:string"
    return {"validate": {rule: most}, "default": default}


def number(low: int, high: int = MOST, *, default: int | None = None) -> Attribute:
    """An integer; if there is no default, perhaps none."""
    return {
        "convert_to": convert_to_int_if_not_none,
        "validate": {"type:range_or_none": [low, high]},
        "default": default,
    }


def choice(values: Iterable[str], *, default: str | None = None) -> Attribute:
    known = [*values] if default is not None else [*values, None]
    return {"validate": {"type:values": known}, "default": default}


def flag(default: bool) -> Attribute:
    return {"convert_to": convert_to_boolean, "default": default}


def texts(most: int = NAME_LENGTH) -> Attribute:
    return {"validate": {"type:list_of_unique_strings": most}, "default": []}


def required(attribute: Attribute) -> dict[str, Any]:
    """Without a default: whoever asks must say it."""
    return {
        **{name: value for name, value in attribute.items() if name not in ("default", "validate")},
        "validate": {
            rule.removesuffix("_or_none"): (
                [value for value in said if value is not None] if rule == "type:values" else said
            )
            for rule, said in attribute.get("validate", {}).items()
        },
    }


UUID: Attribute = {"validate": {"type:uuid_or_none": None}, "default": None}


def _address(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return str(netaddr.IPAddress(value, flags=netaddr.INET_PTON))
    except (ValueError, TypeError, netaddr.AddrFormatError):
        raise exceptions.InvalidInput(
            error_message=f"'{value}': Value should be IPv4 or IPv6 format"
        ) from None


def cidr(value: Any) -> str:
    """The network that a prefix is in: bits behind it do not count."""
    try:
        return str(netaddr.IPNetwork(value).cidr)
    except (ValueError, TypeError, netaddr.AddrFormatError):
        raise exceptions.InvalidInput(
            error_message=f"'{value}': Value should be IPv4 or IPv6 CIDR format"
        ) from None


ADDRESS: Attribute = {"convert_to": _address, "default": None}

ID: Attribute = {**SHOWN, "validate": {"type:uuid": None}}
PROJECT: Attribute = {
    **FIXED,
    "validate": {"type:string": NAME_LENGTH},
    "required_by_policy": True,
}
TAGS: Attribute = {**GIVEN, **texts()}

COMMON: Mapping[str, Attribute] = {
    "id": ID,
    "project_id": PROJECT,
    "tenant_id": PROJECT,
    "name": {**GIVEN, **text(default="")},
    "admin_state_up": {**GIVEN, **flag(True)},
    "tags": TAGS,
    "provisioning_status": SHOWN,
    "operating_status": SHOWN,
}
"""What all have that are configured."""

DESCRIPTION: Mapping[str, Attribute] = {"description": {**GIVEN, **text(default="")}}

STANDARD = ("timestamp", "tag")
"""Of the attributes that many kinds have, those that all of these have."""


def ids(found: Iterable[str]) -> list[Body]:
    """References to others, as Octavia shows them."""
    return [{"id": id} for id in found]


class OctaviaHooks(ResourceHooks):
    """How all are shown."""

    overrides = ("created_at", "updated_at")

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault("provisioning_status", "PENDING_CREATE")
        shown.setdefault("operating_status", "OFFLINE")
        proxy = shown.pop(PROXY_STATUS, None)
        if proxy is not None and (proxy == "ERROR" or shown["provisioning_status"] == "ACTIVE"):
            shown["provisioning_status"] = proxy
        for name in self.overrides[:2]:
            shown[name] = str(body[name]).removesuffix("Z")
