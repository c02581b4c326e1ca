# SPDX-License-Identifier: Apache-2.0

"""Attributes of Octavia's kinds: how they are declared, what they may be and what they are unasked;
and what is shown of all kinds.

null says of each what leaving it out says: as it is unasked. Numbers may be written as texts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import netaddr
from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.converters import convert_to_boolean

from tenantry.apps.load_balancer.records import PROXY_STATUS
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Reader, ResourceHooks
from tenantry.controller.store import Body

Spec: TypeAlias = Mapping[str, Any]
"""An attribute, in neutron-lib's notation."""

REQUIRED: Final = object()

MAX_TEXT = 255
MOST = 2**31 - 1
"""Of a number that has no other bound."""

SHOWN: Spec = {"allow_post": False, "allow_put": False, "is_visible": True}
"""Of what nobody can set."""


class InvalidAttribute(exceptions.BadRequest):
    message = "Invalid input for field/attribute %(name)s. Value: '%(value)s'. %(reason)s."


class Wrong(ValueError):
    """A value cannot be: the message says what can."""


def declared(attributes: Mapping[str, Spec]) -> dict[str, Spec]:
    """Attributes by name. What is wrong with a value is answered with the name of its attribute."""
    return {name: _named(name, spec) for name, spec in attributes.items()}


def _named(name: str, spec: Spec) -> Spec:
    convert = spec.get("convert_to")
    if convert is None:
        return spec

    def read(value: Any) -> Any:
        try:
            return convert(value)
        except (Wrong, exceptions.InvalidInput) as error:
            shown = str(value)[:MAX_TEXT]
            raise InvalidAttribute(name=name, value=shown, reason=error) from error

    return {**spec, "convert_to": read}


def spec(
    convert: Callable[[Any], Any], default: Any = REQUIRED, *, fixed: bool = False, **more: Any
) -> Spec:
    """An attribute that ``convert`` reads; it must be given if it has no ``default``. What is
    ``fixed`` stays as it was created. Lists are filtered and sorted by it, but not if
    ``is_filter`` is false."""

    def read(value: Any) -> Any:
        if value is not None:
            return convert(value)
        if default is REQUIRED:
            raise Wrong("null is not a value here")
        return default

    found = more.pop("is_filter", True)
    shown = {"allow_post": True, "allow_put": not fixed, "is_visible": True}
    by = {"is_filter": found, "is_sort_key": found}
    unasked = {} if default is REQUIRED else {"default": default}
    return {**shown, **by, "convert_to": read, **unasked, **more}


def text(default: Any = "", most: int = MAX_TEXT, **more: Any) -> Spec:
    """A text of at most so many characters."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Wrong(f"'{value}' is not a text")
        if len(value) > most:
            raise Wrong(f"'{value[:20]}...' has more than {most} characters")
        return value

    return spec(read, default, **more)


def choice(values: Collection[Any], default: Any = REQUIRED, **more: Any) -> Spec:
    """One of some values."""

    def read(value: Any) -> Any:
        try:
            return next(each for each in values if str(each) == str(value))
        except StopIteration:
            raise Wrong(f"'{value}' is none of {', '.join(map(str, values))}") from None

    return spec(read, default, **more)


def number(least: int, most: int | None, default: Any = REQUIRED, **more: Any) -> Spec:
    """A whole number between two, both included."""

    def read(value: Any) -> int:
        return whole(value, least, most)

    return spec(read, default, **more)


def whole(value: Any, least: int, most: int | None) -> int:
    """A whole number. Errors: Wrong."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and value.lstrip("-").isdecimal()):
        raise Wrong(f"'{value}' is not a whole number")
    found = int(value)
    if found < least or (most is not None and found > most):
        upto = "more" if most is None else str(most)
        raise Wrong(f"{found} is not {least} to {upto}")
    return found


def flag(default: bool, **more: Any) -> Spec:
    return spec(convert_to_boolean, default, **more)


def reference(default: Any = None, **more: Any) -> Spec:
    """The id of a resource."""

    def read(value: Any) -> str:
        if validators.validate_uuid(value):
            raise Wrong(f"'{value}' is not a UUID")
        return str(value)

    return spec(read, default, **more)


def address(default: Any = REQUIRED, **more: Any) -> Spec:
    """An IP address, as it is written."""

    def read(value: Any) -> str:
        if validators.validate_ip_address(value):
            raise Wrong(f"'{value}' is not an IP address")
        return str(value)

    return spec(read, default, **more)


def texts(default: Any = None, allowed: Collection[str] = (), **more: Any) -> Spec:
    """A list of texts, each once, as they come; of those that are ``allowed``, if any are."""

    def read(value: Any) -> list[str]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Wrong(f"'{value}' is not a list of texts")
        for each in value:
            if len(each) > MAX_TEXT or (allowed and each not in allowed):
                raise Wrong(
                    f"'{each[:MAX_TEXT]}' is none of {', '.join(allowed) or 'few characters'}"
                )
        return list(dict.fromkeys(value))

    return spec(read, default, **more)


def cidr(value: Any) -> str:
    """The network that a prefix is in: bits behind it do not count. Errors: Wrong."""
    try:
        return str(netaddr.IPNetwork(value).cidr)
    except (ValueError, TypeError, netaddr.AddrFormatError):
        raise Wrong(f"'{value}' is not a prefix of IPv4 or IPv6") from None


_FOUND_BY: Spec = {**SHOWN, "is_filter": True, "is_sort_key": True}

OWNER: Spec = {
    **_FOUND_BY,
    "allow_post": True,
    "validate": {"type:string": MAX_TEXT},
    "required_by_policy": True,
}

COMMON: Mapping[str, Spec] = {
    "id": _FOUND_BY,
    "project_id": OWNER,
    "tenant_id": OWNER,
    "name": text(),
    "admin_state_up": flag(True),
    "tags": texts([]),
    "provisioning_status": _FOUND_BY,
    "operating_status": _FOUND_BY,
}
"""What all have that are configured."""

DESCRIPTION: Mapping[str, Spec] = {"description": text()}

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
