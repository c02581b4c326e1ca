# SPDX-License-Identifier: Apache-2.0

"""What the API accepts of DHCP options: ``extra_dhcp_opts`` of ports, by name or by number."""

from __future__ import annotations

import re

from neutron_lib import exceptions
from neutron_lib.api import validators
from neutron_lib.api.definitions import extra_dhcp_opt

from tenantry.apps.dhcp import options
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.extension import Extension, Reader, ResourceHooks
from tenantry.controller.model import DhcpOption
from tenantry.controller.store import Body, Draft

OPTIONS = extra_dhcp_opt.EXTRADHCPOPTS

MAX_OPTIONS = 64
"""How many options a port may have. They must fit a packet anyway."""

MAX_CODE = {4: 254, 6: 65535}
"""The largest code of an option: RFC 2132 (255 ends them), RFC 8415, section 21.1."""

TAGS = (options.IPXE, options.IPXE6)

_NUMBER = re.compile(r"[1-9][0-9]{0,4}")


class DhcpOptionHooks(ResourceHooks):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body[OPTIONS] = _merged([], body[OPTIONS] or [])

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        """A request names the options that change; those with the value null go."""
        if OPTIONS in body and body[OPTIONS] is not before.get(OPTIONS):
            body[OPTIONS] = _merged(before.get(OPTIONS) or [], body[OPTIONS] or [])

    def present(self, reader: Reader, context: Context, body: Body, shown: Body) -> None:
        shown.setdefault(OPTIONS, [])  # ports from before there was such an attribute


def _merged(current: list[Body], requested: list[Body]) -> list[Body]:
    merged = {(option["opt_name"], option["ip_version"]): option for option in current}
    for request in requested:
        option = {
            "opt_name": request["opt_name"],
            "opt_value": request["opt_value"],
            "ip_version": int(request.get("ip_version", 4)),
        }
        key = option["opt_name"], option["ip_version"]
        if option["opt_value"] is None:
            merged.pop(key, None)
        else:
            _check(**option)
            merged[key] = option
    if len(merged) > MAX_OPTIONS:
        raise _invalid(f"A port may have at most {MAX_OPTIONS} DHCP options")
    return list(merged.values())


def _check(opt_name: str, opt_value: str, ip_version: int) -> None:
    *conditions, name = opt_name.split(",")
    for condition in conditions:
        tag = condition.removeprefix("tag:").removeprefix("!")
        if not condition.startswith("tag:") or tag not in TAGS:
            raise _invalid(
                f"'{condition}' of DHCP option '{opt_name}' is no condition that there is: "
                f"{', '.join(f'tag:{tag} and tag:!{tag}' for tag in TAGS)} are"
            )
    if ":" in name:
        raise _invalid(
            f"DHCP option '{opt_name}' has a prefix: name it by its name or number, behind its "
            "conditions (tag:ipxe,bootfile-name)"
        )
    if not (opt_value.isascii() and opt_value.isprintable()):
        raise _invalid(f"The value of DHCP option '{opt_name}' is not printable ASCII")
    if _NUMBER.fullmatch(name):
        number = int(name)
        if number > MAX_CODE[ip_version]:
            raise _invalid(
                f"DHCP option number {number} is not in 1..{MAX_CODE[ip_version]} (IPv{ip_version})"
            )
        if number in options.RESERVED[ip_version]:
            raise _invalid(f"DHCP option {number} is for the protocol alone to say")
    elif name not in (options.NEXT_SERVER, *options.NAMES[ip_version]):
        raise _invalid(
            f"'{name}' is neither the name nor the number of a DHCP option; names for "
            f"IPv{ip_version}: {', '.join(sorted(options.NAMES[ip_version]))}"
        )
    if name == options.NEXT_SERVER:
        wrong = validators.validate_ip_address(opt_value) if opt_value else None
        wrong = wrong or (ip_version == 6 and "." in opt_value)
    else:
        wrong = options.encode(DhcpOption(name, opt_value, ip_version)) is None
    if wrong:
        raise _invalid(f"'{opt_value}' is no value of DHCP option '{opt_name}'")


def _invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


def extension() -> Extension:
    """The attribute ``extra_dhcp_opts`` of ports."""
    return Extension(definitions=(extra_dhcp_opt,), rules={"port": DhcpOptionHooks()})
