"""What the API accepts of DHCP options: ``extra_dhcp_opts`` of ports, by name or by number."""

from __future__ import annotations

import re

from neutron_lib import exceptions
from neutron_lib.api.definitions import extra_dhcp_opt

from controller.api.auth import Context
from controller.api.extension import Extension, Reader, Rules
from controller.store import Body, Draft

OPTIONS = extra_dhcp_opt.EXTRADHCPOPTS

MAX_OPTIONS = 64
"""How many options a port may have. They must fit a packet anyway."""

MAX_CODE = {4: 254, 6: 65535}
"""The largest code of an option: RFC 2132 (255 ends them), RFC 8415, section 21.1."""

_NAME = re.compile(r"[a-z][a-z0-9-]*")
_NUMBER = re.compile(r"[1-9][0-9]{0,4}")


class DhcpOptionRules(Rules):
    def create(self, draft: Draft, context: Context, body: Body) -> None:
        body[OPTIONS] = _merged([], body[OPTIONS] or [])

    def update(self, draft: Draft, context: Context, before: Body, body: Body) -> None:
        """A request names the options that change; those with the value null go."""
        if OPTIONS in body and body[OPTIONS] is not before.get(OPTIONS):
            body[OPTIONS] = _merged(before.get(OPTIONS) or [], body[OPTIONS] or [])

    def present(self, reader: Reader, body: Body, shown: Body) -> None:
        shown.setdefault(OPTIONS, [])  # ports from before there was such an attribute


def _merged(current: list[Body], requested: list[Body]) -> list[Body]:
    options = {(option["opt_name"], option["ip_version"]): option for option in current}
    for request in requested:
        option = {
            "opt_name": request["opt_name"],
            "opt_value": request["opt_value"],
            "ip_version": int(request.get("ip_version", 4)),
        }
        key = option["opt_name"], option["ip_version"]
        if option["opt_value"] is None:
            options.pop(key, None)
        else:
            _check(**option)
            options[key] = option
    if len(options) > MAX_OPTIONS:
        raise _invalid(f"A port may have at most {MAX_OPTIONS} DHCP options")
    return list(options.values())


def _check(opt_name: str, opt_value: str, ip_version: int) -> None:
    if ":" in opt_name or "," in opt_name:
        raise _invalid(
            f"DHCP option '{opt_name}' has a prefix: name it by its name or number alone"
        )
    if _NUMBER.fullmatch(opt_name):
        if int(opt_name) > MAX_CODE[ip_version]:
            raise _invalid(
                f"DHCP option number {opt_name} is not in 1..{MAX_CODE[ip_version]} "
                f"(IPv{ip_version})"
            )
    elif not _NAME.fullmatch(opt_name):
        raise _invalid(f"'{opt_name}' is neither the name nor the number of a DHCP option")
    if not (opt_value.isascii() and opt_value.isprintable()):
        raise _invalid(f"The value of DHCP option '{opt_name}' is not printable ASCII")


def _invalid(message: str) -> Exception:
    error: Exception = exceptions.InvalidInput(error_message=message)
    return error


def extension() -> Extension:
    """The attribute ``extra_dhcp_opts`` of ports."""
    return Extension(definitions=(extra_dhcp_opt,), rules={"port": DhcpOptionRules()})
